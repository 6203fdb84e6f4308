"""Vectors of numbers in LLVM text: `Value`, on which formulas compute with Python's operators.

Nothing here loosens arithmetic: an operator is one rounding, ``fma`` is one rounding, and that is
all there is, so that the bits of a formula are equal at every width and on every processor.

>>> from chainrule.dtypes import float32
>>> from chainrule.run.llvm.text import Text
>>> text = Text("square_plus_one", ["<8 x float> %x"], result="<8 x float>")
>>> x = Value(text, "%x", float32, 8)
>>> text.do(f"ret {x.kind} {(x * x + 1).name}")
>>> print(text.module())
define <8 x float> @square_plus_one(<8 x float> %x) {
entry:
  %v1 = fmul <8 x float> %x, %x
  %v2 = fadd <8 x float> %v1, splat (float 0x3FF0000000000000)
  ret <8 x float> %v2
}
<BLANKLINE>
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from chainrule.dtypes import DType, bool_, float32, float64, int32, int64, uint8
from chainrule.run.llvm.text import Text

__all__ = ["Number", "Value", "constant", "kind_of", "literal", "select"]

Number = bool | int | float

_KINDS = {
    float32: "float",
    float64: "double",
    int64: "i64",
    int32: "i32",
    uint8: "i8",
    bool_: "i1",
}
_SHORT = {**_KINDS, float32: "f32", float64: "f64"}  # in the names of intrinsic functions
_BITS = {float32: int32, float64: int64, int32: float32, int64: float64}
_COMPARISONS = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}


class Value:
    """A vector of ``width`` numbers of one dtype under a name; a plain number at width 1.

    ``number`` is what each lane holds, where that is known.  Operators take another Value of this
    dtype, or a Python number; comparisons give bools, one bit each.
    """

    __slots__ = ("dtype", "name", "number", "text", "width")

    def __init__(
        self, text: Text, name: str, dtype: DType, width: int, number: Number | None = None
    ) -> None:
        self.text, self.name, self.dtype, self.width = text, name, dtype, width
        self.number = number

    @property
    def kind(self) -> str:
        """The LLVM type, such as ``<16 x float>``."""
        return kind_of(self.dtype, self.width)

    def is_number(self) -> bool:
        """Each lane is known to hold a number other than NaN."""
        return self.number is not None and self.number == self.number

    # ------------------------------------------------------------ how instructions are written

    def let(self, instruction: str, dtype: DType | None = None) -> Value:
        """The result of an instruction, of this dtype unless another is named."""
        return Value(self.text, self.text.let(instruction), dtype or self.dtype, self.width)

    def like(self, number: Number) -> Value:
        """A number as a Value beside this one."""
        return constant(self.text, number, self.dtype, self.width)

    def other(self, other: Value | Number) -> Value:
        """The other operand, as a Value of the same type."""
        if not isinstance(other, Value):
            return self.like(other)
        assert other.dtype is self.dtype and other.width == self.width, f"{self} and {other}"
        return other

    def intrinsic(self, name: str, *others: Value) -> Value:
        """``llvm.name`` of values of one type."""
        vector = f"v{self.width}" if self.width > 1 else ""
        arguments = [(value.kind, value.name) for value in (self, *others)]
        name = self.text.call(self.kind, f"llvm.{name}.{vector}{_SHORT[self.dtype]}", *arguments)
        return Value(self.text, name, self.dtype, self.width)

    def convert(self, instruction: str, dtype: DType) -> Value:
        """``instruction kind x to the kind of dtype``: bitcast, trunc, sitofp, …"""
        to = kind_of(dtype, self.width)
        return self.let(f"{instruction} {self.kind} {self.name} to {to}", dtype)

    def _binary(self, word: str, a: Value | Number, b: Value | Number) -> Value:
        a, b = self.other(a), self.other(b)
        return self.let(f"{word} {self.kind} {a.name}, {b.name}")

    def _compare(self, word: str, other: Value | Number) -> Value:
        b = self.other(other)
        if self.dtype.is_floating_point:
            how = f"fcmp {_COMPARISONS[word]}"
        else:
            signed = self.dtype in (int32, int64) and word not in ("eq", "ne")
            unsigned = self.dtype in (uint8, bool_) and word not in ("eq", "ne")
            how = f"icmp {'s' if signed else 'u' if unsigned else ''}{word}"
        return self.let(f"{how} {self.kind} {self.name}, {b.name}", bool_)

    def _word(self, word: str) -> str:
        if self.dtype is bool_:
            assert word in ("add", "mul"), f"{word} of bools"
            return {"add": "or", "mul": "and"}[word]
        return f"f{word}" if self.dtype.is_floating_point else word

    # ------------------------------------------------------------ operators

    def __add__(self, other: Value | Number) -> Value:
        return self._binary(self._word("add"), self, other)

    def __radd__(self, other: Number) -> Value:
        return self._binary(self._word("add"), other, self)

    def __sub__(self, other: Value | Number) -> Value:
        return self._binary(self._word("sub"), self, other)

    def __rsub__(self, other: Number) -> Value:
        return self._binary(self._word("sub"), other, self)

    def __mul__(self, other: Value | Number) -> Value:
        return self._binary(self._word("mul"), self, other)

    def __rmul__(self, other: Number) -> Value:
        return self._binary(self._word("mul"), other, self)

    def __truediv__(self, other: Value | Number) -> Value:
        assert self.dtype.is_floating_point, f"/ of {self.dtype}"
        return self._binary("fdiv", self, other)

    def __rtruediv__(self, other: Number) -> Value:
        assert self.dtype.is_floating_point, f"/ of {self.dtype}"
        return self._binary("fdiv", other, self)

    def __neg__(self) -> Value:
        if self.dtype.is_floating_point:
            return self.let(f"fneg {self.kind} {self.name}")
        return 0 - self

    def __and__(self, other: Value | Number) -> Value:
        return self._binary("and", self, other)

    def __or__(self, other: Value | Number) -> Value:
        return self._binary("or", self, other)

    def __xor__(self, other: Value | Number) -> Value:
        return self._binary("xor", self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __invert__(self) -> Value:
        return self ^ (True if self.dtype is bool_ else -1)

    def __lshift__(self, places: int) -> Value:
        return self._binary("shl", self, places)

    def __rshift__(self, places: int) -> Value:
        """Keeps the sign, if the dtype has one: ⌊x / 2ⁿ⌋."""
        return self._binary("lshr" if self.dtype is uint8 else "ashr", self, places)

    def __eq__(self, other: Value | Number) -> Value:
        return self._compare("eq", other)

    def __ne__(self, other: Value | Number) -> Value:
        return self._compare("ne", other)

    def __lt__(self, other: Value | Number) -> Value:
        return self._compare("lt", other)

    def __le__(self, other: Value | Number) -> Value:
        return self._compare("le", other)

    def __gt__(self, other: Value | Number) -> Value:
        return self._compare("gt", other)

    def __ge__(self, other: Value | Number) -> Value:
        return self._compare("ge", other)

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError(f"{self!r} is known when the kernel runs: s.where chooses")

    def __repr__(self) -> str:
        return f"{self.kind} {self.name}"

    # ------------------------------------------------------------ what formulas of numbers need

    def fma(self, b: Value | Number, c: Value | Number) -> Value:
        """self b + c, rounded once."""
        return self.intrinsic("fma", self.other(b), self.other(c))

    def bits(self) -> Value:
        """The bits of floats as whole numbers, those of whole numbers as floats."""
        return self.convert("bitcast", _BITS[self.dtype])

    def at_most(self, bound: Number) -> Value:
        """min(x, bound), NaN where x is: one instruction, with the bound first."""
        limit = self.like(bound)
        return select(limit < self, limit, self)

    def at_least(self, bound: Number) -> Value:
        """max(x, bound), NaN where x is."""
        limit = self.like(bound)
        return select(limit > self, limit, self)

    def polynomial(self, coefficients: Sequence[float]) -> Value:
        """Horner's rule with fused multiply-adds, the highest power first."""
        y = self.fma(coefficients[0], coefficients[1])
        for coefficient in coefficients[2:]:
            y = y.fma(self, coefficient)
        return y


def kind_of(dtype: DType, width: int) -> str:
    """The LLVM type of ``width`` numbers."""
    return f"<{width} x {_KINDS[dtype]}>" if width > 1 else _KINDS[dtype]


def constant(text: Text, number: Number, dtype: DType, width: int) -> Value:
    """The same number in each lane, rounded to the dtype."""
    digits = literal(number, dtype)
    name = f"splat ({_KINDS[dtype]} {digits})" if width > 1 else digits
    return Value(text, name, dtype, width, number)


def literal(number: Number, dtype: DType) -> str:
    """How a number is written: floats by all their bits, after rounding to the dtype."""
    if dtype.is_floating_point:
        if dtype is float32:
            with np.errstate(over="ignore"):
                number = float(np.float32(number))
        return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"
    if dtype is bool_:
        return "true" if number else "false"
    assert number == int(number), f"{number} among {dtype}"
    return str(int(number))


def select(c: Value, a: Value, b: Value) -> Value:
    """a where c, else b."""
    return a.let(f"select {c.kind} {c.name}, {a.kind} {a.name}, {b.kind} {b.name}")
