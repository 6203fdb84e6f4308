"""Filters: convolution and correlation by name, by copies, by columns and by a matrix.

Everything is made of ``conv1d`` and ``conv2d``, so that gradients flow through all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from chainrule.creation import cat, stack, zeros
from chainrule.errors import NameNotFoundError, ShapeError, UsageError, did_you_mean, message
from chainrule.graph import type_text
from chainrule.nn import functional as F
from chainrule.tensor import Tensor, tensor

__all__ = [
    "KERNELS",
    "convolve",
    "copies",
    "correlate",
    "filter_picture",
    "im2col",
    "kernel",
    "matrix",
]

PADDINGS = ("valid", "same", "full")

_ROWS: dict[str, tuple[float, Sequence[Sequence[float]]]] = {
    # name: (what the numbers are divided by, the rows of the kernel)
    "identity": (1, [[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
    "shift-right": (1, [[0, 0, 0], [0, 0, 1], [0, 0, 0]]),
    "shift-left": (1, [[0, 0, 0], [1, 0, 0], [0, 0, 0]]),
    "shift-down": (1, [[0, 0, 0], [0, 0, 0], [0, 1, 0]]),
    "shift-up": (1, [[0, 1, 0], [0, 0, 0], [0, 0, 0]]),
    "box": (9, [[1, 1, 1], [1, 1, 1], [1, 1, 1]]),
    "blur": (8, [[0, 1, 0], [1, 4, 1], [0, 1, 0]]),
    "gaussian-3": (16, [[1, 2, 1], [2, 4, 2], [1, 2, 1]]),
    "gaussian-5": (256, np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]).tolist()),
    "motion": (5, np.eye(5).tolist()),
    "sharpen": (4, [[0, -1, 0], [-1, 8, -1], [0, -1, 0]]),
    "sharpen-strong": (1, [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    "sobel-x": (1, [[1, 0, -1], [2, 0, -2], [1, 0, -1]]),
    "sobel-y": (1, [[1, 2, 1], [0, 0, 0], [-1, -2, -1]]),
    "prewitt-x": (1, [[1, 0, -1], [1, 0, -1], [1, 0, -1]]),
    "prewitt-y": (1, [[1, 1, 1], [0, 0, 0], [-1, -1, -1]]),
    "laplacian-4": (1, [[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    "laplacian-8": (1, [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
    "edge-diagonal": (1, [[1, 0, -1], [0, 0, 0], [-1, 0, 1]]),
    "emboss": (1, [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]),
}
KERNELS = tuple(_ROWS)


def kernel(name: str) -> Tensor:
    """A kernel by name, f64[F,F], for a true convolution: "shift-right" moves to the right.

    Those that smooth or sharpen sum to 1, those that find edges to 0.  ``KERNELS`` lists them.

    >>> kernel("blur").tolist()
    [[0.0, 0.125, 0.0], [0.125, 0.5, 0.125], [0.0, 0.125, 0.0]]
    """
    if name not in _ROWS:
        needs, remedy = "one of " + ", ".join(KERNELS), did_you_mean(name, KERNELS)
        raise NameNotFoundError(message("filters", f"kernel {name!r}", needs, remedy=remedy))
    divisor, rows = _ROWS[name]
    return tensor(np.array(rows, np.float64) / divisor)


def convolve(x: Any, w: Any, padding: str = "full") -> Tensor:
    """y[p] = Σ x[p − f] w[f], the convolution of mathematics, in one or two dimensions.

    x: f[L], w: f[F], or x: f[H,W], w: f[F,G].  ``padding="full"`` goes on as long as both touch,
    "same" keeps the size of x, "valid" pads nothing.  Raises ShapeError for other axes.

    >>> convolve([2.0, -1.0, 1.0], [1.0, 1.0, 2.0]).tolist()
    [2.0, 1.0, 4.0, -1.0, 2.0]
    """
    return _filtered(x, w, padding, "convolution")


def correlate(x: Any, w: Any, padding: str = "valid") -> Tensor:
    """y[p] = Σ x[p + f] w[f], what toolkits call a convolution: the kernel is not flipped.

    >>> correlate([1.0, 1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0]).tolist()
    [2.0, 1.0, 1.0]
    """
    return _filtered(x, w, padding, "correlation")


def _filtered(x: Any, w: Any, padding: str, mode: str) -> Tensor:
    x, w = _pair(x, w)
    conv = F.conv1d if x.ndim == 1 else F.conv2d
    return conv(x[None, None], w[None, None], padding=padding, mode=mode)[0, 0]


def _pair(x: Any, w: Any) -> tuple[Tensor, Tensor]:
    """Both as tensors of one floating type, which have one axis each or two."""
    x, w = (value if isinstance(value, Tensor) else tensor(np.asarray(value)) for value in (x, w))
    x = x if x.dtype.is_floating_point else x.double()
    w = w.to(x.dtype)
    if x.ndim != w.ndim or x.ndim not in (1, 2):
        got = f"{type_text(x.shape, x.dtype)} with {type_text(w.shape, w.dtype)}"
        raise ShapeError(message("filters", got, "one axis each, or two"))
    return x, w


def copies(x: Any, w: Any) -> Tensor:
    """Translate and scale: for each number of x a copy of w, moved there and multiplied by it.

    Their sum is the full convolution.  x: f[L], w: f[F] -> f[L,L+F−1]; x: f[H,W], w: f[F,G] ->
    f[H·W,H+F−1,W+G−1].

    >>> copies([2.0, -1.0, 1.0], [1.0, 1.0, 2.0]).tolist()
    [[2.0, 2.0, 4.0, 0.0, 0.0], [0.0, -1.0, -1.0, -2.0, 0.0], [0.0, 0.0, 1.0, 1.0, 2.0]]
    """
    x, w = _pair(x, w)
    moved = []
    for place in np.ndindex(*x.shape):
        around = [(at, size - 1 - at) for at, size in zip(place, x.shape, strict=True)]
        widths = [width for pair in reversed(around) for width in pair]
        moved.append(F.pad(x[place] * w, widths))
    return stack(moved)


def im2col(x: Any, size: tuple[int, int]) -> Tensor:
    """Each window of a picture as a column: x: f[H,W], size (F, G) -> f[F·G,P·Q].

    A flattened kernel times it is the valid correlation: one matrix product.

    >>> im2col([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], (2, 2)).tolist()
    [[1.0, 2.0], [2.0, 3.0], [4.0, 5.0], [5.0, 6.0]]
    """
    x, _ = _pair(x, np.zeros(size))
    return F.unfold(x[None, None], size)[0]


def matrix(
    w: Any, sizes: tuple[int, ...], padding: str = "full", mode: str = "convolution"
) -> Tensor:
    """The Toeplitz matrix of a filter: T x.flatten() is the filtered x, flattened.

    w: f[F] with sizes (L,), or f[F,G] with sizes (H, W); T: f[P,L] or f[P·Q,H·W].  Each number of
    w stands along a diagonal: shared weights are a band in the matrix of a linear layer.

    >>> matrix([2.0, 3.0, 5.0], (4,), "same", mode="correlation").tolist()
    [[3.0, 5.0, 0.0, 0.0], [2.0, 3.0, 5.0, 0.0], [0.0, 2.0, 3.0, 5.0], [0.0, 0.0, 2.0, 3.0]]
    """
    x, w = _pair(np.zeros(sizes), w)
    flip = mode == "convolution"
    if padding not in PADDINGS or mode not in ("convolution", "correlation"):
        got = f"padding={padding!r}, mode={mode!r}"
        needs = "'full', 'same' or 'valid'; 'convolution' or 'correlation'"
        raise UsageError(message("filters.matrix", got, needs))
    taps = np.array(list(np.ndindex(*w.shape)))  # [F·G, axes]
    before, counts = [], []
    for size, length in zip(x.shape, w.shape, strict=True):
        total = length - 1
        half = total - total // 2 if flip else total // 2  # the odd one, as in conv2d
        before.append({"full": total, "same": half, "valid": 0}[padding])
        counts.append(size + {"full": total, "same": 0, "valid": -total}[padding])
    outputs = np.array(list(np.ndindex(*counts)))  # [P·Q, axes]
    read = outputs[:, None] + taps - before  # where in x each tap of each window is
    inside = ((read >= 0) & (read < x.shape)).all(axis=-1)
    rows, tap = np.nonzero(inside)
    columns = np.ravel_multi_index(tuple(read[rows, tap].T), tuple(x.shape))
    table = np.full((len(outputs), prod(x.shape)), len(taps))  # elsewhere the zero after w
    table[rows, columns] = len(taps) - 1 - tap if flip else tap
    numbers = cat([w.flatten(), zeros(1, dtype=w.dtype)])
    return numbers.index_select(0, tensor(table.reshape(-1))).reshape(*table.shape)


def filter_picture(picture: Any, w: Any) -> Tensor:
    """A picture convolved with a kernel, by name or f[F,G]: f[H,W] -> f[H,W], f[C,H,W] -> f[C,H,W].

    Beyond the border the picture's last row or column goes on, so that no dark frame appears.

    >>> filter_picture([[0.0, 1.0, 2.0]], "shift-right").tolist()
    [[0.0, 0.0, 1.0]]
    """
    x = picture if isinstance(picture, Tensor) else tensor(np.asarray(picture))
    x = x if x.dtype.is_floating_point else x.double()
    w = kernel(w) if isinstance(w, str) else w
    _, w = _pair(np.zeros((1, 1)), w)
    if x.ndim not in (2, 3):
        got = type_text(x.shape, x.dtype)
        raise ShapeError(message("filter_picture", got, "f[H,W] or f[C,H,W]"))
    planes = x.reshape(-1, 1, *x.shape[-2:])
    above, left = (size - 1 - size // 2 for size in w.shape)
    below, right = (size // 2 for size in w.shape)
    framed = F.pad(planes, (left, right, above, below), mode="replicate")
    return F.conv2d(framed, w.to(x.dtype)[None, None], mode="convolution").reshape(x.shape)
