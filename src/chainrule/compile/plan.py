"""The grammar of a plan: what a compiler pass may write, on one screen.

    Plan     = Value* Kernel*                       kernels in order; values live between them
    Kernel   = axes [Reduce | Contract] body Write* flags   one loop nest, every element of its axes
    Reduce   = extents, body, (combiner, term)*         what is combined, for each element
    Contract = extents, a, b                            Σ a b over the extents, for each element
    body     = (Read | Pick | Result | Apply | Constant | Index)*      single assignment, in order
    Ref      = an array seen through strides: what movement ops become (ref.py); they are no kernels

A kernel without Reduce or Contract is a Map.  With one it is followed by the same kind of body,
which reads what was combined as ``Result``: bias, activation and update stand there.  A ``Host``
kernel is a node that the reference computes.

Canonical arithmetic: the bits of a result depend on op, shapes, dtype and input bits alone.  A sum
has one order, said by its kernel: the extents in order, the last one fastest, as one chain from
zero; or, with ``lanes``, the last extent spread over 16 partial sums (number i belongs to sum i mod
16), each a chain, joined by a fixed tree.  The first ``pieces`` loops are over partial sums, each
from zero, which are added in order; with lanes the first loop is that over blocks of 16.  So are
pieces of 256 terms of a longer Reduce.  Tiles, vectors, threads and fusion only choose among
executions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chainrule.compile.ref import Bound, Ref, Sizes, Spans, Start, Value, dense_strides, meet
from chainrule.dtypes import DType
from chainrule.graph import Node

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
    "Spans",
    "Start",
    "Value",
    "Write",
    "dense_strides",
    "meet",
]

LANES = 16  # partial sums of a reduction with lanes, on every machine


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

    def span(self) -> tuple[int, int]:
        """The first and the last element it may write."""
        return self.ref.span(sum((size - 1) * stride for _, stride, size in self.picks))


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

    def spans(self, value: Value) -> Spans:
        """The first and the last element of each part of ``value`` that it writes."""
        return [write.span() for write in self.writes if write.ref.value is value]


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

    def spans(self, value: Value) -> Spans:
        """The first and the last element of what it writes: all of it."""
        return [Ref.whole(value).span()]


@dataclass(eq=False)
class Plan:
    """Kernels in order, in stages, and where inputs, outputs and temporaries lie.

    The kernels of a stage do not depend on each other; ``print(plan)`` lists all of it: printer.py.
    """

    kernels: list[Kernel | Host]
    inputs: list[Value]
    outputs: list[Value]
    refs: dict[Node, Ref] = field(default_factory=dict)  # how the values of nodes are seen
    nodes: list[Node] = field(default_factory=list)  # %0, %1 ...: leaves first
    updates: dict[Value, Value] = field(default_factory=dict)  # outputs in the place of inputs
    stages: list[int] = field(default_factory=list)  # of each kernel
    arena: int = 0  # bytes of the temporaries
