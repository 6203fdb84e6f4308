"""Every op of the registry as machine code, held to the reference."""

import numpy as np
import pytest

from chainrule.compile.work import Work
from chainrule.dtypes import dtype_of
from chainrule.errors import ChainruleError
from chainrule.graph import Node
from chainrule.ops import REGISTRY, leaf
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


def assert_close(found, wanted):
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    if wanted.dtype.kind != "f":
        assert np.array_equal(found, wanted)
        return
    tolerance = TOLERANCE[wanted.dtype.name]
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
