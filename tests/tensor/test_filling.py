"""Filling in place, triangles, new tensors of the same dtype, closeness."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DtypeError, GradientError, ShapeError, UsageError


def test_random_numbers_in_place():
    cr.manual_seed(1)
    x = cr.zeros(2000, dtype=cr.float64)
    assert x.uniform_(-2, 4) is x
    assert x.min().item() >= -2 and x.max().item() < 4 and abs(x.mean().item() - 1) < 0.15
    x.normal_(5, 2)
    assert abs(x.mean().item() - 5) < 0.2 and abs(x.std().item() - 2) < 0.2
    x.bernoulli_(0.25)
    assert set(x.tolist()) == {0, 1} and abs(x.mean().item() - 0.25) < 0.05


def test_they_come_from_the_default_stream():
    cr.manual_seed(7)
    expected = cr.rand(3).tolist()
    cr.manual_seed(7)
    assert cr.zeros(3).uniform_(**{"from": 0, "to": 1}).tolist() == expected


def test_a_view_is_filled_and_a_leaf_that_learns_is_not():
    x = cr.zeros(2, 3)
    x[1].uniform_(1, 2)
    assert x[0].tolist() == [0, 0, 0] and (x[1] >= 1).all()
    w = cr.nn.Linear(2, 2).weight
    with pytest.raises(GradientError):
        w.normal_()
    with cr.no_grad():
        w.normal_(0, 1e-3)
    assert w.abs().max().item() < 0.1


@pytest.mark.parametrize("k", [-2, 0, 1])
def test_triangles_are_numpys(k):
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    assert cr.tensor(x).tril(k).tolist() == np.tril(x, k).tolist()
    assert cr.triu(cr.tensor(x), k).tolist() == np.triu(x, k).tolist()


def test_the_diagonal_of_a_matrix():
    x = cr.ones(2, 3).fill_diagonal_(0)
    assert x.tolist() == [[0, 1, 1], [1, 0, 1]]


def test_new_tensors_like_others():
    x = cr.zeros(2, dtype=cr.float64)
    assert x.new_ones(2, 2).tolist() == [[1, 1], [1, 1]] and x.new_ones(3).dtype is cr.float64
    assert x.new_full((2,), 7).tolist() == [7, 7]
    assert x.new_zeros((1, 2), dtype=cr.int64).dtype is cr.int64
    assert x.new_tensor([1, 2]).dtype is cr.float64


def test_closeness():
    a = cr.tensor([1.0, math.inf, math.nan, 2.0])
    b = cr.tensor([1.000001, math.inf, math.nan, 3.0])
    assert a.isclose(b).tolist() == [True, True, False, False]
    assert a.isclose(b, equal_nan=True).tolist() == [True, True, True, False]
    assert not cr.tensor([1.0]).allclose(cr.tensor([math.inf]))
    small, large = (cr.tensor([n], dtype=cr.uint8) for n in (1, 2))
    assert not small.allclose(large) and cr.tensor([True]).allclose(cr.tensor([True]))
    assert a[:1].equal(a[:1]) and not a.equal(a[:2])


@pytest.mark.parametrize(
    ("kind", "calculate", "text"),
    [
        (DtypeError, lambda: cr.arange(3).uniform_(), r"\[uniform_\] got i64\[3\], needs a float"),
        (UsageError, lambda: cr.zeros(3).uniform_(2, 1), r"from=2, to=1, needs finite bounds"),
        (UsageError, lambda: cr.zeros(3).normal_(0, -1), "std=-1"),
        (UsageError, lambda: cr.zeros(3).bernoulli_(2), "p=2"),
        (ShapeError, lambda: cr.zeros(3).tril(), r"\[tril\] got f32\[3\], needs at least two axes"),
        (ShapeError, lambda: cr.zeros(3).fill_diagonal_(1), "needs a matrix"),
    ],
)
def test_refused(kind, calculate, text):
    with pytest.raises(kind, match=text):
        calculate()
