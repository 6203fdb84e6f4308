"""A recorded step as a drawing of its graph needs it: a tree in columns, sizes, small pictures."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import asdict
from typing import Any

import numpy as np

from chainrule.inspect.element.step import Step
from chainrule.ops import leaf
from chainrule.studio.recorded.edits import recorded_seed
from chainrule.studio.recorded.layers import figures_of, largest_first, maps_of
from chainrule.studio.recorded.opened import Opened
from chainrule.studio.recorded.tree import ModuleTree
from chainrule.studio.recorded.update import change

__all__ = ["WHATS", "columns", "rms_of", "sizes_page", "thumbnail", "tree_page"]

WHATS = ("value", "bar")

THUMBNAIL_MAPS = 4
MOST_CELLS = 28  # of a thumbnail, along either side
MOST_IN_STRIP = 64
TINY, HUGE = 1e-30, 1e30  # of a mean of squares in float32


def tree_page(step: Opened) -> dict[str, Any]:
    """A step's modules and nodes, with what its error signals come from."""
    known = ("step", "epoch", "loss", "batch", "losses")
    told = {name: step.kept.get(name) for name in known}
    seed = step.edit["seed"] if step.edit else recorded_seed(step)
    return told | {"edit": step.edit, "seed": seed} | columns(step.held, step.modules, step.names)


def sizes_page(step: Opened, sample: int, what: str = "value") -> dict[str, Any]:
    """Root mean squares of each node's value and error signal for one sample; null for none.

    what: with "update" also those of what the optimizer has changed in each parameter.
    """
    nodes = range(len(step.nodes))
    found = {each: [rms(step.held, k, each, sample) for k in nodes] for each in WHATS}
    if what == "update":
        of = [change(step, k) if step.nodes[k].op is leaf.parameter else None for k in nodes]
        found["update"] = [None if each is None else rms_of(each) for each in of]
    return found


def columns(step: Step, found: ModuleTree, words: list[str]) -> dict[str, Any]:
    """Groups, and nodes in columns, with the ops in a table; words: each node in words."""
    ops = {node.op.name: node.op.formula for node in step.order}
    place = {name: k for k, name in enumerate(ops)}
    return {
        "rows": step.rows(),
        "groups": [asdict(group) for group in found.groups],
        "ops": [{"name": name, "formula": formula} for name, formula in ops.items()],
        "op": [place[node.op.name] for node in step.order],
        "inputs": [[step.number[source] for source in node.inputs] for node in step.order],
        "parent": found.parents,
        "shape": [list(node.shape) for node in step.order],
        "dtype": [node.dtype.name for node in step.order],
        "name": [
            found.names.get(k) or node.name or (words[k] if node.op is leaf.data else "")
            for k, node in enumerate(step.order)
        ],
        "words": words,
        "where": [node.where for node in step.order],
        "meta": [{name: repr(v) for name, v in node.meta.items()} for node in step.order],
        "samples": sorted(step.samples),
    }


def rms(step: Step, node: int, kind: str, sample: int) -> float | None:
    """The root mean square of a value or error signal, of one sample if it has samples."""
    of = _of(step, node, kind, sample)
    return None if of is None else rms_of(of)


def rms_of(array: np.ndarray) -> float:
    """The root mean square of an array's numbers; 0 of none.

    >>> round(rms_of(np.array([3.0, 4.0, 5.0, 0.0], "f4")) ** 2, 6)
    12.5
    """
    numbers = array.reshape(-1)
    with np.errstate(all="ignore"):
        if array.dtype == np.float32:  # no copy in float64, unless the squares leave the range
            mean = float(np.dot(numbers, numbers)) / max(array.size, 1)
            if TINY < mean < HUGE:
                return mean**0.5
        return float(np.sqrt(np.mean(numbers.astype(np.float64) ** 2))) if array.size else 0.0


def thumbnail(
    step: Step, node: int, kind: str, sample: int, cells: int = MOST_CELLS
) -> dict[str, Any] | None:
    """A small picture of any node's value or error signal, of one sample if it has samples.

    Its cells, at most ``cells`` a side, are numbers that were recorded, every n-th of a long axis,
    never means of several.  numbers: the cells of the maps that are shown, row by row, as float32
    in base64.  largest: the element of the greatest size, by its index in the whole node.  None if
    nothing was kept.
    """
    of = _of(step, node, kind, sample)
    if of is None or not of.size:
        return None
    maps, rows, along = maps_of(of.shape)
    most = cells if rows else MOST_IN_STRIP
    every = max(1, -(-rows // most)), max(1, -(-along // most))
    shown = sorted(largest_first(of, maps)[:THUMBNAIL_MAPS])
    picked = of.reshape(maps, max(rows, 1), along)[shown, :: every[0], :: every[1]]
    sizes = np.nan_to_num(np.abs(of.astype(np.float64)).reshape(-1), nan=np.inf)
    index = [int(i) for i in np.unravel_index(int(np.argmax(sizes)), of.shape)]
    return {
        "node": node,
        "maps": maps,
        "shown": shown,
        "rows": picked.shape[1] if rows else 0,
        "columns": picked.shape[2],
        "every": list(every),
        "numbers": b64encode(picked.astype("<f4").tobytes()).decode(),
        "largest": {
            "index": [sample, *index] if node in step.samples else index,
            "value": of[tuple(index)].item(),
        },
        "figures": figures_of(of),
    }


def _of(step: Step, node: int, kind: str, sample: int) -> np.ndarray | None:
    """The part of one sample, or all of a node without samples; None if it was not kept."""
    array = step.array(node, kind)
    if array is None or node not in step.samples:
        whole = step.order[node].shape  # one number is an array without axes
        return array if array is None or whole else array.reshape(whole)
    return array[sample] if sample < len(array) else None
