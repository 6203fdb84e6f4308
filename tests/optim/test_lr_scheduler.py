"""Schedules: closed forms, states that go through a file, and what they refuse."""

from __future__ import annotations

import math

import pytest

import chainrule as cr
from chainrule import optim
from chainrule.errors import CheckpointError, UsageError
from chainrule.optim import lr_scheduler as lr


def sgd(rate=0.3, groups=2):
    params = [{"params": [cr.tensor([1.0], requires_grad=True)]} for _ in range(groups)]
    return optim.SGD(params, lr=rate, momentum=0.9)


def rates(schedule, steps):
    found = []
    for _ in range(steps):
        found.append(schedule.get_last_lr()[0])
        schedule.step()
    return found


CLOSED = {
    "constant": (lambda o: lr.ConstantLR(o, 0.25, 7), lambda e: 0.25 if e < 7 else 1),
    "linear": (lambda o: lr.LinearLR(o, 0.5, 0.1, 20), lambda e: 0.5 - 0.4 * min(e, 20) / 20),
    "warm-up": (lambda o: lr.LinearWarmupLR(o, 8), lambda e: min((e + 1) / 8, 1)),
    "warm-up of 1": (lambda o: lr.LinearWarmupLR(o, 1), lambda e: 1),
    "step": (lambda o: lr.StepLR(o, 4, 0.5), lambda e: 0.5 ** (e // 4)),
    "milestones": (
        lambda o: lr.MultiStepLR(o, [9, 3, 3]),
        lambda e: 0.1 ** (2 * (e > 2) + (e > 8)),
    ),
    "exponential": (lambda o: lr.ExponentialLR(o, 0.9), lambda e: 0.9**e),
    "power": (lambda o: lr.PolynomialLR(o, 30, 2), lambda e: (1 - min(e, 30) / 30) ** 2),
    "cosine": (
        lambda o: lr.CosineAnnealingLR(o, 12),
        lambda e: (1 + math.cos(math.pi * e / 12)) / 2,
    ),
    "restarts": (
        lambda o: lr.CosineAnnealingWarmRestarts(o, 10),
        lambda e: (1 + math.cos(math.pi * (e % 10) / 10)) / 2,
    ),
    "function": (lambda o: lr.LambdaLR(o, lambda e: 2.0**-e), lambda e: 2.0**-e),
    "product": (lambda o: lr.MultiplicativeLR(o, lambda e: 0.5), lambda e: 0.5**e),
    "triangle": (
        lambda o: lr.CyclicLR(o, 0, 0.3, 5, cycle_momentum=False),
        lambda e: 1 - abs(e % 10 - 5) / 5,
    ),
}


@pytest.mark.parametrize("name", CLOSED)
def test_the_closed_form_of_the_docstring(name):
    make, closed = CLOSED[name]
    wanted = [0.3 * closed(epoch) for epoch in range(50)]
    assert rates(make(sgd()), 50) == pytest.approx(wanted, rel=1e-12, abs=1e-15)


def test_one_cycle_ends():
    schedule = lr.OneCycleLR(sgd(), max_lr=1.0, total_steps=100)
    found = rates(schedule, 100)
    assert found[0] == pytest.approx(1 / 25)
    assert max(found) == found[29] == pytest.approx(1.0)
    assert found[99] == pytest.approx(1 / 25e4)
    with pytest.raises(UsageError, match="step 101 of 100, needs total_steps"):
        schedule.step()


def test_one_cycle_moves_momentum_against_the_rate():
    optimizer = optim.Adam([cr.tensor([1.0], requires_grad=True)])
    schedule = lr.OneCycleLR(optimizer, max_lr=1.0, total_steps=100)
    first = []
    for _ in range(99):
        first.append(optimizer.param_groups[0]["betas"][0])
        schedule.step()
    assert first[0] == pytest.approx(0.95) and min(first) == first[29] == pytest.approx(0.85)
    assert optimizer.param_groups[0]["betas"][1] == 0.999


class Halving:
    """A function with a memory, as people write them."""

    def __init__(self):
        self.calls = 0

    def __call__(self, epoch):
        self.calls += 1
        return 0.5**self.calls


ALL = {
    **{name: make for name, (make, _) in CLOSED.items()},
    "object": lambda o: lr.LambdaLR(o, Halving()),
    "one cycle": lambda o: lr.OneCycleLR(o, 1.0, 60),
    "chained": lambda o: lr.ChainedScheduler([lr.ConstantLR(o), lr.ExponentialLR(o, 0.9)]),
    "in turn": lambda o: lr.SequentialLR(
        o, [lr.LinearWarmupLR(o, 5), lr.CosineAnnealingLR(o, 20)], [5]
    ),
    "nested": lambda o: lr.SequentialLR(
        o,
        [
            lr.ChainedScheduler([lr.LinearLR(o), lr.ExponentialLR(o, 0.5)]),
            lr.SequentialLR(o, [lr.StepLR(o, 2), lr.ExponentialLR(o, 0.5)], [4]),
        ],
        [4],
    ),
}


@pytest.mark.parametrize("with_optimizer", [True, False])
@pytest.mark.parametrize("name", ALL)
def test_a_state_goes_through_a_file(name, with_optimizer, tmp_path):
    make = ALL[name]
    ours, twin = sgd(), sgd()
    schedule = make(ours)
    rates(schedule, 13)
    cr.save([schedule.state_dict(), ours.state_dict()], tmp_path / "state")
    state, optimizer_state = cr.load(tmp_path / "state")
    other = make(twin)
    if with_optimizer:
        twin.load_state_dict(optimizer_state)
    other.load_state_dict(state)
    assert rates(other, 20) == rates(schedule, 20)


def test_a_plateaus_state():
    schedule, other = (lr.ReduceLROnPlateau(sgd(), patience=2) for _ in range(2))
    for _ in range(5):
        schedule.step(1.0)
    other.load_state_dict(schedule.state_dict())
    for loss in (1.0, 1.0, 1.0, 0.5):
        schedule.step(loss)
        other.step(cr.tensor(loss))
        assert other.state_dict() == schedule.state_dict()
    assert schedule.get_last_lr() == [pytest.approx(0.003)] * 2


def test_nested_schedules_begin_at_their_own_beginning():
    wanted = [0.1, 0.1 * 0.5 * 1.4, 0.1 * 0.25 * 1.8, 0.1 * 0.125 * 2.2]
    wanted += [0.3, 0.3, 0.03, 0.03, 0.3, 0.15, 0.075]
    assert rates(ALL["nested"](sgd()), 11) == pytest.approx(wanted)


def test_chained_schedules_that_come_second_begin_with_all_their_factors():
    optimizer = sgd()
    chain = lr.ChainedScheduler(
        [lr.ConstantLR(optimizer, 0.5, 2), lr.ExponentialLR(optimizer, 0.9)]
    )
    schedule = lr.SequentialLR(optimizer, [lr.StepLR(optimizer, 1), chain], [2])
    wanted = [1, 0.1, 0.5, 0.5 * 0.9, 0.9**2, 0.9**3]
    assert rates(schedule, 6) == pytest.approx([0.3 * factor for factor in wanted])


@pytest.mark.parametrize("name", [name for name in CLOSED if name != "product"])
def test_an_epoch_is_gone_to_by_the_closed_form(name):
    make, closed = CLOSED[name]
    schedule = make(sgd())
    for epoch in (7, 3, 33, 0):
        schedule.step(epoch)
        assert schedule.get_last_lr()[0] == pytest.approx(0.3 * closed(epoch), rel=1e-12)
    schedule.step()
    assert schedule.get_last_lr()[0] == pytest.approx(0.3 * closed(1), rel=1e-12)


@pytest.mark.parametrize("name", ["product", "chained", "in turn"])
def test_an_epoch_that_cannot_be_gone_to(name):
    with pytest.raises(UsageError, match=r"got epoch=7, needs step\(\), one epoch at a time"):
        ALL[name](sgd()).step(7)


def test_several_schedules_share_the_initial_rate():
    optimizer = sgd()
    lr.ConstantLR(optimizer, 0.5)
    assert lr.StepLR(optimizer, 2).base_lrs == [0.3, 0.3]


REFUSED = {
    r"\[StepLR\] got step_size=0, needs 1 or more": lambda o: lr.StepLR(o, 0),
    r"\[StepLR\] got Linear, needs an optimizer": lambda o: lr.StepLR(cr.nn.Linear(1, 1), 2),
    r"\[StepLR\] got last_epoch=3, needs 'initial_lr'": lambda o: lr.StepLR(o, 2, last_epoch=3),
    r"\[ConstantLR\] got factor=0": lambda o: lr.ConstantLR(o, 0),
    r"\[LinearLR\] got start_factor=0": lambda o: lr.LinearLR(o, 0),
    r"\[LinearLR\] got end_factor=2": lambda o: lr.LinearLR(o, 0.1, 2),
    r"\[LinearWarmupLR\] got warmup_iters=0": lambda o: lr.LinearWarmupLR(o, 0),
    r"\[PolynomialLR\] got total_iters=0": lambda o: lr.PolynomialLR(o, 0),
    r"\[CosineAnnealingLR\] got T_max=0": lambda o: lr.CosineAnnealingLR(o, 0),
    r"got T_0=1.5, T_mult=1": lambda o: lr.CosineAnnealingWarmRestarts(o, 1.5),
    r"\[LambdaLR\] got 3 values, needs one, or one for each of 2": lambda o: lr.LambdaLR(
        o, [abs] * 3
    ),
    r"\[CyclicLR\] got mode='square'": lambda o: lr.CyclicLR(o, 0, 1, mode="square"),
    r"\[CyclicLR\] got step_size_up=0, step_size_down=0": lambda o: lr.CyclicLR(o, 0, 1, 0),
    r"\[OneCycleLR\] got no total_steps": lambda o: lr.OneCycleLR(o, 1.0, epochs=3),
    r"\[OneCycleLR\] got pct_start=3": lambda o: lr.OneCycleLR(o, 1.0, 10, pct_start=3),
    r"\[OneCycleLR\] got Adagrad, which has no momentum": lambda o: lr.OneCycleLR(
        optim.Adagrad([cr.tensor([1.0], requires_grad=True)]), 1.0, 10
    ),
    r"\[ReduceLROnPlateau\] got mode='low'": lambda o: lr.ReduceLROnPlateau(o, "low"),
    r"\[ReduceLROnPlateau\] got factor=1": lambda o: lr.ReduceLROnPlateau(o, factor=1),
    r"\[ChainedScheduler\] got no schedules": lambda o: lr.ChainedScheduler([]),
    r"\[ChainedScheduler\] got StepLR of another optimizer": lambda o: lr.ChainedScheduler(
        [lr.StepLR(o, 1), lr.StepLR(sgd(), 1)]
    ),
    r"\[SequentialLR\] got ReduceLROnPlateau.*It needs a figure": lambda o: lr.SequentialLR(
        o, [lr.ReduceLROnPlateau(o)], []
    ),
    r"\[SequentialLR\] got 2 schedules with milestones \[\]": lambda o: lr.SequentialLR(
        o, [lr.StepLR(o, 1), lr.StepLR(o, 1)], []
    ),
}


@pytest.mark.parametrize("words", REFUSED)
def test_refused(words):
    with pytest.raises(UsageError, match=words):
        REFUSED[words](sgd())


@pytest.mark.parametrize("name", ALL)
def test_a_group_that_comes_after_the_schedule(name):
    optimizer = sgd()
    schedule = ALL[name](optimizer)
    optimizer.add_param_group({"params": [cr.tensor([1.0], requires_grad=True)]})
    with pytest.raises(
        UsageError, match=r"got 3 groups, needs 2, as when it began\. After add_param_"
    ):
        schedule.step()


def test_a_rise_of_one_step():
    assert rates(lr.OneCycleLR(sgd(), 1.0, 10, pct_start=0.1), 2)[0] == 1.0


def test_the_state_of_another_optimizer():
    state = lr.StepLR(sgd(groups=3), 2).state_dict()
    with pytest.raises(CheckpointError, match="got 3 rates, needs 2, one a group"):
        lr.StepLR(sgd(), 2).load_state_dict(state)
    o, other = sgd(), sgd()
    one = lr.ChainedScheduler([lr.StepLR(o, 2)])
    two = lr.ChainedScheduler([lr.StepLR(other, 2), lr.StepLR(other, 3)])
    with pytest.raises(CheckpointError, match="got 2 schedules, needs 1"):
        one.load_state_dict(two.state_dict())


def test_a_schedule_of_ones_own():
    class Harmonic(lr.LRScheduler):
        def get_lr(self):
            return [initial / (1 + self.last_epoch) for initial in self.base_lrs]

    assert rates(Harmonic(sgd(1.0)), 3) == [1, 1 / 2, 1 / 3]
    with pytest.raises(UsageError, match="needs a method following"):
        lr.LRScheduler(sgd())
