"""Pooling: the largest or the mean number of each window, and where the error signal goes back."""

from __future__ import annotations

from functools import reduce
from itertools import product
from math import prod
from typing import Any

import numpy as np

from chainrule.dtypes import bool_, int64
from chainrule.errors import DtypeError, ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.ops.index import add_at, check_range, gather
from chainrule.ops.op import Op, Sample, Typed, register
from chainrule.ops.windows import Sizes, Type, Windows

__all__ = ["avg_pool", "avg_pool_scatter", "max_pool", "max_pool_index", "max_pool_scatter"]


def pool_shape(where: str, x: Typed, windows: Windows) -> Sizes:
    """The shape of a pooled x, or an error under PyTorch's conditions."""
    windows.check(where, x)
    for p, span in zip(windows.padding, windows.spans, strict=True):
        if 2 * p > span:
            got, needs = f"padding={windows.padding}", f"at most {span // 2}, half of the kernel"
            why = "A window could hold nothing but padding"
            raise UsageError(message(where, got, needs, why=why))
    windows.check_fit(where, x)
    return (*x.shape[:2], *windows.counts(x.shape[2:]))


# ---------------------------------------------------------------- windows, one axis at a time


def _padded(x: np.ndarray, windows: Windows, counts: Sizes, fill: float) -> np.ndarray:
    """x: [N,C,*S] with numbers around it, or cut, so that the windows just fit."""
    sizes, reach = x.shape[2:], windows.reach(counts)
    if not any(windows.padding) and all(r <= s for r, s in zip(reach, sizes, strict=True)):
        return x
    padded = np.full((*x.shape[:2], *reach), fill, x.dtype)
    both = list(zip(sizes, windows.padding, reach, strict=True))
    inside = tuple(slice(p, p + s) for s, p, _ in both)
    kept = tuple(slice(0, r - p) for _, p, r in both)
    padded[(..., *inside)] = x[(..., *kept)]
    return padded


def _pooled(combine: np.ufunc, x: np.ndarray, windows: Windows, counts: Sizes) -> np.ndarray:
    """The numbers of each window combined, rows first: F + F steps for F × F taps."""
    for axis in range(len(counts)):
        x = reduce(combine, (x[place] for place in _along(axis, windows, counts)))
    return np.ascontiguousarray(x)


def _along(axis: int, windows: Windows, counts: Sizes) -> list[tuple[slice, ...]]:
    """What the windows see at each tap of one axis."""
    everything = (slice(None),) * (axis + 2)
    places = []
    for tap in range(windows.kernel[axis]):
        start = tap * windows.dilation[axis]
        stop = start + (counts[axis] - 1) * windows.stride[axis] + 1
        places.append((*everything, slice(start, stop, windows.stride[axis])))
    return places


# ---------------------------------------------------------------- maximum


def max_windows(
    *,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes | None = None,
    ceil_mode: bool = False,
) -> Windows:
    """The metadata of max_pool and max_pool_index."""
    return Windows(kernel, stride, padding, dilation or (1,) * len(kernel), ceil_mode)


class MaxPooling(Op):
    """Base class of the two ops that look for the maximum of each window."""

    any_strides = True

    def shape(self, x: Typed, windows: Windows) -> Sizes:
        if x.dtype is bool_:
            raise DtypeError(
                message(self.name, "bool", "numbers", remedy=".float() casts a tensor")
            )
        return pool_shape(self.name, x, windows)

    def samples(self, rng):
        for shape, kernel, stride, padding, dilation, ceil_mode in (
            ((2, 3, 4, 6), (2, 2), (2, 2), (0, 0), (1, 1), False),
            ((2, 1, 7, 6), (3, 2), (2, 3), (1, 1), (1, 1), False),  # overlap, remainder, padding
            ((1, 2, 6, 5), (2, 2), (2, 3), (0, 1), (1, 1), True),
            ((1, 1, 6, 7), (2, 3), (1, 2), (1, 0), (3, 2), False),
            ((2, 2, 7), (3,), (2,), (0,), (1,), False),
            ((1, 1, 3, 4, 5), (2, 3, 2), (1, 1, 2), (0, 1, 0), (1, 1, 1), False),
            ((1, 2, 1, 1), (1, 1), (1, 1), (0, 0), (1, 1), False),
            ((0, 2, 4, 4), (2, 2), (2, 2), (0, 0), (1, 1), False),
        ):
            # All numbers differ by at least 0.5, so that a small step never changes the maximum.
            x = 0.5 * rng.permutation(prod(shape)).reshape(shape)
            meta = {"kernel": kernel, "stride": stride, "padding": padding}
            yield Sample((x,), {**meta, "dilation": dilation, "ceil_mode": ceil_mode})


class MaxPool(MaxPooling):
    """y[n,c,p] = max of x[n,c] over window p, NaN if one is      x̄ = ȳ at the first maximum, else 0

    x: [N,C,*S] -> y: [N,C,*P] for 1 to 3 spatial axes.  Backward looks for the place again, once:
    x is kept for others anyway (ReLU, tanh), and a forward without backward needs no places.
    """

    name = "max_pool"
    reads = "x"

    def infer(self, x: Typed, **meta: Any):
        return self.shape(x, max_windows(**meta)), x.dtype

    def reference(self, x, **meta):
        windows = max_windows(**meta)
        counts = windows.counts(x.shape[2:])
        return _pooled(np.maximum, _padded(x, windows, counts, _lowest(x.dtype)), windows, counts)

    def vjp(self, y, y_bar, x, **meta):
        return (max_pool_scatter(y_bar, max_pool_index(x, **meta), input_shape=x.shape),)


class MaxPoolIndex(MaxPooling):
    """y[n,c,p] = where in the plane x[n,c], flattened, the first maximum of window p is      -> i64

    The first in row-major order; the first NaN where there is one.
    """

    name = "max_pool_index"
    differentiable = False
    why_not = "its result is an index"

    def infer(self, x: Typed, **meta: Any):
        return self.shape(x, max_windows(**meta)), int64

    def reference(self, x, **meta):
        windows = max_windows(**meta)
        sizes = x.shape[2:]
        counts = windows.counts(sizes)
        lowest = _lowest(x.dtype)
        x = _padded(x, windows, counts, lowest)
        largest = _pooled(np.maximum, x, windows, counts)
        starts, taps, first = _plane(sizes, counts, windows)
        # The number of the tap is how many taps before it were not the maximum.
        tap = np.zeros(largest.shape, np.uint8 if taps.size < 256 else np.int64)
        not_yet = np.ones(largest.shape, bool)
        any_nan = bool((largest != largest).any())  # NaN differs from itself
        for place in list(product(*map(range, windows.kernel)))[:-1]:
            value = x[(..., *windows.at(place, counts))]
            not_yet &= value != largest
            if any_nan:
                not_yet &= value == value
            tap += not_yet
        index = np.take(taps, tap) + starts
        # Where all numbers are the lowest there is, the padding equals them and may come first.
        return np.where(largest == lowest, first, index) if any(windows.padding) else index


def _lowest(dtype: np.dtype):
    return dtype.type(-np.inf) if dtype.kind == "f" else np.iinfo(dtype).min


def _plane(sizes: Sizes, counts: Sizes, windows: Windows):
    """Places in a plane of those sizes, flattened.

    Each window's start, each tap's distance from it, each window's first tap that is no padding.
    """
    starts = taps = first = np.zeros((), np.int64)
    for axis, size in enumerate(sizes):
        tap = np.arange(windows.kernel[axis]) * windows.dilation[axis]
        start = np.arange(counts[axis]) * windows.stride[axis] - windows.padding[axis]
        inside = start + tap[:, None] >= 0
        begin = np.clip(start + tap[np.argmax(inside, axis=0)], 0, size - 1)
        starts = np.add.outer(starts * size, start)
        taps = np.add.outer(taps * size, tap)
        first = np.add.outer(first * size, begin)
    return starts, taps.reshape(-1), first


class MaxPoolScatter(Op):
    """x[n,c,index[n,c,p]] += g[n,c,p], planes flattened      ḡ = gather(ȳ, index)

    The error signal of max_pool's input.  g: f[N,C,*P], index: i64[N,C,*P] of max_pool_index ->
    x: f[N,C,*S] = ``input_shape``.
    """

    name = "max_pool_scatter"
    reads = "index"
    any_strides = True

    def infer(self, g: Typed, index: Typed, *, input_shape: Sizes):
        same = g.shape == index.shape and g.shape[:2] == input_shape[:2]
        if not same or index.dtype is not int64:
            types = f"{type_text(g.shape, g.dtype)} at {type_text(index.shape, index.dtype)}"
            raise ShapeError(
                message(self.name, types, "two of one shape, the second of max_pool_index")
            )
        return input_shape, g.dtype

    def reference(self, g, index, *, input_shape):
        plane = prod(input_shape[2:])
        within = np.clip(index, 0, max(plane - 1, 0)).reshape(prod(g.shape[:2]), prod(g.shape[2:]))
        places = within + np.arange(len(within))[:, None] * plane
        return add_at(np.zeros(input_shape, g.dtype), places, g)

    def check(self, g, index, *, input_shape):
        check_range(self.name, index, prod(input_shape[2:]), axis=2)

    def vjp(self, y, y_bar, g, index, *, input_shape):
        rows = (*input_shape[:2], prod(input_shape[2:]))
        places = index.reshape((*input_shape[:2], prod(g.shape[2:])))
        return gather(y_bar.reshape(rows), places, axis=2).reshape(g.shape), None

    def samples(self, rng):
        for sample in max_pool.samples(rng):
            (x,) = sample.inputs
            index = max_pool_index.reference(x, **sample.meta)
            yield Sample((rng.normal(size=index.shape), index), {"input_shape": x.shape})


# ---------------------------------------------------------------- mean


def avg_windows(
    *,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Windows:
    """The metadata of avg_pool and avg_pool_scatter, but for ``count_include_pad``."""
    return Windows(kernel, stride, padding, (1,) * len(kernel), ceil_mode)


def _divisor(sizes: Sizes, counts: Sizes, windows: Windows, count_include_pad: bool = True):
    """How many numbers each window's sum is divided by."""
    divisor = np.ones((), np.int64)
    for axis, size in enumerate(sizes):
        padding = windows.padding[axis]
        start = np.arange(counts[axis]) * windows.stride[axis] - padding
        stop = np.minimum(start + windows.kernel[axis], size + padding)
        if not count_include_pad:
            start, stop = np.maximum(start, 0), np.minimum(stop, size)
        divisor = np.multiply.outer(divisor, stop - start)
    return divisor


class AvgPooling(Op):
    """Base class of the mean over windows and its adjoint."""

    linear = True
    any_strides = True

    def cases(self, rng: np.random.Generator):
        for shape, kernel, stride, padding, ceil_mode, include_pad in (
            ((2, 3, 4, 6), (2, 2), (2, 2), (0, 0), False, True),
            ((2, 1, 7, 6), (3, 2), (2, 3), (1, 1), False, True),
            ((2, 1, 7, 6), (3, 2), (2, 3), (1, 1), False, False),
            ((1, 2, 6, 5), (2, 2), (2, 3), (0, 1), True, False),
            ((1, 2, 6, 5), (2, 2), (2, 3), (0, 1), True, True),
            ((2, 2, 7), (3,), (2,), (0,), False, True),
            ((1, 1, 3, 4, 5), (2, 3, 2), (1, 1, 2), (0, 1, 0), False, True),
            ((1, 2, 1, 1), (1, 1), (1, 1), (0, 0), False, True),
            ((0, 2, 4, 4), (2, 2), (2, 2), (0, 0), False, True),
        ):
            meta: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": padding}
            meta |= {"ceil_mode": ceil_mode, "count_include_pad": include_pad}
            yield rng.normal(size=shape), meta


class AvgPool(AvgPooling):
    """y[n,c,p] = mean of x[n,c] over window p      x̄ = avg_pool_scatter(ȳ)

    x: f[N,C,*S] -> y: f[N,C,*P] for 1 to 3 spatial axes.  Padding counts as zeros, or not at all
    with ``count_include_pad=False``; what lies beyond it (``ceil_mode``) never counts.
    """

    name = "avg_pool"

    def infer(self, x: Typed, **meta: Any):
        if not x.dtype.is_floating_point:
            needs, remedy = "a floating-point tensor", ".float() casts it"
            raise DtypeError(message(self.name, x.dtype.name, needs, remedy=remedy))
        return pool_shape(self.name, x, avg_windows(**meta)), x.dtype

    def reference(self, x, *, count_include_pad=True, **meta):
        windows = avg_windows(**meta)
        sizes = x.shape[2:]
        counts = windows.counts(sizes)
        y = _pooled(np.add, _padded(x, windows, counts, 0), windows, counts)
        return y / _divisor(sizes, counts, windows, count_include_pad).astype(x.dtype)

    def vjp(self, y, y_bar, x, **meta):
        return (avg_pool_scatter(y_bar, input_shape=x.shape, **meta),)

    def samples(self, rng):
        for x, meta in self.cases(rng):
            yield Sample((x,), meta)


class AvgPoolScatter(AvgPooling):
    """x[n,c,…] = Σ g[n,c,p] / count over the windows p that see it      ḡ = avg_pool(ȳ)

    The error signal of avg_pool's input.  g: f[N,C,*P] -> x: f[N,C,*S] = ``input_shape``.
    """

    name = "avg_pool_scatter"

    def infer(self, g: Typed, *, input_shape: Sizes, **meta: Any):
        shape, dtype = avg_pool.infer(Type(input_shape, g.dtype), **meta)
        if g.shape != shape:
            got = f"{type_text(g.shape, dtype)} as the error signal"
            raise ShapeError(message(self.name, got, type_text(shape, dtype)))
        return input_shape, dtype

    def reference(self, g, *, input_shape, count_include_pad=True, **meta):
        windows = avg_windows(**meta)
        sizes, counts = input_shape[2:], g.shape[2:]
        x = g / _divisor(sizes, counts, windows, count_include_pad).astype(g.dtype)
        for axis, reach in enumerate(windows.reach(counts)):
            shape = list(x.shape)
            shape[axis + 2] = max(reach, windows.padding[axis] + sizes[axis])
            spread = np.zeros(shape, g.dtype)
            for place in _along(axis, windows, counts):
                spread[place] += x
            x = spread
        inside = (slice(p, p + s) for p, s in zip(windows.padding, sizes, strict=True))
        return np.ascontiguousarray(x[(..., *inside)])

    def vjp(self, y, y_bar, g, *, input_shape, **meta):
        return (avg_pool(y_bar, **meta),)

    def samples(self, rng):
        for x, meta in self.cases(rng):
            g = rng.normal(size=avg_pool.reference(x, **meta).shape)
            yield Sample((g,), {"input_shape": x.shape, **meta})


max_pool = register(MaxPool())
max_pool_index = register(MaxPoolIndex())
max_pool_scatter = register(MaxPoolScatter())
avg_pool = register(AvgPool())
avg_pool_scatter = register(AvgPoolScatter())
