"""Kinks: units that switch between two places, where a difference is no derivative.

A ReLU that is off at x - h and on at x + h, a window whose maximum moves: between the two places
the function has a corner, and (s(x + h) - s(x - h)) / 2h is a mixture of two slopes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.gradcheck.trace import Trace
from chainrule.ops.pool import max_pool_index
from chainrule.storage import Recorded

__all__ = ["branches", "switched"]


def branches(trace: Trace) -> list[tuple[str, np.ndarray]]:
    """(layer, which branch each of its units takes), in the order of the program."""
    found = []
    for node in trace.nodes:
        branch = _branch(node, trace)
        if branch is not None:
            found.append((node.scope or node.op.name, branch))
    return found


def _branch(node: Recorded, trace: Trace) -> np.ndarray | None:
    """Which of an op's slopes each unit has; None for an op that has one alone."""
    if not trace.inputs[node]:
        return None
    if not node.dtype.is_floating_point:  # a comparison, or the place of an extreme
        return trace.value(node)
    name = node.op.name
    if name not in ("relu", "abs", "maximum", "minimum", "amax", "amin", "max_pool"):
        return None
    x, *others = trace.arguments(node)
    if name in ("relu", "abs"):
        return np.sign(x)
    if name in ("maximum", "minimum"):
        return np.sign(x - others[0])
    if name == "max_pool":
        return max_pool_index.reference(x, **node.meta)
    return x == np.expand_dims(trace.value(node), _axes(node.meta))


def _axes(meta: Any) -> tuple[int, ...]:
    return meta["axes"] if "axes" in meta else (meta["axis"],)


def switched(
    below: list[tuple[str, np.ndarray]], above: list[tuple[str, np.ndarray]]
) -> tuple[dict[str, int], int]:
    """({layer: how many of its units switch}, how many units there are) between two places."""
    counts: dict[str, int] = {}
    units = 0
    for (layer, a), (_, b) in zip(below, above, strict=True):
        units += a.size
        differ = int(np.count_nonzero(a != b))
        if differ:
            counts[layer] = counts.get(layer, 0) + differ
    return counts, units
