"""Arrays as text: small ones as numbers, large ones as their type and size."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.dtypes import dtype_of
from chainrule.graph import type_text
from chainrule.inspect.formulas import number_text

__all__ = [
    "LARGEST",
    "array_data",
    "array_lines",
    "array_text",
    "is_small",
    "largest_entries",
    "rms",
    "type_and_size",
]

LARGEST = 6  # rows and columns that are written out


def is_small(array: np.ndarray) -> bool:
    """Whether an array is written out: up to 6×6."""
    return array.ndim <= 2 and all(0 < size <= LARGEST for size in array.shape)


def type_and_size(array: np.ndarray) -> str:
    """``f32[64,10], rms 0.3162, largest −2.1 at 3,7``: what stands for a large array."""
    kind = type_text(array.shape, dtype_of(array.dtype))
    if array.dtype.kind != "f" or not array.size:
        return kind
    ((index, value),) = largest_entries(array, 1)
    at = ",".join(map(str, index))
    return f"{kind}, rms {number_text(rms(array), 4)}, largest {number_text(value, 4)} at {at}"


def rms(array: np.ndarray) -> float:
    """The root of the mean square."""
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64)))) if array.size else 0.0


def largest_entries(array: np.ndarray, count: int = 3) -> list[tuple[tuple[int, ...], float]]:
    """(position, value) of the entries that are farthest from 0, in falling order.

    >>> largest_entries(np.array([[1.0, -5.0], [3.0, 0.0]]), 2)
    [((0, 1), -5.0), ((1, 0), 3.0)]
    """
    size = np.where(np.isnan(array), np.inf, np.abs(array)).reshape(-1)
    places = np.argsort(-size, kind="stable")[:count]
    return [
        (
            tuple(int(i) for i in np.unravel_index(place, array.shape)),
            array.reshape(-1)[place].item(),
        )
        for place in places
    ]


def array_data(array: np.ndarray) -> Any:
    """Plain data: numbers, or what stands for an array that is too large to be written out."""
    if is_small(array):
        return array.tolist()
    data: dict[str, Any] = {"shape": list(array.shape)}
    if array.dtype.kind == "f":
        entries = [{"index": list(i), "value": x} for i, x in largest_entries(array)]
        data |= {"rms": rms(array), "largest": entries}
    return data


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
