"""Optimizers against PyTorch: 100 steps in float64 and float32, and their state both ways."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import optim

pytestmark = pytest.mark.parity

CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True}),
    ("SGD", {"lr": 0.001, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.05, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.9, "momentum": 0.8, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.001, "centered": True, "eps": 1e-2}),
    ("RMSprop", {"lr": 0.001, "centered": True, "momentum": 0.5, "maximize": True, "eps": 0.1}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    ("Adadelta", {"rho": 0.99, "maximize": True}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.01, "amsgrad": True}),
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.3, "amsgrad": True, "maximize": True}),
]
SHAPES = [(3, 2), (4,), (), (1, 1)]


def parameters(dtype="float64"):
    import torch

    arrays = [np.random.default_rng(0).normal(size=shape).astype(dtype) for shape in SHAPES]
    ours = [cr.tensor(a, requires_grad=True) for a in arrays]
    return ours, [torch.tensor(a, requires_grad=True) for a in arrays]


def advance(params, optimizer, steps, start=0):
    for step in range(start, start + steps):
        optimizer.zero_grad()
        loss = sum(((p - 0.1 * step % 3) ** 2).sum() + (p**3).sum() * 0.01 for p in params)
        loss.backward()
        optimizer.step()


def same(ours, theirs, tolerance=1e-10):
    for mine, their in zip(ours, theirs, strict=True):
        wanted = their.detach().numpy()
        np.testing.assert_allclose(mine.numpy(), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 2e-4)])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_100_steps(name, options, dtype, tolerance):
    import torch

    ours, theirs = parameters(dtype)
    advance(ours, getattr(optim, name)(ours, **options), 100)
    advance(theirs, getattr(torch.optim, name)(theirs, **options), 100)
    same(ours, theirs, tolerance)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_state_goes_both_ways(name, options):
    import torch

    ours, theirs = parameters()
    mine = getattr(optim, name)(ours, **options)
    their = getattr(torch.optim, name)(theirs, **options)
    advance(theirs, their, 5)
    for p, q in zip(ours, theirs, strict=True):
        p.data = cr.tensor(q.detach().numpy())
    mine.load_state_dict(their.state_dict())
    advance(ours, mine, 5, start=5)
    advance(theirs, their, 5, start=5)
    same(ours, theirs)

    fresh = getattr(torch.optim, name)(theirs, **{**options, "lr": 0.5})
    state = mine.state_dict()
    for held in state["state"].values():
        for key, value in held.items():
            if isinstance(value, cr.Tensor):
                held[key] = torch.tensor(value.numpy().copy())
    their_state = their.state_dict()["state"]
    assert {k: list(held) for k, held in state["state"].items()} == {
        k: [name for name in held if held[name] is not None] for k, held in their_state.items()
    }
    fresh.load_state_dict(state)
    advance(ours, mine, 5, start=10)
    advance(theirs, fresh, 5, start=10)
    same(ours, theirs)
