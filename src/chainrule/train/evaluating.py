"""A look at a model that moves nothing of its training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from chainrule import random
from chainrule.recording import no_grad

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

__all__ = ["evaluating"]


@contextmanager
def evaluating(trainer: Trainer) -> Iterator[None]:
    """All modules in evaluation mode, without gradients.

    Their modes and the random streams go back to what they were.
    """
    modes = [(module, module.training) for module in trainer.model.modules()]
    streams = random.get_state()
    trainer.evaluating = True
    trainer.model.eval()
    try:
        with no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
        random.set_state(streams)
        trainer.evaluating = False
