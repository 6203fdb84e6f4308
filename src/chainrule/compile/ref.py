"""Arrays in memory, and arrays seen through strides: what movement ops become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod

from chainrule.dtypes import DType
from chainrule.graph import type_text

__all__ = ["Bound", "Ref", "Sizes", "Spans", "Start", "Value", "dense_strides", "meet"]

Sizes = tuple[int, ...]
Spans = list[tuple[int, int]]  # (first, last) elements of an array


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
    def size(self) -> int:
        """How many elements it spans in memory, gaps between its rows included."""
        if not prod(self.shape):
            return 0
        return 1 + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))

    @property
    def nbytes(self) -> int:
        """Bytes that it spans in memory."""
        return self.size * self.dtype.itemsize

    @property
    def dense(self) -> bool:
        """Whether there are no gaps between its elements."""
        return self.size == prod(self.shape)

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

    def span(self, picked: int = 0) -> tuple[int, int]:
        """The first and the last element it may reach, where data move it ``picked`` further."""
        moves = [(n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True)]
        moves += [picked, *(start.most * start.stride for start in self.starts)]
        low = self.offset + sum(min(move, 0) for move in moves)
        return low, self.offset + sum(max(move, 0) for move in moves)

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


def meet(spans: Spans, others: Spans) -> bool:
    """Whether two lists of (first, last) have an element in common."""
    return any(a <= d and c <= b for a, b in spans for c, d in others)


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
