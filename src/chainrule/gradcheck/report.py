"""What a gradient check found: a table, plain data, and a verdict in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chainrule.gradcheck.steps import StepErrors

__all__ = ["Comparison", "Report"]


@dataclass(frozen=True)
class Comparison:
    """One derivative, computed in two or three ways.

    ``index`` is None for all elements at once, along a direction u: the number is ū·x̄.
    """

    input: str
    index: tuple[int, ...] | None
    numeric: float
    automatic: float
    excess: float  # the error as a multiple of what is allowed: more than 1 fails
    why: str = ""
    symbolic: float | None = None
    h: float = 0.0  # the numeric one is (s(x + h) - s(x - h)) / 2h
    kinks: str = ""  # what switches between x - h and x + h

    @property
    def relative_error(self) -> float:
        """|automatic - numeric| / the larger of the two."""
        return _relative(self.automatic, self.numeric)

    @property
    def symbolic_error(self) -> float | None:
        """|automatic - symbolic| / the larger of the two; None without a symbolic one."""
        return None if self.symbolic is None else _relative(self.automatic, self.symbolic)

    @property
    def place(self) -> str:
        """Such as ``x0[2, 1]``."""
        if self.index is None:
            return f"{self.input}, all at once"
        return f"{self.input}{list(self.index)}" if self.index else self.input

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        errors = {"relative_error": self.relative_error, "symbolic_error": self.symbolic_error}
        return vars(self) | {"place": self.place, "agrees": self.excess <= 1} | errors


def _relative(a: float, b: float) -> float:
    largest = max(abs(a), abs(b))
    return abs(a - b) / largest if largest else 0.0


@dataclass
class Report:
    """What ``gradcheck`` found: true if every derivative agrees; prints as a table.

    ``worst`` has the worst element of each input and parameter, ``compared`` how many of its
    elements were compared, ``types`` its type; ``notes`` says what was left out and why.
    """

    worst: list[Comparison] = field(default_factory=list)
    compared: dict[str, int] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    measure: Callable[..., StepErrors] | None = field(default=None, repr=False)

    def __bool__(self) -> bool:
        return all(comparison.excess <= 1 for comparison in self.worst)

    @property
    def worst_of_all(self) -> Comparison | None:
        """The element that is furthest from agreement."""
        return max(self.worst, key=lambda c: c.excess, default=None)

    def error_against_h(self, input: str = "", index: tuple[int, ...] = ()) -> StepErrors:
        """The relative error of forward and central differences for h = 1e-1 … 1e-13.

        Of one element; unless told which, of the one with the largest derivative.

        >>> import chainrule as cr
        >>> errors = cr.gradcheck(lambda x: x.exp(), cr.tensor([1.0])).error_against_h()
        >>> errors.best("forward") < 1e-6, errors.best("central") < 1e-9
        (True, True)
        """
        assert self.measure is not None
        return self.measure(input, index)

    def to_json(self) -> dict[str, Any]:
        """Plain data: ``json.dumps(report.to_json())``."""
        worst = [
            c.to_json() | {"compared": self.compared[c.input], "type": self.types[c.input]}
            for c in self.worst
        ]
        return {"agree": bool(self), "worst": worst, "notes": self.notes}

    def __str__(self) -> str:
        symbolic = any(c.symbolic is not None for c in self.worst)
        head = ["worst element", "numeric", "symbolic", "automatic", "rel. error", "compared", ""]
        rows = [head] + [self._row(c) for c in self.worst]
        kept = [0, 1, *([2] if symbolic else []), 3, 4, 5, 6]
        widths = {i: max(len(row[i]) for row in rows) for i in kept}
        lines = [
            "  ".join(row[i].ljust(widths[i]) if i in (0, 6) else row[i].rjust(widths[i])
                      for i in kept).rstrip()
            for row in rows
        ]  # fmt: skip
        lines += [f"{c.place}: {c.kinks}" for c in self.worst if c.kinks]
        lines += self.notes
        worst = self.worst_of_all
        if worst is None or self:
            return "\n".join([*lines, "the derivatives agree"])
        verdict = f"the derivatives differ, most at {worst.place} of {self.types[worst.input]}"
        return "\n".join([*lines, f"{verdict}: {worst.why}"])

    __repr__ = __str__

    def _row(self, c: Comparison) -> list[str]:
        error = max(c.relative_error, c.symbolic_error or 0.0)
        nothing = max(abs(c.numeric), abs(c.automatic), abs(c.symbolic or 0.0)) < 1e-12
        return [
            c.place,
            f"{c.numeric:.9g}",
            "–" if c.symbolic is None else f"{c.symbolic:.9g}",
            f"{c.automatic:.9g}",
            "both 0" if nothing else f"{error:.1e}",
            f"{self.compared[c.input]:,}",
            "agree" if c.excess <= 1 else "differ",
        ]
