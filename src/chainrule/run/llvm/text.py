"""How the text of one LLVM function is written: values, blocks, loops.

Building modules with ``llvmlite.ir`` costs more time than compiling them, so kernels are text.

>>> text = Text("sum", ["ptr %x", "i64 %n"], result="float")
>>> with text.loop("0", "%n", carried=[("float", "0.0")]) as loop:
...     x = text.load("float", text.at("float", "%x", loop.index))
...     loop.next = [text.let(f"fadd float {loop.values[0]}, {x}")]
>>> text.do(f"ret float {loop.values[0]}")
>>> print(text.module())  # doctest: +ELLIPSIS
define float @sum(ptr %x, i64 %n) {
entry:
  br label %loop1
...
}
<BLANKLINE>
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

__all__ = ["Loop", "Text"]


class Loop:
    """A loop while it is written: ``index`` and ``values`` in it, ``next`` what they become.

    After the loop ``values`` are the last ones: those it began with if it never ran.
    """

    def __init__(self, index: str, values: list[str]) -> None:
        self.index, self.values = index, values
        self.next: list[str] = []


class Text:
    """One function: ``let`` an instruction have a name, ``do`` one without a result."""

    def __init__(self, name: str, parameters: Sequence[str], result: str = "void") -> None:
        self.name = name
        self._head = f"define {result} @{name}({', '.join(parameters)}) {{"
        self._entry = ["entry:"]
        self._lines: list[str] = []
        self._block = "entry"
        self._count = 0
        self._declared: dict[str, None] = {}

    # ------------------------------------------------------------ values

    def let(self, instruction: str) -> str:
        """Write ``%n = instruction``; the name."""
        self._count += 1
        name = f"%v{self._count}"
        self._lines.append(f"  {name} = {instruction}")
        return name

    def do(self, instruction: str) -> None:
        """Write an instruction that has no result."""
        self._lines.append(f"  {instruction}")

    def at_entry(self, instruction: str) -> str:
        """``let`` at the beginning of the function, where it is done once."""
        self._count += 1
        name = f"%v{self._count}"
        self._entry.append(f"  {name} = {instruction}")
        return name

    def do_at_entry(self, instruction: str) -> None:
        """``do`` at the beginning of the function."""
        self._entry.append(f"  {instruction}")

    def declare(self, declaration: str) -> None:
        """Something outside: ``float @llvm.fabs.f32(float)``."""
        self._declared[declaration] = None

    def call(self, result: str, name: str, *arguments: tuple[str, str]) -> str:
        """Call and declare an outside function with (type, value) pairs."""
        kinds = ", ".join(kind.partition(" align ")[0] for kind, _ in arguments)
        self.declare(f"{result} @{name}({kinds})")
        values = ", ".join(f"{kind} {value}" for kind, value in arguments)
        return self.let(f"call {result} @{name}({values})")

    def at(self, kind: str, pointer: str, index: str) -> str:
        """The address of element ``index`` of an array of ``kind``."""
        return self.let(f"getelementptr {kind}, ptr {pointer}, i64 {index}")

    def load(self, kind: str, pointer: str, align: int = 1) -> str:
        """The value at an address."""
        return self.let(f"load {kind}, ptr {pointer}, align {align}")

    def store(self, kind: str, value: str, pointer: str, align: int = 1) -> None:
        """Write a value to an address."""
        self.do(f"store {kind} {value}, ptr {pointer}, align {align}")

    # ------------------------------------------------------------ whole numbers of addresses

    def add(self, a: str, b: str) -> str:
        """a + b of i64; constants are added here."""
        if _is_number(a) and _is_number(b):
            return str(int(a) + int(b))
        if a == "0":
            return b
        return a if b == "0" else self.let(f"add i64 {a}, {b}")

    def mul(self, a: str, b: str) -> str:
        """a b of i64; constants are multiplied here."""
        if _is_number(a) and _is_number(b):
            return str(int(a) * int(b))
        if "0" in (a, b):
            return "0"
        if a == "1":
            return b
        return a if b == "1" else self.let(f"mul i64 {a}, {b}")

    def least(self, a: str, b: str) -> str:
        """The smaller of two i64."""
        if _is_number(a) and _is_number(b):
            return str(min(int(a), int(b)))
        return self.call("i64", "llvm.smin.i64", ("i64", a), ("i64", b))

    def most(self, a: str, b: str) -> str:
        """The larger of two i64."""
        if _is_number(a) and _is_number(b):
            return str(max(int(a), int(b)))
        return self.call("i64", "llvm.smax.i64", ("i64", a), ("i64", b))

    # ------------------------------------------------------------ blocks

    def label(self, word: str) -> str:
        """A name for a block that does not stand elsewhere."""
        self._count += 1
        return f"{word}{self._count}"

    def begin(self, label: str) -> None:
        """What follows belongs to this block."""
        self._block = label
        self._lines.append(f"{label}:")

    def jump(self, label: str) -> None:
        """Go on in a block."""
        self.do(f"br label %{label}")

    def branch(self, condition: str, yes: str, no: str) -> None:
        """Go on in one of two blocks."""
        self.do(f"br i1 {condition}, label %{yes}, label %{no}")

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """What is written in the ``with`` block is done if the condition holds."""
        yes, done = self.label("when"), self.label("done")
        self.branch(condition, yes, done)
        self.begin(yes)
        yield
        self.jump(done)
        self.begin(done)

    @contextmanager
    def loop(
        self,
        start: str,
        stop: str,
        step: str = "1",
        carried: Sequence[tuple[str, str]] = (),
    ) -> Iterator[Loop]:
        """for index in range(start, stop, step), with values carried along: (type, first value).

        It may run no time at all.
        """
        before, head = self._block, self.label("loop")
        body, done = self.label("body"), self.label("end")
        self.jump(head)
        self.begin(head)
        place = len(self._lines)
        index = f"%i{self._count}"
        loop = Loop(index, [f"{index}.{k}" for k in range(len(carried))])
        more = f"{index}.more"
        self.do(f"{more} = icmp slt i64 {index}, {stop}")
        self.branch(more, body, done)
        self.begin(body)
        yield loop
        after = self.let(f"add i64 {index}, {step}")
        latch = self._block
        self.jump(head)
        kinds = ["i64", *(kind for kind, _ in carried)]
        firsts = [start, *(first for _, first in carried)]
        names, nexts = [index, *loop.values], [after, *loop.next]
        phis = [
            f"  {name} = phi {kind} [ {first}, %{before} ], [ {then}, %{latch} ]"
            for name, kind, first, then in zip(names, kinds, firsts, nexts, strict=True)
        ]
        self._lines[place:place] = phis
        self.begin(done)

    def module(self) -> str:
        """The text of a module with this function."""
        declared = [f"declare {declaration}" for declaration in self._declared]
        return "\n".join([*declared, self._head, *self._entry, *self._lines, "}", ""])


def _is_number(value: str) -> bool:
    return value.lstrip("-").isdigit()
