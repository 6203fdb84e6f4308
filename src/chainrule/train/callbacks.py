"""Callbacks: what happens around the steps of a training, without touching the loop."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from chainrule.errors import UsageError, message
from chainrule.train.checkpoint import save_checkpoint

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

__all__ = ["Callback", "EarlyStopping", "ModelCheckpoint"]


class Callback:
    """The moments of a training; a subclass writes those that it needs."""

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Before the first epoch."""

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        """Before epoch 1, 2, …"""

    def on_batch_end(self, trainer: Trainer, batch: int, batches: int | None) -> None:
        """After a step; ``batches`` is how many the epoch has, if the data tell."""

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: dict[str, float]) -> None:
        """After an epoch with its figures; setting ``trainer.stop`` ends the training."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch."""


class EarlyStopping(Callback):
    """End the training when ``monitor`` has not got better for ``patience`` epochs.

    More is better for an accuracy, less for a loss.
    """

    def __init__(self, monitor: str = "val_loss", patience: int = 5) -> None:
        self.monitor, self.patience = monitor, patience
        self._sign = 1 if "accuracy" in monitor else -1
        self._best, self._waited = float("-inf"), 0

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: dict[str, float]) -> None:
        """Compare with the best epoch so far."""
        if self.monitor not in logs:
            needs = "one of " + ", ".join(logs)
            raise UsageError(message("EarlyStopping", f"monitor = {self.monitor!r}", needs))
        value = self._sign * logs[self.monitor]
        self._waited = 0 if value > self._best else self._waited + 1
        self._best = max(self._best, value)
        trainer.stop = self._waited >= self.patience


class ModelCheckpoint(Callback):
    """Save model, optimizer and random streams after each epoch, over the checkpoint before."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: dict[str, float]) -> None:
        """Save."""
        save_checkpoint(self.path, trainer.model, trainer.optimizer, epoch=epoch)
