"""The error of numeric derivatives against the step h: why a gradient check needs care.

forward   (s(x + h) - s(x)) / h         error  h s″/2  + round-off ε|s|/h      best near √ε
central   (s(x + h) - s(x - h)) / 2h    error  h² s‴/6 + round-off ε|s|/h      best near ∛ε
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log10
from typing import Any

__all__ = ["STEPS", "StepErrors"]

STEPS = tuple(float(f"1e-{n}") for n in range(1, 14))  # 1e-1 … 1e-13
LOWEST, HIGHEST, COLUMNS = -15, 1, 49  # of the plot: powers of ten, and how wide it is


@dataclass(frozen=True)
class StepErrors:
    """``rows`` of (h, relative error of the forward difference, of the central one); prints."""

    place: str
    derivative: float
    rows: tuple[tuple[float, float, float], ...]

    def best(self, kind: str) -> float:
        """The least error of the "forward" or the "central" difference."""
        return min(row[1 + ("forward", "central").index(kind)] for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        rows = [dict(zip(("h", "forward", "central"), row, strict=True)) for row in self.rows]
        return {"place": self.place, "derivative": self.derivative, "errors": rows}

    def __str__(self) -> str:
        ticks = [" "] * COLUMNS
        for power in (LOWEST, -10, -5, 0):
            text = f"1e{power}" if power else "1"
            ticks[_column(10.0**power) : _column(10.0**power) + len(text)] = text
        lines = [
            f"relative error of ∂s/∂{self.place} = {self.derivative:.9g} against h",
            f"{'h':>6}  {'forward':>8}  {'central':>8}   {''.join(ticks).rstrip()}",
        ]
        for h, forward, central in self.rows:
            plot = ["·"] * COLUMNS
            plot[_column(forward)] = "f"
            plot[_column(central)] = "*" if plot[_column(central)] == "f" else "c"
            lines.append(f"{h:>6.0e}  {forward:8.1e}  {central:8.1e}   {''.join(plot)}")
        return "\n".join([*lines, "f forward (error ~ h), c central (error ~ h²), * both"])

    __repr__ = __str__


def _column(error: float) -> int:
    """Where an error stands on the logarithmic axis."""
    power = log10(error) if 0 < error < inf else (LOWEST if error == 0 else HIGHEST)
    share = (min(max(power, LOWEST), HIGHEST) - LOWEST) / (HIGHEST - LOWEST)
    return round(share * (COLUMNS - 1))
