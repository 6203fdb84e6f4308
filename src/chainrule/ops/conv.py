"""Convolution, and its two derivatives: each one's derivative is written with the other two.

All three come from one sum, ``Σ x[n,c,…] w[k,c,…] g[n,k,…]`` over what each window brings together:
its derivative by g is the output (``conv``), by x ``conv_input_grad``, by w ``conv_weight_grad``.
It correlates, as every toolkit does; a true convolution flips the kernel before.

The reference gathers windows into the columns of a matrix and multiplies once.  The batch is the
*last* axis of these columns: then a window's row is one contiguous run of ``Q·N`` numbers, however
small the picture is; with the batch first, runs of ``Q`` are copied, five times slower in LeNet.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from chainrule.dtypes import how_to_cast
from chainrule.errors import DtypeError, ShapeError, message
from chainrule.graph import type_text
from chainrule.ops.op import Op, Sample, Typed, register
from chainrule.ops.windows import Sizes, Type, Windows

__all__ = ["conv", "conv_input_grad", "conv_weight_grad"]

BLOCK = 1 << 23  # bytes of columns at a time: a large picture needs no gigabytes


def conv_shape(
    where: str,
    x: Typed,
    w: Typed,
    *,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Sizes:
    """The shape of conv(x, w), or an error that names what does not fit."""
    if x.dtype is not w.dtype or not x.dtype.is_floating_point:
        raise DtypeError(
            message(
                where,
                f"{x.dtype.name} with a {w.dtype.name} weight",
                "one floating-point type",
                remedy=how_to_cast(x.dtype),
            )
        )
    if len(w.shape) != len(stride) + 2:
        raise ShapeError(
            message(where, f"weight {type_text(w.shape, w.dtype)}", f"{len(stride) + 2} axes")
        )
    windows = Windows(w.shape[2:], stride, padding, dilation)
    windows.check(where, x)
    if groups < 1 or w.shape[0] % groups:
        raise ShapeError(
            message(where, f"{w.shape[0]} output channels", f"a multiple of groups={groups}")
        )
    if x.shape[1] != w.shape[1] * groups:
        raise ShapeError(_wrong_channels(where, x, w, groups))
    windows.check_fit(where, x)
    return (x.shape[0], w.shape[0], *windows.counts(x.shape[2:]))


def _wrong_channels(where: str, x: Typed, w: Typed, groups: int) -> str:
    got, needs = x.shape[1], w.shape[1] * groups
    why = f"weight is {type_text(w.shape, w.dtype)}"
    if groups > 1:
        why += f" in {groups} groups"
    if x.shape[-1] == needs:
        axes = (0, len(x.shape) - 1, *range(1, len(x.shape) - 1))
        why += f": are the channels the last axis of the input? permute{axes}"
    elif (got, needs) == (3, 1):
        why += ": an RGB image into a grey-scale network? Grayscale(), or in_channels=3"
    elif (got, needs) == (1, 3):
        why += ": a grey-scale image into an RGB network? Grayscale(3), or in_channels=1"
    return message(where, type_text(x.shape, x.dtype), f"C={needs}", why=why)


def _fits(where: str, g: Typed, x: Typed, w: Typed, meta: dict[str, Any]) -> None:
    """Raise unless g has the shape and dtype of conv(x, w)."""
    shape = conv_shape(where, x, w, **meta)
    if g.shape != shape or g.dtype is not x.dtype:
        types = type_text(g.shape, g.dtype)
        raise ShapeError(message(where, f"{types} as the error signal", type_text(shape, x.dtype)))


# ---------------------------------------------------------------- columns


def _batch_last(x: np.ndarray, padding: Sizes) -> np.ndarray:
    """x: [N,C,*S] -> [C,*(S + 2 padding),N], zeros around it, contiguous."""
    turned = np.moveaxis(x, 0, -1)
    if not any(padding):
        return np.ascontiguousarray(turned)
    sizes = (s + 2 * p for s, p in zip(x.shape[2:], padding, strict=True))
    padded = np.zeros((x.shape[1], *sizes, x.shape[0]), x.dtype)
    padded[_inside(x.shape[2:], padding)] = turned
    return padded


def _inside(sizes: Sizes, padding: Sizes) -> tuple[slice, ...]:
    return (slice(None), *(slice(p, p + s) for s, p in zip(sizes, padding, strict=True)))


def _seen(x: np.ndarray, windows: Windows, counts: Sizes) -> np.ndarray:
    """x: [C,*S,N] -> a view [C,*F,*P,N] of it: what each tap sees."""
    along = x.strides[1:-1]
    taps = (step * d for step, d in zip(along, windows.dilation, strict=True))
    moves = (step * s for step, s in zip(along, windows.stride, strict=True))
    shape = (x.shape[0], *windows.kernel, *counts, x.shape[-1])
    strides = (x.strides[0], *taps, *moves, x.strides[-1])
    return as_strided(x, shape, strides, writeable=False)


def _blocks(terms: int, signal: np.ndarray) -> Iterator[slice]:
    """The rows of signal: [K,*P,N] in pieces, so that BLOCK bytes hold the columns of a piece."""
    rows = signal.shape[1]
    row_bytes = terms * signal.itemsize * prod(signal.shape[2:])
    step = max(1, BLOCK // max(row_bytes, 1))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def _columns(seen: np.ndarray, rows: slice, groups: int) -> np.ndarray:
    """Rows of what the taps see, as matrices [groups, C/groups·F, rows·…·N]: the one copy."""
    first = seen.ndim // 2
    block = seen[(slice(None),) * first + (rows,)]
    return block.reshape(groups, prod(block.shape[:first]) // groups, prod(block.shape[first:]))


# ---------------------------------------------------------------- the family


class Conv(Op):
    """y = x ⋆ w      x̄ = conv_input_grad(ȳ, w), w̄ = conv_weight_grad(x, ȳ)

    y[n,k,p] = Σ x[n, c, p·s + f·d - pad] w[k,c,f] over c and f, along each spatial axis.
    x: f[N,C,*S], w: f[K,C/groups,*F] -> y: f[N,K,*P] with P = ⌊(S + 2 pad - d (F - 1) - 1) / s⌋ + 1
    for 1 to 3 spatial axes.  ``stride`` s, ``padding`` pad (zeros on both sides) and ``dilation`` d
    hold one number per spatial axis.  Outputs of group i see the channels of group i.
    """

    name = "conv"
    reads = ("w", "x")

    def infer(self, x: Typed, w: Typed, **meta: Any):
        return conv_shape(self.name, x, w, **meta), x.dtype

    def reference(self, x, w, *, stride, padding, dilation, groups):
        windows = Windows(w.shape[2:], stride, padding, dilation)
        counts = windows.counts(x.shape[2:])
        seen = _seen(_batch_last(x, padding), windows, counts)
        weight = w.reshape(groups, w.shape[0] // groups, prod(w.shape[1:]))
        y = np.empty((x.shape[0], w.shape[0], *counts), x.dtype)
        turned = np.moveaxis(y, 0, -1)
        for rows in _blocks(groups * weight.shape[2], turned):
            part = turned[:, rows]
            part[...] = np.matmul(weight, _columns(seen, rows, groups)).reshape(part.shape)
        return y

    def vjp(self, y, y_bar, x, w, **meta):
        return (
            conv_input_grad(y_bar, w, input_shape=x.shape, **meta),
            conv_weight_grad(x, y_bar, weight_shape=w.shape, **meta),
        )

    def samples(self, rng):
        for x, w, _, meta in _cases(rng):
            yield Sample((x, w), meta)


class ConvInputGrad(Op):
    """x = w spread by g      ḡ = conv(ȳ, w), w̄ = conv_weight_grad(ȳ, g)

    x[n, c, p·s + f·d - pad] += g[n,k,p] w[k,c,f]: the transposed convolution.
    The error signal of conv's input.  g: f[N,K,*P] at conv's output, w: f[K,C/groups,*F] ->
    x: f[N,C,*S] = ``input_shape``.
    """

    name = "conv_input_grad"
    reads = ("w", "g")

    def infer(self, g: Typed, w: Typed, *, input_shape: Sizes, **meta: Any):
        _fits(self.name, g, Type(input_shape, w.dtype), w, meta)
        return input_shape, g.dtype

    def reference(self, g, w, *, input_shape, stride, padding, dilation, groups):
        windows = Windows(w.shape[2:], stride, padding, dilation)
        channels, *sizes = input_shape[1:]
        outputs, terms = w.shape[0] // groups, prod(w.shape[1:])
        weight = w.reshape(groups, outputs, terms).transpose(0, 2, 1)
        signal = _batch_last(g, (0,) * len(sizes))
        padded = (s + 2 * p for s, p in zip(sizes, padding, strict=True))
        x = np.zeros((channels, *padded, g.shape[0]), g.dtype)
        for rows in _blocks(groups * terms, signal):
            block = signal[:, rows]
            columns = np.matmul(weight, block.reshape(groups, outputs, prod(block.shape[1:])))
            columns = columns.reshape(channels, *windows.kernel, *block.shape[1:])
            below = x[:, rows.start * stride[0] :]
            for tap in product(*map(range, windows.kernel)):
                place = windows.at(tap, block.shape[1:-1])
                below[(slice(None), *place)] += columns[(slice(None), *tap)]
        inside = x[_inside(tuple(sizes), padding)]
        return np.ascontiguousarray(np.moveaxis(inside, -1, 0))

    def vjp(self, y, y_bar, g, w, *, input_shape, **meta):
        return conv(y_bar, w, **meta), conv_weight_grad(y_bar, g, weight_shape=w.shape, **meta)

    def samples(self, rng):
        for x, w, g, meta in _cases(rng):
            yield Sample((g, w), {"input_shape": x.shape, **meta})


class ConvWeightGrad(Op):
    """w = x ⋆ g, summed over the batch      x̄ = conv_input_grad(g, ȳ), ḡ = conv(x, ȳ)

    w[k,c,f] = Σ x[n, c, p·s + f·d - pad] g[n,k,p] over n and p.
    The error signal of conv's weight.  x: f[N,C,*S], g: f[N,K,*P] at conv's output ->
    w: f[K,C/groups,*F] = ``weight_shape``.
    """

    name = "conv_weight_grad"
    reads = ("g", "x")

    def infer(self, x: Typed, g: Typed, *, weight_shape: Sizes, **meta: Any):
        _fits(self.name, g, x, Type(weight_shape, g.dtype), meta)
        return weight_shape, x.dtype

    def reference(self, x, g, *, weight_shape, stride, padding, dilation, groups):
        windows = Windows(weight_shape[2:], stride, padding, dilation)
        outputs, terms = weight_shape[0] // groups, prod(weight_shape[1:])
        seen = _seen(_batch_last(x, padding), windows, g.shape[2:])
        signal = _batch_last(g, (0,) * len(padding))
        w = np.zeros((groups, outputs, terms), x.dtype)
        for rows in _blocks(groups * terms, signal):
            columns = _columns(seen, rows, groups).transpose(0, 2, 1)
            w += np.matmul(signal[:, rows].reshape(groups, outputs, columns.shape[1]), columns)
        return w.reshape(weight_shape)

    def vjp(self, y, y_bar, x, g, *, weight_shape, **meta):
        return conv_input_grad(g, y_bar, input_shape=x.shape, **meta), conv(x, y_bar, **meta)

    def samples(self, rng):
        for x, w, g, meta in _cases(rng):
            yield Sample((x, g), {"weight_shape": w.shape, **meta})


def _cases(rng: np.random.Generator):
    """x, w, an error signal and the metadata: where the tests of the family look."""
    for x, w, stride, padding, dilation, groups in (
        ((2, 3, 5, 4), (2, 3, 3, 2), (1, 1), (0, 0), (1, 1), 1),
        ((2, 2, 6, 7), (4, 1, 3, 3), (2, 3), (1, 2), (1, 1), 2),  # a remainder; groups
        ((1, 1, 7, 5), (1, 1, 2, 3), (1, 2), (0, 1), (3, 2), 1),  # dilation
        ((2, 3, 3, 3), (3, 1, 1, 1), (2, 2), (0, 0), (1, 1), 3),  # 1×1, depthwise
        ((3, 2, 6), (3, 2, 3), (2,), (1,), (1,), 1),
        ((1, 2, 3, 4, 3), (2, 2, 2, 1, 3), (1, 2, 1), (1, 0, 1), (1, 1, 1), 1),
        ((2, 1, 1, 1), (2, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1),
        ((0, 2, 4, 4), (3, 2, 3, 3), (1, 1), (0, 0), (1, 1), 1),
    ):
        meta = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        counts = Windows(w[2:], stride, padding, dilation).counts(x[2:])
        g = rng.normal(size=(x[0], w[0], *counts))
        yield rng.normal(size=x), rng.normal(size=w), g, meta


conv = register(Conv())
conv_input_grad = register(ConvInputGrad())
conv_weight_grad = register(ConvWeightGrad())
