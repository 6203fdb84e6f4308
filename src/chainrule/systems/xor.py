"""XOR: the smallest problem that needs a hidden layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import nn, optim
from chainrule.data import DataLoader, TensorDataset
from chainrule.systems.system import Figure, Parts, Recipe, Report, System

__all__ = ["XOR"]

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
        lines += [f" {r['x'][0]}  {r['x'][1]}  {r['wanted']:6}  {r['y']:5.2f}" for r in table]
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
            time="2 s",
        )
    },
)
