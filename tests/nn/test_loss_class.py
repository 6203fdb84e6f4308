"""Losses of classes: golden figures, and labels that are refused."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import DtypeError, IndexRangeError, ShapeError, UsageError


def variable(value):
    return cr.tensor(value, dtype=cr.float64, requires_grad=True)


def test_float_labels():
    with pytest.raises(DtypeError, match=r"\[cross_entropy\] got .* these are float32.*long"):
        F.cross_entropy(cr.zeros(2, 3), cr.tensor([0.0, 1.0]))


def test_integer_one_hot():
    with pytest.raises(DtypeError, match=r"look one-hot. target.argmax\(1\), or .float\(\)"):
        F.cross_entropy(cr.zeros(2, 3), cr.tensor([[0, 1, 0], [1, 0, 0]]))


def test_labels_with_an_axis_too_many():
    with pytest.raises(ShapeError, match=r"needs labels i64\[2\].*squeeze\(-1\)"):
        F.cross_entropy(cr.zeros(2, 3), cr.tensor([[0], [1]]))


def test_any_whole_number_type_is_a_label():
    x = cr.zeros(2, 3)
    for dtype in (cr.uint8, cr.int32, cr.int64):
        assert F.cross_entropy(x, cr.tensor([0, 2], dtype=dtype)).item() == pytest.approx(1.0986123)


@pytest.mark.parametrize("label", [10, -1])
def test_a_label_out_of_range_leaves_parameters_untouched(label):
    net = nn.Linear(4, 10)
    optimizer = cr.optim.Adam(net.parameters(), lr=0.1)
    x = cr.ones(3, 4)

    def step(labels):
        optimizer.zero_grad()
        F.cross_entropy(net(x), cr.tensor(labels)).backward()
        optimizer.step()

    step([1, 2, 3])
    before = [p.tolist() for p in net.parameters()]
    with pytest.raises(IndexRangeError, match=rf"got {label} at index \[1\].*labels run from 0 to"):
        step([1, label, 3])
    assert [p.tolist() for p in net.parameters()] == before
    state = optimizer.state[net.weight]
    assert state["step"] == 1
    step([1, 2, 3])
    assert state is not optimizer.state[net.weight] or optimizer.state[net.weight]["step"] == 2
    assert [p.tolist() for p in net.parameters()] != before


def test_softmax_before_cross_entropy_is_noticed():
    x = cr.zeros(2, 3)
    with pytest.warns(UserWarning, match="rows sum to 1: CrossEntropyLoss expects logits"):
        F.cross_entropy(F.softmax(x, 1), cr.tensor([0, 1]))


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss, F.multi_margin_loss])
def test_every_loss_of_labels_checks_them(loss):
    with pytest.raises(
        IndexRangeError, match=r"got 3 at index \[1\].*3 classes: labels run from 0"
    ):
        loss(cr.zeros(2, 3), cr.tensor([0, 3])).item()
    with pytest.raises(DtypeError, match=r"these are float32. target.long\(\)"):
        loss(cr.zeros(2, 3), cr.tensor([0.0, 1.0]))
    with pytest.raises(
        ShapeError, match=r"weight f32\[2\], needs one number for each of 3 classes"
    ):
        loss(cr.zeros(2, 3), cr.tensor([0, 1]), weight=cr.ones(2))


def test_a37_softmax_then_cross_entropy():
    """golden.md A37: the error signal of the logits is softmax - one-hot."""
    x = variable([1, 2, 0.5])
    loss = F.cross_entropy(x, cr.tensor(1))
    loss.backward()
    assert loss.item() == pytest.approx(0.464369, abs=5e-7)
    np.testing.assert_allclose(x.grad.numpy(), [0.231224, -0.371468, 0.140244], atol=5e-7)
    by_hand = F.nll_loss(F.log_softmax(x.detach(), 0), cr.tensor(1))
    assert by_hand.item() == loss.item()


def test_a36_multiclass_svm():
    """golden.md A36: summed over i ≠ y; the gradient at y is minus the number of violations."""
    x = variable([1, 0.5, 2, -1])
    loss = F.multiclass_svm_loss(x, cr.tensor(1))
    loss.backward()
    assert loss.item() == 4
    assert x.grad.tolist() == [1, -2, 1, 0]
    x.grad = None
    F.multi_margin_loss(x, cr.tensor(1)).backward()  # PyTorch's form divides by the classes
    assert x.grad.tolist() == [0.25, -0.5, 0.25, 0]


def test_a_margin_that_is_just_kept_is_no_violation():
    x = variable([1.0, 2.0, 1.0])
    loss = F.multiclass_svm_loss(x, cr.tensor(1))
    loss.backward()
    assert loss.item() == 0
    assert x.grad.tolist() == [0, 0, 0]


def test_multiclass_svm_of_a_batch():
    x, y = variable([[1, 0.5, 2, -1], [0, 0, 0, 9]]), cr.tensor([1, 3])
    assert F.multiclass_svm_loss(x, y, reduction="none").tolist() == [4, 0]
    assert nn.MulticlassSVMLoss()(x, y).item() == 2
    assert nn.MulticlassSVMLoss(margin=2.0, reduction="sum")(x, y).item() == 6.5
    with pytest.raises(ShapeError, match=r"needs scores f\[N,C\] or f\[C\]"):
        F.multiclass_svm_loss(cr.zeros(2, 3, 4), cr.zeros(2, 4).long())
    with pytest.raises(UsageError, match=r"\[multi_margin_loss\] got p=3, needs 1 or 2"):
        F.multi_margin_loss(x, y, p=3)


def test_kl_divergence():
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.1, 0.6, 0.3])
    wanted = (p * np.log(p / q)).sum()
    log_q, target = cr.tensor(np.log([q, q])), cr.tensor([p, p])
    assert F.kl_div(log_q, target, reduction="batchmean").item() == pytest.approx(wanted)
    logs = F.kl_div(log_q, target.log(), reduction="batchmean", log_target=True)
    assert logs.item() == pytest.approx(wanted)
    assert nn.KLDivLoss("sum")(log_q, target).item() == pytest.approx(2 * wanted)
    assert F.kl_div(log_q[0], cr.tensor([0.0, 0.0, 1.0], dtype=cr.float64), "sum").item() > 0


def test_label_smoothing_out_of_range():
    with pytest.raises(UsageError, match="label_smoothing=2, needs 0 to 1"):
        F.cross_entropy(cr.zeros(1, 3), cr.tensor([0]), label_smoothing=2)
