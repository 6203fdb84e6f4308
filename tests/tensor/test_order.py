"""Extremes, medians, quantiles, counts against NumPy; what comes with places; what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DtypeError, IndexRangeError, ShapeError, UsageError

X = np.random.default_rng(0).normal(size=(4, 5))


@pytest.mark.parametrize("name", ["max", "min", "median", "sort", "topk"])
def test_values_and_indices_have_names(name):
    found = getattr(cr.tensor(X), name)(*((2,) if name == "topk" else (1,)))
    values, indices = found
    assert found.values is values and found.indices is indices
    taken = np.take_along_axis(X, indices.numpy().reshape(4, -1), 1)
    assert values.numpy().reshape(4, -1).tolist() == taken.tolist()


def test_median_and_quantile():
    x = cr.tensor(X)
    assert x.median(1).values.tolist() == np.median(X, 1).tolist()  # five numbers: no mean of two
    np.testing.assert_allclose(x.quantile(0.3, 0).numpy(), np.quantile(X, 0.3, 0))
    several = x.quantile([0.1, 0.9], 1, keepdim=True)
    np.testing.assert_allclose(several.numpy(), np.quantile(X, [0.1, 0.9], 1, keepdims=True))


def test_var_by_name_and_by_flag():
    x = cr.tensor(X)
    for correction in (0, 1, 2):
        expected = X.var(1, ddof=correction)
        np.testing.assert_allclose(x.var(1, correction=correction).numpy(), expected)
    assert x.std(unbiased=False).item() == pytest.approx(X.std())
    assert x.var(False).item() == pytest.approx(X.var())
    with pytest.raises(UsageError, match=r"\[var\] got unbiased=2, needs True or False, or corr"):
        x.var(0, 2)
    with pytest.raises(UsageError, match="unbiased=True and correction"):
        x.var(0, True, correction=0)
    with pytest.raises(DtypeError, match=r"\[var\] got int64.*\.float\(\)\.var\(\)"):
        cr.arange(3).var()


def test_counts():
    assert cr.tensor([1, 3, 1]).bincount().tolist() == [0, 2, 0, 1]
    assert cr.tensor([0, 1]).bincount(cr.tensor([0.5, 2.0]), 3).tolist() == [0.5, 2.0, 0.0]
    assert cr.tensor(X).histc(4, -2.0, 2.0).sum().item() == np.sum(np.abs(X) <= 2)
    edges = cr.tensor([0.0, 1.0, 2.0]).histc(2)
    assert edges.tolist() == [1, 2]  # the largest belongs to the last bin
    assert cr.tensor([[0, 2], [3, 4]]).count_nonzero(1).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("kind", "calculate", "text"),
    [
        (ShapeError, lambda: cr.zeros(3).topk(4), r"\[topk\] got k=4 for f32\[3\], needs 0 to 3"),
        (UsageError, lambda: cr.zeros(3).quantile(1.5), "a number from 0 to 1"),
        (UsageError, lambda: cr.zeros(3).quantile(0.5, interpolation="cubic"), "one of 'linear'"),
        (DtypeError, lambda: cr.arange(3).quantile(0.5), "at least one floating-point number"),
        (DtypeError, lambda: cr.zeros(3).bincount(), r"\[bincount\] got f32\[3\], needs one axis"),
        (IndexRangeError, lambda: cr.tensor([-1]).bincount(), "got -1, needs numbers of 0 or more"),
        (DtypeError, lambda: cr.arange(3).histc(), r"\[histc\]"),
        (UsageError, lambda: cr.tensor([1.0, np.inf]).histc(2), "needs a finite one"),
    ],
)
def test_refused(kind, calculate, text):
    with pytest.raises(kind, match=text):
        calculate()
