"""Reductions where their digits are in danger; tests/test_contract.py has the rest."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.dtypes import int64
from chainrule.errors import DtypeError
from chainrule.ops.reduce import log_softmax
from chainrule.ops.windows import Type


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("far", [0, 1e3, 1e4, 1e7, -1e7])
def test_log_softmax_keeps_its_digits_however_large_the_numbers(far, axis):
    x = (np.float32(far) + np.array([[3, 1, 0], [7, 7, -9]])).astype(np.float32)
    exact = x.astype(np.float64)
    exact = exact - np.log(np.exp(exact - far).sum(axis, keepdims=True)) - far
    y = log_softmax.reference(x, axis=axis)
    np.testing.assert_allclose(y, exact, rtol=2e-7, atol=1e-7)
    np.testing.assert_allclose(np.exp(y).sum(axis), 1, rtol=3e-7)


def test_a_mask_gives_minus_infinity_and_passes_nothing():
    x = cr.tensor([[1.0, -np.inf, 1.0]], requires_grad=True)
    p = x.softmax(1)
    assert p.tolist() == [[0.5, 0, 0.5]]
    (p * cr.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [[-0.5, 0, 0.5]]


@pytest.mark.parametrize("row", [[np.inf, 1.0], [-np.inf, -np.inf], [np.nan, 1.0]])
def test_a_row_that_has_no_softmax_is_nan(row):
    with np.errstate(invalid="ignore"):
        assert np.isnan(log_softmax.reference(np.array(row, np.float32), axis=0)).all()


def test_log_softmax_takes_floats():
    with pytest.raises(DtypeError, match=r"\[log_softmax\] got int64, needs a floating-point"):
        log_softmax.infer(Type((2, 3), int64), axis=1)


def test_moments_of_nothing_are_nan_without_a_warning():
    assert np.isnan(cr.zeros(0, 3).var(0).numpy()).all() and np.isnan(cr.zeros(0).std().item())
