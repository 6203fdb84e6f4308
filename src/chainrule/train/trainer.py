"""The training loop, written once: forward, backward, update, and figures of each epoch.

The plain five lines of a loop work as well; `Trainer` adds what every loop needs around them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.errors import UsageError, message
from chainrule.recording import no_grad
from chainrule.tensor import Tensor
from chainrule.train.callbacks import Callback

__all__ = ["History", "Trainer"]

Metric = Callable[[Tensor, Tensor], float]
Batches = Iterable[Sequence[Tensor]]


class History:
    """The figures of a training, epoch by epoch.

    ``history["loss"]`` lists one number per epoch, ``history[-1]`` is the last epoch's figures.
    """

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def __getitem__(self, key: str | int) -> Any:
        return self.epochs[key] if isinstance(key, int) else [logs[key] for logs in self.epochs]

    def __len__(self) -> int:
        return len(self.epochs)

    def __repr__(self) -> str:
        figures = (
            ", ".join(f"{k} {v:.4g}" for k, v in self.epochs[-1].items()) if self.epochs else ""
        )
        return f"<History of {len(self)} epochs: {figures}>"


class Trainer:
    """Trains a model by an optimizer on a loss.

    loss: (outputs, targets) -> scalar.  metrics: functions (outputs, targets) -> mean over the
    batch, each reported under its name, beside "loss"; on validation data as "val_...".
    schedule: an object with ``step()`` (those of ``optim.lr_scheduler``), called after each epoch,
    or a function that gives the learning rate's factor for the progress 0 … 1, set at each step.

    >>> import chainrule as cr
    >>> from chainrule import nn, optim
    >>> x = cr.tensor([[0.0], [1.0], [2.0]])
    >>> line = nn.Linear(1, 1)
    >>> trainer = Trainer(line, nn.MSELoss(), optim.SGD(line.parameters(), lr=0.3))
    >>> history = trainer.fit([(x, 2 * x + 1)], epochs=100)
    >>> len(history), history[-1]["loss"] < 0.01
    (100, True)
    """

    def __init__(
        self,
        model: Any,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: Any,
        *,
        metrics: Sequence[Metric] = (),
        callbacks: Sequence[Callback] = (),
        schedule: Any = None,
    ) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.metrics = {_name(metric): metric for metric in metrics}
        self.callbacks, self.schedule = list(callbacks), schedule
        self.stop = False

    # ------------------------------------------------------------ fit

    def fit(
        self, train: Batches, *, epochs: int = 1, validation_data: Batches | None = None
    ) -> History:
        """Train for ``epochs`` passes over ``train``, batches of (inputs, targets).

        Returns the History.  A step that fails (a bad label, Ctrl-C) changes no parameter.
        """
        if epochs < 1:
            raise UsageError(message("Trainer.fit", f"epochs = {epochs}", "at least 1"))
        history, self.stop = History(), False
        pace = _Pace(self.optimizer, self.schedule, train, epochs)
        self._tell("on_fit_begin")
        for epoch in range(1, epochs + 1):
            begun = time.perf_counter()
            self._tell("on_epoch_begin", epoch)
            logs = self._train_epoch(train, pace)
            pace.epoch_is_over()
            if validation_data is not None:
                found = self.evaluate(validation_data)
                logs |= {f"val_{name}": value for name, value in found.items()}
            logs["seconds"] = time.perf_counter() - begun
            history.epochs.append(logs)
            self._tell("on_epoch_end", epoch, logs)
            if self.stop:
                break
        self._tell("on_fit_end")
        return history

    def _train_epoch(self, train: Batches, pace: _Pace) -> dict[str, float]:
        self.model.train()
        mean = _Mean()
        for number, (inputs, targets) in enumerate(train, start=1):
            pace.before_step()
            loss, outputs = self.step(inputs, targets)
            mean.add(len(targets), self._figures(loss, outputs, targets))
            self._tell("on_batch_end", number, pace.batches)
        return mean.value()

    def step(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """One step: the five lines.  Returns loss and outputs, both computed."""
        self.optimizer.zero_grad()
        outputs = self.model(inputs)
        loss = self.loss(outputs, targets)
        loss.backward()
        self.optimizer.step()
        return loss.detach(), outputs.detach()

    # ------------------------------------------------------------ evaluate, predict

    def evaluate(self, data: Batches) -> dict[str, float]:
        """Loss and metrics on batches of (inputs, targets), means over all samples."""
        mean = _Mean()
        with no_grad(), _Evaluating(self.model):
            for inputs, targets in data:
                outputs = self.model(inputs)
                figures = self._figures(self.loss(outputs, targets), outputs, targets)
                mean.add(len(targets), figures)
        return mean.value()

    def predict(self, data: Batches | Tensor) -> np.ndarray:
        """The outputs for a tensor of inputs, or for batches (inputs, …), as one array."""
        batches = [(data,)] if isinstance(data, Tensor) else data
        with no_grad(), _Evaluating(self.model):
            return np.concatenate([self.model(inputs).numpy() for inputs, *_ in batches])

    # ------------------------------------------------------------

    def _figures(self, loss: Tensor, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        figures = {"loss": float(loss.item())}
        return figures | {name: metric(outputs, targets) for name, metric in self.metrics.items()}

    def _tell(self, moment: str, *news: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, moment)(self, *news)


class _Mean:
    """Means over samples of figures that come batch by batch."""

    def __init__(self) -> None:
        self.n, self.sums = 0, {}

    def add(self, n: int, figures: Mapping[str, float]) -> None:
        self.n += n
        for name, value in figures.items():
            self.sums[name] = self.sums.get(name, 0.0) + n * value

    def value(self) -> dict[str, float]:
        if not self.n:
            raise UsageError(message("Trainer", "no batches", "at least one"))
        return {name: total / self.n for name, total in self.sums.items()}


class _Evaluating:
    """The model in evaluation mode, and back in the mode it was in."""

    def __init__(self, model: Any) -> None:
        self.model, self.was_training = model, model.training

    def __enter__(self) -> None:
        self.model.eval()

    def __exit__(self, *error: object) -> None:
        self.model.train(self.was_training)


class _Pace:
    """The learning rate over the training."""

    def __init__(self, optimizer: Any, schedule: Any, train: Any, epochs: int) -> None:
        self.optimizer, self.schedule = optimizer, schedule
        self.batches = len(train) if hasattr(train, "__len__") else None
        self.by_progress = schedule is not None and not hasattr(schedule, "step")
        if self.by_progress and self.batches is None:
            needs = "data with a length, to know how far the training is"
            raise UsageError(message("Trainer.fit", "a generator", needs))
        self.steps_in_all = epochs * (self.batches or 0)
        self.steps = 0
        self.rates = [group["lr"] for group in optimizer.param_groups] if self.by_progress else []

    def before_step(self) -> None:
        if self.by_progress:
            factor = self.schedule(self.steps / self.steps_in_all)
            for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate * factor
        self.steps += 1

    def epoch_is_over(self) -> None:
        if self.schedule is not None and not self.by_progress:
            self.schedule.step()


def _name(metric: Any) -> str:
    return getattr(metric, "__name__", type(metric).__name__.lower())
