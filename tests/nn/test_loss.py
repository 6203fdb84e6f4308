"""Losses: what they refuse, and how."""

from __future__ import annotations

import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import DtypeError, IndexRangeError, ShapeError, UsageError


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


@pytest.mark.parametrize(
    "loss", [F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.binary_cross_entropy_with_logits, F.kl_div]
)
def test_shapes_that_would_broadcast(loss):
    with pytest.raises(ShapeError, match=r"input f32\[4,1\] against target f32\[4\]"):
        loss(cr.zeros(4, 1), cr.zeros(4))


def test_softmax_before_cross_entropy_is_noticed():
    x = cr.zeros(2, 3)
    with pytest.warns(UserWarning, match="rows sum to 1: CrossEntropyLoss expects logits"):
        F.cross_entropy(F.softmax(x, 1), cr.tensor([0, 1]))


def test_wrong_reduction():
    with pytest.raises(UsageError, match="'avg', needs one of mean, sum, none"):
        F.mse_loss(cr.zeros(2), cr.zeros(2), reduction="avg")


def test_layers_have_the_state_of_pytorchs():
    assert list(nn.CrossEntropyLoss(cr.ones(3)).state_dict()) == ["weight"]
    assert list(nn.BCEWithLogitsLoss(pos_weight=cr.ones(3)).state_dict()) == ["pos_weight"]


def test_the_scope_is_the_name_of_the_function():
    assert "cross_entropy" in str(cr.graph(F.cross_entropy(cr.zeros(1, 2), cr.tensor([0]))))
