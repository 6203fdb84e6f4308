"""XOR: the smallest problem that needs a hidden layer, and starts from which none is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import models, nn, optim, random
from chainrule.creation import stack
from chainrule.data import DataLoader, TensorDataset
from chainrule.inspect.explain.presets import explain_preset, xor_output
from chainrule.systems.boards import golden
from chainrule.systems.system import Figure, Parts, Recipe, Report, System
from chainrule.tensor import Tensor, tensor

__all__ = ["XOR", "XOR_2_2_1", "train_together"]

INPUTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
TARGETS = np.array([[0], [1], [1], [0]], np.float32)


@dataclass(frozen=True, kw_only=True)
class _TruthTable(Recipe):
    data: str = "the truth table"

    def parts(self, data_dir: str | None = None) -> Parts:
        dataset, size = TensorDataset(INPUTS, TARGETS), min(self.batch_size, 4)
        return Parts(DataLoader(dataset, size, shuffle=size < 4), test=DataLoader(dataset, 4))

    def report(self, trainer: Any, parts: Parts) -> Report:
        outputs = trainer.predict(parts.test)
        right = int(((outputs > 0.5) == (TARGETS > 0.5)).sum())
        table = [
            {"x": [int(a), int(b)], "wanted": int(t), "y": round(float(y), 4)}
            for (a, b), (t,), (y,) in zip(INPUTS, TARGETS, outputs, strict=True)
        ]
        lines = [f"{right} of 4 right", "", "x1 x2  wanted      y"]
        lines += [f" {r['x'][0]}  {r['x'][1]}  {r['wanted']:6}  {r['y']:z5.2f}" for r in table]
        return Report(
            lines,
            (Figure("rows of the truth table that are right", right, equal=4),),
            {"correct": right, "of": 4, "table": table},
            ("summary RUN", "explain xor", "train lenet"),
        )


XOR = System(
    "XOR with 8 hidden units",
    {
        "the truth table": _TruthTable(
            model="xor",
            config={"hidden": 8},
            loss=nn.MSELoss(),
            optimizer=optim.Adam,
            lr=0.05,
            epochs=200,
            batch_size=4,
            parameters=33,
            time="1 s",
        )
    },
)


# ---------------------------------------------------------------- many starts at once

SEEDS = 100


def train_together(
    hidden: int, optimizer: Callable[..., Any], steps: int, *, lr: float, sigmoid: bool = False
) -> np.ndarray:
    """What the networks of seeds 0 … 99 answer after ``steps`` on the truth table: f32[100,4].

    They are trained side by side in one graph: the loss is the sum of theirs, so that the gradient
    of each is its own.  ``sigmoid`` makes every unit one; otherwise it is ``models.xor``.
    """
    weights = [weight.requires_grad_() for weight in _starts(hidden)]
    x, t = tensor(INPUTS), tensor(TARGETS)
    training = optimizer(weights, lr=lr)
    for _ in range(steps):
        training.zero_grad()
        ((_answers(x, weights, sigmoid) - t) ** 2).mean((1, 2)).sum().backward()
        training.step()
    return _answers(x, weights, sigmoid).detach().numpy()[..., 0]


def _starts(hidden: int) -> list[Tensor]:
    """The first weights of all seeds: f32[100,H,2], f32[100,H], f32[100,1,H], f32[100,1]."""
    before = random.get_state()
    states = []
    for seed in range(SEEDS):
        random.manual_seed(seed)
        states.append(models.xor(hidden).state_dict())
    random.set_state(before)
    return [stack([state[name] for state in states]) for name in states[0]]


def _answers(x: Tensor, weights: list[Tensor], sigmoid: bool) -> Tensor:
    """x: f32[4,2] -> y: f32[100,4,1]"""
    W1, b1, W2, b2 = weights
    z = x @ W1.transpose(1, 2) + b1.unsqueeze(1)
    y = (z.sigmoid() if sigmoid else z.tanh()) @ W2.transpose(1, 2) + b2.unsqueeze(1)
    return y.sigmoid() if sigmoid else y


def _momentum(weights: Any, lr: float) -> Any:
    return optim.SGD(weights, lr=lr, momentum=0.9)


def _many_starts(data_dir: str | None = None) -> Report:
    rows = [
        (
            "2-2-1 sigmoid",
            "gradient descent",
            train_together(2, _momentum, 1000, lr=1, sigmoid=True),
        ),
        ("2-2-1 tanh", "as the preset", train_together(2, optim.Adam, 200, lr=0.05)),
        ("2-8-1 tanh", "the preset: xor", train_together(8, optim.Adam, 200, lr=0.05)),
    ]
    lines = ["network        trained by         solved  stuck, of 100 seeds"]
    figures, result = [], {}
    for network, how, answers in rows:
        solved = ((answers > 0.5) == (TARGETS[:, 0] > 0.5)).all(axis=1)
        stuck = np.flatnonzero(~solved)
        lines.append(f"{network:13}  {how:17}  {solved.sum():6}  {len(stuck):5}")
        wanted = SEEDS if "preset: xor" in how else None
        figures.append(Figure(f"seeds solved, {network}", int(solved.sum()), equal=wanted))
        result[network] = {"solved": int(solved.sum()), "stuck": stuck.tolist()}
    first = result["2-2-1 sigmoid"]["stuck"]
    lines += ["", "Stuck, by seed: what the first answer to 00, 01, 10, 11 (wanted: 0, 1, 1, 0)"]
    lines += [
        f"  {seed:2}  " + "  ".join(f"{y:.2f}" for y in rows[0][2][seed]) for seed in first[:8]
    ]
    why = "There the gradient is all but zero: no step leads on, however many follow."
    lines += [f"and {len(first) - 8} more." if len(first) > 8 else "", why]
    return Report(lines, (*figures, *_by_hand()), result, ("train xor", "explain xor"))


def _by_hand() -> tuple[Figure, ...]:
    """The weights that solve XOR, that no line does, and the lecture's gradients at x = (1, 0)."""
    outputs = [xor_output(*x).item() for x in ((0, 0), (0, 1), (1, 0), (1, 1))]
    away = np.abs(np.subtract(outputs, [4.5e-5, 0.999955, 0.999955, 4.5e-5])).max()
    affine = np.column_stack([np.ones(4), INPUTS])
    best = affine @ np.linalg.lstsq(affine, TARGETS, rcond=None)[0]
    weights = [-0.030801, 0.035935, 0, 0, -0.144875, -0.079509]
    wanted = {f"w̄{'₁₂₃₄₅₆'[k]}": value for k, value in enumerate(weights)}
    wanted |= {"b̄₁": -0.030801, "b̄₂": 0.035935, "b̄₃": -0.224384, "ŷ": 0.547197, "L": 0.20503}
    return (
        Figure("outputs of the solved network, largest error", float(away), at_most=5e-7),
        Figure(
            "mean squared error of the best affine map",
            float(np.mean((best - TARGETS) ** 2)),
            equal=0.25,
            within=1e-6,
        ),
        *golden(explain_preset("xor", digits=17), wanted, 5.1e-7),
    )


XOR_2_2_1 = System(
    "XOR with 2 hidden units: how many of 100 starts get stuck", compute=_many_starts
)
