"""One training of a recipe into a run's folder: begun, kept on the way, resumed, finished.

Nothing is printed here; callbacks do that.  Whatever happens to the process, the folder holds a
whole checkpoint of some step, and going on from it gives the bits of a training that was never
interrupted.
"""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import chainrule
from chainrule import models, random
from chainrule.data import TensorDataset
from chainrule.errors import UsageError, message
from chainrule.train.callbacks import Callback, keep
from chainrule.train.control import Control
from chainrule.train.progress import kept_epochs
from chainrule.train.record import Recording, Wanted
from chainrule.train.runs import Run
from chainrule.train.trainer import Trainer

__all__ = ["Choices", "Session"]

SECONDS = 60.0  # between two checkpoints in the middle of an epoch
PAUSE = 1.0  # seconds at least between those of short epochs


@dataclass(frozen=True)
class Choices:
    """What a person chooses about a training, beside the recipe."""

    system: str
    data: str
    seed: int = 0
    data_dir: str | None = None
    workers: int = 0
    nan: str = "stop"
    every: int | None = None  # steps between two checkpoints, instead of SECONDS
    record: str | None = None  # what the studio shows of it, see ``record.Wanted``


class Session(Callback):
    """A training in a folder.  ``begin`` makes a new folder, ``resume`` goes on in one.

    recipe: its model, data, loss, optimizer and how long (``systems.Recipe``).
    """

    def __init__(self, recipe: Any, choices: Choices) -> None:
        self.recipe, self.choices = recipe, choices
        random.manual_seed(choices.seed)
        self.parts = recipe.parts(choices.data_dir)
        self.parts.train.num_workers = choices.workers
        self.model = models.build(recipe.model, **recipe.config)
        self.optimizer = recipe.optimizer(self.model.parameters(), lr=recipe.lr)
        self.run: Run
        self.trainer: Trainer
        self.notes: list[str] = []  # what differs from the process that began the run
        self.control: Control  # from the studio, and Ctrl-C: both end it after a step
        self._kept_at = time.monotonic()

    @classmethod
    def begin(cls, recipe: Any, choices: Choices, out: str | None = None) -> Session:
        """A new run, in ``out`` or the next folder of the system's name."""
        session = cls(recipe, choices)
        session.run = Run.create(choices.system, session._config(), out)
        return session

    @classmethod
    def resume(cls, run: Run, recipe: Any, epochs: int | None = None, **new: Any) -> Session:
        """Go on with a run; epochs: more of them than it was begun with.

        ``new`` replaces choices that don't decide figures: data_dir, workers, every.
        Raises UsageError if another process trains in its folder.
        """
        run.claim()
        run.figures()  # those of another release are told now, not after an epoch
        config = run.config
        own = {name: config[name] for name in ("epochs", "lr", "batch_size")}
        recipe = replace(recipe, **own | ({"epochs": epochs} if epochs else {}))
        known = ("system", "data", "seed", "data_dir", "workers", "nan", "every", "record")
        choices = {name: config[name] for name in known if name in config}
        session = cls(recipe, Choices(**(choices | new)))
        session.run = run
        session.notes = _drift(config, session._config())
        if recipe.epochs < config["epochs"]:
            got = f"--epochs {recipe.epochs}, of a run of {config['epochs']}"
            raise UsageError(message("train", got, "as many or more"))
        if recipe.epochs > config["epochs"]:
            unfinished = {name: value for name, value in config.items() if name != "result"}
            run.write_config(unfinished | {"epochs": recipe.epochs})
        return session

    def _config(self) -> dict[str, Any]:
        recipe, choices = self.recipe, self.choices
        return {
            "system": choices.system,
            "model": {"name": recipe.model, "config": recipe.config},
            "data": choices.data,
            "data_dir": choices.data_dir,
            "transforms": recipe.transforms.spec(),
            "loss": type(recipe.loss).__name__,
            "optimizer": type(self.optimizer).__name__,
            "schedule": getattr(recipe.schedule, "__name__", None),
            "lr": recipe.lr,
            "epochs": recipe.epochs,
            "batch_size": recipe.batch_size,
            "seed": choices.seed,
            "workers": choices.workers,
            "nan": choices.nan,
            "every": choices.every,
            "record": choices.record,
            "versions": {"chainrule": chainrule.__version__, "numpy": np.__version__},
            "samples": _fingerprint(self.parts),
        }

    # ------------------------------------------------------------ training

    @property
    def finished(self) -> bool:
        """Whether all epochs that were asked for are behind."""
        if not self.run.checkpoint.exists():
            return False
        place = self.run.read_checkpoint()["training"]["place"]
        stopped = place["stopped"] and self.recipe.epochs <= place["epochs"]
        return place["epoch"] >= self.recipe.epochs or stopped

    def fit(self, callbacks: Sequence[Callback] = ()) -> Trainer:
        """Train to the end; Ctrl-C ends it after the step, with a checkpoint, twice at once."""
        recipe, self.control = self.recipe, Control(self.run.folder)
        self.trainer = Trainer(
            self.model,
            recipe.loss,
            self.optimizer,
            metrics=recipe.metrics,
            # A step is wholly recorded before anybody waits after it, or ends there.
            callbacks=[*callbacks, *self._recording(), self.control, self],
            schedule=recipe.schedule,
            nan=self.choices.nan,
        )
        with self._interruptible():
            self.trainer.fit(
                self.parts.train,
                epochs=recipe.epochs,
                validation_data=self.parts.validation,
                resume_from=self.run.checkpoint if self.run.checkpoint.exists() else None,
                verbose=False,
            )
        return self.trainer

    def _recording(self) -> list[Recording]:
        wanted = Wanted.of(self.choices.record or False)
        return [] if wanted is None else [Recording(self.run.folder, wanted)]

    def on_pause(self, trainer: Trainer) -> None:
        """Keep the place: whatever happens to a training that waits, it goes on from here."""
        self.keep()

    def on_batch_end(self, trainer: Trainer, batch: int, batches: int | None) -> None:
        """Keep a place in the middle of an epoch now and then."""
        every, since = self.choices.every, time.monotonic() - self._kept_at
        wanted = since >= SECONDS if every is None else trainer.place.step % every == 0
        if wanted or self.control.ended:
            self.keep()
        if self.control.ended:
            raise KeyboardInterrupt

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: dict[str, float]) -> None:
        """Keep the figures; a checkpoint too, unless there was one a moment ago."""
        self.run.add_figures(epoch, logs)
        kept = kept_epochs(epoch, trainer.epochs) or trainer.stop or self.control.ended
        if kept or time.monotonic() - self._kept_at > PAUSE:
            self.keep()
        if self.control.ended:
            raise KeyboardInterrupt

    def keep(self) -> None:
        """Save a checkpoint of where the training stands."""
        recipe, choices = self.recipe, self.choices
        keep(
            self.run.checkpoint,
            self.trainer,
            name=recipe.model,
            config=recipe.config,
            data=choices.data,
            transforms=recipe.transforms.spec(),
            seed=choices.seed,
        )
        self._kept_at = time.monotonic()

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """The first Ctrl-C waits for the step that runs; it is caught in the main thread alone."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def first(number: int, frame: Any) -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # the second ends at once
            if self.trainer.evaluating:  # no step runs
                raise KeyboardInterrupt
            self.control.ended = True

        before = signal.signal(signal.SIGINT, first)
        try:
            yield
        except KeyboardInterrupt:
            if self.trainer.place.batch == self.trainer.batches:  # while it was evaluated
                self.keep()
            raise
        finally:
            signal.signal(signal.SIGINT, before)

    def finish(self, result: dict[str, Any]) -> None:
        """Keep what came of it, and let go of the folder."""
        self.run.write_config(self.run.config | {"result": result})
        self.run.release()


def _fingerprint(parts: Any) -> dict[str, Any]:
    """How many samples each part has, and a checksum of those that are arrays."""
    found = {}
    for name in ("train", "validation", "test"):
        loader = getattr(parts, name)
        if loader is None:
            continue
        digest = hashlib.blake2b(digest_size=8)
        if isinstance(loader.dataset, TensorDataset):
            for array in loader.dataset.arrays:
                digest.update(f"{array.dtype}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
        found[name] = f"{len(loader.dataset)} {digest.hexdigest()}"
    return found


def _drift(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs from the beginning of the run, in sentences."""
    notes = []
    for library, version in before.get("versions", {}).items():
        if now["versions"].get(library) != version:
            news = f"now {now['versions'].get(library)}: the bits may differ"
            notes.append(f"the run began with {library} {version}, {news}")
    for part, samples in before.get("samples", {}).items():
        if now["samples"].get(part) != samples:
            counts = f"{samples.split()[0]} samples then"
            notes.append(f"the {part} data are not those the run began with ({counts})")
    parts = ("model", "transforms", "loss", "optimizer", "schedule")
    changed = [name for name in parts if before.get(name) != now[name]]
    return notes + [f"the recipe's {name} has changed since the run began" for name in changed]
