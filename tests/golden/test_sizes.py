"""The lectures' sizes, parameter counts and costs: A08, A12 to A26."""

from math import prod

import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn
from chainrule.inspect.cost import cost, why_backprop
from chainrule.nn import functional as F


def count(module):
    return sum(p.numel() for p in module.parameters())


def side(n, f, stride=1, padding=0):
    """The side of a convolution's output, as the framework infers it."""
    x, w = cr.zeros(1, 1, n, n), cr.zeros(1, 1, f, f)
    return F.conv2d(x, w, stride=stride, padding=padding).shape[-1]


def test_a12_output_size_is_rounded_down():
    assert [side(7, 3, stride) for stride in (1, 2, 3)] == [5, 3, 2]


@pytest.mark.parametrize("f", [1, 3, 5, 7])
@pytest.mark.parametrize("n", [7, 8, 32, 39])
def test_a12b_padding_by_half_keeps_the_size(n, f):
    assert side(n, f, padding=(f - 1) // 2) == n


def test_a12c_and_f31_unpadded_5x5_run_out_after_seven_layers():
    sizes = [32]
    while sizes[-1] >= 5:
        sizes.append(side(sizes[-1], 5))
    assert sizes == [32, 28, 24, 20, 16, 12, 8, 4]
    with pytest.raises(cr.ShapeError):
        side(4, 5)


def test_a13_six_filters_on_32x32x3():
    six = nn.Conv2d(3, 6, 5)
    assert count(six) == 456
    assert six(cr.zeros(1, 3, 32, 32)).shape == (1, 6, 28, 28)


def test_a13b_ten_filters_that_keep_the_size():
    ten = nn.Conv2d(3, 10, 5, padding=2)
    assert (ten.weight[0].numel() + 1, count(ten)) == (76, 760)
    assert ten(cr.zeros(1, 3, 32, 32)).shape == (1, 10, 32, 32)


def test_a14_a_colour_picture_to_1000_units():
    layer = nn.Linear(200 * 200 * 3, 1000)  # 480 MB of initial values, which nobody reads
    assert (layer.in_features, layer.weight.numel()) == (120_000, 120_000_000)
    assert count(layer) == 120_001_000


def test_a14b_a_picture_to_as_many_units():
    assert nn.Linear(200 * 200, 40_000).weight.numel() == 1_600_000_000


def test_a14c_the_same_locally_connected():
    layer = nn.LocallyConnected2d(1, 1, 209, 10)  # 200×200 places, each with 10×10 weights
    assert layer.weight.numel() == 4_000_000


def test_a14d_a_hundred_shared_filters():
    layer = nn.Conv2d(1, 100, 10)
    assert (layer.weight.numel(), count(layer)) == (10_000, 10_100)


def test_a14e_400_000_units_dense_and_local():
    assert nn.Linear(200 * 200, 400_000).weight.numel() == 16_000_000_000
    assert nn.LocallyConnected2d(1, 10, 209, 10).weight.numel() == 40_000_000


def test_a15_sixty_four_6x6_filters():
    layer = nn.Conv2d(3, 64, 6)
    assert layer(cr.zeros(1, 3, 32, 32)).shape == (1, 64, 27, 27)
    assert (layer.weight[0].numel(), layer.weight.numel(), count(layer)) == (108, 6912, 6976)


@pytest.mark.parametrize(("n", "m"), [(5, 3), (5, 5), (9, 3), (9, 5), (9, 7)])
def test_a16_dense_local_and_shared_from_n_to_n_units(n, m):
    size, half = (1, m), (0, m // 2)
    dense = nn.Linear(n, n, bias=False)
    local = nn.LocallyConnected2d(1, 1, (1, n), size, padding=half, bias=False)
    shared = nn.Conv2d(1, 1, size, padding=half, bias=False)
    assert count(dense) == n * n
    assert count(shared) == m
    # Of the local layer's n·m weights, those at the ends that meet only padding do not count.
    x = cr.ones(1, 1, 1, n)
    local(x).sum().backward()
    at_work = int((local.weight.grad != 0).sum().item())
    assert at_work == m * n - (m * m - 1) // 4
    if m == 3:
        assert at_work == 3 * n - 2


def test_a18_the_lecture_s_net():
    net = models.lenet_lecture()
    counts = [count(layer) for _, layer in net.named_children()]
    assert (counts, count(net)) == ([60, 880, 69_240, 10_164, 850], 81_194)


@pytest.mark.parametrize(
    ("size", "features"), [(32, 576), (30, 576), (31, 576), (33, 576), (28, 400)]
)
def test_a18_the_features_behind_its_pools(size, features):
    x = F.max_pool2d(F.conv2d(cr.zeros(1, 1, size, size), cr.zeros(6, 1, 3, 3)), 2)
    x = F.max_pool2d(F.conv2d(x, cr.zeros(16, 6, 3, 3)), 2)
    assert x.flatten(1).shape == (1, features)


def test_a19_weights_of_an_mlp():
    net = models.mlp((784, 128, 64, 10))
    assert sum(p.numel() for p in net.parameters() if p.ndim == 2) == 109_184


def test_a20_forward_mode_terms_are_4_12_20_14_14():
    found = why_backprop(3)
    assert found["weights"] == 14
    assert found["forward"] == [4, 12, 20, 14, 14]
    assert found["forward_total"] == 64


def test_a20b_backward_terms_are_21_of_them_new():
    found = why_backprop(3)
    assert found["backward"] == [1, 4, 6, 6, 4]
    assert found["backward_total"] == 21
    with_carried = [new + old for new, old in zip(found["backward"], found["carried"], strict=True)]
    assert (with_carried, sum(with_carried)) == ([1, 5, 8, 8, 6], 28)


@pytest.mark.parametrize(
    ("hidden", "forward", "backward"), [(3, 64, 21), (10, 484, 63), (50, 10_404, 303)]
)
def test_a20c_quadratic_against_linear_growth(hidden, forward, backward):
    found = why_backprop(hidden)
    assert (found["forward_total"], found["backward_total"]) == (forward, backward)
    assert (forward, backward) == (4 * (hidden + 1) ** 2, 6 * hidden + 3)


class AlexNet(nn.Module):
    """The network of 2012: five convolutions, three of them on two GPUs, three dense layers."""

    def __init__(self, groups):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 11, stride=4)
        self.conv2 = nn.Conv2d(96, 256, 5, padding=2, groups=groups)
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1)
        self.conv4 = nn.Conv2d(384, 384, 3, padding=1, groups=groups)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=groups)
        self.fc6 = nn.Linear(256 * 6 * 6, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, 1000)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x).relu(), 3, 2)
        x = F.max_pool2d(self.conv2(x).relu(), 3, 2)
        x = self.conv5(self.conv4(self.conv3(x).relu()).relu()).relu()
        x = F.max_pool2d(x, 3, 2).flatten(1)
        return self.fc8(self.fc7(self.fc6(x).relu()).relu())


def test_a21_alexnet_s_parameters_and_units():
    net = AlexNet(groups=2)
    summary = net.summary((3, 227, 227))
    layers = [row for row in summary.rows if row.kind in ("Conv2d", "Linear")]
    assert [row.parameters for row in layers] == [
        34_944, 307_456, 885_120, 663_936, 442_624, 37_752_832, 16_781_312, 4_097_000
    ]  # fmt: skip
    assert (summary.parameters, layers[-2].output[-1]) == (60_965_224, 4096)
    assert sum(prod(row.output[1:]) for row in layers) == 659_272


def test_a21b_alexnet_s_multiply_adds():
    counted = cost(AlexNet(groups=2), (3, 227, 227))
    convolutions = sum(row.forward for row in counted.layers if row.kind == "Conv2d")
    assert (counted.forward, convolutions) == (724_406_816, 665_784_864)  # the lecture quotes 630 M
    whole = AlexNet(groups=1)
    assert cost(whole, (3, 227, 227)).forward == 1_135_256_096
    assert count(whole) == 62_378_344


def test_a22_lenet_modern_and_of_1998():
    modern = models.lenet5()
    counts = [count(layer) for _, layer in modern.named_children()]
    assert (counts, count(modern)) == ([156, 2416, 48_120, 10_164, 850], 61_706)
    old = models.lenet5(variant="1998")
    assert sum(p.numel() for p in old.parameters() if p.requires_grad) == 60_000


def test_a23b_half_a_percent_is_the_accuracy_of_chance():
    _, best = cr.tensor(np.random.default_rng(23).normal(size=1000)).topk(5)
    hits = np.isin(np.arange(1000), best.numpy()).mean()  # each class is the right one once
    assert hits == pytest.approx(0.005, abs=1e-12)
    assert 1 - hits == pytest.approx(0.995, abs=1e-12)


def seen_by_one(layers, size=64):
    """How wide a part of the input one output reads, and how far its neighbour's part lies."""
    x = cr.ones(1, 1, 1, size, requires_grad=True)
    y = x
    for kind, f in layers:
        w = cr.ones(1, 1, 1, f)
        y = F.conv2d(y, w) if kind == "conv" else F.avg_pool2d(y, (1, f))
    parts = []
    for k in (0, 1):
        (grad,) = cr.autograd.grad(y[0, 0, 0, k], x, retain_graph=True)
        parts.append(np.flatnonzero(grad.numpy()))
    return len(parts[0]), int(parts[1][0] - parts[0][0])


def test_a24_the_summary_says_so_of_lenet():
    rows = models.lenet5().summary((1, 28, 28)).rows
    seen = [row.receptive_field for row in rows if row.kind in ("Conv2d", "max_pool2d")]
    assert seen == [[5, 5], [6, 6], [14, 14], [16, 16]]


def test_a24_pooling_widens_the_receptive_field():
    lenet = [("conv", 5), ("pool", 2), ("conv", 5), ("pool", 2), ("conv", 5)]
    assert [seen_by_one(lenet[:n])[0] for n in range(6)] == [1, 5, 6, 14, 16, 32]
    assert seen_by_one(lenet)[1] == 4
    assert seen_by_one([("conv", 5)] * 3) == (13, 1)


def test_a26_one_by_one_convolution():
    layer = nn.Conv2d(64, 32, 1)
    assert (layer.weight.numel(), count(layer)) == (2048, 2080)
    assert layer(cr.zeros(1, 64, 56, 56)).shape == (1, 32, 56, 56)
