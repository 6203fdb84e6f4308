"""Activations: golden figures, gradients in place, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import GradientError, ShapeError, UsageError


def variable(value):
    return cr.tensor(value, dtype=cr.float64, requires_grad=True)


def data(value):
    return cr.tensor(value, dtype=cr.float64)


def test_a42_figures():
    x = data([-2, -0.5, 0, 0.5, 2])
    wanted = {
        "sigmoid": [0.119203, 0.377541, 0.5, 0.622459, 0.880797],
        "tanh": [-0.964028, -0.462117, 0, 0.462117, 0.964028],
        "relu": [0, 0, 0, 0.5, 2],
        "elu": [-0.864665, -0.393469, 0, 0.5, 2],
    }
    for name, figures in wanted.items():
        np.testing.assert_allclose(getattr(F, name)(x).numpy(), figures, atol=5e-7)
    np.testing.assert_allclose(F.leaky_relu(x, 0.1).numpy(), [-0.2, -0.05, 0, 0.5, 2], atol=1e-15)


NAMES = ["softmax", "log_softmax", "softmin"]


@pytest.mark.parametrize("name", NAMES)
def test_softmax_must_be_told_its_axis(name):
    words = rf"\[{name}\] got no dim, needs the axis that sums to 1 .*dim=1 for classes in f\[N,C\]"
    with pytest.raises(UsageError, match=words):
        getattr(F, name)(cr.zeros(2, 3))
    layer = {"softmax": nn.Softmax, "log_softmax": nn.LogSoftmax, "softmin": nn.Softmin}[name]
    with pytest.raises(UsageError, match="no dim"):
        layer()(cr.zeros(2, 3))


IN_PLACE = [
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.SiLU, nn.Mish, nn.Hardtanh,
    nn.Hardsigmoid, nn.Hardswish, lambda **k: nn.Threshold(0.1, 0.0, **k),
]  # fmt: skip


@pytest.mark.parametrize("kind", IN_PLACE)
def test_in_place_has_the_gradients_of_out_of_place(kind):
    """golden.md F14: identical numbers; the tensor that was given holds the result."""
    numbers = np.random.default_rng(0).normal(size=(4, 5)) * 3
    gradients = []
    for inplace in (False, True):
        x = variable(numbers)
        before = x * 2 + 1
        y = kind(inplace=inplace)(before)
        assert (y is before) == inplace
        (y * data(numbers)).sum().backward()
        gradients.append((y.tolist(), x.grad.tolist()))
    assert gradients[0] == gradients[1]


@pytest.mark.parametrize("kind", IN_PLACE)
def test_in_place_on_a_leaf_that_requires_grad(kind):
    x = variable([1.0, -1.0])
    with pytest.raises(GradientError, match="leaf that requires grad"):
        kind(inplace=True)(x)
    with cr.no_grad():
        kind(inplace=True)(x)


def test_in_place_shows_in_the_layer():
    assert repr(nn.ReLU(inplace=True)) == "ReLU(inplace=True)"
    assert repr(nn.ReLU()) == "ReLU()"


def test_selu_keeps_mean_0_and_variance_1():
    cr.manual_seed(0)
    y = F.selu(cr.randn(100_000, dtype=cr.float64))
    assert abs(y.mean().item()) < 0.01 and abs(y.std().item() - 1) < 0.01


@pytest.mark.parametrize(
    "function",
    [F.elu, F.selu, F.celu, F.mish, F.softplus, F.logsigmoid, F.softsign, F.silu, F.gelu, F.tanh],
)
def test_far_out_values_and_slopes_are_finite(function):
    x = variable([-1e4, -100.0, 0.0, 100.0, 1e4])
    y = function(x)
    y.sum().backward()
    assert np.isfinite(y.numpy()).all() and np.isfinite(x.grad.numpy()).all()


def test_log_sigmoid_at_0_and_far_out():
    """Its slope at 0 is ½, which a formula of |x| would lose; near 0 it keeps its digits."""
    x = variable([0.0, 30.0, -30.0, -700.0])
    y = F.logsigmoid(x)
    y.sum().backward()
    wanted = [-np.log(2), -np.exp(-30), -30 - np.exp(-30), -700]
    np.testing.assert_allclose(y.numpy(), wanted, rtol=1e-12)
    np.testing.assert_allclose(x.grad.numpy(), 1 / (1 + np.exp(x.detach().numpy())), rtol=1e-12)


def test_prelu_learns_its_slope():
    layer = nn.PReLU(2, init=0.5)
    x = cr.tensor([[-1.0, -2.0], [3.0, -4.0]])
    layer(x).sum().backward()
    assert layer(x).tolist() == [[-0.5, -1.0], [3.0, -2.0]]
    assert layer.weight.grad.tolist() == [-1.0, -6.0]
    with pytest.raises(
        ShapeError, match=r"input f32\[5,3\], weight f\[2\], needs weight f\[1\] or"
    ):
        layer(cr.zeros(5, 3))


def test_refused():
    with pytest.raises(ShapeError, match=r"\[glu\] got f32\[2,3\], needs an even size of axis -1"):
        F.glu(cr.zeros(2, 3))
    with pytest.raises(UsageError, match=r"\[celu\] got alpha=0"):
        F.celu(cr.zeros(1), alpha=0)
    with pytest.raises(UsageError, match=r"\[softshrink\] got lambd=-1, needs 0 or more"):
        F.softshrink(cr.zeros(1), lambd=-1)
    with pytest.raises(
        UsageError, match=r"\[gelu\] got approximate='fast', needs 'none' or 'tanh'"
    ):
        F.gelu(cr.zeros(1), approximate="fast")
    with pytest.raises(UsageError, match=r"\[ReLU\] got the arguments .*needs at most inplace"):
        nn.ReLU(slope=3)


def test_glu():
    x = data([[1.0, 2.0, 0.0, 100.0]])
    np.testing.assert_allclose(F.glu(x).numpy(), [[0.5, 2.0]])
    np.testing.assert_allclose(nn.GLU(dim=0)(x.T).numpy(), [[0.5], [2.0]])


def test_softmax_of_a_number():
    x = cr.tensor(1.5, requires_grad=True)
    assert F.softmax(x, dim=0).item() == 1 and F.log_softmax(x, dim=-1).item() == 0
    F.softmin(x, dim=0).backward()
    assert x.grad.item() == 0
