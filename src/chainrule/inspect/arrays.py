"""Arrays as text: small ones as numbers, large ones as their type and size."""

from __future__ import annotations

import numpy as np

from chainrule.dtypes import dtype_of
from chainrule.graph import type_text
from chainrule.inspect.formulas import number_text

__all__ = ["array_lines", "array_text", "is_small", "type_and_size"]

LARGEST = 6  # rows and columns that are written out


def is_small(array: np.ndarray) -> bool:
    """Whether an array is written out: up to 6×6."""
    return array.ndim <= 2 and all(0 < size <= LARGEST for size in array.shape)


def type_and_size(array: np.ndarray) -> str:
    """``f32[64,10], rms 0.3162``: what stands for an array that is too large to be written out."""
    kind = type_text(array.shape, dtype_of(array.dtype))
    if array.dtype.kind != "f" or not array.size:
        return kind
    return f"{kind}, rms {number_text(float(np.sqrt(np.mean(np.square(array)))), 4)}"


def array_text(array: np.ndarray, digits: int) -> str:
    """One line: a number, or rows in brackets.

    >>> array_text(np.array([[1.0, -0.5], [0.25, 2.0]]), 4)
    '[[1, −0.5], [0.25, 2]]'
    """
    if not is_small(array):
        return type_and_size(array)
    if array.ndim == 0:
        return number_text(array.item(), digits)
    return f"[{', '.join(array_text(row, digits) for row in array)}]"


def array_lines(array: np.ndarray, digits: int) -> list[str]:
    r"""Several lines for a matrix, one for everything else.

    >>> print("\n".join(array_lines(np.array([[1.0, -0.5], [0.25, 2.0]]), 4)))
    ⎡   1  −0.5⎤
    ⎣0.25     2⎦
    """
    if array.ndim != 2 or not is_small(array) or len(array) == 1:
        return [array_text(array, digits)]
    cells = [[number_text(x, digits) for x in row] for row in array.tolist()]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rows = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    ]
    left = ["⎡", *"⎢" * (len(rows) - 2), "⎣"]
    right = ["⎤", *"⎥" * (len(rows) - 2), "⎦"]
    return [a + row + b for a, row, b in zip(left, rows, right, strict=True)]
