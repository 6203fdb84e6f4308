"""A recorded loss as a function of its leaves."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import GradientError
from chainrule.gradcheck import gradcheck
from chainrule.gradcheck.replay import replay


def a_loss():
    """Nothing of it is held but the loss."""
    w = cr.tensor([[0.1, 0.2], [0.3, 0.4]], requires_grad=True)
    b = cr.tensor([0.5, -0.5], requires_grad=True)
    x, t = cr.tensor([[1.0, 2.0], [0.0, 1.0]]), cr.tensor([0, 1])
    return nn.functional.cross_entropy((x @ w + b).tanh() * 2, t)


def test_it_is_the_same_function_in_float64():
    loss = a_loss()
    f, leaves = replay(loss)
    again = f(*(cr.tensor(leaf.result().astype(np.float64)) for leaf in leaves))
    assert again.dtype is cr.float64
    assert again.item() == pytest.approx(loss.item(), rel=1e-6)
    other = f(*(cr.zeros(leaf.shape, dtype=cr.float64) for leaf in leaves))
    assert other.item() == pytest.approx(np.log(2))


def test_it_outlives_the_values_that_it_was_made_of():
    loss = a_loss()
    f, leaves = replay(loss)
    assert len(leaves) == 2
    report = gradcheck(f, [leaf.result().astype(np.float64) for leaf in leaves])
    assert report, report
    assert all(c.symbolic_error < 1e-12 for c in report.worst)


def test_the_loss_can_still_be_sent_back():
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    loss = (w**3).sum()
    f, _ = replay(loss)
    f(cr.tensor([0.0, 0.0], dtype=cr.float64)).item()
    loss.backward()
    assert w.grad.tolist() == [3, 12]


def test_without_a_history():
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    loss = (w * w).sum()
    loss.backward()
    with pytest.raises(GradientError, match="got a loss whose backward has run, needs its history"):
        replay(loss)
    with pytest.raises(GradientError, match="got a loss without a history"):
        replay(cr.ones(2).sum())
