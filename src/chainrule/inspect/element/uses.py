"""Where a number goes: which elements of its readers read it, which error signals it is passed to.

No index map is inverted by hand: a reader's derivative by an element reads the error signals of
exactly those elements that the element went into.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from chainrule.inspect.element.parts import Link
from chainrule.inspect.element.places import places
from chainrule.inspect.element.scopes import backward, forward
from chainrule.inspect.element.step import Step
from chainrule.inspect.element.trees import Trees, pointwise

__all__ = ["Uses", "passed_on", "read_by"]

MOST_LINKS = 8


@dataclass(frozen=True)
class Uses:
    """How many elements read a number, and the first of them."""

    count: int
    links: tuple[Link, ...]

    def page(self) -> dict[str, Any]:
        """Plain values, as a page takes them."""
        shown = [link._asdict() | {"index": list(link.index)} for link in self.links]
        return {"count": self.count, "links": shown}


def read_by(step: Step, node: int, flat: int) -> Uses:
    """The elements that read an element of a value."""
    found = {}
    for reader, position in step.readers[node]:
        flats = _read(step, reader, position, flat)
        found.setdefault(reader, []).append(flats)
    return _uses(step, found, "value")


def passed_on(step: Step, node: int, flat: int) -> Uses:
    """The error signals that read an element of an error signal."""
    twin = step.order[node]
    trees = Trees(step)
    try:
        trees.values(twin, np.array([flat]), forward(step, twin))
    except Exception:  # an op of a user's own, whose elements can't be told apart
        return Uses(0, ())
    found = {
        source: flats
        for (source, kind), flats in trees.reads.items()
        if kind == "value" and step.has_bar(source) and source != node
    }
    return _uses(step, found, "bar")


def _uses(step: Step, found: dict[int, list[np.ndarray]], kind: str) -> Uses:
    count, links = 0, []
    for node, flats in found.items():
        seen = np.zeros(prod(step.order[node].shape), bool)  # np.unique would sort them
        for some in flats:
            seen[some] = True
        each = np.flatnonzero(seen)
        count += len(each)
        first = each[: max(0, MOST_LINKS - len(links))]
        links += [Link(node, kind, step.index(node, int(flat))) for flat in first]
    return Uses(count, tuple(links))


def _read(step: Step, reader: int, position: int, flat: int) -> np.ndarray:
    """The places of a reader that an element of one of its inputs goes into."""
    node = step.order[reader]
    try:
        result, scope, _ = backward(step, reader, position)
    except Exception:  # no derivative, or a user's own
        result, scope = None, {}
    if result is not None:
        trees = Trees(step)
        trees.values(result, np.array([flat]), scope)
        found = trees.reads.get((reader, "bar"), [])
        return np.concatenate(found) if found else np.arange(0)
    source = node.inputs[position]
    if pointwise(node) or node.op.name == "gather":  # of gather the index
        return np.array([flat]) if source.shape else np.arange(prod(node.shape))
    if node.op.name in ("argmax", "argsort"):
        axis, at = node.meta["axis"] % len(source.shape), step.index(step.number[source], flat)
        along = (slice(None),) if node.op.name == "argsort" else ()
        return places(node.shape)[(*at[:axis], *along, *at[axis + 1 :])].reshape(-1)
    return np.arange(prod(node.shape))  # of the rest it is not asked which
