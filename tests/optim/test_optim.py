"""Optimizers: what a step does, undoes and refuses."""

from __future__ import annotations

import gc

import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import CheckpointError, GradientError, UsageError
from chainrule.storage import Recorded

KINDS = [
    lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    lambda p: optim.Adam(p, lr=0.1, amsgrad=True),
    lambda p: optim.AdamW(p, lr=0.1),
]


def leaf(*numbers):
    return cr.tensor(list(numbers), requires_grad=True)


def test_step_without_a_gradient():
    with pytest.raises(GradientError, match=r"\[SGD.step\] got no gradient for any of 1 param"):
        optim.SGD([leaf(1.0)], lr=0.1).step()


@pytest.mark.parametrize("lr", [-1, "fast", None, float("nan")])
def test_wrong_learning_rate(lr):
    with pytest.raises(UsageError, match=r"\[Adam\] got lr="):
        optim.Adam([leaf(1.0)], lr=lr)


def test_wrong_parameters():
    w = leaf(1.0)
    for wrong in ([], w, [w * 2], [w, w], [3.0]):
        with pytest.raises(UsageError):
            optim.SGD(wrong, lr=0.1)


def test_groups_have_their_own_options():
    a, b = leaf(1.0), leaf(1.0)
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.1)
    (a + b).sum().backward()
    optimizer.step()
    assert (a.item(), b.item()) == (pytest.approx(0.9), pytest.approx(0.5))
    optimizer.zero_grad()
    assert a.grad is None


def test_no_decay_on_bias():
    net = nn.Linear(1, 1)
    optimizer = optim.SGD(net.parameters(), lr=1.0, weight_decay=0.5, no_decay_on_bias=True)
    weight, bias = net.weight.item(), net.bias.item()
    (net(cr.zeros(1, 1)) * 0).sum().backward()
    optimizer.step()
    assert net.weight.item() == pytest.approx(weight / 2) and net.bias.item() == bias


def test_closure():
    w = leaf(1.0)
    optimizer = optim.SGD([w], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1
    assert w.item() == pytest.approx(0.8)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_computed_when_a_step_ends(kind):
    w = leaf(1.0, 2.0)
    optimizer = kind([w])
    loss = (w * w).sum()
    loss.backward()
    optimizer.step()
    programs = cr.stats().programs
    assert loss.item() == 5
    w.detach().numpy()
    assert cr.stats().programs == programs


@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_flat_without_the_collector(kind):
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    optimizer = kind(net.parameters())
    x = cr.ones(5, 3) * cr.arange(5).float().unsqueeze(1)

    def step():
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()

    step()
    gc.collect()
    gc.disable()
    try:
        counts = []
        for _ in range(5):
            step()
            counts.append(sum(type(o) is Recorded for o in gc.get_objects()))
        assert counts[-1] <= counts[1]
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", KINDS)
def test_state_dict_goes_on_where_it_was_made(kind):
    def train(w, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            (w * w * w).sum().backward()
            optimizer.step()

    w = leaf(1.0, 2.0)
    optimizer = kind([w])
    train(w, optimizer, 3)
    twin = w.detach().clone().requires_grad_()
    other = kind([twin])
    other.load_state_dict(optimizer.state_dict())
    train(w, optimizer, 3)
    train(twin, other, 3)
    assert w.tolist() == twin.tolist()
    with pytest.raises(CheckpointError):
        kind([leaf(1.0), leaf(1.0)]).load_state_dict(optimizer.state_dict())


def test_zero_grad_forgotten_is_noticed_once():
    w = leaf(1.0)
    optimizer = optim.SGD([w], lr=0.1)

    def step():
        (w * w).sum().backward()
        optimizer.step()

    step()
    step()
    with pytest.warns(UserWarning, match=r"\[SGD.step\] got gradients of 3 steps added up"):
        step()
    step()


def test_a_gradient_that_failed_leaves_everything_untouched():
    a, b = leaf(1.0), leaf(2.0)
    optimizer = optim.Adam([a, b], lr=0.1)
    (a + b).sum().backward()
    optimizer.step()
    before = a.tolist(), b.tolist(), optimizer.state[a]["exp_avg"].tolist()
    optimizer.zero_grad()
    bad = cr.nn.functional.nll_loss(b.reshape(1, 1), cr.tensor([5]))
    (a.sum() + bad).backward()
    with pytest.raises(cr.ChainruleError, match="labels run from 0 to 0"):
        b.grad.tolist()
    with pytest.raises(cr.ChainruleError, match="labels run from 0 to 0"):
        optimizer.step()
    cr.synchronize()
    assert (a.tolist(), b.tolist(), optimizer.state[a]["exp_avg"].tolist()) == before
    assert optimizer.state[a]["step"] == 1


def test_schedule_state():
    optimizer = optim.SGD([leaf(1.0)], lr=1.0)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
    schedule.step()
    state = schedule.state_dict()
    other = optim.lr_scheduler.CosineAnnealingLR(optim.SGD([leaf(1.0)], lr=1.0), T_max=4)
    other.load_state_dict(state)
    other.step()
    schedule.step()
    assert other.get_last_lr() == schedule.get_last_lr() == [pytest.approx(0.5)]


def test_a_step_without_gradients_keeps_what_was_written_before_it():
    p = nn.Parameter(cr.ones(2))
    with cr.no_grad():
        p.mul_(2)
    with pytest.raises(cr.GradientError, match="no gradient"):
        optim.SGD([p], lr=0.1).step()
    assert p.tolist() == [2, 2]
