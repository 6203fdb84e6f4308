"""Training: the loop, its metrics, checkpoints and run folders."""

from chainrule.train.callbacks import Callback, EarlyStopping, ModelCheckpoint
from chainrule.train.checkpoint import (
    load,
    load_checkpoint,
    read_checkpoint,
    save,
    save_checkpoint,
)
from chainrule.train.metrics import accuracy
from chainrule.train.runs import Run, open_run
from chainrule.train.trainer import History, Trainer

__all__ = [
    "Trainer",
    "History",
    "Callback",
    "EarlyStopping",
    "ModelCheckpoint",
    "accuracy",
    "save",
    "load",
    "save_checkpoint",
    "load_checkpoint",
    "read_checkpoint",
    "Run",
    "open_run",
]
