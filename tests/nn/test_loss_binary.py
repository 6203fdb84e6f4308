"""Losses of yes or no: golden figures, and targets of the wrong kind."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import UsageError


def variable(value):
    return cr.tensor(value, dtype=cr.float64, requires_grad=True)


def data(value):
    return cr.tensor(value, dtype=cr.float64)


def test_a33_output_delta_of_sigmoid_and_cross_entropy():
    """golden.md A33: with its minus sign, δ = a - y, by both ways."""
    for loss in (
        lambda z: F.binary_cross_entropy_with_logits(z, data(1.0)),
        lambda z: F.binary_cross_entropy(z.sigmoid(), data(1.0)),
    ):
        z = variable(0.7)
        result = loss(z)
        result.backward()
        assert result.item() == pytest.approx(0.403186, abs=5e-7)
        assert z.grad.item() == pytest.approx(-0.331812, abs=5e-7)


@pytest.mark.parametrize(
    ("loss", "value", "slope"),
    [(F.mse_loss, 1.69, 2.6), (F.hinge_loss, 1.3, 1.0), (F.soft_margin_loss, 0.854355, 0.574443)],
)
def test_a41_three_losses_of_a_label_of_minus_one(loss, value, slope):
    """golden.md A41: y = -1, f = 0.3; the logistic loss is cross-entropy with the label 0."""
    f = variable(0.3)
    result = loss(f, data(-1.0))
    result.backward()
    assert result.item() == pytest.approx(value, abs=5e-7)
    assert f.grad.item() == pytest.approx(slope, abs=5e-7)
    if loss is F.soft_margin_loss:
        other = F.binary_cross_entropy_with_logits(f.detach(), data(0.0))
        assert result.item() == other.item()


def test_hinge_at_its_kink_and_by_reduction():
    x, t = variable([1.0, -1.0, 0.0, 5.0]), cr.tensor([1, -1, 1, -1])
    F.hinge_loss(x, t, reduction="sum").backward()
    assert x.grad.tolist() == [0, 0, -1, 1]
    assert nn.HingeLoss()(x, t).item() == 7 / 4
    assert nn.SoftMarginLoss("none")(x, t).shape == (4,)


def test_the_logistic_loss_does_not_overflow():
    x = variable([1000.0, -1000.0])
    loss = F.soft_margin_loss(x, data([-1.0, 1.0]), reduction="none")
    assert loss.tolist() == [1000, 1000]
    loss.sum().backward()
    assert x.grad.tolist() == [1, -1]


@pytest.mark.parametrize("dtype", [cr.float32, cr.float64])
def test_a_tiny_loss_keeps_its_digits(dtype):
    x = cr.tensor([25.0, 40.0], dtype=dtype)
    wanted = pytest.approx(np.exp([-25.0, -40.0]).tolist(), rel=1e-6)
    assert F.soft_margin_loss(x, cr.ones(2), reduction="none").tolist() == wanted
    one = cr.ones(2, dtype=dtype)
    assert F.binary_cross_entropy_with_logits(x, one, reduction="none").tolist() == wanted


@pytest.mark.parametrize("loss", [F.hinge_loss, F.soft_margin_loss, F.hinge_embedding_loss])
def test_labels_of_0_and_1_where_signs_are_needed(loss):
    words = r"got 0 at index \[1\], needs -1 or 1 .*2 \* t - 1 makes them of 0 and 1"
    with pytest.raises(UsageError, match=words):
        loss(cr.zeros(3), cr.tensor([1.0, 0.0, 1.0])).item()


@pytest.mark.parametrize("loss", [F.binary_cross_entropy, F.binary_cross_entropy_with_logits])
def test_signs_where_labels_of_0_and_1_are_needed(loss):
    words = r"got -1 at index \[0\], needs 0 to 1 .*Are the labels -1 and 1\? Then \(t \+ 1\) / 2"
    with pytest.raises(UsageError, match=words):
        loss(cr.full((2,), 0.5), cr.tensor([-1.0, 1.0])).item()


def test_logits_where_probabilities_are_needed():
    words = (
        r"got 1.5 at index \[1\], needs 0 to 1 .*a logit\? Then binary_cross_entropy_with_logits"
    )
    with pytest.raises(UsageError, match=words):
        F.binary_cross_entropy(cr.tensor([0.5, 1.5]), cr.ones(2)).item()


def test_a_bad_target_leaves_parameters_untouched():
    net = nn.Linear(2, 1)
    optimizer = cr.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    before = [p.tolist() for p in net.parameters()]
    F.hinge_loss(net(cr.ones(2, 2)), cr.tensor([[0.0], [1.0]])).backward()
    with pytest.raises(UsageError, match="needs -1 or 1"):
        optimizer.step()
    assert [p.tolist() for p in net.parameters()] == before


def test_nan_is_no_wrong_probability():
    assert np.isnan(F.binary_cross_entropy(cr.tensor([float("nan")]), cr.ones(1)).item())
