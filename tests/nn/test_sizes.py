"""Sizes that the first input tells."""

from __future__ import annotations

import copy
import pickle

import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import NameNotFoundError, ShapeError, UsageError


def network():
    return nn.Sequential(
        nn.Conv2d(None, 4, 3), nn.BatchNorm2d(None), nn.Flatten(), nn.Linear(None, 2, bias=False)
    )


def test_sizes_are_inferred_once_and_told_on_stderr(capsys):
    net = network()
    assert net(cr.zeros(2, 3, 6, 6)).shape == (2, 2)
    net(cr.zeros(2, 3, 6, 6))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "[0/Conv2d] in_channels=3, inferred from the input f32[2,3,6,6]",
        "[1/BatchNorm2d] num_features=4, inferred from the input f32[2,4,4,4]",
        "[3/Linear] in_features=64, inferred from the input f32[2,64]",
    ]
    assert [net[0].in_channels, net[1].num_features, net[3].in_features] == [3, 4, 64]
    assert [name for name, _ in net.named_parameters()] == [
        "0.weight", "0.bias", "1.weight", "1.bias", "3.weight",
    ]  # fmt: skip


def test_names_in_the_graph_of_the_first_call():
    assert "3/Linear/3.weight" in str(cr.graph(network()(cr.zeros(2, 3, 6, 6))))


def test_what_is_inferred_learns_also_when_first_called_without_gradients():
    net = network()
    with cr.no_grad():
        net(cr.zeros(2, 3, 6, 6))
    net(cr.ones(2, 3, 6, 6)).sum().backward()
    assert net[3].weight.grad is not None


@pytest.mark.parametrize(
    "ask",
    [
        lambda net: list(net.parameters()),
        lambda net: net.state_dict(),
        lambda net: net.load_state_dict({}),
        lambda net: cr.optim.SGD(net.parameters(), lr=0.1),
        lambda net: net.double(),
    ],
    ids=["parameters", "state_dict", "load_state_dict", "SGD", "double"],
)
def test_before_the_first_input_parameters_are_an_error(ask):
    words = (
        r"\[0/Conv2d\] got in_channels=None when its parameters are asked for, needs a first "
        r"input\. They are made from its shape\. Send one batch through the network before: net"
    )
    with pytest.raises(UsageError, match=words):
        ask(network())


def test_weight_before_the_first_input():
    layer = nn.Linear(None, 3)
    with pytest.raises(NameNotFoundError, match=r"\[Linear\] got in_features=None when its weight"):
        _ = layer.weight
    assert not hasattr(layer, "bias")


def test_repr_before_and_after():
    layer = nn.Linear(None, 3)
    assert repr(layer) == "Linear(in_features=None, out_features=3, bias=True)"
    layer(cr.zeros(1, 7))
    assert repr(layer) == "Linear(in_features=7, out_features=3, bias=True)"


def test_copies_before_the_first_input_are_independent():
    net = nn.Linear(None, 2)
    twins = copy.deepcopy(net), pickle.loads(pickle.dumps(net))
    net(cr.zeros(1, 5))
    assert [twin(cr.zeros(1, 3)).shape for twin in twins] == [(1, 2), (1, 2)]
    assert net.in_features == 5 and twins[0].in_features == 3


def test_an_input_that_does_not_fit_leaves_the_layer_open():
    layer = nn.Conv2d(None, 4, 3, groups=2)
    with pytest.raises(UsageError, match="3 and 4 channels in groups=2"):
        layer(cr.zeros(1, 3, 5, 5))
    with pytest.raises(ShapeError, match=r"got f32\[3\], needs 4 axes"):
        layer(cr.zeros(3))
    with pytest.raises(ShapeError, match="needs 4 axes"):
        layer(cr.zeros(3, 2, 3, 4, 5))
    assert layer(cr.zeros(1, 2, 5, 5)).shape == (1, 4, 3, 3)
    with pytest.raises(ShapeError):
        nn.BatchNorm2d(None)(cr.zeros(3, 4))
    with pytest.raises(ShapeError):
        nn.Linear(None, 2)(cr.tensor(1.0))
