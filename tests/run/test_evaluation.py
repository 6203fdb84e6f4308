"""How the reference runs a Work: places, arrays of its own, checks before anything is written."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compile.work import Work
from chainrule.dtypes import float32, int64
from chainrule.errors import IndexRangeError
from chainrule.graph import Node
from chainrule.ops import REGISTRY, leaf
from chainrule.run import reference


def data(*shape, dtype=float32):
    return Node(leaf.data, (), {}, shape, dtype)


def node(name, *inputs, **meta):
    op = REGISTRY[name]
    shape, dtype = op.infer(*inputs, **meta)
    return Node(op, inputs, meta, shape, dtype)


def test_outputs_are_arrays_of_their_own():
    x = data(2, 3)
    turned = node("permute", x, axes=(1, 0))
    built = reference.build(Work([turned], [x], [turned, x, turned]))
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    results = built.run([value], [None] * 3)
    assert [r.tolist() for r in results] == [value.T.tolist(), value.tolist(), value.T.tolist()]
    assert all(r.flags.c_contiguous and r.base is None for r in results)
    assert not any(np.shares_memory(r, value) for r in results)
    assert not np.shares_memory(results[0], results[2])


def test_two_states_change_places():
    a, b = data(2), data(2)
    built = reference.build(Work([], [a, b], [b, a], {0: 0, 1: 1}))
    x, y = np.zeros(2, np.float32), np.ones(2, np.float32)
    results = built.run([x, y], [x, y])
    assert results[0] is x and results[1] is y
    assert x.tolist() == [1, 1] and y.tolist() == [0, 0]


def test_a_bad_index_writes_nothing_and_names_its_place():
    table, rows, index = data(2, 3), data(2), data(1, 3, dtype=int64)
    doubled = node("mul", rows, rows)
    taken = node("gather", table, index, axis=0)
    built = reference.build(Work([doubled, taken], [table, rows, index], [doubled, taken], {0: 1}))
    values = [np.ones((2, 3), np.float32), np.full(2, 3.0, np.float32), np.full((1, 3), 5)]
    with pytest.raises(IndexRangeError):
        built.run(values, [values[1], None])
    assert values[1].tolist() == [3, 3]
    values[2][:] = 1
    assert built.run(values, [values[1], None])[0].tolist() == [9, 9]
