"""Retrieval: which stored pictures are most like this one?"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import ShapeError, UsageError, message

__all__ = ["Nearest", "nearest"]

BLOCK = 256  # questions at a time: the distances to 60,000 pictures take 120 MB


class Nearest(NamedTuple):
    """indices: i64[N,k], the most similar first; distances: f64[N,k], Euclidean."""

    indices: np.ndarray
    distances: np.ndarray


def nearest(questions: Any, stored: Any, k: int = 1) -> Nearest:
    """The k stored vectors with the least Euclidean distance: f[N,D], f[M,D] -> i64[N,k], f64[N,k]

    Pictures f[N,C,H,W] are compared pixel by pixel; give a network's features to compare by these.
    Of equally distant ones the first comes first.  Raises ShapeError where the sizes differ,
    UsageError unless 1 ≤ k ≤ M.

    >>> found = nearest([[0.9, 0.0]], [[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]], k=2)
    >>> found.indices.tolist(), found.distances.round(2).tolist()
    ([[1, 0]], [[0.1, 0.9]])
    """
    x, y = (_rows(array) for array in (questions, stored))
    if x.shape[1] != y.shape[1]:
        got = f"{x.shape[1]} numbers a question, {y.shape[1]} stored"
        raise ShapeError(message("nearest", got, "equally many"))
    if not 1 <= k <= len(y):
        raise UsageError(message("nearest", f"k={k}", f"from 1 to the {len(y)} that are stored"))
    squares = (y * y).sum(axis=1)
    parts = [_block(x[i : i + BLOCK], y, squares, k) for i in range(0, len(x), BLOCK)]
    indices = np.concatenate(parts) if parts else np.zeros((0, k), np.int64)
    # Once more for the few that were found: |x|² − 2xy + |y|² loses the digits of small distances.
    away = np.stack([np.linalg.norm(x - y[indices[:, j]], axis=1) for j in range(k)], axis=1)
    return Nearest(indices, away)


def _rows(array: Any) -> np.ndarray:
    values = np.asarray(array, np.float64)
    if values.ndim < 2:
        raise ShapeError(message("nearest", f"f{list(values.shape)}", "f[N,D] or f[N,C,H,W]"))
    return values.reshape(len(values), prod(values.shape[1:]))


def _block(x: np.ndarray, y: np.ndarray, squares: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(squares - 2 * x @ y.T, axis=1, kind="stable")[:, :k]
