"""A recorded step by numbers: its nodes, arrays, and whose addend each addend is."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import IndexRangeError, UsageError, message
from chainrule.graph import Node, topological_order
from chainrule.inspect.element.parts import Link
from chainrule.inspect.element.recipes import derivative
from chainrule.ops import leaf
from chainrule.storage import Recorded
from chainrule.tape import Tape, row_nodes, sample_nodes

__all__ = ["KINDS", "Arrival", "Step"]

KINDS = ("value", "bar")


class Arrival(NamedTuple):
    """Who has sent an addend: the reader and which of its inputs; -1 twice: the seed.

    ``stale``: of an earlier backward, the reader's own error signal of then was not kept.
    """

    reader: int
    position: int = -1
    stale: bool = False


class Step:
    """The latest step of a tape; nodes have the numbers of ``chainrule.tape.kept_step``."""

    def __init__(self, tape: Tape, batch: int | None = None) -> None:
        self._step = step = tape._step
        self.order: list[Node] = step.order
        self.number = {node: k for k, node in enumerate(step.order)}
        self.batch = self._batch() if batch is None else batch
        ranked = topological_order(step.order)  # what an edit has added stands at the end
        self.rank = [0] * len(ranked)  # of each node in an order in which inputs come first
        for place, node in enumerate(ranked):
            self.rank[self.number[node]] = place
        self.ranked = [self.number[node] for node in ranked]
        found = sample_nodes(ranked, self.batch) if self.batch else set()
        self.samples = {self.number[node] for node in found}
        rows = row_nodes(step.order, self.batch) if self.batch else set()
        self.followed = self.samples | {self.number[node] for node in rows}
        self.readers: list[list[tuple[int, int]]] = [[] for _ in step.order]
        for k, node in enumerate(step.order):
            for position, source in enumerate(node.inputs):
                self.readers[self.number[source]].append((k, position))
        self._arrays: dict[tuple[int, str], np.ndarray | None] = {}
        self._arrivals: dict[int, list[Arrival]] | None = None

    def _batch(self) -> int:
        """As many samples as the first array of data has rows."""
        for node in self.order:
            if node.op is leaf.data and len(node.shape) > 1:
                return node.shape[0]
        return next((n.shape[0] for n in self.order if n.op is leaf.data and n.shape), 0)

    def number_of(self, recorded: Recorded) -> int | None:
        """The number of a node of the program that ran, if the step has it."""
        twin = self._step.twins.get(recorded)
        return None if twin is None else self.number[twin]

    # ------------------------------------------------------------ numbers

    def array(self, node: int, kind: str) -> np.ndarray | None:
        """What was recorded of a node; of a large batch its first samples."""
        key = (node, kind)
        if key not in self._arrays:
            twin, found = self.order[node], None
            if kind == "value" and twin in self._step.holds:
                found = self._step.holds[twin].node.result()
            elif kind == "bar" and twin in self._step.bars:
                found = self._step.bars[twin]._value()
            self._arrays[key] = None if found is None else np.ascontiguousarray(found)
        return self._arrays[key]

    def has_bar(self, node: int) -> bool:
        """Whether a backward has passed the node."""
        return self.order[node] in self._step.bars

    def addends(self, node: int) -> list[np.ndarray]:
        """The addends of an error signal, in the order of arrival."""
        return [np.asarray(a._value()) for a in self._step.addends[self.order[node]]]

    def index(self, node: int, flat: int) -> tuple[int, ...]:
        """The index of a place of a node."""
        shape = self.order[node].shape
        return tuple(int(i) for i in np.unravel_index(flat, shape)) if shape else ()

    def flat(self, node: int, index: tuple[int, ...]) -> int:
        """The place of an index, or an IndexRangeError."""
        twin = self.order[node]
        fits = len(index) == len(twin.shape) and all(
            0 <= i < size for i, size in zip(index, twin.shape, strict=True)
        )
        if not fits:
            got = f"index {tuple(index)} of {twin.type}"
            raise IndexRangeError(message("element", got, f"{len(twin.shape)} numbers within it"))
        return int(np.ravel_multi_index(index, twin.shape)) if twin.shape else 0

    def number_at(self, link: Link) -> Any:
        """The recorded number of a link as a NumPy scalar; None if it was not kept."""
        array = self.array(link.node, link.kind)
        flat = self.flat(link.node, link.index)
        if array is None or flat >= array.size:
            return None
        return array.reshape(-1)[flat]

    def rows(self) -> int:
        """How many samples of the batch were kept."""
        for node in sorted(self.samples):
            array = self.array(node, "value")
            if array is not None:
                return min(self.batch, array.size // max(prod(self.order[node].shape[1:]), 1))
        return self.batch

    # ------------------------------------------------------------ who has sent what

    def arrivals(self, node: int) -> list[Arrival] | None:
        """Who has sent the addends of v̄, in their order; None if that can't be told.

        A backward passes nodes in the reverse of recording order and asks each once.
        """
        if self._arrivals is None:
            self._arrivals = self._all_arrivals()
        found, count = self._arrivals.get(node, []), len(self._step.addends[self.order[node]])
        if len(found) != count:  # autograd.grad replaces what an earlier backward has left
            found = found[-count:]
        if len(found) == count:
            return found
        return [Arrival(-1)] if count == 1 and not found else None

    def _all_arrivals(self) -> dict[int, list[Arrival]]:
        found: dict[int, list[Arrival]] = {}
        begun: list[dict[int, list[Arrival]]] = []
        losses = [self.number[loss] for loss in self._step.losses]
        for seeds in [losses] if self._step.together else [[loss] for loss in losses]:
            here = {seed: [Arrival(-1)] for seed in seeds}
            last = max((self.rank[seed] for seed in seeds), default=-1)
            for reader in reversed(self.ranked[: last + 1]):
                if reader in here and self.order[reader].inputs:
                    self._send(reader, here)
            begun.append(here)
        for k, here in enumerate(begun):
            later = set().union(*begun[k + 1 :])
            for node, sent in here.items():
                if self.order[node].inputs:
                    found[node] = sent  # of the last backward that has passed it
                else:
                    sent = [a._replace(stale=a.reader in later) for a in sent]
                    found[node] = [*found.get(node, []), *sent]
        return found

    def _send(self, reader: int, here: dict[int, list[Arrival]]) -> None:
        sources = [self.number[source] for source in self.order[reader].inputs]
        passing = [k for k, source in enumerate(sources) if self.has_bar(source)]
        if not passing:
            return
        try:
            results = derivative(self.order[reader]).results
        except Exception:  # a user's vjp that looks at values: it sends to all
            results = [self] * len(sources)
        for k in passing:
            if results[k] is not None:
                here.setdefault(sources[k], []).append(Arrival(reader, k))


def checked_kind(kind: str) -> str:
    """The kind, or a UsageError."""
    if kind not in KINDS:
        raise UsageError(message("element", f"kind {kind!r}", '"value" or "bar"'))
    return kind
