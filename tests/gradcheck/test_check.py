import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import GradientError, UsageError
from chainrule.gradcheck import gradcheck


class Cube(cr.autograd.Function):
    """y = x³, its derivative as `factor` · x²; 3 is right."""

    factor = 3.0

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @classmethod
    def backward(cls, ctx, y_bar):
        (x,) = ctx.saved_tensors
        return y_bar * cls.factor * x**2


class WrongCube(Cube):
    factor = 2.0


class WrongCorner(cr.autograd.Function):
    """y = 2x, with one element of 900 wrong by half a percent."""

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, y_bar):
        factor = np.full((30, 30), 2.0)
        factor[17, 3] = 2.01
        return y_bar * cr.tensor(factor)


def test_right_derivatives_agree():
    report = gradcheck(lambda x, w: (x @ w).tanh(), (np.ones((2, 3)) / 3, np.ones((3, 4)) / 5))
    assert report
    assert report.compared == {"x0": 6, "x1": 12}
    assert str(report).endswith("the derivatives agree")
    assert max(c.relative_error for c in report.worst) < 1e-8


def test_float32_inputs_are_checked_in_float64():
    x = cr.tensor([1.0, 2.0])
    assert gradcheck(lambda x: x.exp(), x)
    assert x.dtype is cr.float32
    assert x.tolist() == [1.0, 2.0]


def test_whole_numbers_are_handed_on():
    assert gradcheck(lambda x, i: x[i] ** 2, (np.ones(3), np.array([0, 2])))


def test_several_outputs():
    assert gradcheck(lambda x: (x.sin(), x * 2), np.ones(3))
    assert not gradcheck(lambda x: (x.sin(), WrongCube.apply(x)), np.ones(3))


def test_a_function_with_its_own_backward():
    assert gradcheck(Cube.apply, np.array([1.0, -2.0]))


def test_a_wrong_backward_is_named():
    report = gradcheck(lambda w, x: w.sum() * WrongCube.apply(x).sum(), (np.ones(2), [1.0, 2, 3.0]))
    assert not report
    worst = report.worst_of_all
    assert (worst.input, worst.index) == ("x1", (2,))
    assert worst.numeric == pytest.approx(54)
    assert worst.automatic == pytest.approx(36)
    assert "x1[2] of f64[3]: a wrong backward" in str(report)


def test_a_wrong_backward_by_a_simple_factor_names_it():
    assert "it gives 0.5 times the numeric one" in str(gradcheck(lambda x: x.detach() * x, [1.5]))


def test_a_forgotten_input_is_named():
    report = gradcheck(lambda x, y: x + y.detach(), ([1.0], [2.0]))
    assert report.worst_of_all.input == "x1"
    assert "Does it leave out this input?" in str(report)


def test_one_wrong_element_of_many_is_found():
    report = gradcheck(WrongCorner.apply, np.ones((30, 30)))
    assert report.worst_of_all.place == "x0[17, 3]"
    assert "wrong backward" in str(report)


def test_a_kink_within_h_is_told_from_a_wrong_backward():
    report = gradcheck(lambda x: x.abs().sum(), np.array([1.0, 3e-7, -1.0]))
    assert report.worst_of_all.place == "x0[1]"
    assert "a kink within h = 1e-06" in str(report)
    assert "wrong" not in str(report)


def test_round_off_is_told_from_a_wrong_backward():
    report = gradcheck(lambda x: (x * 1e-3 + 1e6).sum(), np.array([1.0, 0.5]))
    assert not report
    assert "round-off" in str(report)
    eps = float(str(report).rpartition("eps=")[2])
    assert gradcheck(lambda x: (x * 1e-3 + 1e6).sum(), np.array([1.0, 0.5]), eps=eps, atol=1e-6)


def test_curvature_is_told_from_a_wrong_backward():
    report = gradcheck(lambda x: (x * 30).sin().sum(), [0.05], eps=1e-3)
    assert "curvature: at h = 0.0001" in str(report)


def test_not_finite():
    assert "not finite" in str(gradcheck(lambda x: x.log().sum(), [0.0]))


def test_a_function_that_is_none():
    counts = iter(range(100))
    with pytest.raises(GradientError, match=r"different values for equal inputs.*dropout"):
        gradcheck(lambda x: x * next(counts), [1.0])


def test_nothing_to_check():
    with pytest.raises(UsageError, match="no floating-point input"):
        gradcheck(lambda i: i * 2, np.array([1, 2]))
    with pytest.raises(GradientError, match="need no grad"):
        gradcheck(lambda x: x.detach(), [1.0])


def test_a_module_with_its_parameters_which_stay_as_they_were():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1))
    before = {name: (x.dtype, x.tolist()) for name, x in net.state_dict().items()}
    report = gradcheck(net, np.random.default_rng(0).normal(size=(5, 3)))
    assert report, report
    assert report.compared["0.weight"] == 12
    assert {name: (x.dtype, x.tolist()) for name, x in net.state_dict().items()} == before


def test_dropout_is_no_function_until_eval():
    net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5))
    with pytest.raises(GradientError, match="dropout"):
        gradcheck(net, np.ones((2, 3)))
    assert gradcheck(net.eval(), np.ones((2, 3)))


def test_the_step_grows_with_the_values_unless_it_is_given():
    def large(x):
        return x.sin() + 1e6

    x = cr.tensor([0.3, 1.2])
    assert gradcheck(large, x)
    assert not gradcheck(large, x, eps=1e-6)


def test_values_that_are_not_finite_are_no_randomness():
    report = gradcheck(lambda x: x.log(), cr.tensor([-1.0]))
    assert not report and "not finite" in str(report)
