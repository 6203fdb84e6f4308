"""What can be calculated with tensors: operators, functions, reductions, their in-place forms.

A mix-in of ``Tensor``, written in ops alone.  Here operands meet: types are promoted as in PyTorch,
shapes are broadcast as in NumPy, Python numbers become run-time scalars.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.dtypes import DType, bool_, float32, float64, int64, uint8
from chainrule.errors import DtypeError, ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.lines import line_text, user_line
from chainrule.ops import elementwise as e
from chainrule.ops import logic, reduce
from chainrule.ops.linear import matmul
from chainrule.ops.op import Op
from chainrule.storage import recorder
from chainrule.tensor.handle import Handle
from chainrule.tensor.operands import (
    NUMBERS,
    Axes,
    axes_of,
    axis_of,
    broadcast_shapes,
    cast_node,
    number_node,
    numpy_words,
    together,
)

if TYPE_CHECKING:
    from chainrule.tensor.tensor import Tensor

__all__ = ["Operators", "choose", "in_place"]


_SUITS = {int: 1, float: 2}  # the least category of a tensor whose dtype such a number takes


def _binary(op: Op, *, to_float: bool = False, swapped: bool = False) -> Callable[..., Tensor]:
    def method(self: Tensor, other: Any) -> Tensor:
        a = self._node
        if isinstance(other, Operators):
            b = other._node
            if a.shape != b.shape or a.dtype is not b.dtype or not fits(a.dtype):
                a, b = together(op, (self, other), to_float=to_float)
        elif _SUITS.get(type(other), 3) <= a.dtype.category and fits(a.dtype):
            b = number_node(other, a.dtype, op.name)  # the usual case of the next one
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


def in_place(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The method ``name_`` that writes what ``name`` returns."""

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
    bitwise_and, bitwise_or, bitwise_xor = __and__, __or__, __xor__

    def __neg__(self) -> Tensor:
        """y = -x"""
        if self.dtype is bool_:
            raise DtypeError(message("neg", "bool", "a number", remedy="~x negates a mask"))
        return self._of(recorder().record(e.neg, (self._node,), {}))

    def __invert__(self) -> Tensor:
        """Not x; every bit turned, for whole numbers."""
        if self.dtype.is_floating_point:
            raise DtypeError(message("~", self.dtype.name, "bool or whole numbers"))
        if self.dtype is bool_:
            return self.eq(False)
        return self ^ (255 if self.dtype is uint8 else -1)

    bitwise_not = __invert__

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

    def div(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """y = x / other, as it is, or a whole number by ``rounding_mode`` "floor" or "trunc"."""
        if rounding_mode not in (None, "floor", "trunc"):
            got, needs = f"rounding_mode={rounding_mode!r}", "None, 'floor' or 'trunc'"
            raise UsageError(message("div", got, needs))
        if rounding_mode == "floor":
            return self // other
        return self / other if rounding_mode is None else _towards_zero(self, other)

    def fmod(self, other: Any) -> Tensor:
        """The remainder with the sign of x; ``%`` has that of the divisor."""
        size = other.abs() if isinstance(other, Operators) else abs(other)
        return _choose(self < 0, -((-self) % size), self % size)

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

    def outer(self, other: Tensor) -> Tensor:
        """y[i,j] = x[i] · other[j]"""
        if len(self.shape) != 1 or len(other.shape) != 1:
            got = " and ".join(type_text(v.shape, v.dtype) for v in (self, other))
            raise ShapeError(message("outer", got, "one axis each"))
        return self.reshape(-1, 1) * other

    def addmm(self, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """y = beta · x + alpha · mat1 @ mat2"""
        product = _matmul(mat1, mat2)
        product = product if alpha == 1 else product * alpha
        return product + (self if beta == 1 else self * beta) if beta else product

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

    def trunc(self) -> Tensor:
        """The whole number towards 0."""
        return _choose(self < 0, self.ceil(), self.floor())

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

    def isclose(
        self, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
    ) -> Tensor:
        """True where |x - other| ≤ atol + rtol·|other|, or both are equal"""
        a, b = (x if x.is_floating_point() else x.to(float64) for x in (self, other))
        close = ((a - b).abs() <= atol + rtol * b.abs()) & b.isfinite() | a.eq(b)
        return close | a.isnan() & b.isnan() if equal_nan else close

    def allclose(
        self, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
    ) -> bool:
        """Whether |x - other| ≤ atol + rtol·|other| everywhere, which computes it."""
        return bool(self.isclose(other, rtol, atol, equal_nan).all())

    def equal(self, other: Tensor) -> bool:
        """Whether shape and elements are the same, which computes them."""
        return self.shape == other.shape and bool(self.eq(other).all())

    def logical_and(self, other: Any) -> Tensor:
        """True where both are not zero."""
        return self.ne(0) & _truth(other)

    def logical_or(self, other: Any) -> Tensor:
        """True where at least one is not zero."""
        return self.ne(0) | _truth(other)

    def logical_xor(self, other: Any) -> Tensor:
        """True where one of the two is not zero."""
        return self.ne(0) ^ _truth(other)

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

    def clamp_min(self, min: Any) -> Tensor:
        """y = x, but not below ``min``"""
        return self.clamp(min=min)

    def clamp_max(self, max: Any) -> Tensor:
        """y = x, but not above ``max``"""
        return self.clamp(max=max)

    def where(self, condition: Tensor, other: Any) -> Tensor:
        """y = x where the condition holds, else ``other``."""
        return _choose(condition, self, other)

    def masked_fill(self, mask: Tensor, value: Any) -> Tensor:
        """y = value where the mask is true, else x"""
        return _choose(mask, value, self)

    # ------------------------------------------------------------ reductions

    @numpy_words
    def sum(self, dim: Axes = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        """Σ x over the axes ``dim``, all by default. Whole numbers are summed as int64."""
        x = self if dtype is None else self.to(dtype)
        return _reduce(reduce.sum_, x, dim, keepdim)

    @numpy_words
    def mean(self, dim: Axes = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        """Σ x / n over the axes ``dim``, all by default."""
        if dtype is not None:
            return self.to(dtype).mean(dim, keepdim)
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

    @numpy_words
    def var(
        self,
        dim: Any = None,
        unbiased: bool | None = None,
        keepdim: bool = False,
        *,
        correction: float | None = None,
    ) -> Tensor:
        """Σ (x - mean)² / (n - correction) over the axes ``dim``, in two passes.

        ``correction`` is 1 unless told; ``unbiased=False`` is ``correction=0``.
        """
        if isinstance(dim, bool):  # x.var(False): PyTorch's other signature
            dim, unbiased = None, dim
        if unbiased is not None and (not isinstance(unbiased, bool) or correction is not None):
            got = f"unbiased={unbiased!r}" + ("" if correction is None else " and correction")
            raise UsageError(message("var", got, "True or False, or correction= by its name"))
        if not self.dtype.is_floating_point:
            needs = "a floating-point tensor"
            raise DtypeError(message("var", self.dtype.name, needs, remedy=".float().var()"))
        less = (1 if unbiased is None else int(unbiased)) if correction is None else correction
        axes = axes_of(dim, self.ndim, "var")
        count = 1
        for axis in axes:
            count *= self.shape[axis]
        both = self._of(recorder().record(reduce.moments, (self._node,), {"axes": axes}))
        y = both[1] * (count / (count - less) if count > less else float("inf"))
        return y.reshape(reduce.kept(self.shape, axes)) if keepdim else y

    @numpy_words
    def std(
        self,
        dim: Any = None,
        unbiased: bool | None = None,
        keepdim: bool = False,
        *,
        correction: float | None = None,
    ) -> Tensor:
        """The square root of ``var``; its error signal is 0 where all numbers are equal."""
        return _root(self.var(dim, unbiased, keepdim, correction=correction))

    @numpy_words
    def amax(self, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """The largest number; its error signal is shared evenly among ties."""
        return _reduce(reduce.amax, self, dim, keepdim)

    @numpy_words
    def amin(self, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """The smallest number; its error signal is shared evenly among ties."""
        return _reduce(reduce.amin, self, dim, keepdim)

    @numpy_words
    def all(self, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """Whether all numbers are non-zero: true of none."""
        return self.eq(0).sum(dim, keepdim).eq(0)

    @numpy_words
    def any(self, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """Whether some number is non-zero."""
        return self.ne(0).sum(dim, keepdim).ne(0)

    @numpy_words
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

    @numpy_words
    def cumsum(self, dim: int) -> Tensor:
        """Running sums along an axis."""
        axis = axis_of(dim, self.ndim, "cumsum")
        return self._of(recorder().record(reduce.cumsum, (self._node,), {"axis": axis}))

    @numpy_words
    def logsumexp(self, dim: int, keepdim: bool = False) -> Tensor:
        """ln Σ exp(x) along an axis, without overflow."""
        axis = axis_of(dim, self.ndim, "logsumexp")
        y = self._of(recorder().record(reduce.logsumexp, (self._node,), {"axis": axis}))
        return y.unsqueeze(axis) if keepdim else y

    @numpy_words
    def softmax(self, dim: int) -> Tensor:
        """exp(x) / Σ exp(x) along an axis, without overflow."""
        return self.log_softmax(dim).exp()

    @numpy_words
    def log_softmax(self, dim: int) -> Tensor:
        """x - ln Σ exp(x) along an axis, to the last digit however large x is."""
        axis = axis_of(dim, self.ndim, "log_softmax")
        if not self.ndim:  # one class alone: probability 1
            return self - self
        return self._of(recorder().record(reduce.log_softmax, (self._node,), {"axis": axis}))

    def norm(self, p: float = 2, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """(Σ |x|ᵖ)^(1/p); p = inf gives the largest |x|. The error signal of x = 0 is 0."""
        if p == 2:
            return _root(self.square().sum(dim, keepdim))
        if p == 1:
            return self.abs().sum(dim, keepdim)
        if p == float("inf"):
            return self.abs().amax(dim, keepdim)
        if p == float("-inf"):
            return self.abs().amin(dim, keepdim)
        if p == 0:
            return self.ne(0).sum(dim, keepdim).to(self.dtype)
        if p < 1:  # the slope of |x|ᵖ at 0 is infinite: nothing passes there
            zero = self.eq(0)
            powers = choose(zero, 0.0, choose(zero, 1.0, self.abs()) ** p)
        else:
            powers = self.abs() ** p
        return _root(powers.sum(dim, keepdim), p)

    # ------------------------------------------------------------ in place

    add_, sub_, mul_, div_, pow_ = map(in_place, (add, sub, mul, div, pow))
    __iadd__, __isub__, __imul__, __itruediv__, __ipow__ = add_, sub_, mul_, div_, pow_
    neg_, exp_, log_, sqrt_, abs_, floor_ = map(in_place, (neg, exp, log, sqrt, abs, floor))
    relu_, sigmoid_, tanh_, clamp_, round_ = map(in_place, (relu, sigmoid, tanh, clamp, round))
    masked_fill_, addcmul_, addcdiv_, lerp_ = map(in_place, (masked_fill, addcmul, addcdiv, lerp))
    square_ = in_place(square)

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


def _root(x: Any, n: float = 2) -> Tensor:
    """The n-th root with the slope 0 at 0, where its own is infinite and 0 · ∞ would be NaN."""
    zero = x.eq(0)
    inside = choose(zero, 1.0, x)
    return choose(zero, 0.0, inside.sqrt() if n == 2 else inside ** (1 / n))


def _choose(condition: Any, a: Any, b: Any) -> Tensor:
    like = next(operand for operand in (condition, a, b) if hasattr(operand, "_storage"))
    return like._of(
        recorder().record(e.where, tuple(together(e.where, (condition, a, b), typed=1)), {})
    )


choose = _choose


def _truth(x: Any) -> Any:
    return x.ne(0) if isinstance(x, Operators) else np.not_equal(x, 0)


def _towards_zero(a: Any, b: Any) -> Tensor:
    y = a / b
    whole = not a.dtype.is_floating_point and not isinstance(b, float)
    if whole and not getattr(getattr(b, "dtype", None), "is_floating_point", False):
        return (a - a.fmod(b)) // b  # exact also beyond the whole numbers of float32
    return y.trunc()


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
