"""The filters of a step: which they are, where their maps end, which are dead or alike."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.inspect.banks import alive, banks, chosen, duplicates, numbers_of
from chainrule.inspect.element.step import Step

X = np.random.default_rng(0).normal(size=(4, 2, 6, 5)).astype(np.float32)


def recorded(net, x=X):
    with cr.record() as tape:
        net(cr.tensor(x)).sum().backward()
    return Step(tape)


class Skip(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.relu = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()

    def forward(self, x):
        return self.relu(self.a(x) + x)


def test_convolutions_in_their_order_each_with_its_map():
    shared = nn.Conv2d(3, 3, 1)
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), shared, shared, Skip())
    step = recorded(net)
    found = banks(step)
    assert [bank.name for bank in found] == ["0.weight", "3.weight", "5.a.weight"]
    assert [bank.shape for bank in found] == [(3, 2, 3, 3), (3, 3, 1, 1), (3, 3, 3, 3)]
    ends = [step.order[bank.map].op.name for bank in found]
    # past its normalisation to its ReLU; to where the next one reads; before a map is added
    assert ends == ["relu", "add", "add"]
    assert step.order[found[2].map].inputs[0].op.name == "conv"
    assert not any(bank.linear for bank in found)
    weights = numbers_of(step, found[0])
    assert weights is not None and (weights == net[0].weight.numpy()).all()


@pytest.mark.parametrize(
    ("net", "x", "shape"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(60, 7)), X, (7, 2, 6, 5)),
        (nn.Sequential(nn.Flatten(), nn.Linear(30, 7)), X[:, 0], (7, 1, 6, 5)),
        (nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 2)), X[:, 0, 0], (7, 1, 0, 5)),
        (nn.Conv1d(2, 4, 3), X[:, :, 0], (4, 2, 1, 3)),
    ],
)
def test_a_model_without_convolutions_and_one_along_a_line(net, x, shape):
    (bank,) = banks(recorded(net, x))
    assert bank.shape == shape
    assert bank.linear == (not isinstance(net, nn.Conv1d))


def test_a_dead_filter_and_its_figures():
    conv = nn.Conv2d(2, 3, 3)
    with cr.no_grad():
        conv.bias.copy_(cr.tensor([0.0, -100.0, 0.0]))
    step = recorded(nn.Sequential(conv, nn.ReLU()))
    (bank,) = banks(step)
    counts, most = alive(step, bank)
    maps = np.maximum(nn.functional.conv2d(cr.tensor(X), conv.weight, conv.bias).numpy(), 0)
    assert counts == (maps > 0).any((2, 3)).sum(0).tolist() and counts[1] == 0
    assert most == maps.max((0, 2, 3)).tolist() and most[1] == 0


def test_duplicates():
    weights = np.random.default_rng(1).normal(size=(5, 2, 3, 3))
    weights[4] = -3 * weights[1]
    weights[3] = weights[0] + 0.01 * weights[2]
    weights[2] = 0  # has no direction
    first, second = duplicates(weights)
    assert (first.first, first.second) == (1, 4) and first.cosine == pytest.approx(-1)
    assert (second.first, second.second) == (0, 3) and 0.95 <= second.cosine < 1
    assert duplicates(np.ones((3, 1, 1, 1))) == []


def test_the_largest_of_many():
    weights = np.ones((40, 2)) * np.arange(40)[:, None]
    assert list(chosen(weights, 3, 32)) == [37, 38, 39]
    assert list(chosen(weights[:5], 3, 32)) == [0, 1, 2, 3, 4]
