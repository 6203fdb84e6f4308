"""The storages of a traced function, read: the arrays of the next call, and where it may write.

A state's array is overwritten in its place when nobody else can see the old value: no other tensor,
no history, no pending work, no array outside.  Python counts references, so that this is a look at
two numbers.  The function that ran last holds arrays; all others let go of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from sys import getrefcount
from types import SimpleNamespace
from typing import Any

import numpy as np

from chainrule.storage import Recorded, Storage

__all__ = ["Bound"]


def _counts_of_one() -> tuple[list[int], list[int]]:
    """References to a node and an array that only a storage and a ``Bound`` have."""
    array = np.empty(1)
    node = SimpleNamespace(value=array)
    storage, nodes, inputs, places, arrays = [node], [node], [array], [array], [array]
    del node, array
    counts = list(map(getrefcount, nodes)), list(map(getrefcount, arrays))
    assert storage and inputs and places
    return counts


[NODE_ALONE], [ARRAY_ALONE] = _counts_of_one()


class Bound:
    """Inputs and places for a ``Built``, as long as the storages hold the nodes they hold now."""

    __slots__ = (
        "_alone",
        "_watched",
        "at_once",
        "call",
        "inputs",
        "looks",
        "nodes",
        "places",
        "rebinds",
        "written",
    )

    def __init__(
        self,
        arguments: int,
        storages: Sequence[Storage],
        constants: Sequence[np.ndarray],
        written: Sequence[int],
        outputs: int,
        at_once: bool,
    ) -> None:
        """``written``: which of the storages are, in the order of the first outputs.

        at_once: what runs is one native call, so that it may write to several states.
        """
        values = [_contiguous(storage.node.result()) for storage in storages]
        self.nodes = [storage.node for storage in storages]
        self.inputs: list[Any] = [None] * arguments + values + list(constants)
        self.written = [storages[j] for j in written]
        self.call: Any = None  # what a backend has bound to these arrays
        self.rebinds = -1  # how many there had been when the storages held these nodes
        self.looks = -1  # how many there had been when the storages' versions last moved
        # The arrays of written states, then their nodes; how many references each has of us alone.
        self._watched: list[Any] = [values[j] for j in written]
        self.places: list[Any] = [*self._watched, *[None] * (outputs - len(written))]
        self._watched += [self.nodes[j] for j in written]
        self.at_once = at_once
        self._alone = [ARRAY_ALONE if _own(self.nodes[j], values[j]) else -1 for j in written] + [
            NODE_ALONE + 1
        ] * len(written)

    def alone(self) -> bool:
        """Whether nobody but its storage sees the old value of any state that is written."""
        return list(map(getrefcount, self._watched)) == self._alone

    def still(self, storages: list[Storage]) -> bool:
        """Whether the storages hold the nodes that they held."""
        if self.rebinds == Storage.rebinds:
            return True
        if [storage.node for storage in storages] != self.nodes:
            return False
        self.rebinds = Storage.rebinds
        return True

    def wrote(self) -> None:
        """What handles have seen of the written states is out of date, if any has looked since."""
        looks = Storage.looks
        if self.looks != looks:
            for storage in self.written:
                storage.version += 1
            self.looks = looks

    def own_places(self) -> list[Any]:
        """Places for those states alone whose old value nobody else sees."""
        found = list(map(getrefcount, self._watched))
        places, count = list(self.places), len(found) // 2
        for k in range(count):
            if found[k] != self._alone[k] or found[count + k] != self._alone[count + k]:
                places[k] = None
        return places

    def exchange(self, k: int, j: int, place: int, node: Recorded, value: np.ndarray) -> None:
        """Written state k, which is storage j and the input at ``place``, has a new array."""
        self.nodes[j] = self._watched[len(self._watched) // 2 + k] = node
        self.inputs[place] = self.places[k] = self._watched[k] = value
        self.call, self.rebinds = None, -1
        self._alone[k] = ARRAY_ALONE


def _contiguous(value: np.ndarray) -> np.ndarray:
    return value if value.flags.c_contiguous else np.ascontiguousarray(value)


def _own(node: Recorded, array: np.ndarray) -> bool:
    """Whether the node's array can be overwritten at all."""
    owned = array.base is None and array.flags.writeable and array is node.value
    return owned and not node.needs_grad
