"""Convolution and filters as a system: the lectures' examples, the laws, kernels on a picture."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data import digits
from chainrule.data.picture import read_grey
from chainrule.errors import DataError, message
from chainrule.inspect.filters import (
    KERNELS,
    convolve,
    copies,
    correlate,
    filter_picture,
    im2col,
    kernel,
    matrix,
)
from chainrule.systems.system import Figure, Report, System
from chainrule.tensor import tensor

__all__ = ["FILTERS", "picture_of"]

ENDS = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"}


def picture_of(data_dir: str | None) -> tuple[np.ndarray, str]:
    """(brightness f32[H,W] from 0 to 1, its name): a picture file, or the first one of a folder.

    Also of a folder ``photos`` in it.  None: CHAINRULE_DATA if that has one, else drawn numbers.
    """
    place = data_dir or os.environ.get("CHAINRULE_DATA")
    if place and Path(place).is_file():
        return read_grey(place), Path(place).name
    if place:
        for folder in (Path(place), Path(place) / "photos"):
            for path in sorted(folder.glob("*")):
                if path.suffix.lower() in ENDS:
                    return read_grey(path), path.name
        if data_dir:
            why = "With no --data-dir a picture is drawn"
            needs = "a picture, or a folder of them"
            raise DataError(message("filters", f"{data_dir}, without one", needs, why=why))
    return _drawn(), "a drawn picture"


def _drawn(side: int = 96) -> np.ndarray:
    """A disc, stripes, a slope of light and a digit: edges in all directions, f32[96,96].

    The stripes become narrower, so that no part of the picture is there twice.
    """
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    picture = 0.2 + 0.5 * x
    picture[(y > 0.55) & (x < 0.5)] = 0.15
    picture[(y > 0.6) & (y < 0.95) & (x < 0.45) & (np.floor(60 * x * x) % 2 == 0)] = 0.9
    picture[(y - 0.28) ** 2 + (x - 0.27) ** 2 < 0.04] = 0.95
    digit = digits("train")[0][8] / np.float32(16)
    picture[50:90, 52:92] = np.maximum(picture[50:90, 52:92], np.kron(digit, np.ones((5, 5))))
    return picture


# ---------------------------------------------------------------- the lectures' examples

A06 = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
A07 = [
    [int(digit) for digit in row]
    for row in ("0000000", "0111110", "0100100", "0101000", "0110000", "0100000", "0000000")
]
DELTA = [[int((i, j) == (3, 3)) for j in range(7)] for i in range(7)]
NINE = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
CROSS, CORNER = [[1, 0, 1], [0, 1, 0], [1, 0, 1]], [[0, 0, 0], [0, 1, 1], [0, 1, 0]]
SIGNAL = np.array([1.0, -2, 3, 0, 4])
STEP = [[0, 0, 0, 1, 1, 1]] * 5


def _valid(x: Any, name: str) -> Any:
    return convolve(x, kernel(name), "valid")


def _framed(rows: list[list[int]]) -> list[list[int]]:
    wide = len(rows[0]) + 2
    return [[0] * wide, *([0, *row, 0] for row in rows), [0] * wide]


def _examples() -> list[tuple[str, Any, Any]]:
    """(what, what we compute, what the lectures and their corrections say)."""
    x1, w1 = [2, -1, 1], [1, 1, 2]
    x2, w2 = [[1, 3, 1], [0, -1, 1], [2, 2, -1]], [[1, 2], [0, -1]]
    y2 = [[1, 5, 7, 2], [0, -2, -4, 1], [2, 6, 4, -3], [0, -2, -2, 1]]
    flipped = np.flip(np.array(w2)).copy()
    mean = np.zeros((10, 10))
    mean[2:7, 3:8], mean[5, 4], mean[8, 2] = 90, 0, 90
    means = correlate(mean, kernel("box"))
    band = matrix([2, 3, 5], (5,), "same", "correlation")
    turned = [row[::-1] for row in NINE[::-1]]
    return [
        ("1-D full", convolve(x1, w1), [2, 1, 4, -1, 2]),
        ("1-D by copies", copies(x1, w1).sum(0), [2, 1, 4, -1, 2]),
        ("1-D by flipping", correlate(x1, w1[::-1], "full"), [2, 1, 4, -1, 2]),
        ("2-D full", convolve(x2, w2), y2),
        ("2-D by copies", copies(x2, w2).sum(0), y2),
        ("2-D by flipping", correlate(x2, flipped, "full"), y2),
        ("blur of a step", 8 * _valid(STEP, "blur")[0], [0, 1, 7, 8]),
        ("sharpening of a step", 4 * _valid(STEP, "sharpen")[0], [0, -1, 5, 4]),
        ("Sobel, convolved", _valid(STEP, "sobel-x")[0], [0, 4, 4, 0]),
        ("Sobel, correlated", correlate(STEP, kernel("sobel-x"))[0], [0, -4, -4, 0]),
        ("edge kernel", _valid(A06, "edge-diagonal"), [[1, 2, 1], [0, 1, 0], [0, -2, -1]]),
        ("Laplacian of 4", _valid(A06, "laplacian-4"), [[-2, 0, -2], [2, -1, 0], [2, -1, -2]]),
        ("Laplacian of 8", _valid(A06, "laplacian-8"), [[3, 2, 3], [-4, 2, 2], [-4, 3, 3]]),
        ("strong sharpening", _valid(A06, "sharpen-strong"), [[3, 1, 3], [-2, 2, 1], [-2, 2, 3]]),
        ("box", 9 * _valid(A06, "box"), [[6, 7, 6], [4, 7, 7], [4, 6, 6]]),
        ("Gaussian", 16 * _valid(A06, "gaussian-3"), [[11, 14, 11], [6, 13, 14], [6, 12, 11]]),
        ("1-D sliding", correlate([1, 1, 1, 0, 0], [1, 0, 1]), [2, 1, 1]),
        ("2-D sliding", correlate(A06, CROSS), [[4, 3, 4], [2, 4, 3], [2, 3, 4]]),
        ("7×7, correlated", correlate(A07, CORNER),
         [[3, 2, 2, 3, 1], [2, 0, 2, 1, 0], [2, 2, 1, 0, 0], [3, 1, 0, 0, 0], [1, 0, 0, 0, 0]]),
        ("7×7, convolved", convolve(A07, CORNER, "valid"),
         [[1, 2, 2, 2, 2], [2, 2, 1, 2, 2], [2, 1, 1, 2, 0], [2, 2, 2, 0, 0], [2, 2, 0, 0, 0]]),
        ("mean filter, first row", means[0], [0, 10, 20, 30, 30, 30, 20, 10]),
        ("mean filter, last row", means[7], [10, 10, 10, 0, 0, 0, 0, 0]),
        ("identity", convolve(A06, kernel("identity"), "same"), A06),
        ("an impulse, convolved", convolve(DELTA, NINE, "valid"), _framed(NINE)),
        ("an impulse, correlated", correlate(DELTA, NINE), _framed(turned)),
        ("shared weights as a matrix", band @ tensor(SIGNAL), [-7, 11, 5, 26, 12]),
    ]  # fmt: skip


def _gradients() -> list[tuple[str, Any, Any]]:
    """The error signals of a convolution's kernel and picture, and of shared weights."""
    x, w = (tensor(np.array(a, float), requires_grad=True) for a in (A06, CROSS))
    correlate(x, w).backward(tensor(np.diag([1.0, 2.0, -1.0])))
    theta = tensor(np.zeros(3), requires_grad=True)
    correlate(SIGNAL, theta, "same").backward(tensor(np.array([1.0, 2, 0, -1, 0.5])))
    x_bar = [[1, 0, 1, 0, 0], [0, 3, 0, 2, 0], [1, 0, 2, 0, -1], [0, 2, 0, 1, 0], [0, 0, -1, 0, -1]]
    return [
        ("error signal of the kernel", w.grad, [[2, 2, 2], [-1, 2, 3], [-1, 2, 3]]),
        ("error signal of the picture", x.grad, x_bar),
        ("error signal of shared weights", theta.grad, [-1, -1, 0]),
    ]


def _laws(picture: np.ndarray) -> list[tuple[str, Any, Any]]:
    """What holds for any picture and kernel: both sides, to be compared."""
    rng = np.random.default_rng(0)
    x, z, w = picture.astype(np.float64)[:24, :24], rng.random((24, 24)), rng.normal(size=(3, 3))
    impulse = np.zeros((3, 3))
    impulse[1, 1] = 1
    return [
        ("x∗w = w∗x", convolve(x, w), convolve(w, x)),
        (
            "(2x + 3z)∗w = 2(x∗w) + 3(z∗w)",
            convolve(2 * x + 3 * z[: len(x), : x.shape[1]], w),
            2 * convolve(x, w) + 3 * convolve(z[: len(x), : x.shape[1]], w),
        ),
        ("impulse∗w = w", convolve(impulse, w, "same"), w),
        ("im2col times kernel", tensor(w.ravel()) @ im2col(x, (3, 3)), correlate(x, w).flatten()),
        (
            "Toeplitz matrix times picture",
            matrix(w, x.shape) @ tensor(x.ravel()),
            convolve(x, w).flatten(),
        ),
    ]


def _compute(data_dir: str | None = None) -> Report:
    picture, source = picture_of(data_dir)
    figures = [
        Figure(f"{what}, largest error", _apart(ours, golden), at_most=1e-12)
        for what, ours, golden in [*_examples(), *_gradients()]
    ]
    figures += [
        Figure(f"{law}, largest difference", _apart(*sides), at_most=1e-10)
        for law, *sides in _laws(picture)
    ]
    filtered = {name: filter_picture(picture, name).numpy() for name in KERNELS}
    worst = max(_apart(y, _slowly(picture, kernel(name).numpy())) for name, y in filtered.items())
    figures += [
        Figure("named kernels on the picture", len(filtered), at_least=12),
        Figure("their largest difference from sums of shifted pictures", worst, at_most=1e-5),
    ]
    height, width = picture.shape
    lines = [f"{len(KERNELS)} kernels on {source}, {height}×{width}:"]
    lines += [f"  {' '.join(KERNELS[k : k + 7])}" for k in range(0, len(KERNELS), 7)]
    pictures = {"picture": picture} | {name: _visible(y, name) for name, y in filtered.items()}
    next = ("train template-matching", "train locally-connected")
    return Report(lines, tuple(figures), {"picture": source}, next, pictures)


def _apart(a: Any, b: Any) -> float:
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())


def _slowly(picture: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The filtered picture as a sum of shifted ones: convolution as its definition says."""
    reach = len(w) // 2
    framed = np.pad(picture.astype(np.float64), reach, mode="edge")
    height, width = picture.shape
    y = np.zeros(picture.shape)
    for (i, j), weight in np.ndenumerate(w):
        y += weight * framed[2 * reach - i :, 2 * reach - j :][:height, :width]
    return y


def _visible(y: np.ndarray, name: str) -> np.ndarray:
    """Filtered numbers as a picture: where a kernel sums to 0, grey is nothing."""
    flat = abs(float(kernel(name).sum().item())) < 1e-9
    return 0.5 + 0.5 * y / max(np.abs(y).max(), 1e-9) if flat else y


FILTERS = System("convolution, correlation and twenty kernels on a picture", compute=_compute)
