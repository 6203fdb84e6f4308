"""Which values of a recorded step the compiled step never stores: it keeps them in registers.

A recorded step runs node by node, so that it has every value, with the bits of the compiled one.
What fusion does to a node is told of the node at the same place of the program: the n-th with its
op, type, scope and line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from chainrule.graph import Node
from chainrule.step.traced import Traced

__all__ = ["fused_nodes", "fused_places"]

Place = tuple[str, str, str, str, int]  # op, type, scope, line, the how manieth of these


def fused_places(program: Traced) -> list[Any]:
    """(place, ops of its loop) of each value that a program never stores, as JSON."""
    place = {node: place for place, node in _places(program.work.nodes)}
    return [[*place[node], [n.op.name for n in loop]] for node, loop in program.fused()]


def fused_nodes(noted: Sequence[Any] | None, nodes: Sequence[Node]) -> dict[int, list[str]]:
    """By its number each node that is fused away, and the ops of the loop that computes it.

    noted: what ``fused_places`` told; nodes: those of a recorded step, by their numbers.
    """
    loops = {tuple(place): loop for *place, loop in noted or ()}
    number = {node: k for k, node in enumerate(nodes)}
    return {number[node]: loops[place] for place, node in _places(nodes) if place in loops}


def _places(nodes: Iterable[Node]) -> Iterator[tuple[Place, Node]]:
    seen: Counter[Any] = Counter()
    for node in nodes:
        if node.inputs:
            kind = node.op.name, str(node.type), node.scope, node.where
            yield (*kind, seen[kind]), node
            seen[kind] += 1
