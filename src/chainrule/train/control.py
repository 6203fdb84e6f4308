"""A training that listens: pause, one step at a time, go on, another learning rate, stop.

    control/            commands that wait, one file each, in the order of their names
    place.json          what the training process says of itself, twice a second
    rates.json          the changes of the learning rate: from which step on, and to what

Whoever may write into a run's folder may steer its training; nothing is opened and nobody is asked
in between.  The training looks for commands twenty times a second, between two steps.  A command
names the session that it is meant for, a word that each training process draws anew and tells in
``place.json``: what was meant for a process that has ended is not obeyed by the next one.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.errors import DataError, UsageError, message
from chainrule.files import write_atomically
from chainrule.train.callbacks import Callback

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

__all__ = ["COMMANDS", "Control", "RateChange", "ask", "rate_changes", "read_place"]

COMMANDS = ("pause", "step", "resume", "rate", "stop")
LOOK = 0.05  # seconds between two looks for commands
WAIT = 0.05  # seconds between two looks of a training that is paused
TELL = 0.5  # seconds between two writes of place.json
LARGEST = 10_000  # bytes of a command that are read


@dataclass(frozen=True)
class RateChange:
    """From step ``step`` on, the groups of the optimizer have these rates, before a schedule."""

    step: int
    rates: list[float]
    before: list[float]
    at: str  # a moment, ISO 8601


class Control(Callback):
    """Obeys the commands in a run's folder, and says there where the training stands.

    ``ended`` is set by the command "stop"; who has the training keeps a checkpoint and ends it.
    Set from outside, by Ctrl-C for instance, it ends a pause as well.  A change of the learning
    rate is written down before it acts; a training that is resumed at an earlier step comes to it
    again at the same step, and so to the same bits.
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = Path(folder)
        self.session = secrets.token_hex(8)
        self.ended = self.paused = False
        self._steps = 0  # single ones that are still to be made
        self._changes: list[RateChange] = []
        self._next: int | None = None  # the step at which a known change acts again
        self._look_at = self._told_at = 0.0
        self._said = ""
        self._samples, self._speed = 0, 0.0
        self._began = self._since = 0.0  # of the session; of the samples that are counted
        self._first = 0  # the step at which the session began

    # ------------------------------------------------------------ the moments of a training

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Forget what nobody waits for any more; read which changes are still to come."""
        (self.folder / "control").mkdir(exist_ok=True)
        for command in _waiting(self.folder):
            command.unlink(missing_ok=True)
        self._changes = rate_changes(self.folder)
        self._began = self._since = time.monotonic()
        self._first = trainer.place.step
        self._repeat_changes(trainer)
        self._tell(trainer)

    def on_batch_end(self, trainer: Trainer, batch: int, batches: int | None) -> None:
        """Look for commands now and then; wait here while the training is paused."""
        self._samples += trainer.samples
        if trainer.place.step == self._next:
            self._repeat_changes(trainer)
        now = time.monotonic()
        if now < self._look_at and not self.paused:
            return
        trainer.single = False
        self._look(trainer, now)
        if self.paused:
            self._wait(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        """The last place."""
        self._tell(trainer, "ended")

    def on_failure(self, trainer: Trainer) -> None:
        """The last place, if the disk lets us."""
        with contextlib.suppress(DataError):
            self._tell(trainer, "ended")

    # ------------------------------------------------------------ commands

    def _look(self, trainer: Trainer, now: float) -> None:
        self._look_at = now + LOOK
        news = [self._obey(trainer, command) for command in _waiting(self.folder)]
        if any(news) or now - self._told_at >= TELL:
            self._tell(trainer)

    def _obey(self, trainer: Trainer, path: Path) -> bool:
        """Read a command, remove it, and do it if it is meant for us."""
        try:
            with path.open("rb") as file:
                command = json.loads(file.read(LARGEST))
        except (OSError, ValueError, RecursionError):
            command = None
        path.unlink(missing_ok=True)
        if not isinstance(command, dict) or command.get("session") != self.session:
            return False
        do = command.get("do")
        if do == "pause":
            self.paused, self._steps = True, 0
        elif do == "step":
            self._steps += self.paused  # of a training that runs, it is the pause
            self.paused = True
        elif do == "resume":
            self.paused, self._steps = False, 0
        elif do == "stop":
            self.ended = True
        elif do == "rate" and is_rate(command.get("rate")):
            self._change_rate(trainer, float(command["rate"]))
        else:
            self._said = f"The command {do!r} is none that this training knows."
        return True

    def _wait(self, trainer: Trainer) -> None:
        """Wait for the next step, or for the end of the pause.  Costs twenty looks a second."""
        if not self._steps and not self.ended:
            trainer._tell("on_pause")
            begun = time.monotonic()
            self._tell(trainer)
            while self.paused and not self._steps and not self.ended:
                time.sleep(WAIT)
                self._look(trainer, time.monotonic())
            waited = time.monotonic() - begun
            trainer.waited(waited)
            self._began, self._since = self._began + waited, time.monotonic()
            self._samples = 0
            trainer._tell("on_resume")
        if self._steps:
            self._steps -= 1
            trainer.single = True
        self._tell(trainer)

    # ------------------------------------------------------------ the learning rate

    def _change_rate(self, trainer: Trainer, rate: float) -> None:
        """The first group gets ``rate``, the others keep their proportion to it."""
        before, step = list(trainer.place.rates), trainer.place.step
        rates = [rate, *(rate * (other / before[0]) for other in before[1:])]
        change = RateChange(step, rates, before, datetime.now(UTC).isoformat())
        # Changes of later steps were made in a future that is given up by this one.
        changes = [known for known in self._changes if known.step <= step] + [change]
        text = json.dumps([asdict(known) for known in changes], indent=1)
        try:
            write_atomically(self.folder / "rates.json", text.encode(), "control")
        except DataError as error:
            self._said = f"The learning rate stays: {error}"
            return
        self._changes, self._said = changes, ""
        self._apply(trainer, change)
        self._next = None

    def _repeat_changes(self, trainer: Trainer) -> None:
        """Make the changes of this step again, and find the next one that is to come."""
        step = trainer.place.step
        for change in self._changes:
            if change.step == step:
                self._apply(trainer, change)
        self._next = min((c.step for c in self._changes if c.step > step), default=None)

    @staticmethod
    def _apply(trainer: Trainer, change: RateChange) -> None:
        groups = trainer.optimizer.param_groups
        if len(groups) != len(change.rates):
            return  # of another recipe, which the session has said
        trainer.place.rates = list(change.rates)
        for group, rate in zip(groups, change.rates, strict=True):
            group["lr"] = rate  # a schedule over the training sets it anew before each step

    # ------------------------------------------------------------ what it says

    def _tell(self, trainer: Trainer, state: str = "") -> None:
        """Write place.json, not waiting for the disk: the next one comes soon."""
        now, place = time.monotonic(), trainer.place
        if now - self._since >= TELL:
            self._speed, self._samples = self._samples / (now - self._since), 0
            self._since = now
        self._told_at, steps = now, place.step - self._first
        total = None if trainer.batches is None else trainer.batches * trainer.epochs
        left = None if total is None or not steps else (total - place.step) / steps
        found = {
            "session": self.session,
            "process": os.getpid(),
            "state": state or ("paused" if self.paused and not self.ended else "running"),
            "step": place.step,
            "steps": total,
            "epoch": place.epoch,
            "batch": place.batch,
            "batches": trainer.batches,
            "rate": float(trainer.optimizer.param_groups[0]["lr"]),
            "base_rate": float(place.rates[0]),
            "speed": self._speed,  # samples a second
            "left": None if left is None else left * (now - self._began),  # seconds
            "said": self._said,
        }
        text = json.dumps(found).encode()
        write_atomically(self.folder / "place.json", text, "control", durable=False)


def is_rate(value: Any) -> bool:
    """Whether a value can be a learning rate: a number above 0 that is finite.

    >>> is_rate(0.05), is_rate(0), is_rate(float("inf")), is_rate(True), is_rate("0.1")
    (True, False, False, False, False)
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value <= sys.float_info.max


# ---------------------------------------------------------------- the other side


def read_place(folder: str | PathLike[str]) -> dict[str, Any] | None:
    """What a training said last of itself; None if it never did, or nothing that can be read.

    It may have ended since: ``process`` is the number of its process.
    """
    types = {"session": str, "process": int, "state": str, "step": int}
    try:
        found = json.loads((Path(folder) / "place.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    whole = isinstance(found, dict) and all(isinstance(found.get(k), t) for k, t in types.items())
    return found if whole else None


def ask(folder: str | PathLike[str], session: str, do: str, rate: float | None = None) -> None:
    """Leave a command for the training whose ``place.json`` names this session.

    do: "pause", "step" (one, then pause), "resume", "stop" (after the step, with a checkpoint), or
    "rate" with a number above 0: the learning rate of the next step, before a schedule.
    Raises UsageError for another command or rate, DataError if it can't be written.

    >>> ask("runs/xor-001", "a", "jump")
    Traceback (most recent call last):
    chainrule.errors.UsageError: [control] got 'jump', needs pause, step, resume, rate or stop.
    """
    if do not in COMMANDS:
        needs = f"{', '.join(COMMANDS[:-1])} or {COMMANDS[-1]}"
        raise UsageError(message("control", repr(do), needs))
    if do == "rate" and not is_rate(rate):
        raise UsageError(message("control", f"the learning rate {rate}", "a number above 0"))
    command: Mapping[str, Any] = {"session": session, "do": do, "rate": rate}
    # In the order of time; two studios at once never take each other's name.
    name = f"{time.time_ns():020}-{secrets.token_hex(4)}.json"
    path = Path(folder) / "control" / name
    write_atomically(path, json.dumps(command).encode(), "control", durable=False)


def rate_changes(folder: str | PathLike[str]) -> list[RateChange]:
    """The changes of a run's learning rate, in the order of their steps; none in most runs.

    Raises DataError if their file is damaged: without it a training would go on to other bits.
    """
    path = Path(folder) / "rates.json"
    try:
        found = [RateChange(**change) for change in json.loads(path.read_bytes())]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, RecursionError) as error:
        got, needs = f"{path}, which is damaged", "the changes of the learning rate"
        remedy = "Without the file the training goes on with the rates of its checkpoint"
        raise DataError(message("control", got, needs, remedy=remedy)) from error
    if not all(isinstance(c.step, int) and c.rates and all(map(is_rate, c.rates)) for c in found):
        got, needs = f"{path}, which is damaged", "steps and rates above 0"
        raise DataError(message("control", got, needs))
    return sorted(found, key=lambda change: change.step)


def _waiting(folder: Path) -> list[Path]:
    """The commands that wait, the first one first."""
    try:
        found = sorted((folder / "control").iterdir())
    except OSError:  # somebody took the folder away: then nobody commands
        return []
    return [path for path in found if path.suffix == ".json"]
