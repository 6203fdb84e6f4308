"""A recorded step as a row of layers: what a model's calls gave, with the scales of their pictures.

A layer is a value with samples that a call of the model returned, or data that the model reads.
All figures that a page prints beside a picture are computed here, none of them in the browser.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from chainrule.graph import Node
from chainrule.inspect.element.scopes import backward, forward
from chainrule.inspect.element.step import Step
from chainrule.inspect.element.trees import Trees

__all__ = [
    "Layer",
    "box",
    "described",
    "figures_of",
    "find_layers",
    "maps_of",
    "node_name",
    "of_sample",
    "patches",
    "scores",
    "targets",
]

PERCENT = 99.5  # of |v| over a layer's channels: what is larger is clipped in its picture
MOST_MAPS = 16  # shown of a layer that has more than MANY
MANY = 32


class Layer(NamedTuple):
    """A node of the step, and what the call that gave it is called."""

    node: int
    name: str


def find_layers(step: Step, calls: list[list[Any]], losses: list[int]) -> list[Layer]:
    """The model's data, then its calls in the order of their ends; each node once.

    calls: (root, path, node, run) of each call; losses: the nodes that a backward began with.  A
    root that ends in a loss is no model.
    """
    ends = {root: node for root, _, node, _ in calls}
    models = [call for call in calls if ends[call[0]] not in losses]
    found: dict[int, str] = {}
    for _, path, node, _ in models:
        if node in step.samples:
            found.setdefault(node, path)
    above = _ancestors(step, list(found))
    inputs = [k for k in sorted(above) if k in step.samples and step.order[k].op.name == "data"]
    several = len(inputs) > 1
    first = [Layer(k, f"input {n + 1}" if several else "input") for n, k in enumerate(inputs)]
    return [*first, *(Layer(k, name) for k, name in found.items())]


def _ancestors(step: Step, nodes: list[int]) -> set[int]:
    found, waiting = set(nodes), list(nodes)
    while waiting:
        for source in step.order[waiting.pop()].inputs:
            number = step.number[source]
            if number not in found:
                found.add(number)
                waiting.append(number)
    return found


def node_name(node: Node) -> str:
    """A node in words: a parameter's name, or where it was recorded and its op.

    >>> import chainrule as cr
    >>> node_name(cr.tensor([1.0])._node)
    'data'
    """
    if node.scope.rpartition("/")[2].startswith(node.op.name):
        return node.name or node.scope
    return node.name or f"{node.scope} {node.op.name}".strip()


# ---------------------------------------------------------------- pictures


def described(step: Step, layer: Layer, sample: int) -> dict[str, Any]:
    """A layer as a page shows it, for one sample."""
    node = step.order[layer.node]
    value = of_sample(step, layer.node, "value", sample)
    maps = maps_of(node.shape[1:])
    return {
        "node": layer.node,
        "name": layer.name,
        "op": node.op.name,
        "where": node.where,
        "shape": list(node.shape[1:]),
        "dtype": node.dtype.name,
        "maps": maps[0],
        "rows": maps[1],
        "columns": maps[2],
        "shown": _largest(value, maps[0]),
        "value": figures_of(value),
        "bar": figures_of(of_sample(step, layer.node, "bar", sample)),
    }


def of_sample(step: Step, node: int, kind: str, sample: int) -> np.ndarray | None:
    """A sample's row of what was recorded; None for what was not kept."""
    array = step.array(node, kind)
    return None if array is None or sample >= len(array) else array[sample]


def maps_of(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """How many pictures of how many rows and columns a sample's value is; 0 rows: a strip.

    >>> maps_of((6, 28, 28)), maps_of((120,)), maps_of((17, 64))
    ((6, 28, 28), (1, 0, 120), (1, 17, 64))
    """
    if len(shape) < 2:
        return 1, 0, shape[0] if shape else 1
    return int(np.prod(shape[:-2], dtype=np.int64)), shape[-2], shape[-1]


def _largest(value: np.ndarray | None, maps: int) -> list[int]:
    """The maps that are shown: all, or of many the largest by root mean square, in their order."""
    if maps <= MANY:
        return list(range(maps))
    if value is None:
        return list(range(MOST_MAPS))
    with np.errstate(all="ignore"):
        sizes = np.mean(value.reshape(maps, -1).astype(np.float64) ** 2, axis=1)
    order = np.argsort(-np.nan_to_num(sizes, nan=np.inf), kind="stable")
    return sorted(order[:MOST_MAPS].tolist())


def figures_of(array: np.ndarray | None) -> dict[str, Any] | None:
    """Scale, range and root mean square of a picture; None for what was not kept."""
    if array is None:
        return None
    numbers = array.astype(np.float64).reshape(-1)
    sound = numbers[np.isfinite(numbers)]
    sizes = np.abs(sound)
    scale = float(np.percentile(sizes, PERCENT)) if sizes.size else 0.0
    if scale == 0 and sizes.size:  # nearly all are zero: what is left is what is to be seen
        scale = float(sizes.max())
    with np.errstate(all="ignore"):
        rms = float(np.sqrt(np.mean(numbers**2))) if numbers.size else 0.0
    return {
        "scale": scale,
        "signed": bool((sound < 0).any()),
        "low": float(sound.min()) if sound.size else 0.0,
        "high": float(sound.max()) if sound.size else 0.0,
        "rms": rms,
        "zeros": int(np.count_nonzero(numbers == 0)),
        "nan": int(np.count_nonzero(np.isnan(numbers))),
        "clipped": int(np.count_nonzero(sizes > scale)) + numbers.size - sound.size,
    }


# ---------------------------------------------------------------- classes


def scores(step: Step, layers: list[Layer], sample: int) -> dict[str, Any] | None:
    """The class scores and their probabilities, if the step has a softmax of a layer.

    A log_softmax that was recorded is raised to e here; a softmax is taken as it stands.
    """
    known = {layer.node for layer in layers}
    for number, node in enumerate(step.order):
        if node.op.name not in ("softmax", "log_softmax") or len(node.shape) != 2:
            continue
        source = step.number[node.inputs[0]]
        value = of_sample(step, number, "value", sample)
        if source not in known or value is None:
            continue
        exact = value.astype(np.float64)
        shares = np.exp(exact) if node.op.name == "log_softmax" else exact
        return {"node": number, "layer": source, "op": node.op.name, "shares": shares.tolist()}
    return None


def targets(step: Step, layers: list[Layer]) -> dict[str, Any] | None:
    """The class that each sample was compared with, if there is one number a sample for it."""
    known = {layer.node for layer in layers}
    for number, node in enumerate(step.order):
        whole = node.dtype.name.startswith(("int", "uint"))
        if node.op.name == "data" and whole and len(node.shape) == 1 and number not in known:
            value = step.array(number, "value")
            if number in step.samples and value is not None:
                return {"node": number, "values": value.tolist()}
    return None


# ---------------------------------------------------------------- patches


def patches(
    step: Step, layers: list[Layer], node: int, kind: str, flat: int
) -> list[dict[str, Any]]:
    """What one element of a layer was computed from, in the layers next to it.

    Of a value the layers before it; of an error signal those after it, whose error signals were
    passed back.  Every element on the way is followed, by the derivatives' own index maps.
    """
    known = {layer.node for layer in layers}
    follow = _read if kind == "value" else _sent
    waiting: dict[int, list[np.ndarray]] = {node: [np.array([flat])]}
    found: dict[int, np.ndarray] = {}
    while waiting:
        choose = max if kind == "value" else min
        number = choose(waiting, key=step.rank.__getitem__)
        flats = np.unique(np.concatenate(waiting.pop(number)))
        if number in known and number != node:
            found[number] = flats
            continue
        for source, places in follow(step, number, flats).items():
            waiting.setdefault(source, []).extend(places)
    return [box(step, number, flats) for number, flats in sorted(found.items())]


def _read(step: Step, number: int, flats: np.ndarray) -> dict[int, list[np.ndarray]]:
    """The elements that these elements of a value were computed from, of nodes with samples."""
    node = step.order[number]
    if not node.inputs:
        return {}
    trees = Trees(step)
    trees.values(node, flats, forward(step, node))
    return {
        source: places
        for (source, kind), places in trees.reads.items()
        if kind == "value" and source in step.samples and step.rank[source] < step.rank[number]
    }


def _sent(step: Step, number: int, flats: np.ndarray) -> dict[int, list[np.ndarray]]:
    """The elements of error signals that these error signals were computed from."""
    found: dict[int, list[np.ndarray]] = {}
    for reader, position in step.readers[number]:
        if not step.has_bar(reader) or reader not in step.samples:
            continue
        result, scope, _ = backward(step, reader, position)
        if result is None:
            continue
        trees = Trees(step)
        trees.values(result, flats, scope)
        found.setdefault(reader, []).extend(trees.reads.get((reader, "bar"), []))
    return {reader: places for reader, places in found.items() if places}


def box(step: Step, number: int, flats: np.ndarray) -> dict[str, Any]:
    """The smallest box around places, without the axis of the samples; last axes are a picture."""
    shape = step.order[number].shape
    places = np.stack(np.unravel_index(flats, shape))[1:]
    rows = maps_of(shape[1:])[1]
    if not len(places):
        places = np.zeros((1, len(flats)), np.int64)
    if rows == 0:
        map_, row, column = np.zeros_like(places[0]), np.zeros_like(places[0]), places[0]
    else:
        lead = places[:-2]
        map_ = np.ravel_multi_index(tuple(lead), shape[1:-2]) if len(lead) else 0 * places[-1]
        row, column = places[-2], places[-1]
    axes = {"maps": map_, "rows": row, "columns": column}
    return {"node": number, "count": len(flats)} | {
        name: [int(along.min()), int(along.max())] for name, along in axes.items()
    }
