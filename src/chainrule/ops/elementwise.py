"""Elementwise ops, each with its derivative: one formula, one class."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.dtypes import bool_, dtype_of
from chainrule.errors import DivisionError, DtypeError, message
from chainrule.ops.op import Elementwise, Sample, Typed, register
from chainrule.ops.scalars import NUMPY_SCALARS

# ---------------------------------------------------------------- arithmetic


class Neg(Elementwise):
    """y = -x      x̄ = -ȳ      x: [...] -> y: [...]"""

    name = "neg"
    linear = True

    def scalar(self, s, x):
        return -x

    def vjp(self, y, y_bar, x):
        return (-y_bar,)


class Add(Elementwise):
    """y = a + b      ā = ȳ, b̄ = ȳ"""

    name = "add"
    arity = 2
    linear = True

    def scalar(self, s, a, b):
        return a + b

    def vjp(self, y, y_bar, a, b):
        return y_bar, y_bar


class Sub(Elementwise):
    """y = a - b      ā = ȳ, b̄ = -ȳ"""

    name = "sub"
    arity = 2
    linear = True

    def infer(self, a: Typed, b: Typed):
        if b.dtype is bool_:
            remedy = "a ^ b is true where they differ, a & ~b where only a is"
            raise DtypeError(message("sub", "bool - bool", "numbers", remedy=remedy))
        return super().infer(a, b)

    def scalar(self, s, a, b):
        return a - b

    def vjp(self, y, y_bar, a, b):
        return y_bar, -y_bar


class Mul(Elementwise):
    """y = a b      ā = ȳ b, b̄ = ȳ a"""

    name = "mul"
    arity = 2
    reads = ("b", "a")

    def scalar(self, s, a, b):
        return a * b

    def vjp(self, y, y_bar, a, b):
        return y_bar * b, y_bar * a


class Div(Elementwise):
    """y = a / b      ā = ȳ / b, b̄ = -ȳ y / b      b ≠ 0"""

    name = "div"
    arity = 2
    domain = (0.3, 3.0)
    reads = ("b", "y b")
    floats_only = True

    def scalar(self, s, a, b):
        return a / b

    def vjp(self, y, y_bar, a, b):
        return y_bar / b, -y_bar * y / b


def _no_whole_zero(name: str, sign: str, b: np.ndarray) -> None:
    """Raise where whole numbers are divided by 0; with floating-point ones that is ±∞ or NaN."""
    if b.dtype.kind != "f" and b.size and not b.all():
        place = np.argwhere(b == 0)[0].tolist()
        got = f"a whole number {sign} 0" + (f" at index {place}" if place else "")
        remedy = ".float() first gives ∞ or NaN there"
        raise DivisionError(message(name, got, "a divisor other than 0", remedy=remedy))


class FloorDivide(Elementwise):
    """y = ⌊a / b⌋      piecewise constant      raises for whole numbers where b is 0"""

    name = "floor_divide"
    arity = 2
    domain = (0.3, 3.0)
    differentiable = False
    why_not = "it is piecewise constant"

    def scalar(self, s, a, b):
        return s.floor_divide(a, b)

    def check(self, a, b):
        _no_whole_zero("floor_divide", "//", b)


class Remainder(Elementwise):
    """y = a - b ⌊a / b⌋ (the sign of b, as Python's %)      ā = ȳ, b̄ = -ȳ ⌊a / b⌋"""

    name = "remainder"
    arity = 2
    domain = (0.3, 3.0)
    reads = ("", "a b")

    def scalar(self, s, a, b):
        return s.remainder(a, b)

    def check(self, a, b):
        _no_whole_zero("remainder", "%", b)

    def vjp(self, y, y_bar, a, b):
        return y_bar, -y_bar * floor_divide(a, b)

    def samples(self, rng):
        whole = rng.integers(0, 3, (3, 4))
        b = rng.uniform(1.0, 2.0, (3, 4))
        yield Sample((b * (whole + rng.uniform(0.2, 0.8, (3, 4))), b))  # away from the jumps


class Pow(Elementwise):
    """y = a^b      ā = ȳ b a^(b-1), b̄ = ȳ y ln a      a > 0, or b a whole number

    ā is 0 where b = 0 (also at a = 0), b̄ is 0 where a = 0 and b ≥ 0: the limits, as in PyTorch.
    """

    name = "pow"
    arity = 2
    domain = (0.3, 2.5)
    any_strides = False
    reads = ("a b", "y a b")

    def scalar(self, s, a, b):
        return s.power(a, b)

    def check(self, a, b):
        if b.dtype.kind != "f" and b.size and b.min() < 0:
            raise DtypeError(_whole_to_negative("pow", int(b.min())))

    def vjp(self, y, y_bar, a, b):
        slope = where(b == 0, zeros_like(y), b * a ** (b - 1))
        flat = (a == 0) & (b >= 0)
        ln_a = log(where(flat, ones_like(a), a))
        return y_bar * slope, y_bar * where(flat, zeros_like(y), y * ln_a)


def _whole_to_negative(name: str, exponent: int) -> str:
    needs, remedy = "an exponent of 0 or more", ".float() first: x^-n is a fraction"
    return message(name, f"a whole number to the power {exponent}", needs, remedy=remedy)


class Power(Elementwise):
    """y = xⁿ for a fixed number n      x̄ = ȳ n xⁿ⁻¹      x > 0, or n a whole number"""

    name = "power"
    domain = (0.3, 2.5)
    any_strides = False
    reads = "x"

    def infer(self, x: Typed, *, exponent: float):
        if exponent < 0 and not x.dtype.is_floating_point:
            raise DtypeError(_whole_to_negative("power", int(exponent)))
        return super().infer(x)

    def scalar(self, s, x, *, exponent):
        return s.power(x, exponent)

    def vjp(self, y, y_bar, x, *, exponent):
        if exponent == 0:
            return (y_bar * 0.0,)
        return (y_bar * (exponent * x ** (exponent - 1)),)

    def samples(self, rng):
        for exponent in (0, 1, 3, -2, 1.5):
            yield Sample((rng.uniform(0.3, 2.5, (3, 4)),), {"exponent": exponent})


class Square(Elementwise):
    """y = x²      x̄ = 2 x ȳ"""

    name = "square"
    reads = "x"

    def scalar(self, s, x):
        return x * x

    def vjp(self, y, y_bar, x):
        return (y_bar * (2 * x),)


class Sqrt(Elementwise):
    """y = √x      x̄ = ȳ / 2y      x ≥ 0"""

    name = "sqrt"
    domain = (0.2, 4.0)
    reads = "y"
    floats_only = True

    def scalar(self, s, x):
        return s.sqrt(x)

    def vjp(self, y, y_bar, x):
        return (y_bar / (2 * y),)


class Abs(Elementwise):
    """y = |x|      x̄ = ȳ sign(x), 0 at the kink"""

    name = "abs"
    kinks = (0.0,)
    special = (0.0,)
    reads = "x"

    def scalar(self, s, x):
        return s.abs(x)

    def vjp(self, y, y_bar, x):
        return (y_bar * sign(x),)


class Sign(Elementwise):
    """y = -1, 0 or 1 by the sign of x; 0 for NaN, as in PyTorch      x̄ = 0, except at the jump"""

    name = "sign"
    differentiable = False
    why_not = "it is piecewise constant"

    def scalar(self, s, x):
        return s.sign(x)


class Floor(Elementwise):
    """y = ⌊x⌋      piecewise constant"""

    name = "floor"
    differentiable = False
    why_not = "it is piecewise constant"

    def scalar(self, s, x):
        return s.floor(x)


class Maximum(Elementwise):
    """y = max(a, b), NaN if either is      ā = 0 where a < b, ȳ/2 at a tie, else ȳ"""

    name = "maximum"
    arity = 2
    reads = "a b"

    def scalar(self, s, a, b):
        return s.maximum(a, b)

    def vjp(self, y, y_bar, a, b):
        return _unless(a < b, a == b, y_bar), _unless(b < a, a == b, y_bar)

    def samples(self, rng):
        yield from _apart(self, rng)


class Minimum(Elementwise):
    """y = min(a, b), NaN if either is      ā = 0 where a > b, ȳ/2 at a tie, else ȳ"""

    name = "minimum"
    arity = 2
    reads = "a b"

    def scalar(self, s, a, b):
        return s.minimum(a, b)

    def vjp(self, y, y_bar, a, b):
        return _unless(a > b, a == b, y_bar), _unless(b > a, a == b, y_bar)

    def samples(self, rng):
        yield from _apart(self, rng)


def _unless(loses: Any, ties: Any, y_bar: Any) -> Any:
    return where(loses, zeros_like(y_bar), where(ties, y_bar * 0.5, y_bar))


def _apart(op: Elementwise, rng: np.random.Generator):
    a = rng.uniform(-3, 3, (3, 4))
    yield Sample((a, a + rng.choice([-1.0, 1.0], (3, 4)) * rng.uniform(0.1, 1, (3, 4))))


# ---------------------------------------------------------------- exponentials and friends


class Exp(Elementwise):
    """y = eˣ      x̄ = ȳ y"""

    name = "exp"
    reads = "y"
    any_strides = False
    floats_only = True

    def scalar(self, s, x):
        return s.exp(x)

    def vjp(self, y, y_bar, x):
        return (y_bar * y,)


class Expm1(Elementwise):
    """y = eˣ - 1, exact near 0      x̄ = ȳ (y + 1)"""

    name = "expm1"
    reads = "y"
    any_strides = False
    floats_only = True

    def scalar(self, s, x):
        return s.expm1(x)

    def vjp(self, y, y_bar, x):
        return (y_bar * (y + 1),)


class Log(Elementwise):
    """y = ln x      x̄ = ȳ / x      x > 0"""

    name = "log"
    domain = (0.2, 4.0)
    reads = "x"
    any_strides = False
    floats_only = True

    def scalar(self, s, x):
        return s.log(x)

    def vjp(self, y, y_bar, x):
        return (y_bar / x,)


class Log1p(Elementwise):
    """y = ln(1 + x), exact near 0      x̄ = ȳ / (1 + x)      x > -1"""

    name = "log1p"
    domain = (-0.6, 4.0)
    reads = "x"
    any_strides = False
    floats_only = True

    def scalar(self, s, x):
        return s.log1p(x)

    def vjp(self, y, y_bar, x):
        return (y_bar / (1 + x),)


class Sin(Elementwise):
    """y = sin x      x̄ = ȳ cos x"""

    name = "sin"
    reads = "x"
    any_strides = False
    floats_only = True

    def scalar(self, s, x):
        return s.sin(x)

    def vjp(self, y, y_bar, x):
        return (y_bar * cos(x),)


class Cos(Elementwise):
    """y = cos x      x̄ = -ȳ sin x"""

    name = "cos"
    reads = "x"
    any_strides = False
    floats_only = True

    def scalar(self, s, x):
        return s.cos(x)

    def vjp(self, y, y_bar, x):
        return (-y_bar * sin(x),)


class Tanh(Elementwise):
    """y = tanh x      x̄ = ȳ (1 - y²)"""

    name = "tanh"
    reads = "y"
    any_strides = False
    floats_only = True

    def scalar(self, s, x):
        return s.tanh(x)

    def vjp(self, y, y_bar, x):
        return (y_bar * (1 - y * y),)


class Sigmoid(Elementwise):
    """y = σ(x) = 1 / (1 + e⁻ˣ)      x̄ = ȳ y (1 - y)

    Computed from e^(-|x|), which cannot overflow.
    """

    name = "sigmoid"
    reads = "y"
    any_strides = False
    floats_only = True

    def scalar(self, s, x):
        e = s.exp(-s.abs(x))
        return s.where(x >= 0, 1, e) / (1 + e)

    def vjp(self, y, y_bar, x):
        return (y_bar * (y * (1 - y)),)


class Erf(Elementwise):
    """y = 2/√π ∫₀ˣ exp(-t²) dt      x̄ = ȳ 2/√π exp(-x²)"""

    name = "erf"
    reads = "x"
    any_strides = False
    floats_only = True

    def scalar(self, s, x):
        return s.erf(x)

    def vjp(self, y, y_bar, x):
        return (y_bar * (1.1283791670955126 * exp(-(x * x))),)


class Relu(Elementwise):
    """y = max(x, 0), NaN stays NaN      x̄ = 0 where y ≤ 0 (also at the kink), else ȳ"""

    name = "relu"
    kinks = (0.0,)
    special = (0.0,)
    reads = "y"

    def scalar(self, s, x):
        return s.maximum(x, 0)

    def vjp(self, y, y_bar, x):
        return (where(y <= 0, zeros_like(y_bar), y_bar),)


# ---------------------------------------------------------------- choice


class Where(Elementwise):
    """y = a where c, else b      ā = ȳ where c else 0, b̄ = 0 where c else ȳ      c: bool[...]"""

    name = "where"
    arity = 3
    reads = "c"

    def infer(self, c: Typed, a: Typed, b: Typed, **meta: Any):
        if c.dtype is not bool_:
            raise DtypeError(message("where", f"a {c.dtype.name} condition", "bool"))
        return super().infer(c, a, b)

    def scalar(self, s, c, a, b):
        return s.where(c, a, b)

    def vjp(self, y, y_bar, c, a, b):
        nothing = zeros_like(y_bar)
        return None, where(c, y_bar, nothing), where(c, nothing, y_bar)

    def samples(self, rng):
        c = rng.integers(0, 2, (3, 4)).astype(bool)
        yield Sample((c, rng.normal(size=(3, 4)), rng.normal(size=(3, 4))))


# ---------------------------------------------------------------- types


class Cast(Elementwise):
    """y = x as another dtype      x̄ = ȳ as the dtype of x, between floating types"""

    name = "cast"

    def infer(self, x: Typed, *, dtype: str):
        return x.shape, dtype_of(dtype)

    def scalar(self, s, x, *, dtype):
        return s.cast(x, dtype_of(dtype))

    def reference(self, x, *, dtype):
        return self.scalar(NUMPY_SCALARS, x, dtype=dtype)

    def vjp(self, y, y_bar, x, *, dtype):
        return (cast(y_bar, dtype=x.dtype.name),)

    def samples(self, rng):
        yield Sample((rng.normal(size=(3, 4)),), {"dtype": "float64"})


neg = register(Neg())
add = register(Add())
sub = register(Sub())
mul = register(Mul())
div = register(Div())
floor_divide = register(FloorDivide())
remainder = register(Remainder())
pow_ = register(Pow())
power = register(Power())
square = register(Square())
sqrt = register(Sqrt())
abs_ = register(Abs())
sign = register(Sign())
floor = register(Floor())
maximum = register(Maximum())
minimum = register(Minimum())
exp = register(Exp())
expm1 = register(Expm1())
log = register(Log())
log1p = register(Log1p())
sin = register(Sin())
cos = register(Cos())
tanh = register(Tanh())
sigmoid = register(Sigmoid())
erf = register(Erf())
relu = register(Relu())
where = register(Where())
cast = register(Cast())


def zeros_like(x: Any) -> Any:
    """A number 0 of x's dtype, for the places of a formula where nothing flows."""
    return x.number(0)


def ones_like(x: Any) -> Any:
    """A number 1 of x's dtype."""
    return x.number(1)
