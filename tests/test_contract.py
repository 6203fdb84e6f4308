"""Every op keeps the contract of ops/op.py; and each check can fail, as planted wrong ops show."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.dtypes import dtype_of
from chainrule.ops import REGISTRY, Elementwise, Sample
from chainrule.ops.history import Assign
from chainrule.ops.movement import Movement
from chainrule.ops.op import Op
from chainrule.ops.windows import Type

STEP = 1e-6

EVERY = pytest.mark.parametrize("op", REGISTRY.values(), ids=lambda op: op.name)
DIFFERENTIABLE = pytest.mark.parametrize(
    "op", [op for op in REGISTRY.values() if op.differentiable], ids=lambda op: op.name
)


def samples(op: Op) -> list[Sample]:
    return list(op.samples(np.random.default_rng(0)))


def floating(sample: Sample) -> tuple[int, ...]:
    """The inputs whose derivative is checked."""
    if sample.differentiable is not None:
        return sample.differentiable
    return tuple(i for i, a in enumerate(sample.inputs) if np.asarray(a).dtype.kind == "f")


def tensors(sample: Sample, wanted: tuple[int, ...]) -> list[cr.Tensor]:
    return [cr.tensor(a, requires_grad=i in wanted) for i, a in enumerate(sample.inputs)]


# ---------------------------------------------------------------- the checks


def check_words(op: Op) -> None:
    """A formula; a vjp, or why there is none."""
    is_leaf = type(op).infer is Op.infer
    assert type(op).__doc__ and ("=" in op.formula or is_leaf), f"{op.name} has no formula"
    if op.differentiable:
        assert type(op).vjp is not Op.vjp, f"{op.name} has no vjp"
        assert not op.why_not
    else:
        assert op.why_not, f"{op.name} does not say why it has no derivative"


def check_shape_rule(op: Op, sample: Sample) -> None:
    """infer equals what the reference returns, for float32 as for float64."""
    for kind in (np.float64, np.float32):
        arrays = [np.asarray(a) for a in sample.inputs]
        arrays = [a.astype(kind) if a.dtype.kind == "f" else a for a in arrays]
        types = [Type(a.shape, dtype_of(a.dtype)) for a in arrays]
        shape, dtype = op.infer(*types, **sample.meta)
        y = op.reference(*arrays, **sample.meta)
        assert isinstance(y, np.ndarray | np.generic), f"{op.name} returns {type(y)}"
        assert (y.shape, y.dtype) == (shape, dtype.numpy), f"{op.name} {kind.__name__}"


def check_gradient(function, arrays, wanted, tolerance: float) -> None:
    """⟨y, r⟩ along a random direction: central difference against the error signals."""
    rng = np.random.default_rng(1)
    sources = [cr.tensor(a, requires_grad=i in wanted) for i, a in enumerate(arrays)]
    y = function(*sources)
    r = rng.normal(size=y.shape)
    if not y.requires_grad:
        return
    bars = cr.autograd.grad(y, [sources[i] for i in wanted], cr.tensor(r), allow_unused=True)
    for i, bar in zip(wanted, bars, strict=True):
        direction = rng.normal(size=arrays[i].shape)

        def along(step, i=i, direction=direction):
            moved = [a + step * direction if j == i else a for j, a in enumerate(arrays)]
            return function(*map(cr.tensor, moved)).numpy()

        difference = np.sum(r * (along(STEP) - along(-STEP))) / (2 * STEP)
        exact = 0.0 if bar is None else np.sum(bar.numpy() * direction)
        assert bar is None or bar.shape == arrays[i].shape
        scale = max(1.0, abs(exact), float(np.abs(r * y.numpy()).sum()))
        assert abs(difference - exact) <= tolerance * scale, f"input {i}: {difference} != {exact}"


def check_vjp(op: Op, sample: Sample) -> None:
    arrays = [np.asarray(a) for a in sample.inputs]
    check_gradient(lambda *x: op(*x, **sample.meta), arrays, floating(sample), op.tolerance)


def check_second_order(op: Op, sample: Sample) -> None:
    """The error signals are differentiable themselves: the vjp of the vjp."""
    arrays = [np.asarray(a) for a in sample.inputs]
    wanted = floating(sample)
    shape = op.reference(*arrays, **sample.meta).shape
    y_bar = np.random.default_rng(2).normal(size=shape)
    for i in wanted:

        def error_signal(y_bar, *x, i=i):
            with cr.enable_grad():
                x = [v if v.requires_grad or j != i else v.clone() for j, v in enumerate(x)]
                x[i] = x[i] if x[i].requires_grad else x[i].requires_grad_()
                y = op(*x, **sample.meta)
                (bar,) = cr.autograd.grad(y, x[i], y_bar, create_graph=True, allow_unused=True)
            return bar if bar is not None else x[i] * 0

        moved = (0, *(j + 1 for j in wanted))
        check_gradient(error_signal, [y_bar, *arrays], moved, 10 * op.tolerance)


def poison(array: np.ndarray) -> np.ndarray:
    """Values that spoil whatever reads them."""
    if array.dtype.kind == "f":
        return np.full_like(array, np.nan)
    return ~array if array.dtype.kind == "b" else np.full_like(array, np.iinfo(array.dtype).max)


def check_reads(op: Op, sample: Sample) -> None:
    """What lies outside ``reads`` may be lost: NaN there changes no error signal."""
    for i in floating(sample):
        results = []
        for spoil in (False, True):
            sources = tensors(sample, (i,))
            y = op(*sources, **sample.meta)
            node = y._node
            inputs = node.inputs
            y.numpy()
            read = op.reads_of(i, len(inputs))
            for position, source in [(-1, node), *enumerate(inputs)]:
                if spoil and position not in read:
                    source.value = poison(source.value)
            seed = np.random.default_rng(3).normal(size=y.shape)
            (bar,) = cr.autograd.grad(y, sources[i], cr.tensor(seed), allow_unused=True)
            results.append(None if bar is None else bar.numpy())
        clean, spoiled = results
        if clean is not None:
            np.testing.assert_array_equal(clean, spoiled, err_msg=f"{op.name} reads more than told")


def strided(array: np.ndarray) -> list[np.ndarray]:
    """The same numbers with other strides."""
    wide = np.zeros(tuple(2 * n for n in array.shape), array.dtype)
    gaps = wide[(..., *(slice(None, None, 2),) * array.ndim)]
    gaps[...] = array
    backwards = np.flip(np.flip(array).copy())
    return [gaps, np.array(array, order="F"), backwards]


def check_strides(op: Op, sample: Sample) -> None:
    arrays = [np.asarray(a) for a in sample.inputs]
    expected = op.reference(*arrays, **sample.meta)
    for others in zip(*map(strided, arrays), strict=True):
        got = op.reference(*others, **sample.meta)
        np.testing.assert_array_equal(got, expected, err_msg=f"{op.name} depends on strides")


def check_linear(op: Op, sample: Sample) -> None:
    rng = np.random.default_rng(4)
    arrays = [np.asarray(a) for a in sample.inputs]
    others = [rng.normal(size=a.shape) if a.dtype.kind == "f" else a for a in arrays]
    both = [
        2 * a - 3 * b if a.dtype.kind == "f" else a for a, b in zip(arrays, others, strict=True)
    ]
    y = [op.reference(*x, **sample.meta) for x in (arrays, others, both)]
    np.testing.assert_allclose(y[2], 2 * y[0] - 3 * y[1], atol=1e-12)


# ---------------------------------------------------------------- all ops keep it


@EVERY
def test_formula_and_derivative_or_why_not(op):
    check_words(op)


@EVERY
def test_samples_and_the_shape_rule(op):
    found = samples(op)
    assert found or type(op).infer is Op.infer, f"{op.name} has no samples"
    for sample in found:
        check_shape_rule(op, sample)


@DIFFERENTIABLE
def test_vjp_is_the_derivative(op):
    for sample in samples(op):
        check_vjp(op, sample)


@DIFFERENTIABLE
def test_vjp_of_the_vjp(op):
    for sample in samples(op)[:3]:
        check_second_order(op, sample)


@DIFFERENTIABLE
def test_nothing_is_read_that_reads_does_not_name(op):
    for sample in samples(op):
        check_reads(op, sample)


@pytest.mark.parametrize(
    "op", [op for op in REGISTRY.values() if op.any_strides], ids=lambda op: op.name
)
def test_strides_do_not_matter(op):
    for sample in samples(op):
        check_strides(op, sample)


@pytest.mark.parametrize(
    "op", [op for op in REGISTRY.values() if op.linear], ids=lambda op: op.name
)
def test_linear_ops_are_linear(op):
    for sample in samples(op):
        check_linear(op, sample)


@EVERY
def test_the_names_of_reads_are_inputs(op):
    count = max((len(s.inputs) for s in samples(op)), default=0)
    for index in range(count if op.differentiable else 0):
        assert all(-1 <= position < count for position in op.reads_of(index, count))


def test_assign_passes_its_error_signal_to_the_history_alone():
    value, history = (cr.tensor([n], requires_grad=True) for n in (1.0, 2.0))
    y = REGISTRY["assign"](value * 1, history * 1)
    assert y.item() == 1
    y.backward()
    assert value.grad is None and history.grad.item() == 1
    assert samples(Assign())[0].differentiable == ()


# ---------------------------------------------------------------- each check can fail


class Good(Elementwise):
    """y = tanh x      x̄ = ȳ (1 - y²)"""

    name = "planted"
    reads = "y"
    any_strides = False

    def scalar(self, s, x):
        return s.tanh(x)

    def vjp(self, y, y_bar, x):
        return (y_bar * (1 - y * y),)


class WrongDerivative(Good):
    """y = tanh x      x̄ = ȳ (1 - y)"""

    def vjp(self, y, y_bar, x):
        return (y_bar * (1 - y),)


class WrongSecond(Good):
    """y = tanh x      x̄ = ȳ (1 - y²), cut off from y"""

    def vjp(self, y, y_bar, x):
        return (y_bar * (1 - y.detach() ** 2),)


class ReadsMore(Good):
    """y = tanh x      x̄ = ȳ (1 - tanh² x), which reads x"""

    def vjp(self, y, y_bar, x):
        return (y_bar * (1 - x.tanh() ** 2),)


class WrongShape(Good):
    """y = tanh x, but of one axis more"""

    def infer(self, x):
        return (*x.shape, 1), x.dtype


class WrongType(Good):
    """y = tanh x, always in float64"""

    def reference(self, x):
        return np.tanh(x.astype(np.float64))


class Silent(Good):
    """y = tanh x"""

    differentiable = False


class NoFormula(Good):
    """The hyperbolic tangent."""


class NoVjp(Elementwise):
    """y = x"""

    name = "planted"


class MinusMinus(Movement):
    """y = x, but the numbers as they lie in memory"""

    name = "planted"

    def infer(self, x):
        return x.shape, x.dtype

    def reference(self, x):
        return x.ravel("K").reshape(x.shape)


class Bent(Good):
    """y = tanh x, which calls itself linear"""

    linear = True


SAMPLE = Sample((np.array([[0.3, -0.7], [1.2, 0.1]]),))


@pytest.mark.parametrize(
    ("check", "wrong"),
    [
        (check_vjp, WrongDerivative),
        (check_second_order, WrongSecond),
        (check_reads, ReadsMore),
        (check_shape_rule, WrongShape),
        (check_shape_rule, WrongType),
        (check_strides, MinusMinus),
        (check_linear, Bent),
    ],
    ids=lambda x: x.__name__,
)
def test_a_wrong_op_is_caught(check, wrong):
    if check not in (check_strides, check_linear):
        check(Good(), SAMPLE)
    with pytest.raises(AssertionError):
        check(wrong(), SAMPLE)


@pytest.mark.parametrize("wrong", [Silent, NoVjp, NoFormula])
def test_an_op_that_says_too_little_is_caught(wrong):
    check_words(Good())
    with pytest.raises(AssertionError):
        check_words(wrong())
