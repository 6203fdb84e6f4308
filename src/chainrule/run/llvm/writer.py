"""What all kernels' texts share: addresses of arrays, loads and stores of vectors, bodies.

A kernel is ``void kernel(ptr table, ptr slots, i64 chunk)``: argument i is the array whose address
is ``table[slots[i]]``.  So one text serves every place that arrays may lie at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chainrule.compile.plan import (
    Apply,
    Bound,
    Constant,
    Index,
    Instruction,
    Pick,
    Read,
    Ref,
    Result,
    Value,
    Write,
)
from chainrule.dtypes import DType, bool_, int64
from chainrule.run.llvm.scalar import Scalars
from chainrule.run.llvm.text import Text
from chainrule.run.llvm.value import Value as Vector
from chainrule.run.llvm.value import literal

__all__ = ["IN_MEMORY", "Lanes", "Writer"]

IN_MEMORY = {
    "float32": "float",
    "float64": "double",
    "int64": "i64",
    "int32": "i32",
    "uint8": "i8",
    "bool": "i8",
}


@dataclass(frozen=True)
class Lanes:
    """Where a vector stands: ``width`` elements along ``axis`` from ``index[axis]`` on.

    ``count``: how many of them exist, an i64 or ``None`` for all; width 1 is a scalar.
    """

    index: tuple[str, ...]
    axis: int
    width: int
    count: str | None = None

    def moved(self, axis: int, index: str) -> Lanes:
        """The same with another index along an axis."""
        changed = (*self.index[:axis], index, *self.index[axis + 1 :])
        return Lanes(changed, self.axis, self.width, self.count)


class Writer:
    """Writes one kernel's text; ``arguments`` are the values its slots stand for, in order."""

    def __init__(self) -> None:
        self.text = Text("kernel", ["ptr %table", "ptr %slots", "i64 %chunk"])
        self.arguments: list[Value] = []
        self._addresses: dict[Value, str] = {}
        self._bases: dict[Ref, str] = {}
        self._fills: dict[tuple[DType, float], str] = {}
        self._numbers: dict[str, str] = {}

    def module(self) -> str:
        """The finished text."""
        self.text.do("ret void")
        return self.text.module()

    # ------------------------------------------------------------ addresses

    def address(self, value: Value) -> str:
        """Where an array begins."""
        if value not in self._addresses:
            number = len(self.arguments)
            self.arguments.append(value)
            once = self.text.at_entry
            place = once(f"getelementptr i64, ptr %slots, i64 {number}")
            slot = once(f"load i64, ptr {place}, align 8")
            entry = once(f"getelementptr i64, ptr %table, i64 {slot}")
            self._addresses[value] = once(f"load ptr, ptr {entry}, align 8")
        return self._addresses[value]

    def base(self, ref: Ref) -> str:
        """Where element 0 of a ref lies, run-time starts included."""
        key = Ref(ref.value, (), (), ref.offset, starts=ref.starts)
        if key not in self._bases:
            once, kind = self.text.at_entry, IN_MEMORY[ref.dtype.name]
            base = self.address(ref.value)
            if ref.offset:
                base = once(f"getelementptr {kind}, ptr {base}, i64 {ref.offset}")
            for start in ref.starts:
                self.text.declare("i64 @llvm.smax.i64(i64, i64)")
                self.text.declare("i64 @llvm.smin.i64(i64, i64)")
                number = once(f"load i64, ptr {self.address(start.value)}, align 8")
                number = once(f"call i64 @llvm.smax.i64(i64 {number}, i64 0)")
                number = once(f"call i64 @llvm.smin.i64(i64 {number}, i64 {start.most})")
                number = once(f"mul i64 {number}, {start.stride}")
                base = once(f"getelementptr {kind}, ptr {base}, i64 {number}")
            self._bases[key] = base
        return self._bases[key]

    def place(self, ref: Ref, index: Sequence[str], more: str = "0") -> str:
        """The address of an element: of ``index``, moved by ``more`` elements."""
        text, total = self.text, more
        for stride, number in zip(ref.strides, index, strict=True):
            total = text.add(total, text.mul(number, str(stride)))
        base = self.base(ref)
        return base if total == "0" else text.at(IN_MEMORY[ref.dtype.name], base, total)

    # ------------------------------------------------------------ loads

    def load(self, ref: Ref, at: Lanes, more: str = "0") -> Vector:
        """The elements of a ref; what is padding, or beyond ``count``, is the fill."""
        stride = ref.strides[at.axis] if ref.strides else 0
        kind, text = IN_MEMORY[ref.dtype.name], self.text
        inside = self._inside(ref.bounds, at)
        along = any(bound.factors[at.axis] for bound in ref.bounds)
        if at.width == 1 or (stride == 0 and not along):
            pointer = self.place(ref, at.index, more)
            if inside is not None:
                cell = self._fill(ref.dtype, ref.fill)
                pointer = text.let(f"select i1 {inside}, ptr {pointer}, ptr {cell}")
            loaded = text.load(kind, pointer)
            return self.splat(loaded, ref.dtype, at.width)
        wide = f"<{at.width} x {kind}>"
        small = kind == "i8"
        if stride == 1 and not small and (ref.bounds or at.count is not None):
            mask = self.mask(at, inside, ref.bounds)
            fill = self.splat_text(self._number(ref.dtype, ref.fill), kind, at.width)
            name = f"llvm.masked.load.v{at.width}{_short(kind)}.p0"
            pointer = self.place(ref, at.index, more)
            mask = (f"<{at.width} x i1>", mask)
            loaded = text.call(wide, name, ("ptr align 1", pointer), mask, (wide, fill))
            return self._as_value(loaded, ref.dtype, at.width)
        if stride == 1 and not ref.bounds and at.count is None:
            loaded = text.load(wide, self.place(ref, at.index, more))
            return self._as_value(loaded, ref.dtype, at.width)
        return self._gathered(ref, at, more)

    def _gathered(self, ref: Ref, at: Lanes, more: str) -> Vector:
        """Lane by lane; a lane beyond the count reads the last that exists."""
        text, kind = self.text, IN_MEMORY[ref.dtype.name]
        vector = "poison"
        for lane in range(at.width):
            index = text.add(at.index[at.axis], str(lane))
            if at.count is not None:
                last = text.add(at.index[at.axis], text.add(at.count, "-1"))
                index = text.least(index, last)
            here = Lanes((*at.index[: at.axis], index, *at.index[at.axis + 1 :]), at.axis, 1)
            pointer = self.place(ref, here.index, more)
            inside = self._inside(ref.bounds, here)
            if inside is not None:
                cell = self._fill(ref.dtype, ref.fill)
                pointer = text.let(f"select i1 {inside}, ptr {pointer}, ptr {cell}")
            loaded = text.load(kind, pointer)
            wide = f"<{at.width} x {kind}>"
            vector = text.let(f"insertelement {wide} {vector}, {kind} {loaded}, i32 {lane}")
        return self._as_value(vector, ref.dtype, at.width)

    def _inside(self, bounds: Sequence[Bound], at: Lanes) -> str | None:
        """Whether the element is there, by the bounds that don't change along the vector."""
        found: str | None = None
        for bound in bounds:
            if at.width > 1 and bound.factors[at.axis]:
                continue
            number = self._position(bound, at.index)
            below = self.text.let(f"icmp ult i64 {number}, {bound.size}")
            found = below if found is None else self.text.let(f"and i1 {found}, {below}")
        return found

    def _position(self, bound: Bound, index: Sequence[str]) -> str:
        text, number = self.text, str(bound.start)
        for factor, i in zip(bound.factors, index, strict=True):
            number = text.add(number, text.mul(i, str(factor)))
        return number

    def mask(self, at: Lanes, inside: str | None = None, bounds: Sequence[Bound] = ()) -> str:
        """Which lanes exist: below the count, and within the bounds."""
        text, wide = self.text, f"<{at.width} x i64>"
        along = [bound for bound in bounds if bound.factors[at.axis]]
        firsts = [self._position(bound, at.index) for bound in along]
        count = at.count
        known = [x for x in (*firsts, count) if x is not None and not x.startswith("%")]
        if inside is not None or len(known) < len(firsts) + (count is not None):
            firsts = [self._unknown(first) for first in firsts]
            count = None if count is None else self._unknown(count)
        masks = []
        if count is not None:
            masks.append(self._below(count, at.width))
        if inside is not None:
            masks.append(self.splat_text(inside, "i1", at.width))
        for bound, position in zip(along, firsts, strict=True):
            first = self.splat_text(position, "i64", at.width)
            factor = bound.factors[at.axis]
            steps = ", ".join(f"i64 {lane * factor}" for lane in range(at.width))
            numbers = text.let(f"add {wide} {first}, <{steps}>")
            size = self.splat_text(str(bound.size), "i64", at.width)
            masks.append(text.let(f"icmp ult {wide} {numbers}, {size}"))
        mask = masks[0]
        for more in masks[1:]:
            mask = text.let(f"and <{at.width} x i1> {mask}, {more}")
        return mask

    def _unknown(self, number: str) -> str:
        """A number that LLVM can't look at: where one half of a mask is known to be false and the
        other is not, it loads all of the first half (LLVM 22, x86).
        """
        if number.startswith("%"):
            return number
        if number not in self._numbers:
            self._numbers[number] = self.text.at_entry(f'call i64 asm "", "=r,0"(i64 {number})')
        return self._numbers[number]

    def _below(self, count: str, width: int) -> str:
        """Which lanes lie below a count."""
        if count.isdigit():
            lanes = ", ".join(f"i1 {int(lane < int(count))}" for lane in range(width))
            return f"<{lanes}>"
        number = self.splat_text(self.text.let(f"trunc i64 {count} to i32"), "i32", width)
        lanes = ", ".join(f"i32 {lane}" for lane in range(width))
        return self.text.let(f"icmp slt <{width} x i32> <{lanes}>, {number}")

    def _fill(self, dtype: DType, number: float) -> str:
        """The address of a number that is read where there is padding."""
        key = (dtype, number)
        if key not in self._fills:
            kind = IN_MEMORY[dtype.name]
            cell = self.text.at_entry(f"alloca {kind}, align 8")
            self.text.do_at_entry(f"store {kind} {self._number(dtype, number)}, ptr {cell}")
            self._fills[key] = cell
        return self._fills[key]

    @staticmethod
    def _number(dtype: DType, number: float) -> str:
        return literal(number, dtype) if dtype is not bool_ else str(int(number))

    # ------------------------------------------------------------ vectors

    def splat_text(self, value: str, kind: str, width: int) -> str:
        """A vector of one number."""
        if width == 1:
            return value
        wide = f"<{width} x {kind}>"
        if not value.startswith("%"):
            return f"splat ({kind} {value})"
        first = self.text.let(f"insertelement {wide} poison, {kind} {value}, i64 0")
        zeros = f"<{width} x i32> zeroinitializer"
        return self.text.let(f"shufflevector {wide} {first}, {wide} poison, {zeros}")

    def splat(self, loaded: str, dtype: DType, width: int) -> Vector:
        """A number as it is in memory, in all lanes."""
        vector = self.splat_text(loaded, IN_MEMORY[dtype.name], width)
        return self._as_value(vector, dtype, width)

    def _as_value(self, loaded: str, dtype: DType, width: int) -> Vector:
        if dtype is bool_:  # a byte in memory
            kind = "i8" if width == 1 else f"<{width} x i8>"
            zero = "0" if width == 1 else "zeroinitializer"
            loaded = self.text.let(f"icmp ne {kind} {loaded}, {zero}")
        return Vector(self.text, loaded, dtype, width)

    def store(self, ref: Ref, value: Vector, at: Lanes, more: str = "0") -> None:
        """Write the lanes that exist."""
        text, kind = self.text, IN_MEMORY[ref.dtype.name]
        name, width = value.name, at.width
        if ref.dtype is bool_:
            source = "i1" if width == 1 else f"<{width} x i1>"
            name = text.let(f"zext {source} {name} to {'i8' if width == 1 else f'<{width} x i8>'}")
        stride = ref.strides[at.axis] if ref.strides else 0
        if width == 1:
            text.store(kind, name, self.place(ref, at.index, more))
        elif stride == 1 and at.count is None:
            text.store(f"<{width} x {kind}>", name, self.place(ref, at.index, more))
        elif stride == 1 and kind != "i8":
            pointer, wide = self.place(ref, at.index, more), f"<{width} x {kind}>"
            mask = self.mask(at)
            function = f"void @llvm.masked.store.v{width}{_short(kind)}.p0"
            text.declare(f"{function}({wide}, ptr, <{width} x i1>)")
            text.do(f"call {function}({wide} {name}, ptr align 1 {pointer}, <{width} x i1> {mask})")
        else:
            self._scattered(ref, name, at, more)

    def _scattered(self, ref: Ref, name: str, at: Lanes, more: str) -> None:
        """Lane by lane."""
        text, kind = self.text, IN_MEMORY[ref.dtype.name]
        for lane in range(at.width):
            one = text.let(f"extractelement <{at.width} x {kind}> {name}, i32 {lane}")
            index = text.add(at.index[at.axis], str(lane))
            place = (*at.index[: at.axis], index, *at.index[at.axis + 1 :])
            if at.count is None:
                text.store(kind, one, self.place(ref, place, more))
            else:
                with text.when(text.let(f"icmp slt i64 {lane}, {at.count}")):
                    text.store(kind, one, self.place(ref, place, more))

    # ------------------------------------------------------------ bodies

    def body(
        self,
        body: Sequence[Instruction],
        at: Lanes,
        result: Callable[[int], Vector] | None = None,
    ) -> list[Vector]:
        """Write a body at one place; its terms."""
        s = Scalars(self.text, at.width)
        terms: list[Vector] = []
        for instruction in body:
            if isinstance(instruction, Read):
                term = self.load(instruction.ref, at)
            elif isinstance(instruction, Pick):
                term = self._picked(instruction, at, terms)
            elif isinstance(instruction, Result):
                assert result is not None
                term = result(instruction.number)
            elif isinstance(instruction, Constant):
                term = s.constant(instruction.number, instruction.dtype)
            elif isinstance(instruction, Index):
                term = self._index(instruction.axis, at)
            else:
                assert isinstance(instruction, Apply)
                inputs = (terms[k] for k in instruction.terms)
                term = instruction.op.scalar(s, *inputs, **instruction.meta)
                if not isinstance(term, Vector):  # a formula that is a number
                    term = s.constant(term, instruction.dtype)
                elif term.dtype is not instruction.dtype:
                    term = s.cast(term, instruction.dtype)
            terms.append(term)
        return terms

    def writes(self, writes: Sequence[Write], terms: Sequence[Vector], at: Lanes) -> None:
        """Write a body's results."""
        for write in writes:
            more, value = self._moved(write.picks, terms), terms[write.term]
            if write.add:
                value = self.load(write.ref, at, more) + value
            self.store(write.ref, value, at, more)

    def flags(self, flags: Sequence[tuple[int, int]], terms: Sequence[Vector], at: Lanes) -> None:
        """Where a term is true, its number goes to the error word."""
        text = self.text
        for term, number in flags:
            found = terms[term].name
            if at.width > 1:
                wide = f"<{at.width} x i1>"
                if at.count is not None:
                    found = text.let(f"and {wide} {found}, {self.mask(at)}")
                found = text.call("i1", f"llvm.vector.reduce.or.v{at.width}i1", (wide, found))
            with text.when(found):
                error = text.load("ptr", "%table", 8)
                text.do(f"store atomic i64 {number}, ptr {error} monotonic, align 8")

    def _index(self, axis: int, at: Lanes) -> Vector:
        number = self.splat_text(at.index[axis], "i64", at.width)
        if axis == at.axis and at.width > 1:
            steps = ", ".join(f"i64 {lane}" for lane in range(at.width))
            number = self.text.let(f"add <{at.width} x i64> {number}, <{steps}>")
        return Vector(self.text, number, int64, at.width)

    def _moved(
        self, picks: Sequence[tuple[int, int, int]], terms: Sequence[Vector], lane: int = 0
    ) -> str:
        """How far data-dependent indices move an address, in elements."""
        text, total = self.text, "0"
        for term, stride, size in picks:
            value = terms[term]
            number = value.name
            if value.width > 1:
                number = text.let(f"extractelement <{value.width} x i64> {number}, i32 {lane}")
            number = text.most(text.least(number, str(size - 1)), "0")
            total = text.add(total, text.mul(number, str(stride)))
        return total

    def _picked(self, pick: Pick, at: Lanes, terms: Sequence[Vector]) -> Vector:
        text, kind = self.text, IN_MEMORY[pick.dtype.name]
        if at.width == 1:
            return self.load(pick.ref, at, self._moved(pick.picks, terms))
        vector = "poison"
        for lane in range(at.width):
            index = text.add(at.index[at.axis], str(lane))
            if at.count is not None:
                index = text.least(index, text.add(at.index[at.axis], text.add(at.count, "-1")))
            place = (*at.index[: at.axis], index, *at.index[at.axis + 1 :])
            pointer = self.place(pick.ref, place, self._moved(pick.picks, terms, lane))
            wide = f"<{at.width} x {kind}>"
            loaded = text.load(kind, pointer)
            vector = text.let(f"insertelement {wide} {vector}, {kind} {loaded}, i32 {lane}")
        return self._as_value(vector, pick.dtype, at.width)


def _short(kind: str) -> str:
    return {"float": "f32", "double": "f64"}.get(kind, kind)
