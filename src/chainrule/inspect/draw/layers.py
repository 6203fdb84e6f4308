"""A large graph as layers: a box for what is recorded in one scope, with its parameters' number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import UsageError, message
from chainrule.graph import Node
from chainrule.inspect.draw.boxes import SEE_THROUGH, Box, draw_boxes
from chainrule.inspect.draw.svg import Drawing, shortened
from chainrule.inspect.walk import Walk
from chainrule.ops import leaf

__all__ = ["draw_layers", "draw_walk"]

MOST_GROUPS = 300
MOST_OPS = 6  # in one box, of those outside of all layers


def draw_walk(pass_: Walk) -> Drawing:
    """The layers of a model, from shapes alone."""
    nodes = {node for call in pass_.calls for node in call.nodes}
    order: list[Any] = sorted(nodes, key=lambda n: n.sequence)
    inputs = [x._node for x in pass_.inputs]
    several = len(inputs) > 1
    names = {x: f"input {k + 1}" if several else "input" for k, x in enumerate(inputs)}
    return draw_layers([*inputs, *order], [y._node for y in pass_.outputs], names, batch=True)


def draw_layers(
    order: list[Any], outputs: Sequence[Any], names: dict[Any, str], batch: bool = False
) -> Drawing:
    """One box for what is recorded together in one scope; parameters are counted, not drawn."""
    groups = _groups(order, None)
    for depth in (4, 3, 2, 1):
        if len(groups) <= MOST_GROUPS:
            break
        groups = _groups(order, depth)
    if len(groups) > MOST_GROUPS:
        got, needs = f"a graph of {len(groups):,} boxes", f"{MOST_GROUPS} at most"
        raise UsageError(message("draw", got, needs, remedy="Draw a part, or the model's blocks"))
    known = {node for _, members in groups for node in members}
    data = [x for x in order if not x.inputs and _is_data(x) and x not in known]
    groups = [(names.get(x, x.name or "data"), [x]) for x in data] + groups
    place = {node: k for k, (_, members) in enumerate(groups) for node in members}
    edges = {
        (place[source], place[node]): None
        for _, members in groups
        for node in members
        for source in _sources(node, place)
        if place[source] != place[node]
    }
    boxes = [_layer_box(label, members, batch) for label, members in groups]
    paths = {scope.partition("/")[0] for scope, _ in groups}
    for box, (scope, members) in zip(boxes, groups, strict=True):
        path = scope.partition("/")[0]
        if scope and members[0].inputs and any(other.startswith(f"{path}.") for other in paths):
            box.lines.insert(0, shortened(_ops_of(members), 30))  # what a module does by itself
    last = outputs[0]
    while last not in place and last.inputs:  # a view of the last layer's output
        last = last.inputs[0]
    if last in place:
        boxes[place[last]].look = "loss"
    title = f"Layers of a graph with {len(order):,} nodes"
    words = f"{len(boxes)} boxes from the input at the top to the output at the bottom, each with "
    words += "its output's type and its number of parameters."
    return draw_boxes(boxes, list(edges), title, words, bars=False)


def _is_data(node: Any) -> bool:
    """Whether a leaf is worth a box: an input, not a parameter or a number."""
    return (node.op is not leaf.number and bool(node.shape) and node.op.name != "parameter") or (
        node.op.name == "parameter" and not node.name
    )


def _sources(node: Any, place: dict[Any, int]) -> list[Any]:
    """The nodes with a place that a node is made of, past those without."""
    found, stack = [], list(node.inputs)
    while stack:
        source = stack.pop()
        if source in place:
            found.append(source)
        else:
            stack.extend(source.inputs)
    return found


def _groups(order: list[Any], depth: int | None) -> list[tuple[str, list[Any]]]:
    """Runs of nodes that were recorded in one scope, one after the other: so no cycle arises."""
    groups: list[tuple[str, list[Any]]] = []
    for node in order:
        if not node.inputs:
            continue
        scope = node.scope
        if depth is not None:
            scope = ".".join(scope.partition("/")[0].split(".")[:depth])
        if groups and groups[-1][0] == scope and (scope or _goes_on(node, groups[-1][1])):
            groups[-1][1].append(node)
        elif scope or node.op.name not in SEE_THROUGH:
            groups.append((scope, [node]))
    return groups


def _goes_on(node: Any, members: list[Any]) -> bool:
    """Whether an op outside of all layers reads only what the ops before it gave."""
    reads = [source for source in node.inputs if source.inputs]
    return len(members) < MOST_OPS and all(source in members[-1:] for source in reads)


def _layer_box(label: str, members: list[Any], batch: bool) -> Box:
    last = next((n for n in reversed(members) if n.op.name not in SEE_THROUGH), members[-1])
    title = label or last.name or _ops_of(members)
    weights = {source for node in members for source in _weights(node)}
    count = sum(int(np.prod(weight.shape)) for weight in weights)
    lines = [_type(last, batch)] + [f"{count:,} parameters"] * bool(count)
    look = "weight" if count else "value"
    return Box(shortened(title, 34), look, lines, name=title)


def _ops_of(members: list[Any]) -> str:
    return ", ".join(node.op.name for node in members if node.op.name not in SEE_THROUGH)


def _type(node: Any, batch: bool) -> str:
    """The type; of a pass in shapes alone, the batch axis is N."""
    if batch and node.shape[:1] == (1,):
        return node.type.replace("[1", "[N", 1)
    return node.type


def _weights(node: Node) -> list[Node]:
    return [x for x in node.inputs if x.op.name == "parameter" and (x.name or "").strip()]
