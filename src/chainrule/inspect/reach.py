"""Exactly which elements of a recorded step an element depends on: its receptive field, by sets.

Backward from the element each op says which elements of its inputs it reads, whatever their
values: a maximum reads its whole window, a closed ReLU its input.  Paths that meet are one set.  A
window is followed tap by tap, so that a dilated convolution's field has its holes; a product with
a fixed matrix, such as that of an adaptive mean, reads where the matrix is not zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from chainrule.graph import Node
from chainrule.inspect.element.places import TERMS, moved_inputs, moved_places
from chainrule.inspect.element.step import Step
from chainrule.inspect.element.trees import handed_on, pointwise
from chainrule.ops import leaf
from chainrule.ops.windows import Windows
from chainrule.tape import Tape

__all__ = ["Reach", "fed", "reach", "reach_of", "reads"]

Reads = tuple[Node, np.ndarray]  # an input, and the places of it that are read

ALONG = ("sum", "amax", "amin", "argmax", "argsort", "moments", "logsumexp", "log_softmax")


@dataclass(frozen=True)
class Reach:
    """``places`` has, for each node that is reached, the flat places in its value.

    ``joins``: nodes that make one number of all samples, such as the means of a batch
    normalisation; through them every sample moves the element, and they are not followed.
    """

    places: dict[int, np.ndarray]
    joins: frozenset[int]


def reach(tape: Tape, node: int, index: tuple[int, ...]) -> dict[int, np.ndarray]:
    """The indices [count, axes] of all that an element depends on, by the numbers of the nodes.

    tape: a recorded step; node: a number in it; index: of an element, the sample first.  Raises
    IndexRangeError for an index outside.

    >>> import chainrule as cr
    >>> x, w = cr.zeros(1, 1, 1, 7), cr.zeros(1, 1, 1, 3, requires_grad=True)
    >>> with cr.record() as tape:
    ...     cr.nn.functional.conv2d(x, w, dilation=2).sum().backward()
    >>> found = reach(tape, 2, (0, 0, 0, 1))
    >>> found[0][:, 3].tolist()
    [1, 3, 5]
    """
    step = Step(tape)
    found = reach_of(step, node, step.flat(node, index))
    return {
        number: np.stack(np.unravel_index(places, step.order[number].shape), axis=1)
        for number, places in found.places.items()
    }


def reach_of(step: Step, node: int, flat: int) -> Reach:
    """What an element depends on, itself included, among the nodes that come of the data."""
    data = fed(step)
    look = Look(step, data)
    waiting: dict[int, list[np.ndarray]] = {node: [np.array([flat])]}
    found: dict[int, np.ndarray] = {}
    joins: set[int] = set()
    while waiting:
        number = max(waiting, key=step.rank.__getitem__)
        places = np.unique(np.concatenate(waiting.pop(number)))
        found[number] = places
        if _joins(step, number):
            joins.add(number)
            continue
        for source, read in reads(step.order[number], places, look):
            if step.number[source] in data:
                waiting.setdefault(step.number[source], []).append(read)
    return Reach(found, frozenset(joins))


def _joins(step: Step, number: int) -> bool:
    """Whether a node makes one number of all samples, such as the mean of a batch."""
    node = step.order[number]
    if node.op.name not in ALONG or step.number[node.inputs[0]] not in step.samples:
        return False
    return 0 in _axes(node)


def fed(step: Step, joined: bool = True) -> set[int]:
    """The nodes that depend on the samples' data, and these data; joined: through means as well."""
    found: set[int] = set()
    for number in sorted(range(len(step.order)), key=step.rank.__getitem__):
        node = step.order[number]
        if not node.inputs:
            if node.op is leaf.data and number in step.samples:
                found.add(number)
        elif not joined and _joins(step, number):
            continue
        elif any(step.number[source] in found for source in node.inputs):
            found.add(number)
    return found


class Look:
    """The numbers of nodes that say where something is read."""

    def __init__(self, step: Step, data: set[int]) -> None:
        self._step, self._data = step, data

    def __call__(self, node: Node) -> np.ndarray:
        """Its numbers; zeros where they were not kept."""
        array = self._step.array(self._step.number[node], "value")
        whole = np.zeros(node.shape, node.dtype.numpy)
        if array is not None:  # of a large batch the first samples
            whole.reshape(-1)[: array.size] = array.reshape(-1)
        return whole

    def fixed(self, node: Node) -> bool:
        """Whether it is an array that came from outside, of no sample, maybe turned or repeated."""
        if self._step.number[node] in self._data:
            return False
        while node.op.name in ("permute", "expand", "reshape", "cast"):
            node = node.inputs[0]
        return (
            node.op is leaf.data and self._step.array(self._step.number[node], "value") is not None
        )


def reads(node: Node, places: np.ndarray, look: Look) -> Iterator[Reads]:
    """Which elements of its inputs these elements of a node are computed from."""
    name, source = node.op.name, handed_on(node)
    if not node.inputs:
        return
    if source is not None:
        yield source, places
    elif pointwise(node):
        for each in node.inputs:
            yield each, places if each.shape == node.shape else np.arange(prod(each.shape))
    elif moved_inputs(node):
        yield from _moved(node, places, look)
    elif name in ("conv", "max_pool", "avg_pool", "max_pool_index"):
        yield node.inputs[0], _seen(node, places)
    elif name == "conv_input_grad":
        yield node.inputs[0], _spread(node, places)
    elif name == "matmul":
        yield from _factors(node, places, look)
    elif name in ALONG:
        yield node.inputs[0], _lines(node, places)
    elif name in TERMS:
        yield from _terms(node, places, look)
    else:  # an op that tells nothing of its elements: any of them may be read
        for each in node.inputs:
            yield each, np.arange(prod(each.shape))


def _moved(node: Node, places: np.ndarray, look: Look) -> Iterator[Reads]:
    if node.op.name == "reshape":
        yield node.inputs[0], places
        return
    count = moved_inputs(node)
    which, at = moved_places(node, places, [look(each) for each in node.inputs[count:]])
    for k, source in enumerate(node.inputs[:count]):
        if (which == k).any():
            yield source, at[which == k]


# ---------------------------------------------------------------- windows


def _unique(*columns: np.ndarray) -> np.ndarray:
    """The different rows of these columns: [count, columns]."""
    return np.unique(np.stack(columns, axis=1), axis=0)


def _windows(node: Node) -> Windows:
    meta, weight = node.meta, node.inputs[-1]
    kernel = meta["kernel"] if "kernel" in meta else weight.shape[2:]
    dilation = meta.get("dilation") or (1,) * len(kernel)
    return Windows(tuple(kernel), meta["stride"], meta["padding"], tuple(dilation))


def _seen(node: Node, places: np.ndarray) -> np.ndarray:
    """What the windows of a convolution or a pooling see."""
    x, windows = node.inputs[0], _windows(node)
    if node.op.name == "conv":
        reads, gives = node.inputs[1].shape[1], node.shape[1] // node.meta["groups"]
    else:
        reads = gives = 1
    return _crossed(node, places, x.shape, windows, reads, gives, _tap_sees)


def _spread(node: Node, places: np.ndarray) -> np.ndarray:
    """What a transposed convolution's elements are summed from: all windows that see them."""
    g, w = node.inputs
    reads, gives = w.shape[0] // node.meta["groups"], w.shape[1]
    return _crossed(node, places, g.shape, _windows(node), reads, gives, _tap_seen_by)


def _tap_sees(at: np.ndarray, tap: int, s: int, p: int, d: int, size: int) -> Any:
    seen = at * s + tap * d - p
    return seen, (seen >= 0) & (seen < size)


def _tap_seen_by(at: np.ndarray, tap: int, s: int, p: int, d: int, size: int) -> Any:
    start = at + p - tap * d
    return start // s, (start % s == 0) & (start >= 0) & (start // s < size)


def _crossed(
    node: Node,
    places: np.ndarray,
    shape: Sequence[int],
    windows: Windows,
    reads: int,
    gives: int,
    along: Callable[..., Any],
) -> np.ndarray:
    """All taps of all windows, then all channels of their groups."""
    n, c, *spatial = np.unravel_index(places, node.shape)
    rows = _unique(n, c // gives, *spatial)
    for axis, kernel in enumerate(windows.kernel):
        how = windows.stride[axis], windows.padding[axis], windows.dilation[axis]
        parts = []
        for tap in range(kernel):
            at, inside = along(rows[:, 2 + axis], tap, *how, shape[2 + axis])
            moved = rows[inside]
            moved[:, 2 + axis] = at[inside]
            parts.append(moved)
        rows = np.unique(np.concatenate(parts), axis=0)
    channels = rows[:, 1, None] * reads + np.arange(reads)
    index = [np.broadcast_to(rows[:, k, None], channels.shape) for k in range(rows.shape[1])]
    index[1] = channels
    return _flat(index, shape)


def _flat(index: Sequence[np.ndarray], shape: Sequence[int]) -> np.ndarray:
    return np.asarray(np.ravel_multi_index(tuple(index), tuple(shape))).reshape(-1)


# ---------------------------------------------------------------- sums


def _factors(node: Node, places: np.ndarray, look: Look) -> Iterator[Reads]:
    """A row of the left factor, a column of the right one; axes before them are the same."""
    left, right = node.inputs
    *batch, row, column = np.unravel_index(places, node.shape)
    inner = np.arange(left.shape[-1])
    if look.fixed(right):
        columns = np.moveaxis(look(right), -2, -1)[(*batch, column)]
        each, k = np.nonzero(columns)
        index = [along[each] for along in (*batch, row)]
        yield left, _flat((*index, k), left.shape)
    else:
        rows = _unique(*batch, row)[..., None] + 0 * inner
        yield left, _flat((*rows.swapaxes(0, 1), inner + 0 * rows[:, 0]), left.shape)
    if look.fixed(left):
        each, k = np.nonzero(look(left)[(*batch, row)])
        index = [along[each] for along in batch]
        yield right, _flat((*index, k, column[each]), right.shape)
    else:
        columns = _unique(*batch, column)[..., None] + 0 * inner
        *before, last = columns.swapaxes(0, 1)
        yield right, _flat((*before, inner + 0 * last, last), right.shape)


def _axes(node: Node) -> set[int]:
    given = node.meta.get("axes") or (node.meta["axis"],)
    return {axis % len(node.inputs[0].shape) for axis in given}


def _lines(node: Node, places: np.ndarray) -> np.ndarray:
    """All places along the axes that an op takes together; ``moments`` has one more in front."""
    x = node.inputs[0]
    axes = _axes(node)
    index = list(np.unravel_index(places, node.shape)) if node.shape else []
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    if len(node.shape) == len(x.shape) and node.op.name != "moments":
        index = [index[axis] for axis in kept]
    else:
        index = index[len(index) - len(kept) :]
    rows = _unique(*index) if index else np.zeros((1, 0), np.int64)
    mask = np.zeros(x.shape, bool)
    np.moveaxis(mask, kept, range(len(kept)))[tuple(rows.T)] = True
    return np.flatnonzero(mask)


def _terms(node: Node, places: np.ndarray, look: Look) -> Iterator[Reads]:
    for place in places.tolist():
        at = tuple(int(i) for i in np.unravel_index(place, node.shape)) if node.shape else ()
        for factor in TERMS[node.op.name](node, at, look).factors:
            if isinstance(factor, tuple):
                yield factor[0], np.asarray(factor[1])
