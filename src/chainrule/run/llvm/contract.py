"""Contractions as text: a tile of sums in registers, acc[i, j] += a[i] b[j].

Two ways, decided by the contraction's order of summation alone:

* a *chain*: vectors run along an axis of the result; ``a`` is loaded as vectors, ``b`` as numbers
  that are spread over all lanes.  Each lane is one sum, in order.
* *lanes*: vectors run along the last extent; both sides are loaded as vectors, and 16 partial sums
  for each element of the result are joined by a fixed tree.

A tile is as large as the registers allow.  Which tile is taken never changes a bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from chainrule.compile.machine import Machine
from chainrule.compile.plan import LANES, Bound, Contract, Kernel, Ref
from chainrule.compile.schedule import chunk_size
from chainrule.dtypes import DType
from chainrule.run.llvm.value import Value as Vector
from chainrule.run.llvm.writer import IN_MEMORY, Lanes, Writer

__all__ = ["tree", "write_contract"]

UNROLLED = 8  # terms of the innermost extent that are written without a loop


def write_contract(writer: Writer, kernel: Kernel, contract: Contract, machine: Machine) -> int:
    """Write a contraction with what follows it; how many chunks."""
    if contract.lanes:
        return _LanesWriter(writer, kernel, contract, machine).write()
    return _ChainWriter(writer, kernel, contract, machine).write()


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
class _Blocks:
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


class _Tile:
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
        self.registers = machine.registers
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
        """From where to where an extent runs, by the bounds that it alone decides still."""
        axis, extent = self.rank + number, self.extents[number]
        low, high = "0", str(extent)
        for bound in (*self.contract.a.bounds, *self.contract.b.bounds):
            if not bound.factors[axis]:
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
                assert place is not None, "a bound must be decided by one extent"
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


class _ChainWriter(_Tile):
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
        """The tile with the fewest cycles, by a count of multiply-adds and loads, two a cycle."""
        vectors = -(-self.axes[self.v] // self.width) if self.v >= 0 else 1
        rows = self.axes[self.t] if self.t >= 0 else 1
        best = (float("inf"), 1, 1)
        for tv in range(1, min(vectors, 8) + 1):
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
        v_blocks = _Blocks(self.axes[self.v] if self.v >= 0 else 1, self.tv * self.width)
        t_blocks = _Blocks(self.axes[self.t] if self.t >= 0 else 1, self.tt)
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


def wide_load(tile: _Tile, pointer: str, stride: int, first: int, count: str | None) -> str:
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


# ---------------------------------------------------------------- lanes


class _LanesWriter(_Tile):
    """Vectors along the last extent: 16 partial sums for each element of the result.

    The order of each partial sum: blocks of 16 of the last extent, then the other extents; with
    ``pieces``, the first of these loops (blocks, extents) are over partial sums from zero.  For a
    piece all elements of the inner axes (the taps of a kernel) are done, as long as its operands
    are in the first cache; so the totals lie in memory meanwhile.
    """

    def write(self) -> int:
        self.a, self.b = self.contract.a, self.contract.b
        self._choose_axes()
        self._choose_tile()
        return self._loops()

    def _choose_axes(self) -> None:
        """Along which axes the two sides of the tile move; which axes lie inside a piece."""
        a, b = self.a, self.b

        def of_one(mine: Ref, others: Ref) -> list[int]:
            return [
                axis
                for axis in range(self.rank)
                if mine.strides[axis]
                and not others.strides[axis]
                and self.axes[axis] > 1
                and not any(x.factors[axis] for x in (*a.bounds, *b.bounds))
            ]

        self.i = self._widest(of_one(a, b))
        self.j = self._widest(of_one(b, a))
        rest = [axis for axis in range(self.rank) if axis not in (self.i, self.j)]
        rest = [axis for axis in rest if self.axes[axis] > 1]
        self.inside: list[int] = []  # done for each piece, while its operands are at hand
        if self.contract.pieces:
            self.inside = rest
            while prod(self.axes[axis] for axis in self.inside) > 32:
                self.inside = self.inside[1:]
        self.outside = [axis for axis in rest if axis not in self.inside]

    def _widest(self, axes: list[int]) -> int:
        return max(axes, key=lambda axis: self.axes[axis], default=-1)

    def _choose_tile(self) -> None:
        ni = self.axes[self.i] if self.i >= 0 else 1
        nj = self.axes[self.j] if self.j >= 0 else 1
        best = (float("inf"), 1, 1)
        for ti in range(1, min(ni, 12) + 1):
            for tj in range(1, min(nj, 12) + 1):
                if ti * tj + ti + 1 > self.registers:
                    continue
                cost = sum(
                    count_i * count_j * (max(x * y / 2, (x + y) / 2, 4.0) + 0.5)
                    for x, count_i in ((ti, ni // ti), (ni % ti, 1))
                    for y, count_j in ((tj, nj // tj), (nj % tj, 1))
                    if x and y
                )
                if cost < best[0] - 1e-9:
                    best = (cost, ti, tj)
        _, self.ti, self.tj = best

    # ------------------------------------------------------------ loops

    def _loops(self) -> int:
        blocks_i = _Blocks(self.axes[self.i] if self.i >= 0 else 1, self.ti)
        blocks_j = _Blocks(self.axes[self.j] if self.j >= 0 else 1, self.tj)
        sizes = [self.axes[axis] for axis in self.outside]
        count = prod(sizes) * blocks_i.count * blocks_j.count
        work = 2 * prod(self.axes) * prod(self.extents) // max(self.width, 1)
        per = chunk_size(count, work // max(count, 1))
        chunks = -(-count // per)
        text = self.text
        taps = prod(self.axes[axis] for axis in self.inside)
        size = self.ti * self.tj * taps * LANES
        self.scratch = text.at_entry(f"alloca [{size} x {self.kind}], align 64")
        low, high = "0", str(count)
        if chunks > 1:
            low = text.mul("%chunk", str(per))
            high = text.least(text.add(low, str(per)), high)
        with text.loop(low, high) as loop:
            number, index = loop.index, ["0"] * self.rank
            places = []
            for size in (blocks_j.count, blocks_i.count, *reversed(sizes)):
                if size == 1:
                    places.append("0")
                    continue
                places.append(text.let(f"urem i64 {number}, {size}"))
                number = text.let(f"udiv i64 {number}, {size}")
            j, i, *others = places
            for axis, place in zip(reversed(self.outside), others, strict=True):
                index[axis] = place
            self._cases(index, (self.i, i, blocks_i), (self.j, j, blocks_j))
        return chunks

    def _cases(
        self, index: list[str], side_i: tuple[int, str, _Blocks], side_j: tuple[int, str, _Blocks]
    ) -> None:
        """The tile at full size, and what remains of either side."""

        def sized(side: tuple[int, str, _Blocks], then: Callable[[int], None]) -> None:
            axis, number, blocks = side
            if axis >= 0:
                index[axis] = self.text.mul(number, str(blocks.size))
            if not blocks.rest:
                then(blocks.size)
            elif not blocks.whole:
                then(blocks.rest)
            else:
                with self.text.when(self.text.let(f"icmp slt i64 {number}, {blocks.whole}")):
                    then(blocks.size)
                with self.text.when(self.text.let(f"icmp eq i64 {number}, {blocks.whole}")):
                    then(blocks.rest)

        sized(side_i, lambda rows: sized(side_j, lambda columns: self._tile(index, rows, columns)))

    # ------------------------------------------------------------ the tile

    def _tile(self, index: list[str], rows: int, columns: int) -> None:
        text = self.text
        taps = prod(self.axes[axis] for axis in self.inside)
        whole = taps * rows * columns * LANES
        zeros = f"<{LANES} x {self.kind}> zeroinitializer"
        with text.loop("0", str(whole), str(LANES)) as loop:
            text.do(f"store {zeros}, ptr {text.at(self.kind, self.scratch, loop.index)}, align 64")
        self._pieces(index, rows, columns)
        with text.loop("0", str(taps)) as loop:
            place = self._taps(index, loop.index)
            self._finish(place, loop.index, rows, columns)

    def _taps(self, index: list[str], number: str) -> list[str]:
        """The index of the number-th element of the inner axes."""
        place = list(index)
        for axis in reversed(self.inside):
            size = str(self.axes[axis])
            place[axis] = self.text.let(f"urem i64 {number}, {size}")
            number = self.text.let(f"udiv i64 {number}, {size}")
        return place

    def _pieces(self, index: list[str], rows: int, columns: int) -> None:
        """Blocks of lanes, and the extents that are pieces; in each, all inner elements."""
        extent = self.extents[-1]
        rest = extent % LANES
        pieces = max(self.contract.pieces - 1, 0)

        def along(number: int, inner: list[str | None], block: str, count: int) -> None:
            if number < pieces:
                low, high = "0", str(self.extents[number])
                with self.text.loop(low, high) as loop:
                    inner[number] = loop.index
                    along(number + 1, inner, block, count)
                return
            self._each_tap(index, inner, (block, count), rows, columns)

        def blocks(start: str, stop: str, count: int) -> None:
            inner: list[str | None] = [None] * (len(self.extents) - 1)
            with self.text.loop(start, stop, str(LANES)) as loop:
                along(0, inner, loop.index, count)

        if not self.contract.pieces:  # blocks are the innermost loop but for the other extents
            self._whole(index, rows, columns)
            return
        if extent - rest:
            blocks("0", str(extent - rest), LANES)
        if rest:
            blocks(str(extent - rest), str(extent), rest)

    def _each_tap(
        self,
        index: list[str],
        inner: list[str | None],
        where: tuple[str, int],
        rows: int,
        columns: int,
    ) -> None:
        """One piece of all inner elements: a loop for each of their axes."""
        block, count = where

        def along(axes: list[int], place: list[str], number: str) -> None:
            if axes:
                with self.text.loop("0", str(self.axes[axes[0]])) as loop:
                    deeper = [*place[: axes[0]], loop.index, *place[axes[0] + 1 :]]
                    size = self.text.mul(number, str(self.axes[axes[0]]))
                    along(axes[1:], deeper, self.text.add(size, loop.index))
                return
            for half in range(0, LANES, self.width):
                lanes = max(0, min(self.width, count - half))
                if lanes:
                    self._piece(place, inner, number, (block, half, lanes), rows, columns)

        along(self.inside, list(index), "0")

    def _whole(self, index: list[str], rows: int, columns: int) -> None:
        """No pieces: one chain for each partial sum, kept in registers."""
        extent = self.extents[-1]
        rest, inner = extent % LANES, [None] * (len(self.extents) - 1)
        for half in range(0, LANES, self.width):
            sums = [self.zero()] * (rows * columns)
            if extent - rest:
                carried = [(self.vector, total) for total in sums]
                stop = str(extent - rest)
                with self.text.loop("0", stop, str(LANES), carried=carried) as loop:
                    where = (loop.index, half, self.width)
                    loop.next = self._inner(index, inner, where, loop.values, rows, columns)
                sums = loop.values
            lanes = max(0, min(self.width, rest - half))
            if lanes:
                where = (str(extent - rest), half, lanes)
                sums = self._inner(index, inner, where, sums, rows, columns)
            for k, total in enumerate(sums):
                pointer = self.text.at(self.kind, self.scratch, str(k * LANES + half))
                self.text.store(self.vector, total, pointer, 4)

    def _piece(
        self,
        index: list[str],
        inner: list[str | None],
        tap: str,
        where: tuple[str, int, int],
        rows: int,
        columns: int,
    ) -> None:
        """One piece of one inner element, added to its totals."""
        sums = [self.zero()] * (rows * columns)
        sums = self._inner(index, inner, where, sums, rows, columns)
        base = self.text.mul(tap, str(rows * columns * LANES))
        for k, total in enumerate(sums):
            place = self.text.add(base, str(k * LANES + where[1]))
            pointer = self.text.at(self.kind, self.scratch, place)
            before = self.text.load(self.vector, pointer, 4)
            self.text.store(self.vector, self.add(before, total), pointer, 4)

    def _inner(
        self,
        index: list[str],
        inner: Sequence[str | None],
        where: tuple[str, int, int],
        sums: list[str],
        rows: int,
        columns: int,
    ) -> list[str]:
        """The chain over the extents that are no pieces."""
        block, half, lanes = where
        lane = self.text.add(block, str(half))
        zeros = [i or "0" for i in inner]
        pa = self.writer.place(self.a, [*index, *zeros, lane])
        pb = self.writer.place(self.b, [*index, *zeros, lane])
        whole: list[str | None] = [*index, *inner, lane]
        return self._chain(whole, 0, pa, pb, lanes, sums, rows, columns)

    def _chain(
        self,
        index: list[str | None],
        number: int,
        pa: str,
        pb: str,
        lanes: int,
        sums: list[str],
        rows: int,
        columns: int,
    ) -> list[str]:
        if number == len(self.extents) - 1:
            return self._step(pa, pb, lanes, sums, rows, columns)
        axis = self.rank + number
        if index[axis] is not None:  # a piece
            return self._chain(index, number + 1, pa, pb, lanes, sums, rows, columns)
        low, high = self.reach(number, index)
        with self.text.loop(low, high, carried=[(self.vector, total) for total in sums]) as loop:
            deeper = [*index[:axis], loop.index, *index[axis + 1 :]]
            a = self.moved(pa, self.a, axis, loop.index)
            b = self.moved(pb, self.b, axis, loop.index)
            loop.next = self._chain(deeper, number + 1, a, b, lanes, loop.values, rows, columns)
        return loop.values

    def _step(
        self, pa: str, pb: str, lanes: int, sums: list[str], rows: int, columns: int
    ) -> list[str]:
        count = str(lanes) if lanes < self.width else None
        last = self.rank + len(self.extents) - 1

        def side(pointer: str, ref: Ref, axis: int, many: int) -> list[str]:
            found = []
            for k in range(many):
                start = pointer
                if k and axis >= 0:
                    start = self.text.at(self.kind, pointer, str(k * ref.strides[axis]))
                found.append(wide_load(self, start, ref.strides[last], 0, count))
            return found

        left, right = side(pa, self.a, self.i, rows), side(pb, self.b, self.j, columns)
        after = list(sums)
        for row in range(rows):
            for column in range(columns):
                k = row * columns + column
                after[k] = self.multiply_add(left[row], right[column], sums[k])
        return after

    def _finish(self, index: list[str], tap: str, rows: int, columns: int) -> None:
        """Join the lanes, and do what follows, one element at a time."""
        text = self.text
        base = text.mul(tap, str(rows * columns * LANES))
        wide = f"<{LANES} x {self.kind}>"
        for row in range(rows):
            for column in range(columns):
                place = text.add(base, str((row * columns + column) * LANES))
                loaded = text.load(wide, text.at(self.kind, self.scratch, place), 4)
                total = tree(self.writer, Vector(text, loaded, self.dtype, LANES))
                here = list(index)
                if self.i >= 0:
                    here[self.i] = text.add(here[self.i], str(row))
                if self.j >= 0:
                    here[self.j] = text.add(here[self.j], str(column))
                at = Lanes(tuple(here), 0, 1)
                terms = self.writer.body(self.kernel.body, at, lambda _, total=total: total)
                self.writer.writes(self.kernel.writes, terms, at)
