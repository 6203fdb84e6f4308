"""Normalisation against plain NumPy formulas."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import ShapeError, UsageError

X = np.random.default_rng(0).normal(size=(3, 4, 5, 2))


def test_group_norm():
    groups = X.reshape(3, 2, 20)
    mean, variance = groups.mean(-1, keepdims=True), groups.var(-1, keepdims=True)
    expected = ((groups - mean) / np.sqrt(variance + 1e-5)).reshape(X.shape)
    np.testing.assert_allclose(F.group_norm(cr.tensor(X), 2).numpy(), expected, rtol=1e-10)
    one_group = F.group_norm(cr.tensor(X), 1)
    assert cr.allclose(one_group, F.layer_norm(cr.tensor(X), (4, 5, 2)))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
def test_local_response_norm_by_loops(size):
    expected = np.empty_like(X)
    for c in range(4):
        first, last = max(0, c - size // 2), min(4, c + (size - 1) // 2 + 1)
        total = np.square(X[:, first:last]).sum(1)
        expected[:, c] = X[:, c] / (2.0 + 0.1 * total / size) ** 0.75
    y = F.local_response_norm(cr.tensor(X), size, alpha=0.1, beta=0.75, k=2.0)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12)


def test_rms_norm():
    y = F.rms_norm(cr.tensor(X), 2, eps=0.0).numpy()
    np.testing.assert_allclose(np.square(y).mean(-1), 1, rtol=1e-12)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.group_norm(x, 2),
        lambda x: F.local_response_norm(x, 3, alpha=0.5),
        lambda x: F.rms_norm(x, (5, 2)),
        lambda x: F.batch_norm(x, None, None, training=True),
    ],
)
def test_gradients(function):
    assert cr.gradcheck(function, [cr.tensor(X[:2])])


def test_momentum_none_is_the_plain_average():
    layer = nn.BatchNorm1d(1, momentum=None).double()
    batches = [np.array([[1.0], [3.0]]), np.array([[5.0], [9.0]]), np.array([[0.0], [1.0]])]
    for batch in batches:
        layer(cr.tensor(batch))
    assert layer.running_mean.item() == pytest.approx(np.mean([b.mean() for b in batches]))
    variance = np.mean([b.var(ddof=1) for b in batches])
    assert layer.running_var.item() == pytest.approx(variance)
    layer.reset_running_stats()
    assert (layer.running_mean.item(), layer.running_var.item()) == (0, 1)


def test_without_running_statistics_evaluation_uses_the_batch():
    layer = nn.BatchNorm1d(2, track_running_stats=False, affine=False).eval()
    y = layer(cr.tensor([[1.0, 2.0], [3.0, 6.0]]))
    np.testing.assert_allclose(y.numpy(), [[-1, -1], [1, 1]], atol=1e-4)
    assert list(layer.state_dict()) == [] and list(layer.parameters()) == []


def test_what_does_not_fit():
    with pytest.raises(UsageError, match="4 channels in 3 groups"):
        nn.GroupNorm(3, 4)
    with pytest.raises(ShapeError, match=r"\[GroupNorm\] got f32\[1,6,2\], needs C=4"):
        nn.GroupNorm(2, 4)(cr.zeros(1, 6, 2))
    with pytest.raises(ShapeError, match="C a multiple of 2 groups"):
        F.group_norm(cr.zeros(1, 5, 2), 2)
    with pytest.raises(ShapeError, match=r"the last axes \[3\]"):
        F.rms_norm(cr.zeros(2, 4), 3)
    with pytest.raises(ShapeError, match=r"needs f\[N,C,L,...\]"):
        F.local_response_norm(cr.zeros(2, 4), 3)
