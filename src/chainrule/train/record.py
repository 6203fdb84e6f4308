"""What of a training is recorded for the studio, and when.

Steps 0, 1, 2, 4, 8 are kept, then evenly spaced ones, so that a run of any length has at most 200
and 256 MB of them; what was kept on the way is thinned as the run grows.  Beside each step the
probe is kept, and of every step a row of figures; ``records.py`` says how the files look.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.errors import UsageError, message
from chainrule.tape import Tape, kept_step, record
from chainrule.tensor import Tensor
from chainrule.train.batches import samples_of
from chainrule.train.callbacks import Callback
from chainrule.train.fused import fused_places
from chainrule.train.probe import probe_of, probed
from chainrule.train.records import Writer
from chainrule.train.runs import Run
from chainrule.train.statistics import Statistics

if TYPE_CHECKING:
    from chainrule.step.traced import Traced
    from chainrule.train.trainer import Trainer

__all__ = ["Recording", "Schedule", "Wanted"]

KEPT, BYTES = 200, 256 << 20  # of steps, at most
BATCH, PROBE = 4, 16  # samples
SHARE = 0.04  # of the training's time that kept steps may take
EARLY = 16  # steps at the beginning, of which 0, 1, 2, 4, 8 are kept whatever they take
GRANT = 0.3  # seconds that they may take of any training whose length is known: a short one is seen
PERIOD = 1e-3  # seconds between two rows of figures, at least
# What stands behind the figures of a step: of its first group, and samples a second with their
# loading, since the step before.
OF_TRAINING = (("training", "rate"), ("training", "speed"))


@dataclass(frozen=True)
class Wanted:
    """Which steps and nodes a recording keeps, beside every step's figures.

    ``Wanted.of`` reads what a person writes: "all" steps, "steps=0,10,50-60", "nodes=conv*,fc1", or
    both with a space between them; "auto" chooses steps by itself.

    >>> Wanted.of("steps=0,5-7 nodes=conv*")
    Wanted(every=False, steps=frozenset({0, 5, 6, 7}), nodes=('conv*',))
    """

    every: bool = False
    steps: frozenset[int] | None = None
    nodes: tuple[str, ...] | None = None

    @classmethod
    def of(cls, text: str | bool | Wanted) -> Wanted | None:
        """``None`` for "none" and False.  Raises UsageError for what it can't read."""
        if isinstance(text, Wanted):
            return text
        if text is True or text == "auto":
            return cls()
        if text is False or text == "none":
            return None
        if text == "all":
            return cls(every=True)
        found: dict[str, Any] = {}
        for part in text.split():
            name, _, listed = part.partition("=")
            items = [item for item in listed.split(",") if item]
            if name not in ("steps", "nodes") or not items or name in found:
                raise _unreadable(text)
            found[name] = frozenset(_numbers(items, text)) if name == "steps" else tuple(items)
        if not found:
            raise _unreadable(text)
        return cls(**found)

    @classmethod
    def reads(cls, text: str) -> bool:
        """Whether it can be read.

        >>> Wanted.reads("all"), Wanted.reads("lenet")
        (True, False)
        """
        try:
            cls.of(text)
        except UsageError:
            return False
        return True


def _numbers(items: Sequence[str], text: str) -> Iterator[int]:
    for item in items:
        first, dash, last = item.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise _unreadable(text)
        yield from range(int(first), int(last or first) + 1)


def _unreadable(text: str) -> UsageError:
    needs = "all, none, steps=0,10,50-60 or nodes=conv*,fc1"
    return UsageError(message("record", repr(text), needs))


class Schedule:
    """Which steps are kept: asked before each, told afterwards what it took."""

    def __init__(self, wanted: Wanted, total: int | None) -> None:
        self._wanted, self._total = wanted, total
        self.stride = 1 if total is None else max(1, -(-total // (KEPT - 20)))
        self._begun, self._spent, self._free = time.perf_counter(), 0.0, 0.0
        self._step = 0  # the one that was asked for last
        self.writing = 0.0  # seconds that the writer has worked, which takes a core

    def wants(self, step: int) -> bool:
        """Whether this step is kept."""
        self._step = step
        if self._wanted.steps is not None:
            return step in self._wanted.steps
        return self._wanted.every or self.chooses(step)

    def chooses(self, step: int) -> bool:
        """Whether it would be kept if nobody had asked for steps."""
        if step < EARLY and step & (step - 1) == 0:  # 0, 1, 2, 4, 8
            return True
        if step == (self._total or 0) - 1:
            return True
        # Steps wait for the slowest core: what the writer takes of one, all of them lose.
        spent = self._spent + 2 * (self.writing - self._free)
        whole = time.perf_counter() - self._begun
        granted = GRANT * step / self._total if self._total else 0.0
        return self._is_even(step) and spent <= max(SHARE * whole, granted)

    def _is_even(self, step: int) -> bool:
        power = step & (step - 1) == 0 and step < 2 * self.stride
        return power or step % self.stride == 0

    def took(self, seconds: float) -> None:
        """Keeping a step has taken so long; the early ones, which load and compile, are free."""
        if self._step < EARLY:
            self._free = self.writing
        else:
            self._spent += seconds

    def thinned(self, kept: Mapping[int, int]) -> list[int]:
        """The steps to give up: too many of them, or (step -> bytes) too large together."""
        if self._wanted != Wanted(nodes=self._wanted.nodes):
            return []
        given_up: list[int] = []
        left = dict(kept)
        while len(left) > KEPT or sum(left.values()) > BYTES:
            self.stride *= 2
            last = max(left)
            keep = {0, last, *(s for s in left if self.stride <= last and self._is_even(s))}
            gone = left.keys() - keep
            if not gone and self.stride > last:
                break
            given_up += sorted(gone)
            for step in gone:
                del left[step]
        return given_up


class Recording(Callback):
    """Writes what the studio shows of a training to ``folder``/record.

    wanted: which steps and nodes are kept, see ``Wanted.of``.  Recording moves nothing of the
    training: the same bits come out of it.  When a file can't be written it ends with a warning,
    and the training goes on.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        wanted: str | bool | Wanted = True,
        run: Run | None = None,
    ) -> None:
        """``run``: one whose other files nobody else writes, with the figures of each epoch."""
        chosen = Wanted.of(wanted)
        if chosen is None:
            raise UsageError(message("Recording", repr(wanted), "something to keep"))
        self.folder, self.wanted, self._run = Path(folder) / "record", chosen, run
        self._writer: Writer | None = None
        self._tape: Tape | None = None
        self._before: dict[str, Any] = {}
        self._program: Traced | None = None  # whose fused values are noted
        self._ended = self._rate = 0.0  # of the step before; of the one that runs
        self._worked = 0.0  # seconds of this thread before the step

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Open the folder; choose the probe's samples."""
        self._writer = Writer(self.folder, trainer.place.step)
        self._statistics = Statistics(trainer.model)
        total = None if trainer.batches is None else trainer.batches * trainer.epochs
        self._schedule = Schedule(self.wanted, total)
        data = trainer.validation_data
        self._probe = probe_of(trainer.train_data if data is None else data, PROBE)
        self._count, self._every, self._began = 0, 1, time.perf_counter()

    def on_step_begin(self, trainer: Trainer) -> None:
        """If the step is to be kept: the probe, then a tape for the step."""
        self._began, self._worked = time.perf_counter(), time.thread_time()
        step = trainer.place.step
        wants = trainer.single or self._wants_row(step)
        trainer.statistics = self._statistics if wants and self._writer is not None else None
        self._rate = trainer.optimizer.param_groups[0]["lr"]
        if self._writer is None:
            return
        self._schedule.writing = self._writer.seconds
        if not (trainer.single or self._schedule.wants(step)):
            return
        if trainer.single or not self.wanted.every or self._schedule.chooses(step):
            self._keep_probe(trainer)
        self._before = _optimizer(trainer)
        self._tape = record(self.wanted.nodes)
        self._tape.__enter__()

    def _wants_row(self, step: int) -> bool:
        return step % self._every == 0

    def on_batch_end(self, trainer: Trainer, batch: int, batches: int | None) -> None:
        """Hand over the figures of the step, and the step itself."""
        writer, step = self._writer, trainer.place.step - 1
        if writer is None:
            return
        begun = time.perf_counter()
        if trainer.figures_of_step is not None:
            speed = trainer.samples / max(begun - self._ended, 1e-9)
            figures = trainer.figures_of_step.numpy(), (self._rate, speed)
            names = self._statistics.names, OF_TRAINING
            writer.add_row(step, trainer.place.epoch, trainer.last_loss, names, figures)
        if self._tape is None:
            program = trainer.program
            if program is not None and program is not self._program:
                self._program = program
                writer.note("fused", partial(fused_places, program))
            self._every = math.ceil(PERIOD / max(begun - self._began, 1e-6))
        else:
            tape, self._tape = self._tape, None
            tape.__exit__(None, None, None)
            self._keep_step(trainer, writer, step, tape)
            self._schedule.took(time.thread_time() - self._worked)
        if writer.failure is not None:
            self._close(trainer)
        self._ended = begun

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        """An evaluation before it is no part of its first step."""
        self._ended = time.perf_counter()

    def _keep_step(self, trainer: Trainer, writer: Writer, step: int, tape: Tape) -> None:
        numbers = samples_of(trainer.train_data)
        about = {
            "step": step,
            "epoch": trainer.place.epoch,
            "loss": trainer.last_loss,
            "samples": None if numbers is None else numbers[:BATCH],
            "optimizer": self._before,
            "after": {name: p.detach().numpy() for name, p in trainer.model.named_parameters()},
            "clipped": _clipped(trainer),
        }
        writer.keep(step, "batch", kept_step(tape, trainer.samples, BATCH) | about)
        for old in self._schedule.thinned(writer.sizes):
            writer.give_up(old)

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: dict[str, float]) -> None:
        """Keep the epoch's figures, if nobody else does."""
        if self._run is not None:
            self._run.add_figures(epoch, logs)

    def on_pause(self, trainer: Trainer) -> None:
        """Whoever lets it wait wants to see the figures up to here."""
        if self._writer is not None:
            self._writer.flush()

    def on_resume(self, trainer: Trainer) -> None:
        """The pause is no part of the next step."""
        self._ended = time.perf_counter()

    def on_fit_end(self, trainer: Trainer) -> None:
        """The probe of the trained model; then wait until all is written."""
        if self._writer is not None:
            self._keep_probe(trainer)
        self._close(trainer)

    def on_failure(self, trainer: Trainer) -> None:
        """Wait until what there is is written."""
        if self._tape is not None:
            self._tape.__exit__(KeyboardInterrupt, None, None)
            self._tape = None
        self._close(trainer)

    def _close(self, trainer: Trainer) -> None:
        writer, self._writer = self._writer, None
        trainer.statistics = None
        if writer is not None:
            writer.close()
            if writer.failure is not None:
                warnings.warn(f"The recording has ended: {writer.failure}", stacklevel=3)
        if self._run is not None:
            self._run.release()

    def _keep_probe(self, trainer: Trainer) -> None:
        if self._probe is None or self._writer is None:
            return
        step, (inputs, targets) = trainer.place.step, self._probe
        tape = probed(trainer, inputs, targets, self.wanted.nodes)
        about = {"step": step, "epoch": trainer.place.epoch, "samples": list(range(len(inputs)))}
        self._writer.keep(step, "probe", kept_step(tape, len(inputs), PROBE) | about)


def _optimizer(trainer: Trainer) -> dict[str, Any]:
    """What an update begins with beside values and gradients: options and state."""
    optimizer, found = trainer.optimizer, {}
    names = {p: name for name, p in trainer.model.named_parameters()}
    for group in optimizer.param_groups:
        options = {name: v for name, v in group.items() if name not in ("params", "param_names")}
        for p in group["params"]:
            state = optimizer.state.get(p, {})
            found[names.get(p, p.name or "?")] = {
                "options": options,
                "state": {name: _array(value) for name, value in state.items()},
            }
    return {"name": type(optimizer).__name__, "parameters": found}


def _clipped(trainer: Trainer) -> dict[str, Any]:
    """The gradients that the optimizer followed, if they were changed after the backward."""
    if trainer.clip is None:
        return {}
    named = trainer.model.named_parameters()
    return {name: _array(p.grad) for name, p in named if p.grad is not None}


def _array(value: Any) -> Any:
    return value.detach().numpy() if isinstance(value, Tensor) else value
