"""The error signal of a parameter in shares: what each sample of the batch adds to it.

The sum over a batch is one sum of a reader's derivative, or of its reader's; its terms are told
apart by the sample whose error signal they read.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from chainrule.graph import Node
from chainrule.inspect.element.parts import SUM, Link, More, Part, applied
from chainrule.inspect.element.places import TERMS, Reduction, Winner, moved_inputs
from chainrule.inspect.element.scopes import backward
from chainrule.inspect.element.step import Step
from chainrule.inspect.element.trees import Bound, Scope, Trees, handed_on
from chainrule.ops import leaf
from chainrule.ops.elementwise import add

__all__ = ["Shares"]


class Batch(NamedTuple):
    """Terms of a sum over the batch, and the sample that each belongs to."""

    of: Reduction
    samples: np.ndarray
    scope: Scope


class Shares:
    """Takes an error signal apart by samples."""

    def __init__(self, step: Step) -> None:
        self.step, self.trees = step, Trees(step)

    def of(self, link: Link, value: Any) -> Part | None:
        """The sum of all shares, with the rest of the batch as one number; None without samples."""
        flat = self.step.flat(link.node, link.index)
        batches = self._batches(link.node, flat)
        if batches is None or value is None:
            return None
        found = np.zeros(self.step.batch, bool)
        for batch in batches:
            found[batch.samples] = True
        if np.count_nonzero(found) < 2 and self.step.order[link.node].op is not leaf.parameter:
            return None
        rows = self.step.rows()
        shares = np.zeros(rows)
        for batch in batches:
            terms, known = self.trees.terms(batch.of, batch.scope)
            terms = terms / batch.of.over if np.ndim(batch.of.over) == 0 else terms
            kept = known & (batch.samples < rows)
            np.add.at(shares, batch.samples[kept], terms[kept])
        parts = tuple(
            Part(SUM, (), share, link=link._replace(sample=n)) for n, share in enumerate(shares)
        )
        more, total = None, np.float64(shares.sum())
        if rows < self.step.batch:
            more = More(self.step.batch - rows, float(value) - float(total))
            total = np.float64(value)
        return Part(SUM, parts, total, more=more)

    def part(self, node: int, flat: int, sample: int) -> Part | None:
        """The share of one sample."""
        batches = self._batches(node, flat)
        if batches is None or not 0 <= sample < self.step.rows():
            return None
        total = None if batches else Part(SUM, (), np.float64(0), why="nothing has read it")
        for batch in batches:
            one = batch.of.of(batch.samples == sample)
            part = self.trees.sum_tree(one, batch.scope)
            total = part if total is None else applied(add, total, part)
        return total

    def _batches(self, node: int, flat: int) -> list[Batch] | None:
        """The sums over the batch behind an error signal; None if it is not made of them."""
        found = []
        for arrival in self.step.arrivals(node) or ():
            if arrival.reader < 0 or arrival.stale:
                return None
            try:
                result, scope, _ = backward(self.step, arrival.reader, arrival.position)
            except Exception:  # a user's own vjp
                return None
            assert result is not None
            batches = self._behind(result, flat, scope)
            if batches is None:
                return None
            found += batches
        return found

    def _behind(self, node: Node, flat: int, scope: Scope) -> list[Batch] | None:
        (end, at), flats = self._origin(node, np.array([flat]), scope), None
        bound = scope.get(end)
        if at[0] < 0:
            return []
        if isinstance(bound, Bound) and bound.kind == "bar":
            if bound.node not in self.step.samples:
                return self._batches(bound.node, int(at[0]))
            return [Batch(Reduction(SUM, ((end, at),)), self._sample(bound.node, at), scope)]
        if bound is not None or end.op.name not in TERMS:
            return None
        of = self.trees.reduction(end, int(at[0]), scope)
        if of.rule is not SUM:
            return None
        if not of.count:
            return []
        for factor in of.factors:
            if isinstance(factor, Winner):
                continue
            source, flats = self._origin(*factor, scope)
            bound = scope.get(source)
            if isinstance(bound, Bound) and bound.node in self.step.samples:
                return [Batch(of, self._sample(bound.node, flats), scope)]
        return None

    def _sample(self, node: int, flats: np.ndarray) -> np.ndarray:
        return flats // prod(self.step.order[node].shape[1:])

    def _origin(self, node: Node, flats: np.ndarray, scope: Scope) -> tuple[Node, np.ndarray]:
        """Where the elements come from, as long as they are only moved, from one array."""
        while node not in scope:
            source = handed_on(node)
            if source is not None:
                node = source
            elif moved_inputs(node):
                which, at = self.trees.sources(node, flats, scope)
                if (which != which[0]).any() or which[0] < 0:
                    return node, flats
                node, flats = node.inputs[which[0]], at
            else:
                return node, flats
        return node, flats
