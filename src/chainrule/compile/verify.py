"""The rules of a plan, checked: what a pass gets wrong is found before it computes a wrong number.

``faults`` lists what breaks a rule; ``verify`` raises PlanError with a report.

* A value is read after all that is written to it, in order and in stages; every output is written.
* A ref stays within its array, and runs over its kernel's axes.
* No two places write one element, no two kernels of a stage write one part of a value.
* An input that is updated in place is read by nobody later.
* Temporaries that are alive in the same stage do not overlap.
* The terms of a body have the types that their ops say.
* Checks of inputs come before anything is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from chainrule.compile.plan import (
    Apply,
    Contract,
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
    meet,
)
from chainrule.compile.printer import Printer
from chainrule.dtypes import DType, bool_, int32, int64
from chainrule.errors import ChainruleError, GraphError, message

__all__ = ["PlanError", "faults", "verify"]

COMBINERS = {"sum", "max", "min", "argmax"}


class PlanError(GraphError):
    """A plan breaks a rule: a defect of a compiler pass.  ``report`` says all that is known."""

    def __init__(self, text: str, report: str) -> None:
        super().__init__(text)
        self.report = report


def verify(plan: Plan, after: str) -> None:
    """Raise PlanError if a plan breaks a rule; ``after``: the pass that made it."""
    found = list(faults(plan))
    if found:
        why = "This is a defect of Chainrule"
        text = message("plan", f"a plan that breaks a rule after {after}: {found[0]}", why=why)
        report = "\n".join(
            [f"after {after}:", *(f"  {fault}" for fault in found), "", Printer(plan).plan_text()]
        )
        raise PlanError(text, report + "\n")


def faults(plan: Plan) -> Iterator[str]:
    """What breaks a rule, in words; without stages, what can be said of the order alone."""
    steps = _Steps(plan)
    yield from _order(steps)
    if plan.stages:
        yield from _updates(steps)
        yield from _checks(steps)
        yield from _memory(steps)
    for number, kernel in enumerate(plan.kernels):
        if isinstance(kernel, Kernel):
            for fault in (*_refs(kernel), *_types(kernel)):
                yield f"k{number} {fault}"


class _Steps:
    """A plan's kernels with what each reads and writes, looked up once."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.inputs = plan, set(plan.inputs)
        self.stages = plan.stages or list(range(len(plan.kernels)))
        self.reads = [kernel.reads() for kernel in plan.kernels]
        self.writes = [kernel.written() for kernel in plan.kernels]


# ---------------------------------------------------------------- order


def _order(steps: _Steps) -> Iterator[str]:
    """Who reads what is written, and when."""
    plan, stages, inputs = steps.plan, steps.stages, steps.inputs
    written: dict[Value, list[int]] = {}
    read: dict[Value, list[int]] = {}
    for number, stage in enumerate(stages):
        for value in steps.reads[number]:
            writers = written.get(value, [])
            if not writers and value not in inputs and prod(value.shape):
                yield f"k{number} reads {value} before it is written"
            for writer in writers:
                if stages[writer] >= stage:
                    yield f"k{number} reads {value} in the stage of k{writer}, which writes it"
        for value in steps.writes[number]:
            if value in inputs:
                yield f"k{number} writes the input {value}"
            for writer in written.get(value, []):
                parts = [plan.kernels[k].spans(value) for k in (writer, number)]
                if stages[writer] >= stage and meet(*parts):
                    yield f"k{writer} and k{number} write {value} in one stage"
            for reader in read.get(value, []):
                if stages[reader] >= stage:
                    yield f"k{number} writes {value} while k{reader} reads it"
        for value in steps.reads[number]:
            read.setdefault(value, []).append(number)
        for value in steps.writes[number]:
            written.setdefault(value, []).append(number)
    for place, output in enumerate(plan.outputs):
        if output not in written and prod(output.shape):
            yield f"nobody writes output {place}, {output}"


def _updates(steps: _Steps) -> Iterator[str]:
    """Who reads an input after it was updated in place."""
    at = steps.stages
    for new, old in steps.plan.updates.items():
        writers = [k for k, values in enumerate(steps.writes) if new in values]
        readers = [k for k, values in enumerate(steps.reads) if old in values]
        late = [(r, w) for r in readers for w in writers if r != w and at[r] >= at[w]]
        if late:
            reader, writer = late[0]
            yield f"k{reader} reads {old} when k{writer} has written {new} in its place"


def _checks(steps: _Steps) -> Iterator[str]:
    """Who writes before labels and indices are checked."""
    for number, kernel in enumerate(steps.plan.kernels):
        if isinstance(kernel, Kernel) and kernel.flags and steps.reads[number] <= steps.inputs:
            for other, values in enumerate(steps.writes):
                if values and steps.stages[other] <= steps.stages[number]:
                    yield f"k{other} writes before k{number} has checked its inputs"


# ---------------------------------------------------------------- memory


def _memory(steps: _Steps) -> Iterator[str]:
    """Which temporaries lie in one place at one time."""
    plan = steps.plan
    alive: dict[Value, tuple[int, int]] = {}
    for stage, read, written in zip(steps.stages, steps.reads, steps.writes, strict=True):
        for value in read | written:
            if value.role == "temp":
                first, last = alive.get(value, (stage, stage))
                alive[value] = (min(first, stage), max(last, stage))
    values = list(alive)
    for value in values:
        if value.place < 0 or value.place + value.nbytes > plan.arena:
            yield f"{value} lies outside of the arena: {value.place} of {plan.arena} bytes"
    begin = np.array([value.place for value in values])
    end = begin + np.array([value.nbytes for value in values], int)
    first, last = np.array(list(alive.values()), int).reshape(-1, 2).T
    meet = (begin[:, None] < end) & (begin < end[:, None])
    meet &= (first[:, None] <= last) & (first <= last[:, None])
    for i, j in zip(*np.nonzero(np.triu(meet, 1)), strict=True):
        yield f"{values[i]} and {values[j]} lie in the same bytes in the same stage"


# ---------------------------------------------------------------- refs


def _refs(kernel: Kernel) -> Iterator[str]:
    """Refs over other axes, beyond their arrays, or meeting themselves."""
    whole = kernel.axes
    if kernel.inner is not None:
        whole = (*kernel.axes, *kernel.inner.extents)
    for ref, picks in _read_refs(kernel.body):
        yield from _ref("reads", ref, kernel.axes, picks)
    if isinstance(kernel.inner, Contract):
        yield from _ref("reads", kernel.inner.a, whole, 0)
        yield from _ref("reads", kernel.inner.b, whole, 0)
    elif kernel.inner is not None:
        for ref, picks in _read_refs(kernel.inner.body):
            yield from _ref("reads", ref, whole, picks)
    for write in kernel.writes:
        picks = sum((size - 1) * stride for _, stride, size in write.picks)
        yield from _ref("writes", write.ref, kernel.axes, picks)
        if write.ref.bounds:
            yield f"writes {write.ref}, which has padding"
        if not (write.picks or write.add or _apart(write.ref)):
            yield f"writes an element of {write.ref.value} at two places"


def _read_refs(body: Sequence[Instruction]) -> Iterator[tuple[Ref, int]]:
    """The refs of a body, and how far data may move each."""
    for item in body:
        if isinstance(item, Read):
            yield item.ref, 0
        elif isinstance(item, Pick):
            yield item.ref, sum((size - 1) * stride for _, stride, size in item.picks)


def _ref(verb: str, ref: Ref, space: Sequence[int], picks: int) -> Iterator[str]:
    if tuple(ref.shape) != tuple(space) or len(ref.strides) != len(space):
        yield f"{verb} {ref} over {tuple(ref.shape)}, and runs over {tuple(space)}"
        return
    if not prod(space) or ref.bounds:
        return
    low, high = ref.span(picks)
    if low < 0 or high >= ref.value.size:
        spans = f"which spans {ref.value.size}"
        yield f"{verb} elements {low} to {high} of {ref.value}, {spans}"


def _apart(ref: Ref) -> bool:
    """Whether each place of a ref is another element: each stride leads out of the smaller ones."""
    reach = 0
    for stride, size in sorted(
        (abs(s), n) for s, n in zip(ref.strides, ref.shape, strict=True) if n > 1
    ):
        if stride <= reach:
            return False
        reach += stride * (size - 1)
    return True


# ---------------------------------------------------------------- types


class _Scalar:
    """What a shape rule sees of a term."""

    shape = ()

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype


def _types(kernel: Kernel) -> Iterator[str]:
    """Terms that are used before they are there, or whose types don't fit."""
    inner, results = kernel.inner, []
    if isinstance(inner, Contract):
        results = [inner.a.dtype]
        if inner.b.dtype is not inner.a.dtype:
            yield f"multiplies {inner.a.dtype.name} with {inner.b.dtype.name}"
    elif isinstance(inner, Reduce):
        yield from _body(inner.body, len(kernel.axes) + len(inner.extents), [])
        for combiner, term in inner.parts:
            if combiner not in COMBINERS or not 0 <= term < len(inner.body):
                yield f"combines term {term} by {combiner}"
                return
            results.append(int32 if combiner == "argmax" else inner.body[term].dtype)
    yield from _body(kernel.body, len(kernel.axes), results)
    many = len(kernel.body)
    for write in kernel.writes:
        if not 0 <= write.term < many:
            yield f"writes term {write.term} of {many}"
        elif kernel.body[write.term].dtype is not write.ref.dtype:
            kind = kernel.body[write.term].dtype.name
            yield f"writes {kind} v{write.term} to {write.ref.value}"
        yield from _picks(kernel.body, write.picks)
    for term, _ in kernel.flags:
        if not 0 <= term < many or kernel.body[term].dtype is not bool_:
            yield f"has a flag on v{term}, which is no bool"


def _body(body: Sequence[Instruction], axes: int, results: Sequence[DType]) -> Iterator[str]:
    for number, item in enumerate(body):
        wanted: DType | None = None
        if isinstance(item, (Read, Pick)):
            wanted = item.ref.dtype
        elif isinstance(item, Result):
            if not 0 <= item.number < len(results):
                yield f"reads result {item.number} of {len(results)}"
                continue
            wanted = results[item.number]
        elif isinstance(item, Index):
            wanted = int64
            if not 0 <= item.axis < axes:
                yield f"reads the index of axis {item.axis} of {axes}"
        elif isinstance(item, Apply):
            late = [term for term in item.terms if not 0 <= term < number]
            if late:
                yield f"v{number} = {item.op.name} uses v{late[0]}, which is not there yet"
                continue
            try:
                wanted = _result_of(item, body)
            except ChainruleError as error:
                yield f"v{number}: {error}"
        if isinstance(item, Pick):
            yield from _picks(body[:number], item.picks)
        if wanted is not None and wanted is not item.dtype:
            yield f"v{number} is called {item.dtype.name}, and is {wanted.name}"


def _result_of(item: Apply, body: Sequence[Instruction]) -> DType:
    """The type by the op's own rule."""
    return item.op.infer(*(_Scalar(body[term].dtype) for term in item.terms), **item.meta)[1]


def _picks(body: Sequence[Instruction], picks: Sequence[tuple[int, int, int]]) -> Iterator[str]:
    for term, _, _ in picks:
        if not 0 <= term < len(body) or body[term].dtype is not int64:
            yield f"takes an index from v{term}, which is no int64"
