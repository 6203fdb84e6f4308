"""Reductions: ops that make one number of many, along named axes."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.dtypes import int64
from chainrule.errors import DtypeError, ShapeError, message
from chainrule.graph import type_text
from chainrule.ops.elementwise import exp, where, zeros_like
from chainrule.ops.op import Op, Sample, Typed, register

__all__ = [
    "amax",
    "amin",
    "argmax",
    "argsort",
    "cumsum",
    "log_softmax",
    "logsumexp",
    "moments",
    "sum_",
]


def kept(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """``shape`` with size 1 along ``axes``.  kept((2, 3), (1,)) == (2, 1)."""
    return tuple(1 if axis in axes else size for axis, size in enumerate(shape))


def without(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """``shape`` without ``axes``.  without((2, 3), (1,)) == (2,)."""
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


def back(value: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """A reduced value, repeated along ``axes`` so that it has the shape of ``x`` again."""
    return value.reshape(kept(x.shape, axes)).expand(x.shape)


class Reduce(Op):
    """Base class: x: [...] -> y: the same without ``axes``."""

    def infer(self, x: Typed, *, axes: tuple[int, ...]):
        return without(x.shape, axes), x.dtype

    def samples(self, rng):
        for shape, axes in (((3, 4), (1,)), ((3, 4), (0, 1)), ((2, 3, 1), (0, 2)), ((5,), (0,))):
            yield Sample((rng.normal(size=shape),), {"axes": axes})


class Sum(Reduce):
    """y = Σ x over axes      x̄ = ȳ, repeated      bool and integers are summed as i64"""

    name = "sum"
    linear = True

    def infer(self, x: Typed, *, axes: tuple[int, ...]):
        return without(x.shape, axes), x.dtype if x.dtype.is_floating_point else int64

    def reference(self, x, *, axes):
        return np.sum(x, axis=axes, dtype=x.dtype if x.dtype.kind == "f" else np.int64)

    def vjp(self, y, y_bar, x, *, axes):
        return (back(y_bar, x, axes),)

    def samples(self, rng):
        yield from super().samples(rng)
        yield Sample((np.zeros((0, 3)),), {"axes": (0,)})


class Extremum(Reduce):
    """Base class of amax and amin: the error signal is shared evenly among ties, or NaNs."""

    reads = "y x"

    def infer(self, x: Typed, *, axes: tuple[int, ...]):
        if any(x.shape[axis] == 0 for axis in axes):
            raise ShapeError(
                message(self.name, type_text(x.shape, x.dtype), "a non-empty axis to reduce")
            )
        return super().infer(x, axes=axes)

    def vjp(self, y, y_bar, x, *, axes):
        chosen = (x == back(y, x, axes)) | (x != x)  # where y is NaN, it is one of the NaNs
        ties = sum_(cast_like(chosen, y_bar), axes=axes)
        return (where(chosen, back(y_bar / ties, x, axes), zeros_like(y_bar)),)


class AMax(Extremum):
    """y = max x over axes, NaN if any is      x̄ = ȳ / (number of ties) at the maxima"""

    name = "amax"

    def reference(self, x, *, axes):
        return np.max(x, axis=axes)


class AMin(Extremum):
    """y = min x over axes, NaN if any is      x̄ = ȳ / (number of ties) at the minima"""

    name = "amin"

    def reference(self, x, *, axes):
        return np.min(x, axis=axes)


class ArgMax(Op):
    """y = index of the first maximum along an axis (NaN counts as the largest)      -> i64"""

    name = "argmax"
    differentiable = False
    why_not = "its result is an index"

    def infer(self, x: Typed, *, axis: int):
        if x.shape[axis] == 0:
            raise ShapeError(message("argmax", type_text(x.shape, x.dtype), "a non-empty axis"))
        return without(x.shape, (axis,)), int64

    def reference(self, x, *, axis):
        return np.argmax(x, axis=axis).astype(np.int64)

    def samples(self, rng):
        yield Sample((rng.normal(size=(3, 4)),), {"axis": 1})


class ArgSort(Op):
    """y = the indices that sort x along an axis; equal values keep their order      -> i64"""

    name = "argsort"
    differentiable = False
    why_not = "its result is an index"

    def infer(self, x: Typed, *, axis: int, descending: bool):
        return x.shape, int64

    def reference(self, x, *, axis, descending):
        if not descending:
            return np.argsort(x, axis=axis, kind="stable").astype(np.int64)
        last = x.shape[axis] - 1  # the reverse of a stable sort of the reverse is stable
        order = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
        return (last - np.flip(order, axis)).astype(np.int64)

    def samples(self, rng):
        yield Sample((rng.normal(size=(3, 4)),), {"axis": 1, "descending": True})


class CumSum(Op):
    """y_i = x_0 + … + x_i along an axis      x̄_i = ȳ_i + ȳ_(i+1) + …      whole numbers as i64"""

    name = "cumsum"
    linear = True

    def infer(self, x: Typed, *, axis: int):
        return x.shape, x.dtype if x.dtype.is_floating_point else int64

    def reference(self, x, *, axis):
        return np.cumsum(x, axis=axis, dtype=x.dtype if x.dtype.kind == "f" else np.int64)

    def vjp(self, y, y_bar, x, *, axis):
        return (cumsum(y_bar.flip((axis,)), axis=axis).flip((axis,)),)

    def samples(self, rng):
        yield Sample((rng.normal(size=(3, 4)),), {"axis": 0})
        yield Sample((rng.normal(size=(3, 4)),), {"axis": 1})


class LogSumExp(Op):
    """y = ln Σ exp(x) along an axis      x̄ = ȳ exp(x - y)

    The maximum is subtracted first, so nothing overflows: x = [1000, 1001] is fine.
    A row of -∞ alone gives -∞, and NaN as its error signal, as in PyTorch; with ∞ in it, ∞.
    """

    name = "logsumexp"
    reads = "y x"

    def infer(self, x: Typed, *, axis: int):
        if not x.dtype.is_floating_point:
            raise DtypeError(message("logsumexp", x.dtype.name, "a floating-point tensor"))
        return without(x.shape, (axis,)), x.dtype

    def reference(self, x, *, axis):
        if x.shape[axis] == 0:
            return np.full(without(x.shape, (axis,)), -np.inf, x.dtype)
        largest = np.max(x, axis=axis, keepdims=True)
        largest = np.where(np.isfinite(largest), largest, x.dtype.type(0))
        total = np.sum(np.exp(x - largest), axis=axis)
        return np.log(total) + np.squeeze(largest, axis)

    def vjp(self, y, y_bar, x, *, axis):
        return (back(y_bar, x, (axis,)) * exp(x - back(y, x, (axis,))),)

    def samples(self, rng):
        for shape, axis in (((3, 4), 1), ((3, 4), 0), ((2, 3, 1), 2)):
            yield Sample((rng.normal(size=shape),), {"axis": axis})


class LogSoftmax(Op):
    """y = (x - m) - ln Σ exp(x - m) along an axis, m = max x      x̄ = ȳ - exp(y) Σ ȳ

    x - logsumexp(x) is the same on paper: for x = [10⁷, 10⁷] in float32 it is 0, because
    10⁷ + ln 2 is rounded to 10⁷.  x - m is small, and exact where it matters.
    -∞ beside a number gives -∞, and no error signal of its own: a mask.  A row with ∞ in it, or of
    -∞ alone, is NaN, as in PyTorch.
    """

    name = "log_softmax"
    reads = "y"

    def infer(self, x: Typed, *, axis: int):
        if not x.dtype.is_floating_point:
            raise DtypeError(message("log_softmax", x.dtype.name, "a floating-point tensor"))
        return x.shape, x.dtype

    def reference(self, x, *, axis):
        if x.shape[axis] == 0:
            return x.copy()
        y = x - np.max(x, axis=axis, keepdims=True)
        return y - np.log(np.sum(np.exp(y), axis=axis, keepdims=True))

    def vjp(self, y, y_bar, x, *, axis):
        total = sum_(y_bar, axes=(axis,))
        return (y_bar - exp(y) * back(total, y, (axis,)),)

    def samples(self, rng):
        for shape, axis in (((3, 4), 1), ((3, 4), 0), ((2, 3, 1), 1), ((2, 3, 1), 2), ((2, 0), 1)):
            yield Sample((rng.normal(size=shape),), {"axis": axis})


class Moments(Op):
    """y[0] = μ = mean x, y[1] = mean (x - μ)² over axes      x̄ = (ȳ₀ + 2 ȳ₁ (x - μ)) / n

    Two passes: Σx² - (Σx)²/n loses every digit of a small variance beside a large mean.
    x: f[...] -> y: f[2, ... without axes]
    """

    name = "moments"
    reads = "y x"

    def infer(self, x: Typed, *, axes: tuple[int, ...]):
        if not x.dtype.is_floating_point:
            raise DtypeError(message("moments", x.dtype.name, "a floating-point tensor"))
        return (2, *without(x.shape, axes)), x.dtype

    def reference(self, x, *, axes):
        count = prod(x.shape[axis] for axis in axes)  # np.mean of nothing warns
        mean = np.sum(x, axis=axes, keepdims=True) / count
        variance = np.sum(np.square(x - mean), axis=axes) / count
        return np.stack([mean.reshape(variance.shape), variance])

    def vjp(self, y, y_bar, x, *, axes):
        count = 1
        for axis in axes:
            count *= x.shape[axis]
        deviation = x - back(y[0], x, axes)
        return ((back(y_bar[0], x, axes) + 2 * back(y_bar[1], x, axes) * deviation) / count,)

    def samples(self, rng):
        for shape, axes in (((3, 4), (1,)), ((4, 2, 3), (0, 2)), ((6,), (0,))):
            yield Sample((rng.normal(size=shape),), {"axes": axes})


def cast_like(x: Any, like: Any) -> Any:
    """x as the dtype of another tensor."""
    return x.to(like.dtype)


sum_ = register(Sum())
amax = register(AMax())
amin = register(AMin())
argmax = register(ArgMax())
argsort = register(ArgSort())
cumsum = register(CumSum())
logsumexp = register(LogSumExp())
log_softmax = register(LogSoftmax())
moments = register(Moments())
