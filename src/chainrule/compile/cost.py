"""What a kernel costs: floating-point operations, bytes, and the time that these need at least.

An operation is one multiplication, addition, comparison or elementwise function of floating-point
numbers; a multiply-add is two.  What a kernel leaves out, as it lies outside of an array, does not
count; zeros that were stored around an image do.  Bytes are those of the distinct elements that a
kernel reads and writes, each once: what no cache holds is read again, and makes it slower.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from chainrule.compile.plan import (
    Apply,
    Bound,
    Contract,
    Host,
    Instruction,
    Kernel,
    Pick,
    Ref,
    Value,
)

__all__ = ["Cost", "Speeds", "cost"]

MOVES = {"where", "cast", "assign", "detach"}  # they choose or rename, and compute nothing
LARGEST = 1 << 20  # places that are looked at to count those inside of an array


@dataclass(frozen=True)
class Cost:
    """Of one kernel; ``itemsize``: bytes of the numbers that are multiplied."""

    operations: int
    read: int  # bytes
    written: int  # bytes
    itemsize: int = 4

    @property
    def nbytes(self) -> int:
        """Bytes read and written."""
        return self.read + self.written


@dataclass(frozen=True)
class Speeds:
    """What a processor can do, measured: see ``run/llvm/peak.py`` and ``run/llvm/stream.py``."""

    operations: float  # f32 a second
    cached: float  # bytes a second, of what fits into ``cache``
    memory: float  # bytes a second, of more
    cache: int  # bytes

    def seconds(self, cost: Cost) -> float:
        """By the roofline: the longer one of computing and moving, as if both were perfect."""
        bandwidth = self.cached if cost.nbytes <= self.cache else self.memory
        return max(cost.operations * cost.itemsize / 4 / self.operations, cost.nbytes / bandwidth)


def cost(kernel: Kernel | Host) -> Cost:
    """Operations and bytes of a kernel; a node that the reference computes has no known number."""
    if isinstance(kernel, Host):
        return Cost(0, sum(v.nbytes for v in set(kernel.inputs)), kernel.output.nbytes)
    places = prod(kernel.axes)
    operations, itemsize = places * _of_body(kernel.body), 4
    inner = kernel.inner
    if isinstance(inner, Contract):
        terms = _inside((*kernel.axes, *inner.extents), (*inner.a.bounds, *inner.b.bounds))
        operations += 2 * terms
        itemsize = inner.a.dtype.itemsize
    elif inner is not None:
        terms = places * prod(inner.extents)
        operations += terms * (_of_body(inner.body) + len(inner.parts))
    adds = [write for write in kernel.writes if write.add]
    read = [*_reads(kernel), *((w.ref, bool(w.picks)) for w in adds)]
    starts = {start.value for ref, _ in read for start in ref.starts}
    writes = [(write.ref, bool(write.picks)) for write in kernel.writes]
    return Cost(
        operations, _touched(read) + sum(v.nbytes for v in starts), _touched(writes), itemsize
    )


def _of_body(body: Sequence[Instruction]) -> int:
    """Operations of a body at one place."""
    return sum(
        item.op.name not in MOVES and any(body[term].dtype.is_floating_point for term in item.terms)
        for item in body
        if isinstance(item, Apply)
    )


def _reads(kernel: Kernel) -> Iterable[tuple[Ref, bool]]:
    """What is read, and whether its place is data."""
    picked = {id(i.ref) for i in kernel.body if isinstance(i, Pick)}
    return [(ref, id(ref) in picked) for ref in kernel.refs()]


def _touched(refs: Iterable[tuple[Ref, bool]]) -> int:
    """Bytes of the distinct elements of arrays; of each array no more than it has."""
    found: dict[Value, int] = {}
    for ref, picked in refs:
        elements = prod(ref.shape)
        if elements and not picked:  # windows overlap, axes repeat: no more than lie between
            moving = [(n, abs(s)) for n, s in zip(ref.shape, ref.strides, strict=True) if s]
            elements = min(prod(n for n, _ in moving), 1 + sum((n - 1) * s for n, s in moving))
        found[ref.value] = found.get(ref.value, 0) + elements * ref.dtype.itemsize
    return sum(min(nbytes, value.nbytes) for value, nbytes in found.items())


def _inside(shape: Sequence[int], bounds: Sequence[Bound]) -> int:
    """At how many places of a space all bounds hold."""
    groups: list[tuple[set[int], list[Bound]]] = []  # axes that bounds tie together
    for bound in bounds:
        axes, tied = {axis for axis, factor in enumerate(bound.factors) if factor}, [bound]
        for group in [group for group in groups if group[0] & axes]:
            groups.remove(group)
            axes, tied = axes | group[0], tied + group[1]
        groups.append((axes, tied))
    count = prod(shape)
    for axes, tied in groups:
        places = prod(shape[axis] for axis in axes)
        if 0 < places <= LARGEST:
            count = count // places * _holding(shape, sorted(axes), tied)
    return count


def _holding(shape: Sequence[int], axes: Sequence[int], bounds: Sequence[Bound]) -> int:
    """At how many places of some axes bounds on these hold."""
    index = np.indices([shape[axis] for axis in axes])
    there = np.ones(index.shape[1:], bool)
    for bound in bounds:
        factors = [bound.factors[axis] for axis in axes]
        position = bound.start + np.tensordot(factors, index, 1)
        there &= (position >= 0) & (position < bound.size)
    return int(there.sum())
