"""What a training prints: a live bar on a terminal, one line per epoch everywhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from chainrule.train.callbacks import Callback

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

__all__ = ["FEW_EPOCHS", "Progress", "epoch_line", "kept_epochs"]

FEW_EPOCHS = 40  # up to here each epoch has its line, of more epochs each tenth


class Progress(Callback):
    """Prints the figures of each epoch, each tenth of many, and the notices at the end.

    bar: a live bar while an epoch runs; by default on a terminal that can draw it.  It is rich's,
    loaded here; it obeys NO_COLOR.  say: what prints a line, (line, console of the bar or None).
    """

    def __init__(
        self, bar: bool | None = None, say: Callable[[str, Any], None] | None = None
    ) -> None:
        self._bar, self._say, self._live = bar, say or _print, None

    @property
    def console(self) -> Any:
        """The console of the live bar, to print above it; None without."""
        return None if self._live is None else self._live.console

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Make the bar."""
        if self._bar is False or (self._bar is None and not _can_draw()):
            return
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Live

        console = Console(highlight=False, soft_wrap=True, emoji=False, markup=False)
        columns = (TextColumn("{task.description}"), BarColumn(40))
        self._live = Live(*columns, console=console, transient=True)
        self._task = self._live.add_task("", total=1, visible=False)
        self._live.start()

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        """Start the bar again, unless the epochs are many and pass too quickly for one."""
        if self._live is not None and trainer.epochs <= FEW_EPOCHS:
            name = _epoch_of(epoch, trainer.epochs)
            self._live.reset(self._task, description=name, total=1, visible=True)

    def on_batch_end(self, trainer: Trainer, batch: int, batches: int | None) -> None:
        """Move the bar."""
        if self._live is not None and batches:
            self._live.update(self._task, completed=batch / batches)

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: dict[str, float]) -> None:
        """Print the line of an epoch."""
        if kept_epochs(epoch, trainer.epochs) or trainer.stop:
            self._say(epoch_line(epoch, trainer.epochs, logs), self.console)

    def on_pause(self, trainer: Trainer) -> None:
        """Say why nothing moves."""
        self._say(f"paused after step {trainer.place.step:,}, by the studio", self.console)

    def on_resume(self, trainer: Trainer) -> None:
        """Say that it goes on."""
        self._say("goes on", self.console)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Take the bar away and print what was noticed."""
        self.close()
        for notice in trainer.history.notices:
            self._say(f"notice: {notice}", None)

    def on_failure(self, trainer: Trainer) -> None:
        """Take the bar away."""
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def kept_epochs(epoch: int, epochs: int) -> bool:
    """Whether an epoch has its own line and checkpoint."""
    step = 1 if epochs <= FEW_EPOCHS else epochs // 10
    return epoch % step == 0 or epoch == epochs


def epoch_line(epoch: int, epochs: int, logs: dict[str, float]) -> str:
    """``epoch  3/30  loss 0.214  train  93.4 %  validation  95.0 %  1.1 s``

    >>> epoch_line(3, 30, {"loss": 0.214, "accuracy": 0.934, "seconds": 1.1})
    'epoch  3/30  loss 0.214  train  93.4 %  1.1 s'
    >>> epoch_line(3, 30, {"loss": 0.214, "val_loss": 0.25, "seconds": 1.1})
    'epoch  3/30  loss 0.214  validation 0.250  1.1 s'
    >>> epoch_line(3, 3, {"loss": 0.2, "binary_accuracy": 0.9, "val_loss": 0.3, "seconds": 1.1})
    'epoch 3/3  loss 0.200  train  90.0 %  1.1 s'
    """
    line = f"{_epoch_of(epoch, epochs)}  loss {_short(logs['loss'])}"
    own = next((name for name in ("accuracy", "binary_accuracy") if name in logs), "")
    if not own and "val_loss" in logs:
        line += f"  validation {_short(logs['val_loss'])}"
    for name, value in logs.items():
        if own and name in (own, f"val_{own}"):
            what = "train" if name == own else "validation"
            line += f"  {what} {value:6.1%}".replace("%", " %")
        elif not name.startswith(("val_", "loss", "seconds")):
            line += f"  {name} {_short(value)}"
    return line + f"  {logs['seconds']:.1f} s"


def _short(value: float) -> str:
    return f"{value:.3f}" if 0.01 <= abs(value) < 1e4 or value == 0 else f"{value:.0e}"


def _epoch_of(epoch: int, epochs: int) -> str:
    return f"epoch {epoch:{len(str(epochs))}}/{epochs}"


def _can_draw() -> bool:
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
    return sys.stdout.isatty() and encoding.startswith("utf")


def _print(line: str, console: Any) -> None:
    if console is None:
        print(line, flush=True)
    else:
        console.print(line)
