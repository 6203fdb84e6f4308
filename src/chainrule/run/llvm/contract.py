"""Contractions as text: a tile of sums in registers, acc[i, j] += a[i] b[j].

Two ways, decided by the contraction's order of summation alone:

* a *chain*: vectors run along an axis of the result; ``a`` is loaded as vectors, ``b`` as numbers
  that are spread over all lanes.  Each lane is one sum, in order.
* *lanes*: vectors run along the last extent; both sides are loaded as vectors, and 16 partial sums
  for each element of the result are joined by a fixed tree: see ``lanes.py``.

A tile is as large as the registers allow.  Which tile is taken never changes a bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from chainrule.compile.machine import Machine
from chainrule.compile.plan import LANES, Bound, Contract, Kernel, Read, Ref
from chainrule.compile.schedule import chunk_size
from chainrule.dtypes import DType
from chainrule.run.llvm.value import Value as Vector
from chainrule.run.llvm.writer import IN_MEMORY, Lanes, Writer

__all__ = ["Blocks", "ChainWriter", "Tile", "tree", "wide_load"]

LONG = 512  # terms of a sum whose operands don't stay in the first cache
ANNOUNCED = 16  # terms of a sum that takes long enough to fetch what follows it
LINE = 64  # bytes of a line of the cache
UNROLLED = 8  # terms of the innermost extent that are written without a loop


def tree(writer: Writer, lanes: Vector) -> Vector:
    """The sum of 16 lanes: i + (i + 8), then + 4, + 2, + 1."""
    text, width, name = writer.text, LANES, lanes.name
    kind = IN_MEMORY[lanes.dtype.name]
    add = "fadd" if lanes.dtype.is_floating_point else "add"
    while width > 1:
        half = width // 2
        wide, small = f"<{width} x {kind}>", f"<{half} x {kind}>"
        parts = []
        for start in (0, half):
            places = ", ".join(f"i32 {start + k}" for k in range(half))
            parts.append(
                text.let(f"shufflevector {wide} {name}, {wide} poison, <{half} x i32> <{places}>")
            )
        name = text.let(f"{add} {small} {parts[0]}, {parts[1]}")
        width = half
    name = text.let(f"extractelement <1 x {kind}> {name}, i32 0")
    return Vector(text, name, lanes.dtype, 1)


@dataclass(frozen=True)
class Blocks:
    """An axis in blocks of ``size``, and what remains."""

    extent: int
    size: int

    @property
    def whole(self) -> int:
        return self.extent // self.size

    @property
    def rest(self) -> int:
        return self.extent % self.size

    @property
    def count(self) -> int:
        return self.whole + (self.rest > 0)


class Tile:
    """What both ways share: multiply and add, ranges of the extents, pointers."""

    def __init__(
        self, writer: Writer, kernel: Kernel, contract: Contract, machine: Machine
    ) -> None:
        self.writer, self.text = writer, writer.text
        self.kernel, self.contract = kernel, contract
        self.axes, self.extents = kernel.axes, contract.extents
        self.rank = len(kernel.axes)
        self.dtype: DType = contract.a.dtype
        self.kind = IN_MEMORY[self.dtype.name]
        self.width = min(machine.lanes(self.dtype.itemsize), LANES)
        self.registers, self.cores = machine.registers, machine.cores
        self.vector = f"<{self.width} x {self.kind}>" if self.width > 1 else self.kind

    def multiply_add(self, a: str, b: str, total: str) -> str:
        """a b + total, rounded once."""
        if not self.dtype.is_floating_point:
            return self.text.let(
                f"add {self.vector} {total}, {self.text.let(f'mul {self.vector} {a}, {b}')}"
            )
        name = "llvm.fma." + {"float": "f32", "double": "f64"}[self.kind]
        if self.width > 1:
            name = name.replace("fma.", f"fma.v{self.width}")
        return self.text.call(self.vector, name, *((self.vector, x) for x in (a, b, total)))

    def add(self, a: str, b: str) -> str:
        """a + b of vectors."""
        word = "fadd" if self.dtype.is_floating_point else "add"
        return self.text.let(f"{word} {self.vector} {a}, {b}")

    def zero(self) -> str:
        """0 in all lanes."""
        if self.width > 1:
            return "zeroinitializer"
        return "0.0" if self.dtype.is_floating_point else "0"

    def moved(self, pointer: str, ref: Ref, axis: int, index: str) -> str:
        """A pointer moved along an axis."""
        step = self.text.mul(index, str(ref.strides[axis]))
        return pointer if step == "0" else self.text.at(self.kind, pointer, step)

    def reach(self, number: int, index: Sequence[str | None]) -> tuple[str, str]:
        """From where to where an extent runs, by the bounds that it decides last."""
        axis, extent = self.rank + number, self.extents[number]
        low, high = "0", str(extent)
        for bound in (*self.contract.a.bounds, *self.contract.b.bounds):
            later = any(f and index[k] is None for k, f in enumerate(bound.factors) if k != axis)
            if not bound.factors[axis] or later:
                continue
            first, last = self._range(bound, axis, index)
            low, high = self.text.most(low, first), self.text.least(high, last)
        return low, high

    def _range(self, bound: Bound, axis: int, index: Sequence[str | None]) -> tuple[str, str]:
        """0 ≤ base + f i < size, solved for i."""
        text, f, base = self.text, bound.factors[axis], str(bound.start)
        for other, factor in enumerate(bound.factors):
            if factor and other != axis:
                place = index[other]
                assert place is not None, "a bound is decided by the last of its extents"
                base = text.add(base, text.mul(place, str(factor)))
        if f < 0:  # 0 ≤ size - 1 - base - f i < size is the same
            base, f = text.add(text.mul(base, "-1"), str(bound.size - 1)), -f
        first = self._divided(text.add(text.mul(base, "-1"), str(f - 1)), f)
        last = self._divided(text.add(text.mul(base, "-1"), str(bound.size - 1)), f)
        return first, text.add(last, "1")

    def _divided(self, number: str, by: int) -> str:
        """⌊number / by⌋"""
        if by == 1:
            return number
        far = 1 << 40  # makes it positive
        moved = self.text.add(number, str(far * by))
        return self.text.add(self.text.let(f"udiv i64 {moved}, {by}"), str(-far))


# ---------------------------------------------------------------- chain


class ChainWriter(Tile):
    """Vectors along an axis of the result."""

    def write(self) -> int:
        self._choose_axes()
        self._choose_tile()
        return self._loops()

    def _choose_axes(self) -> None:
        """Which operand is loaded as vectors and along which axis; along which the other moves."""
        a, b = self.contract.a, self.contract.b
        best: tuple[float, int, bool] | None = None
        out = self.kernel.writes[0].ref
        for swapped, (wide, other) in enumerate(((a, b), (b, a))):
            for axis in range(self.rank):
                bounded = any(x.factors[axis] for x in (*wide.bounds, *other.bounds))
                if other.strides[axis] or bounded or self.axes[axis] == 1:
                    continue
                filled = min(self.axes[axis], 2 * self.width)
                cost = (wide.strides[axis] != 1) * 4 + (out.strides[axis] != 1) * 1
                score = filled / (1 + cost)
                if best is None or score > best[0]:
                    best = (score, axis, bool(swapped))
        if best is None:
            self.width, self.vector = 1, self.kind
            self.v, swapped = -1, False
        else:
            _, self.v, swapped = best
        self.a, self.b = (b, a) if swapped else (a, b)
        candidates = [
            axis
            for axis in range(self.rank)
            if axis != self.v
            and not self.a.strides[axis]
            and self.b.strides[axis]
            and not any(x.factors[axis] for x in (*self.a.bounds, *self.b.bounds))
        ]
        self.t = max(candidates, key=lambda axis: self.axes[axis], default=-1)

    def _choose_tile(self) -> None:
        """The tile with the fewest cycles, by a count of multiply-adds and loads, two a cycle.

        Of two that are equal: the narrow one, whose operands stay in the first cache from row to
        row; where they would not, the wide one, which reads longer runs.
        """
        vectors = -(-self.axes[self.v] // self.width) if self.v >= 0 else 1
        rows = self.axes[self.t] if self.t >= 0 else 1
        best = (float("inf"), 1, 1)
        widths = range(1, min(vectors, 8) + 1)
        for tv in widths if prod(self.extents) < LONG else reversed(widths):
            for tt in range(1, min(rows, 16) + 1):
                if tt * tv + tv + 1 > self.registers:
                    continue
                cost = sum(
                    count * self._cycles(t, v)
                    for t, nt in ((tt, rows // tt), (rows % tt, 1))
                    for v, nv in ((tv, vectors // tv), (vectors % tv, 1))
                    if t and v
                    for count in (nt * nv,)
                )
                if cost < best[0] - 1e-9:
                    best = (cost, tt, tv)
        _, self.tt, self.tv = best

    @staticmethod
    def _cycles(t: int, v: int) -> float:
        """Of one step of a t × v tile: multiply-adds, loads, and no less than an fma's latency."""
        return max(t * v / 2, (t + v) / 2, 4.0) + 0.25

    # ------------------------------------------------------------ loops

    def _loops(self) -> int:
        v_blocks = Blocks(self.axes[self.v] if self.v >= 0 else 1, self.tv * self.width)
        t_blocks = Blocks(self.axes[self.t] if self.t >= 0 else 1, self.tt)
        others = [axis for axis in range(self.rank) if axis not in (self.v, self.t)]
        others = [axis for axis in others if self.axes[axis] > 1]
        index: list[str | None] = ["0"] * self.rank
        work = 2 * prod(self.axes) * prod(self.extents) // max(self.width, 1)
        if others:
            levels = [("axis", axis) for axis in others[:1]] + [("v", 0), ("t", 0)]
            levels += [("axis", axis) for axis in others[1:]]
            count = self.axes[others[0]]
        elif t_blocks.count >= min(4, v_blocks.count):
            levels, count = [("t", 0), ("v", 0)], t_blocks.count
        else:
            levels, count = [("v", 0), ("t", 0)], v_blocks.count
        per = chunk_size(count, work // max(count, 1))
        chunks = -(-count // per)
        low, high = "0", str(count)
        if chunks > 1:
            low = self.text.mul("%chunk", str(per))
            high = self.text.least(self.text.add(low, str(per)), high)

        def along(depth: int, rows: int, vectors: int, rest: int) -> None:
            if depth == len(levels):
                self._tile(index, rows, vectors, rest)
                return
            kind, axis = levels[depth]
            start, stop = (low, high) if depth == 0 else ("0", "")
            if kind == "axis":
                with self.text.loop(start, stop or str(self.axes[axis])) as loop:
                    index[axis] = loop.index
                    along(depth + 1, rows, vectors, rest)
                return
            blocks, axis = (v_blocks, self.v) if kind == "v" else (t_blocks, self.t)

            def block(number: str, size: int) -> None:
                if axis >= 0:
                    index[axis] = self.text.mul(number, str(blocks.size))
                if kind == "t":
                    along(depth + 1, size, vectors, rest)
                else:
                    whole = -(-size // self.width)
                    along(depth + 1, rows, whole, size % self.width)

            stop = stop or str(blocks.count)
            whole = self.text.least(stop, str(blocks.whole))
            if blocks.whole == 1 and chunks == 1:
                block("0", blocks.size)
            elif blocks.whole:
                with self.text.loop(start, whole) as loop:
                    block(loop.index, blocks.size)
            if blocks.rest:
                if depth == 0 and chunks > 1:
                    with self.text.when(self.text.let(f"icmp sgt i64 {stop}, {blocks.whole}")):
                        block(str(blocks.whole), blocks.rest)
                else:
                    block(str(blocks.whole), blocks.rest)

        along(0, 1, 1, 0)
        return chunks

    # ------------------------------------------------------------ the tile

    def _tile(self, index: list[str | None], rows: int, vectors: int, rest: int) -> None:
        """rows × vectors sums; ``rest``: how many lanes of the last vector exist, 0 for all."""
        place = [i or "0" for i in index]
        inner = ["0"] * len(self.extents)
        pa = self.writer.place(self.a, [*place, *inner])
        pb = self.writer.place(self.b, [*place, *inner])
        self._announce(place, rows, vectors)
        zero = [self.zero()] * (rows * vectors)
        sums = self._sums(
            [*index, *([None] * len(self.extents))], 0, pa, pb, zero, rows, vectors, rest
        )
        lanes = max(self.width, 1)
        for row in range(rows):
            for k in range(vectors):
                here = list(place)
                if self.t >= 0:
                    here[self.t] = self.text.add(here[self.t], str(row))
                if self.v >= 0:
                    here[self.v] = self.text.add(here[self.v], str(k * lanes))
                count = str(rest) if rest and k == vectors - 1 else None
                at = Lanes(tuple(here), max(self.v, 0), self.width, count)
                total = Vector(self.text, sums[row * vectors + k], self.dtype, self.width)
                terms = self.writer.body(self.kernel.body, at, lambda _, total=total: total)
                self.writer.writes(self.kernel.writes, terms, at)

    def _announce(self, place: list[str], rows: int, vectors: int) -> None:
        """Ask for what the epilogue reads, such as weights and their momentum: it comes meanwhile.

        The processor cannot see that far ahead, and steps from row to row that it does not guess.
        """
        if self.v < 0 or prod(self.extents) < ANNOUNCED:
            return
        self.text.declare("void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        for ref in dict.fromkeys(i.ref for i in self.kernel.body if isinstance(i, Read)):
            if ref.bounds or ref.strides[self.v] != 1 or ref.starts:
                continue
            line = LINE // ref.dtype.itemsize
            for row in range(rows if self.t >= 0 and ref.strides[self.t] else 1):
                here = list(place)
                if self.t >= 0:
                    here[self.t] = self.text.add(here[self.t], str(row))
                for more in range(0, vectors * self.width, line):
                    pointer = self.writer.place(ref, here, str(more))
                    self.text.do(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 0, i32 3, i32 1)")

    def _sums(
        self,
        index: list[str | None],
        number: int,
        pa: str,
        pb: str,
        sums: list[str],
        rows: int,
        vectors: int,
        rest: int,
    ) -> list[str]:
        """The sums after extent ``number`` and all behind it."""
        if number == len(self.extents):
            return self._step(pa, pb, sums, rows, vectors, rest)
        axis = self.rank + number
        low, high = self.reach(number, index)
        fresh = number == self.contract.pieces - 1  # a partial sum for each of its indices
        last = number == len(self.extents) - 1
        if last and not fresh and low == "0" and high.isdigit() and int(high) <= UNROLLED:
            for i in range(int(high)):
                sums = self._step(
                    self.moved(pa, self.a, axis, str(i)), self.moved(pb, self.b, axis, str(i)),
                    sums, rows, vectors, rest,
                )  # fmt: skip
            return sums
        with self.text.loop(low, high, carried=[(self.vector, total) for total in sums]) as loop:
            deeper = [*index[:axis], loop.index, *index[axis + 1 :]]
            a = self.moved(pa, self.a, axis, loop.index)
            b = self.moved(pb, self.b, axis, loop.index)
            begin = [self.zero()] * len(sums) if fresh else loop.values
            found = self._sums(deeper, number + 1, a, b, begin, rows, vectors, rest)
            if (fresh and number + 1 >= self.contract.pieces) or fresh:
                found = [self.add(*pair) for pair in zip(loop.values, found, strict=True)]
            loop.next = found
        return loop.values

    def _step(
        self, pa: str, pb: str, sums: list[str], rows: int, vectors: int, rest: int
    ) -> list[str]:
        """One multiply-add for each sum."""
        wide = []
        for k in range(vectors):
            count = str(rest) if rest and k == vectors - 1 else None
            wide.append(self._vector(pa, k, count))
        after = list(sums)
        step = self.b.strides[self.t] if self.t >= 0 else 0
        for row in range(rows):
            pointer = self.text.at(self.kind, pb, str(row * step)) if row * step else pb
            one = self.text.load(self.kind, pointer, self.dtype.itemsize)
            one = self.writer.splat_text(one, self.kind, self.width)
            for k in range(vectors):
                place = row * vectors + k
                after[place] = self.multiply_add(wide[k], one, sums[place])
        return after

    def _vector(self, pa: str, k: int, count: str | None) -> str:
        """Vector k of the wide operand, from a pointer to its first element."""
        stride = self.a.strides[self.v] if self.v >= 0 else 0
        return wide_load(self, pa, stride, k * self.width, count)


def wide_load(tile: Tile, pointer: str, stride: int, first: int, count: str | None) -> str:
    """``width`` elements from ``first`` on, ``stride`` apart; those beyond the count are zero."""
    text, kind, width = tile.text, tile.kind, tile.width
    start = text.at(kind, pointer, str(first * stride)) if first * stride else pointer
    size = tile.dtype.itemsize
    if width == 1:
        return text.load(kind, start, size)
    if stride == 1 and count is None:
        return text.load(tile.vector, start, size)
    if stride == 1:
        mask = tile.writer.mask(Lanes(("0",), 0, width, count))
        short = {"float": "f32", "double": "f64"}.get(kind, kind)
        name = f"llvm.masked.load.v{width}{short}.p0"
        return text.call(
            tile.vector, name, (f"ptr align {size}", start), (f"<{width} x i1>", mask),
            (tile.vector, "zeroinitializer"),
        )  # fmt: skip
    vector = "zeroinitializer"
    for lane in range(width if count is None else int(count)):
        one = text.load(kind, text.at(kind, start, str(lane * stride)), size)
        vector = text.let(f"insertelement {tile.vector} {vector}, {kind} {one}, i32 {lane}")
    return vector
