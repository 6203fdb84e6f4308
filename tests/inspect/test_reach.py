"""Reach against what really moves: each input element in turn is made large, all at once."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.inspect.element.step import Step
from chainrule.inspect.reach import fed, reach, reach_of
from chainrule.inspect.receptive_field import fields_from
from chainrule.ops.conv import conv_input_grad


class Branches(nn.Module):
    """A wide path, a narrow one beside it, and the input itself: added, and put side by side."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Sequential(nn.Conv2d(2, 2, 3, padding=2, dilation=2), nn.ReLU())
        self.narrow = nn.Conv2d(2, 2, 1)

    def forward(self, x):
        return cr.cat([self.wide(x) + x, self.narrow(x)[:, :, :, :]], 1)


class Turned(nn.Module):
    """x: f[N,C,H,W] -> f[N,H,W·C], the columns from right to left."""

    def forward(self, x):
        x = x.flip(3).permute(0, 2, 3, 1)
        return x.reshape(x.shape[0], x.shape[1], -1)


class Columns(nn.Module):
    def forward(self, x):
        return x.sum(2).amax(1) + x.mean(2)[:, 0]


class Shifted(nn.Module):
    def forward(self, x):
        return x[:, :, 1:, ::2] + nn.functional.pad(x, (1, 0, 0, 0))[:, :, :-1, :-1:2]


class Products(nn.Module):
    """x: f[N,C,H,W] -> f[N,CH,CH]: each row times each, the data on both sides."""

    def forward(self, x):
        rows = x.reshape(x.shape[0], -1, x.shape[-1])
        return rows @ rows.permute(0, 2, 1)


class Spread(nn.Module):
    """A transposed convolution of two maps in two groups."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(cr.ones(2, 2, 3, 2))

    def forward(self, x):
        meta = {"stride": (2, 3), "padding": (1, 0), "dilation": (1, 2), "groups": 2}
        return conv_input_grad(x, self.weight, input_shape=(len(x), 4, 6, 13), **meta)


C = nn.Conv2d
NETS = {
    "stride": nn.Sequential(C(2, 3, 3, stride=2, padding=1), nn.ReLU(), C(3, 2, 2)),
    "holes": nn.Sequential(C(2, 2, 3, dilation=3)),
    "groups": nn.Sequential(C(2, 4, 3, groups=2, padding=1), C(4, 2, 1, groups=2)),
    "odd": nn.Sequential(C(2, 1, (1, 3), stride=(2, 1), padding=(0, 2), dilation=(1, 2))),
    "pooling": nn.Sequential(nn.MaxPool2d(3, 2, 1), C(2, 2, 2), nn.AvgPool2d(2, 1)),
    "ceiling": nn.Sequential(nn.MaxPool2d(2, ceil_mode=True), nn.AvgPool2d(2, ceil_mode=True)),
    "branches": nn.Sequential(Branches(), C(4, 2, 2, stride=2)),
    "norm": nn.Sequential(C(2, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.AdaptiveAvgPool2d((2, 3))),
    "linear": nn.Sequential(C(2, 2, 3, stride=3), nn.Flatten(), nn.Linear(12, 3)),
    "transposed": nn.Sequential(C(2, 2, 3, stride=2), Spread()),
    "enlarged": nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2), C(2, 1, 2)),
    "turned": nn.Sequential(C(2, 2, 2), Turned(), nn.Linear(16, 3)),
    "summed": nn.Sequential(C(2, 3, 2), Columns()),
    "shifted": nn.Sequential(Shifted(), C(2, 1, (1, 2))),
    "products": Products(),
    "rows": nn.Sequential(C(2, 2, 2, padding="same"), nn.Flatten(2), nn.Linear(63, 2)),
}
SIZE = (2, 7, 9)


def positive(net):
    """The network with positive weights, so that nothing cancels and no ReLU closes."""
    net = net.double().eval()
    draws = np.random.default_rng(3)
    with cr.no_grad():
        for parameter in net.parameters():
            parameter.copy_(cr.tensor(draws.uniform(0.5, 1.5, parameter.shape)))
    return net


def moved(net, index):
    """The input elements that move an element: each, made large in a sample of its own."""
    count = int(np.prod(SIZE))
    x = np.random.default_rng(0).uniform(1, 2, SIZE)
    large = np.stack([x] * (count + 1))
    large[:-1] += 1000 * np.eye(count).reshape(count, *SIZE)
    with cr.no_grad():
        y = net(cr.tensor(large)).numpy()[(slice(None), *index)]
    return np.flatnonzero(y[:-1] != y[-1])


def recorded(net):
    x = cr.tensor(np.random.default_rng(1).uniform(1, 2, (3, *SIZE)))
    with cr.record() as tape:
        y = net(x)
        (y * cr.ones(dtype=cr.float64, requires_grad=True)).sum().backward()
    return tape, Step(tape), tuple(y.shape[1:])


def output_of(step):
    """What is multiplied by a parameter and summed at last."""
    return step.number[step.order[-1].inputs[0].inputs[0]]


@pytest.mark.parametrize("name", NETS)
def test_what_is_reached_is_what_moves_it(name):
    net = positive(NETS[name])
    _, step, shape = recorded(net)
    output = output_of(step)
    assert step.order[output].shape[1:] == shape
    draws = np.random.default_rng(2)
    some = {(0,) * len(shape), tuple(size - 1 for size in shape)}
    some |= {tuple(int(draws.integers(size)) for size in shape) for _ in range(6)}
    for index in some:
        found = reach_of(step, output, step.flat(output, (1, *index)))
        assert not found.joins
        source = min(fed(step))
        sample = found.places[source] - np.prod(SIZE)  # of sample 1
        assert sample.tolist() == moved(net, index).tolist()


@pytest.mark.parametrize("name", ["stride", "odd", "pooling", "branches", "shifted"])
def test_the_box_around_it_is_that_of_the_formula(name):
    """In the middle, where no edge cuts it: size, jump and start say where the field is."""
    net = positive(NETS[name])
    _, step, shape = recorded(net)
    output, source = output_of(step), min(fed(step))
    nodes = [step.order[k] for k in sorted(fed(step))]
    values = {node: step.array(k, "value") for k, node in enumerate(step.order)}
    field = fields_from(step.order[source], nodes, values.get)[step.order[output]]
    at = tuple(size // 2 for size in shape[1:])
    found = reach_of(step, output, step.flat(output, (0, 0, *at))).places[source]
    rows = np.stack(np.unravel_index(found, step.order[source].shape))[2:]
    assert field.jump is not None
    for low, high, start, jump, p, size, whole in zip(
        rows.min(1), rows.max(1), field.start, field.jump, at, field.size, SIZE[1:], strict=True
    ):
        first = start + p * jump
        assert (max(first, 0), min(first + size, whole) - 1) == (low, high)


def test_means_of_a_batch_are_said_and_not_followed():
    net = nn.Sequential(nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2)).double()
    _, step, _ = recorded(net)
    output = output_of(step)
    found = reach_of(step, output, step.flat(output, (1, 0, 2, 2)))
    assert {step.order[k].op.name for k in found.joins} == {"moments"}
    assert len(found.places[min(fed(step))]) == 2 * 3 * 3


def test_indices_of_all_that_is_reached():
    tape, step, _ = recorded(positive(NETS["holes"]))
    found = reach(tape, output_of(step), (2, 1, 0, 1))[min(fed(step))]
    wanted = [[2, c, r, q] for c in (0, 1) for r in (0, 3, 6) for q in (1, 4, 7)]
    assert found.tolist() == wanted
