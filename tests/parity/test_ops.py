"""Functions of tensors against PyTorch, forward and backward in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.ops import REGISTRY

pytestmark = pytest.mark.parity

SHAPES = st.sampled_from(
    [(), (1,), (5,), (0,), (3, 4), (1, 7), (7, 1), (2, 3, 5), (1, 1, 1), (2, 0, 3), (3, 1, 2, 1)]
)
SEEDS = st.integers(0, 10_000)


def array(seed, shape, low=-2.5, high=2.5):
    """Distinct numbers, none of them a whole number or a half."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(low, high, shape)
    near = np.abs(x * 2 - np.round(x * 2)) < 1e-3
    return np.where(near, x + 0.01, x)


def compare(function, *arrays, tolerance=1e-10, gradients=True):
    """Values and all gradients of function(T, *tensors) agree; T is the library."""
    import torch

    results = []
    for T in (torch, cr):
        xs = [T.tensor(a) for a in arrays]
        if gradients:
            for x in xs:
                if x.is_floating_point():
                    x.requires_grad_()
        ys = function(T, *xs)
        ys = ys if isinstance(ys, (tuple, list)) else (ys,)
        found = [np.asarray(y.detach().numpy()) for y in ys]
        flowing = [y for y in ys if y.requires_grad]
        if flowing:
            total = 0
            for number, y in enumerate(flowing):
                r = np.random.default_rng(number).normal(size=tuple(y.shape))
                total = total + (y * T.tensor(r)).sum()
            total.backward()
        found += [None if x.grad is None else x.grad.numpy() for x in xs]
        results.append(found)
    theirs, ours = results
    for a, b in zip(ours, theirs, strict=True):
        if a is None or b is None:
            assert (a is None or not a.any()) and (b is None or not b.any())
            continue
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- of one tensor

POSITIVE = {"log", "log1p", "sqrt", "rsqrt", "reciprocal"}
UNARY = [
    *("neg", "exp", "expm1", "log", "log1p", "sqrt", "square", "sin", "cos", "tanh", "sigmoid"),
    *("erf", "relu", "abs", "sign", "floor", "ceil", "round", "reciprocal", "rsqrt"),
    *("isfinite", "isnan", "isinf", "logical_not"),
]


@pytest.mark.parametrize("name", UNARY)
@settings(max_examples=15)
@given(SHAPES, SEEDS)
def test_unary(name, shape, seed):
    low = 0.1 if name in POSITIVE else -2.5
    compare(lambda T, x: getattr(x, name)(), array(seed, shape, low))


SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5, 1.5, 2.5, -0.5, 1e300])


@pytest.mark.parametrize("name", UNARY)
def test_unary_at_special_values(name):
    compare(lambda T, x: getattr(x, name)(), SPECIAL)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, -2, 0.5, 1.5, -0.5, 2.0])
@settings(max_examples=6)
@given(SHAPES, SEEDS)
def test_power(exponent, shape, seed):
    compare(lambda T, x: x**exponent, array(seed, shape, 0.1))


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (None, 0.3), (-0.2, None), (1.0, -1.0)])
@settings(max_examples=6)
@given(SHAPES, SEEDS)
def test_clamp(bounds, shape, seed):
    compare(lambda T, x: x.clamp(*bounds), array(seed, shape))


def test_clamp_passes_the_error_signal_at_a_bound():
    compare(lambda T, x: x.clamp(-1.0, 1.0), np.array([-1.0, 0.0, 1.0, 2.0]))


# ---------------------------------------------------------------- of two

BINARY = {
    "add": lambda T, a, b: a + b,
    "sub": lambda T, a, b: a - b,
    "mul": lambda T, a, b: a * b,
    "div": lambda T, a, b: a / b,
    "remainder": lambda T, a, b: a % b.detach(),
    "floor_divide": lambda T, a, b: (a.detach() // b.detach(), 7 // b.detach(), a % b.detach()),
    "pow": lambda T, a, b: a.abs() ** b,
    "rpow": lambda T, a, b: (a.abs() + 0.1) ** b,
    "maximum": lambda T, a, b: a.maximum(b),
    "minimum": lambda T, a, b: a.minimum(b),
    "where": lambda T, a, b: T.where(a > b, a * 2, b * 3),
    "method_where": lambda T, a, b: a.where(a > b, b),
    "masked_fill": lambda T, a, b: (a + b).masked_fill(a > b, 7.0),
    "compare": lambda T, a, b: (a < b, a <= b, a > b, a >= b, a == b, a != b),
    "logic": lambda T, a, b: ((a > 0) & (b > 0), (a > 0) | (b > 0), (a > 0) ^ (b > 0), ~(a > b)),
    "add_alpha": lambda T, a, b: (a.add(b, alpha=2.5), a.sub(b, alpha=0.5)),
    "lerp": lambda T, a, b: (a * b).lerp(a + b, 0.3),
    "addcmul": lambda T, a, b: ((a * b).addcmul(a, b, value=0.5), (a * b).addcdiv(a, b, value=2)),
    "number": lambda T, a, b: (2 - a, 3 / (b.abs() + 1), 1.5**a, a % 0.7, 1 + b),
}


@st.composite
def broadcasting(draw):
    """Two shapes that broadcast together."""
    full = draw(st.lists(st.sampled_from([0, 1, 2, 3, 5]), max_size=4))
    parts = []
    for _ in range(2):
        shape = [draw(st.sampled_from([n, 1])) if draw(st.booleans()) else n for n in full]
        parts.append(tuple(shape[draw(st.integers(0, len(shape))) :]))
    return parts


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=20)
@given(broadcasting(), SEEDS)
def test_binary(name, shapes, seed):
    compare(BINARY[name], array(seed, shapes[0]), array(seed + 1, shapes[1], 0.2, 3.0))


@pytest.mark.parametrize(
    "name", ["maximum", "minimum", "compare", "mul", "div", "pow", "remainder"]
)
def test_binary_at_ties_and_special_values(name):
    a, b = np.meshgrid(np.array([0.0, 1.0, -1.0, 2.0, np.inf, np.nan]), np.array([1.0, -2.0, 2.0]))
    compare(BINARY[name], a.copy(), b.copy())


def test_whole_numbers_divide_as_pytorch_s():
    import torch

    a, b = np.array([7, -7, 7, -7, 0]), np.array([2, 2, -2, -2, 3])
    for f in (lambda a, b: a // b, lambda a, b: a % b, lambda a, b: a / b, lambda a, b: a * b):
        ours, theirs = f(cr.tensor(a), cr.tensor(b)), f(torch.tensor(a), torch.tensor(b))
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


# ---------------------------------------------------------------- the matrix product

PRODUCTS = [
    ((3, 4), (4, 5)),
    ((4,), (4,)),
    ((4,), (4, 5)),
    ((3, 4), (4,)),
    ((2, 3, 4), (4, 5)),
    ((2, 3, 4), (4,)),
    ((4,), (2, 4, 3)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (5, 4, 2)),
    ((1, 3, 4), (7, 4, 1)),
    ((0, 4), (4, 3)),
    ((3, 0), (0, 2)),
    ((2, 0, 4), (4, 3)),
    ((0, 3, 4), (0, 4, 2)),
    ((1, 1), (1, 1)),
]


@pytest.mark.parametrize(("a", "b"), PRODUCTS)
def test_matmul(a, b):
    compare(lambda T, x, y: x @ y, array(0, a), array(1, b))


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
        ("ij->ji", [(2, 3)]),
        ("ij->", [(2, 3)]),
        ("ii->i", [(3, 3)]),
        ("ii", [(3, 3)]),
        ("i,j->ij", [(2,), (3,)]),
        ("i,i", [(4,), (4,)]),
        ("bhqd,bhkd->bhqk", [(2, 2, 3, 4), (2, 2, 5, 4)]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]),
        ("ij,ij->i", [(2, 3), (2, 3)]),
        ("ij,k->k", [(2, 3), (4,)]),
    ],
)
def test_einsum(equation, shapes):
    arrays = [array(number, shape) for number, shape in enumerate(shapes)]
    compare(lambda T, *xs: T.einsum(equation, *xs), *arrays)


# ---------------------------------------------------------------- reductions


@st.composite
def reductions(draw):
    shape = draw(SHAPES)
    rank = len(shape)
    dim = draw(st.sampled_from([None, *range(-rank, rank)]))
    return shape, dim, draw(st.booleans())


def reduced(name, x, dim, keepdim, **more):
    if dim is None:
        return getattr(x, name)(**more)
    return getattr(x, name)(dim, keepdim=keepdim, **more)


@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin", "prod", "var", "std", "norm"])
@settings(max_examples=25)
@given(reductions(), SEEDS)
@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
def test_reductions(name, case, seed):
    shape, dim, keepdim = case
    axis = None if dim is None else dim % len(shape)
    size = np.prod(shape) if axis is None else shape[axis]
    if name in ("amax", "amin") and (size == 0 or dim is None):
        return
    if name in ("var", "std") and (size < 2 or np.prod(shape) == 0):
        return
    if name == "norm":
        function = lambda T, x: x.norm() if dim is None else x.norm(2, dim, keepdim)  # noqa: E731
        if np.prod(shape) == 0:
            return
    else:
        function = lambda T, x: reduced(name, x, dim, keepdim)  # noqa: E731
    compare(function, array(seed, shape))


@pytest.mark.parametrize("dims", [(0, 1), (-1, 0), (0, 1, 2), (1,)])
@pytest.mark.parametrize("name", ["sum", "mean", "amax", "var"])
def test_several_axes(name, dims):
    def function(T, x):
        return getattr(x, name)(dims, keepdim=True), getattr(x, name)(dims)

    compare(function, array(0, (2, 3, 4)))


@settings(max_examples=25)
@given(reductions(), SEEDS)
def test_largest_smallest_and_their_places(case, seed):
    shape, dim, keepdim = case
    if not np.prod(shape):
        return

    def function(T, x):
        if dim is None:
            return x.max(), x.min(), x.argmax(), x.argmin()
        (a, i), (b, j) = x.max(dim, keepdim=keepdim), x.min(dim, keepdim=keepdim)
        k, m = x.argmax(dim, keepdim=keepdim), x.argmin(dim, keepdim=keepdim)
        return a, i, b, j, k, m

    compare(function, array(seed, shape))


def test_ties_share_the_error_signal_of_amax():
    compare(lambda T, x: (x.amax(1), x.amin(0), x.max()), np.array([[1.0, 1.0, 0.0], [1.0, 0, 0]]))


def test_all_and_any():
    for a in (np.zeros((2, 3)), np.ones((2, 3)), np.eye(3), np.zeros((0, 3)), np.array(1.0)):
        compare(lambda T, x: (x.all(), x.any(), (x != 0).all()), a, gradients=False)
    compare(lambda T, x: (x.all(1), x.any(0, keepdim=True)), np.eye(3), gradients=False)


@pytest.mark.parametrize("dim", [0, 1, -1])
@settings(max_examples=8)
@given(SEEDS)
def test_along_one_axis(dim, seed):
    def function(T, x):
        values, order = x.sort(dim)
        top, places = x.topk(2, dim)
        return (
            x.cumsum(dim),
            x.logsumexp(dim),
            x.logsumexp(dim, keepdim=True),
            x.softmax(dim),
            x.log_softmax(dim),
            values,
            order,
            x.sort(dim, descending=True)[0],
            x.argsort(dim),
            top,
            places,
            x.prod(dim),
        )

    compare(function, array(seed, (3, 4)))


def test_logsumexp_and_softmax_far_out():
    compare(
        lambda T, x: (x.logsumexp(1), x.softmax(1), x.log_softmax(1)),
        np.array([[1000.0, 1001.0, -1000.0], [-1e308, 0.0, 1.0], [0.0, -np.inf, 2.0]]),
    )


def test_prod_beside_zeros():
    compare(lambda T, x: x.prod(1), np.array([[2.0, 0, 3, 4, 5], [0, 0, 1, 2, 3], [1, 2, 3, 4, 5]]))


def test_gather_scatter_index_select():
    index = np.array([[0, 2, 1, 0], [1, 1, 0, 2]])

    def function(T, x, source, i):
        return (
            x.gather(0, i),
            x.scatter_add(0, i, source[:2]),
            x.index_select(1, i[0]),
            x.index_select(0, i[1]),
        )

    compare(function, array(0, (3, 4)), array(1, (3, 4)), index)


# ---------------------------------------------------------------- joining, triangles


def test_cat_stack_and_triangles():
    def function(T, a, b):
        return (
            T.cat([a, b]),
            T.cat([a, b, a], 1),
            T.stack([a, b]),
            T.stack([a, b], -1),
            T.tril(a),
            T.triu(a, 1),
            T.tril(T.stack([a, b]), -1),
            a.repeat(2, 3),
            a.repeat(2, 1, 1),
            a.flip(0, 1),
            a.flip(-1),
        )

    compare(function, array(0, (3, 4)), array(1, (3, 4)))


def test_cat_promotes():
    import torch

    for T in (torch, cr):
        y = T.cat([T.tensor([1, 2]), T.tensor([0.5])])
        assert str(y.dtype).endswith("float32") and y.tolist() == [1, 2, 0.5]


# ---------------------------------------------------------------- the derivative's derivative


@pytest.mark.parametrize(
    "function",
    [
        lambda T, x: (x**3).sum(),
        lambda T, x: (x.tanh() * x.exp()).sum(),
        lambda T, x: x.logsumexp(0).sum(),
        lambda T, x: x.log_softmax(1).square().sum(),
        lambda T, x: (x @ x.t()).square().sum(),
        lambda T, x: x.var(0).sum() + x.softmax(1).square().sum(),
        lambda T, x: (x[1:] * x[:-1]).sum() + x.prod(1).sum(),
        lambda T, x: (x / (x * x + 1)).cumsum(0).sin().sum(),
        lambda T, x: x.norm(),
        lambda T, x: (x.sigmoid() ** x.abs()).sum(),
    ],
)
def test_second_and_third_derivative(function):
    import torch

    a = array(3, (3, 4))
    results = []
    for T in (torch, cr):
        x = T.tensor(a).requires_grad_()
        y, found = function(T, x), []
        for order in range(3):
            (g,) = T.autograd.grad(y, x, create_graph=order < 2)
            found.append(g.detach().numpy())
            y = (g * T.tensor(array(order, (3, 4)))).sum()
        results.append(found)
    for theirs, ours in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


# ---------------------------------------------------------------- the ops themselves

EQUALS = {
    "pad": lambda T, x, widths: T.nn.functional.pad(x, [n for w in widths[::-1] for n in w]),
    "ndtri": lambda T, u: T.special.ndtri(u),
    "erf": lambda T, x: T.erf(x),
    "logsumexp": lambda T, x, axis: T.logsumexp(x, axis),
    "log_softmax": lambda T, x, axis: T.log_softmax(x, axis),
}


@pytest.mark.parametrize("name", EQUALS)
def test_op_on_its_samples(name):
    import torch

    op = REGISTRY[name]
    for sample in op.samples(np.random.default_rng(5)):
        ours = [cr.tensor(a, requires_grad=True) for a in sample.inputs]
        theirs = [torch.tensor(a, requires_grad=True) for a in sample.inputs]
        y, expected = op(*ours, **sample.meta), EQUALS[name](torch, *theirs, **sample.meta)
        np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), atol=1e-10)
        y.sum().backward()
        expected.sum().backward()
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-9, atol=1e-10)
