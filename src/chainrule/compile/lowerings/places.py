"""Places that are data: gather, scatter, indexing; and what is checked of values.

An index is clamped besides, so that no read ever goes astray.
"""

from __future__ import annotations

from math import prod

from chainrule.compile.lower import Body, Lowering, lowers
from chainrule.compile.plan import Index, Pick, Ref, Write
from chainrule.dtypes import int64
from chainrule.graph import Node
from chainrule.ops import elementwise, logic

__all__: list[str] = []

Sizes = tuple[int, ...]


def _plain(lowering: Lowering, node: Node) -> Ref:
    ref = lowering.seen(node)
    return lowering.stored(ref) if ref.bounds else ref


def _without(ref: Ref, shape: Sizes, axis: int) -> Ref:
    """An array over the axes of an index, but for the axis whose place is data."""
    rank = len(shape)
    rows = [[int(k == own and own != axis) for k in range(rank)] for own in range(rank)]
    return ref.over(shape, rows, [0] * rank)


def _check(lowering: Lowering, source: Node, index: Ref, least: int, size: int) -> None:
    """Stop the plan where an index is out of range, unless it was made within it."""
    made = source
    while made.inputs and made.op.name in ("reshape", "expand", "permute", "slice"):
        made = made.inputs[0]
    # Without inputs it was computed before this plan, by whatever op: only its numbers are known.
    if made.inputs and made.op.name == "class_index" and made.meta["classes"] <= size:
        return
    body = Body()
    place = body.read(index)
    below = body.apply(logic.lt, place, body.constant(least, int64))
    above = body.apply(logic.le, body.constant(size, int64), place)
    lowering.check(index.shape, body, body.apply(logic.or_, below, above))


@lowers("gather")
def _gather(lowering: Lowering, node: Node) -> Ref | None:
    x, index = (_plain(lowering, source) for source in node.inputs)
    axis = node.meta["axis"]
    if not prod(x.shape):
        return None
    _check(lowering, node.inputs[1], index, 0, x.shape[axis])
    body = Body()
    place = body.read(index)
    picks = ((place, x.strides[axis], x.shape[axis]),)
    term = body.put(Pick(node.dtype, _without(x, node.shape, axis), picks))
    value = lowering.result(node)
    lowering.kernel(node.shape, body, [Write(Ref.whole(value), term)])
    return Ref.whole(value)


@lowers("scatter_add")
def _scatter_add(lowering: Lowering, node: Node) -> Ref | None:
    base, index, source = (lowering.seen(each) for each in node.inputs)
    axis = node.meta["axis"]
    if not prod(node.shape):
        return None
    _check(lowering, node.inputs[1], index, 0, node.shape[axis])
    if index.shape[axis] == 1:  # one place in each row: every element asks whether it is meant
        return _one_of_each_row(lowering, node, base, index, source)
    value = lowering.result(node)
    whole = Ref.whole(value)
    lowering.copy(base, whole)
    body = Body()
    term, place = body.read(source), body.read(index)
    picks = ((place, whole.strides[axis], whole.shape[axis]),)
    target = _without(whole, index.shape, axis)
    lowering.kernel(index.shape, body, [Write(target, term, picks, add=True)])
    return whole


def _one_of_each_row(
    lowering: Lowering, node: Node, base: Ref, index: Ref, source: Ref
) -> Ref | None:
    axis = node.meta["axis"]
    if any(
        a != b for k, (a, b) in enumerate(zip(index.shape, node.shape, strict=True)) if k != axis
    ):
        return None
    body = Body()
    x, place, addend = (
        body.read(ref) for ref in (base, index.expanded(node.shape), source.expanded(node.shape))
    )
    here = body.apply(logic.eq, place, body.put(Index(int64, axis)))
    added = body.apply(elementwise.add, x, addend)
    term = body.apply(elementwise.where, here, added, x)
    lead = [axis, *(k for k in range(len(node.shape)) if k != axis)]
    value = lowering.result(node, lead if axis else None)
    lowering.kernel(node.shape, body, [Write(Ref.whole(value), term)])
    return Ref.whole(value)


# ---------------------------------------------------------------- several arrays at once


def _picks(
    lowering: Lowering, body: Body, node: Node, indices: list[Ref], x: Ref, shape: Sizes
) -> tuple[tuple[int, int, int], ...]:
    """Where [i0[b], i1[b], …] lies; negative numbers count from the end."""
    picks = []
    for axis, index in enumerate(indices):
        missing = len(shape) - (len(x.shape) - len(indices)) - len(index.shape)
        wide = index.reshaped((1,) * missing + index.shape + (1,) * (len(x.shape) - len(indices)))
        assert wide is not None, "axes of size 1 change nothing"
        place = body.read(wide.expanded(shape))
        zero = body.constant(0, int64)
        size = body.constant(x.shape[axis], int64)
        negative = body.apply(logic.lt, place, zero)
        wrapped = body.apply(elementwise.add, place, size)
        place = body.apply(elementwise.where, negative, wrapped, place)
        picks.append((place, x.strides[axis], x.shape[axis]))
    return tuple(picks)


def _rows(x: Ref, shape: Sizes, count: int) -> Ref:
    """An array over [*B, *R]: its first ``count`` axes are data, the others the last of them."""
    rank, rest = len(shape), len(x.shape) - count
    rows = [[0] * rank for _ in range(count)]
    rows += [[int(k == rank - rest + own) for k in range(rank)] for own in range(rest)]
    return x.over(shape, rows, [0] * len(x.shape))


@lowers("index")
def _index(lowering: Lowering, node: Node) -> Ref | None:
    x, *indices = (_plain(lowering, source) for source in node.inputs)
    if not prod(x.shape):
        return None
    for axis, index in enumerate(indices):
        _check(lowering, node.inputs[1 + axis], index, -x.shape[axis], x.shape[axis])
    body = Body()
    picks = _picks(lowering, body, node, indices, x, node.shape)
    term = body.put(Pick(node.dtype, _rows(x, node.shape, len(indices)), picks))
    value = lowering.result(node)
    lowering.kernel(node.shape, body, [Write(Ref.whole(value), term)])
    return Ref.whole(value)


@lowers("index_add", "index_put")
def _index_write(lowering: Lowering, node: Node) -> Ref | None:
    base, source, *indices = (_plain(lowering, each) for each in node.inputs)
    if not prod(node.shape):
        return None
    for axis, index in enumerate(indices):
        _check(lowering, node.inputs[2 + axis], index, -base.shape[axis], base.shape[axis])
    value = lowering.result(node)
    whole = Ref.whole(value)
    lowering.copy(base, whole)
    body = Body()
    term = body.read(source)
    picks = _picks(lowering, body, node, indices, whole, source.shape)
    add = node.op.name == "index_add"
    target = _rows(whole, source.shape, len(indices))
    lowering.kernel(source.shape, body, [Write(target, term, picks, add=add)])
    return whole


@lowers("class_index")
def _class_index(lowering: Lowering, node: Node) -> Ref:
    ref = lowering.seen(node.inputs[0])
    ignore, classes = node.meta["ignore"], node.meta["classes"]
    _check_labels(lowering, node, ref)
    body, label, zero = _label(ref)
    if ignore is not None:
        left_out = body.apply(logic.eq, label, body.constant(ignore, int64))
        label = body.apply(elementwise.where, left_out, zero, label)
    label = body.apply(elementwise.maximum, label, zero)
    most = body.constant(max(classes - 1, 0), int64)
    label = body.apply(elementwise.minimum, label, most)
    value = lowering.result(node)
    lowering.kernel(node.shape, body, [Write(Ref.whole(value), label)])
    return Ref.whole(value)


def _label(ref: Ref) -> tuple[Body, int, int]:
    """A body with a label as i64 and 0."""
    body = Body()
    label = body.read(ref)
    if ref.dtype is not int64:
        label = body.apply(elementwise.cast, label, result=int64, dtype="int64")
    return body, label, body.constant(0, int64)


def _check_labels(lowering: Lowering, node: Node, ref: Ref) -> None:
    body, label, zero = _label(ref)
    below = body.apply(logic.lt, label, zero)
    above = body.apply(logic.le, body.constant(node.meta["classes"], int64), label)
    wrong = body.apply(logic.or_, below, above)
    if node.meta["ignore"] is not None:
        counts = body.apply(logic.ne, label, body.constant(node.meta["ignore"], int64))
        wrong = body.apply(logic.and_, wrong, counts)
    lowering.check(ref.shape, body, wrong)


@lowers("probability", "sign_label")
def _checked(lowering: Lowering, node: Node) -> Ref:
    """The same numbers, if they are in range."""
    ref = lowering.seen(node.inputs[0])
    body = Body()
    x = body.read(ref)
    one = body.constant(1, ref.dtype)
    if node.op.name == "sign_label":
        wrong = body.apply(logic.ne, body.apply(elementwise.abs_, x), one)
    else:
        below = body.apply(logic.lt, x, body.constant(0, ref.dtype))
        wrong = body.apply(logic.or_, below, body.apply(logic.lt, one, x))
    lowering.check(ref.shape, body, wrong)
    return ref


@lowers("floor_divide", "remainder", "pow")
def _whole_numbers(lowering: Lowering, node: Node) -> Ref:
    """Of whole numbers: no division by 0, no negative exponent."""
    if not node.dtype.is_floating_point:
        ref = lowering.seen(node.inputs[1])
        body = Body()
        b, zero = body.read(ref), body.constant(0, ref.dtype)
        op = logic.lt if node.op.name == "pow" else logic.eq
        lowering.check(ref.shape, body, body.apply(op, b, zero))
    return lowering.elementwise(node)
