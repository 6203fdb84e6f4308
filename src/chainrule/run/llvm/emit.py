"""Map and Reduce kernels as text: loops over the axes, the last one in vectors of 16."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, prod

import numpy as np

from chainrule.compile.machine import Machine
from chainrule.compile.plan import LANES, Contract, Instruction, Kernel, Reduce, Value
from chainrule.compile.schedule import chunk_size, ordered, work_of
from chainrule.dtypes import DType, bool_, int32
from chainrule.run.llvm.contract import ChainWriter, tree
from chainrule.run.llvm.lanes import LanesWriter
from chainrule.run.llvm.scalar import Scalars
from chainrule.run.llvm.value import Value as Vector
from chainrule.run.llvm.writer import IN_MEMORY, Lanes, Writer

__all__ = ["Code", "emit"]

UNROLLED = 16  # terms of a reduction that are written one after the other, without a loop


@dataclass(frozen=True)
class Code:
    """A kernel's text, the arrays that its slots stand for, in how many chunks it is done."""

    text: str
    arguments: tuple[Value, ...]
    chunks: int


def emit(kernel: Kernel, machine: Machine) -> Code:
    """The text of a kernel."""
    kernel = ordered(kernel)
    writer = Writer()
    if isinstance(kernel.inner, Contract):
        way = LanesWriter if kernel.inner.lanes else ChainWriter
        chunks = way(writer, kernel, kernel.inner, machine).write()
    elif isinstance(kernel.inner, Reduce):
        chunks = _write_reduce(writer, kernel, kernel.inner)
    else:
        chunks = _write_map(writer, kernel)
    return Code(writer.module(), tuple(writer.arguments), chunks)


# ---------------------------------------------------------------- loops


def _walk(
    writer: Writer, axes: Sequence[int], work: int, width: int, inside: Callable[[Lanes], None]
) -> int:
    """``inside`` at every place, ``width`` elements of the last axis at once; how many chunks.

    The first axis is cut into chunks.  What remains of the last one is done with a count, or one
    by one where ``width`` is 1.
    """
    text = writer.text
    last = len(axes) - 1
    if last < 0:
        inside(Lanes((), 0, 1))
        return 1
    unit = width if last == 0 else 1
    blocks = -(-axes[0] // unit)
    per = chunk_size(blocks, work // max(blocks, 1))
    chunks = max(1, -(-blocks // per))
    low, high = "0", str(axes[0])
    if chunks > 1:
        low = text.mul("%chunk", str(per * unit))
        high = text.least(text.add(low, str(per * unit)), high)

    def along(index: tuple[str, ...]) -> None:
        axis = len(index)
        start, stop = (low, high) if axis == 0 else ("0", str(axes[axis]))
        if axis < last:
            with text.loop(start, stop) as loop:
                along((*index, loop.index))
            return
        rest = axes[last] % width
        whole = str(axes[last] - rest)
        with text.loop(start, text.least(stop, whole), str(width)) as loop:
            inside(Lanes((*index, loop.index), last, width))
        if not rest:
            return
        tail = Lanes((*index, whole), last, width, str(rest))
        if last == 0 and chunks > 1:
            with text.when(text.let(f"icmp sgt i64 {stop}, {whole}")):
                inside(tail)
        else:
            inside(tail)

    along(())
    return chunks


def _width(kernel: Kernel, body: Sequence[Instruction]) -> int:
    """16, or 1 where vectors don't help: a short last axis, sums into places that are data."""
    if not kernel.axes or kernel.axes[-1] == 1:
        return 1
    if any(write.picks or write.add for write in kernel.writes):
        return 1
    small = any(IN_MEMORY[i.dtype.name] == "i8" for i in body)
    if kernel.axes[-1] < LANES and (small or kernel.axes[-1] < 4):
        return 1
    return LANES


# ---------------------------------------------------------------- Map


def _write_map(writer: Writer, kernel: Kernel) -> int:
    width = _width(kernel, kernel.body)
    scatters = any(write.picks for write in kernel.writes)  # places may meet: one by one

    def inside(at: Lanes) -> None:
        terms = writer.body(kernel.body, at)
        writer.writes(kernel.writes, terms, at)
        writer.flags(kernel.flags, terms, at)

    work = 0 if scatters else work_of(kernel)
    return _walk(writer, kernel.axes, work, width, inside)


# ---------------------------------------------------------------- Reduce


def _write_reduce(writer: Writer, kernel: Kernel, reduce: Reduce) -> int:
    exact = all(combiner != "sum" for combiner, _ in reduce.parts)
    if reduce.lanes and not exact:
        return _write_lanes(writer, kernel, reduce)
    width = _width(kernel, [*kernel.body, *reduce.body])

    def inside(at: Lanes) -> None:
        totals = _chain(writer, reduce, at)
        terms = writer.body(kernel.body, at, lambda number: totals[number])
        writer.writes(kernel.writes, terms, at)

    return _walk(writer, kernel.axes, work_of(kernel), width, inside)


def _first(writer: Writer, reduce: Reduce, width: int) -> list[Vector]:
    """What each part begins with; an argmax has the number of its maximum behind it."""
    s = Scalars(writer.text, width)
    firsts = []
    for combiner, term in reduce.parts:
        dtype = reduce.body[term].dtype
        if combiner == "sum":
            firsts.append(s.constant(0, dtype))
        else:
            firsts.append(
                s.constant(_highest(dtype) if combiner == "min" else _lowest(dtype), dtype)
            )
        if combiner == "argmax":
            firsts.append(s.constant(-1, int32))
    return firsts


def _lowest(dtype: DType) -> float:
    return -inf if dtype.is_floating_point else int(np.iinfo(_whole(dtype)).min)


def _highest(dtype: DType) -> float:
    return inf if dtype.is_floating_point else int(np.iinfo(_whole(dtype)).max)


def _whole(dtype: DType) -> np.dtype:
    return np.dtype(np.uint8) if dtype is bool_ else dtype.numpy


def _combined(
    writer: Writer, reduce: Reduce, before: list[Vector], at: Lanes, number: str
) -> list[Vector]:
    """One more element; ``number`` is its place in the order of the extents."""
    s = Scalars(writer.text, at.width)
    terms = writer.body(reduce.body, at)
    after = []
    k = 0
    for combiner, term in reduce.parts:
        old, new = before[k], terms[term]
        if combiner == "sum":
            after.append(old + new)
        elif combiner == "max":
            after.append(s.maximum(old, new))
        elif combiner == "min":
            after.append(s.minimum(old, new))
        else:
            k += 1
            place = before[k]
            better = s.logical_or(new > old, s.logical_and(new != new, old == old))
            here = writer.splat(number, int32, at.width)
            after += [s.where(better, new, old), s.where(better, here, place)]
        k += 1
    return after


def _chain(writer: Writer, reduce: Reduce, at: Lanes) -> list[Vector]:
    """All elements of the extents in order, one after the other; the results, in part order."""
    totals = _first(writer, reduce, at.width)
    text = writer.text
    few = prod(reduce.extents) <= UNROLLED

    def along(inner: tuple[str, ...], number: str) -> None:
        nonlocal totals
        axis = len(inner)
        if axis == len(reduce.extents):
            here = Lanes((*at.index, *inner), at.axis, at.width, at.count)
            if number.startswith("%") and any(c == "argmax" for c, _ in reduce.parts):
                number = text.let(f"trunc i64 {number} to i32")
            totals = _combined(writer, reduce, totals, here, number)
            return
        extent = reduce.extents[axis]
        step = reduce.steps[axis] if reduce.steps else 0
        if few:
            for k in range(extent):
                along((*inner, str(k)), text.add(number, str(k * step)))
            return
        carried = [(total.kind, total.name) for total in totals]
        with text.loop("0", str(extent), carried=carried) as loop:
            totals = [
                Vector(text, name, total.dtype, at.width)
                for name, total in zip(loop.values, totals, strict=True)
            ]
            along((*inner, loop.index), text.add(number, text.mul(loop.index, str(step))))
            loop.next = [total.name for total in totals]
        totals = [
            Vector(text, name, total.dtype, at.width)
            for name, total in zip(loop.values, totals, strict=True)
        ]

    along((), "0")
    results, k = [], 0
    for combiner, _ in reduce.parts:
        k += combiner == "argmax"
        results.append(totals[k])
        k += 1
    return results


def _write_lanes(writer: Writer, kernel: Kernel, reduce: Reduce) -> int:
    """Sums of 16 partial sums along the last extent, for one element of the axes at a time."""

    def inside(at: Lanes) -> None:
        totals = _partial_sums(writer, reduce, at)
        results = [tree(writer, total) for total in totals]
        terms = writer.body(kernel.body, at, lambda number: results[number])
        writer.writes(kernel.writes, terms, at)

    return _walk(writer, kernel.axes, work_of(kernel), 1, inside)


def _partial_sums(writer: Writer, reduce: Reduce, at: Lanes) -> list[Vector]:
    text, rank, last = writer.text, len(at.index), len(reduce.extents) - 1
    axis = rank + last
    totals = _first(writer, reduce, LANES)

    def along(inner: tuple[str, ...]) -> None:
        nonlocal totals
        extent = reduce.extents[len(inner)]
        if len(inner) < last:
            each(str(extent), "1", lambda i: along((*inner, i)))
            return
        rest = extent % LANES
        place = (*at.index, *inner)
        if extent - rest:
            each(str(extent - rest), str(LANES), lambda i: add(Lanes((*place, i), axis, LANES)))
        if rest:
            add(Lanes((*place, str(extent - rest)), axis, LANES, str(rest)))

    def each(stop: str, step: str, inside: Callable[[str], None]) -> None:
        nonlocal totals
        kinds = [(total.kind, total.name) for total in totals]
        with text.loop("0", stop, step, carried=kinds) as loop:
            totals = renamed(loop.values)
            inside(loop.index)
            loop.next = [total.name for total in totals]
        totals = renamed(loop.values)

    def renamed(names: list[str]) -> list[Vector]:
        return [
            Vector(text, name, total.dtype, LANES)
            for name, total in zip(names, totals, strict=True)
        ]

    def add(here: Lanes) -> None:
        nonlocal totals
        s = Scalars(text, LANES)
        terms = writer.body(reduce.body, here)
        new = []
        for total, (_, term) in zip(totals, reduce.parts, strict=True):
            value = terms[term]
            if here.count is not None:
                exists = Vector(text, writer.mask(here), bool_, LANES)
                value = s.where(exists, value, s.constant(0, value.dtype))
            new.append(total + value)
        totals = new

    along(())
    return totals
