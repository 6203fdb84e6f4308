"""Contractions in lanes as text: 16 partial sums for each element, joined by a fixed tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from chainrule.compile.plan import LANES, Ref
from chainrule.compile.schedule import chunk_size
from chainrule.run.llvm.contract import Blocks, Tile, tree, wide_load
from chainrule.run.llvm.value import Value as Vector
from chainrule.run.llvm.writer import Lanes

__all__ = ["LanesWriter"]


class LanesWriter(Tile):
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

        self.i = self._widest(of_one(a, b), a)
        self.j = self._widest(of_one(b, a), b)
        rest = [axis for axis in range(self.rank) if axis not in (self.i, self.j)]
        rest = [axis for axis in rest if self.axes[axis] > 1]
        self.inside: list[int] = []  # done for each piece, while its operands are at hand
        if self.contract.pieces:
            self.inside = rest
            while prod(self.axes[axis] for axis in self.inside) > 32:
                self.inside = self.inside[1:]
        self.outside = [axis for axis in rest if axis not in self.inside]

    def _size(self, axis: int) -> int:
        return self.axes[axis] if axis >= 0 else 1

    def _widest(self, axes: list[int], ref: Ref) -> int:
        """The longest of the axes; of two, the one whose elements lie closer together."""
        return max(axes, key=lambda axis: (self.axes[axis], -abs(ref.strides[axis])), default=-1)

    def _choose_tile(self) -> None:
        ni, nj = self._size(self.i), self._size(self.j)
        best = (float("inf"), 1, 1)
        for ti in range(1, min(ni, 12) + 1):
            for tj in range(1, min(nj, 12) + 1):
                if ti * tj + min(ti, tj) + 1 > self.registers:
                    continue
                cost = sum(
                    count_i * count_j * (max(x * y / 2, (x + y) / 2, 4.0) + 0.5)
                    for x, count_i in ((ti, ni // ti), (ni % ti, 1))
                    for y, count_j in ((tj, nj // tj), (nj % tj, 1))
                    if x and y
                )
                many = -(-ni // ti) * -(-nj // tj) * prod(self.axes[a] for a in self.outside)
                if many < 4 * self.cores:  # the last chunk may keep the other threads waiting
                    cost *= -(-many // self.cores) * self.cores / many
                if cost < best[0] - 1e-9:
                    best = (cost, ti, tj)
        _, self.ti, self.tj = best

    # ------------------------------------------------------------ loops

    def _loops(self) -> int:
        blocks_i = Blocks(self.axes[self.i] if self.i >= 0 else 1, self.ti)
        blocks_j = Blocks(self.axes[self.j] if self.j >= 0 else 1, self.tj)
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
        self, index: list[str], side_i: tuple[int, str, Blocks], side_j: tuple[int, str, Blocks]
    ) -> None:
        """The tile at full size, and what remains of either side."""

        def sized(side: tuple[int, str, Blocks], then: Callable[[int], None]) -> None:
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

        def side(pointer: str, ref: Ref, axis: int, k: int) -> str:
            if k and axis >= 0:
                pointer = self.text.at(self.kind, pointer, str(k * ref.strides[axis]))
            return wide_load(self, pointer, ref.strides[last], 0, count)

        # The smaller side stays in registers, the larger comes one by one.
        after = list(sums)
        if rows <= columns:
            few = [side(pa, self.a, self.i, row) for row in range(rows)]
            for column in range(columns):
                b = side(pb, self.b, self.j, column)
                for row, a in enumerate(few):
                    k = row * columns + column
                    after[k] = self.multiply_add(a, b, sums[k])
            return after
        few = [side(pb, self.b, self.j, column) for column in range(columns)]
        for row in range(rows):
            a = side(pa, self.a, self.i, row)
            for column, b in enumerate(few):
                k = row * columns + column
                after[k] = self.multiply_add(a, b, sums[k])
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
