"""A convolution or a pooling with everything in it: windows, products, sums, and back again.

    windows   which number of the input each tap of each window reads: i64[P·Q,T], T taps
    products  one table, read in two ways: a row is what one output sums up, a column is one copy
              of the input, moved and scaled by one weight
    signals   the same table backward: what each window sends to each number, x̄ and w̄

All values are computed by the ops that a layer uses; the windows alone are counted here.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from chainrule.creation import cat, ones, zeros
from chainrule.errors import ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.nn import functional as F
from chainrule.ops.windows import Windows
from chainrule.tensor import Tensor, tensor

__all__ = ["Pooled", "Sliding", "fits", "pooled", "slide", "weight_counts", "windows_of"]

Sizes = tuple[int, ...]
Padding = int | str


def windows_of(
    sizes: Sizes,
    kernel: Sizes,
    stride: int = 1,
    padding: Padding = 0,
    dilation: int = 1,
    mode: str = "correlation",
) -> tuple[np.ndarray, Sizes, tuple[tuple[int, int], ...]]:
    """Where the windows of a convolution stand.

    Returns ``(places, counts, widths)``: places i64[P·Q,T] is the flattened place in the input of
    each tap of each window, −1 in the padding; counts the sizes of the output; widths the padding
    (before, after) of each axis.

    >>> windows_of((3,), (2,), padding="full")
    (array([[-1,  0],
           [ 0,  1],
           [ 1,  2],
           [ 2, -1]]), (4,), ((1, 1),))
    """
    widths = tuple(_widths(dilation * (taps - 1), padding, mode) for taps in kernel)
    rank = len(sizes)
    windows = Windows(kernel, (stride,) * rank, (0,) * rank, (dilation,) * rank)
    wide = tuple(size + sum(width) for size, width in zip(sizes, widths, strict=True))
    counts = windows.counts(wide)
    starts = np.array(list(np.ndindex(*counts)), np.int64).reshape(-1, 1, rank) * stride
    taps = np.array(list(np.ndindex(*kernel)), np.int64) * dilation
    read = starts + taps - np.array([before for before, _ in widths])  # [P·Q,T,axes]
    inside = ((read >= 0) & (read < sizes)).all(axis=-1)
    flat = np.zeros(read.shape[:2], np.int64)
    for axis, size in enumerate(sizes):
        flat = flat * size + read[..., axis]
    return np.where(inside, flat, -1), counts, widths


def _widths(total: int, padding: Padding, mode: str) -> tuple[int, int]:
    """The padding (before, after) of one axis, along which a window reaches over total + 1."""
    if isinstance(padding, int):
        return padding, padding
    if padding == "same":  # the odd one, as in conv2d
        half = total // 2 if mode == "correlation" else total - total // 2
        return half, total - half
    return (total, total) if padding == "full" else (0, 0)


@dataclass(frozen=True)
class Sliding:
    """A convolution and all that it is made of, for C channels, K kernels and T taps a channel.

    x: f[C,*S], w: f[K,C,*F], bias: f[K], y: f[K,*P] forward; seen: f[K,C,*F], the kernel as it
    slides: w, flipped for a convolution.  places, counts and widths are those of ``windows_of``.

    products f[K,P,C,T], channel_sums f[K,P,C] and sums f[K,P] (with the bias) lead to y.  y itself
    is the result of the op conv, whose sum has another order: they differ by round-off at most.
    used i64[*S]: how many windows read each number of x.

    y_bar, x_bar, w_bar, b_bar: the error signals, by back-propagation of y_bar.  to_x and to_w
    f[K,P,C,T]: what each window sends along each tap, ȳ w and ȳ x; x_sums and w_sums (in the order
    of seen) are their sums.
    """

    x: Tensor
    w: Tensor
    bias: Tensor
    seen: Tensor
    y: Tensor
    places: np.ndarray
    counts: Sizes
    widths: tuple[tuple[int, int], ...]
    used: np.ndarray
    products: Tensor
    channel_sums: Tensor
    sums: Tensor
    y_bar: Tensor
    x_bar: Tensor
    w_bar: Tensor
    b_bar: Tensor
    to_x: Tensor
    to_w: Tensor
    x_sums: Tensor
    w_sums: Tensor

    def partial_sums(self) -> Tensor:
        """The copies added up one after the other: f[P,C·T], of the first kernel without bias.

        Column t holds what the first t + 1 weights have made of the output.

        >>> slide([[1.0, 2.0]], [[[1.0, 10.0]]], padding="full").partial_sums().tolist()
        [[0.0, 10.0], [1.0, 21.0], [2.0, 2.0]]
        """
        return self.products[0].flatten(1).cumsum(1)

    def copies_by_input(self) -> Tensor:
        """For each number of the input the copy of the kernel that it scales: f[N,P].

        Of the first kernel and channel; a row's sum over all N is y.

        >>> slide([1.0, 2.0], [3.0, 5.0], padding="full").copies_by_input().tolist()
        [[5.0, 3.0, 0.0], [0.0, 10.0, 6.0]]
        """
        windows, count = len(self.places), prod(self.x.shape[1:])
        own = np.where(self.places < 0, count, self.places) * windows
        table = (own + np.arange(windows)[:, None]).reshape(-1)
        flat = zeros((count + 1) * windows, dtype=self.x.dtype)
        flat = flat.index_add(0, tensor(table), self.products[0, :, 0].flatten())
        return flat.reshape(count + 1, windows)[:count]

    def sent_by_tap(self) -> Tensor:
        """What reaches each number of the input along each tap: f[K,C,T,N], summed x_bar.

        Of kernel 0 and channel 0 it is a layer for each weight: ȳ, moved back and scaled by it.

        >>> slide([1.0, 2.0], [3.0, 5.0], padding="full").sent_by_tap()[0, 0].tolist()
        [[3.0, 3.0], [5.0, 5.0]]
        """
        taps, size = self.places.shape[1], prod(self.x.shape[1:])
        table = np.where(self.places < 0, size, self.places) + np.arange(taps) * (size + 1)
        sent = self.to_x.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)  # f[K·C,P·T]
        flat = zeros(sent.shape[0], taps * (size + 1), dtype=self.x.dtype)
        flat = flat.index_add(1, tensor(table.reshape(-1)), sent)
        kernels, channels = self.to_x.shape[0], self.to_x.shape[2]
        return flat.reshape(kernels, channels, taps, size + 1)[..., :size]

    def sent_by_output(self) -> Tensor:
        """For each number of ȳ the copy of the kernel that it sends back: f[P,N].

        Of the first kernel and channel; the sum of all rows is x_bar.

        >>> slide([1.0, 2.0], [3.0, 5.0], padding="full").sent_by_output().tolist()
        [[5.0, 0.0], [3.0, 5.0], [0.0, 3.0]]
        """
        return self.y_bar[0].flatten().unsqueeze(1) * self.matrix()

    def matrix(self) -> Tensor:
        """The matrix M of the first kernel's first channel: M x.flatten() is y.flatten(), f[P,N].

        Each weight stands wherever it is used: shared weights are a band in a linear layer.

        >>> slide([[1.0, 0.0, 0.0]], [[[2.0, 3.0]]]).matrix().tolist()
        [[2.0, 3.0, 0.0], [0.0, 2.0, 3.0]]
        """
        windows, taps = self.places.shape
        table = np.full((windows, prod(self.x.shape[1:])), taps)  # elsewhere the zero after w
        rows, tap = np.nonzero(self.places >= 0)
        table[rows, self.places[rows, tap]] = tap
        numbers = cat([self.seen[0, 0].flatten(), zeros(1, dtype=self.w.dtype)])
        return numbers.index_select(0, tensor(table.reshape(-1))).reshape(*table.shape)

    def columns(self) -> Tensor:
        """im2col: each window of the first channel as a column, f[T,P]; padding is zero."""
        return _read(self.x.detach(), self.places)[0].t()


def slide(
    x: Any,
    w: Any,
    bias: Any = None,
    *,
    stride: int = 1,
    padding: Padding = "valid",
    dilation: int = 1,
    mode: str = "correlation",
    upstream: Any = None,
) -> Sliding:
    """Slide K kernels over an input of C channels, forward and backward, and keep everything.

    x: f[C,L] or f[C,H,W], w: f[K,C,F] or f[K,C,F,G], or without C and K.  upstream: ȳ, f[K,*P],
    all ones if not told.  Raises ShapeError for other axes, UsageError for another mode or padding.

    >>> found = slide([2.0, -1.0, 1.0], [1.0, 1.0, 2.0], padding="full", mode="convolution")
    >>> found.y.tolist()
    [[2.0, 1.0, 4.0, -1.0, 2.0]]
    >>> found.products[0, 2, 0].tolist()  # of the third window: the kernel slides flipped
    [4.0, -1.0, 1.0]
    """
    x, w = (tensor(np.asarray(v, np.float64), requires_grad=True) for v in (x, w))
    if w.ndim in (1, 2) and w.ndim == x.ndim:
        x, w = (v.detach().requires_grad_() for v in (x[None], w[None, None]))
    rank = w.ndim - 2
    if rank not in (1, 2) or x.ndim != rank + 1:
        got = f"{type_text(x.shape, x.dtype)} with {type_text(w.shape, w.dtype)}"
        raise ShapeError(message("slide", got, "f[C,L] with f[K,C,F], or f[C,H,W] with f[K,C,F,G]"))
    bias = zeros(w.shape[0], dtype=w.dtype) if bias is None else tensor(np.asarray(bias, float))
    bias = bias.detach().requires_grad_()
    conv = F.conv1d if rank == 1 else F.conv2d
    y = conv(x[None], w, bias, stride, padding, dilation, mode=mode)[0]
    places, counts, widths = windows_of(x.shape[1:], w.shape[2:], stride, padding, dilation, mode)
    y_bar = ones(*y.shape, dtype=y.dtype) if upstream is None else _upstream(upstream, y)
    y.backward(y_bar)
    x_bar, w_bar, b_bar = (v.grad for v in (x, w, bias))
    assert x_bar is not None and w_bar is not None and b_bar is not None
    x, w, bias, y = (v.detach() for v in (x, w, bias, y))
    seen = w.flip(tuple(range(2, w.ndim))) if mode == "convolution" else w
    taps = seen.flatten(2).unsqueeze(1)  # f[K,1,C,T]
    columns = _read(x, places).permute(1, 0, 2)  # f[P,C,T]
    products = columns * taps
    channel_sums = products.sum(-1)
    signals = y_bar.flatten(1)[:, :, None, None]
    to_x, to_w = signals * taps, signals * columns
    return Sliding(
        x=x,
        w=w,
        bias=bias,
        seen=seen,
        y=y,
        places=places,
        counts=counts,
        widths=widths,
        used=_readers(places, x.shape[1:]),
        products=products,
        channel_sums=channel_sums,
        sums=channel_sums.sum(-1) + bias.unsqueeze(1),
        y_bar=y_bar,
        x_bar=x_bar,
        w_bar=w_bar,
        b_bar=b_bar,
        to_x=to_x,
        to_w=to_w,
        x_sums=_sent(to_x.sum(0).permute(1, 0, 2), places, x),
        w_sums=to_w.sum(1).reshape(*w.shape),
    )


def _upstream(upstream: Any, y: Tensor) -> Tensor:
    given = tensor(np.asarray(upstream, np.float64))
    if given.shape != y.shape:
        remedy = "An error signal has the shape of its value"
        got, needs = type_text(given.shape, given.dtype), type_text(y.shape, y.dtype)
        raise ShapeError(message("upstream", got, needs, remedy=remedy))
    return given


def _read(x: Tensor, places: np.ndarray) -> Tensor:
    """f[C,P,T]: what each tap of each window reads, zero in the padding."""
    flat = cat([x.flatten(1), zeros(x.shape[0], 1, dtype=x.dtype)], 1)
    outside = flat.shape[1] - 1
    table = np.where(places < 0, outside, places)
    return flat.index_select(1, tensor(table.reshape(-1))).reshape(x.shape[0], *table.shape)


def _sent(signals: Tensor, places: np.ndarray, x: Tensor) -> Tensor:
    """f[C,*S]: the sum of all that was sent to each place, f[C,P,T]; the padding keeps none."""
    size = prod(x.shape[1:])
    table = np.where(places < 0, size, places)
    flat = zeros(x.shape[0], size + 1, dtype=x.dtype)
    flat = flat.index_add(1, tensor(table.reshape(-1)), signals.flatten(1))
    return flat[:, :size].reshape(*x.shape)


def _readers(places: np.ndarray, sizes: Sizes) -> np.ndarray:
    counts = np.bincount(places[places >= 0], minlength=prod(sizes))
    return counts.reshape(sizes)


# ---------------------------------------------------------------- sizes


def fits(size: int, wanted: int, most: int = 11) -> list[tuple[int, int, int]]:
    """Which kernel F, stride S and padding P make ``wanted`` outputs of ``size`` inputs.

    Those that fit exactly, (N + 2 P − F) / S without a remainder, with an odd F up to N and
    ``most``, and P up to (F − 1) / 2; the smallest F first.

    >>> fits(7, 5)
    [(3, 1, 0), (5, 1, 1), (7, 1, 2)]
    """
    found = []
    for kernel in range(1, min(size, most) + 1, 2):
        for padding in range((kernel - 1) // 2 + 1):
            room = size + 2 * padding - kernel
            if wanted == 1 and room == 0:
                found.append((kernel, 1, padding))
            elif wanted > 1 and room % (wanted - 1) == 0 and room > 0:
                found.append((kernel, room // (wanted - 1), padding))
    return found


def weight_counts(inputs: int, outputs: int, connections: int, shared: int) -> dict[str, int]:
    """Weights of three layers between the same units, without biases: all with all, only those
    that a window reads, and these with the same weights in every window.

    >>> weight_counts(40_000, 40_000, 40_000 * 100, 100)
    {'full': 1600000000, 'local': 4000000, 'shared': 100}
    """
    return {"full": inputs * outputs, "local": connections, "shared": shared}


# ---------------------------------------------------------------- pooling


@dataclass(frozen=True)
class Pooled:
    """A pooling of a picture: x: f[H,W] -> y: f[P,Q].

    columns f[P·Q,T]: what each window reads.  winner i64[P·Q]: for a maximum the flattened place
    in x that the error signal goes to, the first of equals; None for a mean.  ties i64[P·Q]: how
    many numbers of a window are equal to y.  y_bar and x_bar by back-propagation, to_x f[P·Q,T]
    what each window sends along each tap.
    """

    x: Tensor
    y: Tensor
    places: np.ndarray
    counts: Sizes
    used: np.ndarray
    columns: Tensor
    winner: np.ndarray | None
    ties: np.ndarray
    y_bar: Tensor
    x_bar: Tensor
    to_x: Tensor


def pooled(
    x: Any,
    size: int,
    stride: int,
    kind: str = "max",
    upstream: Any = None,
    *,
    padding: int = 0,
    dilation: int = 1,
) -> Pooled:
    """Pool a picture, x: f[H,W], forward and backward; ``kind`` is "max" or "mean".

    Padding is lower than every number for a maximum, and zeros that count for a mean, which has no
    dilation (UsageError).

    >>> found = pooled([[1.0, 7.0], [7.0, 2.0]], 2, 2)
    >>> found.y.tolist(), found.ties.tolist(), found.x_bar.tolist()
    ([[7.0]], [2], [[0.0, 1.0], [0.0, 0.0]])
    """
    if kind not in ("max", "mean"):
        raise UsageError(message("pooled", f"kind={kind!r}", "'max' or 'mean'"))
    if kind == "mean" and dilation != 1:
        remedy = "A maximum has one"
        raise UsageError(message("pooled", f"dilation={dilation}", "1 for a mean", remedy=remedy))
    x = tensor(np.asarray(x, np.float64), requires_grad=True)
    if x.ndim != 2:
        raise ShapeError(message("pooled", type_text(x.shape, x.dtype), "f[H,W]"))
    planes = x[None, None]
    winner = None
    if kind == "max":
        planes, where = F.max_pool2d(planes, size, stride, padding, dilation, return_indices=True)
        winner = where.flatten().numpy()
    else:
        planes = F.avg_pool2d(planes, size, stride, padding)
    y = planes[0, 0]
    y_bar = ones(*y.shape, dtype=y.dtype) if upstream is None else _upstream(upstream, y)
    y.backward(y_bar)
    assert x.grad is not None
    places, counts, _ = windows_of(x.shape, (size, size), stride, padding, dilation)
    columns = _read(x.detach()[None], places)[0]
    inside = tensor(places >= 0)
    ties = (columns.eq(y.detach().flatten().unsqueeze(1)) & inside).sum(1).numpy()
    if winner is None:
        share = ones(places.shape[1], dtype=y.dtype) / places.shape[1]
    else:
        share = tensor((places == winner[:, None]).astype(np.float64))
    return Pooled(
        x=x.detach(),
        y=y.detach(),
        places=places,
        counts=counts,
        used=_readers(places, x.shape),
        columns=columns,
        winner=winner,
        ties=ties,
        y_bar=y_bar,
        x_bar=x.grad,
        to_x=y_bar.flatten().unsqueeze(1) * share,
    )
