"""Sizes, parameter counts and claims of the lectures: A12–A26 and F1–F31 as far as they go here."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn
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


def test_a13_filters_on_32x32x3():
    six = nn.Conv2d(3, 6, 5)
    assert count(six) == 456
    assert six(cr.zeros(1, 3, 32, 32)).shape == (1, 6, 28, 28)
    ten = nn.Conv2d(3, 10, 5, padding=2)
    assert count(ten) == 760
    assert ten(cr.zeros(1, 3, 32, 32)).shape == (1, 10, 32, 32)


def test_a15_sixty_four_6x6_filters():
    layer = nn.Conv2d(3, 64, 6)
    assert layer(cr.zeros(1, 3, 32, 32)).shape == (1, 64, 27, 27)
    assert (layer.weight.numel(), count(layer)) == (6912, 6976)


def test_a17_a_same_layer_is_a_tridiagonal_matrix():
    theta, a = cr.tensor([2.0, 3.0, 5.0]), cr.tensor([1.0, -2.0, 3.0, 0.0, 4.0])
    y = F.conv1d(a.reshape(1, 1, 5), theta.reshape(1, 1, 3), padding=1)
    assert y.flatten().tolist() == [-7.0, 11.0, 5.0, 26.0, 12.0]
    matrix = cr.func.jacrev(
        lambda x: F.conv1d(x.reshape(1, 1, 5), theta.reshape(1, 1, 3), padding=1).flatten()
    )(a)
    assert matrix[0].tolist() == [3.0, 5.0, 0.0, 0.0, 0.0]  # [θ₂, θ₃, 0, 0, 0] of a correlation
    assert np.array_equal(np.tril(matrix.numpy(), -2), np.zeros((5, 5)))


def test_a22_modern_lenet():
    assert count(models.lenet5()) == 61_706


def test_a26_one_by_one_convolution():
    layer = nn.Conv2d(64, 32, 1)
    assert count(layer) == 2080
    assert layer(cr.zeros(1, 64, 56, 56)).shape == (1, 32, 56, 56)


def test_f1_convolution_moves_with_its_input():
    rng = np.random.default_rng(0)
    x = np.zeros((1, 1, 16, 16))
    x[..., 5:9, 5:9] = rng.normal(size=(4, 4))
    w = cr.tensor(rng.normal(size=(1, 1, 3, 3)))
    y = F.conv2d(cr.tensor(x), w, padding=1).numpy()
    moved = F.conv2d(cr.tensor(np.roll(x, 2, axis=3)), w, padding=1).numpy()
    assert np.array_equal(moved, np.roll(y, 2, axis=3))


def test_f3_full_convolution_commutes_and_correlation_does_not():
    a, b = cr.tensor([2.0, -1.0, 1.0]), cr.tensor([1.0, 1.0, 2.0])

    def full(x, w, mode):
        x, w = x.reshape(1, 1, -1), w.reshape(1, 1, -1)
        return F.conv1d(x, w, padding=2, mode=mode).flatten().tolist()

    assert full(a, b, "convolution") == full(b, a, "convolution") == [2.0, 1.0, 4.0, -1.0, 2.0]
    assert full(a, b, "correlation") == full(b, a, "correlation")[::-1]
    assert full(a, b, "correlation") != full(b, a, "correlation")


def test_f4_two_linear_convolutions_are_one():
    rng = np.random.default_rng(0)
    x = cr.tensor(rng.normal(size=(1, 1, 12, 12)))
    u, v = (cr.tensor(rng.normal(size=(1, 1, 3, 3))) for _ in range(2))
    both = F.conv2d(F.conv2d(x, u, mode="convolution"), v, mode="convolution")
    uv = F.conv2d(u, v, padding=2, mode="convolution")
    assert uv.shape == (1, 1, 5, 5)
    one = F.conv2d(x, uv, mode="convolution")
    np.testing.assert_allclose(both.numpy(), one.numpy(), atol=1e-12)
