"""What a backend is asked to build: a pure graph whose leaves get their values at call time.

``cr.compile`` traces a function into a ``Work``.  Nothing in it is specific to one call: data,
parameters, states, constants and Python numbers are all inputs, so that two traces with equal
``key`` share what was built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

import numpy as np

from chainrule.graph import Node
from chainrule.ops.op import REGISTRY

__all__ = ["Built", "Work", "difference", "key"]


@dataclass
class Work:
    """Nodes to compute, from leaves to outputs."""

    nodes: list[Node]  # in recording order; never leaves
    inputs: list[Node]  # leaves (data, number, parameter): dtypes and shapes are fixed
    outputs: list[Node]  # whose values are wanted, state first; may contain an input
    updates: dict[int, int] = field(default_factory=dict)
    # updates: output k is the new value of the state that input j holds: it may be written there


class Built(Protocol):
    """What a backend makes of a ``Work``."""

    def run(
        self, inputs: list[np.ndarray], places: Sequence[np.ndarray | None]
    ) -> list[np.ndarray]:
        """The values of the outputs for values of the inputs.

        ``places[k]`` is where output k is written, which may be the very array of the input that it
        updates; ``None``: a fresh array that the caller owns.  Checks of values (labels, indices)
        come before anything is written: a failure names the line and changes nothing.
        """
        ...


def key(work: Work) -> str:
    """A digest of the structure: ops, metadata, wiring, types, outputs, updates; of no values."""
    number = _numbered(work)
    lines = [f"{_op(node)} {_meta(node)} {node.type}" for node in work.inputs]
    for node in work.nodes:
        sources = ",".join(str(number[source]) for source in node.inputs)
        lines.append(f"{_op(node)}({sources}) {_meta(node)} {node.type}")
    lines.append(f"return {[number[node] for node in work.outputs]}")
    lines.append(f"in place {sorted(work.updates.items())}")
    return sha256("\n".join(lines).encode()).hexdigest()


def difference(a: Work, b: Work) -> Node | None:
    """The first node of ``b`` that ``a`` does not have at its place; its last, if they differ else.

    ``None``: the two are equal.
    """
    if key(a) == key(b):
        return None
    here, there = _numbered(a), _numbered(b)
    for mine, other in zip([*a.inputs, *a.nodes], [*b.inputs, *b.nodes], strict=False):
        same = _op(mine) == _op(other) and mine.type == other.type and _meta(mine) == _meta(other)
        wired = [here[s] for s in mine.inputs] == [there[s] for s in other.inputs]
        if not (same and wired):
            return other
    return (b.nodes or b.inputs or a.nodes)[-1]


def _numbered(work: Work) -> dict[Node, int]:
    return {node: index for index, node in enumerate((*work.inputs, *work.nodes))}


def _op(node: Node) -> str:
    """The op's name; one that is not in the registry is itself alone."""
    name = node.op.name
    return name if REGISTRY.get(name) is node.op else f"{name}@{id(node.op)}"


def _meta(node: Node) -> str:
    meta: dict[str, Any] = dict(node.meta)
    return repr(sorted(meta.items())) if meta else ""
