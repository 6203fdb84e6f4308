"""The probe of a training: fixed validation samples, sent forward and backward without an update.

A training step sees other samples each time; the probe sees the same ones, so that a sample can be
followed through the training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from chainrule import random
from chainrule.data import DataLoader
from chainrule.recording import enable_grad
from chainrule.tape import Tape, record
from chainrule.tensor import Tensor
from chainrule.train.batches import pair
from chainrule.train.evaluating import evaluating

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

__all__ = ["probe_of", "probed"]


def probe_of(data: Any, count: int) -> tuple[Tensor, Tensor] | None:
    """The first ``count`` samples (inputs, targets) of data, of its first batch if it is no loader.

    ``None`` for no data, and for data that can be passed once only.
    """
    if data is None or iter(data) is data:
        return None
    streams = random.get_state()
    try:
        if isinstance(data, DataLoader):
            seen = data.transform and data.transform.deterministic()
            data = DataLoader(
                data.dataset, count, collate_fn=data.collate_fn, transform=seen or None
            )
        inputs, targets = pair(next(iter(data)))
    finally:
        random.set_state(streams)
    return inputs[:count], targets[:count]


def probed(
    trainer: Trainer, inputs: Tensor, targets: Tensor, nodes: Sequence[str] | None = None
) -> Tape:
    """The tape of a forward and backward in evaluation mode; nothing of the training moves."""
    kept = [(p, p._kept_grad) for p in trainer.model.parameters()]
    try:
        with evaluating(trainer), enable_grad(), record(nodes) as tape:
            for p, _ in kept:
                p._grad = None
            trainer.loss(trainer.model(inputs), targets).backward()
    finally:
        for p, gradient in kept:
            p._kept_grad = gradient
    return tape
