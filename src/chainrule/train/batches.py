"""What a training is fed with, and the words for what it can't be fed with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.data import DataLoader
from chainrule.errors import UsageError, message
from chainrule.random import Stream
from chainrule.tensor import Tensor

__all__ = ["Batches", "checked", "first", "pair", "samples_of"]

Batches = Iterable[Sequence[Tensor]]


def checked(data: Any, epochs: int, resume_from: Any) -> Any:
    """The data, if they are batches that can be passed as often as is wanted."""
    loader = "DataLoader(TensorDataset(X, y), batch_size=32) makes batches"
    if isinstance(data, Tensor | np.ndarray):
        kind = "a tensor" if isinstance(data, Tensor) else "an array"
        got = f"{kind} {list(data.shape)}"
        raise UsageError(message("Trainer", got, "batches of (inputs, targets)", remedy=loader))
    if isinstance(data, tuple | list) and data and all(_is_array(part) for part in data):
        got = f"a {type(data).__name__} of {len(data)} arrays"
        raise UsageError(message("Trainer", got, "batches of (inputs, targets)", remedy=loader))
    if not hasattr(data, "__iter__"):
        got = f"a {type(data).__name__}"
        if hasattr(data, "__getitem__"):
            loader = "DataLoader(dataset, batch_size=32) makes batches"
        raise UsageError(message("Trainer", got, "batches of (inputs, targets)", remedy=loader))
    if hasattr(data, "__len__") and not len(data):
        raise UsageError(message("Trainer", "no batches", "at least one"))
    once = iter(data) is data
    if once and (epochs > 1 or resume_from is not None):
        got = f"a {type(data).__name__} and epochs = {epochs}"
        why = "It can be passed once only, from its beginning"
        remedy = "A list of batches, or a DataLoader, can be passed again"
        raise UsageError(message("Trainer", got, "batches for each epoch", why=why, remedy=remedy))
    return data


def pair(batch: Any) -> tuple[Tensor, Tensor]:
    """(inputs, targets) of a batch."""
    if isinstance(batch, tuple | list) and len(batch) == 2:
        inputs, targets = batch
        if isinstance(inputs, np.ndarray) or isinstance(targets, np.ndarray):
            remedy = "cr.tensor(array), or a DataLoader, which does it"
            needs = "tensors (inputs, targets)"
            raise UsageError(message("Trainer", "a batch of NumPy arrays", needs, remedy=remedy))
        return inputs, targets
    parts = f"of {len(batch)} parts" if isinstance(batch, tuple | list) else type(batch).__name__
    raise UsageError(message("Trainer", f"a batch {parts}", "(inputs, targets)"))


def first(batch: Any) -> Any:
    """The inputs of a batch (inputs, …)."""
    return batch[0] if isinstance(batch, tuple | list) else batch


def samples_of(data: Any) -> list[int] | None:
    """The data-set numbers of the samples that a loader has handed out last, if it is one."""
    if not isinstance(data, DataLoader) or not data.state_dict()["batch"]:
        return None
    place = data.state_dict()
    number = place["batch"] - 1
    if place["batches"] is not None:
        return list(place["batches"][number])
    n, size = place["samples"], place["batch_size"]
    order = np.arange(n) if place["order"] is None else Stream(*place["order"]).permutation(n)
    return order[number * size : (number + 1) * size].tolist()


def _is_array(value: Any) -> bool:
    return isinstance(value, Tensor | np.ndarray)
