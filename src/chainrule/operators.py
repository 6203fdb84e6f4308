"""What can be calculated with tensors: operators, functions, reductions, their in-place forms.

A mix-in of ``Tensor``, written in ops alone.  Here operands meet: types are promoted as in PyTorch,
shapes are broadcast as in NumPy, Python numbers become run-time scalars.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.dtypes import DType, bool_, float32, int64
from chainrule.errors import DtypeError, ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.handle import Handle
from chainrule.operands import (
    NUMBERS,
    Axes,
    axes_of,
    axis_of,
    broadcast_shapes,
    cast_node,
    number_node,
    together,
)
from chainrule.ops import elementwise as e
from chainrule.ops import index as i
from chainrule.ops import logic, reduce
from chainrule.ops.linear import matmul
from chainrule.ops.op import Op
from chainrule.storage import line_text, recorder, user_line

if TYPE_CHECKING:
    from chainrule.tensor import Tensor

__all__ = ["Operators", "choose"]


def _binary(op: Op, *, to_float: bool = False, swapped: bool = False) -> Callable[..., Tensor]:
    def method(self: Tensor, other: Any) -> Tensor:
        a = self._node
        if isinstance(other, Operators):
            b = other._node  # type: ignore[attr-defined]
            if a.shape != b.shape or a.dtype is not b.dtype or not fits(a.dtype):
                a, b = together(op, (self, other), to_float=to_float)
        elif type(other) in (float, int) and a.dtype.is_floating_point:
            b = number_node(other, a.dtype)  # the usual case of the next one
        elif isinstance(other, (*NUMBERS, np.ndarray, list, tuple)):
            a, b = together(op, (self, other), to_float=to_float)
        else:
            return NotImplemented
        return self._of(recorder().record(op, (b, a) if swapped else (a, b), {}))

    def fits(dtype: DType) -> bool:
        return dtype.is_floating_point or not to_float

    method.__name__ = op.name
    method.__doc__ = op.formula
    return method


def _unary(op: Op, *, to_float: bool = False) -> Callable[[Tensor], Tensor]:
    def method(self: Tensor) -> Tensor:
        node = self._node
        if to_float and not node.dtype.is_floating_point:
            node = cast_node(node, float32)
        return self._of(recorder().record(op, (node,), {}))

    method.__name__ = op.name
    method.__doc__ = op.formula
    return method


def _in_place(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def write(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self._overwrite(method(self, *args, **kwargs), method.__name__ + "_")

    write.__name__ = f"{method.__name__}_"
    write.__doc__ = (
        f"``{method.__name__}``, written into this tensor. Raises on a leaf that requires grad."
    )
    return write


class Operators(Handle):
    """The mix-in; ``self`` is a Tensor."""

    __slots__ = ()

    # ------------------------------------------------------------ arithmetic

    __add__ = __radd__ = _binary(e.add)
    __sub__ = _binary(e.sub)
    __rsub__ = _binary(e.sub, swapped=True)
    __mul__ = __rmul__ = _binary(e.mul)
    __truediv__ = _binary(e.div, to_float=True)
    __rtruediv__ = _binary(e.div, to_float=True, swapped=True)
    __floordiv__ = _binary(e.floor_divide)
    __rfloordiv__ = _binary(e.floor_divide, swapped=True)
    __mod__ = _binary(e.remainder)
    __rmod__ = _binary(e.remainder, swapped=True)
    eq, ne, lt, le = _binary(logic.eq), _binary(logic.ne), _binary(logic.lt), _binary(logic.le)
    gt, ge = _binary(logic.lt, swapped=True), _binary(logic.le, swapped=True)
    __eq__, __ne__ = eq, ne  # type: ignore[assignment]  elementwise, not object's
    __lt__, __le__, __gt__, __ge__ = lt, le, gt, ge
    __and__ = __rand__ = _binary(logic.and_)
    __or__ = __ror__ = _binary(logic.or_)
    __xor__ = __rxor__ = _binary(logic.xor)
    maximum = _binary(e.maximum)
    minimum = _binary(e.minimum)
    remainder = __mod__
    floor_divide = __floordiv__
    logical_and, logical_or, logical_xor = __and__, __or__, __xor__

    def __neg__(self) -> Tensor:
        """y = -x"""
        if self.dtype is bool_:
            raise DtypeError(message("neg", "bool", "a number", remedy="~x negates a mask"))
        return self._of(recorder().record(e.neg, (self._node,), {}))

    def __invert__(self) -> Tensor:
        """Not x, for bool tensors."""
        if self.dtype is not bool_:
            raise DtypeError(message("~", self.dtype.name, "bool"))
        return self.eq(False)

    def __pos__(self) -> Tensor:
        return self  # type: ignore[return-value]

    def __pow__(self, exponent: Any) -> Tensor:
        """y = x^exponent. A Python number is structure of the graph, a tensor is data."""
        if not isinstance(exponent, NUMBERS):
            return _binary(e.pow_)(self, exponent)
        if isinstance(exponent, (float, np.floating)) and not self.dtype.is_floating_point:
            return self.to(float32) ** exponent
        if self.dtype is bool_ and not isinstance(exponent, (bool, np.bool_)):
            return self.to(int64) ** exponent
        if exponent == 2:
            return self.square()
        if exponent == 0.5:
            return self.sqrt()
        value = float(exponent) if self.dtype.is_floating_point else int(exponent)
        return self._of(recorder().record(e.power, (self._node,), {"exponent": value}))

    __rpow__ = _binary(e.pow_, swapped=True)

    def add(self, other: Any, *, alpha: float = 1) -> Tensor:
        """y = x + alpha · other"""
        return self + (other if alpha == 1 else other * alpha)

    def sub(self, other: Any, *, alpha: float = 1) -> Tensor:
        """y = x - alpha · other"""
        return self - (other if alpha == 1 else other * alpha)

    def mul(self, other: Any) -> Tensor:
        """y = x · other"""
        return self * other

    def div(self, other: Any) -> Tensor:
        """y = x / other"""
        return self / other

    def pow(self, exponent: Any) -> Tensor:
        """y = x^exponent"""
        return self**exponent

    def neg(self) -> Tensor:
        """y = -x"""
        return -self

    def addcmul(self, a: Tensor, b: Tensor, *, value: float = 1) -> Tensor:
        """y = x + value · a · b"""
        return self + value * a * b

    def addcdiv(self, a: Tensor, b: Tensor, *, value: float = 1) -> Tensor:
        """y = x + value · a / b"""
        return self + value * a / b

    def lerp(self, end: Tensor, weight: Any) -> Tensor:
        """y = x + weight · (end - x)"""
        return self + weight * (end - self)

    def __matmul__(self, other: Tensor) -> Tensor:
        """The matrix product with NumPy's rules for vectors and batches."""
        if not hasattr(other, "_storage"):
            return NotImplemented
        return _matmul(self, other)

    def matmul(self, other: Tensor) -> Tensor:
        """``x @ other``"""
        return _matmul(self, other)

    mm = bmm = mv = dot = matmul

    # ------------------------------------------------------------ functions

    exp = _unary(e.exp, to_float=True)
    expm1 = _unary(e.expm1, to_float=True)
    log = _unary(e.log, to_float=True)
    log1p = _unary(e.log1p, to_float=True)
    sqrt = _unary(e.sqrt, to_float=True)
    square = _unary(e.square)
    sin = _unary(e.sin, to_float=True)
    cos = _unary(e.cos, to_float=True)
    tanh = _unary(e.tanh, to_float=True)
    sigmoid = _unary(e.sigmoid, to_float=True)
    erf = _unary(e.erf, to_float=True)
    relu = _unary(e.relu)
    abs = _unary(e.abs_)
    sign = _unary(e.sign)
    floor = _unary(e.floor)
    isfinite = _unary(logic.isfinite, to_float=True)
    __abs__ = abs

    def ceil(self) -> Tensor:
        """y = ⌈x⌉"""
        return -(-self).floor()

    def round(self) -> Tensor:
        """The nearest whole number, halves to the even one."""
        low = self.floor()
        rest = self - low
        up = (rest > 0.5) | ((rest == 0.5) & (low % 2 == 1))
        return low + up.to(self.dtype)

    def reciprocal(self) -> Tensor:
        """y = 1 / x"""
        return 1 / self

    def rsqrt(self) -> Tensor:
        """y = 1 / √x"""
        return 1 / self.sqrt()

    def isnan(self) -> Tensor:
        """True where x is NaN."""
        return self.ne(self)

    def isinf(self) -> Tensor:
        """True where x is +∞ or -∞."""
        return ~(self.isfinite() | self.isnan())

    def logical_not(self) -> Tensor:
        """True where x is zero."""
        return self.eq(0)

    def clamp(self, min: Any = None, max: Any = None) -> Tensor:
        """y = x, but not below ``min`` nor above ``max``; at a bound the error signal passes."""
        if min is None and max is None:
            raise UsageError(message("clamp", "neither min nor max", "at least one"))
        y = self
        if min is not None:
            y = _choose(y < min, min, y)
        if max is not None:
            y = _choose(y > max, max, y)
        return y  # type: ignore[return-value]

    clip = clamp

    def where(self, condition: Tensor, other: Any) -> Tensor:
        """y = x where the condition holds, else ``other``."""
        return _choose(condition, self, other)

    def masked_fill(self, mask: Tensor, value: Any) -> Tensor:
        """y = value where the mask is true, else x"""
        return _choose(mask, value, self)

    # ------------------------------------------------------------ reductions

    def sum(self, dim: Axes = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        """Σ x over the axes ``dim``, all by default. Whole numbers are summed as int64."""
        x = self if dtype is None else self.to(dtype)
        return _reduce(reduce.sum_, x, dim, keepdim)

    def mean(self, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """Σ x / n over the axes ``dim``, all by default."""
        if not self.dtype.is_floating_point:
            raise DtypeError(
                message(
                    "mean", self.dtype.name, "a floating-point tensor", remedy=".float().mean()"
                )
            )
        count = 1
        for axis in axes_of(dim, self.ndim, "mean"):
            count *= self.shape[axis]
        return self.sum(dim, keepdim) / count

    def var(self, dim: Axes = None, correction: float = 1, keepdim: bool = False) -> Tensor:
        """Σ (x - mean)² / (n - correction) over the axes ``dim``, in two passes."""
        axes = axes_of(dim, self.ndim, "var")
        count = 1
        for axis in axes:
            count *= self.shape[axis]
        both = self._of(recorder().record(reduce.moments, (self._node,), {"axes": axes}))
        y = both[1] * (count / (count - correction) if count > correction else float("nan"))
        return y.reshape(reduce.kept(self.shape, axes)) if keepdim else y

    def std(self, dim: Axes = None, correction: float = 1, keepdim: bool = False) -> Tensor:
        """The square root of ``var``; its error signal is 0 where all numbers are equal."""
        return _root(self.var(dim, correction, keepdim))

    def amax(self, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """The largest number; its error signal is shared evenly among ties."""
        return _reduce(reduce.amax, self, dim, keepdim)

    def amin(self, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """The smallest number; its error signal is shared evenly among ties."""
        return _reduce(reduce.amin, self, dim, keepdim)

    def max(self, dim: Any = None, keepdim: bool = False) -> Any:
        """All: the largest number. Along an axis: (values, indices of the first maxima)."""
        if hasattr(dim, "_storage"):
            return self.maximum(dim)
        return self.amax() if dim is None else _extremum(self, dim, keepdim)

    def min(self, dim: Any = None, keepdim: bool = False) -> Any:
        """All: the smallest number. Along an axis: (values, indices of the first minima)."""
        if hasattr(dim, "_storage"):
            return self.minimum(dim)
        return self.amin() if dim is None else _extremum(self, dim, keepdim, sign=-1)

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """Index of the first maximum along an axis, or in the flattened tensor."""
        x = self if dim is not None else self.reshape(-1)
        axis = axis_of(dim or 0, x.ndim, "argmax")
        y = x._of(recorder().record(reduce.argmax, (x._node,), {"axis": axis}))
        return y.unsqueeze(axis) if keepdim and dim is not None else y

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """Index of the first minimum along an axis, or in the flattened tensor."""
        return (-self).argmax(dim, keepdim)

    def all(self, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """Whether all numbers are non-zero: true of none."""
        return self.eq(0).sum(dim, keepdim).eq(0)

    def any(self, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """Whether some number is non-zero."""
        return self.ne(0).sum(dim, keepdim).ne(0)

    def prod(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """Π x along an axis (all by default), by halves: the derivative is right beside zeros."""
        x = self.reshape(-1) if dim is None else self
        axis = axis_of(dim or 0, x.ndim, "prod")
        if not x.dtype.is_floating_point:
            x = x.to(int64)
        x = x.transpose(0, axis)
        if x.shape[0] == 0:
            y = x.sum(0) + 1
        else:
            while (size := x.shape[0]) > 1:
                half = size // 2
                pairs = x[:half] * x[half : 2 * half]
                x = pairs if size % 2 == 0 else pairs._join([pairs, x[2 * half :]], 0)
            y = x[0]
        y = y.unsqueeze(0).transpose(0, axis)
        return y if keepdim and dim is not None else y.squeeze(axis)

    def cumsum(self, dim: int) -> Tensor:
        """Running sums along an axis."""
        axis = axis_of(dim, self.ndim, "cumsum")
        return self._of(recorder().record(reduce.cumsum, (self._node,), {"axis": axis}))

    def logsumexp(self, dim: int, keepdim: bool = False) -> Tensor:
        """ln Σ exp(x) along an axis, without overflow."""
        axis = axis_of(dim, self.ndim, "logsumexp")
        y = self._of(recorder().record(reduce.logsumexp, (self._node,), {"axis": axis}))
        return y.unsqueeze(axis) if keepdim else y

    def softmax(self, dim: int) -> Tensor:
        """exp(x) / Σ exp(x) along an axis, without overflow."""
        return self.log_softmax(dim).exp()

    def log_softmax(self, dim: int) -> Tensor:
        """x - ln Σ exp(x) along an axis."""
        axis = axis_of(dim, self.ndim, "log_softmax")
        meta = {"axis": axis, "of_softmax": True}
        total = self._of(recorder().record(reduce.logsumexp, (self._node,), meta))
        return self - total.unsqueeze(axis)

    def norm(self, p: float = 2, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """(Σ |x|ᵖ)^(1/p); p = inf gives the largest |x|. The error signal at x = 0 is 0 (p = 2)."""
        if p == 2:
            return _root(self.square().sum(dim, keepdim))
        if p == 1:
            return self.abs().sum(dim, keepdim)
        if p == float("inf"):
            return self.abs().amax(dim, keepdim)
        return (self.abs() ** p).sum(dim, keepdim) ** (1 / p)

    # ------------------------------------------------------------ order and places

    def argsort(self, dim: int = -1, descending: bool = False) -> Tensor:
        """The indices that sort along an axis; equal numbers keep their order."""
        meta = {"axis": axis_of(dim, self.ndim, "argsort"), "descending": descending}
        return self._of(recorder().record(reduce.argsort, (self._node,), meta))

    def sort(self, dim: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:
        """(sorted values, indices)"""
        order = self.argsort(dim, descending)
        return self.gather(dim, order), order

    def topk(self, k: int, dim: int = -1) -> tuple[Tensor, Tensor]:
        """(the k largest values, their indices), the largest first"""
        axis = axis_of(dim, self.ndim, "topk")
        order = self.argsort(axis, descending=True).narrow(axis, 0, k)
        return self.gather(axis, order), order

    def gather(self, dim: int, index: Tensor) -> Tensor:
        """y[..., j, ...] = x[..., index[..., j, ...], ...] along an axis"""
        axis = axis_of(dim, self.ndim, "gather")
        return self._of(recorder().record(i.gather, (self._node, index._node), {"axis": axis}))

    def scatter_add(self, dim: int, index: Tensor, source: Tensor) -> Tensor:
        """y = x with source added at index along an axis"""
        inputs = (self._node, index._node, source._node)
        meta = {"axis": axis_of(dim, self.ndim, "scatter_add")}
        return self._of(recorder().record(i.scatter_add, inputs, meta))

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """The slices of an axis that ``index`` lists."""
        axis = axis_of(dim, self.ndim, "index_select")
        moved = self.transpose(0, axis)
        y = self._of(recorder().record(i.index, (moved._node, index._node), {}))
        return y.transpose(0, axis)

    # ------------------------------------------------------------ in place

    add_, sub_, mul_, div_, pow_ = map(_in_place, (add, sub, mul, div, pow))
    __iadd__, __isub__, __imul__, __itruediv__, __ipow__ = add_, sub_, mul_, div_, pow_
    neg_, exp_, log_, sqrt_, abs_, floor_ = map(_in_place, (neg, exp, log, sqrt, abs, floor))
    relu_, sigmoid_, tanh_, clamp_, round_ = map(_in_place, (relu, sigmoid, tanh, clamp, round))
    masked_fill_, addcmul_, addcdiv_, lerp_ = map(_in_place, (masked_fill, addcmul, addcdiv, lerp))
    scatter_add_, square_ = map(_in_place, (scatter_add, square))

    def copy_(self, source: Any) -> Tensor:
        """Take the values of ``source``, cast and broadcast to this tensor."""
        return self._overwrite(
            source if hasattr(source, "_storage") else self._like(source, "copy_"), "copy_"
        )

    def fill_(self, value: Any) -> Tensor:
        """Set every element to one number."""
        if hasattr(value, "_storage"):
            return self.copy_(value)
        return self._overwrite(self.number(value), "fill_")

    def zero_(self) -> Tensor:
        """Set every element to 0."""
        return self.fill_(0)


def _reduce(op: Op, x: Any, dim: Axes, keepdim: bool) -> Tensor:
    axes = axes_of(dim, x.ndim, op.name)
    node = recorder().record(op, (x._node,), {"axes": axes})
    y = x._of(node)
    return y.reshape(reduce.kept(x.shape, axes)) if keepdim else y


def _root(x: Any) -> Tensor:
    """√x with the slope 0 at 0, where that of √ is infinite and 0 · ∞ would be NaN."""
    zero = x.eq(0)
    return choose(zero, 0.0, choose(zero, 1.0, x).sqrt())


def _extremum(x: Any, dim: int, keepdim: bool, sign: int = 1) -> tuple[Tensor, Tensor]:
    axis = axis_of(dim, x.ndim, "max")
    place = (x if sign > 0 else -x).argmax(axis)
    if not x.ndim:
        return x, place
    values = x.gather(axis, place.unsqueeze(axis))
    if keepdim:
        return values, place.unsqueeze(axis)
    return values.squeeze(axis), place


def _choose(condition: Any, a: Any, b: Any) -> Tensor:
    like = next(operand for operand in (condition, a, b) if hasattr(operand, "_storage"))
    return like._of(
        recorder().record(e.where, tuple(together(e.where, (condition, a, b), typed=1)), {})
    )


choose = _choose


def _matmul(a: Any, b: Any) -> Tensor:
    if a.ndim == 0 or b.ndim == 0:
        types = f"{type_text(a.shape, a.dtype)} @ {type_text(b.shape, b.dtype)}"
        raise ShapeError(
            message("matmul", types, "at least one axis", remedy="* multiplies numbers")
        )
    vector_a, vector_b = a.ndim == 1, b.ndim == 1
    if vector_a:
        a = a.unsqueeze(0)
    if vector_b:
        b = b.unsqueeze(1)
    if a.shape[-1] != b.shape[-2]:
        types = f"{type_text(a.shape, a.dtype)} @ {type_text(b.shape, b.dtype)}"
        remedy = "Transpose one of them" if a.shape[-1] == b.shape[-1] else ""
        needs = f"{a.shape[-1]} rows on the right"
        line = line_text(user_line())
        raise ShapeError(message("matmul", types, needs, line=line, remedy=remedy))
    if a.dtype is not b.dtype:
        got = f"{a.dtype.name} @ {b.dtype.name}"
        raise DtypeError(message("matmul", got, "one number type", remedy=".to(dtype) casts"))
    if b.ndim == 2 and a.ndim > 2:  # one big product instead of many small ones
        rows = a.shape[:-1]
        flat = a.reshape(-1, a.shape[-1]) if a.numel() else a.reshape(_count(rows), a.shape[-1])
        y = matmul(flat, b).reshape(*rows, b.shape[-1])
    else:
        batch = broadcast_shapes("matmul", a.shape[:-2], b.shape[:-2])
        y = matmul(a.expand(*batch, *a.shape[-2:]), b.expand(*batch, *b.shape[-2:]))
    if vector_a:
        y = y.squeeze(-2)
    return y.squeeze(-1) if vector_b else y


def _count(sizes: Sequence[int]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total
