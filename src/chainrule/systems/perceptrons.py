"""Perceptrons for two classes and for a curve, on data made of random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule import nn, optim, random
from chainrule.data import DataLoader, TensorDataset
from chainrule.data.toys import TOYS
from chainrule.systems.system import Figure, Parts, Recipe, Report, System, warm_up_and_cosine
from chainrule.train.metrics import binary_accuracy

__all__ = ["MLP_BINARY", "MLP_REGRESSION", "made"]


def made(name: str, sizes: tuple[int, int, int], **settings: Any) -> list[TensorDataset]:
    """A set of ``data.TOYS`` in three parts, always the same numbers, whatever the seed is.

    Labels become f32[N,1].
    """
    before = random.get_state()
    random.manual_seed(0)
    x, y = TOYS[name](sum(sizes), **settings).arrays
    random.set_state(before)
    y = y.astype(np.float32).reshape(len(y), -1)
    ends = np.cumsum((0, *sizes))
    return [TensorDataset(x[a:b], y[a:b]) for a, b in pairwise(ends)]


@dataclass(frozen=True, kw_only=True)
class _Points(Recipe):
    optimizer: Any = optim.Adam
    schedule: Any = warm_up_and_cosine
    sizes: tuple[int, int, int] = (800, 200, 1000)  # training, validation, test
    noise: float

    def parts(self, data_dir: str | None = None) -> Parts:
        train, *rest = made(self.data, self.sizes, noise=self.noise)
        loader = DataLoader(train, self.batch_size, shuffle=True)
        return Parts(loader, *(DataLoader(part, 200) for part in rest))

    def opening(self, parts: Parts) -> list[Any]:
        what = f"{self.model}, {self.parameters:,} parameters, on {self.sizes[0]:,} points"
        return [f"{what} of {self.data}", ""]


LOGITS = nn.BCEWithLogitsLoss()
SQUARES = nn.MSELoss()
NEXT = ("summary RUN", "train mlp")


class _Binary(_Points):
    def report(self, trainer: Any, parts: Parts) -> Report:
        """Accuracy on the test part, beside that of the best straight line."""
        assert parts.test is not None
        x, y = parts.test.dataset.arrays
        share = float(((trainer.predict(parts.test) > 0) == (y > 0.5)).mean())
        line = _with_ones(x) @ np.linalg.lstsq(_with_ones(x), 2 * y - 1, rcond=None)[0]
        straight = float(((line > 0) == (y > 0.5)).mean())
        text = f"test accuracy {share:.1%}, of a straight line {straight:.1%}".replace("%", " %")
        figures = (
            Figure("test accuracy", share, at_least=0.97),
            Figure("test accuracy of a straight line", straight),
        )
        return Report([text], figures, {"test_accuracy": share}, NEXT)


class _Regression(_Points):
    def parts(self, data_dir: str | None = None) -> Parts:
        """Inputs and targets with mean 0 and variance 1 over the training part."""
        parts = super().parts(data_dir)
        loaders = [p for p in (parts.train, parts.validation, parts.test) if p is not None]
        scales = [(array.mean(axis=0), array.std(axis=0)) for array in parts.train.dataset.arrays]
        for loader in loaders:
            pairs = zip(loader.dataset.arrays, scales, strict=True)
            loader.dataset = TensorDataset(*((a - mean) / std for a, (mean, std) in pairs))
        return parts

    def report(self, trainer: Any, parts: Parts) -> Report:
        """R² on the test part: 1 − the squared error over that of the mean; beside a plane's."""
        assert parts.test is not None
        x, y = parts.test.dataset.arrays
        seen, wanted = parts.train.dataset.arrays
        plane = np.linalg.lstsq(_with_ones(seen), wanted, rcond=None)[0]
        learned = _r_squared(trainer.predict(parts.test), y)
        linear = _r_squared(_with_ones(x) @ plane, y)
        (whole, *_) = made(self.data, self.sizes, noise=self.noise)
        best = 1 - self.noise**2 / float(whole.arrays[1].var())
        lines = [f"R² {learned:.3f}; of the best plane {linear:.3f}; noise allows {best:.3f}"]
        figures = (
            Figure("R² on the test part", learned, at_least=0.9),
            Figure("R² of the best plane", linear, at_most=learned),
        )
        return Report(lines, figures, {"r_squared": learned}, NEXT)


def _with_ones(x: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(x)), x])


def _r_squared(answers: np.ndarray, y: np.ndarray) -> float:
    """1 − Σ(y − ŷ)² / Σ(y − mean)²: 1 is perfect, 0 no better than the mean."""
    return 1 - float(((answers - y) ** 2).sum() / ((y - y.mean()) ** 2).sum())


MLP_BINARY = System(
    "a perceptron for two classes",
    {
        "two-moons": _Binary(
            model="mlp",
            config={"sizes": (2, 32, 32, 1)},
            data="two-moons",
            noise=0.15,
            loss=LOGITS,
            metrics=(binary_accuracy,),
            lr=0.01,
            epochs=30,
            batch_size=32,
            parameters=1_185,
            time="2 s",
        )
    },
)
MLP_REGRESSION = System(
    "a perceptron that fits a curve",
    {
        "friedman": _Regression(
            model="mlp",
            config={"sizes": (10, 32, 32, 1)},
            sizes=(2000, 200, 1000),
            data="friedman",
            noise=1.0,
            loss=SQUARES,
            lr=0.01,
            epochs=40,
            batch_size=32,
            parameters=1_441,
            time="3 s",
        )
    },
)
