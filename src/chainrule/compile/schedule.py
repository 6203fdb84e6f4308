"""In which order a kernel's axes are walked, and how its work is cut into chunks.

Nothing here changes a number: a kernel's axes are independent of one another, and reductions keep
their order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

from chainrule.compile.plan import (
    Bound,
    Constant,
    Contract,
    Index,
    Instruction,
    Kernel,
    Pick,
    Read,
    Reduce,
    Ref,
)

__all__ = ["chunk_size", "ordered"]

CHUNK_WORK = 1 << 17  # elementary operations of a chunk at least: some microseconds


def ordered(kernel: Kernel) -> Kernel:
    """The same kernel with its axes as its first write lies in memory, neighbours made one.

    before: Map (64,6,28,28) y[n,k,p,q] by strides (1,50176,1792,64)
    after:  Map (301056,)    y[i] by stride 1, if all that it reads lies in the same way
    """
    order = _memory_order(kernel)
    kernel = _mapped(kernel, lambda ref: _permuted(ref, order), order)
    at = len(kernel.axes) - 1
    while at > 0:
        if kernel.axes[at - 1] == 1 or kernel.axes[at] == 1 or _mergeable(kernel, at):
            kernel = _merged(kernel, at)
        at -= 1
    return kernel


def chunk_size(extent: int, work: int) -> int:
    """How many indices of an axis make one chunk, if each is ``work`` operations; ≤ 64 chunks.

    >>> chunk_size(28, 540_000), chunk_size(1000, 100)
    (1, 1000)
    """
    fewest = -(-CHUNK_WORK // max(work, 1))
    return max(1, min(extent, max(fewest, -(-extent // 64))))


def _memory_order(kernel: Kernel) -> list[int]:
    """The axes by falling stride of the first write; those it doesn't move along by first read."""
    refs = [write.ref for write in kernel.writes] + list(kernel.refs())
    rank = len(kernel.axes)

    def key(axis: int) -> tuple[int, ...]:
        return (int(kernel.axes[axis] == 1), *(-abs(r.strides[axis]) for r in refs[:1]), axis)

    units = [axis for axis in range(rank) if kernel.axes[axis] == 1]
    return units + [axis for axis in sorted(range(rank), key=key) if axis not in units]


def _permuted(ref: Ref, order: Sequence[int]) -> Ref:
    """Leading axes in another order; those of a reduction follow as they are."""
    whole = [*order, *range(len(order), len(ref.shape))]
    return ref.permuted(whole)


def _mergeable(kernel: Kernel, at: int) -> bool:
    """Whether axes at-1 and at lie one after the other in everything."""
    extent = kernel.axes[at]
    used = {i.axis for i in _instructions(kernel) if isinstance(i, Index)}
    if used & {at - 1, at}:
        return False
    return all(
        ref.strides[at - 1] == ref.strides[at] * extent
        and not any(b.factors[at - 1] or b.factors[at] for b in ref.bounds)
        for ref in _all_refs(kernel)
    )


def _merged(kernel: Kernel, at: int) -> Kernel:
    """Axes at-1 and at as one."""
    outer, inner = kernel.axes[at - 1], kernel.axes[at]
    keep = at - 1 if inner == 1 else at  # whose stride stays

    def merge(ref: Ref) -> Ref:
        def joined(row: Sequence[int]) -> tuple[int, ...]:
            return (*row[: at - 1], row[keep], *row[at + 1 :])

        shape = (*ref.shape[: at - 1], outer * inner, *ref.shape[at + 1 :])
        bounds = tuple(Bound(joined(b.factors), b.start, b.size) for b in ref.bounds)
        return replace(ref, shape=shape, strides=joined(ref.strides), bounds=bounds)

    axes = (*kernel.axes[: at - 1], outer * inner, *kernel.axes[at + 1 :])
    place: list[int | None] = [axis - (axis >= at) for axis in range(len(kernel.axes))]
    if 1 in (outer, inner):
        place[at if inner == 1 else at - 1] = None
    return _rebuilt(kernel, axes, merge, place)


def _mapped(kernel: Kernel, change: Callable[[Ref], Ref], order: Sequence[int]) -> Kernel:
    axes = tuple(kernel.axes[axis] for axis in order)
    place: list[int | None] = [list(order).index(axis) for axis in range(len(order))]
    return _rebuilt(kernel, axes, change, place)


def _rebuilt(
    kernel: Kernel,
    axes: tuple[int, ...],
    change: Callable[[Ref], Ref],
    place: Sequence[int | None],
) -> Kernel:
    """The kernel with each ref changed; ``place``: where each old axis is now, if it moves."""

    def body(old: Sequence[Instruction]) -> list[Instruction]:
        new: list[Instruction] = []
        for item in old:
            if isinstance(item, (Read, Pick)):
                item = replace(item, ref=change(item.ref))
            elif isinstance(item, Index) and item.axis < len(place):
                axis = place[item.axis]
                item = Constant(item.dtype, 0) if axis is None else replace(item, axis=axis)
            elif isinstance(item, Index):
                item = replace(item, axis=item.axis - len(place) + len(axes))
            new.append(item)
        return new

    inner = kernel.inner
    if isinstance(inner, Contract):
        inner = replace(inner, a=change(inner.a), b=change(inner.b))
    elif isinstance(inner, Reduce):
        inner = replace(inner, body=body(inner.body))
    writes = [replace(write, ref=change(write.ref)) for write in kernel.writes]
    return Kernel(axes, body(kernel.body), writes, inner, kernel.nodes, kernel.flags)


def _instructions(kernel: Kernel) -> list[Instruction]:
    inner = kernel.inner.body if isinstance(kernel.inner, Reduce) else []
    return [*kernel.body, *inner]


def _all_refs(kernel: Kernel) -> list[Ref]:
    return [*kernel.refs(), *(write.ref for write in kernel.writes)]


def work_of(kernel: Kernel) -> int:
    """Elementary operations of a kernel, roughly: what chunks are cut by."""
    elements = prod(kernel.axes)
    total = elements * (len(kernel.body) + len(kernel.writes))
    if isinstance(kernel.inner, Contract):
        total += 2 * elements * prod(kernel.inner.extents) // 8  # in vectors
    elif kernel.inner is not None:
        total += elements * prod(kernel.inner.extents) * len(kernel.inner.body)
    return total
