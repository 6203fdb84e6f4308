"""Which kernels share one loop: what is in a register is not written and read again.

Two rules, applied until none fits:

* A Map goes to its producer, whatever that is: it reads the result where it is made.
  before: Contract (64,120) v1 = Σ x w      after: Contract (64,120) v2 = relu(Σ x w + b)
          Map      (64,120) v2 = relu(v1 + b)
* A Map goes into the Reduce that alone reads it.
  before: Map (64,10) v1 = exp(x - m)       after: Reduce (64) v2 = Σ exp(x - m)
          Reduce (64) v2 = Σ v1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from chainrule.compile.plan import (
    Apply,
    Bound,
    Constant,
    Host,
    Index,
    Instruction,
    Kernel,
    Pick,
    Plan,
    Read,
    Reduce,
    Ref,
    Value,
)
from chainrule.graph import Node

__all__ = ["fuse", "in_registers"]

LONGEST = 96  # instructions of one body: more need more registers than there are

Step = Kernel | Host


def fuse(kernels: Sequence[Step], outputs: Sequence[Value]) -> list[Step]:
    """The same work in fewer kernels; what nobody reads is left out."""
    return _Fusion(_needed(kernels, outputs), outputs).done()


def _needed(kernels: Sequence[Step], outputs: Sequence[Value]) -> list[Step]:
    wanted, kept = set(outputs), []
    for kernel in reversed(kernels):
        if kernel.written() & wanted or (isinstance(kernel, Kernel) and kernel.flags):
            wanted |= kernel.reads()
            kept.append(kernel)
    return kept[::-1]


def _outputs(kernel: Step) -> list[Value]:
    return [kernel.output] if isinstance(kernel, Host) else [w.ref.value for w in kernel.writes]


def in_registers(plan: Plan, outputs: Sequence[Node]) -> dict[Node, int]:
    """The nodes whose values no array ever holds, with the number of the kernel of each.

    What is only moved (a reshape) is where its input is; outputs: those of the work.
    """
    arrays = {*plan.inputs, *(value for kernel in plan.kernels for value in kernel.written())}
    arrays |= {plan.refs[node].value for node in outputs if node in plan.refs}
    kernel_of = {node: k for k, kernel in enumerate(plan.kernels) for node in kernel.nodes}
    found: dict[Node, int] = {}
    for node in plan.nodes[len(plan.inputs) :]:
        ref = plan.refs.get(node)
        if ref is None or ref.value in arrays:
            continue
        kernel = kernel_of.get(node, found.get(node.inputs[0]) if node.inputs else None)
        if kernel is not None:
            found[node] = kernel
    return found


class _Fusion:
    """Kernels in order, with who writes and reads each value."""

    def __init__(self, kernels: Sequence[Step], outputs: Sequence[Value]) -> None:
        self.order = list(kernels)
        self.outputs = set(outputs)
        self.reads = {kernel: kernel.reads() for kernel in self.order}
        self.writes = {kernel: kernel.written() for kernel in self.order}
        self.writers: dict[Value, set[Step]] = {}
        self.readers: dict[Value, set[Step]] = {}
        self.number: dict[Value, int] = {}  # of each value that is written, in order
        for kernel in self.order:
            self._enter(kernel)
            for value in _outputs(kernel):
                self.number.setdefault(value, len(self.number))

    def _enter(self, kernel: Step) -> None:
        self.reads[kernel], self.writes[kernel] = kernel.reads(), kernel.written()
        for value in self.reads[kernel]:
            self.readers.setdefault(value, set()).add(kernel)
        for value in self.writes[kernel]:
            self.writers.setdefault(value, set()).add(kernel)

    def _leave(self, kernel: Step) -> None:
        for value in self.reads.pop(kernel):
            self.readers[value].discard(kernel)
        for value in self.writes.pop(kernel):
            self.writers[value].discard(kernel)

    def done(self) -> list[Step]:
        """Apply the rules, from the first kernel on."""
        at = 0
        while at < len(self.order):
            kernel, merges = self.order[at], 0
            while isinstance(kernel, Kernel):  # what was merged may go on to its own producer
                merged = self._with_producer(kernel)
                if merged is None:
                    break
                kernel, merges = merged, merges + 1
            at += 1 - merges
        return self.order

    def _with_producer(self, kernel: Kernel) -> Kernel | None:
        """Merge a kernel with one that makes what it reads, if there is one."""
        for value in sorted(self.reads[kernel], key=self._rank):
            writers = self.writers.get(value, set())
            if len(writers) != 1:
                continue
            (producer,) = writers
            if not isinstance(producer, Kernel) or producer is kernel:
                continue
            if kernel.inner is None:
                merged = _after(producer, kernel, value)
            elif isinstance(kernel.inner, Reduce) and producer.inner is None:
                alone = self.readers[value] == {kernel} and value not in self.outputs
                alone = alone and len(producer.writes) == 1
                merged = _before(producer, kernel, value) if alone else None
            else:
                merged = None
            if merged is not None and self._place(producer, kernel, merged, value):
                return merged
        return None

    def _rank(self, value: Value) -> tuple[bool, int, int]:
        """Maps first: when a kernel has gone to a sum, no other comes to it any more."""
        sums = any(
            isinstance(writer, Kernel) and writer.inner is not None
            for writer in self.writers.get(value, ())
        )
        return sums, -value.nbytes, self.number.get(value, -1)

    def _place(self, producer: Kernel, kernel: Kernel, merged: Kernel, value: Value) -> bool:
        """Put the merged kernel where its inputs are there and nobody waits for it yet."""
        first, last = self.order.index(producer), self.order.index(kernel)
        before: list[Step] = []
        behind: list[Step] = []  # depends on the producer
        read, written = set(self.reads[producer]), set(self.writes[producer])
        for other in self.order[first + 1 : last]:
            mine = self.writes[other]
            if (
                self.reads[other].isdisjoint(written)
                and mine.isdisjoint(written)
                and mine.isdisjoint(read)
            ):
                before.append(other)
                continue
            read |= self.reads[other]
            written |= mine
            behind.append(other)
        later = set().union(*(self.writes[other] for other in behind)) if behind else set()
        if not self.reads[kernel].isdisjoint(later) or not self.writes[kernel].isdisjoint(later):
            return False
        if any(not self.writes[kernel].isdisjoint(self.reads[other]) for other in behind):
            return False
        self._leave(producer)
        self._leave(kernel)
        merged.writes = [
            write
            for write in merged.writes
            if write.ref.value in self.outputs or self.readers.get(write.ref.value)
        ]
        self._enter(merged)
        self.order[first : last + 1] = [*before, merged, *behind]
        return True


# ---------------------------------------------------------------- axes of one kernel on another's


def _onto(ref: Ref, target: Ref) -> list[list[int]] | None:
    """For each axis of ``ref`` the axes of ``target`` that it runs along, the last fastest.

    ``None`` unless both see the same elements, each once.
    """
    if ref.offset != target.offset or ref.bounds or ref.starts or target.bounds or target.starts:
        return None
    if prod(ref.shape) != prod(target.shape):
        return None
    left = {axis: stride for axis, stride in enumerate(target.strides) if target.shape[axis] > 1}
    found: list[list[int]] = []
    for extent, stride in zip(ref.shape, ref.strides, strict=True):
        along: list[int] = []
        while extent > 1:
            match = [a for a, s in left.items() if s == stride and extent % target.shape[a] == 0]
            if not match:
                return None
            along.insert(0, match[0])
            del left[match[0]]
            extent //= target.shape[match[0]]
            stride *= target.shape[match[0]]
        found.append(along)
    return None if left else found


def _spread(row: Sequence[int], places: Sequence[Sequence[int]], shape: Sequence[int]) -> list[int]:
    """Strides along old axes as strides along the axes that these became."""
    new = [0] * len(shape)
    for stride, along in zip(row, places, strict=True):
        step = stride
        for axis in reversed(along):
            new[axis] = step
            step *= shape[axis]
    return new


def _moved(ref: Ref, places: Sequence[Sequence[int]], shape: tuple[int, ...]) -> Ref:
    bounds = tuple(
        Bound(tuple(_spread(b.factors, places, shape)), b.start, b.size) for b in ref.bounds
    )
    strides = tuple(_spread(ref.strides, places, shape))
    return replace(ref, shape=shape, strides=strides, bounds=bounds)


def _body(
    body: Sequence[Instruction],
    before: Sequence[Instruction],
    places: Sequence[Sequence[int]],
    shape: tuple[int, ...],
    known: dict[int, int],
) -> tuple[list[Instruction], list[int]] | None:
    """A body on other axes behind the instructions before; where each of its terms is then.

    ``known``: terms that are there already, as are all that equal one before.
    """
    new: list[Instruction] = []
    there = {_identity(item): k for k, item in enumerate(before)}
    where: list[int] = []
    for number, item in enumerate(body):
        if number in known:
            where.append(known[number])
            continue
        if isinstance(item, (Read, Pick)):
            item = replace(item, ref=_moved(item.ref, places, shape))
        if isinstance(item, Pick):
            item = replace(item, picks=tuple((where[t], s, n) for t, s, n in item.picks))
        elif isinstance(item, Apply):
            item = replace(item, terms=tuple(where[term] for term in item.terms))
        elif isinstance(item, Index):
            along = places[item.axis]
            if len(along) > 1:
                return None
            item = replace(item, axis=along[0]) if along else Constant(item.dtype, 0)
        same = there.setdefault(_identity(item), len(before) + len(new))
        where.append(same)
        if same == len(before) + len(new):
            new.append(item)
    return new, where


def _identity(item: Instruction) -> object:
    """What is equal for instructions with equal results."""
    if isinstance(item, Apply):
        return Apply, item.op.name, item.terms, repr(sorted(item.meta.items())), item.dtype
    return type(item), repr(item) if isinstance(item, Constant) else item


# ---------------------------------------------------------------- the rules


def _after(producer: Kernel, kernel: Kernel, value: Value) -> Kernel | None:
    """A Map behind what makes ``value``, in the same loop."""
    if kernel.flags or producer.flags:
        return None
    if len(producer.body) + len(kernel.body) > LONGEST or any(w.picks for w in producer.writes):
        return None
    made = {write.ref.value: write for write in producer.writes}
    reads = {
        number: item.ref
        for number, item in enumerate(kernel.body)
        if isinstance(item, Read) and item.ref.value in made
    }
    if len(reads) != sum(ref.value in made for ref in kernel.refs()):
        return None
    if any(start.value in made for ref in kernel.refs() for start in ref.starts):
        return None
    if any(write.picks or write.add for write in kernel.writes):
        return None
    first = next((ref for ref in reads.values() if ref.value is value), None)
    places = None if first is None else _onto(first, made[value].ref)
    if places is None or any(_onto(r, made[r.value].ref) != places for r in reads.values()):
        return None
    known = {number: made[ref.value].term for number, ref in reads.items()}
    moved = _body(kernel.body, producer.body, places, producer.axes, known)
    if moved is None:
        return None
    body, where = moved
    writes = [
        replace(write, ref=_moved(write.ref, places, producer.axes), term=where[write.term])
        for write in kernel.writes
    ]
    whole = [*producer.body, *body]
    nodes = [*producer.nodes, *(n for n in kernel.nodes if n not in producer.nodes)]
    return Kernel(producer.axes, whole, [*producer.writes, *writes], producer.inner, nodes)


def _before(producer: Kernel, kernel: Kernel, value: Value) -> Kernel | None:
    """A Map that only a Reduce reads, once an element: among the terms of the Reduce."""
    reduce = kernel.inner
    assert isinstance(reduce, Reduce)
    if producer.flags:
        return None
    if len(producer.body) + len(reduce.body) > LONGEST:
        return None
    (made,) = producer.writes
    reads = {
        number: item.ref
        for number, item in enumerate(reduce.body)
        if isinstance(item, Read) and item.ref.value is value
    }
    if not reads or len(reads) != sum(ref.value is value for ref in kernel.refs()) or made.picks:
        return None
    space = (*kernel.axes, *reduce.extents)
    ref = next(iter(reads.values()))
    if any(other != ref for other in reads.values()):
        return None
    places = _onto(made.ref, ref)
    if places is None:
        return None
    moved = _body(producer.body, (), places, space, {})
    if moved is None:
        return None
    first, where = moved
    body: list[Instruction] = list(first)
    there: list[int] = []
    for number, item in enumerate(reduce.body):
        if number in reads:
            there.append(where[made.term])
            continue
        if isinstance(item, Apply):
            item = replace(item, terms=tuple(there[term] for term in item.terms))
        elif isinstance(item, Pick):
            item = replace(item, picks=tuple((there[t], s, n) for t, s, n in item.picks))
        there.append(len(body))
        body.append(item)
    parts = tuple((combiner, there[term]) for combiner, term in reduce.parts)
    nodes = [*producer.nodes, *(n for n in kernel.nodes if n not in producer.nodes)]
    inner = replace(reduce, body=body, parts=parts)
    return Kernel(kernel.axes, kernel.body, kernel.writes, inner, nodes)
