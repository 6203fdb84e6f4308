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
PIECE = 256  # terms of a chain of sums; longer ones are sums of pieces, each from zero


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


class _Totals:
    """What a reduction has come to while its loops are written; sums in pieces of their chain.

    The pieces follow from the extents alone: trailing extents make one as long as they have no more
    than 256 terms together, and a longer extent is cut every 256 terms.
    """

    def __init__(self, writer: Writer, reduce: Reduce, width: int) -> None:
        self.text, self.values = writer.text, _first(writer, reduce, width)
        self._zeros: list[Vector | None] = []
        for combiner, _ in reduce.parts:
            own = {"sum": [self.values[len(self._zeros)]], "argmax": [None, None]}
            self._zeros += own.get(combiner, [None])
        terms = list(reduce.extents)
        if reduce.lanes and terms:
            terms[-1] = -(-terms[-1] // LANES)
        self._alone: set[int] = set()  # axes each of whose indices is a piece
        size = 1
        for axis in reversed(range(1, len(terms))):
            size *= terms[axis]
            if size * terms[axis - 1] > PIECE:
                self._alone.add(axis - 1)
                size = 1

    def along(self, axis: int, stop: int, step: int, inside: Callable[[str], None]) -> None:
        """Loop over an extent."""

        def each(index: str) -> None:
            if axis in self._alone:
                self._piece(lambda: inside(index))
            else:
                inside(index)

        def some(start: str) -> None:
            end = self.text.least(self.text.add(start, str(PIECE * step)), str(stop))
            self._piece(lambda: self._loop(start, end, step, each))

        if stop <= PIECE * step:
            self._loop("0", str(stop), step, each)
        else:
            self._loop("0", str(stop), PIECE * step, some)

    def _piece(self, inside: Callable[[], None]) -> None:
        """Sums from zero, added to what there was."""
        before = self.values
        self.values = [
            old if zero is None else zero for zero, old in zip(self._zeros, before, strict=True)
        ]
        inside()
        self.values = [
            new if zero is None else old + new
            for zero, old, new in zip(self._zeros, before, self.values, strict=True)
        ]

    def _loop(self, start: str, stop: str, step: int, inside: Callable[[str], None]) -> None:
        carried = [(value.kind, value.name) for value in self.values]
        with self.text.loop(start, stop, str(step), carried) as loop:
            self._rename(loop.values)
            inside(loop.index)
            loop.next = [value.name for value in self.values]
        self._rename(loop.values)

    def _rename(self, names: list[str]) -> None:
        self.values = [
            Vector(self.text, name, value.dtype, value.width)
            for name, value in zip(names, self.values, strict=True)
        ]


def _chain(writer: Writer, reduce: Reduce, at: Lanes) -> list[Vector]:
    """All elements of the extents in order, one after the other; the results, in part order."""
    totals = _Totals(writer, reduce, at.width)
    text = writer.text
    few = prod(reduce.extents) <= UNROLLED

    def along(inner: tuple[str, ...], number: str) -> None:
        axis = len(inner)
        if axis == len(reduce.extents):
            here = Lanes((*at.index, *inner), at.axis, at.width, at.count)
            if number.startswith("%") and any(c == "argmax" for c, _ in reduce.parts):
                number = text.let(f"trunc i64 {number} to i32")
            totals.values = _combined(writer, reduce, totals.values, here, number)
            return
        step = str(reduce.steps[axis] if reduce.steps else 0)

        def inside(index: str) -> None:
            along((*inner, index), text.add(number, text.mul(index, step)))

        if few:
            for k in range(reduce.extents[axis]):
                inside(str(k))
        else:
            totals.along(axis, reduce.extents[axis], 1, inside)

    along((), "0")
    results, k = [], 0
    for combiner, _ in reduce.parts:
        k += combiner == "argmax"
        results.append(totals.values[k])
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
    totals = _Totals(writer, reduce, LANES)

    def along(inner: tuple[str, ...]) -> None:
        extent = reduce.extents[len(inner)]
        if len(inner) < last:
            totals.along(len(inner), extent, 1, lambda i: along((*inner, i)))
            return
        rest = extent % LANES
        place = (*at.index, *inner)
        if extent - rest:
            totals.along(last, extent - rest, LANES, lambda i: add(Lanes((*place, i), axis, LANES)))
        if rest:
            add(Lanes((*place, str(extent - rest)), axis, LANES, str(rest)))

    def add(here: Lanes) -> None:
        s = Scalars(text, LANES)
        terms = writer.body(reduce.body, here)
        for k, (_, term) in enumerate(reduce.parts):
            value = terms[term]
            if here.count is not None:
                exists = Vector(text, writer.mask(here), bool_, LANES)
                value = s.where(exists, value, s.constant(0, value.dtype))
            totals.values[k] = totals.values[k] + value

    along(())
    return totals.values
