"""exp, log and their relatives as vector instructions: + - * /, fused multiply-adds, bits.

Each reduces its argument to a short interval by a power of two and takes a polynomial there.  The
coefficients are minimax ones of the relative error of the result, found by Remez' exchange in 50
digits, then rounded.  No branches, no tables; the errors stated were measured, for float32 over all
2³² numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.dtypes import float32, float64
from chainrule.run.llvm.value import Value, select

__all__ = ["exp", "log", "tanh"]

LOG2_E = 1.4426950408889634


@dataclass(frozen=True)
class Format:
    """Constants of a floating-point type: 2ⁿ is the whole number n + bias, shifted."""

    mantissa: int  # bits
    bias: int
    whole: float  # x + whole - whole is x rounded to a whole number, which the low bits then hold
    ln2: tuple[float, float]  # ln 2 as a number of this type, and the rest
    least: float  # the least positive number that is not denormal


FORMATS = {
    float32: Format(23, 127, 1.5 * 2.0**23, (0.693147182464599609375, -1.904654299957e-9), 2**-126),
    float64: Format(
        52, 1023, 1.5 * 2.0**52, (0.6931471805599453, 2.3190468138462996e-17), 2.0**-1022
    ),
}


# ---------------------------------------------------------------- exp

# eʳ = 1 + r p(r) for 0 ≤ r ≤ ln 2
_EXP = {
    float32: (0.001948835, 0.0077921543, 0.04191507, 0.1666101, 0.50000584, 0.9999998),
    float64: (
        2.942593006062827e-09, 2.3279925539770756e-08, 2.7764653197513315e-07,
        2.7541892657835823e-06, 2.480235511252038e-05, 0.00019841243805068988,
        0.0013888889488538193, 0.00833333332416274, 0.04166666666755579,
        0.16666666666661636, 0.5000000000000014, 1.0,
    ),
}  # fmt: skip
_EXP_ENDS = {float32: (-88.0, 89.0), float64: (-709.0, 710.0)}  # their results are 0 and ∞


def exp(x: Value) -> Value:
    """eˣ = 2ⁿ eʳ with n = ⌊x log₂ e⌋, so that 2ⁿ overflows and vanishes where eˣ does."""
    form = FORMATS[x.dtype]
    low, high = _EXP_ENDS[x.dtype]
    x = x.at_most(high).at_least(low)
    shift = form.whole + form.bias  # n + bias stands in the low bits of z
    just_below_half = 0.5 - 2.0 ** -(form.mantissa + 2)  # n of x = 0 is 0, and exp 0 is 1
    z = x.fma(LOG2_E, -just_below_half) + shift
    n = z - shift
    r = n.fma(-form.ln2[1], n.fma(-form.ln2[0], x))
    return r.polynomial((*_EXP[x.dtype], 1.0)) * (z.bits() << form.mantissa).bits()


# ---------------------------------------------------------------- tanh

# tanh x = x + x z p(z), z = x², for |x| < 0.625
_TANH = {
    float32: (-0.0057175052, 0.020651052, -0.053743664, 0.13331494, -0.33333284),
    float64: (
        -2.2772552406140794e-06, 1.1808521339140958e-05, -3.6641179838712577e-05,
        9.57613184033159e-05, -0.0002387751418000614, 0.0005899504531644859,
        -0.0014558225313604691, 0.003592126762492693, -0.008863235437149272,
        0.021869488531808604, -0.05396825396813372, 0.13333333333333167, -0.3333333333333333,
    ),
}  # fmt: skip
# eʳ = 1 + r p(r) for |r| ≤ ln 2 / 2
_EXP_AROUND_0 = {
    float32: (0.00829002, 0.04189842, 0.16667645, 0.49999145, 0.9999997),
    float64: (
        2.499130773276359e-08, 2.763118103801648e-07, 2.7557627938283605e-06,
        2.480149025092393e-05, 0.00019841269434356687, 0.0013888888946696593,
        0.00833333333355143, 0.04166666666651664, 0.16666666666666213, 0.5000000000000012, 1.0,
    ),
}  # fmt: skip
_TANH_IS_1 = {float32: 9.1, float64: 20.0}


def tanh(x: Value) -> Value:
    """x + x³ p(x²) for |x| < 0.625, beyond 1 - 2 / (exp 2|x| + 1), with the sign of x."""
    form = FORMATS[x.dtype]
    size = x.intrinsic("fabs")
    square = x * x
    near = (x * square).fma(square.polynomial(_TANH[x.dtype]), x)

    a = size.at_most(_TANH_IS_1[x.dtype])
    shift = form.whole + form.bias
    z = a.fma(2 * LOG2_E, shift)
    half_r = (z - shift).fma(-form.ln2[0] / 2, a)  # exp is large where n ln 2 is rounded much
    p = _EXP_AROUND_0[x.dtype]
    doubled = tuple(c * 2.0 ** (len(p) - k) for k, c in enumerate(p))
    one_more = half_r.polynomial((*doubled, 1.0)).fma((z.bits() << form.mantissa).bits(), 1.0)
    far = 1.0 - 2.0 / one_more
    return select(size < 0.625, near, far).intrinsic("copysign", x)


# ---------------------------------------------------------------- log

# ln(1 + f) = f + f² p(f) for √½ ≤ 1 + f ≤ √2
_LOG32 = (-0.07621921, 0.1290439, -0.13242902, 0.14181827, -0.16609095,
          0.20001975, -0.25001583, 0.33333325, -0.49999988)  # fmt: skip
# 2 artanh s = 2s + s z p(z), z = s²
_LOG64 = (0.13250897695151406, 0.13250170692163715, 0.15387088138583593, 0.1818177573404244,
          0.22222222645792686, 0.2857142856909397, 0.40000000000006214,
          0.6666666666666666)  # fmt: skip
SQRT_HALF = {float32: 0x3F3504F3, float64: 0x3FE6A09E667F3BCD}  # its bits


def log(x: Value) -> Value:
    """ln x = n ln 2 + ln m, x = 2ⁿ m with √½ ≤ m < √2."""
    form = FORMATS[x.dtype]
    bits = x.bits()
    n = (bits - SQRT_HALF[x.dtype]) >> form.mantissa
    f = (bits - (n << form.mantissa)).bits() - 1.0
    return _where_log_exists(x, _log_of_parts(n, f))


def _log_of_parts(n: Value, f: Value) -> Value:
    """n ln 2 + ln(1 + f)."""
    form = FORMATS[f.dtype]
    if f.dtype is float32:
        y = (f * f).fma(f.polynomial(_LOG32), f)
        return n.convert("sitofp", float32).fma(form.ln2[0], y)  # its rest is 0.1 ulp
    # ln(1 + f) = 2 artanh s with s = f / (2 + f): 2s = f - s f, so that only f² / 2 is rounded.
    s = f / (2.0 + f)
    z = s * s
    y = f - s * (f - z * z.polynomial(_LOG64))
    whole = n.like(int.from_bytes(b"\x43\x38" + bytes(6), "big"))  # the bits of form.whole
    count = (n + whole).bits() - form.whole
    return count.fma(form.ln2[0], count.fma(form.ln2[1], y))


def _where_log_exists(x: Value, y: Value) -> Value:
    """y for positive x; -∞ at 0 (denormals count as 0), NaN below, x where it is ∞ or NaN."""
    least = FORMATS[x.dtype].least
    y = select(x < float("inf"), y, x)
    outside = select(x <= -least, x.like(float("nan")), x.like(float("-inf")))
    return select(x < least, outside, y)
