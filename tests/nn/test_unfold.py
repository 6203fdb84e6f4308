"""Windows as columns: im2col by loops, its adjoint, and a convolution as one matrix product."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import ShapeError, UsageError


def by_loops(x, kernel, stride, padding):
    x = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))
    rows = range(0, x.shape[2] - kernel[0] + 1, stride[0])
    columns = range(0, x.shape[3] - kernel[1] + 1, stride[1])
    windows = [x[:, :, r : r + kernel[0], c : c + kernel[1]] for r in rows for c in columns]
    return np.stack([w.reshape(len(x), -1) for w in windows], -1)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [((2, 3), (1, 1), (0, 0)), ((3, 3), (2, 1), (1, 2)), ((1, 1), (3, 2), (0, 1))],
)
def test_unfold_by_loops_and_fold_its_adjoint(kernel, stride, padding):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 5, 6))
    y = F.unfold(cr.tensor(x), kernel, padding=padding, stride=stride)
    np.testing.assert_array_equal(y.numpy(), by_loops(x, kernel, stride, padding))
    g = rng.normal(size=y.shape)
    back = F.fold(cr.tensor(g), (5, 6), kernel, padding=padding, stride=stride)
    assert np.sum(y.numpy() * g) == pytest.approx(np.sum(x * back.numpy()), rel=1e-12)


def test_a_convolution_is_one_matrix_product_of_columns():
    x, w = cr.randn(2, 3, 5, 6), cr.randn(4, 3, 2, 3)
    y = (w.reshape(4, -1) @ F.unfold(x, (2, 3))).reshape(2, 4, 4, 4)
    assert cr.allclose(y, F.conv2d(x, w), atol=1e-5)


def test_infinity_stays_where_it_is():
    x = cr.zeros(1, 1, 3, 3)
    x[0, 0, 0, 0] = float("inf")
    y = F.unfold(x, 2)
    assert y.isinf().sum().item() == 1 and not y.isnan().any()


def test_gradients():
    x = cr.randn(1, 2, 4, 5, dtype=cr.float64)
    assert cr.gradcheck(lambda x: F.unfold(x, (2, 3), 1, 1, 2), [x])
    assert cr.gradcheck(lambda x: F.fold(x, (4, 5), (2, 2)), [cr.randn(1, 4, 12, dtype=cr.float64)])


def test_an_empty_batch():
    assert F.unfold(cr.zeros(0, 2, 4, 4), 3).shape == (0, 18, 4)
    assert F.fold(cr.zeros(0, 18, 4), (4, 4), 3).shape == (0, 2, 4, 4)


def test_what_does_not_fit():
    with pytest.raises(ShapeError, match=r"\[unfold\] got f32\[1,1,2,2\], needs H ≥ 3 and W ≥ 3"):
        nn.functional.unfold(cr.zeros(1, 1, 2, 2), 3)
    with pytest.raises(ShapeError, match=r"needs f\[N,C·4,9\] of 3×3 windows"):
        F.fold(cr.zeros(1, 4, 8), (4, 4), 2)
    with pytest.raises(UsageError, match="a whole number, or 2 of them"):
        F.unfold(cr.zeros(1, 1, 4, 4), (1, 2, 3))
    with pytest.raises(ShapeError, match="Unfold"):
        nn.Unfold(3)(cr.zeros(2, 2))
