"""Pooling: reductions over windows; their adjoints, sums over the windows that see a place."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod

from chainrule.compile.lower import Body, Lowering, lowers, memory_order
from chainrule.compile.lowerings.reductions import lowest
from chainrule.compile.plan import Index, Read, Reduce, Ref, Result, Write
from chainrule.dtypes import int32, int64
from chainrule.graph import Node
from chainrule.ops import elementwise, logic
from chainrule.ops.pool import avg_windows, max_windows
from chainrule.ops.windows import Windows

__all__: list[str] = []

Sizes = tuple[int, ...]


def _windows(ref: Ref, windows: Windows, counts: Sizes, fill: float) -> Ref:
    """x: [N,C,*S] over [N,C,*P,*F]: what each window sees at each tap."""
    rank, spatial = len(ref.shape), len(counts)
    shape = (*ref.shape[:2], *counts, *windows.kernel)
    reach = windows.reach(counts)
    widths = [(0, 0), (0, 0)]
    for size, pad, far in zip(ref.shape[2:], windows.padding, reach, strict=True):
        widths.append((pad, max(0, far - pad - size)))
    padded = ref.padded(widths, fill) if any(map(any, widths)) else ref
    assert padded is not None, "an array that is read is not padded"
    rows = [[int(k == own) for k in range(len(shape))] for own in range(2)]
    for axis in range(spatial):
        row = [0] * len(shape)
        row[2 + axis] = windows.stride[axis]
        row[2 + spatial + axis] = windows.dilation[axis]
        rows.append(row)
    return padded.over(shape, rows, [0] * rank)


def _input(lowering: Lowering, node: Node) -> Ref:
    ref = lowering.seen(node.inputs[0])
    return lowering.stored(ref) if ref.bounds else ref


@lowers("max_pool")
def _max_pool(lowering: Lowering, node: Node) -> Ref:
    ref, windows = _input(lowering, node), max_windows(**node.meta)
    counts = node.shape[2:]
    terms, body = Body(), Body()
    term = terms.read(_windows(ref, windows, counts, lowest(node.dtype)))
    total = body.put(Result(node.dtype, 0))
    value = lowering.result(node, memory_order([ref], ref.shape))
    inner = Reduce(windows.kernel, terms.items, (("max", term),))
    lowering.kernel(node.shape, body, [Write(Ref.whole(value), total)], inner)
    return Ref.whole(value)


@lowers("max_pool_index")
def _max_pool_index(lowering: Lowering, node: Node) -> Ref:
    """The place in the plane: of the window's start, and of the tap that is the first maximum."""
    ref, windows = _input(lowering, node), max_windows(**node.meta)
    counts, sizes = node.shape[2:], ref.shape[2:]
    terms, body = Body(), Body()
    term = terms.read(_windows(ref, windows, counts, lowest(ref.dtype)))
    planes = [prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
    steps = tuple(d * p for d, p in zip(windows.dilation, planes, strict=True))
    tap = body.put(Result(int32, 0))
    tap = body.apply(elementwise.cast, tap, result=int64, dtype="int64")
    start = body.constant(0, int64)
    first = body.constant(0, int64)  # the window's first tap that is no padding
    for axis, plane in enumerate(planes):
        place = body.put(Index(int64, 2 + axis))
        place = body.apply(elementwise.mul, place, body.constant(windows.stride[axis], int64))
        place = body.apply(elementwise.sub, place, body.constant(windows.padding[axis], int64))
        along = body.apply(elementwise.mul, place, body.constant(plane, int64))
        start = body.apply(elementwise.add, start, along)
        if windows.padding[axis]:
            d = windows.dilation[axis]
            missing = body.apply(elementwise.sub, body.constant(d - 1, int64), place)
            missing = body.apply(elementwise.maximum, missing, body.constant(0, int64))
            if d > 1:
                missing = body.apply(elementwise.floor_divide, missing, body.constant(d, int64))
            missing = body.apply(elementwise.mul, missing, body.constant(d * plane, int64))
            first = body.apply(elementwise.add, first, missing)
    nothing = body.apply(logic.lt, tap, body.constant(0, int64))
    tap = body.apply(elementwise.where, nothing, first, tap)
    total = body.apply(elementwise.add, start, tap)
    value = lowering.result(node, memory_order([ref], ref.shape))
    inner = Reduce(windows.kernel, terms.items, (("argmax", term),), steps=steps)
    lowering.kernel(node.shape, body, [Write(Ref.whole(value), total)], inner)
    return Ref.whole(value)


@lowers("max_pool_scatter")
def _max_pool_scatter(lowering: Lowering, node: Node) -> Ref | None:
    """For each place the windows that see it, in their order: their signal, if it was the maximum.

    Where the index is not that of a pooling in this graph, one after the other to their places.
    """
    index_node = node.inputs[1]
    g, index = (lowering.seen(source) for source in node.inputs)
    if index_node.op.name != "max_pool_index":
        return _scattered(lowering, node, g, index)
    windows, counts = max_windows(**index_node.meta), node.inputs[0].shape[2:]
    if _side_by_side(windows, counts, node.shape[2:]):
        return _scattered_taps(lowering, node, g, windows)
    value = lowering.result(node, memory_order([g], g.shape))
    for phase in product(*map(range, windows.stride)):
        _scatter_phase(lowering, node, (g, index), Ref.whole(value), windows, counts, phase)
    return Ref.whole(value)


def _side_by_side(windows: Windows, counts: Sizes, sizes: Sizes) -> bool:
    """Whether each place belongs to one window."""
    covered = all(c * s == n for c, s, n in zip(counts, windows.stride, sizes, strict=True))
    simple = set(windows.padding) == {0} and set(windows.dilation) == {1}
    return windows.kernel == windows.stride and covered and simple


def _scattered_taps(lowering: Lowering, node: Node, g: Ref, windows: Windows) -> Ref:
    """Each window looks for its maximum again, and writes all its places.

    If the signal goes on through the ReLU that the pooling's input came from, its mask is that of
    the maximum: where(x ≤ 0, 0, scatter(g)) = scatter(where(max ≤ 0, 0, g)), for each number.
    """
    x_node = node.inputs[1].inputs[0]
    x = lowering.seen(x_node)
    counts, kernel = g.shape[2:], windows.kernel
    seen = _windows(lowering.stored(x) if x.bounds else x, windows, counts, 0.0)
    terms, body = Body(), Body()
    term = terms.read(seen)
    tap = body.put(Result(int32, 0))
    signal = body.read(g)
    zero = body.constant(0.0, node.dtype)
    mask = _mask_of_relu(lowering, node, x_node)
    parts = [("argmax", term)]
    if mask is not None:
        parts.append(("max", term))
        largest = body.put(Result(node.dtype, 1))
        dead = body.apply(logic.le, largest, zero)
        signal = body.apply(elementwise.where, dead, zero, signal)
    signal = body.apply(elementwise.add, signal, zero)  # a sum from zero, which is never -0
    result = mask or node
    value = lowering.result(result, memory_order([x], x.shape))
    whole = Ref.whole(value)
    steps = tuple(prod(kernel[axis + 1 :]) for axis in range(len(kernel)))
    first = body.apply(elementwise.maximum, tap, body.constant(0, int32))
    everywhere = tuple(range(2, len(node.shape)))
    writes = []
    for number, place in enumerate(product(*map(range, kernel))):
        hit = body.apply(logic.eq, first, body.constant(number, int32))
        here = body.apply(elementwise.where, hit, signal, zero)
        target = whole.sliced(everywhere, tuple(counts), tuple(windows.stride), place)
        writes.append(Write(target, here))
    inner = Reduce(kernel, terms.items, tuple(parts), steps=steps)
    lowering.kernel(g.shape, body, writes, inner)
    if mask is not None:
        lowering.refs[mask] = whole
    return whole


def _mask_of_relu(lowering: Lowering, node: Node, x: Node) -> Node | None:
    """The node where(x ≤ 0, 0, node), if it is all that reads the node."""
    readers = lowering.readers.get(node, [])
    if len(readers) != 1 or node in lowering.work.outputs or readers[0].op.name != "where":
        return None
    condition, nothing, otherwise = readers[0].inputs
    if otherwise is not node or condition.op.name != "le" or condition.inputs[0] is not x:
        return None
    zeros = (nothing, condition.inputs[1])
    if not all(lowering.is_number(zero, 0) for zero in zeros):
        return None
    return readers[0]


def _scattered(lowering: Lowering, node: Node, g: Ref, index: Ref) -> Ref:
    value = lowering.result(node)
    lowering.fill(Ref.whole(value), 0.0)
    planes = Ref.whole(value).reshaped((*node.shape[:2], prod(node.shape[2:])))
    assert planes is not None
    rank = len(g.shape)
    rows = [[int(k == own) for k in range(rank)] for own in range(2)] + [[0] * rank]
    body = Body()
    term, place = body.read(g), body.read(index)
    target = planes.over(g.shape, rows, [0, 0, 0])
    picks = ((place, planes.strides[2], planes.shape[2]),)
    lowering.kernel(g.shape, body, [Write(target, term, picks, add=True)])
    return Ref.whole(value)


def _scatter_phase(
    lowering: Lowering,
    node: Node,
    sources: tuple[Ref, Ref],
    whole: Ref,
    windows: Windows,
    counts: Sizes,
    phase: Sizes,
) -> None:
    """x[s·m + phase]: the windows p = m + back with a tap at that place, by rising p."""
    sizes, spatial = node.shape[2:], range(len(counts))
    extents, seen = _phase(sizes, windows, phase)
    target = whole.sliced(tuple(range(2, 2 + len(sizes))), extents, windows.stride, phase)
    if not prod(extents):
        return
    body = Body()
    total = body.constant(0.0, node.dtype)
    here = body.constant(0, int64)
    for axis in spatial:
        place = body.put(Index(int64, 2 + axis))
        place = body.apply(elementwise.mul, place, body.constant(windows.stride[axis], int64))
        place = body.apply(elementwise.add, place, body.constant(phase[axis], int64))
        step = body.constant(prod(sizes[axis + 1 :]), int64)
        here = body.apply(elementwise.add, here, body.apply(elementwise.mul, place, step))
    for back in product(*seen):
        signal, index = (_shifted(ref, back, counts, extents) for ref in sources)
        g, place = body.read(signal), body.put(Read(int64, index))
        hit = body.apply(logic.eq, place, here)
        zero = body.constant(0.0, node.dtype)
        total = body.apply(elementwise.add, total, body.apply(elementwise.where, hit, g, zero))
    lowering.kernel(target.shape, body, [Write(target, total)])


def _phase(sizes: Sizes, windows: Windows, phase: Sizes) -> tuple[Sizes, list[list[int]]]:
    """How many places there are along each axis; how far their windows lie from m, rising."""
    extents, seen = [], []
    for axis, size in enumerate(sizes):
        s, d, pad = windows.stride[axis], windows.dilation[axis], windows.padding[axis]
        extents.append(max(0, -(-(size - phase[axis]) // s)))
        taps = range(windows.kernel[axis])
        found = {
            (phase[axis] + pad - f * d) // s for f in taps if not (phase[axis] + pad - f * d) % s
        }
        seen.append(sorted(found))
    return tuple(extents), seen


def _shifted(ref: Ref, back: Sequence[int], counts: Sizes, extents: Sizes) -> Ref:
    """g[n,c,m + back] over m, 0 where there is no such window."""
    shape = (*ref.shape[:2], *extents)
    rows = [[int(k == own) for k in range(len(shape))] for own in range(len(shape))]
    outside = [
        2 + axis
        for axis, move in enumerate(back)
        if move < 0 or extents[axis] - 1 + move >= counts[axis]
    ]
    guarded = ref.guarded(outside) if outside else ref
    return guarded.over(shape, rows, [0, 0, *back])


# ---------------------------------------------------------------- mean


def _shares(windows: Windows, sizes: Sizes, counts: Sizes, include_pad: bool) -> bool:
    """Whether every window is divided by the same number."""
    whole = all(
        far <= size + pad and (include_pad or pad == 0 or far <= size)
        for size, pad, far in zip(sizes, windows.padding, windows.reach(counts), strict=True)
    )
    return whole and (include_pad or not any(windows.padding))


def _divisor(
    body: Body, windows: Windows, sizes: Sizes, include_pad: bool, indices: Sequence[int]
) -> int:
    """How many numbers the window at those indices is divided by: a term i64."""
    total = body.constant(1, int64)
    for axis, size in enumerate(sizes):
        pad, index = windows.padding[axis], indices[axis]
        start = body.apply(elementwise.mul, index, body.constant(windows.stride[axis], int64))
        start = body.apply(elementwise.sub, start, body.constant(pad, int64))
        stop = body.apply(elementwise.add, start, body.constant(windows.kernel[axis], int64))
        stop = body.apply(elementwise.minimum, stop, body.constant(size + pad, int64))
        if not include_pad:
            start = body.apply(elementwise.maximum, start, body.constant(0, int64))
            stop = body.apply(elementwise.minimum, stop, body.constant(size, int64))
        total = body.apply(elementwise.mul, total, body.apply(elementwise.sub, stop, start))
    return body.apply(elementwise.maximum, total, body.constant(1, int64))  # a window that is none


def _divided(body: Body, term: int, by: int, node: Node) -> int:
    number = body.apply(elementwise.cast, by, result=node.dtype, dtype=node.dtype.name)
    return body.apply(elementwise.div, term, number)


@lowers("avg_pool")
def _avg_pool(lowering: Lowering, node: Node) -> Ref:
    meta = dict(node.meta)
    include_pad = meta.pop("count_include_pad", True)
    ref, windows = _input(lowering, node), avg_windows(**meta)
    counts, sizes = node.shape[2:], ref.shape[2:]
    terms, body = Body(), Body()
    term = terms.read(_windows(ref, windows, counts, 0.0))
    total = body.put(Result(node.dtype, 0))
    if _shares(windows, sizes, counts, include_pad):
        by = body.constant(float(prod(windows.kernel)), node.dtype)
        total = body.apply(elementwise.div, total, by)
    else:
        indices = [body.put(Index(int64, 2 + axis)) for axis in range(len(sizes))]
        by = _divisor(body, windows, sizes, include_pad, indices)
        total = _divided(body, total, by, node)
    value = lowering.result(node, memory_order([ref], ref.shape))
    inner = Reduce(windows.kernel, terms.items, (("sum", term),))
    lowering.kernel(node.shape, body, [Write(Ref.whole(value), total)], inner)
    return Ref.whole(value)


@lowers("avg_pool_scatter")
def _avg_pool_scatter(lowering: Lowering, node: Node) -> Ref:
    """For each place Σ g / count over the windows that see it, in their order."""
    meta = {k: v for k, v in node.meta.items() if k != "input_shape"}
    include_pad = meta.pop("count_include_pad", True)
    g, windows = _input(lowering, node), avg_windows(**meta)
    sizes, counts = node.shape[2:], node.inputs[0].shape[2:]
    value = lowering.result(node, memory_order([g], g.shape))
    everywhere = tuple(range(2, len(node.shape)))
    for phase in product(*map(range, windows.stride)):
        extents, seen = _phase(sizes, windows, phase)
        if not prod(extents):
            continue
        target = Ref.whole(value).sliced(everywhere, extents, windows.stride, phase)
        body = Body()
        total = body.constant(0.0, node.dtype)
        for back in product(*seen):
            term = body.read(_shifted(g, back, counts, extents))
            indices = []
            for axis, move in enumerate(back):
                index = body.put(Index(int64, 2 + axis))
                indices.append(body.apply(elementwise.add, index, body.constant(move, int64)))
            if _shares(windows, sizes, counts, include_pad):
                by = body.constant(float(prod(windows.kernel)), node.dtype)
                term = body.apply(elementwise.div, term, by)
            else:
                term = _divided(
                    body, term, _divisor(body, windows, sizes, include_pad, indices), node
                )
            total = body.apply(elementwise.add, total, term)
        lowering.kernel(target.shape, body, [Write(target, total)])
    return Ref.whole(value)
