"""One thread trains, another reads its parameters: neither fails, and the training's bits stay."""

import sys
import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn


@pytest.fixture
def impatient():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def losses(compiled, steps, beside=None):
    """The losses of a training, with ``beside(parameters)`` called again and again meanwhile."""
    cr.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = cr.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    x, y = cr.randn(5, 6), cr.tensor([0, 1, 2, 0, 1])

    def step():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run = cr.compile(step) if compiled else step
    over, failures, calls = threading.Event(), [], []

    def read():
        while not over.is_set():
            try:
                calls.append(beside(list(net.parameters())))
            except Exception as error:
                failures.append(error)

    reader = threading.Thread(target=read) if beside else None
    if reader is not None:
        reader.start()
    try:
        found = [run().item() for _ in range(steps)]
    finally:
        over.set()
        if reader is not None:
            reader.join()
    assert failures == []
    assert beside is None or len(calls) > 0
    return found


def values(parameters):
    for p in parameters:
        assert np.isfinite(p.detach().numpy()).all()


def norms(parameters):
    assert all(np.isfinite((p * p).sum().item()) for p in parameters)


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
@pytest.mark.parametrize("beside", [values, norms])
def test_parameters_are_read_while_another_thread_trains(compiled, beside, impatient):
    alone = losses(compiled, 150)
    assert losses(compiled, 150, beside) == alone


@pytest.mark.parametrize("beside", [values, norms])
def test_parameters_are_read_while_another_thread_traces(beside, impatient):
    alone = losses(True, 2)
    assert [losses(True, 2, beside) for _ in range(60)] == [alone] * 60
