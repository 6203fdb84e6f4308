"""A training that meets a number that is not finite: back, the step again, and where it arose.

Before each step the arrays of parameters, buffers and optimizer are held, which copies nothing.
When the step's program has run, its loss and all that it wrote are looked at, before anybody else
sees them: a gradient that is not finite makes a parameter that is not, and one whose square
overflows a moment of Adam's that would stop its parameter for ever.  Then all returns to what is
held, the random streams too, and the step is repeated with every value watched: the same bits, so
the same NaN.  All returns once more, and the training ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule import random
from chainrule.anomaly import Watch, detect_anomaly
from chainrule.errors import NonFiniteError, message
from chainrule.optim.optimizer import counted
from chainrule.recording import no_grad
from chainrule.storage import Hold
from chainrule.tape import record
from chainrule.tensor import Tensor
from chainrule.train.batches import samples_of

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

__all__ = ["MODES", "guarded", "health_of"]

MODES = ("stop", "strict", "ignore")


def guarded(trainer: Trainer, inputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
    """``trainer.step(inputs, targets)``; raises NonFiniteError as ``trainer.nan`` wants it."""
    if trainer.nan == "ignore":
        return trainer.step(inputs, targets)
    held = _Held(trainer)
    if trainer.nan == "strict":
        watch = detect_anomaly()
        try:
            with watch:
                return trainer.step(inputs, targets)
        except NonFiniteError:
            held.put_back()
            raise _error(trainer, watch.first, inputs) from None
    loss, outputs = trainer.step(inputs, targets)
    if np.isfinite(loss.item()) and held.healthy():
        return loss, outputs
    held.put_back()
    watch = Watch(follow=True)
    with record() as tape, watch:
        culprits = _repeated(trainer, held, inputs, targets)
    held.put_back()
    error = _error(trainer, watch.origin(culprits), inputs)
    error.tape = tape
    raise error


def health_of(optimizer: Any) -> Tensor | None:
    """Σ 0·x over all parameters and state of an optimizer: 0 if all are finite, else NaN.

    Part of the step's own program, which has the numbers at hand.
    """
    listed = [p for group in optimizer.param_groups for p in group["params"]]
    states = [x for p in listed for x in optimizer.state.get(p, {}).values()]
    total = None
    with no_grad():
        for x in (*listed, *states):
            if isinstance(x, Tensor) and x.is_floating_point():
                part = (x.detach() * 0).sum()
                total = part if total is None else total + part
    return total


def _finite(array: np.ndarray) -> bool:
    """Whether all numbers are; one sum, which makes no array, is enough for most."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())


def _repeated(trainer: Trainer, held: _Held, inputs: Any, targets: Any) -> list[Any]:
    """The step again; the nodes of its loss, or of what else is not finite."""
    loss, _ = trainer.step(inputs, targets)
    if not np.isfinite(loss.item()):
        return [loss._node]
    groups = trainer.optimizer.param_groups
    listed = [p for group in groups for p in group["params"]]
    grads = [p.grad._node for p in listed if p.grad is not None and not _finite(p.grad._value())]
    return grads or list(held.written())


class _Held:
    """The numbers of a training before a step."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.streams = trainer, random.get_state()
        model, optimizer = trainer.model, trainer.optimizer
        self.tensors = [(x, _held(x)) for x in (*model.parameters(), *model.buffers())]
        self.state = {
            p: {name: _held(value) for name, value in state.items()}
            for p, state in optimizer.state.items()
        }
        self.groups = [dict(group) for group in optimizer.param_groups]

    def healthy(self) -> bool:
        """Whether all that the step has written is finite."""
        health = self.trainer.health
        if health is None:
            return all(_finite(node.result()) for node in self.written())
        return health.item() == 0 and all(_finite(node.result()) for node in self._buffers())

    def _buffers(self) -> Iterator[Any]:
        """Of those that were written: one that nobody writes may be a mask of -inf."""
        for x, before in self.tensors:
            if x._storage.node is not before.node and not x._leaf and x.is_floating_point():
                yield x._storage.node

    def written(self) -> Iterator[Any]:
        """The nodes of what the step has written since: parameters, optimizer's state, buffers."""
        optimizer = self.trainer.optimizer
        listed = [p for group in optimizer.param_groups for p in group["params"]]
        states = [x for p in listed for x in optimizer.state.get(p, {}).values()]
        for x in (*listed, *states):
            if isinstance(x, Tensor) and x.is_floating_point():
                yield x._storage.node
        yield from self._buffers()

    def put_back(self) -> None:
        """Return to them."""
        with no_grad():
            for x, before in self.tensors:
                x.copy_(_returned(before))
        optimizer = self.trainer.optimizer
        optimizer.state = counted(
            {
                p: {name: _returned(value) for name, value in state.items()}
                for p, state in self.state.items()
            }
        )
        for group, before in zip(optimizer.param_groups, self.groups, strict=True):
            group.update(before)
        optimizer.zero_grad()
        random.set_state(self.streams)


def _held(value: Any) -> Any:
    """The numbers of a tensor, which later writes do not reach."""
    if not isinstance(value, Tensor):
        return value
    return Hold(value.detach()._node if value._path else value._storage.node)


def _returned(value: Any) -> Any:
    """A tensor on numbers that were held."""
    return Tensor._of(value.node) if isinstance(value, Hold) else value


def _error(trainer: Trainer, finding: Any, inputs: Any) -> NonFiniteError:
    place = trainer.place
    when = f"step {place.batch + 1} of epoch {place.epoch + 1}"
    if finding is None:
        why = "No operation made it when the step was repeated: does the loss draw its own numbers?"
        got = f"a loss, gradient or parameter in {when}"
        return NonFiniteError(message("Trainer", got, "finite numbers", why=why))
    numbers = samples_of(trainer.train_data) or ()
    text = finding.text(when, len(inputs), numbers)
    return NonFiniteError(f"{text} The parameters are those before this step.")
