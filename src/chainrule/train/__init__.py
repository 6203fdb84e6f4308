"""Training: the loop, its metrics, checkpoints and run folders."""

from chainrule.train.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    TensorBoard,
)
from chainrule.train.checkpoint import (
    load,
    load_checkpoint,
    read_checkpoint,
    save,
    save_checkpoint,
)
from chainrule.train.history import History
from chainrule.train.lr_range import LRRange, lr_range_test
from chainrule.train.metrics import (
    ConfusionMatrix,
    Metric,
    TopKAccuracy,
    TopKError,
    accuracy,
    binary_accuracy,
    error,
    mean_absolute_error,
    mean_squared_error,
)
from chainrule.train.progress import Progress
from chainrule.train.record import Recording
from chainrule.train.records import Records
from chainrule.train.runs import Run, open_run
from chainrule.train.trainer import Trainer

__all__ = [
    "Trainer",
    "History",
    "Callback",
    "EarlyStopping",
    "ModelCheckpoint",
    "CSVLogger",
    "LearningRateMonitor",
    "TensorBoard",
    "LRRange",
    "lr_range_test",
    "Progress",
    "Recording",
    "Records",
    "Metric",
    "accuracy",
    "error",
    "binary_accuracy",
    "TopKAccuracy",
    "TopKError",
    "ConfusionMatrix",
    "mean_squared_error",
    "mean_absolute_error",
    "save",
    "load",
    "save_checkpoint",
    "load_checkpoint",
    "read_checkpoint",
    "Run",
    "open_run",
]
