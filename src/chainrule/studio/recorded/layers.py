"""A recorded step as a row of layers: what a model's calls gave, with the scales of their pictures.

A layer is a value with samples that a call of the model returned, or data that the model reads.
All figures that a page prints beside a picture are computed here, none of them in the browser.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.graph import Node
from chainrule.inspect.element.places import moved_inputs
from chainrule.inspect.element.scopes import backward, forward
from chainrule.inspect.element.step import Step
from chainrule.inspect.element.trees import FEW, Trees, pointwise
from chainrule.ops import leaf

__all__ = [
    "ORDERS",
    "Layer",
    "box",
    "described",
    "described_parameter",
    "field",
    "figures_of",
    "find_layers",
    "keys_of",
    "maps_of",
    "node_name",
    "of_sample",
    "parameters_of",
    "patches",
    "scale_of",
    "scores",
    "shown_of",
    "targets",
]

PERCENT = 99.5  # of |v| over a layer's channels: what is larger is clipped in its picture
MOST_MAPS = 16  # shown of a layer that has more than MANY
MANY = 32
ORDERS = ("largest", "rms", "number", "all")  # of the maps that are shown of many


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


def keys_of(layers: list[Layer]) -> list[str]:
    """Names that tell the layers of a step apart, the same in all steps of a run.

    >>> keys_of([Layer(3, "relu"), Layer(5, "fc"), Layer(6, "relu")])
    ['relu', 'fc', 'relu 2']
    """
    found: list[str] = []
    count: dict[str, int] = {}
    for _, name in layers:
        count[name] = count.get(name, 0) + 1
        found.append(f"{name} {count[name]}" if count[name] > 1 else name)
    return found


def parameters_of(step: Step, layers: list[Layer]) -> dict[int, list[int]]:
    """By a layer's node the parameters that it was computed with, since the layers before it.

    A parameter that several layers share stands with each of them.
    """
    known = {layer.node for layer in layers}
    found: dict[int, list[int]] = {}
    for layer in layers:
        seen, waiting = {layer.node}, [layer.node]
        while waiting:
            for source in step.order[waiting.pop()].inputs:
                number = step.number[source]
                if number not in seen and number not in known:
                    seen.add(number)
                    waiting.append(number)
        found[layer.node] = [k for k in sorted(seen) if step.order[k].op is leaf.parameter]
    return found


# ---------------------------------------------------------------- pictures


def described(step: Step, layer: Layer, sample: int, order: str = "largest") -> dict[str, Any]:
    """A layer as a page shows it, for one sample; order: one of ORDERS."""
    arrays = {what: of_sample(step, layer.node, what, sample) for what in ("value", "bar")}
    return _described(
        step.order[layer.node], layer, arrays, step.order[layer.node].shape[1:], order
    )


def described_parameter(
    step: Step, number: int, order: str = "largest", change: np.ndarray | None = None
) -> dict[str, Any]:
    """A parameter as a page shows it, with what the optimizer changed: one row of pictures."""
    arrays = {what: step.array(number, what) for what in ("value", "bar")} | {"update": change}
    node = step.order[number]
    return _described(node, Layer(number, node_name(node)), arrays, node.shape, order)


def _described(
    node: Node,
    layer: Layer,
    arrays: Mapping[str, np.ndarray | None],
    shape: tuple[int, ...],
    order: str,
) -> dict[str, Any]:
    maps, rows, columns = maps_of(shape)
    shown = shown_of(arrays["value"], maps, order)
    return {
        "node": layer.node,
        "name": layer.name,
        "op": node.op.name,
        "where": node.where,
        "shape": list(shape),
        "dtype": node.dtype.name,
        "maps": maps,
        "rows": rows,
        "columns": columns,
        "shown": shown,
    } | {what: figures_of(array, maps, shown) for what, array in arrays.items()}


def of_sample(step: Step, node: int, kind: str, sample: int) -> np.ndarray | None:
    """A sample's part of a node's value or error signal; None if it was not kept."""
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


def shown_of(value: np.ndarray | None, maps: int, order: str) -> list[int]:
    """The maps that are shown: all, or of many sixteen.

    largest: those of the largest root mean square, in the order of their numbers; rms: the same,
    the largest first; number: the first ones.  One that is not a number is the largest of all.
    """
    if order == "all" or (maps <= MANY and order != "rms"):
        return list(range(maps))
    if order == "number" or value is None:
        return list(range(min(maps, MOST_MAPS)))
    ranks = largest_first(value, maps)
    ranks = ranks if maps <= MANY else ranks[:MOST_MAPS]
    return ranks if order == "rms" else sorted(ranks)


def largest_first(value: np.ndarray, maps: int) -> list[int]:
    """The maps by root mean square; one that is not a number is the largest of all."""
    with np.errstate(all="ignore"):
        sizes = np.mean(value.reshape(maps, -1).astype(np.float64) ** 2, axis=1)
    return np.argsort(-np.nan_to_num(sizes, nan=np.inf), kind="stable").tolist()


def scale_of(numbers: np.ndarray) -> float:
    """The size at the ends of a picture's colours: the 99.5th percentile of the finite sizes.

    >>> scale_of(np.array([0.0, 0.0, np.inf])), scale_of(np.array([-3.0]))
    (0.0, 3.0)
    """
    sizes = np.abs(numbers[np.isfinite(numbers)].astype(np.float64))
    if not sizes.size:
        return 0.0
    # Where nearly all are zero, what is left is what is to be seen.
    return float(np.percentile(sizes, PERCENT)) or float(sizes.max())


def _scales(rows: np.ndarray) -> list[float]:
    """The scale of each row: in one pass, which is ten times faster, where all are finite."""
    sizes = np.abs(rows)
    if not rows.size or not np.isfinite(sizes).all():
        return [scale_of(row) for row in rows]
    found = np.percentile(sizes, PERCENT, axis=1)
    return np.where(found == 0, sizes.max(axis=1), found).tolist()


def figures_of(
    array: np.ndarray | None, maps: int = 1, shown: Sequence[int] = (0,)
) -> dict[str, Any] | None:
    """Scale (of all maps, and of each that is shown), range, rms; None for what was not kept."""
    if array is None:
        return None
    numbers = array.astype(np.float64).reshape(-1)
    sound = numbers[np.isfinite(numbers)]
    scale = scale_of(numbers)
    sizes = np.abs(sound)
    with np.errstate(all="ignore"):
        rms = float(np.sqrt(np.mean(numbers**2))) if numbers.size else 0.0
    return {
        "scale": scale,
        "scales": _scales(numbers.reshape(maps, -1)[list(shown)]) if maps > 1 else [scale],
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


def field(step: Step, layers: list[Layer], node: int, flat: int) -> list[dict[str, Any]]:
    """Boxes around what one element sees of the data through all layers: its receptive field."""
    data = [layer for layer in layers if not step.order[layer.node].inputs]
    found = patches(step, data, node, "value", flat)
    return [{name: box[name] for name in box if name != "count"} for box in found]


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
    if len(flats) > FEW and not pointwise(node) and not moved_inputs(node):
        flats = _outermost(node.shape, flats)
    trees = Trees(step)
    trees.values(node, flats, forward(step, node))
    return {
        source: places
        for (source, kind), places in trees.reads.items()
        if kind == "value" and source in step.followed and step.rank[source] < step.rank[number]
    }


def _outermost(shape: tuple[int, ...], flats: np.ndarray) -> np.ndarray:
    """The first and the last place along each axis: windows keep order, so the box is theirs.

    >>> _outermost((4, 4), np.arange(4, 16)).tolist()
    [4, 7, 12]
    """
    axes = np.stack(np.unravel_index(flats, shape))
    return np.unique(flats[np.concatenate([axes.argmin(axis=1), axes.argmax(axis=1)])])


def _sent(step: Step, number: int, flats: np.ndarray) -> dict[int, list[np.ndarray]]:
    """The elements of error signals that these error signals were computed from."""
    found: dict[int, list[np.ndarray]] = {}
    for reader, position in step.readers[number]:
        if not step.has_bar(reader) or reader not in step.followed:
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
