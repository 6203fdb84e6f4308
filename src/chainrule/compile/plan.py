"""The grammar of a plan: what a compiler pass may write, on one screen.

    Plan     = Value* Kernel*                       kernels in order; values live between them
    Kernel   = axes [Reduce | Contract] body Write* flags   one loop nest, every element of its axes
    Reduce   = extents, body, (combiner, term)*         what is combined, for each element
    Contract = extents, a, b                            Σ a b over the extents, for each element
    body     = (Read | Pick | Result | Apply | Constant | Index)*      single assignment, in order
    Ref      = an array seen through strides: what movement ops become; they are no kernels

A kernel without Reduce or Contract is a Map.  With one it is followed by the same kind of body,
which reads what was combined as ``Result``: bias, activation and update stand there.  A ``Host``
kernel is a node that the reference computes.

Canonical arithmetic: the bits of a result depend on op, shapes, dtype and input bits alone.  A sum
has one order, said by its kernel: the extents in order, the last one fastest, as one chain from
zero; or, with ``lanes``, the last extent spread over 16 partial sums (number i belongs to sum i mod
16), each a chain, joined by a fixed tree.  ``pieces`` outer extents are loops over partial sums,
each from zero, which are added in order.  Tiles, vectors, threads and fusion only choose among
executions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import prod
from typing import Any

from chainrule.dtypes import DType
from chainrule.graph import Node, type_text

__all__ = [
    "LANES",
    "Apply",
    "Bound",
    "Constant",
    "Contract",
    "Host",
    "Index",
    "Instruction",
    "Kernel",
    "Pick",
    "Plan",
    "Read",
    "Reduce",
    "Ref",
    "Result",
    "Start",
    "Value",
    "Write",
    "dense_strides",
]

LANES = 16  # partial sums of a reduction with lanes, on every machine
Sizes = tuple[int, ...]


def dense_strides(shape: Sizes, order: Sequence[int]) -> Sizes:
    """Strides in elements of an array whose axes lie in memory in that order, the last fastest.

    >>> dense_strides((64, 6, 28, 28), (1, 2, 3, 0))  # images with the batch fastest
    (1, 50176, 1792, 64)
    """
    strides, step = [0] * len(shape), 1
    for axis in reversed(order):
        strides[axis] = step
        step *= max(shape[axis], 1)
    return tuple(strides)


@dataclass(eq=False)
class Value:
    """An array in memory.  ``role``: "input" and "output" come from outside, "temp" from the arena.

    ``place``: the number of the input or output, or the offset in the arena in bytes.
    """

    dtype: DType
    shape: Sizes
    strides: Sizes
    role: str = "temp"
    place: int = -1
    label: str = ""

    @property
    def nbytes(self) -> int:
        """Bytes in memory, of a dense array."""
        return prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.label or self.role}: {type_text(self.shape, self.dtype)}"


@dataclass(frozen=True)
class Bound:
    """An element is there only where 0 ≤ start + Σ factors·i < size: padding reads ``fill``."""

    factors: Sizes
    start: int
    size: int


@dataclass(frozen=True)
class Start:
    """A run-time number that moves a Ref: + clamp(number, 0, most) · stride elements."""

    value: Value
    stride: int
    most: int


@dataclass(frozen=True)
class Ref:
    """An array seen through strides: element i lies at offset + Σ i·strides, in elements."""

    value: Value
    shape: Sizes
    strides: Sizes
    offset: int = 0
    bounds: tuple[Bound, ...] = ()
    fill: float = 0.0
    starts: tuple[Start, ...] = ()

    @staticmethod
    def whole(value: Value) -> Ref:
        """All of a value, as it is."""
        return Ref(value, value.shape, value.strides)

    @property
    def dtype(self) -> DType:
        """The number type."""
        return self.value.dtype

    def over(self, shape: Sizes, factors: Sequence[Sequence[int]], shifts: Sequence[int]) -> Ref:
        """The same elements over other axes: own axis k's index is shifts[k] + Σ factors[k]·i."""
        strides = tuple(
            sum(stride * row[axis] for stride, row in zip(self.strides, factors, strict=True))
            for axis in range(len(shape))
        )
        offset = self.offset + sum(s * d for s, d in zip(self.strides, shifts, strict=True))
        bounds = tuple(
            Bound(
                tuple(
                    sum(f * row[axis] for f, row in zip(bound.factors, factors, strict=True))
                    for axis in range(len(shape))
                ),
                bound.start + sum(f * d for f, d in zip(bound.factors, shifts, strict=True)),
                bound.size,
            )
            for bound in self.bounds
        )
        return Ref(self.value, shape, strides, offset, bounds, self.fill, self.starts)

    def permuted(self, axes: Sequence[int]) -> Ref:
        """Axis k of the result is axis ``axes[k]`` of this."""
        place = {axis: k for k, axis in enumerate(axes)}
        rows = [[int(place[own] == k) for k in range(len(axes))] for own in range(len(axes))]
        return self.over(tuple(self.shape[a] for a in axes), rows, [0] * len(axes))

    def expanded(self, shape: Sizes) -> Ref:
        """Repeated along axes of size 1."""
        rank = len(shape)
        rows = [
            [int(k == own and self.shape[own] == shape[own]) for k in range(rank)]
            for own in range(rank)
        ]
        return self.over(shape, rows, [0] * rank)

    def guarded(self, axes: Sequence[int]) -> Ref:
        """The same, to be read beyond its ends along these axes: there it is 0."""
        rank = len(self.shape)
        bounds = tuple(
            Bound(tuple(int(k == axis) for k in range(rank)), 0, self.shape[axis]) for axis in axes
        )
        return replace(self, bounds=self.bounds + bounds)

    def broadcast(self, shape: Sizes) -> Ref:
        """A number beside arrays of that shape; a ref of that shape as it is."""
        if self.shape == shape:
            return self
        assert not self.shape, f"{self.shape} beside {shape}"
        return self.over(shape, [], [])

    def sliced(self, axes: Sizes, sizes: Sizes, steps: Sizes, starts: Sequence[int | Value]) -> Ref:
        """[start : … : step] along axes; a start may be a run-time number."""
        shape, shifts = list(self.shape), [0] * len(self.shape)
        scale, moving = [1] * len(self.shape), list(self.starts)
        for axis, size, step, start in zip(axes, sizes, steps, starts, strict=True):
            scale[axis] = step
            if isinstance(start, Value):
                most = max(self.shape[axis] - ((size - 1) * step + 1), 0) if size else 0
                moving.append(Start(start, self.strides[axis], most))
            else:
                shifts[axis] = start
            shape[axis] = size
        rank = len(shape)
        rows = [[scale[own] * int(k == own) for k in range(rank)] for own in range(rank)]
        moved = self.over(tuple(shape), rows, shifts)
        return Ref(
            moved.value, moved.shape, moved.strides, moved.offset, moved.bounds, self.fill,
            tuple(moving),
        )  # fmt: skip

    def flipped(self, axes: Sizes) -> Ref:
        """In reverse order along axes."""
        rank = len(self.shape)
        rows = [[(-1 if own in axes else 1) * int(k == own) for k in range(rank)]
                for own in range(rank)]  # fmt: skip
        shifts = [size - 1 if axis in axes else 0 for axis, size in enumerate(self.shape)]
        return self.over(self.shape, rows, shifts)

    def padded(self, widths: Sequence[tuple[int, int]], fill: float) -> Ref | None:
        """With numbers around it; ``None`` if there is other padding already."""
        if self.bounds and (self.fill != fill):
            return None
        shape = tuple(
            size + before + after for size, (before, after) in zip(self.shape, widths, strict=True)
        )
        rank = len(shape)
        rows = [[int(k == own) for k in range(rank)] for own in range(rank)]
        moved = self.over(shape, rows, [-before for before, _ in widths])
        bounds = tuple(
            Bound(tuple(rows[axis]), -widths[axis][0], self.shape[axis])
            for axis in range(rank)
            if widths[axis] != (0, 0)
        )
        return Ref(
            self.value, shape, moved.strides, moved.offset, moved.bounds + bounds, fill, self.starts
        )

    def reshaped(self, shape: Sizes) -> Ref | None:
        """The numbers in order in another shape; ``None`` where strides cannot say that."""
        if prod(shape) == 0:
            return Ref(self.value, shape, (0,) * len(shape), self.offset, (), 0.0, self.starts)
        runs = _matching_runs(self.shape, shape)
        rows: list[list[int]] = [[0] * len(shape) for _ in self.shape]
        for old, new in runs:
            if not self._splits(old, new, shape, rows):
                return None
        return self.over(shape, rows, [0] * len(self.shape))

    def _splits(self, old: list[int], new: list[int], shape: Sizes, rows: list[list[int]]) -> bool:
        """Enter the axes ``new`` of a run of equal size as indices of the axes ``old``."""
        if len(old) > 1:  # old axes that lie one after the other act as one
            for outer, inner in pairwise(old):
                if self.strides[outer] != self.strides[inner] * self.shape[inner]:
                    return False
                if any(b.factors[outer] or b.factors[inner] for b in self.bounds):
                    return False
        step = 1
        for axis in reversed(new):
            if old:
                rows[old[-1]][axis] = step
            step *= shape[axis]
        return True

    def __str__(self) -> str:
        moved = "".join(f" + {s.value.label}·{s.stride}" for s in self.starts)
        strides = ",".join(map(str, self.strides))
        guard = " padded" if self.bounds else ""
        return f"{self.value.label or self.value.role}[{self.offset}{moved} by {strides}]{guard}"


def _matching_runs(old: Sizes, new: Sizes) -> list[tuple[list[int], list[int]]]:
    """Runs of axes of equal products, without those of size 1 of ``old``."""
    runs: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        before, after = [], []
        have, want = 1, 1
        while have != want or (not before and not after):
            if have <= want and i < len(old):
                have *= old[i]
                if old[i] != 1:
                    before.append(i)
                i += 1
            elif j < len(new):
                want *= new[j]
                after.append(j)
                j += 1
            else:
                i += 1
            if i >= len(old) and j >= len(new):
                break
        runs.append((before, after))
    return runs


# ---------------------------------------------------------------- bodies


@dataclass(frozen=True)
class Instruction:
    """Base class: one value of a body.  ``dtype`` is its type."""

    dtype: DType


@dataclass(frozen=True)
class Read(Instruction):
    """The element of an array at the kernel's index."""

    ref: Ref


@dataclass(frozen=True)
class Pick(Instruction):
    """An element whose place is data: the index moves by clamp(term, 0, size - 1) · stride."""

    ref: Ref
    picks: tuple[tuple[int, int, int], ...]  # (term, stride, size)


@dataclass(frozen=True)
class Result(Instruction):
    """What Reduce or Contract has made."""

    number: int


@dataclass(frozen=True)
class Apply(Instruction):
    """An elementwise op on terms of the body: its ``scalar`` formula."""

    op: Any
    terms: tuple[int, ...]
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Constant(Instruction):
    """A number that is part of the structure."""

    number: Any


@dataclass(frozen=True)
class Index(Instruction):
    """The index along one of the kernel's axes, i64."""

    axis: int


@dataclass(frozen=True)
class Write:
    """A term goes to an array; ``picks`` as in Pick, ``add``: it is added to what is there."""

    ref: Ref
    term: int
    picks: tuple[tuple[int, int, int], ...] = ()
    add: bool = False


# ---------------------------------------------------------------- kernels


@dataclass(eq=False)
class Reduce:
    """For each element of the kernel: combine terms of ``body`` over ``extents``.

    ``body`` runs over (*axes, *extents).  parts: (combiner, term), where a combiner is "sum",
    "max", "min" or "argmax": Σ i·steps of the first maximum (of the first NaN, if there is one) in
    the order of the extents as i32, -1 if nothing is above the lowest number.
    """

    extents: Sizes
    body: list[Instruction]
    parts: tuple[tuple[str, int], ...]
    lanes: bool = False
    steps: Sizes = ()


@dataclass(eq=False)
class Contract:
    """For each element of the kernel: Σ a b over ``extents``; refs run over (*axes, *extents)."""

    extents: Sizes
    a: Ref
    b: Ref
    lanes: bool = False
    pieces: int = 0


@dataclass(eq=False)
class Kernel:
    """One loop nest over ``axes``: a Map, or what follows a Reduce or a Contract.

    ``flags``: (term, number) pairs; where the term is true the number goes to the error word, and
    what comes after is not done: a label out of range is found before anything is written.
    """

    axes: Sizes
    body: list[Instruction]
    writes: list[Write]
    inner: Reduce | Contract | None = None
    nodes: list[Node] = field(default_factory=list)
    flags: tuple[tuple[int, int], ...] = ()

    @property
    def kind(self) -> str:
        """Map, Reduce or Contract."""
        return "Map" if self.inner is None else type(self.inner).__name__

    def refs(self) -> Iterator[Ref]:
        """What it reads."""
        bodies: list[Sequence[Instruction]] = [self.body]
        if isinstance(self.inner, Contract):
            yield self.inner.a
            yield self.inner.b
        elif self.inner is not None:
            bodies.append(self.inner.body)
        for body in bodies:
            for instruction in body:
                if isinstance(instruction, (Read, Pick)):
                    yield instruction.ref

    def reads(self) -> set[Value]:
        """The values it reads."""
        found = {ref.value for ref in self.refs()}
        for ref in [*self.refs(), *(write.ref for write in self.writes)]:
            found.update(start.value for start in ref.starts)
        found.update(write.ref.value for write in self.writes if write.add)
        return found

    def written(self) -> set[Value]:
        """The values it writes."""
        return {write.ref.value for write in self.writes}


@dataclass(eq=False)
class Host:
    """A node that the reference computes, between kernels."""

    node: Node
    inputs: list[Value]
    output: Value
    kind = "Host"

    @property
    def nodes(self) -> list[Node]:
        """The node, as of other kernels."""
        return [self.node]

    def reads(self) -> set[Value]:
        """The values it reads."""
        return set(self.inputs)

    def written(self) -> set[Value]:
        """The values it writes."""
        return {self.output}


@dataclass(eq=False)
class Plan:
    """Kernels in order, and where inputs, outputs and temporaries lie."""

    kernels: list[Kernel | Host]
    inputs: list[Value]
    outputs: list[Value]
    refs: dict[Node, Ref] = field(default_factory=dict)  # how the values of nodes are seen
    arena: int = 0  # bytes of the temporaries
