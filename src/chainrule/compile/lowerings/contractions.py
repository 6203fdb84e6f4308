"""Contractions: the matrix product, and the convolution with its two derivatives.

All are Σ a b over axes that move a and b by fixed strides.  The batch is the axis of vectors: an
image lies in memory as [C,H,W,N], a row of features as [F,N], so that whatever is done to one
image is done to sixteen at once, and no operand is copied into columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import gcd, prod

from chainrule.compile.lower import BATCH_LANES, Body, Lowering, lowers
from chainrule.compile.plan import Contract, Ref, Result, Value, Write
from chainrule.dtypes import DType
from chainrule.graph import Node

__all__: list[str] = []

LONGEST_CHAIN = 1024  # terms of one chain of a matrix product; more are pieces
LANES_FROM = 32  # terms from which on a matrix product with few rows or columns sums in lanes

Sizes = tuple[int, ...]
Rows = list[list[int]]


def _contract(
    lowering: Lowering, axes: Sizes, target: Ref, contract: Contract, dtype: DType
) -> None:
    body = Body()
    body.put(Result(dtype, 0))
    lowering.kernel(axes, body, [Write(target, 0)], contract)


class _Axes:
    """Names of a contraction's axes, to write down which index of an operand is made of which."""

    def __init__(self, **extents: Sizes) -> None:
        self.place: dict[str, int] = {}
        self.shape: Sizes = ()
        for name, sizes in extents.items():
            for k in range(len(sizes)):
                self.place[name if len(sizes) == 1 else f"{name}{k}"] = len(self.shape) + k
            self.place.setdefault(f"{name}0", len(self.shape))
            self.shape += sizes

    def row(self, **factors: int) -> list[int]:
        """One index: Σ factor · axis."""
        row = [0] * len(self.shape)
        for name, factor in factors.items():
            row[self.place[name]] += factor
        return row


# ---------------------------------------------------------------- the matrix product


@lowers("matmul")
def _matmul(lowering: Lowering, node: Node) -> Ref:
    a, b = (lowering.seen(source) for source in node.inputs)
    *batch, m, k = a.shape
    n = b.shape[-1]
    rank = len(batch)
    lanes = min(m, n) < 8 and k >= LANES_FROM
    columns_first = False  # whether rows lie side by side in the result
    if lanes:
        a, b = (_plain(lowering, ref) for ref in (a, b))
    else:
        a, b, columns_first = _with_vectors(lowering, node, a, b)
    steps = (-(-k // LONGEST_CHAIN), LONGEST_CHAIN) if k > LONGEST_CHAIN and not lanes else (k,)
    shape = (*batch, m, n, *steps)
    identity = [[int(axis == own) for axis in range(len(shape))] for own in range(rank + 2)]
    inner = [0] * len(shape)
    inner[rank + 2] = steps[-1] if len(steps) > 1 else 1
    if len(steps) > 1:
        inner[rank + 3] = 1
    if len(steps) > 1 and k % LONGEST_CHAIN:
        a, b = a.guarded((rank + 1,)), b.guarded((rank,))
    a = a.over(shape, [*identity[:rank], identity[rank], inner], [0] * (rank + 2))
    b = b.over(shape, [*identity[:rank], inner, identity[rank + 1]], [0] * (rank + 2))
    order = [*range(rank), rank + 1, rank] if columns_first else None
    value = lowering.result(node, order)
    contract = Contract(steps, a, b, lanes, pieces=len(steps) - 1)
    _contract(lowering, (*batch, m, n), Ref.whole(value), contract, node.dtype)
    return Ref.whole(value)


def _plain(lowering: Lowering, ref: Ref, order: Sequence[int] | None = None) -> Ref:
    """Without padding or run-time starts."""
    return lowering.stored(ref, order) if ref.bounds or ref.starts else ref


def _with_vectors(lowering: Lowering, node: Node, a: Ref, b: Ref) -> tuple[Ref, Ref, bool]:
    """The operands, one of them with an axis of the result side by side; whether it is a's."""
    a, b = _plain(lowering, a), _plain(lowering, b)
    rank = len(a.shape)
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    if a.strides[-2] == 1 and m >= BATCH_LANES:
        return a, b, True
    if b.strides[-1] == 1 or b.strides[-1] == 0:
        return a, b, False
    readers = lowering.readers.get(node, [])
    turned = len(readers) == 1 and readers[0].op.name == "permute" and n > 1
    if (turned or m * k <= k * n) and m >= BATCH_LANES:
        order = [*range(rank - 2), rank - 1, rank - 2]
        return lowering.stored(a, order), b, True
    return a, lowering.stored(b), False


# ---------------------------------------------------------------- convolution


def _batch_last(rank: int) -> list[int]:
    return [*range(1, rank), 0]


def _many(images: int) -> bool:
    """Whether the batch is the axis of vectors."""
    return images >= BATCH_LANES


def _image(lowering: Lowering, ref: Ref, padding: Sizes = (), *, must: bool = False) -> Ref:
    """An image whose axis of vectors lies side by side; padded in a copy, or to be guarded.

    x: [N,C,*S].  ``must``: with the padding in memory.
    """
    many, spatial = _many(ref.shape[0]), range(2, len(ref.shape))
    side_by_side = ref.strides[0 if many else -1] == 1 and not ref.bounds and not ref.starts
    widths = [(0, 0), (0, 0), *((p, p) for p in padding)]
    order = _batch_last(len(ref.shape)) if many else None
    if not any(padding):
        return ref if side_by_side else lowering.stored(ref, order)
    if side_by_side and many and not must:
        padded = ref.guarded(spatial)
        return padded.over(
            tuple(s + 2 * p for s, (p, _) in zip(ref.shape, widths, strict=True)),
            [[int(k == own) for k in range(len(ref.shape))] for own in range(len(ref.shape))],
            [-p for p, _ in widths],
        )
    clean = ref if not ref.bounds else lowering.stored(ref, order)
    padded = clean.padded(widths, 0.0)
    assert padded is not None
    return lowering.stored(padded, order)


@lowers("conv")
def _conv(lowering: Lowering, node: Node) -> Ref:
    x, w = (lowering.seen(source) for source in node.inputs)
    meta, kernel, groups = node.meta, node.inputs[1].shape[2:], node.meta["groups"]
    images, outputs, *counts = node.shape
    x, w = _image(lowering, x, meta["padding"]), _plain(lowering, w)
    cg, kg = w.shape[1], outputs // groups
    axes = _Axes(n=(images,), g=(groups,), k=(kg,), p=tuple(counts), c=(cg,), f=tuple(kernel))
    rows = [axes.row(n=1), axes.row(g=cg, c=1)]
    for i, (stride, dilation) in enumerate(zip(meta["stride"], meta["dilation"], strict=True)):
        rows.append(axes.row(**{f"p{i}": stride, f"f{i}": dilation}))
    a = x.over(axes.shape, rows, [0] * len(rows))
    b = w.over(axes.shape, _weight_rows(axes, kg, len(kernel)), [0] * len(w.shape))
    value = lowering.result(node, _batch_last(len(node.shape)) if _many(images) else None)
    target = Ref.whole(value).reshaped((images, groups, kg, *counts))
    assert target is not None
    contract = Contract((cg, *kernel), a, b)
    _contract(lowering, target.shape, target, contract, node.dtype)
    return Ref.whole(value)


def _weight_rows(axes: _Axes, kg: int, spatial: int) -> Rows:
    return [axes.row(g=kg, k=1), axes.row(c=1), *(axes.row(**{f"f{i}": 1}) for i in range(spatial))]


@lowers("conv_input_grad")
def _conv_input_grad(lowering: Lowering, node: Node) -> Ref:
    """A convolution with the error signal for each phase of the strides."""
    g, w = (lowering.seen(source) for source in node.inputs)
    w, meta = _plain(lowering, w), node.meta
    many = _many(node.shape[0])
    g = _image(lowering, g)
    value = lowering.result(node, _batch_last(len(node.shape)) if many else None)
    for phase in product(*map(range, meta["stride"])):
        _input_grad_phase(lowering, node, value, g, w, phase)
    return Ref.whole(value)


def _input_grad_phase(
    lowering: Lowering, node: Node, value: Value, g: Ref, w: Ref, phase: Sizes
) -> None:
    """x[s·m + phase] for all m: along each axis the taps whose windows end there.

    With f = first + step·t:  p = (s·m + phase + pad - f·dilation) / s = m + shift - t·back.
    """
    meta, spatial, groups = node.meta, range(len(phase)), node.meta["groups"]
    stride, kernel, sizes = meta["stride"], w.shape[2:], node.shape[2:]
    first, step, taps, shift, back, counts = [], [], [], [], [], []
    for i in spatial:
        s, d, pad = stride[i], meta["dilation"][i], meta["padding"][i]
        valid = [f for f in range(kernel[i]) if (phase[i] + pad - f * d) % s == 0]
        step.append(s // gcd(d, s))
        first.append(valid[0] if valid else 0)
        taps.append(len(valid))
        shift.append((phase[i] + pad - first[-1] * d) // s)
        back.append(step[-1] * d // s)
        counts.append(max(0, -(-(sizes[i] - phase[i]) // s)))
    if not prod(counts):  # a phase that no place of a small image has
        return
    everywhere = tuple(range(2, len(node.shape)))
    target = Ref.whole(value).sliced(everywhere, tuple(counts), tuple(stride), phase)
    if not prod(taps):
        lowering.fill(target, 0.0)
        return
    if not _many(node.shape[0]):  # vectors run along a spatial axis: the padding is in memory
        reach = [(-(shift[i] - (taps[i] - 1) * back[i]), counts[i] - 1 + shift[i]) for i in spatial]
        widths = [(max(0, low), max(0, high - g.shape[2 + i] + 1))
                  for i, (low, high) in enumerate(reach)]  # fmt: skip
        padded = g.padded([(0, 0), (0, 0), *widths], 0.0)
        assert padded is not None
        g = lowering.stored(padded) if any(map(any, widths)) else g
        shift = [s + widths[i][0] for i, s in enumerate(shift)]
    else:
        g = g.guarded(range(2, len(g.shape)))
    cg, kg = w.shape[1], w.shape[0] // groups
    images = node.shape[0]
    axes = _Axes(n=(images,), g=(groups,), c=(cg,), p=tuple(counts), k=(kg,), f=tuple(taps))
    rows = [axes.row(n=1), axes.row(g=kg, k=1)]
    rows += [axes.row(**{f"p{i}": 1, f"f{i}": -back[i]}) for i in spatial]
    a = g.over(axes.shape, rows, [0, 0, *shift])
    taken = [axes.row(g=kg, k=1), axes.row(c=1), *(axes.row(**{f"f{i}": step[i]}) for i in spatial)]
    b = w.over(axes.shape, taken, [0, 0, *first])
    split = target.reshaped((images, groups, cg, *counts))
    assert split is not None
    contract = Contract((kg, *taps), a, b)
    _contract(lowering, split.shape, split, contract, node.dtype)


@lowers("conv_weight_grad")
def _conv_weight_grad(lowering: Lowering, node: Node) -> Ref:
    x, g = (lowering.seen(source) for source in node.inputs)
    meta, groups = node.meta, node.meta["groups"]
    outputs, cg, *kernel = node.shape
    images, counts = g.shape[0], g.shape[2:]
    x, g = _image(lowering, x, meta["padding"], must=True), _image(lowering, g)
    kg = outputs // groups
    axes = _Axes(g=(groups,), k=(kg,), c=(cg,), f=tuple(kernel), p=tuple(counts), n=(images,))
    rows = [axes.row(n=1), axes.row(g=cg, c=1)]
    for i, (stride, dilation) in enumerate(zip(meta["stride"], meta["dilation"], strict=True)):
        rows.append(axes.row(**{f"p{i}": stride, f"f{i}": dilation}))
    a = x.over(axes.shape, rows, [0] * len(rows))
    signal = [axes.row(n=1), axes.row(g=kg, k=1)]
    signal += [axes.row(**{f"p{i}": 1}) for i in range(len(counts))]
    b = g.over(axes.shape, signal, [0] * len(signal))
    value = lowering.result(node)
    target = Ref.whole(value).reshaped((groups, kg, cg, *kernel))
    assert target is not None
    contract = Contract((*counts, images), a, b, lanes=True, pieces=2)
    _contract(lowering, target.shape, target, contract, node.dtype)
    return Ref.whole(value)
