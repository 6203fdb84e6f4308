"""A plan in words: one block for each kernel, all of it assignments, then where memory is.

    k2  Contract  stage 1
        %7 matmul f32[64,120]  fc1/Linear           the nodes that it computes
        %8 add f32[64,120]  fc1/Linear
        loops  (64,120), each a sum over (400) as a chain
        a  = %5 f32[64,400] as (1,0), by (1,0 | 64)  an array, its layout, how the loops move in it
        b  = fc1.weight f32[120,400], by (0,400 | 1)
        s0 = sum of a * b                            s: what was combined
        r1 = fc1.bias f32[120], by (0,1)             r: read, v: computed
        v2 = s0 + r1
        %8 f32[64,120] as (1,0) = v2                 written
        6.152 MFLOP, reads 294.9 kB, writes 30.72 kB

``as (1,0)``: the order of the axes in memory, the last one fastest; nothing is said of arrays that
lie row by row.  ``by (1,0 | 64)``: how many elements a step along each axis, and behind the bar
along each extent of the sum, moves; nothing is said where that is the array's own layout.
"""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.compile.cost import cost
from chainrule.compile.memory import most
from chainrule.compile.plan import (
    Apply,
    Constant,
    Contract,
    Host,
    Index,
    Instruction,
    Kernel,
    Pick,
    Plan,
    Read,
    Reduce,
    Ref,
    Result,
    Value,
    Write,
    dense_strides,
)
from chainrule.compile.schedule import ordered
from chainrule.graph import Node, type_text

__all__ = ["Printer", "amount"]

INFIX = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "eq": "==", "ne": "!=",
    "and": "and", "or": "or", "xor": "xor", "power": "**",
}  # fmt: skip
PREFIXES = {9: "G", 6: "M", 3: "k", 0: "", -3: "m", -6: "µ", -9: "n"}
LONGEST = 48  # characters of an expression that stands inside another


def amount(number: float, unit: str, digits: int = 4) -> str:
    """A number with some digits and a prefix.

    >>> amount(15_955_968, "FLOP"), amount(2560, "B"), amount(7, "B"), amount(2.5e-6, "s")
    ('15.96 MFLOP', '2.56 kB', '7 B', '2.5 µs')
    """
    if not number:
        return f"0 {unit}".rstrip()
    reached = (p for p in PREFIXES if number >= 10.0**p)
    power = next(reached, min(PREFIXES))
    return f"{number / 10.0**power:.{digits}g} {PREFIXES[power]}{unit}".rstrip()


class Printer:
    """The names of a plan's nodes and arrays, and its kernels as text."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._numbers = {node: number for number, node in enumerate(plan.nodes)}
        self._names: dict[Value, str] = {}
        known = [node.name for node in plan.nodes[: len(plan.inputs)]]
        for place, value in enumerate(plan.inputs):
            plain = known[place : place + 1] == [value.label] and known.count(value.label) == 1
            self._names[value] = value.label if plain else f"%{place}"
        taken = set(self._names.values())
        for kernel in plan.kernels:
            for value in sorted(kernel.written() - self._names.keys(), key=lambda v: v.label):
                name = value.label or value.role
                while name in taken:
                    name += "'"
                self._names[value] = name
                taken.add(name)

    def plan_text(self, more: Sequence[str] = ()) -> str:
        """All of it; ``more``: what is said besides of each kernel."""
        blocks = [
            self.kernel_text(number, more[number] if more else "")
            for number in range(len(self.plan.kernels))
        ]
        return "\n\n".join([self.heading(), *blocks, self.memory()])

    def heading(self) -> str:
        """How many kernels, nodes, operations, bytes."""
        costs = [cost(kernel) for kernel in self.plan.kernels]
        stages = f" in {len(set(self.plan.stages))} stages" if self.plan.stages else ""
        nodes = len(self.plan.nodes) - len(self.plan.inputs)
        operations = amount(sum(c.operations for c in costs), "FLOP")
        moved = amount(sum(c.nbytes for c in costs), "B")
        return f"{len(costs)} kernels{stages} for {nodes} nodes: {operations}, {moved} moved"

    def memory(self) -> str:
        """What it needs, the arena, inputs and outputs."""
        old = self.plan.updates
        needed = amount(most(self.plan), "B")
        lines = [f"memory   {needed} at most, beside the inputs"]
        lines.append(f"arena    {amount(self.plan.arena, 'B')}")
        lines += [f"input    {self._array(value)}" for value in self.plan.inputs]
        for value in self.plan.outputs:
            place = f", in the place of {self.name(old[value])}" if value in old else ""
            lines.append(f"output   {self._array(value)}{place}")
        return "\n".join(lines)

    def name(self, value: Value) -> str:
        """What an array is called."""
        return self._names.get(value, value.label or value.role)

    def node(self, number: int) -> str:
        """The first node of a kernel and how many more, in short."""
        kernel = self.plan.kernels[number]
        if not kernel.nodes:
            return "copy"
        names = [node.op.name for node in kernel.nodes]
        return " ".join(names[:3]) + (f" +{len(names) - 3}" if len(names) > 3 else "")

    # ------------------------------------------------------------ a kernel

    def kernel_text(self, number: int, more: str = "") -> str:
        """The block of one kernel."""
        kernel = self.plan.kernels[number]
        stage = f"  stage {self.plan.stages[number]}" if self.plan.stages else ""
        lines = [self._node(node) for node in kernel.nodes]
        if isinstance(kernel, Host):
            lines += [f"reads  {self._array(value)}" for value in kernel.inputs]
            lines.append(f"writes {self._array(kernel.output)}, by the reference")
        else:
            lines += self._loops(kernel) + _Bodies(self, kernel).lines()
        found = cost(kernel)
        parts = [] if isinstance(kernel, Host) else [amount(found.operations, "FLOP")]
        parts += [f"reads {amount(found.read, 'B')}", f"writes {amount(found.written, 'B')}"]
        lines.append(", ".join([*parts, *([more] if more else [])]))
        return "\n".join([f"k{number}  {kernel.kind}{stage}", *(f"    {line}" for line in lines)])

    def _node(self, node: Node) -> str:
        text = f"%{self._numbers.get(node, '?')} {node.op.name} {node.type}"
        return f"{text}  {node.scope}" if node.scope else text

    def _loops(self, kernel: Kernel) -> list[str]:
        line = f"loops  {_sizes(kernel.axes)}"
        inner = kernel.inner
        if inner is not None:
            words = ["sum"] if isinstance(inner, Contract) else [c for c, _ in inner.parts]
            way = ", the last in 16 lanes" if inner.lanes else " as a chain"
            line += f", each a {' and a '.join(words)} over {_sizes(inner.extents)}{way}"
            if isinstance(inner, Contract) and inner.pieces:
                blocks = "each 16 of the last and " if inner.lanes else ""
                line += f", in pieces of {blocks}each of the first {inner.pieces - inner.lanes}"
        walked = tuple(n for n in ordered(kernel).axes if n != 1)
        if walked != tuple(n for n in kernel.axes if n != 1):
            line += f"; walked as {_sizes(walked)}"
        return [line]

    # ------------------------------------------------------------ arrays

    def _array(self, value: Value) -> str:
        """Name, type, order of the axes in memory."""
        text = f"{self.name(value)} {type_text(value.shape, value.dtype)}"
        moving = [axis for axis, size in enumerate(value.shape) if size > 1]
        order = sorted(range(len(value.shape)), key=lambda axis: (-value.strides[axis], axis))
        for axes, said in ((range(len(order)), ""), (order, f" as {_sizes(order)}")):
            dense = dense_strides(value.shape, axes)
            if all(dense[axis] == value.strides[axis] for axis in moving):
                return text + said
        return f"{text} with strides {_sizes(value.strides)}"

    def seen(self, ref: Ref, axes: int) -> str:
        """An array and how loops move in it."""
        text = self._array(ref.value)
        own = ref.shape == ref.value.shape and ref.strides == ref.value.strides
        if not own and any(ref.strides):
            steps = ",".join(map(str, ref.strides[:axes]))
            inner = ",".join(map(str, ref.strides[axes:]))
            text += f", by ({steps} | {inner})" if inner else f", by ({steps})"
        if ref.offset:
            text += f" from {ref.offset}"
        for start in ref.starts:
            text += f" + {start.stride} * {self.name(start.value)}"
        return f"{text}, {ref.fill:g} outside" if ref.bounds else text


def _sizes(sizes: Sequence[int]) -> str:
    return f"({','.join(map(str, sizes))})"


class _Bodies:
    """The bodies of one kernel as assignments; terms are numbered through both."""

    def __init__(self, printer: Printer, kernel: Kernel) -> None:
        self.printer, self.kernel = printer, kernel
        self.first = len(kernel.inner.body) if isinstance(kernel.inner, Reduce) else 0

    def lines(self) -> list[str]:
        """Reads, sums, expressions, writes, checks."""
        kernel, axes = self.kernel, len(self.kernel.axes)
        inner, lines = kernel.inner, []
        self.results: list[str] = []
        if isinstance(inner, Contract):
            lines += [f"a  = {self.printer.seen(inner.a, axes)}"]
            lines += [f"b  = {self.printer.seen(inner.b, axes)}"]
            self.results = ["a * b"]
        elif inner is not None:
            wanted = [term for _, term in inner.parts]
            more, terms = self._body(inner.body, wanted, 0, axes)
            lines += more
            self.results = [_at(terms, term) for term in wanted]
        wanted = [write.term for write in kernel.writes] + [term for term, _ in kernel.flags]
        more, terms = self._body(kernel.body, wanted, self.first, axes)
        lines += more
        lines += [self._write(write, terms) for write in kernel.writes]
        leaves = len(self.printer.plan.inputs)
        for term, place in kernel.flags:
            node = f"%{leaves + place - 1}"
            lines.append(f"stop where {_at(terms, term)}: a value that {node} refuses")
        return lines

    def _body(
        self, body: Sequence[Instruction], wanted: Sequence[int], first: int, axes: int
    ) -> tuple[list[str], list[str]]:
        """Lines, and what each term is called; a term of one use stands where it is used."""
        uses = list(wanted) * 2
        for item in body:
            if isinstance(item, Apply):
                uses += item.terms
            elif isinstance(item, Pick):
                uses += [term for term, _, _ in item.picks]
        lines: list[str] = []
        terms: list[str] = []
        for number, item in enumerate(body):
            name = f"{_letter(item)}{first + number}"
            text = self._text(item, terms, axes)
            inline = isinstance(item, (Constant, Index)) or (
                isinstance(item, Apply) and uses.count(number) == 1 and len(text) <= LONGEST
            )
            if inline:
                infix = isinstance(item, Apply) and item.op.name in INFIX
                terms.append(f"({text})" if infix else text)
                continue
            lines.append(f"{name:2} = {text}")
            terms.append(name)
        return lines, terms

    def _text(self, item: Instruction, terms: Sequence[str], axes: int) -> str:
        if isinstance(item, Read):
            return self.printer.seen(item.ref, axes)
        if isinstance(item, Pick):
            return f"{self.printer.seen(item.ref, axes)}{_moved(item.picks, terms)}"
        if isinstance(item, Result):
            return self._result(item.number)
        if isinstance(item, Constant):
            return f"{item.number:g}" if isinstance(item.number, float) else str(item.number)
        if isinstance(item, Index):
            return f"i{item.axis}"
        assert isinstance(item, Apply)
        inputs = [_at(terms, term) for term in item.terms]
        name = item.op.name
        if name in INFIX and len(inputs) == 2:
            return f" {INFIX[name]} ".join(inputs)
        if name == "neg":
            return f"-{inputs[0]}"
        meta = [str(x) if name == "cast" else f"{key}={x}" for key, x in item.meta.items()]
        bare = [x[1:-1] if _is_one(x) else x for x in inputs]
        return f"{name}({', '.join(bare + meta)})"

    def _result(self, number: int) -> str:
        inner = self.kernel.inner
        combiner = inner.parts[number][0] if isinstance(inner, Reduce) else "sum"
        return f"{combiner} of {_at(self.results, number)}"

    def _write(self, write: Write, terms: Sequence[str]) -> str:
        sign = "+=" if write.add else "="
        place = f"{self.printer.seen(write.ref, len(self.kernel.axes))}{_moved(write.picks, terms)}"
        return f"{place} {sign} {_at(terms, write.term)}"


def _letter(item: Instruction) -> str:
    if isinstance(item, (Read, Pick)):
        return "r"
    return "s" if isinstance(item, Result) else "v"


def _at(terms: Sequence[str], number: int) -> str:
    """A term's name; of a plan that is wrong, it may not be there."""
    return terms[number] if 0 <= number < len(terms) else "?"


def _is_one(text: str) -> bool:
    """Whether the first bracket is closed by the last one."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return letter == ")" and place == len(text) - 1
    return False


def _moved(picks: Sequence[tuple[int, int, int]], terms: Sequence[str]) -> str:
    """How data move the place."""
    return "".join(f", at {_at(terms, term)} of {size} by {stride}" for term, stride, size in picks)


def _text(self: Plan) -> str:
    return Printer(self).plan_text()


Plan.__str__ = _text  # here, so that the grammar needs no printer
