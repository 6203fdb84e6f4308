"""How n units can be wired to n units, beside the matrix that each wiring is.

Full: n² weights.  Local: each unit sees m neighbours, with weights of its own.  Shared: the same m
weights everywhere, a convolution; its matrix is Toeplitz.
"""

from __future__ import annotations

from typing import Any

from chainrule.errors import UsageError, message
from chainrule.inspect.draw.svg import DASHES, SHARED, Canvas, Drawing
from chainrule.inspect.formulas import SUBSCRIPT

__all__ = ["KINDS", "weights_of", "wiring"]

KINDS = ("full", "local", "shared")
MOST_UNITS = 12
CELL, RADIUS, REACH = 34.0, 10.0, 110.0


def weights_of(kind: str, n: int = 5, m: int = 3) -> list[list[str]]:
    """The matrix of a wiring: the name of each weight, "" where there is none.

    >>> weights_of("shared", 3)
    [['θ₁', 'θ₂', ''], ['θ₀', 'θ₁', 'θ₂'], ['', 'θ₀', 'θ₁']]
    """
    rows = []
    for i in range(n):
        row = []
        for j in range(n):
            tap = j - i + m // 2
            if kind == "full" or (0 <= tap < m and kind == "local"):
                row.append(f"w{i + 1}" + (f",{j + 1}" if n > 9 else str(j + 1)))
            elif 0 <= tap < m:
                row.append(f"θ{tap}")
            else:
                row.append("")
        rows.append([name.translate(SUBSCRIPT) for name in row])
    return rows


def wiring(kind: str | None = None, n: int = 5, m: int = 3) -> Drawing:
    """The wirings "full", "local" and "shared" of n units with n, or one of them.

    m: how many neighbours a unit sees, an odd number.  One colour, with one kind of dashes, is one
    shared weight.

    >>> wiring("shared").data["parameters"]
    {'shared': 3}
    """
    kinds = KINDS if kind is None else (kind,)
    if kinds[0] not in KINDS:
        raise UsageError(message("wiring", repr(kind), "one of " + ", ".join(KINDS)))
    if not (1 <= n <= MOST_UNITS and 1 <= m <= min(n, len(SHARED)) and m % 2):
        needs = f"n from 1 to {MOST_UNITS} and an odd m up to n and {len(SHARED)}"
        raise UsageError(message("wiring", f"n={n}, m={m}", needs))
    canvas = Canvas()
    matrices = {kind: weights_of(kind, n, m) for kind in kinds}
    counts = {kind: _parameters(matrix) for kind, matrix in matrices.items()}
    for k, (name, matrix) in enumerate(matrices.items()):
        top = k * (n * CELL + 78)
        canvas.text(
            0,
            top,
            f"{name}: {_formula(name, n, m)} = {counts[name]:,} weight{'s' * (counts[name] > 1)}",
            size=14,
            anchor="start",
            bold=True,
        )
        _wires(canvas, matrix, 2 * RADIUS, top + 36)
        _matrix(canvas, matrix, REACH + 110, top + 36)
    title = f"Wiring of {n} units with {n}: {', '.join(kinds)}"
    words = "; ".join(f"{name}: {counts[name]} weights" for name in kinds)
    words += ". On the left the connections, on the right the matrix, row by row one output each."
    data = {"style": "wiring", "n": n, "m": m, "parameters": counts, "matrices": matrices}
    return canvas.finish(title, words, data)


def _parameters(matrix: list[list[str]]) -> int:
    return len({name for row in matrix for name in row if name})


def _formula(kind: str, n: int, m: int) -> str:
    if kind == "full":
        return f"n² = {n}²"
    if kind == "shared":
        return "m"
    lost = (m * m - 1) // 4  # at both borders
    return f"{m}n − {lost}" if lost else f"{m}n"


def _looks(name: str) -> tuple[str, str]:
    """(colour, dashes) of a weight; those that are not shared have none of their own."""
    if not name.startswith("θ"):
        return "frame", ""
    tap = "₀₁₂₃₄₅₆".index(name[1])
    return f"w{tap}", DASHES[tap]


def _wires(canvas: Canvas, matrix: list[list[str]], x: float, top: float) -> None:
    def y(k: int) -> float:
        return top + (k + 0.5) * CELL

    for i, row in enumerate(matrix):
        for j, name in enumerate(row):
            if name:
                colour, dash = _looks(name)
                ends = (x + RADIUS, y(j)), (x + REACH - RADIUS, y(i))
                width = 1.0 if colour == "frame" else 2.2
                canvas.line(*ends, f"{colour}-s", width=width, dash=dash, note=name)
    for k in range(len(matrix)):
        canvas.circle(x, y(k), RADIUS, "value-f frame-s box", note=f"input {k + 1}")
        canvas.circle(x + REACH, y(k), RADIUS, "value-f frame-s box", note=f"output {k + 1}")


def _matrix(canvas: Canvas, matrix: list[list[str]], x: float, top: float) -> None:
    for i, row in enumerate(matrix):
        for j, name in enumerate(row):
            left, above = x + j * CELL, top + i * CELL
            look = "weight" if name else "paper"
            canvas.rect(left, above, CELL, CELL, f"{look}-f frame-s thin")
            colour: Any = _looks(name)[0] if name else "faint"
            canvas.text(left + CELL / 2, above + CELL / 2 + 4, name or "0", size=11,
                        look="ink" if colour == "frame" else colour)  # fmt: skip
