"""Counts of multiply-adds and of derivative terms: the lectures' figures, and what is recorded."""

import json

import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn
from chainrule.errors import UsageError
from chainrule.inspect.cost import (
    cost,
    growth,
    jacobian_order,
    multiply_adds,
    naive_backward,
    why_backprop,
)
from chainrule.nn import functional as F


def test_two_layers_cost_8_forward_12_backward_and_16_with_the_inputs_error_signal():
    counted = cost(models.mlp((2, 2, 2)), (2,))
    assert (counted.forward, counted.backward, counted.backward_with_input) == (8, 12, 16)
    assert [(row.forward, row.backward, row.for_input) for row in counted.layers] == [
        (4, 4, 4),
        (4, 8, 0),
    ]


def test_lenet():
    counted = cost(models.lenet5(), (1, 28, 28))
    assert [row.forward for row in counted.layers] == [117_600, 240_000, 48_000, 10_080, 840]
    assert counted.forward == 416_520
    assert counted.backward_with_input == 2 * counted.forward
    assert counted.as_expected
    assert "117,600" in str(counted)
    assert json.loads(json.dumps(counted.to_json()))["forward"] == 416_520


def test_the_counts_are_those_of_a_step_that_runs():
    model = models.lenet5()
    seen = []

    class Tap:
        def saw(self, node):
            seen.append((node, multiply_adds(node)))

        def saw_call(self, path, result): ...
        def saw_backward(self, signals): ...

    rec = cr.zeros(1)._node.recorder
    with rec.setting(taps=[Tap()]):
        loss = model(cr.zeros(1, 1, 28, 28)).sum()
        forward = len(seen)
        loss.backward()
    cr.synchronize()
    executed = [
        sum(count for node, count in part if node.executions)
        for part in (seen[:forward], seen[forward:])
    ]
    counted = cost(model, (1, 28, 28))
    assert executed == [counted.forward, counted.backward]


def test_a_layer_that_is_used_twice_costs_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x):
            return self.fc(self.fc(x))

    counted = cost(Twice(), (3,))
    assert [(row.forward, row.backward) for row in counted.layers] == [(9, 9), (9, 18)]


def test_groups_strides_and_frozen_layers():
    net = nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, groups=2), nn.Flatten(), nn.Linear(72, 5))
    counted = cost(net, (4, 7, 7))
    assert [row.forward for row in counted.layers] == [8 * 9 * 2 * 9, 360]
    net[0].requires_grad_(False)
    assert [row.backward for row in cost(net, (4, 7, 7)).layers] == [0, 360]


def test_products_outside_of_layers_count_for_the_module_that_makes_them():
    class Attend(nn.Module):
        def forward(self, x):
            return F.softmax(x @ x.transpose(-1, -2), dim=-1) @ x

    (row,) = cost(Attend(), (5, 3)).layers
    assert (row.kind, row.forward, row.expected) == ("Attend", 150, None)


def test_nothing_is_computed_and_nothing_moves():
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    before = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    state, executed = cr.get_state(), cr.stats().executed
    cost(net, (4,), batch_size=3)
    assert cr.get_state() == state and net.training
    assert all(p.grad is None for p in net.parameters())
    assert cr.stats().executed == executed
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


def test_why_backprop():
    found = why_backprop(3)
    assert found["forward"] == [4, 12, 20, 14, 14] and found["forward_total"] == 64
    assert found["backward"] == [1, 4, 6, 6, 4] and found["backward_total"] == 21
    assert [a + b for a, b in zip(found["backward"], found["carried"], strict=True)] == [
        1, 5, 8, 8, 6,
    ]  # fmt: skip
    assert found["weights"] == 14 and found["difference"] < 1e-15
    assert found["terms"]["forward"][1][:3] == ["∂z3/∂w5", "∂z3/∂w6", "∂z3/∂w1"]
    assert found["terms"]["backward"][1] == ["∂l/∂w13", "∂l/∂w14", "∂l/∂z5", "∂l/∂z6"]
    assert (
        len({term for terms in found["terms"]["forward"] for term in terms}) == 64
    )  # no derivative twice


@pytest.mark.parametrize(("layers", "forward", "backward"), [(1, 16, 9), (10, 484, 63)])
def test_why_backprop_grows_as_its_formula_says(layers, forward, backward):
    found = why_backprop(layers)
    assert (found["forward_total"], found["backward_total"]) == (forward, backward)
    assert found["formula"] == {"forward": forward, "backward": backward}


def test_order_of_jacobian_products():
    found = jacobian_order(64)
    assert (found["loss_first"], found["input_first"]) == (12_288, 528_384)
    assert found["formula"] == {k: found[k] for k in ("loss_first", "input_first")}
    assert found["ratio"] == 43 and found["difference"] < 2e-15
    assert jacobian_order(5, 1)["ratio"] == 1


def test_growth():
    nets = growth()["nets"]
    assert nets["100 units, 10 layers"]["ratio"] == 1.9
    assert round(nets["784-128-10"]["ratio"], 3) == 1.013
    base = nets["100 units, 10 layers"]["forward"]
    assert nets["100 units, 20 layers"]["forward"] == 2 * base
    assert nets["200 units, 10 layers"]["forward"] == 4 * base


@pytest.mark.parametrize("layers", [1, 2, 32])
def test_a_pass_for_each_layer_is_quadratic(layers):
    found = naive_backward(layers)
    assert found["backprop"] == 2 * layers
    assert found["naive"] == (3 * layers**2 + layers) // 2


def test_under_no_grad_the_counts_are_the_same():
    with cr.no_grad():
        assert cost(models.mlp((2, 2, 2)), (2,)).backward == 12
        assert why_backprop(1)["backward_total"] == 9
        assert naive_backward(4)["naive"] == 26


def test_wrong_use():
    with pytest.raises(UsageError, match=r"\[why-backprop\] got layers=0, needs at least 1"):
        why_backprop(0)
    with pytest.raises(UsageError, match=r"\[jacobian-order\] got n=0"):
        jacobian_order(0)
    with pytest.raises(UsageError, match="needs the sizes of one sample"):
        cost(models.lenet5(), (1, 28.0))
