"""Functions of tensors against PyTorch, over shapes, keys and types: values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import chainrule as cr

pytestmark = pytest.mark.parity
TOLERANCE = {"rtol": 1e-9, "atol": 1e-10}
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)
SEEDS = st.integers(0, 99)


def parts(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def same(function, *arrays):
    """``function(T, *inputs)`` with T each of the two: values, types, gradients of the floats."""
    import torch

    mine = [cr.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    theirs = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    results, expected = parts(function(cr, *mine)), parts(function(torch, *theirs))
    assert len(results) == len(expected)
    for y, t in zip(results, expected, strict=True):
        assert tuple(y.shape) == tuple(t.shape)
        assert y.dtype.name == str(t.dtype).rpartition(".")[2]
        np.testing.assert_allclose(y.detach().numpy(), t.detach().numpy(), **TOLERANCE)
    pairs = [(y, t) for y, t in zip(results, expected, strict=True) if t.requires_grad]
    if not pairs:
        return
    weights = [np.random.default_rng(k).normal(size=t.shape) for k, (_, t) in enumerate(pairs)]
    sum(((y * cr.tensor(w)).sum() for (y, _), w in zip(pairs, weights, strict=True))).backward()
    sum(((t * torch.tensor(w)).sum() for (_, t), w in zip(pairs, weights, strict=True))).backward()
    for a, b in zip(mine, theirs, strict=True):
        if b.grad is not None:
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), **TOLERANCE)


def numbers(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def whole(shape, low, high, seed=0):
    return np.random.default_rng(seed).integers(low, high, shape)


# ---------------------------------------------------------------- spread


@pytest.mark.filterwarnings("ignore:std|var\\(\\):UserWarning")
@given(shape=SHAPES, seed=SEEDS, keepdim=st.booleans(), data=st.data())
@pytest.mark.parametrize("name", ["var", "std"])
def test_var_and_std(name, shape, seed, keepdim, data):
    dim = data.draw(st.sampled_from([None, *range(-len(shape), len(shape))]))
    correction = data.draw(st.sampled_from([0, 1, 2, 0.5]))
    count = int(np.prod(shape)) if dim is None else shape[dim]
    assume(count > max(1, correction))
    x = numbers(shape, seed)
    same(lambda T, x: getattr(x, name)(dim=dim, correction=correction, keepdim=keepdim), x)
    if dim is not None:
        same(lambda T, x: getattr(x, name)(dim, False, keepdim), x)
        same(lambda T, x: getattr(T, name)(x, dim, unbiased=True), x)
    same(lambda T, x: getattr(x, name)(False), x)
    same(lambda T, x: getattr(x, name)(unbiased=False), x)


@pytest.mark.filterwarnings("ignore:var\\(\\):UserWarning")
@pytest.mark.parametrize("correction", [0, 1, 2, 3])
def test_var_of_too_few(correction):
    same(lambda T, x: x.detach().var(correction=correction), np.array([1.0, 4.0]))
    same(lambda T, x: x.detach().var(correction=correction), np.array([1.0]))


@pytest.mark.parametrize("p", [0.5, 1, 1.5, 2, 3, float("inf"), float("-inf")])
def test_norm_of_nothing_and_something(p):
    import torch

    for array in (np.zeros((2, 3)), np.array([[0.0, 3.0, -4.0], [1.0, 0.0, 0.0]])):
        if p == float("-inf") and not array.any():
            continue  # PyTorch shares the slope 0 among ties as NaN
        x, t = cr.tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
        y, expected = x.norm(p, 1), t.norm(p, 1)
        np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), **TOLERANCE)
        y.sum().backward()
        expected.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), **TOLERANCE)


@pytest.mark.parametrize("p", [1, 2, 3, float("inf")])
def test_normalize_a_row_of_zeros(p):
    import torch

    x = cr.zeros(2, 3, dtype=cr.float64, requires_grad=True)
    t = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    cr.nn.functional.normalize(x, p=p).sum().backward()
    torch.nn.functional.normalize(t, p=p).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy())


# ---------------------------------------------------------------- order


@given(shape=SHAPES, seed=SEEDS, keepdim=st.booleans(), kind=st.sampled_from("fi"), data=st.data())
def test_median_and_extremes(shape, seed, keepdim, kind, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    size = int(np.prod(shape))
    x = np.random.default_rng(seed).permutation(size).reshape(shape)  # no ties
    x = x.astype(float) if kind == "f" else x
    for name in ("max", "min", "median"):
        same(lambda T, x, n=name: getattr(x, n)(dim, keepdim), x)
        same(lambda T, x, n=name: getattr(x, n)(dim, keepdim).indices, x)
        same(lambda T, x, n=name: getattr(x, n)(), x)
    same(lambda T, x: x.sort(dim, descending=True), x)
    same(lambda T, x: x.sort(dim).values, x)
    same(lambda T, x: T.topk(x, 1, dim, largest=False), x)


def test_median_of_ties_and_nan():
    same(lambda T, x: x.median(), np.array([1.0, 2.0, 2.0, 2.0, 5.0]))
    same(lambda T, x: x.median(), np.array([1.0, np.nan, 2.0]))
    same(lambda T, x: x.median(1), np.array([[1.0, np.nan, 2.0], [3.0, 1.0, 2.0]]))
    same(lambda T, x: x.median(0), np.array(3.0))


@given(
    shape=SHAPES,
    seed=SEEDS,
    q=st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]),
    keepdim=st.booleans(),
    between=st.sampled_from(["linear", "lower", "higher", "nearest", "midpoint"]),
    data=st.data(),
)
def test_quantile(shape, seed, q, keepdim, between, data):
    dim = data.draw(st.sampled_from([None, *range(-len(shape), len(shape))]))
    x = numbers(shape, seed)
    options = {"dim": dim, "keepdim": keepdim, "interpolation": between}
    same(lambda T, x: x.quantile(q, **options), x)
    several = np.array([q, 0.3])
    same(lambda T, x: T.quantile(x, T.tensor(several), **options), x)


def test_quantile_of_nan():
    same(lambda T, x: x.detach().quantile(0.5, 1), np.array([[1.0, np.nan, 2.0], [3.0, 1.0, 2.0]]))


@given(n=st.integers(0, 9), seed=SEEDS, minlength=st.integers(0, 9))
def test_bincount(n, seed, minlength):
    x = whole(n, 0, 6, seed)
    same(lambda T, x: x.bincount(minlength=minlength), x)
    if n:
        w = numbers(n, seed)
        same(lambda T, x, w: T.bincount(x, w.detach(), minlength), x, w)


@given(n=st.integers(1, 30), seed=SEEDS, bins=st.integers(1, 7), limits=st.booleans())
def test_histc(n, seed, bins, limits):
    bounds = (-1.0, 2.0) if limits else (0, 0)
    same(lambda T, x: T.histc(x.detach(), bins, *bounds), numbers(n, seed))


# ---------------------------------------------------------------- places


@given(shape=SHAPES, seed=SEEDS, data=st.data())
def test_scatter_and_scatter_add(shape, seed, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    rng = np.random.default_rng(seed)
    smaller = [int(rng.integers(1, n + 1)) for n in shape]
    index = np.argsort(rng.random(tuple(smaller)), axis=dim)  # each place once
    source = numbers(smaller, seed + 1)
    x = numbers(shape, seed)
    same(lambda T, x, i, s: x.scatter(dim, i, s), x, index, source)
    same(lambda T, x, i: T.scatter(x, dim, i, 2.5), x, index)
    same(lambda T, x, i: x.clone().scatter_(dim, i, value=-1), x, index)
    same(lambda T, x, i, s: x.clone().scatter_add_(dim, i, s), x, index, source)
    larger = numbers([n + 1 for n in smaller], seed)
    same(lambda T, x, i, s: T.scatter_add(x, dim, i, s.detach()), x, index, larger)
    same(lambda T, x, i, s: T.scatter(x, dim, i, s.detach()), x, index, larger)


@given(shape=SHAPES, seed=SEEDS, n=st.integers(0, 5), data=st.data())
def test_index_add_copy_fill(shape, seed, n, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    index = whole(n, 0, shape[dim], seed)
    sizes = list(shape)
    sizes[dim] = n
    x, source = numbers(shape, seed), numbers(sizes, seed + 1)
    same(lambda T, x, i, s: x.index_add(dim, i, s, alpha=-0.5), x, index, source)
    same(lambda T, x, i, s: x.clone().index_add_(dim, i, s), x, index, source)
    once = np.unique(index)
    sizes[dim] = len(once)
    source = numbers(sizes, seed + 1)
    same(lambda T, x, i, s: x.index_copy(dim, i, s), x, once, source)
    same(lambda T, x, i: x.index_fill(dim, i, 3.5), x, index)


@given(shape=SHAPES, seed=SEEDS)
def test_masked_select_nonzero_where(shape, seed):
    x, mask = numbers(shape, seed), whole(shape, 0, 2, seed).astype(bool)
    same(lambda T, x, m: T.masked_select(x, m), x, mask)
    same(lambda T, x, m: x.masked_select(m[0]), x, mask)
    same(lambda T, m: m.nonzero(), mask)
    same(lambda T, m: T.nonzero(m, as_tuple=True), mask)
    same(lambda T, m: T.where(m), mask)
    same(lambda T, m: T.count_nonzero(m, 0), mask)


@given(rows=st.integers(1, 4), columns=st.integers(1, 4), k=st.integers(-3, 3))
def test_diagonals(rows, columns, k):
    x = numbers((rows, columns))
    assume(-rows <= k <= columns)
    same(lambda T, x: T.diag(x, k), x)
    same(lambda T, x: x.t().diagonal(k) if k <= rows and -k <= columns else x, x)
    same(lambda T, x: T.diag(x[0], k), x)
    same(lambda T, x: T.trace(x), x)
    same(lambda T, x: x.diagonal(k), numbers((rows, columns, 2)))
    same(lambda T, x: T.diagonal(x, k, -2, -1), numbers((2, rows, columns)))


def test_a_diagonal_is_a_view():
    def write(T, x):
        y = x.clone()
        y.diagonal(1).mul_(10)
        y.t().diagonal(1).add_(100)
        return y

    same(write, numbers((3, 4)))


@given(shape=SHAPES, data=st.data())
def test_roll_tile_repeat(shape, data):
    x = numbers(shape)
    dims = data.draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, max_size=3))
    shifts = data.draw(st.lists(st.integers(-6, 6), min_size=len(dims), max_size=len(dims)))
    same(lambda T, x: T.roll(x, tuple(shifts), tuple(dims)), x)
    same(lambda T, x: x.roll(shifts[0]), x)
    times = data.draw(st.lists(st.integers(0, 3), min_size=len(shape), max_size=4))
    same(lambda T, x: x.repeat(*times), x)
    same(lambda T, x: T.tile(x, tuple(times[:1])), x)
    same(lambda T, x: x.tile(*times), x)


@given(shape=SHAPES, seed=SEEDS, data=st.data())
def test_repeat_interleave(shape, seed, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = numbers(shape)
    same(lambda T, x: x.repeat_interleave(2), x)
    same(lambda T, x: T.repeat_interleave(x, 3, dim), x)
    times = whole(shape[dim], 0, 3, seed)
    same(lambda T, x, r: x.repeat_interleave(r, dim), x, times)


# ---------------------------------------------------------------- products


EQUATIONS = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("...ij,...jk->...ik", (2, 1, 2, 3), (5, 3, 4)),
    ("...ij,jk", (5, 2, 3), (3, 4)),
    ("b...,b...->b...", (2, 3, 4), (2, 3, 4)),
    ("i...->...", (3, 2, 2), None),
    ("...ii->...i", (2, 3, 3), None),
    ("ii", (3, 3), None),
    ("iij->ji", (2, 2, 3), None),
    ("i,j->ij", (2,), (3,)),
    ("i,i", (3,), (3,)),
    (" i j , j ", (2, 3), (3,)),
    ("ij,kj->", (2, 3), (4, 3)),
    ("Ab,bA->A", (2, 3), (3, 2)),
    ("ij,ij->ij", (1, 3), (2, 3)),
    ("...,...->...", (), (2,)),
    ("ij->", (0, 3), None),
]


@pytest.mark.parametrize(("equation", "a", "b"), EQUATIONS)
def test_einsum(equation, a, b):
    arrays = [numbers(shape, seed) for seed, shape in enumerate((a, b)) if shape is not None]
    arrays = [np.asarray(array) for array in arrays]
    same(lambda T, *x: T.einsum(equation, *x), *arrays)
    same(lambda T, *x: T.einsum(equation, list(x)), *arrays)


def test_einsum_of_three():
    arrays = [numbers(shape) for shape in ((2, 3), (3, 4), (4, 2))]
    same(lambda T, *x: T.einsum("ij,jk,ki->", *x), *arrays)
    same(lambda T, *x: T.einsum("ij,jk,kl->il", *x), *arrays)


@pytest.mark.parametrize(
    ("a", "b", "dims"),
    [
        ((2, 3, 4), (3, 4, 5), 2),
        ((2, 3), (4,), 0),
        ((2, 3), (3,), 1),
        ((2, 3, 4), (4, 2), ([2, 0], [0, 1])),
        ((2, 3, 4), (4, 2), ([-1], [0])),
    ],
)
def test_tensordot(a, b, dims):
    same(lambda T, x, y: T.tensordot(x, y, dims=dims), numbers(a), numbers(b, 1))


def test_outer_addmm_lerp():
    x, a, b = numbers((2, 4)), numbers((2, 3), 1), numbers((3, 4), 2)
    same(lambda T, x, a: T.outer(x[0], a[0]), x, a)
    same(lambda T, x, a, b: T.addmm(x, a, b, beta=0.5, alpha=-2), x, a, b)
    same(lambda T, x, a, b: x[0].addmm(a, b), x, a, b)
    same(lambda T, x: T.lerp(x, x * 2 + 1, 0.3), x)


@pytest.mark.parametrize("indexing", ["ij", "xy"])
@pytest.mark.parametrize("sizes", [(2,), (2, 3), (2, 3, 4)])
def test_meshgrid(sizes, indexing):
    arrays = [numbers(n, n) for n in sizes]
    same(lambda T, *x: T.meshgrid(*x, indexing=indexing), *arrays)
    same(lambda T, *x: T.meshgrid(list(x), indexing=indexing), *arrays)


# ---------------------------------------------------------------- truth and remainders


VALUES = {
    "bool": np.array([True, False, True, False]),
    "uint8": np.array([0, 1, 2, 255], np.uint8),
    "int32": np.array([0, -3, 2, 7], np.int32),
    "int64": np.array([0, -3, 2, 7]),
    "float64": np.array([0.0, -1.5, 2.0, np.nan]),
}


@pytest.mark.parametrize("a", VALUES)
@pytest.mark.parametrize("b", VALUES)
def test_logical(a, b):
    for name in ("logical_and", "logical_or", "logical_xor"):
        same(
            lambda T, x, y, n=name: getattr(T, n)(x.detach(), y.detach().flip(0)),
            VALUES[a],
            VALUES[b],
        )
        same(lambda T, x, n=name: getattr(x.detach(), n)(T.tensor(2)), VALUES[a])


@pytest.mark.parametrize("a", ["bool", "uint8", "int32", "int64"])
@pytest.mark.parametrize("b", ["bool", "uint8", "int32", "int64"])
def test_bitwise(a, b):
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
        same(lambda T, x, y, n=name: getattr(T, n)(x, y.flip(0)), VALUES[a], VALUES[b])
    same(lambda T, x: ~x, VALUES[a])
    same(lambda T, x: T.bitwise_not(x), VALUES[a])


@given(seed=SEEDS, kind=st.sampled_from(["int64", "int32", "float64"]))
def test_remainders(seed, kind):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-20, 20, 8), rng.integers(1, 6, 8) * rng.choice([-1, 1], 8)
    if kind == "float64":
        a, b = a + rng.uniform(0.1, 0.9, 8), b + rng.uniform(0.1, 0.9, 8)
    a, b = a.astype(kind), b.astype(kind)
    same(lambda T, x, y: T.floor_divide(x.detach(), y.detach()), a, b)
    same(lambda T, x: x.detach() // 3, a)
    for name in ("fmod", "remainder"):
        same(lambda T, x, y, n=name: getattr(T, n)(x, y), a, b)
        same(lambda T, x, n=name: getattr(x, n)(-3), a)
    for mode in ("floor", "trunc", None):
        same(lambda T, x, y, m=mode: T.div(x.detach(), y.detach(), rounding_mode=m), a, b)
        same(lambda T, x, m=mode: x.detach().div(2.5, rounding_mode=m), a)


def test_clamps_and_trunc():
    x = np.array([-2.5, -0.5, 0.0, 0.7, 3.2])
    same(lambda T, x: T.clamp_min(x, 0.1), x)
    same(lambda T, x: x.clamp_max(0.1), x)
    same(lambda T, x: T.trunc(x.detach()), x)
