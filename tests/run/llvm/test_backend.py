"""Every op of the registry as machine code, held to the reference."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chainrule.compile.work import Work
from chainrule.dtypes import dtype_of
from chainrule.errors import ChainruleError
from chainrule.graph import Node, topological_order
from chainrule.ops import REGISTRY, leaf
from chainrule.ops.op import Elementwise
from chainrule.run import reference
from chainrule.run.llvm.backend import build

HOST = {"argsort", "cumsum", "index_last", "orthonormal", "random_bits"}
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}


def work_of(op, arrays, meta):
    leaves = [Node(leaf.data, (), {}, a.shape, dtype_of(a.dtype)) for a in arrays]
    node = Node(op, tuple(leaves), meta, *op.infer(*leaves, **meta))
    return Work([node], leaves, [node])


def as_type(array, dtype):
    array = np.asarray(array)
    return array.astype(dtype) if array.dtype.kind == "f" else array


def assert_close(found, wanted, spread=1.0):
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    if wanted.dtype.kind != "f":
        assert np.array_equal(found, wanted)
        return
    tolerance = TOLERANCE[wanted.dtype.name] * spread
    assert np.allclose(found, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("name", [name for name, op in REGISTRY.items() if op.input_names])
def test_an_op_computes_what_its_reference_does(name):
    op = REGISTRY[name]
    rng = np.random.default_rng(7)
    kinds = set()
    for sample in op.samples(rng):
        for dtype in (np.float32, np.float64):
            arrays = [as_type(a, dtype) for a in sample.inputs]
            try:
                work = work_of(op, arrays, sample.meta)
            except ChainruleError:  # a cast that the op does not take in this type
                continue
            (wanted,) = reference.build(work).run(arrays, [None])
            built = build(work)
            (found,) = built.run(arrays, [None])
            assert_close(found, np.asarray(wanted))
            kinds |= {kernel.kind for kernel in built.plan.kernels}
    assert ("Host" in kinds) == (name in HOST)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1024, 1257, 2048, 5001])
def test_products_of_long_rows_end_in_a_piece_of_any_length(k, dtype):
    rng = np.random.default_rng(k)
    for m, n in ((32, 10), (3, 40), (20, 1)):
        a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
        (found,) = build(work_of(REGISTRY["matmul"], [a, b], {})).run([a, b], [None])
        wanted = a.astype(np.float64) @ b
        assert np.abs(found - wanted).max() < 4 * k * np.finfo(dtype).eps


def test_few_ops_are_left_to_the_host():
    assert len(HOST) <= 10


# ---------------------------------------------------------------- shapes and views at random

SIZES = st.sampled_from([0, 1, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 33])
WAYS = st.sampled_from(["", "permute", "flip", "slice", "expand", "reshape", "pad"])
INSIDE = WAYS.filter(lambda way: way != "pad")  # an op's domain may be without 0
FLOATS = st.sampled_from([np.float32, np.float64])
SEEDS = st.integers(0, 99)


def node_of(name, *inputs, **meta):
    op = REGISTRY[name]
    return Node(op, inputs, meta, *op.infer(*inputs, **meta))


class Case:
    """A graph over leaves that hold arrays, held to the reference."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.leaves, self.arrays = [], []

    def leaf(self, array):
        array = np.asarray(array, order="C")
        self.leaves.append(Node(leaf.data, (), {}, array.shape, dtype_of(array.dtype)))
        self.arrays.append(array)
        return self.leaves[-1]

    def normal(self, shape, dtype, *ways):
        return self.see(self.rng.normal(size=shape).astype(dtype), *ways)

    def see(self, array, *ways):
        """A node of about this value and of its shape, seen through views of another array."""
        for way in ways:
            if not way or not array.ndim:
                continue
            axis = int(self.rng.integers(array.ndim))
            size = array.shape[axis]
            deeper = ways[ways.index(way) + 1 :]
            if way == "permute":
                axes = tuple(int(a) for a in self.rng.permutation(array.ndim))
                inner = array.transpose(np.argsort(axes))
                return node_of("permute", self.see(inner, *deeper), axes=axes)
            if way == "flip":
                return node_of("flip", self.see(np.flip(array, axis), *deeper), axes=(axis,))
            if way == "reshape":
                return node_of("reshape", self.see(array.reshape(-1)), shape=array.shape)
            if way == "expand" and size:
                inner = self.see(array.take([0], axis), *deeper)
                return node_of("expand", inner, shape=array.shape)
            if way == "pad" and size:
                low = int(self.rng.integers(size))
                inner = self.see(array.take(range(low, size), axis), *deeper)
                widths = tuple((low if a == axis else 0, 0) for a in range(array.ndim))
                return node_of("pad", inner, widths=widths)
            if way == "slice":
                start, step = (int(n) for n in self.rng.integers(1, 3, 2))
                shape = list(array.shape)
                shape[axis] = start + step * size
                whole = self.rng.choice(array.reshape(-1), shape) if array.size else np.zeros(shape)
                place = [slice(None)] * array.ndim
                place[axis] = slice(start, start + step * size, step)
                whole = whole.astype(array.dtype)
                whole[tuple(place)] = array
                first = self.leaf(np.int64(start))
                inner = self.see(whole, *deeper)
                meta = {"axes": (axis,), "sizes": (size,), "steps": (step,)}
                return node_of("slice", inner, first, **meta)
        return self.leaf(array)

    def check(self, *outputs, terms=1):
        """Hold these nodes to the reference; ``terms`` are summed in another order there."""
        order = [node for node in topological_order(outputs) if node not in self.leaves]
        work = Work(order, self.leaves, list(outputs))
        places = [None] * len(outputs)
        found = build(work).run(self.arrays, places)
        wanted = reference.build(work).run(self.arrays, places)
        for mine, right in zip(found, wanted, strict=True):
            assert_close(mine, np.asarray(right), max(1, terms) ** 0.5)


@given(
    st.sampled_from([n for n, op in REGISTRY.items() if isinstance(op, Elementwise)]),
    st.lists(SIZES, max_size=4).map(tuple), FLOATS, st.lists(INSIDE, min_size=8, max_size=8), SEEDS,
)  # fmt: skip
def test_elementwise_of_views(name, shape, dtype, ways, seed):
    op, case = REGISTRY[name], Case(seed)
    samples = list(op.samples(case.rng))
    sample = samples[seed % len(samples)]
    inputs = []
    for given_ in sample.inputs:
        pool = as_type(given_, dtype).reshape(-1)
        assume(pool.size)
        array = case.rng.choice(pool, shape).astype(pool.dtype)
        inputs.append(case.see(array, *ways[2 * len(inputs) :][:2]))
    try:
        node = node_of(name, *inputs, **sample.meta)
    except ChainruleError:  # a cast that the op does not take in this type
        return
    case.check(node)


@given(
    st.sampled_from(["sum", "amax", "amin", "moments", "argmax", "logsumexp", "log_softmax"]),
    st.lists(SIZES, min_size=1, max_size=4).map(tuple), FLOATS, WAYS, WAYS, st.data(), SEEDS,
)  # fmt: skip
def test_reductions_of_views(name, shape, dtype, way, deeper, data, seed):
    axes = data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))
    if name in ("argmax", "logsumexp", "log_softmax"):
        meta = {"axis": (first := min(axes))}
        axes = {first}
    else:
        meta = {"axes": tuple(sorted(axes))}
    assume(name == "sum" or all(shape[axis] for axis in axes))  # nothing has no maximum
    case = Case(seed)
    node = node_of(name, case.normal(shape, dtype, way, deeper), **meta)
    case.check(node, terms=np.prod(shape))


@given(
    st.lists(st.sampled_from([0, 1, 2, 3]), max_size=2).map(tuple), SIZES, SIZES,
    st.one_of(SIZES, st.sampled_from([64, 1025, 1100])), FLOATS, st.tuples(WAYS, WAYS, WAYS, WAYS),
    SEEDS,
)  # fmt: skip
def test_matmul_of_views(batch, m, n, k, dtype, ways, seed):
    case = Case(seed)
    a = case.normal((*batch, m, k), dtype, *ways[:2])
    b = case.normal((*batch, k, n), dtype, *ways[2:])
    case.check(node_of("matmul", a, b), terms=k)


@given(st.integers(1, 2), st.sampled_from([1, 7, 8, 17]), FLOATS, WAYS, WAYS, st.data(), SEEDS)
def test_convolutions_of_views(rank, images, dtype, way, deeper, data, seed):
    sizes = lambda low, high: data.draw(st.tuples(*[st.integers(low, high)] * rank))  # noqa: E731
    kernel, stride, padding, dilation = sizes(1, 4), sizes(1, 3), sizes(0, 2), sizes(1, 2)
    groups, per, outputs = (data.draw(st.integers(1, 3)) for _ in range(3))
    image = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + extra
        for k, p, d, extra in zip(kernel, padding, dilation, sizes(0, 6), strict=True)
    )
    meta = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    case = Case(seed)
    x = case.normal((images, groups * per, *image), dtype, way, deeper)
    w = case.normal((groups * outputs, per, *kernel), dtype, deeper)
    y = node_of("conv", x, w, **meta)
    g = case.normal(y.shape, dtype, way)
    x_bar = node_of("conv_input_grad", g, w, input_shape=x.shape, **meta)
    w_bar = node_of("conv_weight_grad", x, g, weight_shape=w.shape, **meta)
    case.check(y, x_bar, w_bar, terms=images * int(np.prod(y.shape[2:])))


@given(st.integers(1, 2), st.sampled_from([1, 7, 8, 17]), FLOATS, WAYS, st.data(), SEEDS)
def test_pools_of_views(rank, images, dtype, way, data, seed):
    sizes = lambda low, high: data.draw(st.tuples(*[st.integers(low, high)] * rank))  # noqa: E731
    kernel, stride, dilation = sizes(1, 4), sizes(1, 3), sizes(1, 2)
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    image = tuple(
        d * (k - 1) + 1 + extra for k, d, extra in zip(kernel, dilation, sizes(0, 6), strict=True)
    )
    meta = {"kernel": kernel, "stride": stride, "padding": padding}
    meta["ceil_mode"] = data.draw(st.booleans())
    case = Case(seed)
    x = case.normal((images, data.draw(st.integers(1, 3)), *image), dtype, way)
    place = node_of("max_pool_index", x, dilation=dilation, **meta)
    highest = node_of("max_pool", x, dilation=dilation, **meta)
    g = case.normal(highest.shape, dtype, way)
    back = node_of("max_pool_scatter", g, place, input_shape=x.shape)
    meta["count_include_pad"] = data.draw(st.booleans())
    mean = node_of("avg_pool", x, **meta)
    g = case.normal(mean.shape, dtype, way)
    spread = node_of("avg_pool_scatter", g, input_shape=x.shape, **meta)
    case.check(place, highest, back, mean, spread, terms=16)


@given(st.lists(SIZES, min_size=1, max_size=3).map(tuple), SIZES, FLOATS, WAYS, st.data(), SEEDS)
def test_gather_and_scatter_of_views(shape, many, dtype, way, data, seed):
    case, axis = Case(seed), data.draw(st.integers(0, len(shape) - 1))
    many = many if shape[axis] else 0
    counts = (*shape[:axis], many, *shape[axis + 1 :])
    places = case.rng.integers(0, max(shape[axis], 1), counts)
    index = case.see(places, way if way not in ("pad", "slice") else "flip")
    x = case.normal(shape, dtype, way)
    values = case.normal(counts, dtype, way)
    taken = node_of("gather", x, index, axis=axis)
    case.check(taken, node_of("scatter_add", x, index, values, axis=axis), terms=many + 1)


@given(
    st.lists(SIZES, min_size=1, max_size=3).map(tuple), st.lists(SIZES, max_size=2).map(tuple),
    FLOATS, WAYS, SEEDS,
)  # fmt: skip
def test_index_of_views(shape, counts, dtype, way, seed):
    assume(shape[0] or not np.prod(counts))
    case = Case(seed)
    index = case.leaf(case.rng.integers(0, max(shape[0], 1), counts))
    x = case.normal(shape, dtype, way)
    values = case.normal((*counts, *shape[1:]), dtype, way)
    added = node_of("index_add", x, values, index)
    outputs = [node_of("index", x, index), added, node_of("index_put", x, values, index)]
    case.check(*outputs, terms=np.prod(counts) + 1)
