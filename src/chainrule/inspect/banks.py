"""The filters of a recorded step: which parameters they are, what their maps are, which are of use.

A *bank* is the weight of one convolution: K filters of C kernels each.  A model without any has one
bank, the weight of the first linear layer that reads the data: K filters in the shape of a sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from chainrule.graph import Node
from chainrule.inspect.element.step import Step
from chainrule.inspect.element.trees import pointwise
from chainrule.inspect.reach import fed
from chainrule.ops.leaf import parameter

__all__ = ["ALIKE", "Bank", "Pair", "alive", "banks", "chosen", "duplicates", "numbers_of"]

ALIKE = 0.95  # |cosine| of two filters from which on they are duplicates
GATES = ("relu", "maximum")  # a map ends at the op that may close it


class Bank(NamedTuple):
    """``node``: the parameter; ``op``: who reads it; ``map``: the value that its filters give.

    ``shape``: filters, channels, rows, columns; 0 rows: strips, whose input is no picture.
    """

    name: str
    node: int
    op: int
    map: int
    shape: tuple[int, int, int, int]
    linear: bool


class Pair(NamedTuple):
    """Two filters of a bank that are alike, and their cosine."""

    first: int
    second: int
    cosine: float


def banks(step: Step) -> list[Bank]:
    """The banks of a step in the order of their use, each parameter once."""
    data, found = fed(step, joined=False), dict[int, Bank]()
    for number, node in enumerate(step.order):
        weight = _weight(step, node) if node.op.name == "conv" else None
        if weight is None or weight in found:
            continue
        w = step.order[weight]
        shape = w.shape[0], w.shape[1] * prod(w.shape[2:-2]), _rows(w), w.shape[-1]
        end = _end(step, number, data)
        found[weight] = Bank(_name(step, weight), weight, number, end, shape, False)
    return list(found.values()) or _first_linear(step, data)


def _rows(w: Node) -> int:
    return w.shape[-2] if len(w.shape) > 3 else 1


def _name(step: Step, number: int) -> str:
    return step.order[number].name or f"parameter {number}"


def _weight(step: Step, node: Node) -> int | None:
    """The parameter that is the right factor of an op, maybe turned or cast."""
    weight = node.inputs[1]
    while weight.op.name in ("permute", "cast", "reshape") and weight.inputs:
        weight = weight.inputs[0]
    return step.number[weight] if weight.op is parameter else None


def _first_linear(step: Step, data: set[int]) -> list[Bank]:
    """The first product of what came from outside with a parameter."""
    for number, node in enumerate(step.order):
        if node.op.name != "matmul" or step.number[node.inputs[0]] not in data:
            continue
        weight, source = _weight(step, node), node.inputs[0]
        if weight is None or len(step.order[weight].shape) != 2:
            continue
        turned = node.inputs[1].op.name == "permute"
        while source.op.name in ("reshape", "cast"):
            source = source.inputs[0]
        w, sample = step.order[weight], source.shape[1:]
        if source.inputs or not turned or prod(sample) != w.shape[1]:
            continue
        rows, columns = sample[-2:] if len(sample) >= 2 else (0, w.shape[1])
        shape = w.shape[0], prod(sample[:-2]), rows, columns
        end = _end(step, number, data)
        return [Bank(_name(step, weight), weight, number, end, shape, True)]
    return []


def _end(step: Step, number: int, data: set[int]) -> int:
    """From a convolution along what changes its map place by place, to the op that may close it.

    It ends before another map is added, and where two read it: what follows is another map.
    """
    while step.order[number].op.name not in GATES:
        readers = {k for k, _ in step.readers[number] if k in data}
        if len(readers) != 1:
            break
        (reader,) = readers
        node = step.order[reader]
        sources = {step.number[source] for source in node.inputs} & data
        if not pointwise(node) or node.shape != step.order[number].shape or len(sources) > 1:
            break
        number = reader
    return number


# ---------------------------------------------------------------- numbers


def numbers_of(step: Step, bank: Bank) -> np.ndarray | None:
    """The weights as f[K, C, rows, columns]; strips have one row.  None if they were not kept."""
    array = step.array(bank.node, "value")
    if array is None:
        return None
    k, c, rows, columns = bank.shape
    return array.reshape(k, c, max(rows, 1), columns)


def _maps(step: Step, bank: Bank) -> np.ndarray | None:
    """The maps of the kept samples as f[samples, K, places]; None if they were not kept."""
    array = step.array(bank.map, "value")
    if array is None or array.ndim < 2 or array.shape[1] != bank.shape[0]:
        return None
    return array.reshape(*array.shape[:2], -1)


def alive(step: Step, bank: Bank) -> tuple[list[int], list[float]] | None:
    """For each filter: on how many samples its map is not exactly zero, and its largest |value|.

    A filter is *dead* in a step where the first figure is 0.
    """
    maps = _maps(step, bank)
    if maps is None:
        return None
    return (maps != 0).any(axis=2).sum(axis=0).tolist(), np.abs(maps).max(axis=(0, 2)).tolist()


def duplicates(weights: np.ndarray) -> list[Pair]:
    """The pairs of filters whose weights have |cosine| ≥ 0.95, the most alike first.

    weights: f[K, …].  A filter of one number has no direction, one of zeros none either.

    >>> duplicates(np.array([[3.0, 4.0], [-6.0, -8.0], [4.0, -3.0]]))
    [Pair(first=0, second=1, cosine=-1.0)]
    """
    rows = weights.reshape(len(weights), -1).astype(np.float64)
    sizes = np.sqrt((rows**2).sum(axis=1))
    if rows.shape[1] < 2 or not np.isfinite(sizes).all():
        return []
    rows = rows / np.where(sizes > 0, sizes, 1)[:, None]
    cosines = np.clip(rows @ rows.T, -1, 1)
    first, second = np.nonzero(np.triu(np.abs(cosines) >= ALIKE, 1))
    pairs = [Pair(int(a), int(b), float(cosines[a, b])) for a, b in zip(first, second, strict=True)]
    return sorted(pairs, key=lambda pair: -abs(pair.cosine))


def chosen(weights: np.ndarray, most: int, many: int) -> Sequence[int]:
    """All filters, or of more than ``many`` the ``most`` largest by root mean square, in order."""
    if len(weights) <= many:
        return range(len(weights))
    sizes = (weights.reshape(len(weights), -1).astype(np.float64) ** 2).mean(axis=1)
    order = np.argsort(-np.nan_to_num(sizes, nan=np.inf), kind="stable")
    return sorted(order[:most].tolist())
