"""What NumPy or C would say in its own words is said in ours."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DivisionError, DtypeError

BYTES = [255, 1]


@pytest.mark.parametrize(
    ("calculate", "text"),
    [
        (lambda: cr.tensor(BYTES, dtype=cr.uint8) == -1, r"\[eq\] got -1 beside uint8, needs 0 to"),
        (lambda: cr.tensor(BYTES, dtype=cr.uint8) + 256, r"\[add\] got 256 .*\. \.long\(\) first"),
        (lambda: cr.tensor([1]) * 2**70, r"\[mul\] got 1180591620717411303424 beside int64"),
        (lambda: cr.tensor([1.0]) * 10**400, r"got a whole number beyond float64, needs at most"),
        (lambda: cr.zeros(2, dtype=cr.int64).fill_(math.nan), r"nan beside int64.*\.float\(\)"),
        (lambda: cr.tensor([True]) - cr.tensor([False]), r"\[sub\] got bool - bool.*a \^ b is"),
        (lambda: True - cr.tensor([True]), r"\[sub\] got bool - bool"),
        (lambda: cr.tensor([2]) ** -1, r"\[power\] got a whole number to the power -1"),
        (lambda: (cr.tensor([2]) ** cr.tensor([-3])).numpy(), r"\[pow\] got .* the power -3"),
    ],
)
def test_types_that_do_not_hold_the_result(calculate, text):
    with pytest.raises(DtypeError, match=text):
        calculate()


@pytest.mark.parametrize("dtype", [cr.uint8, cr.int32, cr.int64])
def test_whole_numbers_are_not_divided_by_zero(dtype):
    x = cr.tensor([[4, 5]], dtype=dtype)
    with pytest.raises(DivisionError, match=r"\[floor_divide\] got a whole number // 0 at index"):
        (x // cr.tensor([1, 0], dtype=dtype)).numpy()
    with pytest.raises(ZeroDivisionError, match=r"\[remainder\] got a whole number % 0, needs"):
        (x % 0).numpy()
    assert (x // 2).tolist() == [[2, 2]]


def test_floating_point_numbers_are():
    x = cr.tensor([1.0, -1.0, 0.0])
    assert (x // 0).numpy().tolist()[:2] == [math.inf, -math.inf]
    assert (x % 0).isnan().all() and (x / 0)[2].isnan()


def test_a_number_beyond_float32_is_infinite_without_a_warning():
    assert (cr.tensor([1.0, -1.0]) * 1e40).tolist() == [math.inf, -math.inf]


def test_the_divisor_is_checked_before_anything_is_computed():
    w = cr.tensor([1, 2])
    w += 1
    bad = w // cr.tensor([0, 1])
    with pytest.raises(DivisionError):
        bad.numpy()
    assert w.tolist() == [2, 3]


def test_nan_and_infinity_beside_maxima_and_softmax():
    x = cr.tensor([math.nan, 1.0, math.nan], requires_grad=True)
    x.max().backward()
    assert x.grad.tolist() == [0.5, 0.0, 0.5]
    infinite = cr.tensor([[math.inf, 1.0], [-math.inf, 1.0]])
    assert infinite.softmax(1)[0].isnan().all()
    assert infinite.softmax(1)[1].tolist() == [0, 1]
    assert infinite.logsumexp(1).tolist() == [math.inf, 1.0]
    assert np.isnan(cr.tensor([-math.inf] * 2).log_softmax(0).numpy()).all()
