"""The figures of a training, epoch by epoch."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from os import PathLike
from typing import Any

import numpy as np

from chainrule.errors import UsageError, did_you_mean, message
from chainrule.files import write_atomically

__all__ = ["History", "monitored", "sign_of"]

MORE_IS_BETTER = ("accuracy", "precision", "recall", "f1")


class History:
    """The figures of a training, epoch by epoch, and what was noticed at its end.

    ``history["loss"]`` lists one number per epoch, ``history[-1]`` is the last epoch's figures.

    >>> history = History([{"loss": 2.0, "accuracy": 0.5}, {"loss": 3.0, "accuracy": 0.75}])
    >>> history["loss"], history.last["loss"]
    ([2.0, 3.0], 3.0)
    >>> history.best("loss"), history.best("accuracy")
    ((1, 2.0), (2, 0.75))
    >>> history.arrays()["loss"]
    array([2., 3.])
    """

    def __init__(self, epochs: Iterable[dict[str, float]] = ()) -> None:
        self.epochs: list[dict[str, float]] = [dict(logs) for logs in epochs]
        self.notices: list[str] = []

    def __getitem__(self, key: str | int) -> Any:
        if isinstance(key, int):
            return self.epochs[key]
        for logs in self.epochs:
            monitored(logs, key, "History")
        return [logs[key] for logs in self.epochs]

    def __len__(self) -> int:
        return len(self.epochs)

    @property
    def last(self) -> dict[str, float]:
        """The figures of the last epoch; none before the first is over."""
        return self.epochs[-1] if self.epochs else {}

    def best(self, monitor: str = "loss", mode: str = "auto") -> tuple[int, float]:
        """(epoch, figure) of the best epoch, from 1; the first of several that are equal.

        mode: "min", "max", or "auto": more is better for an accuracy, less for a loss.
        """
        if not self.epochs:
            raise UsageError(message("History.best", "no epochs", "at least one"))
        sign = sign_of(monitor, mode, "History.best")
        values = [sign * value for value in self[monitor]]
        at = max(range(len(values)), key=lambda index: values[index])
        return at + 1, sign * values[at]

    def arrays(self) -> dict[str, np.ndarray]:
        """Name -> f64[epochs], NaN where an epoch has no such figure."""
        names = dict.fromkeys(name for logs in self.epochs for name in logs)
        nan = float("nan")
        return {name: np.array([logs.get(name, nan) for logs in self.epochs]) for name in names}

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write a table with one row per epoch, atomically."""
        names = list(self.arrays())
        text = io.StringIO(newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["epoch", *names])
        for number, logs in enumerate(self.epochs, start=1):
            table.writerow([number, *(logs.get(name, "") for name in names)])
        write_atomically(path, text.getvalue().encode())

    def __repr__(self) -> str:
        figures = ", ".join(f"{k} {v:.4g}" for k, v in self.last.items())
        return f"<History of {len(self)} epochs: {figures}>"


def monitored(logs: dict[str, float], monitor: str, where: str) -> float:
    """The figure that somebody watches, or an error that lists what there is."""
    if monitor not in logs:
        needs = "one of " + ", ".join(logs)
        remedy = did_you_mean(monitor, logs)
        if monitor.startswith("val_") and not any(name.startswith("val_") for name in logs):
            remedy = "Give fit validation_data="
        raise UsageError(message(where, f"monitor = {monitor!r}", needs, remedy=remedy))
    return logs[monitor]


def sign_of(monitor: str, mode: str, where: str) -> int:
    """1 where more is better, -1 where less is."""
    signs = {"max": 1, "min": -1, "auto": 1 if monitor.endswith(MORE_IS_BETTER) else -1}
    if mode not in signs:
        raise UsageError(message(where, f"mode = {mode!r}", "min, max or auto"))
    return signs[mode]
