"""OPTIMIZERS, sorted by increasing complexity, and schedules of their learning rate."""

from __future__ import annotations

from typing import Any

from chainrule.errors import not_found
from chainrule.optim import lr_scheduler
from chainrule.optim.adagrad import Adadelta, Adagrad, RMSprop
from chainrule.optim.adam import LAMB, Adam, AdamW
from chainrule.optim.optimizer import Optimizer
from chainrule.optim.sgd import SGD

__all__ = [
    "LAMB",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "lr_scheduler",
]


def __getattr__(name: str) -> Any:
    raise not_found("chainrule.optim", name, __all__)
