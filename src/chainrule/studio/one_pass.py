"""One forward and backward pass of a model, recorded as a run: nothing of the model changes."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from typing import Any

from chainrule.errors import ShapeError, UsageError, message
from chainrule.graph import Graph
from chainrule.nn import Module
from chainrule.nn import functional as F
from chainrule.random import get_state, set_state
from chainrule.recording import enable_grad
from chainrule.tensor import Tensor, tensor
from chainrule.train.record import Wanted
from chainrule.train.record_script import recorded
from chainrule.train.runs import Run

__all__ = ["Loss", "record_pass"]

Loss = Callable[[Tensor, Any], Tensor]


def record_pass(
    run: Run, model: Module, x: Any, y: Any = None, loss: Loss | None = None
) -> tuple[float, Graph]:
    """The loss of a copy of the model, and the graph; the record is in the run, which is released.

    x, y, loss: as ``cr.look`` takes them.  Where it fails, the run's folder is removed.
    """
    streams = get_state()
    try:
        with enable_grad(), recorded(run, Wanted(every=True)) as tape:
            value = _loss(copy.deepcopy(model)(_tensor(x)), y, loss)
            value.backward()
        graph = tape.graph
    except BaseException:
        run.release()
        shutil.rmtree(run.folder, ignore_errors=True)
        raise
    finally:
        set_state(streams)
    run.release()
    return value.item(), graph


def _tensor(x: Any) -> Tensor:
    """A leaf of its own: what x was computed from is no part of the pass."""
    return tensor(x.numpy() if isinstance(x, Tensor) else x)


def _loss(output: Any, y: Any, loss: Loss | None) -> Tensor:
    if not isinstance(output, Tensor):
        remedy = "Give loss=, a function of what it returns"
        if loss is None:
            got = f"a model that gives a {type(output).__name__}"
            raise UsageError(message("look", got, "a tensor", remedy=remedy))
    if loss is not None and not callable(loss):
        got, needs = f"loss={loss!r:.40}", "a function (output, y) -> a number"
        raise UsageError(message("look", got, needs))
    if loss is not None:
        value = loss(output, y)
    elif y is None:
        value = output.sum()
    else:
        target = _tensor(y)
        whole = not target.dtype.is_floating_point
        value = F.cross_entropy(output, target) if whole else F.mse_loss(output, target)
    if not isinstance(value, Tensor) or value.numel() != 1:
        got = f"a loss of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
        raise ShapeError(message("look", got, "a single number", remedy="Take its mean or sum"))
    return value
