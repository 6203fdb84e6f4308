"""sin and cos as vector instructions, for |x| < 2⁴⁹; beyond, each number by the C library.

The argument is reduced as by W. J. Cody and W. Waite, "Software Manual for the Elementary
Functions" (1980): n π/2 is subtracted in parts, here with fused multiply-adds, whose first product
is exact.  For float32 that is done in float64.  Measured, as in ``exponential.py``: 1.58 ulp in
float32, 1.54 in float64.  A larger angle needs hundreds of digits of π, and is no angle that
anybody works with: it is left to the library that every process has.
"""

from __future__ import annotations

from chainrule.dtypes import float32, float64, int32
from chainrule.run.llvm.value import Value, select

__all__ = ["cos", "sin"]

_TWO_OVER_PI = 0.6366197723675814
_HALF_PI = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)  # their sum
_WHOLE = 1.5 * 2.0**52  # x + _WHOLE - _WHOLE is x rounded to a whole number
_FARTHEST = 2.0**49

# sin r = r + r z p(z), cos r = 1 - z / 2 + z² q(z), z = r², |r| ≤ π/4: minimax, by Remez' exchange
_SIN = {
    float32: (-0.00019517264, 0.008332178, -0.16666655),
    float64: (
        -7.57875658467971e-13, 1.605836781299661e-10, -2.5052104920941292e-08,
        2.755731921422677e-06, -0.0001984126984125514, 0.008333333333333323, -0.16666666666666666,
    ),
}  # fmt: skip
_COS = {
    float32: (2.443848e-05, -0.0013887368, 0.041666646),
    float64: (
        -1.1359745534067854e-11, 2.0875725342484897e-09, -2.755731436925691e-07,
        2.4801587289548524e-05, -0.0013888888888874246, 0.0416666666666666,
    ),
}  # fmt: skip


def sin(x: Value) -> Value:
    """sin x from r = x - n π/2: ± sin r or ± cos r, by the two low bits of n."""
    y = _quarters(x, 0)
    return select(x == 0.0, x, y)  # -0 as well


def cos(x: Value) -> Value:
    """cos x = sin(x + π/2): one quarter farther."""
    return _quarters(x, 1)


def _quarters(x: Value, ahead: int) -> Value:
    """sin(x + ahead π/2)."""
    wide = x.convert("fpext", float64) if x.dtype is float32 else x
    z = wide.fma(_TWO_OVER_PI, _WHOLE)
    n = z - _WHOLE
    # The first product is exact and so is its difference from x; the others correct it.
    r = n.fma(-_HALF_PI[1], n.fma(-_HALF_PI[0], wide))
    quarter = z.bits() + ahead
    if x.dtype is float32:
        r, quarter = r.convert("fptrunc", float32), quarter.convert("trunc", int32)
    else:
        r = n.fma(-_HALF_PI[2], r)
    square = r * r
    sine = (r * square).fma(square.polynomial(_SIN[x.dtype]), r)
    cosine = (square * square).fma(square.polynomial(_COS[x.dtype]), square.fma(-0.5, 1.0))
    y = select((quarter & 1) == 0, sine, cosine)
    places = 8 * x.dtype.itemsize - 2
    y = (y.bits() ^ ((quarter & 2) << places)).bits()
    return _farther(x, y, "cos" if ahead else "sin")


def _farther(x: Value, y: Value, name: str) -> Value:
    """y, but where |x| is too large for it: there one number after the other by ``name``."""
    text, kind = x.text, x.kind
    xs, ys = (text.at_entry(f"alloca {kind}, align 64") for _ in range(2))
    text.store(kind, y.name, ys, 64)
    far = (x.intrinsic("fabs") >= _FARTHEST).name
    if x.width > 1:
        lanes = f"<{x.width} x i1>"
        far = text.call("i1", f"llvm.vector.reduce.or.v{x.width}i1", (lanes, far))
    one = "float" if x.dtype is float32 else "double"
    with text.when(far):
        text.store(kind, x.name, xs, 64)
        with text.loop("0", str(x.width)) as loop:
            here = Value(text, text.load(one, text.at(one, xs, loop.index)), x.dtype, 1)
            with text.when((here.intrinsic("fabs") >= _FARTHEST).name):
                wide = here.convert("fpext", float64) if x.dtype is float32 else here
                found = Value(text, text.call("double", name, ("double", wide.name)), float64, 1)
                if x.dtype is float32:
                    found = found.convert("fptrunc", float32)
                text.store(one, found.name, text.at(one, ys, loop.index))
    return Value(text, text.load(kind, ys, 64), x.dtype, x.width)
