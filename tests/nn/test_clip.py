"""Clipping against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import UsageError


def network():
    cr.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    (net(cr.ones(5, 3)) ** 2).sum().backward()
    return net, np.concatenate([p.grad.numpy().ravel() for p in net.parameters()])


@pytest.mark.parametrize("p", [1, 2, 3, np.inf])
@pytest.mark.parametrize("most", [0.1, 1e6])
def test_norm(p, most):
    net, before = network()
    norm = np.linalg.norm(before, p)
    assert nn.utils.clip_grad_norm_(net.parameters(), most, p).item() == pytest.approx(norm)
    after = np.concatenate([p.grad.numpy().ravel() for p in net.parameters()])
    np.testing.assert_allclose(after, before * min(1, most / (norm + 1e-6)), rtol=1e-5)


def test_value():
    net, before = network()
    nn.utils.clip_grad_value_(net.parameters(), 0.05)
    after = np.concatenate([p.grad.numpy().ravel() for p in net.parameters()])
    np.testing.assert_allclose(after, before.clip(-0.05, 0.05))


def test_without_gradients_and_with_bad_ones():
    net = nn.Linear(2, 2)
    assert nn.utils.clip_grad_norm_(net.parameters(), 1.0).item() == 0
    (net.weight * np.inf).sum().backward()
    with pytest.raises(UsageError, match=r"\[clip_grad_norm_\] got gradients with norm (inf|nan)"):
        nn.utils.clip_grad_norm_(net.parameters(), 1.0, error_if_nonfinite=True)
