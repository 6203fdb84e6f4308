"""Pooling to a size, by loops."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import ShapeError, UsageError

REDUCE = {"avg": np.mean, "max": np.max}


@pytest.mark.parametrize("size", [1, 2, (3, 4), (5, 2), (6, 9)])
@pytest.mark.parametrize("kind", ["avg", "max"])
def test_windows_reach_from_floor_to_ceiling(kind, size):
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 7))
    p, q = (size, size) if isinstance(size, int) else size
    expected = np.empty((2, 3, p, q))
    for i, j in np.ndindex(p, q):
        rows = slice(i * 5 // p, -(-(i + 1) * 5 // p))
        columns = slice(j * 7 // q, -(-(j + 1) * 7 // q))
        expected[:, :, i, j] = REDUCE[kind](x[:, :, rows, columns], axis=(2, 3))
    y = getattr(F, f"adaptive_{kind}_pool2d")(cr.tensor(x), size)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ["avg", "max"])
def test_gradients(kind):
    x = cr.randn(1, 2, 5, 4, dtype=cr.float64)
    assert cr.gradcheck(lambda x: getattr(F, f"adaptive_{kind}_pool2d")(x, 3), [x])


def test_at_a_tie_the_first_place_gets_the_error_signal():
    x = cr.zeros(1, 5, requires_grad=True)
    F.adaptive_max_pool1d(x, 2).sum().backward()
    assert x.grad.tolist() == [[1, 0, 1, 0, 0]]


def test_wrong_sizes():
    with pytest.raises(UsageError, match="a number of windows, or 2 of them"):
        F.adaptive_avg_pool2d(cr.zeros(1, 1, 4, 4), (1, 2, 3))
    with pytest.raises(UsageError, match="one number per axis"):
        nn.AdaptiveMaxPool2d((1, 2, 3))
    with pytest.raises(ShapeError, match="at least one number per axis"):
        F.adaptive_avg_pool2d(cr.zeros(1, 1, 0, 4), 1)


def test_dropout1d_takes_whole_channels():
    y = F.dropout1d(cr.ones(20, 8, 5), 0.5).numpy()
    assert (y == y[:, :, :1]).all() and 0 < (y == 0).mean() < 1
    with pytest.raises(ShapeError, match=r"\[Dropout1d\] got f32\[3\], needs f\[N,C,L\]"):
        nn.Dropout1d()(cr.zeros(3))
