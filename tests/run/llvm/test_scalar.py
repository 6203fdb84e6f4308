"""Every elementwise formula as machine code, against the NumPy reference, at three widths."""

import ctypes
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special as special_functions

from chainrule.dtypes import bool_, float32, float64, int32, int64, uint8
from chainrule.errors import ChainruleError, DtypeError
from chainrule.ops import REGISTRY, Elementwise, scalars
from chainrule.ops.op import Op
from chainrule.ops.windows import Type
from chainrule.run.llvm.engine import engine
from chainrule.run.llvm.scalar import Scalars, Value
from chainrule.run.llvm.text import Text
from chainrule.run.llvm.value import kind_of

WIDTHS = (16, 8, 1)
FARTHEST = 2.0**49  # sin and cos are the C library's from there on
DTYPES = (float32, float64, int64, int32, uint8, bool_)
OPS = [op for op in REGISTRY.values() if isinstance(op, Elementwise)]


def in_memory(dtype):
    return uint8 if dtype is bool_ else dtype


def kernel(formula, dtypes, result, width):
    """The text of y[i] = formula(s, x0[i], x1[i], …) for i < n, a multiple of width."""
    text = Text("k", ["ptr %y", "i64 %n", *(f"ptr %x{k}" for k in range(len(dtypes)))])
    with text.loop("0", "%n", str(width)) as loop:
        values = []
        for k, dtype in enumerate(dtypes):
            byte = in_memory(dtype)
            place = text.at(kind_of(byte, 1), f"%x{k}", loop.index)
            value = Value(text, text.load(kind_of(byte, width), place), byte, width)
            values.append(value != 0 if dtype is bool_ else value)
        s = Scalars(text, width)
        y = s.cast(s.cast(formula(s, *values), result), in_memory(result))
        text.store(y.kind, y.name, text.at(kind_of(y.dtype, 1), "%y", loop.index))
    text.do("ret void")
    return text.module()


def compute(formula, arrays, result, width=16):
    """The formula of 1-D arrays, run as machine code."""
    dtypes = [next(d for d in DTYPES if d.numpy == a.dtype) for a in arrays]
    address = engine().function(kernel(formula, dtypes, result, width), "k")
    pointers = [ctypes.c_void_p] * len(arrays)
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, *pointers)(address)
    (n,) = {len(a) for a in arrays}
    padding = -n % width
    arrays = [np.concatenate([a, a[:1].repeat(padding)]) for a in arrays]
    y = np.zeros(n + padding, result.numpy)
    run(y.ctypes.data, n + padding, *(a.ctypes.data for a in arrays))
    return y[:n]


def same_at_every_width(formula, arrays, result):
    wide, *others = [compute(formula, arrays, result, width) for width in WIDTHS]
    for other in others:
        assert wide.tobytes() == other.tobytes()
    return wide


def bits(x):
    """The bytes, with one NaN for all."""
    return np.where(np.isnan(x), np.nan, x).tobytes()


# ---------------------------------------------------------------- every op of the registry


def special(dtype):
    if dtype is bool_:
        return np.array([False, True])
    if not dtype.is_floating_point:
        ends = np.iinfo(dtype.numpy)
        numbers = [0, 1, 2, 3, 7, 31, ends.max, ends.min, ends.max - 1]
        return np.array(numbers + ([-1, -2, -7] if ends.min else []), dtype.numpy)
    ends = np.finfo(dtype.numpy)
    numbers = [0.0, 0.5, 0.625, 1.0, 2.0, 2.5, 3.0, 30.0, 88.0, 710.0, 1e-5, 1e10]
    numbers += [ends.tiny, ends.max, np.inf, ends.eps, 2.0**23, 0.7071067]
    return np.array([*numbers, *(-n for n in numbers), np.nan], dtype.numpy)


def cases(op, dtype):
    """Samples and all tuples of special values: (arrays, meta)."""
    rng = np.random.default_rng(0)
    for sample in op.samples(rng):
        if not sample.inputs[0].size:
            continue
        arrays = np.broadcast_arrays(*sample.inputs)
        conditions = [a.dtype.kind == "b" for a in arrays]
        kinds = [np.dtype(bool) if c else dtype.numpy for c in conditions]
        yield [a.reshape(-1).astype(k) for a, k in zip(arrays, kinds, strict=True)], sample.meta
        values = [special(bool_ if c else dtype) for c in conditions]
        yield [g.reshape(-1) for g in np.meshgrid(*values)], sample.meta


def admitted(op, arrays, meta):
    """The dtype of the result, or None where NumPy or the op's own rule refuses the types."""
    try:
        _, result = op.infer(*(Type(a.shape, dtype(a)) for a in arrays), **meta)
        op.reference(*(a[:1] for a in arrays), **meta)
    except (DtypeError, TypeError):
        return None
    return result


def dtype(array):
    return next(d for d in DTYPES if d.numpy == array.dtype)


def closely(y, expected, rounded):
    """Equal, or in functions that round within 4 ulp: two of ours, two of NumPy's."""
    ends = np.finfo(y.dtype) if rounded and y.dtype.kind == "f" else None
    rtol, atol = (4 * ends.eps, 2 * ends.tiny) if ends else (0, 0)
    np.testing.assert_allclose(y, expected, rtol, atol)


ROUNDED = {"exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "erf", "pow", "power", "sigmoid"}


def accepted(op, arrays, meta):
    """The rows that the op's own check lets pass, such as those with a divisor other than 0."""
    if type(op).check is Op.check:
        return arrays

    def passes(*row):
        try:
            op.check(*row, **meta)
        except ChainruleError:
            return False
        return True

    keep = np.array([passes(*row) for row in zip(*arrays, strict=True)])
    return [a[keep] for a in arrays]


@pytest.mark.parametrize("kind", DTYPES, ids=lambda d: d.name)
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_op_is_what_the_reference_computes(op, kind):
    for arrays, meta in cases(op, kind):
        arrays = accepted(op, arrays, meta)
        result = admitted(op, arrays, meta)
        if result is None:
            continue
        y = same_at_every_width(lambda s, *x, m=meta: op.scalar(s, *x, **m), arrays, result)
        closely(y, op.reference(*arrays, **meta), op.name in ROUNDED)


PAIRED = [op for op in OPS if op.arity == 2]


@pytest.mark.parametrize("kind", [float32, int32], ids=lambda d: d.name)
@pytest.mark.parametrize("op", PAIRED, ids=lambda op: op.name)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_operand_known_beforehand_changes_no_bit(op, kind):
    x = special(kind)
    for number in x[x > 0][:6].tolist() + ([-0.0, np.nan] if kind is float32 else []):
        both = [x, np.full_like(x, number)]
        result = admitted(op, both, {})
        if result is None:
            continue
        known = compute(lambda s, a, n=number: op.scalar(s, a, s.constant(n, kind)), [x], result)
        assert bits(known) == bits(compute(op.scalar, both, result))


# ---------------------------------------------------------------- how exact functions are

F32 = {  # measured over all 2³² float32, rounded up
    "exp": (np.exp, 0.9),
    "expm1": (np.expm1, 1.6),
    "log": (np.log, 1.0),
    "log1p": (np.log1p, 1.5),
    "tanh": (np.tanh, 1.9),
    "erf": (special_functions.erf, 1.1),
    "sin": (np.sin, 1.6),
    "cos": (np.cos, 1.6),
}
# What C's own functions may add to a bound, where no type is longer than float64.
SLACK = 0 if np.finfo(np.longdouble).nmant > 60 else 1
F64 = {name: (None if name == "erf" else exact, 2.0) for name, (exact, _) in F32.items()}


def ulps(y, exact):
    """The largest error in units of the last place; what is denormal may be 0."""
    ends = np.finfo(y.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = exact.astype(y.dtype)
        unit = np.spacing(np.maximum(np.abs(rounded), ends.tiny)).astype(exact.dtype)
        error = np.abs(y.astype(exact.dtype) - exact) / unit
    alike = (y == rounded) | (np.isnan(y) & np.isnan(rounded))
    vanished = (np.abs(exact) < ends.tiny) & (y == 0)
    unknown = np.where(alike | vanished, 0.0, np.inf)  # where the difference is no number
    return float(np.max(np.where(np.isfinite(error) & ~vanished, error, unknown)))


def bit_patterns(kind, count):
    """Floats of all magnitudes, NaN and infinities among them, and the special ones."""
    word = {np.float32: np.uint32, np.float64: np.uint64}[kind]
    x = np.random.default_rng(0).integers(0, np.iinfo(word).max, count, word).view(kind)
    x = np.concatenate([x, special(float32 if kind is np.float32 else float64)])
    return np.where(np.abs(x) < np.finfo(kind).tiny, np.copysign(kind(0), x), x)


def near_0(kind, count):
    """Where functions are interesting."""
    rng = np.random.default_rng(1)
    return np.concatenate([rng.uniform(-r, r, count) for r in (1, 3, 20, 100)]).astype(kind)


@pytest.mark.parametrize("name", F32)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_float32_functions_are_as_exact_as_they_say(name):
    exact, bound = F32[name]
    x = np.concatenate([bit_patterns(np.float32, 1_000_000), near_0(np.float32, 100_000)])
    y = compute(lambda s, x: getattr(s, name)(x), [x], float32)
    assert ulps(y, exact(x.astype(np.float64))) <= bound


@pytest.mark.parametrize("name", F64)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_float64_functions_are_within_2_ulp(name):
    exact, bound = F64[name]
    x = np.concatenate([bit_patterns(np.float64, 20_000), near_0(np.float64, 20_000)])
    y = compute(lambda s, x: getattr(s, name)(x), [x], float64)
    if exact is None:
        assert ulps(y, np.array([math.erf(v) for v in x])) <= bound + 1
    else:
        assert ulps(y, exact(x.astype(np.longdouble))) <= bound + SLACK


def angles_near_quarters():
    """Float64 next to multiples of π/2, nearer than any others of their size: m 2ᵉ ≈ n π/2."""
    pi = Fraction(
        "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899"
    )
    for e in range(-52, -3):
        rest, (m, before), (n, n_before) = pi / 2 / Fraction(2) ** e, (1, 0), (0, 1)
        while m < 2**53:  # the convergents m / n of π/2 2⁻ᵉ
            whole = rest.numerator // rest.denominator
            m, before, n, n_before = whole * m + before, m, whole * n + n_before, n
            rest = 1 / (rest - whole)
            if 0 < m < 2**53:
                yield m * 2.0**e


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_angles_near_multiples_of_a_quarter_turn(name):
    x = np.array(list(angles_near_quarters()))
    y = compute(lambda s, x: getattr(s, name)(x), [x], float64)
    assert np.abs(y).min() < 1e-16
    assert ulps(y, F32[name][0](x.astype(np.longdouble))) <= 2 + SLACK


@pytest.mark.parametrize("name", F32)
def test_functions_keep_the_sign_of_zero(name):
    zeros = np.array([0.0, -0.0], np.float32)
    y = compute(lambda s, x: getattr(s, name)(x), [zeros], float32)
    if name in ("exp", "cos", "log"):
        assert y.tolist() == [1.0, 1.0] if name != "log" else [-np.inf, -np.inf]
    else:
        assert np.signbit(y).tolist() == [False, True]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_sigmoid_as_its_formula_is_written():
    x = np.concatenate([bit_patterns(np.float32, 200_000), near_0(np.float32, 100_000)])
    (sigmoid,) = (op for op in OPS if op.name == "sigmoid")
    y = compute(sigmoid.scalar, [x], float32)
    assert ulps(y, special_functions.expit(x.astype(np.float64))) <= 2.4  # 1 + e rounds as well


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_far_angles_are_numpys(name):
    x = np.array([FARTHEST, -1e30, 1.5e15, 1e300, 3.0])
    y = compute(lambda s, x: getattr(s, name)(x), [x], float64)
    assert np.allclose(y, getattr(np, name)(x), rtol=1e-15, atol=0)


@pytest.mark.parametrize("end", [88.7228, -87.3365])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_exp_at_the_ends_of_its_range(end):
    around = np.float32(end).view(np.int32) + np.arange(-500, 500, dtype=np.int32)
    x = around.view(np.float32)
    y = compute(lambda s, x: s.exp(x), [x], float32)
    assert ulps(y, np.exp(x.astype(np.float64))) <= 0.9
    assert {True, False} == set(np.isfinite(y)) or {True, False} == set(y == 0)


def test_bits_are_equal_at_every_width():
    x = np.concatenate([bit_patterns(np.float32, 10_000), near_0(np.float32, 1000)])
    for name in F32:
        same_at_every_width(lambda s, x, name=name: getattr(s, name)(x), [x], float32)


# ---------------------------------------------------------------- powers


@pytest.mark.parametrize("exponent", [0, 0.5, 1, 2, 3, -1, -2, 5, -7, 64, 1.5, -0.25, 33.3, 100.0])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_fixed_powers_of_floats(exponent):
    def exactly(x, n):
        return np.sqrt(x) if n == 0.5 else np.power(x, n)  # pow(-∞, 0.5) of C is ∞

    x = bit_patterns(np.float32, 100_000)
    y = compute(lambda s, x: s.power(x, exponent), [x], float32)
    assert ulps(y, exactly(x.astype(np.float64), np.float32(exponent))) <= 1.3
    x = x.astype(np.float64)
    y = compute(lambda s, x: s.power(x, exponent), [x], float64)
    assert ulps(y, exactly(x.astype(np.longdouble), exponent)) <= 1.3 + SLACK


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_powers_of_floats():
    rng = np.random.default_rng(0)
    a = 10.0 ** np.concatenate([rng.uniform(-30, 30, 50_000), rng.uniform(-0.1, 0.1, 50_000)])
    b = np.concatenate([rng.uniform(-10, 10, 50_000), rng.uniform(-3000, 3000, 50_000)])
    y = compute(lambda s, a, b: s.power(a, b), [a, b], float64)
    assert ulps(y, np.power(a.astype(np.longdouble), b.astype(np.longdouble))) <= 1.1 + SLACK
    a, b = a.astype(np.float32), b.astype(np.float32)
    y = compute(lambda s, a, b: s.power(a, b), [a, b], float32)
    assert ulps(y, np.power(a.astype(np.float64), b.astype(np.float64))) <= 0.51


@pytest.mark.parametrize("kind", [int64, int32, uint8], ids=lambda d: d.name)
def test_powers_of_whole_numbers_lose_what_does_not_fit(kind):
    a = special(kind)
    for exponent in (0, 1, 2, 3, 7, 63, 100):
        y = same_at_every_width(lambda s, x, n=exponent: s.power(x, n), [a], kind)
        np.testing.assert_array_equal(y, np.power(a, np.full_like(a, exponent)))


# ---------------------------------------------------------------- quotients

FLOATS = st.floats(allow_subnormal=False, width=32)
PAIRS = st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=40)


def quotient_and_rest(a, b, kind):
    q = compute(lambda s, a, b: s.floor_divide(a, b), [a, b], kind, width=8)
    return q, compute(lambda s, a, b: s.remainder(a, b), [a, b], kind, width=8)


@given(PAIRS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_quotients_of_floats_are_numpys_bits(pairs):
    for kind in (float32, float64):
        a, b = np.array(pairs, kind.numpy).T.copy()
        q, rest = quotient_and_rest(a, b, kind)
        assert bits(q) == bits(np.floor_divide(a, b))
        assert bits(rest) == bits(np.remainder(a, b))


@pytest.mark.parametrize("kind", [float32, float64], ids=lambda d: d.name)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_quotients_of_all_magnitudes(kind):
    a = bit_patterns(kind.numpy.type, 20_000)
    b = np.random.default_rng(2).permutation(a)
    b[::3] = a[::3] * kind.numpy.type(0.3)  # and some that are near
    tiny = np.finfo(kind.numpy).tiny
    q, rest = quotient_and_rest(a, b, kind)
    expected = np.remainder(a, b)
    normal = ~(np.abs(expected) < tiny) | (expected == 0)
    assert normal.mean() > 0.9
    np.testing.assert_array_equal(rest[normal], expected[normal])
    np.testing.assert_array_equal(q[normal], np.floor_divide(a, b)[normal])


@pytest.mark.parametrize("kind", [float32, float64], ids=lambda d: d.name)
def test_quotients_of_as_many_digits_as_there_are(kind):
    rng = np.random.default_rng(3)
    a = rng.uniform(1, 0.5 / np.finfo(kind.numpy).eps, 20_000).astype(kind.numpy)
    b = rng.uniform(0.001, 3, 20_000).astype(kind.numpy)
    q, rest = quotient_and_rest(a, b, kind)
    np.testing.assert_array_equal(q, np.floor_divide(a, b))
    np.testing.assert_array_equal(rest, np.remainder(a, b))


@pytest.mark.parametrize("kind", [int64, int32, uint8], ids=lambda d: d.name)
def test_a_whole_number_by_zero_is_no_fault_of_the_processor(kind):
    a = special(kind)
    for width in WIDTHS:
        for name in ("floor_divide", "remainder"):
            compute(lambda s, a, b, n=name: getattr(s, n)(a, b), [a, a * 0], kind, width)


@pytest.mark.parametrize("kind", [int64, int32, uint8], ids=lambda d: d.name)
@pytest.mark.parametrize("divisor", [1, 2, 8, 128, 3, 10])
def test_quotients_by_a_number(kind, divisor):
    a = special(kind)
    y = same_at_every_width(lambda s, a: s.floor_divide(a, divisor), [a], kind)
    np.testing.assert_array_equal(y, np.floor_divide(a, a.dtype.type(divisor)))
    y = same_at_every_width(lambda s, a: s.remainder(a, divisor), [a], kind)
    np.testing.assert_array_equal(y, np.remainder(a, a.dtype.type(divisor)))


# ---------------------------------------------------------------- the normal quantile


@pytest.mark.parametrize("kind", [float32, float64], ids=lambda d: d.name)
def test_the_normal_quantile_has_the_references_bits(kind):
    rng = np.random.default_rng(0)
    ends = 10.0 ** rng.uniform(-30, -1, 20_000)
    others = [0.0, 1.0, 0.5, 0.075, 0.925, -0.1, 1.1, np.nan, np.inf, -np.inf]
    u = np.concatenate([rng.uniform(0, 1, 100_000), ends, 1 - ends, others]).astype(kind.numpy)
    y = same_at_every_width(lambda s, u: s.ndtri(u), [u], kind)
    assert bits(y) == bits(scalars.ndtri(u))


# ---------------------------------------------------------------- types


@pytest.mark.parametrize("target", DTYPES, ids=lambda d: d.name)
@pytest.mark.parametrize("source", DTYPES, ids=lambda d: d.name)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_casts_are_numpys(source, target):
    x = special(source)
    if source.is_floating_point and not target.is_floating_point and target is not bool_:
        least = -(2.0**31) if target is not int64 else -(2.0**63)
        x = x[(x >= least) & (x < -least)]
    y = same_at_every_width(lambda s, x: s.cast(x, target), [x], target)
    np.testing.assert_array_equal(y, x.astype(target.numpy))


@pytest.mark.parametrize("source", [float32, float64], ids=lambda d: d.name)
def test_what_no_whole_number_holds_becomes_the_least(source):
    x = np.array([np.nan, np.inf, -np.inf, 2.0**63, -(2.0**64), 1e30], source.numpy)
    for target, least in ((int32, -(2**31)), (int64, -(2**63)), (uint8, 0)):
        y = same_at_every_width(lambda s, x, t=target: s.cast(x, t), [x], target)
        assert y.tolist() == [least] * len(x)


# ---------------------------------------------------------------- values


def test_numbers_stand_on_either_side():
    x = np.array([0.5, 2.0, -4.0], np.float32)
    y = same_at_every_width(lambda s, x: (1 - x) * (2 / x) + (3 + 2 * x), [x], float32)
    np.testing.assert_array_equal(y, (1 - x) * (2 / x) + (3 + 2 * x))
    y = compute(lambda s, x: s.maximum(0, s.minimum(x, 1)), [x], float32)
    assert y.tolist() == [0.5, 1.0, 0.0]
    y = compute(lambda s, x: s.copysign(3, x), [x], float32)
    assert y.tolist() == [3.0, 3.0, -3.0]


def test_an_extreme_of_nan_is_nan_on_either_side():
    a = np.array([np.nan, 1.0, np.nan], np.float32)
    b = np.array([1.0, np.nan, np.nan], np.float32)
    for name in ("maximum", "minimum"):
        assert np.isnan(compute(lambda s, a, b, n=name: getattr(s, n)(a, b), [a, b], float32)).all()
        assert np.isnan(compute(lambda s, a, n=name: getattr(s, n)(a, 0), [a[:1]], float32)).all()
        assert np.isnan(compute(lambda s, a, n=name: getattr(s, n)(0, a), [a[:1]], float32)).all()


def test_logic_of_numbers():
    a, b = np.array([0.0, 2.0, np.nan, 0.0]), np.array([1.0, -1.0, 0.0, 0.0])
    y = compute(lambda s, a, b: s.logical_and(a, b), [a, b], bool_)
    assert y.tolist() == [False, True, False, False]
    y = compute(lambda s, a, b: s.logical_or(a, b), [a, b], bool_)
    assert y.tolist() == [True, True, True, False]
    assert compute(lambda s, a: s.logical_not(a), [a], bool_).tolist() == [True, False, False, True]


def test_a_value_is_not_true_or_false():
    text = Text("k", ["float %x"])
    with pytest.raises(TypeError, match=r"s\.where chooses"):
        bool(Value(text, "%x", float32, 1) > 0)
