"""What a training should be told at its end, with evidence; a healthy one is told nothing.

Samples are taken at a few steps only, about thirty in all: gradients as they are after the step,
and the outputs of ReLUs, by a tap that computes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.storage import Hold, Recorded, recorder
from chainrule.train.callbacks import Callback
from chainrule.train.history import History

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

__all__ = ["Notices"]

SAMPLINGS = 32  # about so many steps are looked at
FEWEST = 4  # samplings before anything is said about gradients and units
FEWEST_SAMPLES = 64  # that a unit must have been 0 for
FIRST = 8  # steps whose mean loss is that of the beginning
MANY_STEPS = 100  # after which a loss should have fallen; or in four epochs of 32
FALL = 0.01  # the part of the first loss that it must fall by
GAP = 0.10  # of accuracy, between training and validation data


class Notices(Callback):
    """Fills ``history.notices``: one sentence for each thing that looks wrong."""

    def __init__(self) -> None:
        self.steps, self.first = 0, []
        self.latest: deque[float] = deque(maxlen=FIRST)
        self.zero: dict[str, list[bool]] = {}  # layer -> whether its gradients were 0
        self.units: dict[str, list[tuple[int, np.ndarray]]] = {}  # ReLU -> samples, units alive
        self._tap: _ReluTap | None = None

    # ------------------------------------------------------------ looking

    def on_step_begin(self, trainer: Trainer) -> None:
        """Tap the ReLUs of a step that is sampled."""
        if _sampled(trainer):
            self._tap = _ReluTap()
            recorder().taps.append(self._tap)

    def on_batch_end(self, trainer: Trainer, batch: int, batches: int | None) -> None:
        """Look at the step that was sampled."""
        loss = trainer.last_loss
        if len(self.first) < FIRST:
            self.first.append(loss)
        self.latest.append(loss)
        self.steps += 1
        if self._tap is None:
            return
        tap = self._tap
        self.on_failure(trainer)
        for path, module in trainer.model.named_modules():
            own = [p for p in module.parameters(recurse=False) if p.requires_grad]
            if own:
                none = not any(p.grad is not None and np.any(p.grad.numpy()) for p in own)
                self.zero.setdefault(path or type(module).__name__, []).append(none)
        for name, value in tap.outputs():
            others = tuple(axis for axis in range(value.ndim) if axis != 1)
            alive = (value != 0).any(axis=others)
            self.units.setdefault(name, []).append((len(value), alive))

    def on_failure(self, trainer: Trainer) -> None:
        """Take the tap away."""
        if self._tap is not None:
            recorder().taps[:] = [tap for tap in recorder().taps if tap is not self._tap]
            self._tap = None

    def on_fit_end(self, trainer: Trainer) -> None:
        """Say what was found."""
        found = [self._loss(trainer.history), *self._gradients(), *self._dead_units()]
        found.append(_far_above(trainer.history))
        trainer.history.notices = [notice for notice in found if notice]

    # ------------------------------------------------------------ what it says

    def _loss(self, history: History) -> str:
        if self.steps < MANY_STEPS and (self.steps < 4 * FIRST or len(history) < FEWEST):
            return ""  # too short to say
        begin, end = float(np.mean(self.first)), float(np.mean(self.latest))
        epoch, best = history.best("loss")
        by_chance = min(4 * float(np.std(self.first)) / FIRST**0.5, 0.2 * abs(begin))
        if min(best, end) < begin - max(FALL * abs(begin), by_chance):
            return ""
        steps = f"mean of the first {len(self.first)} steps {begin:.4g}"
        return f"the loss never fell: {steps}, of the best epoch ({epoch}) {best:.4g}"

    def _gradients(self) -> list[str]:
        return [
            f"{layer}: its gradients were all 0 in all {len(zero)} steps that were sampled"
            for layer, zero in self.zero.items()
            if len(zero) >= FEWEST and all(zero)
        ]

    def _dead_units(self) -> list[str]:
        found = []
        for name, seen in self.units.items():
            late = seen[len(seen) // 2 :]  # units may die, and then they stay so
            samples = sum(n for n, _ in late)
            if len(seen) < FEWEST or samples < FEWEST_SAMPLES:
                continue
            dead = ~np.any([alive for _, alive in late], axis=0)
            if 2 * dead.sum() > len(dead):
                what = f"{int(dead.sum())} of {len(dead)} units"
                found.append(f"{name}: {what} were 0 for all {samples:,} samples that were seen")
        return found

    # ------------------------------------------------------------ a place that can be kept

    def state_dict(self) -> dict[str, Any]:
        """What was seen."""
        units = {
            name: [[n, alive.tolist()] for n, alive in seen] for name, seen in self.units.items()
        }
        return {
            "steps": self.steps,
            "first": self.first,
            "latest": list(self.latest),
            "zero": self.zero,
            "units": units,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was called."""
        self.steps, self.first = state["steps"], list(state["first"])
        self.latest = deque(state["latest"], maxlen=FIRST)
        self.zero = {layer: list(zero) for layer, zero in state["zero"].items()}
        self.units = {
            name: [(n, np.array(alive, bool)) for n, alive in seen]
            for name, seen in state["units"].items()
        }


def _sampled(trainer: Trainer) -> bool:
    """Evenly over the training where its length is known, else at steps 1, 2, 4, 8, …"""
    step = trainer.place.step
    if trainer.batches is None:
        return (step + 1) & step == 0
    every = max(1, trainer.epochs * trainer.batches // SAMPLINGS)
    return step % every == 0


def _far_above(history: History) -> str:
    last = history.last
    if "accuracy" in last and "val_accuracy" in last:
        gap = last["accuracy"] - last["val_accuracy"]
        if gap <= GAP:
            return ""
        train, other = f"{last['accuracy']:.1%}", f"{last['val_accuracy']:.1%}"
        text = f"training is far above validation: accuracy {train} against {other}"
    elif "val_loss" in last:
        epoch, best = history.best("val_loss")
        if not (last["val_loss"] > 1.5 * best > 0 and last["val_loss"] > 2 * last["loss"]):
            return ""
        text = (
            f"the validation loss rose from {best:.4g} in epoch {epoch} to {last['val_loss']:.4g}"
        )
        text += f", while that of training is {last['loss']:.4g}"
    else:
        return ""
    return text.replace("%", " %") + ": more data, augmentation or regularisation"


class _ReluTap:
    """A tap, as those of ``cr.record()``, that keeps the outputs of ReLUs for one step."""

    def __init__(self) -> None:
        self._held: list[tuple[str, Hold]] = []

    def saw(self, node: Recorded) -> None:
        """A node was recorded."""
        if node.op.name == "relu" and len(node.shape) >= 2 and not node.recorder.undisturbed:
            name = node.scope
            if node.inputs and name.rpartition("/")[2] == "relu":  # the function, not the layer
                before = node.inputs[0].scope.rpartition("/")[0]  # conv1/Conv2d -> conv1
                name = f"ReLU after {before}" if before else name
            self._held.append((name or "relu", Hold(node)))

    def outputs(self) -> list[tuple[str, np.ndarray]]:
        """Names and values of the ReLUs, numbered where a name comes again."""
        times: dict[str, int] = {}
        found = []
        for name, hold in self._held:
            times[name] = times.get(name, 0) + 1
            label = name if times[name] == 1 else f"{name} (call {times[name]})"
            if hold.node.value is not None:
                found.append((label, hold.node.value))
        return found

    def saw_name(self, node: Recorded) -> None:
        """A tensor was given a name."""

    def saw_call(self, path: str, output: Any) -> None:
        """A module has returned."""

    def saw_backward(self, signals: Any) -> None:
        """A backward pass has been recorded."""

    def saw_step(self) -> None:
        """A step has ended."""
