"""Long sums: as good as sums of pairs, in an order that the shape alone decides."""

import numpy as np
import pytest

from chainrule.compile.work import Work
from chainrule.dtypes import dtype_of
from chainrule.graph import Node
from chainrule.ops import REGISTRY, leaf
from chainrule.run.llvm.backend import build

CASES = [
    ((1_000_003,), (0,)),  # one extent, in 16 lanes
    ((1000, 1000), (0, 1)),
    ((100_000, 10), (0,)),
    ((3, 70_001, 2), (1,)),  # one extent, as one chain
    ((4, 100, 100), (1, 2)),
    ((2, 8, 112, 112), (2, 3)),
    ((2, 8, 112, 112), (1, 2, 3)),
    ((16, 8, 32, 32), (0, 2, 3)),  # the batch in lanes
    ((5, 257, 3), (1, 2)),
    ((7, 3, 257), (1, 2)),
]


def reduced(name, x, **meta):
    op = REGISTRY[name]
    source = Node(leaf.data, (), {}, x.shape, dtype_of(x.dtype))
    node = Node(op, (source,), meta, *op.infer(source, **meta))
    return build(Work([node], [source], [node])).run([x], [None])[0]


@pytest.mark.parametrize(("shape", "axes"), CASES)
def test_a_long_sum_loses_no_digits(shape, axes):
    x = np.random.default_rng(0).random(shape, np.float32)
    wanted = x.astype(np.float64).sum(axes)
    assert np.abs(reduced("sum", x, axes=axes) / wanted - 1).max() < 1e-6


@pytest.mark.parametrize(("shape", "axes"), CASES)
def test_every_element_is_summed_once(shape, axes):
    x = np.random.default_rng(1).integers(-8, 9, shape).astype(np.float64)
    np.testing.assert_array_equal(reduced("sum", x, axes=axes), x.sum(axes))


@pytest.mark.parametrize(("shape", "axes"), CASES)
def test_extrema_and_moments_of_long_axes(shape, axes):
    x = np.random.default_rng(2).normal(size=shape)
    np.testing.assert_array_equal(reduced("amax", x, axes=axes), x.max(axes))
    mean, variance = reduced("moments", x, axes=axes)
    np.testing.assert_allclose(mean, x.mean(axes), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(variance, x.var(axes), rtol=1e-12)
    axis = axes[-1]
    np.testing.assert_array_equal(reduced("argmax", x, axis=axis), x.argmax(axis))
