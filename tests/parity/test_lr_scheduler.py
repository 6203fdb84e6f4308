"""Schedules against PyTorch: rates and momenta over 100 steps, alone, combined and resumed."""

from __future__ import annotations

import math
import warnings

import pytest

import chainrule as cr
from chainrule import optim

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning"),
    pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning"),
]
SGD = ("SGD", {"lr": 0.3, "momentum": 0.9})
ADAM = ("Adam", {"lr": 0.3})

SCHEDULES = [
    ("ConstantLR", {}),
    ("ConstantLR", {"factor": 0.7, "total_iters": 30}),
    ("LinearLR", {}),
    ("LinearLR", {"start_factor": 0.9, "end_factor": 0.1, "total_iters": 60}),
    ("StepLR", {"step_size": 3}),
    ("StepLR", {"step_size": 10, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [2, 5, 5, 70]}),
    ("ExponentialLR", {"gamma": 0.97}),
    ("PolynomialLR", {}),
    ("PolynomialLR", {"total_iters": 80, "power": 1.7}),
    ("CosineAnnealingLR", {"T_max": 100}),
    ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.01}),
    ("LambdaLR", {"lr_lambda": lambda epoch: 1 / (1 + epoch)}),
    ("MultiplicativeLR", {"lr_lambda": lambda epoch: 1 - 1 / (2 + epoch) ** 2}),
    ("CosineAnnealingWarmRestarts", {"T_0": 9}),
    ("CosineAnnealingWarmRestarts", {"T_0": 5, "T_mult": 2, "eta_min": 0.02}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": 8}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": 4, "step_size_down": 11}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 7, "mode": "triangular2"}),
    (
        "CyclicLR",
        {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 7, "mode": "exp_range", "gamma": 0.99},
    ),
    (
        "CyclicLR",
        {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 7, "scale_fn": lambda c: 1 / c},
    ),
    ("OneCycleLR", {"max_lr": 0.4, "total_steps": 101}),
    ("OneCycleLR", {"max_lr": 0.4, "epochs": 11, "steps_per_epoch": 10, "three_phase": True}),
    (
        "OneCycleLR",
        {"max_lr": 0.4, "total_steps": 120, "anneal_strategy": "linear", "pct_start": 0.1},
    ),
    ("OneCycleLR", {"max_lr": 0.4, "total_steps": 101, "cycle_momentum": False}),
]
IDS = [f"{name}-{k}" for k, (name, _) in enumerate(SCHEDULES)]


def both(kind=SGD):
    """The same optimizer with two groups of different rates, ours and PyTorch's."""
    import torch

    name, options = kind
    made = []
    for library in (cr, torch):
        a, b = (library.tensor([1.0], requires_grad=True) for _ in range(2))
        groups = [{"params": [a]}, {"params": [b], "lr": 0.05}]
        made.append(getattr(library.optim, name)(groups, **options))
    return made


def modules():
    import torch

    return optim.lr_scheduler, torch.optim.lr_scheduler


def figures(optimizer):
    keys = ("lr", "momentum", "betas")
    found = []
    for group in optimizer.param_groups:
        for key in keys:
            value = group.get(key, 0.0)
            found += value if isinstance(value, tuple) else [value]
    return [float(x) for x in found]


def same(ours, theirs):
    assert figures(ours) == pytest.approx(figures(theirs), rel=1e-12, abs=1e-15)


def advance(optimizers, schedules, steps):
    for _ in range(steps):
        for schedule in schedules:
            schedule.step()
        same(*optimizers)


@pytest.mark.parametrize("kind", [SGD, ADAM], ids=["SGD", "Adam"])
@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=IDS)
def test_100_steps(name, options, kind):
    optimizers = both(kind)
    schedules = [
        getattr(module, name)(optimizer, **options)
        for module, optimizer in zip(modules(), optimizers, strict=True)
    ]
    same(*optimizers)
    advance(optimizers, schedules, 100)
    assert schedules[0].get_last_lr() == pytest.approx(schedules[1].get_last_lr(), rel=1e-12)


@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=IDS)
def test_resumed_after_an_epoch_by_last_epoch(name, options):
    optimizers = both()
    schedules = [
        getattr(module, name)(optimizer, **options)
        for module, optimizer in zip(modules(), optimizers, strict=True)
    ]
    advance(optimizers, schedules, 10)
    again = both()
    for new, old in zip(again, optimizers, strict=True):
        new.load_state_dict(old.state_dict())
    schedules = [
        getattr(module, name)(optimizer, **options, last_epoch=10)
        for module, optimizer in zip(modules(), again, strict=True)
    ]
    same(*again)
    advance(again, schedules, 20)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("more", [{}, {"cooldown": 3, "min_lr": [1e-3, 1e-4]}, {"eps": 1e-3}])
def test_plateau(mode, threshold_mode, more):
    optimizers = both()
    options = {"patience": 2, "factor": 0.5, "threshold": 0.05, **more}
    schedules = [
        module.ReduceLROnPlateau(optimizer, mode, threshold_mode=threshold_mode, **options)
        for module, optimizer in zip(modules(), optimizers, strict=True)
    ]
    for epoch in range(100):
        figure = math.sin(epoch / 7) + math.exp(-epoch / 20)
        for schedule in schedules:
            schedule.step(figure)
        same(*optimizers)
    ours, theirs = (schedule.state_dict() for schedule in schedules)
    for key in ours.keys() & theirs.keys() - {"mode_worse"}:
        assert ours[key] == pytest.approx(theirs[key]), key


def test_fractions_of_an_epoch():
    optimizers = both()
    for mult in (1, 3):
        schedules = [
            module.CosineAnnealingWarmRestarts(optimizer, T_0=4, T_mult=mult)
            for module, optimizer in zip(modules(), optimizers, strict=True)
        ]
        for step in range(200):
            for schedule in schedules:
                schedule.step(step / 5)
            same(*optimizers)
        advance(optimizers, schedules, 20)


STEPPED = [case for case in SCHEDULES if case[0] not in ("MultiplicativeLR", "OneCycleLR")]


@pytest.mark.parametrize(("name", "options"), STEPPED, ids=[case[0] for case in STEPPED])
def test_step_to_an_epoch(name, options):
    optimizers = both()
    schedules = [
        getattr(module, name)(optimizer, **options)
        for module, optimizer in zip(modules(), optimizers, strict=True)
    ]
    for epoch in (4, 17, 2):
        for schedule in schedules:
            schedule.step(epoch)
        same(*optimizers)
    advance(optimizers, schedules, 20)


def chained(module, optimizer):
    return module.ChainedScheduler(
        [
            module.ConstantLR(optimizer, 0.5, total_iters=10),
            module.CosineAnnealingLR(optimizer, T_max=90),
            module.ExponentialLR(optimizer, 0.98),
            module.MultiStepLR(optimizer, [20, 40]),
        ]
    )


def sequential(module, optimizer):
    parts = [
        module.LinearLR(optimizer, 0.1, total_iters=9),
        module.CosineAnnealingWarmRestarts(optimizer, 11),
        module.StepLR(optimizer, 4),
        module.PolynomialLR(optimizer, 25),
    ]
    return module.SequentialLR(optimizer, parts, milestones=[10, 30, 60])


def sequential_cosine(module, optimizer):
    parts = [
        module.ExponentialLR(optimizer, 0.9),
        module.CosineAnnealingLR(optimizer, 40, eta_min=0.01),
    ]
    return module.SequentialLR(optimizer, parts, milestones=[20])


@pytest.mark.parametrize("make", [chained, sequential, sequential_cosine])
def test_combined(make):
    optimizers = both()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's SequentialLR warns of itself
        schedules = [
            make(module, optimizer) for module, optimizer in zip(modules(), optimizers, strict=True)
        ]
        same(*optimizers)
        advance(optimizers, schedules, 100)


def test_a_rate_that_somebody_sets_is_gone_on_from():
    optimizers = both()
    schedules = [
        module.ExponentialLR(optimizer, 0.9)
        for module, optimizer in zip(modules(), optimizers, strict=True)
    ]
    advance(optimizers, schedules, 3)
    for optimizer in optimizers:
        optimizer.param_groups[0]["lr"] = 7.0
    advance(optimizers, schedules, 3)


@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=IDS)
def test_pytorchs_state_is_read(name, options):
    optimizers = both()
    schedules = [
        getattr(module, name)(optimizer, **options)
        for module, optimizer in zip(modules(), optimizers, strict=True)
    ]
    for _ in range(13):
        schedules[1].step()
    schedules[0].load_state_dict(schedules[1].state_dict())
    advance(optimizers, schedules, 30)
