"""Elementwise ops whose results are true or false, or bits: comparisons and logic."""

from __future__ import annotations

from typing import ClassVar

from chainrule.dtypes import DType, bool_
from chainrule.ops.op import Elementwise, Sample, register

__all__ = ["and_", "eq", "isfinite", "le", "lt", "ne", "or_", "xor"]


class Comparison(Elementwise):
    """Base class: two inputs of one dtype -> bool."""

    arity = 2
    result: ClassVar[DType | None] = bool_
    differentiable = False
    why_not = "its result is true or false"


class Equal(Comparison):
    """y = (a == b)"""

    name = "eq"

    def scalar(self, s, a, b):
        return a == b


class NotEqual(Comparison):
    """y = (a != b)"""

    name = "ne"

    def scalar(self, s, a, b):
        return a != b


class Less(Comparison):
    """y = (a < b)"""

    name = "lt"

    def scalar(self, s, a, b):
        return a < b


class LessEqual(Comparison):
    """y = (a <= b)"""

    name = "le"

    def scalar(self, s, a, b):
        return a <= b


class And(Elementwise):
    """y = a and b, bit by bit for integers"""

    name = "and"
    arity = 2
    differentiable = False
    why_not = "it works on bits"

    def scalar(self, s, a, b):
        return a & b

    def samples(self, rng):
        yield Sample((rng.integers(0, 9, (3, 4)), rng.integers(0, 9, (3, 4))))


class Or(Elementwise):
    """y = a or b, bit by bit for integers"""

    name = "or"
    arity = 2
    differentiable = False
    why_not = "it works on bits"

    def scalar(self, s, a, b):
        return a | b

    def samples(self, rng):
        yield Sample((rng.integers(0, 9, (3, 4)), rng.integers(0, 9, (3, 4))))


class Xor(Elementwise):
    """y = a exclusive-or b, bit by bit for integers; not a is a xor true"""

    name = "xor"
    arity = 2
    differentiable = False
    why_not = "it works on bits"

    def scalar(self, s, a, b):
        return a ^ b

    def samples(self, rng):
        yield Sample((rng.integers(0, 9, (3, 4)), rng.integers(0, 9, (3, 4))))


class IsFinite(Elementwise):
    """y = x is neither NaN nor infinite"""

    name = "isfinite"
    result: ClassVar[DType | None] = bool_
    differentiable = False
    why_not = "its result is true or false"

    def scalar(self, s, x):
        return s.isfinite(x)


eq = register(Equal())
ne = register(NotEqual())
lt = register(Less())
le = register(LessEqual())
and_ = register(And())
or_ = register(Or())
xor = register(Xor())
isfinite = register(IsFinite())
