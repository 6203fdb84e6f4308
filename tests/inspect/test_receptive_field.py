"""Receptive fields against what really changes: which inputs move one value of the output."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn
from chainrule.inspect.receptive_field import fields_of
from chainrule.inspect.walk import walk


def last_field(net, size):
    pass_ = walk(net, size)
    return fields_of(pass_)[pass_.outputs[0]._node]


def seen_by(net, size, place):
    """Along each spatial axis: how far apart the first and last input are that one value sees."""
    for parameter in net.parameters():
        with cr.no_grad():
            parameter.copy_(parameter.abs() + 0.1)  # nothing cancels
    x = cr.tensor(np.random.default_rng(0).uniform(1, 2, (1, *size)), requires_grad=True)
    net.double()(x)[place].sum().backward()
    moved = np.argwhere(x.grad.numpy()[0].any(axis=0))
    return tuple((moved.max(axis=0) - moved.min(axis=0) + 1).tolist())


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide = nn.Sequential(nn.Conv2d(2, 2, 5, padding=2), nn.Conv2d(2, 2, 3, padding=1))
        self.narrow = nn.Conv2d(2, 2, 1)

    def forward(self, x):
        return self.wide(x) + self.narrow(x)


class Patches(nn.Module):
    """x: f[N,C,H,W] -> f[N, H/4·W/4, C·16]: the numbers of each patch in one row."""

    def forward(self, x):
        n, c, h, w = x.shape
        x = x.reshape(n, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 1, 3, 5)
        return x.reshape(n, h // 4 * w // 4, c * 16)


class Double(nn.Module):
    """Each place four times."""

    def forward(self, x):
        n, c, h, w = x.shape
        return x.reshape(n, c, h, 1, w, 1).expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)


class Join(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 1, 3, padding=1), nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x):
        return cr.cat([self.a(x), self.b(x)], 1)


class Beside(nn.Module):
    """A 3×3 window, and another one three places to the right and below."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)

    def forward(self, x):
        return self.a(x)[:, :, :-3, :-3] + self.b(x[:, :, 3:, 3:])


MIDDLE = np.s_[0, :, 9, 9]
NETS = {
    "two convolutions": (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, 5)), 1, MIDDLE, 7),
    "stride": (nn.Sequential(nn.Conv2d(1, 1, 3, stride=2), nn.Conv2d(1, 1, 3)), 1, MIDDLE, 7),
    "dilation": (nn.Conv2d(1, 1, 3, dilation=3), 1, MIDDLE, 7),
    "pooling": (nn.Sequential(nn.Conv2d(1, 1, 3), nn.AvgPool2d(2), nn.Conv2d(1, 1, 3)), 1,
                MIDDLE, 8),
    "residual": (nn.Sequential(Residual(), Residual()), 2, MIDDLE, 13),
    "branches": (Join(), 2, MIDDLE, 7),
    "patches": (nn.Sequential(nn.Conv2d(1, 1, 1), Patches(), nn.Linear(16, 3)), 1, np.s_[0, 20], 4),
    "convolution, then patches": (nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), Patches(),
                                  nn.Linear(32, 3)), 1, np.s_[0, 20], 6),
    "doubled": (nn.Sequential(nn.AvgPool2d(2), Double(), nn.Conv2d(1, 1, 3)), 1, MIDDLE, 4),
    "enlarged": (nn.Sequential(nn.AvgPool2d(2), nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3)),
                 1, MIDDLE, 4),
    "enlarged smoothly": (nn.Sequential(nn.AvgPool2d(2), nn.Upsample(scale_factor=2,
                          mode="bilinear"), nn.Conv2d(1, 1, 3)), 1, MIDDLE, 6),
    "paths that are not centred": (Beside(), 1, MIDDLE, 6),
    "flattened": (nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten(), nn.Linear(900, 2)), 1, np.s_[0],
                  32),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_sizes_are_what_one_value_depends_on(name):
    net, channels, place, size = NETS[name]
    found = last_field(net, (channels, 32, 32))
    assert found.size == (size, size)
    assert seen_by(net, (channels, 32, 32), place) == (size, size)


def test_three_fives():
    net = nn.Sequential(*(nn.Conv2d(1, 1, 5) for _ in range(3)))
    assert last_field(net, (1, 32, 32)).size == (13, 13)


def test_lenet():
    pass_ = walk(models.lenet5(), None)
    fields = fields_of(pass_)
    sizes = [fields[call.output].size[0] for call in pass_.calls if call.output is not None]
    assert list(dict.fromkeys(sizes[1:])) == [5, 6, 14, 16, 32]
    assert fields[pass_.calls[6].output].jump == (4, 4)


@pytest.mark.parametrize(
    ("net", "size", "jump"),
    [
        (nn.Conv2d(1, 1, (3, 5), stride=(2, 1)), (3, 5), (2, 1)),
        (nn.Sequential(nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1)), (3, 3), (1, 1)),
        (nn.Sequential(nn.Conv2d(1, 1, 3), nn.AdaptiveAvgPool2d(1)), (20, 20), None),
        (nn.Sequential(nn.MaxPool2d(2), Double()), (2, 2), (1, 1)),
        (nn.Sequential(nn.Conv2d(1, 3, 3), nn.Softmax(1)), (3, 3), (1, 1)),
        (nn.Sequential(nn.Conv2d(1, 3, 3), nn.Softmax(2)), (20, 3), (1, 1)),
        (nn.Sequential(Double()), None, None),  # without windows there are no spatial axes
    ],
)
def test_jumps(net, size, jump):
    pass_ = walk(net, (1, 20, 20))
    found = fields_of(pass_).get(pass_.outputs[0]._node)
    assert (found and found.size) == size
    if found is not None and jump is not None:
        assert found.jump == jump


def test_one_dimension():
    net = nn.Sequential(nn.Conv1d(2, 3, 4, stride=2), nn.Conv1d(3, 1, 2))
    found = last_field(net, (2, 30))
    assert (found.size, found.jump) == ((6,), (2,))
