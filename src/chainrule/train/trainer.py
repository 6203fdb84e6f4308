"""The training loop, written once: forward, backward, update, and figures of each epoch.

The plain five lines of a loop work as well; `Trainer` adds what every loop needs around them: it
can be stopped anywhere and goes on to the same bits, and it looks for the first number that is not
finite.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field
from itertools import islice
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.errors import CheckpointError, UsageError, message
from chainrule.step import Compiled
from chainrule.storage import recorder
from chainrule.tensor import Tensor
from chainrule.train.batches import Batches, checked, first, pair
from chainrule.train.callbacks import Callback
from chainrule.train.checkpoint import load_checkpoint
from chainrule.train.evaluating import evaluating
from chainrule.train.history import History
from chainrule.train.interrupts import Interrupts
from chainrule.train.metrics import Figures, Metric
from chainrule.train.nonfinite import MODES, guarded, health_of
from chainrule.train.notices import Notices
from chainrule.train.progress import Progress
from chainrule.train.ranges import InputRange
from chainrule.train.record import Recording, Wanted
from chainrule.train.runs import Run
from chainrule.train.statistics import Statistics

if TYPE_CHECKING:
    from chainrule.step.traced import Traced

__all__ = ["Trainer"]


@dataclass
class _Place:
    """Where a training stands."""

    epoch: int = 0  # whole epochs behind
    batch: int = 0  # steps of the one that runs
    step: int = 0  # steps in all
    seconds: float = 0.0  # of the epoch that runs
    epochs: int = 0  # that were asked for
    stopped: bool = False  # by a callback
    rates: list[float] = field(default_factory=list)  # of the groups, before the schedule


def _step_of(
    model: Any, loss_of: Any, optimizer: Any, clip: Any, statistics: Any
) -> Callable[..., Any]:
    def update(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = loss_of(outputs, targets)
        loss.backward()
        if clip is not None:
            clip(model.parameters())
        optimizer.step()
        return loss.detach(), outputs.detach()

    def step(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Any]:
        figures = None
        if statistics is None:
            loss, outputs = update(inputs, targets)
        else:
            (loss, outputs), figures = statistics.of(lambda: update(inputs, targets))
        rec = recorder()
        looked_at = rec.taps or rec.watch is not None  # a tape shows the step, not our checks
        health = None if looked_at else health_of(optimizer)
        return loss, outputs, health, figures

    return step


class Trainer:
    """Trains a model by an optimizer on a loss.

    loss: (outputs, targets) -> scalar.  metrics: functions (outputs, targets) -> mean over the
    batch, or `Metric`s, each reported under its name, beside "loss"; on validation data as
    "val_...".
    schedule: an object with ``step()`` (those of ``optim.lr_scheduler``), stepped after each epoch
    or, with ``schedule_every="batch"``, after each batch (OneCycleLR); one that wants a figure
    (ReduceLROnPlateau) gets "val_loss", or "loss" without validation data.  Or a function that
    gives the learning rate's factor for the progress 0 … 1, set at each step.
    clip: a function of the parameters that is called between backward and update, such as
    ``lambda p: nn.utils.clip_grad_norm_(p, 1.0)``.
    nan: "stop" (a loss or gradient that is not finite ends the training with the place where it
    arose; the parameters are those before the step), "strict" (every node is checked), "ignore".
    record: what the studio shows of the training goes into the next folder of ``runs/``, or into
    one that ``Recording(folder)`` names: True, "all" steps, "steps=0,10,50-60", "nodes=conv*".

    >>> import chainrule as cr
    >>> from chainrule import nn, optim
    >>> x = cr.tensor([[0.0], [1.0], [2.0]])
    >>> line = nn.Linear(1, 1)
    >>> trainer = Trainer(line, nn.MSELoss(), optim.SGD(line.parameters(), lr=0.3))
    >>> history = trainer.fit([(x, 2 * x + 1)], epochs=100, verbose=False)
    >>> len(history), history.last["loss"] < 0.01
    (100, True)
    """

    def __init__(
        self,
        model: Any,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: Any,
        *,
        metrics: Sequence[Metric | Callable[..., float]] = (),
        callbacks: Sequence[Callback] = (),
        schedule: Any = None,
        schedule_every: str = "epoch",
        clip: Callable[[Iterable[Tensor]], Any] | None = None,
        nan: str = "stop",
        record: Any = False,
    ) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.record = record if isinstance(record, Recording) else Wanted.of(record)
        self.metrics, self.callbacks = list(metrics), list(callbacks)
        self.schedule, self.schedule_every, self.clip, self.nan = (
            schedule,
            schedule_every,
            clip,
            nan,
        )
        for name, given, known in (
            ("nan", nan, MODES),
            ("schedule_every", schedule_every, ("epoch", "batch")),
        ):
            if given not in known:
                raise UsageError(message("Trainer", f"{name}={given!r}", " or ".join(known)))
        self.stop = self.evaluating = False
        self.single = False  # whether a person makes the next step by itself: see control.py
        self.last_loss = float("nan")  # of the latest step
        self.samples = 0  # in its batch
        self.history, self.place, self._listening = History(), _Place(), list(callbacks)
        self._figures, self._range = Figures(self.metrics), InputRange()
        self._parts: tuple[Any, ...] = (None,) * 4  # of which compiled steps are made
        self._steps: dict[Statistics | None, Compiled] = {}  # by the figures that they compute
        self._interrupts = Interrupts()
        self._begun = 0.0  # when the epoch would have begun, had it never been left
        self.health: Tensor | None = None  # of the latest step: see nonfinite.health_of
        self.statistics: Statistics | None = None  # what each step computes of itself
        self.figures_of_step: Tensor | None = None  # by it

    # ------------------------------------------------------------ fit

    def fit(
        self,
        train: Batches,
        *,
        epochs: int = 1,
        validation_data: Batches | None = None,
        resume_from: str | PathLike[str] | None = None,
        verbose: bool = True,
    ) -> History:
        """Train for ``epochs`` passes over ``train``, batches of (inputs, targets).

        Returns the History.  A step that fails, on a bad label for instance, changes no parameter;
        Ctrl-C ends the training after the step that runs.
        ``resume_from``: a checkpoint of ModelCheckpoint; the training goes on there to the bits it
        would have had, up to ``epochs`` in all.  verbose: a live bar on a terminal, a line per
        epoch elsewhere.
        """
        if epochs < 1:
            raise UsageError(message("Trainer.fit", f"epochs = {epochs}", "at least 1"))
        self.train_data, self.epochs = checked(train, epochs, resume_from), epochs
        self.validation_data = validation_data
        if validation_data is not None:
            checked(validation_data, epochs, None)
        self.batches = len(train) if hasattr(train, "__len__") else None  # type: ignore[arg-type]
        self.history, self.place, self.stop = History(), _Place(), False
        recording = [self._recording()] if self.record is not None else []
        shown = [Progress()] if verbose else []
        self._listening = [Notices(), *self.callbacks, *recording, *shown]
        self._figures.reset()
        self._range = InputRange()
        self._by_progress = self.schedule is not None and not hasattr(self.schedule, "step")
        if self._by_progress and self.batches is None:
            needs = "data with a length, to know how far the training is"
            raise UsageError(message("Trainer.fit", "a generator", needs))
        self.place.rates = [group["lr"] for group in self.optimizer.param_groups]
        if resume_from is not None:
            self._resume(resume_from)
        self.place.epochs = epochs
        if not self.model.training:  # parts that were frozen by eval() stay as they are
            self.model.train()
        try:
            with self._interrupts:
                self._tell("on_fit_begin")
                while self.place.epoch < epochs and not self.stop:
                    self._epoch(validation_data)
        except BaseException:
            self._tell("on_failure")
            raise
        self._tell("on_fit_end")
        return self.history

    def _recording(self) -> Recording:
        if isinstance(self.record, Recording):
            return self.record
        assert self.record is not None
        run = Run.create(
            type(self.model).__name__.lower(),
            {
                "system": None,
                "model": {"name": type(self.model).__name__},
                "loss": getattr(self.loss, "__name__", type(self.loss).__name__),
                "optimizer": type(self.optimizer).__name__,
                "epochs": self.epochs,
            },
        )
        return Recording(run.folder, self.record, run)

    def _epoch(self, validation_data: Batches | None) -> None:
        place = self.place
        self._begun = time.perf_counter() - place.seconds
        self._tell("on_epoch_begin", place.epoch + 1)
        for batch in self._remaining():
            inputs, targets = pair(batch)
            self._range.learn(inputs)
            self.samples = len(inputs)
            self._set_rates()
            self._tell("on_step_begin")
            with self._interrupts.step():
                loss, outputs = guarded(self, inputs, targets)
                self.last_loss = float(loss.item())
                self._figures.add(self.last_loss, outputs, targets)
                if self.schedule is not None and self.schedule_every == "batch":
                    self._step_schedule({})
                place.batch, place.step = place.batch + 1, place.step + 1
                place.seconds = time.perf_counter() - self._begun
            self._tell("on_batch_end", place.batch, self.batches)
        if not self._figures.samples:
            why = "A generator can be passed once" if place.epoch else ""
            raise UsageError(message("Trainer.fit", "no batches", "at least one", why=why))
        logs = self._figures.value()
        if validation_data is not None:
            found = self.evaluate(validation_data)
            logs |= {f"val_{name}": value for name, value in found.items()}
        if self.schedule is not None and self.schedule_every == "epoch":
            self._step_schedule(logs)
        logs["seconds"] = time.perf_counter() - self._begun
        self.history.epochs.append(logs)
        place.epoch, place.batch, place.seconds = place.epoch + 1, 0, 0.0
        self._figures.reset()
        self._tell("on_epoch_end", place.epoch, logs)

    def _remaining(self) -> Iterator[Any]:
        """The batches of this epoch that are still to come; a loader knows where it stands."""
        data, done = self.train_data, self.place.batch
        if not hasattr(data, "load_state_dict"):
            return islice(data, done, None)
        if done and not data.state_dict()["batch"]:  # it has gone on to the next epoch already
            return iter(())
        return iter(data)

    def waited(self, seconds: float) -> None:
        """Between two steps it has waited so long, which is none of the epoch's time."""
        self._begun += seconds

    def step(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """One step: the five lines, compiled.  Returns loss and outputs, both computed."""
        parts, statistics = (self.model, self.loss, self.optimizer, self.clip), self.statistics
        if any(a is not b for a, b in zip(parts, self._parts, strict=True)):
            self._parts, self._steps = parts, {}
        if statistics not in self._steps:
            self._steps[statistics] = Compiled(_step_of(*parts, statistics), may_look=True)
        step = self._steps[statistics]
        loss, outputs, self.health, self.figures_of_step = step(inputs, targets)
        return loss, outputs

    @property
    def program(self) -> Traced | None:
        """What the compiled step became; ``None`` as long as it ran plainly."""
        step = self._steps.get(self.statistics)
        return None if step is None else step.newest

    # ------------------------------------------------------------ the learning rate

    def _set_rates(self) -> None:
        if self._by_progress:
            factor = self.schedule(self.place.step / (self.epochs * self.batches))  # type: ignore[operator]
            groups = self.optimizer.param_groups
            for group, rate in zip(groups, self.place.rates, strict=True):
                group["lr"] = rate * factor

    def _step_schedule(self, logs: Mapping[str, float]) -> None:
        if self._by_progress:
            return
        if "metrics" in inspect.signature(self.schedule.step).parameters:
            self.schedule.step(logs.get("val_loss", logs.get("loss")))
        else:
            self.schedule.step()

    # ------------------------------------------------------------ a place that can be kept

    def state_dict(self) -> dict[str, Any]:
        """Where the training stands, beside model, optimizer and random streams."""
        data, schedule = self.train_data, self.schedule
        return {
            "place": asdict(self.place) | {"stopped": self.stop},
            "figures": self._figures.state_dict(),
            "history": self.history.epochs,
            "loader": data.state_dict() if hasattr(data, "state_dict") else None,
            "schedule": schedule.state_dict() if hasattr(schedule, "state_dict") else None,
            "callbacks": [[type(c).__name__, c.state_dict()] for c in self._listening],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was called, with the data of this ``fit``."""
        self.place = _Place(**state["place"])
        self.stop = self.place.stopped and self.epochs <= self.place.epochs
        self.history = History(state["history"])
        self._figures.load_state_dict(state["figures"])
        if state["loader"] is not None:
            self.train_data.load_state_dict(state["loader"])
        if state["schedule"] is not None:
            self.schedule.load_state_dict(state["schedule"])
        kept = list(state["callbacks"])
        for callback in self._listening:  # the next that was kept of its class
            names = [name for name, _ in kept]
            if type(callback).__name__ in names:
                callback.load_state_dict(kept.pop(names.index(type(callback).__name__))[1])

    def _resume(self, path: str | PathLike[str]) -> None:
        checkpoint = load_checkpoint(path, self.model, self.optimizer)
        if "training" not in checkpoint:
            got, needs = f"{path}, which does not say where its training stood", "ModelCheckpoint's"
            raise CheckpointError(message("Trainer.fit", got, needs))
        self.load_state_dict(checkpoint["training"])

    # ------------------------------------------------------------ evaluate, predict

    def evaluate(self, data: Batches, metrics: Sequence[Any] | None = None) -> dict[str, float]:
        """Loss and metrics on batches of (inputs, targets), means over all samples.

        Nothing of the training moves: no parameter, no running statistic, no random stream.
        metrics: others than the trainer's; a `Metric` is left with what it has seen.
        """
        own = [copy(metric) for metric in self.metrics]  # training's go on collecting
        figures = Figures(own if metrics is None else metrics)
        with evaluating(self):
            for batch in data:
                inputs, targets = pair(batch)
                if not figures.samples:
                    self._range.check("Trainer.evaluate", inputs)
                outputs = self.model(inputs)
                figures.add(float(self.loss(outputs, targets).item()), outputs, targets)
        if not figures.samples:
            raise UsageError(message("Trainer.evaluate", "no batches", "at least one"))
        return figures.value()

    def predict(self, data: Batches | Tensor) -> np.ndarray:
        """The outputs for a tensor of inputs, or for batches (inputs, …), as one array."""
        batches = [(data,)] if isinstance(data, Tensor) else data
        outputs = []
        with evaluating(self):
            for batch in batches:
                if not outputs:
                    self._range.check("Trainer.predict", first(batch))
                outputs.append(self.model(first(batch)).numpy())
        if not outputs:
            raise UsageError(message("Trainer.predict", "no batches", "at least one"))
        return np.concatenate(outputs)

    def _tell(self, moment: str, *news: Any) -> None:
        for callback in self._listening:
            getattr(callback, moment)(self, *news)
