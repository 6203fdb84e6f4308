"""Small data sets made of random numbers: points in the plane, and curves to fit.

The numbers come from the default stream: ``manual_seed`` decides them.  Each function returns a
TensorDataset; ``X, y = two_moons(200).arrays`` are its arrays.  Classes are as equal in size as
can be, and the samples are in random order.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi

import numpy as np

from chainrule.data.dataset import TensorDataset
from chainrule.errors import UsageError, message
from chainrule.random import stream

__all__ = [
    "TOYS",
    "blobs",
    "checkerboard",
    "circles",
    "friedman",
    "line",
    "sine",
    "spirals",
    "two_moons",
    "xor",
]


def two_moons(n: int = 200, noise: float = 0.1) -> TensorDataset:
    """Two half circles that interlock: f32[n,2], i64[n] of 2 classes.

    >>> X, y = two_moons(100, noise=0).arrays
    >>> X.shape, np.bincount(y).tolist()
    ((100, 2), [50, 50])
    """
    labels = _labels(n, 2)
    angle = stream().uniform(0, pi, n)
    x = np.where(labels == 0, np.cos(angle), 1 - np.cos(angle))
    y = np.where(labels == 0, np.sin(angle), 0.5 - np.sin(angle))
    return _points(np.stack([x, y], axis=1), labels, noise)


def circles(n: int = 200, noise: float = 0.1, factor: float = 0.5) -> TensorDataset:
    """A circle inside another: f32[n,2], i64[n] of 2 classes; their radii are 1 and ``factor``.

    >>> X, y = circles(50, noise=0).arrays
    >>> np.hypot(*X.T)[y == 1].round(5).max().item()
    0.5
    """
    labels = _labels(n, 2)
    angle = stream().uniform(0, 2 * pi, n)
    radius = np.where(labels == 0, 1.0, factor)
    return _points(radius[:, None] * _on_circle(angle), labels, noise)


def spirals(
    n: int = 300, noise: float = 0.1, classes: int = 3, turns: float = 0.75
) -> TensorDataset:
    """Arms of a spiral, one for each class: f32[n,2], i64[n].

    >>> X, y = spirals(30, classes=3).arrays
    >>> X.shape, int(y.max())
    ((30, 2), 2)
    """
    labels = _labels(n, classes)
    along = stream().uniform(0, 1, n)
    angle = 2 * pi * (along * turns + labels / classes)
    return _points((0.05 + 0.95 * along)[:, None] * _on_circle(angle), labels, noise * along)


def blobs(n: int = 200, noise: float = 0.3, classes: int = 3) -> TensorDataset:
    """Normal clouds around points of a circle: f32[n,2], i64[n].

    noise: their standard deviation; the circle's radius is 1.

    >>> X, y = blobs(300, noise=0, classes=2).arrays
    >>> X[y == 1][0].round(1).tolist()
    [-1.0, 0.0]
    """
    labels = _labels(n, classes)
    return _points(_on_circle(2 * pi * labels / classes), labels, noise)


def checkerboard(n: int = 400, noise: float = 0.0, squares: int = 4) -> TensorDataset:
    """Fields of a checkerboard: f32[n,2], from -1 to 1, i64[n] of 2 classes.

    squares: how many fields a side has.

    >>> X, y = checkerboard(10, squares=2).arrays
    >>> ((X[:, 0] * X[:, 1] < 0) == y).all().item()
    True
    """
    points = stream().uniform(0, squares, (n, 2))
    labels = np.floor(points).astype(np.int64).sum(axis=1) % 2
    return _points(2 * points / squares - 1, labels, noise)


def xor(n: int = 200, noise: float = 0.0) -> TensorDataset:
    """Class 1 where exactly one input is positive: f32[n,2], from -1 to 1, i64[n].

    >>> xor(8).arrays[0].shape
    (8, 2)
    """
    return checkerboard(n, noise, squares=2)


def line(
    n: int = 50, noise: float = 0.1, slope: float = 2.0, intercept: float = 1.0
) -> TensorDataset:
    """y = slope x + intercept + noise: f32[n,1], -1 ≤ x < 1, f32[n,1].

    >>> X, y = line(3, noise=0).arrays
    >>> bool(np.allclose(y, 2 * X + 1))
    True
    """
    x = stream().uniform(-1, 1, (n, 1))
    return _curve(x, slope * x + intercept, noise)


def sine(n: int = 100, noise: float = 0.1) -> TensorDataset:
    """y = sin(πx) + noise: f32[n,1], -1 ≤ x < 1, f32[n,1].

    >>> sine(5).arrays[1].shape
    (5, 1)
    """
    x = stream().uniform(-1, 1, (n, 1))
    return _curve(x, np.sin(pi * x), noise)


def friedman(n: int = 500, noise: float = 1.0) -> TensorDataset:
    """Friedman's function of 5 inputs among 10: f32[n,10], 0 ≤ x < 1, f32[n,1].

    y = 10 sin(π x₁x₂) + 20 (x₃ - ½)² + 10 x₄ + 5 x₅ + noise (Friedman, 1991).

    >>> friedman(5).arrays[0].shape
    (5, 10)
    """
    x = stream().uniform(0, 1, (n, 10))
    y = 10 * np.sin(pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2
    return _curve(x, (y + 10 * x[:, 3] + 5 * x[:, 4])[:, None], noise)


def _labels(n: int, classes: int) -> np.ndarray:
    if n < 1 or not 1 <= classes <= n:
        got = f"n = {n}, {classes} classes"
        raise UsageError(message("toys", got, "at least one sample of each class"))
    return stream().permutation(n) % classes


def _on_circle(angle: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _points(points: np.ndarray, labels: np.ndarray, noise: float | np.ndarray) -> TensorDataset:
    """Normal noise with this standard deviation; for an array, one for each point."""
    moved = points + np.reshape(noise, (-1, 1)) * stream().normal(points.shape)
    return TensorDataset(moved.astype(np.float32), labels)


def _curve(x: np.ndarray, y: np.ndarray, noise: float) -> TensorDataset:
    noisy = y + noise * stream().normal(y.shape)
    return TensorDataset(x.astype(np.float32), noisy.astype(np.float32))


TOYS: dict[str, Callable[..., TensorDataset]] = {
    "two-moons": two_moons,
    "circles": circles,
    "spirals": spirals,
    "blobs": blobs,
    "checkerboard": checkerboard,
    "xor": xor,
    "line": line,
    "sine": sine,
    "friedman": friedman,
}
