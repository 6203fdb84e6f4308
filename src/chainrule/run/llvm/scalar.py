"""The scalar functions that elementwise formulas are written in, as LLVM text.

``op.scalar(Scalars(text, 16), *values, **meta)`` writes the one formula of an op into a kernel, as
``op.reference`` runs it in NumPy.  Results are NumPy's, up to 2 ulp in functions such as exp.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from chainrule.dtypes import DType, bool_, float32, float64, int32, int64, uint8
from chainrule.run.llvm import division, exponential, normal, trigonometric
from chainrule.run.llvm.text import Text
from chainrule.run.llvm.value import Number, Value, constant, literal, select

MOST_FACTORS = 64  # in float64, of a power of a float32: beyond, exp and log are as short

__all__ = ["Scalars", "Value", "literal"]


class Scalars:
    """The functions of formulas on vectors of ``width`` numbers."""

    def __init__(self, text: Text, width: int) -> None:
        self.text, self.width = text, width

    cos = staticmethod(trigonometric.cos)
    erf = staticmethod(normal.erf)
    exp = staticmethod(exponential.exp)
    expm1 = staticmethod(exponential.expm1)
    log = staticmethod(exponential.log)
    log1p = staticmethod(exponential.log1p)
    ndtri = staticmethod(normal.ndtri)
    sin = staticmethod(trigonometric.sin)
    tanh = staticmethod(exponential.tanh)

    def constant(self, number: Number, dtype: DType) -> Value:
        """The same number in each lane."""
        return constant(self.text, number, dtype, self.width)

    # ------------------------------------------------------------ choice

    def where(self, c: Value, a: Value | Number, b: Value | Number) -> Value:
        """a where c, else b; one of them may be a number."""
        a, b = _two(a, b)
        return select(c, a, b)

    def maximum(self, a: Value | Number, b: Value | Number) -> Value:
        """The larger one; NaN if either is."""
        a, b = _two(a, b)
        if a.dtype is bool_:
            return a | b
        return _extreme(a, b, operator.ge)

    def minimum(self, a: Value | Number, b: Value | Number) -> Value:
        """The smaller one; NaN if either is."""
        a, b = _two(a, b)
        if a.dtype is bool_:
            return a & b
        return _extreme(a, b, operator.le)

    # ------------------------------------------------------------ signs and roots

    def abs(self, x: Value) -> Value:
        """|x|; the least whole number stays what it is."""
        if x.dtype.is_floating_point:
            return x.intrinsic("fabs")
        return x if x.dtype in (uint8, bool_) else select(x < 0, -x, x)

    def sign(self, x: Value) -> Value:
        """-1, 0 or 1; 0 for NaN."""
        one, nothing = x.like(1), x.like(0)
        if x.dtype is uint8:
            return select(x > 0, one, nothing)
        return select(x > 0, one, select(x < 0, x.like(-1), nothing))

    def copysign(self, x: Value | Number, sign: Value | Number) -> Value:
        """|x| with the sign of another."""
        x, sign = _two(x, sign)
        return x.intrinsic("copysign", sign)

    def floor(self, x: Value) -> Value:
        """⌊x⌋"""
        return x.intrinsic("floor") if x.dtype.is_floating_point else x

    def sqrt(self, x: Value) -> Value:
        """√x, rounded once."""
        return x.intrinsic("sqrt")

    def isfinite(self, x: Value) -> Value:
        """Neither NaN nor infinite."""
        if x.dtype.is_floating_point:
            return self.abs(x) < float("inf")
        return self.constant(True, bool_)

    # ------------------------------------------------------------ quotients and powers

    def floor_divide(self, a: Value | Number, b: Value | Number) -> Value:
        """⌊a / b⌋"""
        a, b = _two(a, b)
        return division.floor_divide(a, b)

    def remainder(self, a: Value | Number, b: Value | Number) -> Value:
        """a - b ⌊a / b⌋"""
        a, b = _two(a, b)
        return division.remainder(a, b)

    def power(self, a: Value, b: Value | Number) -> Value:
        """aᵇ; whole numbers to a broken power are computed in float64, as NumPy does."""
        dtype = a.dtype
        if dtype.is_floating_point:  # one arithmetic for all b that are values, known or not
            return exponential.power(a, b) if isinstance(b, Value) else _fixed_power(a, b)
        if isinstance(b, float):
            return self.cast(self.power(self.cast(a, float64), b), dtype)
        if dtype is bool_:  # 0 or 1 to the power 0 or 1
            b = self.cast(b, uint8) if isinstance(b, Value) else int(b)
            return self.cast(self.power(self.cast(a, uint8), b), bool_)
        if not isinstance(b, Value):
            return division.fixed_power(a, b)
        return division.whole_power(a, b)

    # ------------------------------------------------------------ logic

    def logical_and(self, a: Value, b: Value) -> Value:
        """Both are true, that is, not 0."""
        return self.cast(a, bool_) & self.cast(b, bool_)

    def logical_or(self, a: Value, b: Value) -> Value:
        """At least one is true."""
        return self.cast(a, bool_) | self.cast(b, bool_)

    def logical_not(self, x: Value) -> Value:
        """x is not true."""
        return ~self.cast(x, bool_)

    # ------------------------------------------------------------ types

    def cast(self, x: Value, dtype: DType) -> Value:
        """x as another dtype, as NumPy's astype on x86.

        Whole numbers keep their low bits; floats lose what is behind the point, and NaN and what
        is too large become the least number (of i32 for u8, of which the low bits stay: 0).
        """
        if x.dtype is dtype:
            return x
        if dtype is bool_:
            return x != 0
        if x.dtype.is_floating_point:
            if dtype.is_floating_point:
                return x.convert("fpext" if dtype is float64 else "fptrunc", dtype)
            if dtype is uint8:
                return _truncated(x, int32).convert("trunc", uint8)
            return _truncated(x, dtype)
        signed = x.dtype in (int32, int64)
        if dtype.is_floating_point:
            return x.convert("sitofp" if signed else "uitofp", dtype)
        if dtype.itemsize < x.dtype.itemsize:
            return x.convert("trunc", dtype)
        return x.convert("sext" if signed else "zext", dtype)


def _two(a: Value | Number, b: Value | Number) -> tuple[Value, Value]:
    """Two operands of which one may be a number."""
    if isinstance(a, Value):
        return a, a.other(b)
    assert isinstance(b, Value), f"two numbers: {a} and {b}"
    return b.like(a), b


def _extreme(a: Value, b: Value, beats: Callable[[Value, Value], Value]) -> Value:
    """b unless a beats it: of 0 and -0 the second, as NumPy has it; NaN if either is."""
    y = select(beats(b, a), b, a)
    if not b.dtype.is_floating_point or b.is_number():
        return y
    return select(b != b, b, y)


def _truncated(x: Value, dtype: DType) -> Value:
    """Floats as i32 or i64, towards 0; NaN and what does not fit become the least number."""
    end = 2.0 ** (8 * dtype.itemsize - 1)
    inside = select(x < end, x, x.like(-end)).at_least(-end)
    return inside.convert("fptosi", dtype)


def _fixed_power(x: Value, n: Number) -> Value:
    """xⁿ for floats and a number n: the usual ones are short."""
    if n == 0.5:
        return x.intrinsic("sqrt")
    if n in (0, 1, 2, 3):
        return division.fixed_power(x, int(n))
    if n == -1:
        return 1.0 / x
    if x.dtype is float32 and n == int(n) and abs(n) <= MOST_FACTORS:
        y = division.fixed_power(x.convert("fpext", float64), abs(int(n)))
        return (y if n > 0 else 1.0 / y).convert("fptrunc", float32)
    return exponential.power(x, x.like(n))
