"""Which elements an element is computed from: index maps of ops, in places of a flat array.

A movement op is asked itself: its reference runs on the places instead of the numbers.  For ops
that make one number of many, ``TERMS`` lists the places whose products are summed, or whose largest
is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from chainrule.graph import Node
from chainrule.inspect.element.parts import ARGMAX, ARGSORT, MAX, MIN, SAME, SUM, Rule
from chainrule.ops.index import gather, index
from chainrule.ops.movement import Movement

__all__ = ["TERMS", "Reduction", "Winner", "moved_inputs", "moved_places", "places"]

PADDING = -1  # a place outside of the array

_numbers = np.arange(0)


def places(shape: Sequence[int]) -> np.ndarray:
    """The place of each element, in the shape of the array.

    >>> places((2, 3))
    array([[0, 1, 2],
           [3, 4, 5]])
    """
    global _numbers  # one row of numbers serves all shapes
    size = prod(shape)
    if len(_numbers) < size:
        _numbers = np.arange(size)
        _numbers.flags.writeable = False
    return _numbers[:size].reshape(shape)


# ---------------------------------------------------------------- movement


def moved_inputs(node: Node) -> int:
    """How many inputs, from the first on, an op moves numbers of; 0: it does more than that."""
    name = node.op.name
    if name in ("put", "index_put"):
        return 2
    if name == "concatenate":
        return len(node.inputs)
    return int(isinstance(node.op, Movement) or name in ("gather", "index"))


def moved_places(
    node: Node, flats: np.ndarray, rest: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Which input each element comes from, and from which place there; PADDING: from none.

    ``rest`` has the values of the inputs that say where.
    """
    count, maps, starts = moved_inputs(node), [], [0]
    for source in node.inputs[:count]:
        maps.append(places(source.shape) + starts[-1] if starts[-1] else places(source.shape))
        starts.append(starts[-1] + prod(source.shape))
    meta = dict(node.meta) | ({"value": PADDING} if node.op.name == "pad" else {})
    found = np.asarray(node.op.reference(*maps, *rest, **meta))
    if node.shape:
        found = found[np.unravel_index(flats, node.shape)]
    else:
        found = np.broadcast_to(found, flats.shape)
    which = np.searchsorted(np.array(starts[1:]), found, side="right")
    return np.where(found == PADDING, PADDING, which), found - np.array(starts)[which]


# ---------------------------------------------------------------- one number of many


@dataclass(frozen=True)
class Winner:
    """A factor that is 1 where an element is the one that its window's maximum came from."""

    flat: int  # of the input of ``node``
    node: Node  # the max_pool_index
    windows: np.ndarray  # whose winner is asked for


@dataclass(frozen=True)
class Reduction:
    """Terms: for each factor the node and its places; what they are divided by; the rule of all.

    ``over`` is one divisor for all terms or one for each.  ``numbers`` are what an argmax counts.
    ``outside`` counts the taps that see padding; ``base`` is what a sum begins with.
    """

    rule: Rule
    factors: tuple[tuple[Node, np.ndarray] | Winner, ...]
    over: Any = 1
    numbers: np.ndarray | None = None
    outside: int = 0
    base: tuple[Node, int] | None = None

    @property
    def count(self) -> int:
        """How many terms there are."""
        first = self.factors[0]
        return len(first.windows if isinstance(first, Winner) else first[1])

    def of(self, chosen: np.ndarray) -> Reduction:
        """Some of the terms."""
        factors = []
        for factor in self.factors:
            if isinstance(factor, Winner):
                factors.append(Winner(factor.flat, factor.node, factor.windows[chosen]))
            else:
                factors.append((factor[0], factor[1][chosen]))
        over = self.over[chosen] if np.ndim(self.over) else self.over
        numbers = None if self.numbers is None else self.numbers[chosen]
        return Reduction(self.rule, tuple(factors), over, numbers, self.outside, self.base)


Look = Callable[[Node], np.ndarray]  # the whole array of a node that says where
Index = tuple[int, ...]


def _summed(rule: Rule) -> Callable[[Node, Index, Look], Reduction]:
    def reduce(node: Node, at: Index, look: Look) -> Reduction:
        (x,) = node.inputs
        left = iter(at)
        axes = node.meta["axes"]
        key = tuple(slice(None) if axis in axes else next(left) for axis in range(len(x.shape)))
        return Reduction(rule, ((x, places(x.shape)[key].reshape(-1)),))

    return reduce


def _argmax(node: Node, at: Index, look: Look) -> Reduction:
    (x,), axis = node.inputs, node.meta["axis"] % len(node.inputs[0].shape)
    row = places(x.shape)[(*at[:axis], slice(None), *at[axis:])]
    return Reduction(ARGMAX, ((x, row),), numbers=np.arange(len(row)))


def _cumsum(node: Node, at: Index, look: Look) -> Reduction:
    (x,), axis = node.inputs, node.meta["axis"]
    row = places(x.shape)[(*at[:axis], slice(0, at[axis] + 1), *at[axis + 1 :])]
    return Reduction(SUM, ((x, row),))


def _matmul(node: Node, at: Index, look: Look) -> Reduction:
    a, b = node.inputs
    *batch, row, column = at
    return Reduction(
        SUM,
        ((a, places(a.shape)[(*batch, row)]), (b, places(b.shape)[(*batch, slice(None), column)])),
    )


# ---------------------------------------------------------------- windows


def _grid(shape: Sequence[int], *axes: Sequence[int] | np.ndarray) -> np.ndarray:
    """The places of an array where these places of each axis cross."""
    return places(shape)[np.ix_(*axes)].reshape(-1)


def _taps(size: int, at: int, k: int, s: int, p: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the window at ``at`` the taps that see the array, and the places that they see."""
    taps = np.arange(k)
    seen = at * s + taps * d - p
    inside = (seen >= 0) & (seen < size)
    return taps[inside], seen[inside]


def _windows_on(
    place: int, count: int, k: int, s: int, p: int, d: int
) -> tuple[np.ndarray, np.ndarray]:
    """The windows that see a place, and with which of their taps."""
    taps = np.arange(k)
    start = place + p - taps * d
    windows = start // s
    fits = (start % s == 0) & (windows >= 0) & (windows < count)
    return windows[fits], taps[fits]


def _each(meta: Any) -> list[tuple[int, int, int]]:
    """Stride, padding and dilation of each axis."""
    dilation = meta.get("dilation") or (1,) * len(meta["stride"])
    return list(zip(meta["stride"], meta["padding"], dilation, strict=True))


def _conv(node: Node, at: Index, look: Look) -> Reduction:
    x, w = node.inputs
    n, k, *spatial = at
    channels = np.arange(w.shape[1]) + k // (w.shape[0] // node.meta["groups"]) * w.shape[1]
    found = [
        _taps(size, p, taps, *how)
        for size, p, taps, how in zip(
            x.shape[2:], spatial, w.shape[2:], _each(node.meta), strict=True
        )
    ]
    taps, seen = [tap for tap, _ in found], [place for _, place in found]
    factors = (
        (x, _grid(x.shape, [n], channels, *seen)),
        (w, _grid(w.shape, [k], range(w.shape[1]), *taps)),
    )
    return Reduction(SUM, factors, outside=prod(w.shape[1:]) - len(factors[0][1]))


def _conv_input_grad(node: Node, at: Index, look: Look) -> Reduction:
    g, w = node.inputs
    n, c, *spatial = at
    outputs = w.shape[0] // node.meta["groups"]
    kernels = np.arange(outputs) + c // w.shape[1] * outputs
    found = [
        _windows_on(place, count, taps, *how)
        for place, count, taps, how in zip(
            spatial, g.shape[2:], w.shape[2:], _each(node.meta), strict=True
        )
    ]
    windows, taps = [window for window, _ in found], [tap for _, tap in found]
    factors = (
        (g, _grid(g.shape, [n], kernels, *windows)),
        (w, _grid(w.shape, kernels, [c % w.shape[1]], *taps)),
    )
    return Reduction(SUM, factors)


def _conv_weight_grad(node: Node, at: Index, look: Look) -> Reduction:
    x, g = node.inputs
    k, c, *taps = at
    channel = k // (g.shape[1] // node.meta["groups"]) * node.shape[1] + c
    seen, windows = [], []
    for size, count, tap, (s, p, d) in zip(
        x.shape[2:], g.shape[2:], taps, _each(node.meta), strict=True
    ):
        place = np.arange(count) * s + tap * d - p
        inside = (place >= 0) & (place < size)
        seen.append(place[inside])
        windows.append(np.arange(count)[inside])
    factors = (
        (x, _grid(x.shape, range(x.shape[0]), [channel], *seen)),
        (g, _grid(g.shape, range(g.shape[0]), [k], *windows)),
    )
    outside = x.shape[0] * prod(g.shape[2:]) - len(factors[0][1])
    return Reduction(SUM, factors, outside=outside)


def _pool_places(node: Node, at: Index) -> np.ndarray:
    x = node.inputs[0]
    n, c, *spatial = at
    seen = [
        _taps(size, p, taps, *how)[1]
        for size, p, taps, how in zip(
            x.shape[2:], spatial, node.meta["kernel"], _each(node.meta), strict=True
        )
    ]
    return _grid(x.shape, [n], [c], *seen)


def _max_pool(node: Node, at: Index, look: Look) -> Reduction:
    x, seen = node.inputs[0], _pool_places(node, at)
    if node.op.name == "max_pool":
        return Reduction(MAX, ((x, seen),))
    return Reduction(ARGMAX, ((x, seen),), numbers=seen % prod(x.shape[2:]))


def _max_pool_scatter(node: Node, at: Index, look: Look) -> Reduction:
    g, winners = node.inputs
    n, c, *spatial = at
    plane = node.shape[2:]
    if winners.op.name == "max_pool_index":
        meta = winners.meta
        windows = [
            _windows_on(place, count, taps, *how)[0]
            for place, count, taps, how in zip(
                spatial, g.shape[2:], meta["kernel"], _each(meta), strict=True
            )
        ]
        on = _grid(g.shape, [n], [c], *windows)
        flat = int(np.ravel_multi_index(at, node.shape))
        return Reduction(SUM, ((g, on), Winner(flat, winners, on)))
    here = look(winners)[n, c] == np.ravel_multi_index(spatial, plane)
    return Reduction(SUM, ((g, places(g.shape)[n, c][here]),))


def _divisor(p: int, size: int, k: int, s: int, pad: int, include: bool) -> int:
    """How many numbers along one axis the window at ``p`` is divided by."""
    start = p * s - pad
    stop = min(start + k, size + pad)
    return stop - start if include else min(stop, size) - max(start, 0)


def _divisors(node: Node, sizes: Sequence[int], windows: Sequence[Any]) -> np.ndarray:
    """The divisor of each of the windows where these windows of each axis cross."""
    meta, include = node.meta, node.meta.get("count_include_pad", True)
    divisor = np.ones((), np.int64)
    rows = zip(windows, sizes, meta["kernel"], meta["stride"], meta["padding"], strict=True)
    for along, size, k, s, pad in rows:
        one = [_divisor(int(p), size, k, s, pad, include) for p in along]
        divisor = np.multiply.outer(divisor, np.array(one, np.int64))
    return divisor.reshape(-1)


def _avg_pool(node: Node, at: Index, look: Look) -> Reduction:
    x = node.inputs[0]
    over = _divisors(node, x.shape[2:], [[p] for p in at[2:]])
    return Reduction(SUM, ((x, _pool_places(node, at)),), over=int(over[0]))


def _avg_pool_scatter(node: Node, at: Index, look: Look) -> Reduction:
    (g,) = node.inputs
    n, c, *spatial = at
    windows = [
        _windows_on(place, count, taps, s, p, 1)[0]
        for place, count, taps, (s, p, _) in zip(
            spatial, g.shape[2:], node.meta["kernel"], _each(node.meta), strict=True
        )
    ]
    over = _divisors(node, node.shape[2:], windows)
    return Reduction(SUM, ((g, _grid(g.shape, [n], [c], *windows)),), over=over)


# ---------------------------------------------------------------- what data say where


def _added(node: Node, at: Index, look: Look) -> Reduction:
    """base + what was written to this place: the adjoint op tells where each source went."""
    if node.op.name == "scatter_add":
        base, numbers, source = node.inputs
        went = gather.reference(places(base.shape), look(numbers), **node.meta)
    else:
        base, source, *indices = node.inputs
        went = index.reference(places(base.shape), *map(look, indices))
    flat = int(np.ravel_multi_index(at, node.shape))
    here = np.flatnonzero(went == flat)
    return Reduction(SUM, ((source, here),), base=(base, flat))


def _argsort(node: Node, at: Index, look: Look) -> Reduction:
    (x,), axis = node.inputs, node.meta["axis"] % len(node.shape)
    line = (*at[:axis], slice(None), *at[axis + 1 :])
    order = node.op.reference(look(x)[line], **{**node.meta, "axis": 0})
    chosen = order[at[axis] : at[axis] + 1]
    return Reduction(ARGSORT, ((x, places(x.shape)[line][chosen]),), numbers=chosen)


def _index_last(node: Node, at: Index, look: Look) -> Reduction:
    rows = index.reference(places(node.meta["sizes"]), *map(look, node.inputs))
    flat = int(np.ravel_multi_index(at, node.shape))
    last = np.flatnonzero(rows == rows[at])[-1]
    both = np.array([flat, last])
    first = np.broadcast_to(places(node.inputs[0].shape), node.shape).reshape(-1)
    return Reduction(SAME, ((node.inputs[0], first[both]),), numbers=both)


TERMS: dict[str, Callable[[Node, Index, Look], Reduction]] = {
    "sum": _summed(SUM),
    "amax": _summed(MAX),
    "amin": _summed(MIN),
    "argmax": _argmax,
    "argsort": _argsort,
    "cumsum": _cumsum,
    "matmul": _matmul,
    "conv": _conv,
    "conv_input_grad": _conv_input_grad,
    "conv_weight_grad": _conv_weight_grad,
    "max_pool": _max_pool,
    "max_pool_index": _max_pool,
    "max_pool_scatter": _max_pool_scatter,
    "avg_pool": _avg_pool,
    "avg_pool_scatter": _avg_pool_scatter,
    "scatter_add": _added,
    "index_add": _added,
    "index_last": _index_last,
}
