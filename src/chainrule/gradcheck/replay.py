"""A recorded loss as a function of its leaves, so that it can be computed at other places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import GradientError, message
from chainrule.graph import topological_order
from chainrule.storage import Hold, Recorded, recorder
from chainrule.tensor import Tensor, tensor

__all__ = ["replay"]


def replay(loss: Tensor) -> tuple[Callable[..., Tensor], list[Recorded]]:
    """(f, leaves): ``f(*values of the leaves)`` records the loss again, in float64.

    The leaves are what requires grad, in the order of recording.  Raises GradientError if the
    history is not there (any more).

    >>> from chainrule.dtypes import float64
    >>> w = tensor([1.0, 2.0], requires_grad=True)
    >>> f, leaves = replay((w * w).sum())
    >>> f(tensor([3.0, 4.0], dtype=float64)).item(), len(leaves)
    (25.0, 1)
    """
    end = loss._node
    if end.consumed is not None or not end.needs_grad:
        got = "a loss whose backward has run" if end.consumed else "a loss without a history"
        remedy = "Give the loss before its backward()"
        raise GradientError(message("gradcheck", got, "its history", remedy=remedy))
    nodes: list[Any] = sorted(topological_order([end]), key=lambda node: node.sequence)
    inputs = {node: node.inputs for node in nodes}
    leaves = [node for node in nodes if node.leaf is not None]
    held = [Hold(node) for node in nodes]  # values go where nobody reads them any more

    def f(*values: Tensor) -> Tensor:
        made: dict[Any, Tensor] = dict(zip(leaves, values, strict=True))
        for node in (hold.node for hold in held):
            if node in made:
                continue
            if not inputs[node] or not any(source.needs_grad for source in inputs[node]):
                made[node] = _constant(node)
            elif node.op.name == "cast" and node.dtype.is_floating_point:
                made[node] = made[inputs[node][0]]
            else:
                parts = tuple(made[source]._node for source in inputs[node])
                made[node] = Tensor._of(recorder().record(node.op, parts, node.meta))
        return made[end]

    return f, leaves


def _constant(node: Recorded) -> Tensor:
    """A value that no leaf changes; floating-point ones in float64."""
    value = node.result()
    return tensor(value.astype(np.float64) if node.dtype.is_floating_point else value)
