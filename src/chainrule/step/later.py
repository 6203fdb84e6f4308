"""A result of a compiled call whose handle is made when somebody touches it.

Most losses are never looked at: a handle with its storage and node costs as much as the whole step
of a small network.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.tensor import Tensor
from chainrule.tensor.exchange import snapshot
from chainrule.tensor.handle import Handle
from chainrule.tracing import TRACES

__all__ = ["array_of", "later"]


class _Later(Tensor):
    """A tensor to be: the first access to anything of it makes it a Tensor like all others."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name == "_given":
            raise AttributeError(name)
        _wake(self)
        return getattr(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _wake(self)
        setattr(self, name, value)

    # What most want of a result needs no handle.

    def numpy(self) -> np.ndarray:
        array = _unseen(self)
        return snapshot(array) if array is not None else Tensor.numpy(self)

    def item(self) -> Any:
        array = _unseen(self)
        return array.item() if array is not None and array.size == 1 else Tensor.item(self)


_give = Handle.__dict__["_given"].__set__
_new = Tensor.__new__


def later(result: Any, value: np.ndarray) -> Tensor:
    """What ``result.tensor(value)`` would give."""
    made = _new(_Later)
    _give(made, (result, value))
    return made


def array_of(value: Any) -> np.ndarray:
    """What is given: an array, or a row and a place in it."""
    if isinstance(value, tuple):
        row, place = value
        return np.asarray(row[place])
    return value


def _unseen(tensor: Any) -> np.ndarray | None:
    """The array, as long as there is no handle, and no trace that wants to hear of it."""
    given = None if TRACES else getattr(tensor, "_given", None)
    return None if given is None else array_of(given[1])


def _wake(tensor: Any) -> None:
    given = getattr(tensor, "_given", None)  # a copy is made of the class, and fills itself
    object.__setattr__(tensor, "__class__", Tensor)
    if given is not None:
        del tensor._given
        result, value = given
        result.fill(tensor, value)
        for trace in tuple(TRACES):  # it is older than what is made in them
            node = tensor._storage.node
            node.sequence = min(node.sequence, trace.first - 1)
