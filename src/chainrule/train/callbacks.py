"""Callbacks: what happens around the steps of a training, without touching the loop."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.errors import DataError, UsageError, message
from chainrule.recording import no_grad
from chainrule.tensor import Tensor
from chainrule.train.checkpoint import save_checkpoint
from chainrule.train.history import monitored, sign_of

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "LearningRateMonitor",
    "ModelCheckpoint",
    "TensorBoard",
]


class Callback:
    """The moments of a training; a subclass writes those that it needs.

    They are told in the order in which they were given to the Trainer.
    """

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Before the first epoch, or before the training goes on."""

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        """Before epoch 1, 2, …"""

    def on_step_begin(self, trainer: Trainer) -> None:
        """Before a step; ``trainer.place.step`` is its number, from 0."""

    def on_batch_end(self, trainer: Trainer, batch: int, batches: int | None) -> None:
        """After a step; ``batches`` is how many the epoch has, if the data tell."""

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: dict[str, float]) -> None:
        """After an epoch with its figures; setting ``trainer.stop`` ends the training."""

    def on_pause(self, trainer: Trainer) -> None:
        """A person lets the training wait, between two steps: what is behind is written now."""

    def on_resume(self, trainer: Trainer) -> None:
        """It goes on, if only for one step."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch."""

    def on_failure(self, trainer: Trainer) -> None:
        """After an error or Ctrl-C, which is raised again."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it: numbers, texts and tensors."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was called."""


class EarlyStopping(Callback):
    """End the training when ``monitor`` has not got better for ``patience`` epochs.

    Better by more than ``min_delta``; mode: "min", "max", or "auto": more is better for an
    accuracy, less for a loss.  ``restore_best``: the model ends with the weights of its best epoch.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = False,
    ) -> None:
        if patience < 1:
            raise UsageError(message("EarlyStopping", f"patience = {patience}", "at least 1"))
        self.monitor, self.patience = monitor, patience
        self.min_delta, self.restore_best = min_delta, restore_best
        self._sign = sign_of(monitor, mode, "EarlyStopping")
        self._begin()

    def _begin(self) -> None:
        self.best, self.best_epoch, self.waited = float("-inf"), 0, 0
        self._weights: dict[str, Tensor] | None = None

    def on_fit_begin(self, trainer: Trainer) -> None:
        """A new training is compared with itself alone."""
        if not trainer.place.step:
            self._begin()

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: dict[str, float]) -> None:
        """Compare with the best epoch so far."""
        value = self._sign * monitored(logs, self.monitor, "EarlyStopping")
        if value > self.best + self.min_delta:
            self.best, self.best_epoch, self.waited = value, epoch, 0
            if self.restore_best:
                with no_grad():  # tensors of their own on the same numbers: nothing is copied
                    state = trainer.model.state_dict()
                    self._weights = {name: Tensor._of(x._node) for name, x in state.items()}
        else:
            self.waited += 1
        trainer.stop |= self.waited >= self.patience

    def on_fit_end(self, trainer: Trainer) -> None:
        """Return to the best weights, if that was asked for."""
        if self._weights is not None:
            trainer.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """The best epoch so far."""
        names = ("best", "best_epoch", "waited", "_weights")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was called."""
        vars(self).update(state)


class ModelCheckpoint(Callback):
    """Save a checkpoint after each epoch, atomically; ``fit(resume_from=path)`` goes on there.

    path: over the checkpoint before, unless it has ``{epoch}`` or a figure's name in it, such as
    ``best-{epoch:03}-{val_loss:.3f}.safetensors``.  ``save_best_only``: only where ``monitor`` is
    better than before.  every: also in the middle of an epoch, after so many steps.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        monitor: str = "val_loss",
        save_best_only: bool = False,
        mode: str = "auto",
        *,
        every: int | None = None,
    ) -> None:
        if every is not None and every < 1:
            raise UsageError(message("ModelCheckpoint", f"every = {every}", "at least 1 step"))
        self.path, self.monitor, self.every = Path(path), monitor, every
        self.save_best_only, self.best = save_best_only, float("-inf")
        self._sign = sign_of(monitor, mode, "ModelCheckpoint")
        self.last: Path | None = None  # the file that was written last

    def on_fit_begin(self, trainer: Trainer) -> None:
        """A new training is compared with itself alone."""
        if not trainer.place.step:
            self.best = float("-inf")

    def on_batch_end(self, trainer: Trainer, batch: int, batches: int | None) -> None:
        """Save in the middle of an epoch, if that was asked for."""
        if self.every is not None and trainer.place.step % self.every == 0:
            self._save(trainer, trainer.place.epoch + 1, trainer.history.last)

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: dict[str, float]) -> None:
        """Save, if it is wanted."""
        if self.save_best_only:
            value = self._sign * monitored(logs, self.monitor, "ModelCheckpoint")
            if not value > self.best:
                return
            self.best = value
        self._save(trainer, epoch, logs)

    def _save(self, trainer: Trainer, epoch: int, logs: dict[str, float]) -> None:
        try:
            self.last = Path(str(self.path).format(epoch=epoch, **logs))
        except (KeyError, IndexError, ValueError) as error:
            got, needs = f"path = {self.path}", "{epoch} or one of " + ", ".join(logs)
            raise UsageError(message("ModelCheckpoint", got, needs)) from error
        keep(self.last, trainer)

    def state_dict(self) -> dict[str, Any]:
        """The best figure so far."""
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was called."""
        self.best = state["best"]


def keep(path: str | PathLike[str], trainer: Trainer, **more: Any) -> None:
    """Save all that ``trainer`` needs to go on here, atomically."""
    place = trainer.place
    training = trainer.state_dict()
    more = {"epoch": place.epoch, "step": place.step, "training": training} | more
    save_checkpoint(path, trainer.model, trainer.optimizer, **more)


class CSVLogger(Callback):
    """Write the figures of each epoch as a row of a table.  A file that is there is not touched.

    ``append``: go on with a table that is there, as a resumed training does.
    """

    def __init__(self, path: str | PathLike[str], append: bool = False) -> None:
        self.path, self.append = Path(path), append
        self._names: list[str] | None = None

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Begin a table, or keep the rows of a resumed training that came before."""
        self._names = None
        if not self.path.exists():
            return
        if not (self.append or trainer.place.step):
            got, remedy = f"{self.path}, which exists", "append=True goes on with it"
            raise UsageError(message("CSVLogger", got, "a new file's name", remedy=remedy))
        with self.path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        if not rows or rows[0][0] != "epoch":
            raise DataError(message("CSVLogger", str(self.path), "a table that CSVLogger wrote"))
        self._names = rows[0][1:]
        if trainer.place.step:  # rows after the checkpoint are written again
            kept = [row for row in rows[1:] if row and int(row[0]) <= trainer.place.epoch]
            with self.path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows([rows[0], *kept])

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: dict[str, float]) -> None:
        """Add a row."""
        new = self._names is None
        names = self._names = self._names or list(logs)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            if new:
                table.writerow(["epoch", *names])
            table.writerow([epoch, *(logs.get(name, "") for name in names)])


class LearningRateMonitor(Callback):
    """Put the learning rate of an epoch's last step among its figures: "lr", "lr_1", …"""

    def __init__(self) -> None:
        self._rates: list[float] = []

    def on_step_begin(self, trainer: Trainer) -> None:
        """Remember the rates that are used."""
        self._rates = [group["lr"] for group in trainer.optimizer.param_groups]

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: dict[str, float]) -> None:
        """Add them."""
        logs |= {f"lr_{k}" if k else "lr": float(rate) for k, rate in enumerate(self._rates)}

    def state_dict(self) -> dict[str, Any]:
        """The rates of the last step."""
        return {"_rates": self._rates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was called."""
        self._rates = list(state["_rates"])


class TensorBoard(Callback):
    """Write the figures of each epoch for TensorBoard.

    Needs ``pip install chainrule[tensorboard]``.  log_dir: the folder of the event files;
    ``tensorboard --logdir FOLDER`` shows them.
    """

    def __init__(self, log_dir: str | PathLike[str] = "tensorboard") -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            got, remedy = "no tensorboardX", "pip install chainrule[tensorboard]"
            raise UsageError(message("TensorBoard", got, "that library", remedy=remedy)) from error
        self.log_dir, self._make, self._writer = Path(log_dir), SummaryWriter, None

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Open a file."""
        self._writer = self._make(str(self.log_dir), purge_step=trainer.place.epoch + 1)

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: dict[str, float]) -> None:
        """Write the figures; those of validation stand beside those of training."""
        assert self._writer is not None
        for name, value in logs.items():
            part = "validation" if name.startswith("val_") else "training"
            self._writer.add_scalar(f"{name.removeprefix('val_')}/{part}", value, epoch)
        self._writer.flush()

    def on_fit_end(self, trainer: Trainer) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
