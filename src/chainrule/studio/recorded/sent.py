"""A small recorded graph for the stepper: what a scalar was computed from, computed once more.

    GET /api/runs/NAME/steps/KIND/STEP/stepper?node=        all moves, see ``inspect/explain/moves``
    GET /api/runs/NAME/steps/KIND/STEP/stepper/file?node=   the same as one HTML file

The leaves have their recorded values; what is computed from them is computed here by the same ops,
in float64, so that the gradient check can tell a wrong derivative from rounding.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.dtypes import float64
from chainrule.errors import UsageError, message
from chainrule.graph import Node, topological_order
from chainrule.inspect.explain.moves import LARGEST, moves
from chainrule.inspect.rerun import may_rerun
from chainrule.ops import leaf
from chainrule.recording import enable_grad
from chainrule.storage import recorder
from chainrule.studio.recorded.opened import Opened
from chainrule.tensor import Tensor, tensor

__all__ = ["MOST_NUMBERS", "sent"]

MOST_NUMBERS = 5_000  # of all nodes together: each is written out with all its digits


def sent(step: Opened, number: int, rate: float = 0.1) -> dict[str, Any]:
    """All moves of a recorded scalar, as ``stepper`` answers them for a formula.

    Raises UsageError for an array, for more than 200 nodes or 5,000 numbers, and for leaves that
    the record does not hold.
    """
    end = step.nodes[number]
    order = topological_order([end])
    _check(step, end, order)
    name = step.called(number)
    with recorder().setting(taps=[]), enable_grad():
        loss = _again(step, end, order)
    found = moves(loss, rate, title=f"{name} of step {step.kept['step']}")
    nothing = dict.fromkeys(("example", "formula", "values", "learned", "next", "code"), "")
    return nothing | found


def _check(step: Opened, end: Node, order: list[Node]) -> None:
    remedy = "Choose a node nearer to the data, or record a smaller model"
    if end.shape or not end.dtype.is_floating_point or not end.inputs:
        got, needs = f"{end.op.name} {end.type}", "a number that the program computes"
        raise UsageError(message("stepper", got, needs, remedy="Choose the loss"))
    if len(order) > LARGEST:
        got = f"a graph of {len(order)} nodes"
        raise UsageError(message("stepper", got, f"at most {LARGEST}", remedy=remedy))
    count = sum(prod(node.shape) for node in order)
    if count > MOST_NUMBERS:
        got, needs = f"a graph of {count:,} numbers", f"at most {MOST_NUMBERS:,}"
        raise UsageError(message("stepper", got, needs, remedy=remedy))
    why = may_rerun(step.tape)
    if why:
        got, needs = f"step {step.kept['step']}", "one that can be run again"
        raise UsageError(message("stepper", got, needs, why=why))
    if not any(node.op is leaf.parameter for node in order):
        got, needs = f"{end.op.name} {end.type}", "a number that parameters lead to"
        raise UsageError(message("stepper", got, needs, remedy="Choose the loss"))


def _again(step: Opened, end: Node, order: list[Node]) -> Tensor:
    """The scalar, recorded from tensors of the leaves' values."""
    number = {node: k for k, node in enumerate(step.nodes)}
    made: dict[Node, Tensor] = {}
    for node in sorted(order, key=number.__getitem__):
        if not node.inputs:
            made[node] = _leaf(node, step.array(number[node], "value"))
        elif node.op.name == "cast" and node.dtype.is_floating_point:
            source = made[node.inputs[0]]
            made[node] = (
                source if source.dtype is float64 else tensor(source.numpy(), dtype=float64)
            )
        else:
            parts = tuple(made[source]._node for source in node.inputs)
            made[node] = Tensor._of(recorder().record(node.op, parts, node.meta))
            if node.name:
                made[node].name = node.name
    return made[end]


def _leaf(node: Node, value: Any) -> Tensor:
    if not node.dtype.is_floating_point:
        return tensor(np.asarray(value))
    made = tensor(value, dtype=float64, requires_grad=node.op is leaf.parameter)
    if node.name:
        made.name = node.name
    return made
