import numpy as np
import pytest

from chainrule.compile.cost import cost
from chainrule.compile.pipeline import compile_work
from chainrule.compile.work import Work
from chainrule.dtypes import float32, float64, int64
from chainrule.graph import Node
from chainrule.inspect.cost import multiply_adds
from chainrule.ops import REGISTRY, leaf


def data(*shape, dtype=float32):
    return Node(leaf.data, (), {}, shape, dtype)


def of(name, *inputs, **meta):
    op = REGISTRY[name]
    return Node(op, inputs, meta, *op.infer(*inputs, **meta))


def costs(inputs, *nodes):
    plan = compile_work(Work(list(nodes), list(inputs), [nodes[-1]]))
    return [cost(kernel) for kernel in plan.kernels]


def test_a_product_of_matrices():
    x, w, b = data(5, 3), data(3, 2), data(5, 2)
    product = of("matmul", x, w)
    (found,) = costs([x, w, b], product, of("add", product, b))
    assert found.operations == 2 * multiply_adds(product) + 5 * 2
    assert found.read == 4 * (15 + 6 + 10) and found.written == 4 * 10
    assert found.nbytes == 164 and found.itemsize == 4


def test_numbers_of_eight_bytes():
    x, w = data(5, 3, dtype=float64), data(3, 2, dtype=float64)
    (found,) = costs([x, w], of("matmul", x, w))
    assert found.itemsize == 8 and found.written == 80


def test_a_choice_is_no_operation():
    x, y = data(7), data(7)
    less, exp = of("lt", x, y), of("exp", x)
    (found,) = costs([x, y], less, exp, of("where", less, exp, y))
    assert found.operations == 2 * 7  # < and exp
    assert found.read == 2 * 28 and found.written == 28


def test_whole_numbers_cost_nothing():
    x = data(7, dtype=int64)
    (found,) = costs([x], of("add", x, x))
    assert found.operations == 0 and found.read == 56


def test_a_reduction():
    x = data(4, 6)
    square = of("square", x)
    (found,) = costs([x], square, of("sum", square, axes=(1,)))
    assert found.operations == 4 * 6 * 2 and found.read == 96 and found.written == 16


def test_the_error_signal_of_a_valid_convolution_costs_what_the_convolution_does():
    w, signal = data(4, 2, 3, 3), data(8, 4, 5, 6)
    meta = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    back = of("conv_input_grad", signal, w, input_shape=(8, 2, 7, 8), **meta)
    (*_, found) = costs([signal, w], back)
    assert found.operations == 2 * 8 * 4 * 5 * 6 * 2 * 9


def test_what_is_read_again_counts_once():
    x = data(4, 1)
    wide = of("expand", x, shape=(4, 5))
    (found,) = costs([x], wide, of("add", wide, wide))
    assert found.read == 16 and found.written == 80


def test_a_gather_reads_no_more_than_there_is():
    table, index = data(1000, 4), data(6, dtype=int64)
    node = of("index", table, index)
    found = costs([table, index], node)
    assert sum(c.read for c in found) < 4000


def test_a_node_of_the_reference_has_bytes_alone():
    x = data(3, 4)
    (found,) = costs([x], of("cumsum", x, axis=0))
    assert (found.operations, found.read, found.written) == (0, 48, 48)


@pytest.mark.parametrize("size", [1, 4, 9])
def test_operations_grow_with_the_batch(size):
    x, w = data(size, 3), data(3, 2)
    (found,) = costs([x, w], of("matmul", x, w))
    assert found.operations == size * 12
    assert np.isclose(found.read, 4 * (3 * size + 6))
