"""Losses of numbers, and what all losses share: golden figures, and what they refuse."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import ShapeError, UsageError


def variable(value):
    return cr.tensor(value, dtype=cr.float64, requires_grad=True)


def data(value):
    return cr.tensor(value, dtype=cr.float64)


PAIRS = [
    F.mse_loss,
    F.half_mse_loss,
    F.l1_loss,
    F.smooth_l1_loss,
    F.huber_loss,
    F.binary_cross_entropy,
    F.binary_cross_entropy_with_logits,
    F.hinge_loss,
    F.soft_margin_loss,
    F.hinge_embedding_loss,
    F.kl_div,
]


@pytest.mark.parametrize("loss", PAIRS)
def test_shapes_that_would_broadcast(loss):
    with pytest.raises(
        ShapeError,
        match=r"input f32\[4,1\] against target f32\[4\], needs equal shapes .*would compare each",
    ):
        loss(cr.zeros(4, 1), cr.zeros(4))


def losses():
    return [c for c in vars(nn).values() if inspect.isclass(c) and issubclass(c, nn.loss.Loss)]


@pytest.mark.parametrize("kind", losses())
def test_every_loss_refuses_an_unknown_reduction(kind):
    layer = kind(reduction="avg")
    x, labels = cr.full((2, 3), 0.5), cr.tensor([0, 1])
    targets = {
        "CrossEntropyLoss": (labels,), "NLLLoss": (labels,), "MultiMarginLoss": (labels,),
        "MulticlassSVMLoss": (labels,), "CosineEmbeddingLoss": (x, cr.ones(2)),
        "TripletMarginLoss": (x, x), "BCELoss": (x,), "BCEWithLogitsLoss": (x,),
    }  # fmt: skip
    with pytest.raises(UsageError, match="'avg', needs one of mean, sum, none"):
        layer(x, *targets.get(kind.__name__, (cr.ones(2, 3),)))


def test_layers_have_the_state_of_pytorchs():
    assert list(nn.CrossEntropyLoss(cr.ones(3)).state_dict()) == ["weight"]
    assert list(nn.BCEWithLogitsLoss(pos_weight=cr.ones(3)).state_dict()) == ["pos_weight"]


def test_the_scope_is_the_name_of_the_function():
    assert "cross_entropy" in str(cr.graph(F.cross_entropy(cr.zeros(1, 2), cr.tensor([0]))))


def test_a44_half_squares_halve_the_gradient():
    """golden.md A44: ½ ‖·‖² against ‖·‖²: gradients differ by exactly 2."""
    t = data([0.3, -1.0, 2.0])
    x, y = variable([1.0, 2.0, 0.5]), variable([1.0, 2.0, 0.5])
    half = F.half_mse_loss(x, t)
    whole = F.mse_loss(y, t, reduction="sum")
    half.backward()
    whole.backward()
    assert half.item() == whole.item() / 2
    assert x.grad.tolist() == (x - t).tolist() == (y.grad / 2).tolist()


def test_half_squares_are_summed_over_outputs_and_averaged_over_samples():
    x, t = data([[1.0, 2.0], [3.0, 5.0]]), data([[0.0, 0.0], [0.0, 0.0]])
    assert F.half_mse_loss(x, t, reduction="none").tolist() == [2.5, 17.0]
    assert nn.HalfMSELoss()(x, t).item() == 9.75
    assert nn.HalfMSELoss("sum")(x, t).item() == 19.5
    assert F.half_mse_loss(data(3.0), data(1.0)).item() == 2.0
    pictures = cr.ones(4, 1, 3, 3)
    assert F.half_mse_loss(pictures, 0 * pictures, "none").tolist() == [4.5] * 4


def test_huber_and_smooth_l1():
    x = data([0.0, 0.1, 0.5, 0.7, -3.0])
    huber = F.huber_loss(x, 0 * x, "none", delta=0.5)
    smooth = F.smooth_l1_loss(x, 0 * x, "none", beta=0.5)
    np.testing.assert_allclose(huber.numpy(), [0, 0.005, 0.125, 0.225, 1.375], rtol=1e-12)
    np.testing.assert_allclose(smooth.numpy(), huber.numpy() / 0.5, rtol=1e-12)
    with pytest.raises(UsageError, match=r"\[huber_loss\] got delta=0, needs a number above 0"):
        F.huber_loss(x, x, delta=0)
    with pytest.raises(UsageError, match=r"\[smooth_l1_loss\] got beta=-1, needs 0 or more"):
        F.smooth_l1_loss(x, x, beta=-1)
