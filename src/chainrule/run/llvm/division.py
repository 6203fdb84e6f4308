"""Floor division and its remainder, and whole powers of whole numbers, as vector instructions.

NumPy's results, bit by bit; a whole number divided by 0, which ops refuse before, is no fault of
the processor here: lanes beside the data may hold anything.
"""

from __future__ import annotations

from chainrule.dtypes import bool_, int64, uint8
from chainrule.run.llvm.exponential import FORMATS
from chainrule.run.llvm.value import Value, select

__all__ = ["fixed_power", "floor_divide", "remainder", "whole_power"]


def floor_divide(a: Value, b: Value) -> Value:
    """⌊a / b⌋, as NumPy: from the exact remainder, so that 1 // 0.1 is 9."""
    if not a.dtype.is_floating_point:
        return _whole(a, b)[0]
    rest = _truncated_rest(a, b)
    quotient = (a - rest) / b
    quotient = select((rest != 0.0) & ((b < 0.0) ^ (rest < 0.0)), quotient - 1.0, quotient)
    floor = quotient.intrinsic("floor")
    floor = select(quotient - floor > 0.5, floor + 1.0, floor)  # the quotient was rounded down
    ratio = a / b
    nothing = quotient.like(0.0).intrinsic("copysign", ratio)
    floor = select(quotient == 0.0, nothing, floor)
    return select(b == 0.0, ratio, floor)


def remainder(a: Value, b: Value) -> Value:
    """a - b ⌊a / b⌋, exact, with the sign of b."""
    if not a.dtype.is_floating_point:
        return _whole(a, b)[1]
    rest = _truncated_rest(a, b)
    moved = select((b < 0.0) ^ (rest < 0.0), rest + b, rest)
    return select(rest == 0.0, rest.like(0.0).intrinsic("copysign", b), moved)


def _whole(a: Value, b: Value) -> tuple[Value, Value]:
    """⌊a / b⌋ and a - b ⌊a / b⌋ of whole numbers."""
    if a.dtype is bool_:  # what is not refused is divided by 1
        return a, a.like(False)
    number = b.number
    if number is not None and number > 0 and int(number) & (int(number) - 1) == 0:
        return a >> (int(number).bit_length() - 1), a & (int(number) - 1)
    if a.dtype is uint8:
        divisor = select(b == 0, b.like(1), b)
        quotient = a.let(f"udiv {a.kind} {a.name}, {divisor.name}")
        return quotient, a - quotient * divisor
    # The least number divided by -1 is a fault of the processor too.
    divisor = select((b == 0) | (b == -1), b.like(1), b)
    quotient = a.let(f"sdiv {a.kind} {a.name}, {divisor.name}")
    rest = a - quotient * divisor
    lower = (rest != 0) & ((rest ^ divisor) < 0)
    quotient = select(lower, quotient - 1, quotient)
    rest = select(lower, rest + divisor, rest)
    return select(b == -1, -a, quotient), rest


def _truncated_rest(a: Value, b: Value) -> Value:
    """C's fmod: a - b n with n = a / b without its fraction, exact, with the sign of a.

    Long division: in each step the divisor is b 2ᵏ, k so large that the step's quotient is a whole
    number of fewer bits than a mantissa has; then quotient, product and difference are exact.
    Mostly there is one step, and never more than 41, which the lane decides that needs most.
    """
    mantissa = FORMATS[a.dtype].mantissa
    step = mantissa - 1
    text, size, divisor = a.text, a.intrinsic("fabs"), b.intrinsic("fabs")
    least = divisor.bits() >> mantissa
    steps = _largest((size.bits() >> mantissa) - least, step)
    with text.loop("0", steps, carried=[(size.kind, size.name)]) as loop:
        rest = Value(text, loop.values[0], a.dtype, a.width)
        excess = (rest.bits() >> mantissa) - least - step
        places = select(excess > 0, excess, excess.like(0))
        scaled = (divisor.bits() + (places << mantissa)).bits()
        quotient = (rest / scaled).intrinsic("trunc")
        less = (-quotient).fma(scaled, rest)
        less = select(less < 0.0, less + scaled, less)  # the quotient was rounded up
        loop.next = [less.name]
    rest = Value(text, loop.values[0], a.dtype, a.width)
    rest = select(size < divisor, size, rest)
    exists = (size < float("inf")) & (divisor > 0.0)
    return select(exists, rest, rest.like(float("nan"))).intrinsic("copysign", a)


def _largest(excess: Value, step: int) -> str:
    """How many steps the lane needs that needs most, as i64."""
    text, kind = excess.text, "i64" if excess.dtype is int64 else "i32"
    most = excess.name
    if excess.width > 1:
        name = f"llvm.vector.reduce.smax.v{excess.width}{kind}"
        most = text.call(kind, name, (excess.kind, excess.name))
    if kind == "i32":
        most = text.let(f"sext i32 {most} to i64")
    most = text.most(most, "0")
    return text.add(text.let(f"udiv i64 {most}, {step}"), "1")


def whole_power(a: Value, b: Value) -> Value:
    """aᵇ for b ≥ 0 by squaring; what does not fit is lost, as in NumPy."""
    if b.number is not None:
        return fixed_power(a, int(b.number))
    text, one = a.text, a.like(1)
    carried = [(a.kind, one.name), (a.kind, a.name), (b.kind, b.name)]
    with text.loop("0", str(8 * b.dtype.itemsize), carried=carried) as loop:
        y, factor, bits = (Value(text, name, a.dtype, a.width) for name in loop.values)
        y = select((bits & 1) != 0, y * factor, y)
        loop.next = [y.name, (factor * factor).name, (bits >> 1).name]
    return Value(text, loop.values[0], a.dtype, a.width)


def fixed_power(a: Value, n: int) -> Value:
    """aⁿ for a number n ≥ 0, by squaring."""
    y, factor = None, a
    while n:
        if n & 1:
            y = factor if y is None else y * factor
        n >>= 1
        factor = factor * factor if n else factor
    return a.like(1) if y is None else y
