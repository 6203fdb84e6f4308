"""Pending work as a backend gets it, with the life of every value in it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from math import inf
from typing import Any

import numpy as np

from chainrule.errors import GraphError
from chainrule.ops.op import Op
from chainrule.storage.counters import counters
from chainrule.storage.node import COMPUTED, FAILED, PENDING, Recorded

__all__ = ["Program"]


class Program:
    """Pending work in recording order, with the life of every value in it.

    A backend calls, for each of ``nodes``: ``arguments``, then ``finish`` or ``fail``; or once
    ``finish_together`` with the values that are ``wanted``.
    """

    def __init__(self, nodes: list[Recorded], waiting: list[Recorded], kept: set[Recorded]) -> None:
        self.nodes = nodes
        self.committed = kept  # values that a failure returns to: overwritten only with an undo
        self.failure: BaseException | None = None
        self.failed_at = inf  # where in the order of recording the first failure is
        self._undo: list[tuple[np.ndarray, Any, np.ndarray]] = []
        self._spared: set[Recorded] = set()
        for node in waiting:  # alive, but not computed now (a running backward): it will read these
            self._spared.update(node.inputs)
        self._save(waiting)

    def spares(self, node: Recorded) -> bool:
        """Whether pending work that is not part of this program will read the node."""
        return node in self._spared

    def _save(self, waiting: list[Recorded]) -> None:
        """Keep what can be read by the backward of a living tensor."""
        differentiable = {source for node in waiting for _, source in node.history()}
        for node in reversed(self.nodes):
            if (
                node.needs_grad
                and node.consumed is None
                and (node.holders or node in differentiable)
            ):
                node.save()
                differentiable.update(source for _, source in node.history())

    def checkable(self) -> Iterator[Recorded]:
        """The nodes whose values can be checked before anything is computed."""
        for node in self.nodes:
            if type(node.op).check is not Op.check and all(
                s.state == COMPUTED for s in node.inputs
            ):
                yield node

    def arguments(self, node: Recorded) -> list[np.ndarray] | None:
        """The values of the node's inputs; ``None`` if one of them has failed."""
        values = []
        for source in node.inputs:
            if source.state == FAILED:
                node.state, node.failure = FAILED, source.failure
                return None
            if source.value is None:
                raise GraphError(
                    f"[{node.op.name}] reads a value of {source.op.name} that was freed."
                )
            values.append(source.value)
        return values

    def may_overwrite(self, node: Recorded) -> bool:
        """Whether nobody else alive reads the first input: the result may take its place."""
        source = node.inputs[0]
        wanted = source.holders or source.saves or source in self._spared
        if wanted or self._waiting_readers[source] != 1:
            return False
        array = source.value
        owned = array.base is None and array.flags.writeable and array.flags.c_contiguous
        # Four references: the node, the caller's list, `array`, the argument. A view is a fifth.
        return owned and sys.getrefcount(array) == 4

    def undo_later(self, node: Recorded, array: np.ndarray, window: Any) -> None:
        """Remember what is overwritten, if a failure would have to bring it back."""
        if node.inputs[0] in self.committed:
            self.committed.add(node)  # what is written next to this array is undone too
            self._undo.append((array, window, array[window].copy()))

    def finish(self, node: Recorded, value: np.ndarray) -> None:
        """Take the result, and free what nobody reads any more."""
        if node.executions:
            counters.repeated += 1
        node.executions += 1
        counters.executed += 1
        node.value, node.state = value, COMPUTED
        readers, inputs = self._waiting_readers, node.inputs
        if not node.saving:
            node.inputs = ()
        for source in inputs:
            readers[source] -= 1
            self._free(source)
        self._free(node)

    def finish_together(
        self, wanted: Mapping[Recorded, np.ndarray], leaves: Iterable[Recorded]
    ) -> None:
        """Take the results of all nodes at once, and free the ``leaves`` that nobody wants."""
        counters.executed += len(self.nodes)
        for node in self.nodes:
            counters.repeated += node.executions > 0
            node.executions += 1
            node.value, node.state = wanted.get(node), COMPUTED
            if not node.saving:
                node.inputs = ()
        wants = self._wants
        for leaf in leaves:
            if not wants(leaf):
                leaf.value = None

    @property
    def wanted(self) -> list[Recorded]:
        """The nodes whose values are wanted after the program."""
        return list(filter(self._wants, self.nodes))

    def _wants(self, node: Recorded) -> bool:
        """Whether a value outlives the program; a number weighs nothing, and is shown."""
        held = node.holders or node.saves or not node.shape
        return bool(held or node in self._spared or node in self.committed)

    @cached_property
    def _waiting_readers(self) -> Counter[Recorded]:
        """How many nodes of the program have still to read a value."""
        return Counter(source for node in self.nodes for source in node.inputs)

    def _free(self, node: Recorded) -> None:
        if not (self._wants(node) or self._waiting_readers[node]):
            node.value = None

    def fail(self, node: Recorded, error: BaseException) -> None:
        """The node could not be computed; what depends on it will fail with the same message."""
        node.state, node.failure = FAILED, error
        self.failure = self.failure or error
        self.failed_at = min(self.failed_at, node.sequence)

    def abandon(self, error: BaseException) -> None:
        """Nothing more will be computed (Ctrl-C); initial values wait until they are read again."""
        self.failure, self.failed_at = error, -inf
        told = error if str(error) else type(error)("Interrupted before it was computed.")
        for node in self.nodes:
            if node.state == PENDING and not node.initial:
                node.state, node.failure = FAILED, told

    def stands(self, node: Recorded) -> bool:
        """Whether a write stays although the program failed: it was done before the failure."""
        return node.state == COMPUTED and node.sequence < self.failed_at

    def undo(self, standing: set[int]) -> None:
        """Bring back what was overwritten; values made of it meanwhile keep their numbers.

        ``standing`` has the identities of the arrays whose new contents stay.
        """
        for node in self.nodes:
            if node.state == FAILED:
                node.let_go()
        self._undo = [entry for entry in self._undo if id(entry[0]) not in standing]
        touched = {id(array) for array, _, _ in self._undo}
        for node in self.nodes:
            value = node.value
            if value is not None and (id(value) in touched or id(value.base) in touched):
                node.value = value.copy()
        for array, window, old in reversed(self._undo):
            array[window] = old
