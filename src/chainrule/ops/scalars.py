"""The scalar functions that elementwise formulas are written in, here as NumPy computes them.

A formula such as ``s.exp(x) / (1 + s.exp(x))`` is written once, in ``ops/elementwise.py``; a code
generator brings its own ``s``.  What NumPy lacks is computed here: erf from + - * / and exp, the
normal distribution's quantile from + - * / √ alone, whose bits are equal on every machine.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chainrule.dtypes import DType

__all__ = ["NUMPY_SCALARS", "NumpyScalars", "cast", "erf", "ndtri"]

BLOCK = 8192  # numbers at a time: all that one formula needs stays in the cache


def _in_blocks(formula: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    x = np.ascontiguousarray(x).reshape(x.shape)
    y = np.empty_like(x)
    source, target = x.reshape(-1), y.reshape(-1)
    for start in range(0, x.size, BLOCK):
        target[start : start + BLOCK] = formula(source[start : start + BLOCK])
    return y


def _polynomial(coefficients: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Horner's rule, the highest power first."""
    y = x * coefficients[0]
    y += coefficients[1]
    for coefficient in coefficients[2:]:
        y *= x
        y += coefficient
    return y


# ---------------------------------------------------------------- erf
#
# Rational approximations of S. L. Moshier, "Methods and Programs for Mathematical Functions"
# (Ellis Horwood, 1989), the library Cephes.  For |x| < 1 they give erf x = x T(x²) / U(x²), which
# loses up to 2.6 ulp; written as x + x (T - U) / U, the rounded part is only a correction to x.

ERF_T = np.array([0.0, 9.60497373987051638749, 90.0260197203842689217, 2232.00534594684319226,
               7003.32514112805075473, 55592.3013010394962768])  # fmt: skip
ERF_U = np.array([1.0, 33.5617141647503099647, 521.357949780152679795, 4594.32382970980127987,
               22629.0000613890934246, 49267.3942608635921086])  # fmt: skip
ERF_P = np.array([2.46196981473530512524e-10, 0.564189564831068821977, 7.46321056442269912687,
               48.6371970985681366614, 196.520832956077098242, 526.445194995477358631,
               934.528527171957607540, 1027.55188689515710272, 557.535335369399327526])  # fmt: skip
ERF_Q = np.array([1.0, 13.2281951154744992508, 86.7072140885989742329, 354.937778887819891062,
               975.708501743205489753, 1823.90916687909736289, 2246.33760818710981792,
               1656.66309194161350182, 557.535340817727675546])  # fmt: skip

# The same for float32: erf x = x + x t(x²) for |x| < 1, else 1 - exp(-x²) p(1/x²) / x.
_T32 = np.array([7.853861353153693e-5, -8.010193625184903e-4, 5.188327685732524e-3,
                 -2.685381193529856e-2, 0.1128358514861418, -0.3761262582423300,
                 0.128379165726710], np.float32)  # fmt: skip
_P32 = np.array([2.326819970068386e-2, -0.1387039388740657, 0.3687424674597105,
                 -0.5824733027278666, 0.6210004621745983, -0.4944515323274145,
                 0.3404879937665872, -0.2741127028184656, 0.5638259427386472],
                np.float32)  # fmt: skip


def erf(x: np.ndarray) -> np.ndarray:
    """erf x = 2/√π ∫₀ˣ exp(-t²) dt within 2 ulp, in float32 or float64.

    >>> erf(np.array([0.0, 0.5, -np.inf])).round(6).tolist()
    [0.0, 0.5205, -1.0]
    """
    return _in_blocks(_erf32 if x.dtype == np.float32 else _erf64, x)


def _erf64(x: np.ndarray) -> np.ndarray:
    small = np.clip(x, -1.0, 1.0)
    square = small * small
    small += small * (_polynomial(ERF_T - ERF_U, square) / _polynomial(ERF_U, square))
    large = np.clip(np.abs(x), 1.0, 6.0)  # erf 6 rounds to 1
    rest = np.exp(-large * large) * (_polynomial(ERF_P, large) / _polynomial(ERF_Q, large))
    return np.where(np.abs(x) < 1.0, small, np.copysign(1.0 - rest, x))


def _erf32(x: np.ndarray) -> np.ndarray:
    one = np.float32(1)
    small = np.clip(x, -one, one)
    small += small * _polynomial(_T32, small * small)
    large = np.clip(np.abs(x), one, np.float32(4))  # erf 4 rounds to 1
    square = large * large
    rest = np.exp(-square) / large * _polynomial(_P32, one / square)
    return np.where(np.abs(x) < one, small, np.copysign(one - rest, x))


# ---------------------------------------------------------------- the normal quantile
#
# M. J. Wichura, "Algorithm AS 241: The Percentage Points of the Normal Distribution", Applied
# Statistics 37 (1988) 477-484, PPND16: three rational functions, each with its range.

MIDDLE = (
    np.array([2509.0809287301226727, 33430.575583588128105, 67265.770927008700853,
              45921.953931549871457, 13731.693765509461125, 1971.5909503065514427,
              133.14166789178437745, 3.3871328727963666080]),
    np.array([5226.4952788528545610, 28729.085735721942674, 39307.895800092710610,
              21213.794301586595867, 5394.1960214247511077, 687.18700749205790830,
              42.313330701600911252, 1.0]),
)  # fmt: skip
OUTER = (
    np.array([7.74545014278341407640e-4, 0.0227238449892691845833, 0.241780725177450611770,
              1.27045825245236838258, 3.64784832476320460504, 5.76949722146069140550,
              4.63033784615654529590, 1.42343711074968357734]),
    np.array([1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966,
              0.148103976427480074590, 0.689767334985100004550, 1.67638483018380384940,
              2.05319162663775882187, 1.0]),
)  # fmt: skip
FAR = (
    np.array([2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
              0.0265321895265761230930, 0.296560571828504891230, 1.78482653991729133580,
              5.46378491116411436990, 6.65790464350110377720]),
    np.array([2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5,
              7.86869131145613259100e-4, 0.0148753612908506148525, 0.136929880922735805310,
              0.599832206555887937690, 1.0]),
)  # fmt: skip


def ndtri(u: np.ndarray) -> np.ndarray:
    """The number below which a standard normal variable stays with probability u, in float64 bits.

    Made of + - * / √ and powers of two, each exactly rounded, so that equal bits come out of every
    machine.  float32 is computed in float64 and rounded.

    >>> ndtri(np.array([0.5, 0.975, 0.0])).round(6).tolist()
    [0.0, 1.959964, -inf]
    """
    return _in_blocks(_ndtri64, u.astype(np.float64, copy=False)).astype(u.dtype, copy=False)


def _ndtri64(u: np.ndarray) -> np.ndarray:
    q = u - 0.5
    middle = np.clip(q, -0.425, 0.425)
    x = middle * _ratio(MIDDLE, 0.180625 - middle * middle)
    outer = np.flatnonzero(np.abs(q) > 0.425)
    if outer.size:
        from_the_end = np.minimum(u[outer], 1.0 - u[outer])
        inside = from_the_end > 0
        r = np.sqrt(-_log(np.where(inside, from_the_end, 0.5)))
        size = _ratio(OUTER, np.minimum(r, 5.0) - 1.6)
        if r.max() > 5.0:
            size = np.where(r > 5.0, _ratio(FAR, r - 5.0), size)
        edge = np.where(from_the_end == 0, np.inf, np.nan)  # nothing lies beyond 0 and 1
        x[outer] = np.copysign(np.where(inside, size, edge), q[outer])
    return x


def _ratio(of: tuple[np.ndarray, np.ndarray], x: np.ndarray) -> np.ndarray:
    return _polynomial(of[0], x) / _polynomial(of[1], x)


LN2_HIGH = float.fromhex("0x1.62e42fefa38p-1")  # its product with an exponent is exact
LN2_LOW = 5.497923018708371e-14  # ln 2 = LN2_HIGH + LN2_LOW
ATANH = np.array([2.0 / (2 * k + 1) for k in range(11, 0, -1)])


def _log(x: np.ndarray) -> np.ndarray:
    """ln x for x > 0, as e ln 2 + ln m with x = 2ᵉ m and m near 1.

    ln m = 2 artanh s = 2s + s (2/3 s² + 2/5 s⁴ + …) with s = (m - 1) / (m + 1), |s| < 0.172.
    """
    m, e = np.frexp(x)
    low = m < 0.7071067811865476
    m = np.where(low, 2.0 * m, m)
    e = e - low
    s = (m - 1.0) / (m + 1.0)
    square = s * s
    series = s * (square * _polynomial(ATANH, square))
    return e * LN2_HIGH + (2.0 * s + (series + e * LN2_LOW))


def cast(x: np.ndarray, dtype: DType) -> np.ndarray:
    """x as another dtype."""
    return x.astype(dtype.numpy)


def sign(x: np.ndarray) -> np.ndarray:
    """-1, 0 or 1 by the sign of x; 0 for NaN, as in PyTorch, where NumPy's has NaN."""
    return np.subtract(x > 0, x < 0, dtype=x.dtype)


class NumpyScalars:
    """NumPy's functions under the names that formulas use."""

    abs = staticmethod(np.abs)
    cast = staticmethod(cast)
    copysign = staticmethod(np.copysign)
    cos = staticmethod(np.cos)
    erf = staticmethod(erf)
    exp = staticmethod(np.exp)
    expm1 = staticmethod(np.expm1)
    floor = staticmethod(np.floor)
    isfinite = staticmethod(np.isfinite)
    log = staticmethod(np.log)
    log1p = staticmethod(np.log1p)
    logical_and = staticmethod(np.logical_and)
    logical_not = staticmethod(np.logical_not)
    logical_or = staticmethod(np.logical_or)
    maximum = staticmethod(np.maximum)  # propagates NaN, as minimum does
    minimum = staticmethod(np.minimum)
    ndtri = staticmethod(ndtri)
    power = staticmethod(np.power)
    remainder = staticmethod(np.remainder)
    floor_divide = staticmethod(np.floor_divide)
    sign = staticmethod(sign)
    sin = staticmethod(np.sin)
    sqrt = staticmethod(np.sqrt)
    tanh = staticmethod(np.tanh)
    where = staticmethod(np.where)


NUMPY_SCALARS = NumpyScalars()
