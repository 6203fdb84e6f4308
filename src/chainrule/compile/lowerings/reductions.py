"""Reductions: sums, extrema, and what is made of them."""

from __future__ import annotations

from math import inf, prod
from typing import Any

import numpy as np

from chainrule.compile.lower import Body, Lowering, Reduction, lowers, reduced_order
from chainrule.compile.plan import Ref, Result, Write
from chainrule.dtypes import DType, bool_, int32, int64
from chainrule.graph import Node
from chainrule.ops import elementwise, logic

__all__ = ["lowest"]


def lowest(dtype: DType, sign: int = 1) -> Any:
    """The lowest number of a type; with sign -1 the highest."""
    if dtype.is_floating_point:
        return -sign * inf
    limits = np.iinfo(np.uint8 if dtype is bool_ else dtype.numpy)
    return int(limits.min if sign > 0 else limits.max)


@lowers("sum")
def _sum(lowering: Lowering, node: Node) -> Ref:
    ref = lowering.seen(node.inputs[0])
    reduction = Reduction(lowering, ref.shape, node.meta["axes"])
    term = reduction.terms.read(reduction.over(ref))
    if ref.dtype is not node.dtype:
        term = reduction.terms.apply(
            elementwise.cast, term, result=node.dtype, dtype=node.dtype.name
        )
    return _finish(lowering, node, reduction, ref, "sum", term)


def _finish(
    lowering: Lowering, node: Node, reduction: Reduction, ref: Ref, combiner: str, term: int
) -> Ref:
    """One part, written as it is."""
    total = reduction.after.put(Result(node.dtype, 0))
    value = lowering.result(node, reduced_order(ref, reduction.kept))
    reduction.done([(combiner, term)], Ref.whole(value), total)
    return Ref.whole(value)


@lowers("amax", "amin")
def _extremum(lowering: Lowering, node: Node) -> Ref:
    ref = lowering.seen(node.inputs[0])
    reduction = Reduction(lowering, ref.shape, node.meta["axes"])
    combiner = "max" if node.op.name == "amax" else "min"
    return _finish(
        lowering, node, reduction, ref, combiner, reduction.terms.read(reduction.over(ref))
    )


@lowers("argmax")
def _argmax(lowering: Lowering, node: Node) -> Ref:
    ref = lowering.seen(node.inputs[0])
    reduction = Reduction(lowering, ref.shape, (node.meta["axis"],))
    term, after = reduction.terms.read(reduction.over(ref)), reduction.after
    found = after.put(Result(int32, 0))
    first = after.apply(elementwise.maximum, found, after.constant(0, int32))
    first = after.apply(elementwise.cast, first, result=int64, dtype="int64")
    value = lowering.result(node, reduced_order(ref, reduction.kept))
    reduction.done([("argmax", term)], Ref.whole(value), first, steps=(1,))
    return Ref.whole(value)


@lowers("logsumexp")
def _logsumexp(lowering: Lowering, node: Node) -> Ref | None:
    ref = lowering.seen(node.inputs[0])
    axis = node.meta["axis"]
    if ref.shape[axis] == 0:
        return None
    largest, total = _exponentials(lowering, ref, axis, finite=True)
    body = Body()
    terms = [body.read(total), body.read(largest)]
    logarithm = body.apply(elementwise.log, terms[0])
    term = body.apply(elementwise.add, logarithm, terms[1])
    value = lowering.result(node, reduced_order(total, range(len(total.shape))))
    lowering.kernel(node.shape, body, [Write(Ref.whole(value), term)])
    return Ref.whole(value)


@lowers("log_softmax")
def _log_softmax(lowering: Lowering, node: Node) -> Ref | None:
    ref = lowering.seen(node.inputs[0])
    axis = node.meta["axis"]
    if prod(ref.shape) == 0:
        return None
    largest, total = _exponentials(lowering, ref, axis, finite=False)
    body = Body()
    x = body.read(ref)
    m, s = (body.read(_along(small, axis, ref.shape)) for small in (largest, total))
    shifted = body.apply(elementwise.sub, x, m)
    term = body.apply(elementwise.sub, shifted, body.apply(elementwise.log, s))
    value = lowering.result(node, reduced_order(ref, range(len(ref.shape))))
    lowering.kernel(node.shape, body, [Write(Ref.whole(value), term)])
    return Ref.whole(value)


def _along(small: Ref, axis: int, shape: tuple[int, ...]) -> Ref:
    """A ref without an axis, repeated along it."""
    wide = small.reshaped((*shape[:axis], 1, *shape[axis + 1 :]))
    assert wide is not None
    return wide.expanded(shape)


def _exponentials(lowering: Lowering, ref: Ref, axis: int, *, finite: bool) -> tuple[Ref, Ref]:
    """max x and Σ exp(x - max x) along an axis; ``finite``: an infinite maximum counts as 0."""
    shape = tuple(size for k, size in enumerate(ref.shape) if k != axis)
    reduction = Reduction(lowering, ref.shape, (axis,))
    order = reduced_order(ref, reduction.kept)
    largest = Ref.whole(lowering.value(ref.dtype, shape, order))
    found = reduction.after.put(Result(ref.dtype, 0))
    if finite:
        here = reduction.after.apply(logic.isfinite, found)
        zero = reduction.after.constant(0.0, ref.dtype)
        found = reduction.after.apply(elementwise.where, here, found, zero)
    term = reduction.terms.read(reduction.over(ref))
    reduction.done([("max", term)], largest, found)

    reduction = Reduction(lowering, ref.shape, (axis,))
    x = reduction.terms.read(reduction.over(ref))
    m = reduction.terms.read(reduction.spread(largest))
    term = reduction.terms.apply(elementwise.exp, reduction.terms.apply(elementwise.sub, x, m))
    total = Ref.whole(lowering.value(ref.dtype, shape, order))
    reduction.done([("sum", term)], total, reduction.after.put(Result(ref.dtype, 0)))
    return largest, total


@lowers("moments")
def _moments(lowering: Lowering, node: Node) -> Ref:
    ref = lowering.seen(node.inputs[0])
    axes = node.meta["axes"]
    count = prod(ref.shape[axis] for axis in axes)
    value = lowering.result(node)
    rank = len(node.shape) - 1

    def part(number: int) -> Ref:
        one = Ref.whole(value).sliced((0,), (1,), (1,), (number,)).reshaped(node.shape[1:])
        assert one is not None and len(one.shape) == rank
        return one

    for number in (0, 1):
        reduction = Reduction(lowering, ref.shape, axes)
        term = reduction.terms.read(reduction.over(ref))
        if number:
            mean = reduction.terms.read(reduction.spread(part(0)))
            term = reduction.terms.apply(elementwise.sub, term, mean)
            term = reduction.terms.apply(elementwise.square, term)
        total = reduction.after.put(Result(ref.dtype, 0))
        many = reduction.after.constant(float(count), ref.dtype)
        mean = reduction.after.apply(elementwise.div, total, many)
        reduction.done([("sum", term)], part(number), mean)
    return Ref.whole(value)
