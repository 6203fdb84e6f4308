"""Numbers taken and put by place against NumPy; aliasing of the diagonal; what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DtypeError, IndexRangeError, ShapeError

X = np.arange(12.0).reshape(3, 4)


def test_scatter_is_put_along_axis():
    index = np.array([[3, 0], [1, 2], [0, 3]])
    expected = X.copy()
    np.put_along_axis(expected, index, -1.0, 1)
    assert cr.tensor(X).scatter(1, cr.tensor(index), -1.0).tolist() == expected.tolist()
    one_hot = cr.zeros(2, 3).scatter_(1, cr.tensor([[2], [0]]), value=1)
    assert one_hot.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_of_several_writes_the_last_stays_and_alone_has_an_error_signal():
    x = cr.zeros(2, requires_grad=True)
    source = cr.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x.scatter(0, cr.tensor([1, 1, 1]), source)
    y.sum().backward()
    assert y.tolist() == [0, 3]
    assert (x.grad.tolist(), source.grad.tolist()) == ([1, 0], [0, 0, 1])


@pytest.mark.parametrize("index", [[[4]], [[-1]]])
def test_scatter_out_of_range(index):
    with pytest.raises(IndexRangeError, match=r"needs 0 to 3.*axis 1 of size 4"):
        cr.tensor(X).scatter(1, cr.tensor(index), 0.0).numpy()


def test_gradients():
    x, source = cr.tensor(X), cr.randn(3, 2, dtype=cr.float64)
    index, rows = cr.tensor([[3, 0], [1, 2], [0, 3]]), cr.tensor([2, 0])
    pair = cr.randn(2, 4, dtype=cr.float64)
    assert cr.gradcheck(lambda x, s: x.scatter(1, index, s), [x, source])
    assert cr.gradcheck(lambda x, s: x.index_add(0, rows, s, alpha=2), [x, pair])
    assert cr.gradcheck(lambda x, s: x.index_copy(0, rows, s), [x, pair])
    assert cr.gradcheck(lambda x: x.masked_select(cr.tensor(X) > 4), [x])
    assert cr.gradcheck(lambda x: x.roll((1, -1), (0, 1)).repeat_interleave(2, 1), [x])
    assert cr.gradcheck(lambda x: x.diagonal(1) * 2, [x])


def test_roll_repeat_diag_are_numpys():
    x = cr.tensor(X)
    assert x.roll((1, -2), (0, 1)).tolist() == np.roll(X, (1, -2), (0, 1)).tolist()
    assert x.roll(5).tolist() == np.roll(X, 5).tolist()
    assert x.tile(2).tolist() == np.tile(X, 2).tolist()
    assert x.repeat_interleave(cr.tensor([0, 2, 1]), 0).tolist() == X[[1, 1, 2]].tolist()
    for k in (-2, 0, 1):
        assert x.diagonal(k).tolist() == np.diagonal(X, k).tolist()
        assert x[0].diag(k).tolist() == np.diag(X[0], k).tolist()
    assert x.trace().item() == np.trace(X)


def test_writing_to_a_diagonal_writes_to_the_matrix():
    x = cr.tensor(X)
    x.diagonal().fill_(-1)
    x.t().diagonal(1).zero_()
    assert x.tolist() == [[-1, 1, 2, 3], [0, -1, 6, 7], [8, 0, -1, 11]]
    with pytest.raises(ShapeError, match=r"strides \(4, 1\), needs memory in order\. \.contiguous"):
        x[:, :3].diagonal()


def test_places_of_what_is_not_zero():
    x = cr.tensor([[0, 5], [7, 0]])
    assert x.nonzero().tolist() == [[0, 1], [1, 0]]
    assert [i.tolist() for i in cr.where(x > 0)] == [[0, 1], [1, 0]]
    assert cr.tensor(3).nonzero().shape == (1, 0)


@pytest.mark.parametrize(
    ("kind", "calculate", "text"),
    [
        (ShapeError, lambda x: x.scatter(1, cr.tensor([[0]])), "neither src nor value"),
        (ShapeError, lambda x: x.scatter(1, cr.zeros(5, 1, dtype=int), 1.0), "longer along axis 1"),
        (ShapeError, lambda x: x.scatter(1, cr.tensor([[0, 1]]), x[:1, :1]), "src f64"),
        (ShapeError, lambda x: x.index_add(0, cr.tensor([0]), x), r"needs a source \[1, 4\]"),
        (DtypeError, lambda x: x.masked_select(x), "float64 mask, needs bool"),
        (ShapeError, lambda x: x.diagonal(0, 1, 1), "axes 1 and 1"),
        (ShapeError, lambda x: x.unsqueeze(0).diag(), "one axis or two"),
        (ShapeError, lambda x: x.roll((1, 2), 0), "2 shifts, needs 1"),
        (DtypeError, lambda x: x.repeat_interleave(-1), "whole numbers of 0 or more"),
        (ShapeError, lambda x: x.repeat_interleave(cr.tensor([1, 2]), 0), "2 repeats, needs one"),
        (ShapeError, lambda x: x.repeat(2), r"\[repeat\] got 1 numbers, needs at least 2"),
        (ShapeError, lambda x: x.outer(x), "one axis each"),
    ],
)
def test_refused(kind, calculate, text):
    with pytest.raises(kind, match=text):
        calculate(cr.tensor(X))
