"""The derivative of an op, and ops that are several rules in one, as graphs on stand-ins.

A vjp looks at types and never at values, so what it records of stand-ins is what it recorded of the
step's own values.  Three forward ops are written here in other ops, for the sake of their elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from chainrule.graph import Node, meta_key, topological_order
from chainrule.ops.elementwise import exp, log, square
from chainrule.ops.movement import concatenate
from chainrule.ops.op import REGISTRY
from chainrule.ops.reduce import amax, back, sum_
from chainrule.storage import COMPUTED, Recorded, recorder
from chainrule.tensor import Tensor
from chainrule.vjps import stand_ins

__all__ = ["COMPOSED", "Recipe", "composition", "derivative"]


class Recipe(NamedTuple):
    """``results`` computed from ``given``, the stand-ins of y, ȳ and the inputs, and constants.

    ``outside``: what a user's own vjp reads of the step besides, such as the tensors it has saved.
    """

    given: tuple[Node, ...]
    results: tuple[Node | None, ...]
    constants: dict[Node, np.ndarray]
    outside: dict[Node, Recorded]


# ---------------------------------------------------------------- several rules in one


def _logsumexp(y: Any, x: Any, *, axis: int) -> Any:
    largest = amax(x, axes=(axis,))
    return log(sum_(exp(x - back(largest, x, (axis,))), axes=(axis,))) + largest


def _log_softmax(y: Any, x: Any, *, axis: int) -> Any:
    shifted = x - back(amax(x, axes=(axis,)), x, (axis,))
    return shifted - back(log(sum_(exp(shifted), axes=(axis,))), x, (axis,))


def _moments(y: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    count = prod(x.shape[axis] for axis in axes)
    mean = sum_(x, axes=axes) / count
    variance = sum_(square(x - back(y[0], x, axes)), axes=axes) / count
    one = (1, *mean.shape)
    return concatenate(mean.reshape(one), variance.reshape(one), axis=0)


COMPOSED: dict[str, Callable[..., Any]] = {
    "logsumexp": _logsumexp,
    "log_softmax": _log_softmax,
    "moments": _moments,
}


# ---------------------------------------------------------------- on stand-ins

_known: dict[Any, Recipe] = {}
MOST_RECIPES = 1024  # that are remembered


def derivative(node: Node) -> Recipe:
    """The error signals of the node's inputs, from its own, its value and the inputs."""
    return _recipe("vjp", node, lambda y, bar, *inputs: node.op.vjp(y, bar, *inputs, **node.meta))


def composition(node: Node) -> Recipe:
    """The value of a ``COMPOSED`` op from its inputs."""
    ask = COMPOSED[node.op.name]
    return _recipe("value", node, lambda y, bar, *inputs: (ask(y, *inputs, **node.meta),))


def _recipe(what: str, node: Node, ask: Callable[..., Sequence[Any]]) -> Recipe:
    types = tuple((source.shape, source.dtype) for source in (node, *node.inputs))
    key = (what, node.op, meta_key(node.meta), types)
    try:
        found = _known.get(key)
    except TypeError:  # metadata that is not hashable
        return _asked(node, ask)
    if found is None:
        found = _asked(node, ask)
        if REGISTRY.get(node.op.name) is node.op:
            if len(_known) >= MOST_RECIPES:
                _known.clear()
            _known[key] = found
    return found


def _asked(node: Node, ask: Callable[..., Sequence[Any]]) -> Recipe:
    rec = recorder()
    leaves = stand_ins(node)
    quiet = {"grad_enabled": False, "taps": [], "on_stand_ins": True, "formula": True}
    with rec.undisturbed_work(), rec.setting(trace=None, **quiet):
        bars = [None if b is None else b._node for b in ask(*map(Tensor._of, leaves))]
    # Plain nodes are kept: recorded ones are work that somebody would do one day.
    twins: dict[Any, Node] = {}
    constants: dict[Node, np.ndarray] = {}
    for one in (*leaves, *topological_order([bar for bar in bars if bar is not None])):
        if one in twins:
            continue
        sources = tuple(twins[source] for source in one.inputs)
        twins[one] = Node(one.op, sources, one.meta, one.shape, one.dtype)
        if not one.inputs and one not in leaves:
            constants[twins[one]] = one.value  # type: ignore[attr-defined]
    given = tuple(twins[stand_in] for stand_in in leaves)
    outside = {twin: one for one, twin in twins.items() if one.state == COMPUTED}
    for twin in (*given, *(c for c in constants if not c.shape)):
        outside.pop(twin, None)
    results = tuple(None if b is None else twins[b] for b in bars)
    return Recipe(given, results, constants, outside)
