"""From nodes to kernels: each op as a Map, a Reduce or a Contract, movement as strides.

before: %3 relu f32[64,6,28,28]          after: Map (64,6,28,28) v3 = relu(v2)
        %4 permute(%3) axes=(0,2,3,1)           no kernel: v3 seen through other strides

One kernel for each node that computes; which of them share a loop is the business of ``fuse.py``.
What an op becomes stands in ``LOWERINGS``; an op that is not there runs by its reference (Host).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from chainrule.compile.plan import (
    Apply,
    Constant,
    Host,
    Instruction,
    Kernel,
    Read,
    Reduce,
    Ref,
    Value,
    Write,
    dense_strides,
)
from chainrule.compile.work import Work
from chainrule.dtypes import DType
from chainrule.graph import Node
from chainrule.ops.op import Elementwise

__all__ = ["BATCH_LANES", "LOWERINGS", "Body", "Lowering", "lower", "lowers"]

BATCH_LANES = 8  # images from which on the batch is the axis of vectors, and lies last in memory

LINE = 64  # bytes of a cache line
CROWDED = 32  # lines: a stride that is a multiple of so many meets too few sets of a cache

Sizes = tuple[int, ...]
Lower = Callable[["Lowering", Node], Ref | None]

LOWERINGS: dict[str, Lower] = {}
ALIASES = {"detach": 0, "assign": 0}  # the same numbers


def lowers(*names: str) -> Callable[[Lower], Lower]:
    """Enter a function as what ops become."""

    def enter(function: Lower) -> Lower:
        for name in names:
            LOWERINGS[name] = function
        return function

    return enter


def lower(work: Work) -> Lowering:
    """The kernels of a work, one or more for each node, and where the values of nodes lie."""
    lowering = Lowering(work)
    for node in work.nodes:
        lowering.enter(node)
    lowering.deliver()
    return lowering


class Body:
    """A body while it is written."""

    def __init__(self) -> None:
        self.items: list[Instruction] = []

    def put(self, item: Instruction) -> int:
        """Append an instruction; its number."""
        self.items.append(item)
        return len(self.items) - 1

    def read(self, ref: Ref) -> int:
        """A read of the element at the kernel's index."""
        return self.put(Read(ref.dtype, ref))

    def constant(self, number: Any, dtype: DType) -> int:
        """A fixed number."""
        return self.put(Constant(dtype, number))

    def apply(self, op: Any, *terms: int, result: DType | None = None, **meta: Any) -> int:
        """An elementwise op; its dtype is that of its last input unless told."""
        kind = result or op.result or self.items[terms[-1]].dtype
        return self.put(Apply(kind, op, terms, meta))


class Lowering:
    """Kernels while they are written.  ``refs``: how the value of each node is seen."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.kernels: list[Kernel | Host] = []
        self.refs: dict[Node, Ref] = {}
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        self.copies: dict[tuple[Any, ...], Ref] = {}
        self.node: Node | None = None
        self.readers: dict[Node, list[Node]] = {}
        for node in work.nodes:
            for source in node.inputs:
                self.readers.setdefault(source, []).append(node)
        for place, node in enumerate(work.inputs):
            value = self.value(node.dtype, node.shape, label=node.name or node.op.name)
            value.role, value.place = "input", place
            self.inputs.append(value)
            self.refs[node] = Ref.whole(value)

    # ------------------------------------------------------------ building blocks

    def value(
        self,
        dtype: DType,
        shape: Sizes,
        order: Sequence[int] | None = None,
        label: str = "",
        *,
        dense: bool = False,
    ) -> Value:
        """A new array whose axes lie in memory in that order; ``dense``: without gaps."""
        strides = dense_strides(shape, order if order is not None else range(len(shape)))
        if order is not None and len(shape) >= 4 and order[-1] == 0 and not dense:
            strides = _apart(strides, shape, order[0], dtype.itemsize)
        number = len(self.kernels)
        return Value(dtype, shape, strides, label=label or f"t{number}")

    def result(self, node: Node, order: Sequence[int] | None = None) -> Value:
        """A new array for the value of a node."""
        return self.value(node.dtype, node.shape, order, label=f"%{self.number(node)}")

    def number(self, node: Node) -> int:
        """The node's place in the work."""
        if not hasattr(self, "_numbers"):
            order = [*self.work.inputs, *self.work.nodes]
            self._numbers = {each: k for k, each in enumerate(order)}
        return self._numbers[node]

    def kernel(self, axes: Sizes, body: Body, writes: Sequence[Write], inner: Any = None) -> Kernel:
        """Append a kernel."""
        nodes = [] if self.node is None else [self.node]
        kernel = Kernel(axes, body.items, list(writes), inner, nodes)
        self.kernels.append(kernel)
        return kernel

    def fill(self, ref: Ref, number: float) -> None:
        """Write one number everywhere."""
        body = Body()
        body.constant(number, ref.dtype)
        self.kernel(ref.shape, body, [Write(ref, 0)])

    def copy(self, source: Ref, target: Ref) -> None:
        """Write one ref's elements to another's places."""
        body = Body()
        body.read(source)
        self.kernel(source.shape, body, [Write(target, 0)])

    def stored(self, ref: Ref, order: Sequence[int] | None = None, *, dense: bool = False) -> Ref:
        """A copy without padding or run-time starts, in that order; made once."""
        key = (ref, None if order is None else tuple(order), dense)
        if key not in self.copies:
            value = self.value(ref.dtype, ref.shape, order, dense=dense)
            self.copy(ref, Ref.whole(value))
            self.copies[key] = Ref.whole(value)
        return self.copies[key]

    @staticmethod
    def is_number(node: Node, number: float) -> bool:
        """Whether a node is this number, and part of the structure: a formula's constant."""
        return node.meta.get("fixed") == number and not node.inputs

    def check(self, shape: Sizes, body: Body, wrong: int) -> None:
        """A kernel that stops the plan where a term is true: ``op.check`` says then what is wrong.

        The number in the error word is that of the node, from 1.
        """
        assert self.node is not None
        place = self.work.nodes.index(self.node) + 1
        kernel = self.kernel(shape, body, [])
        kernel.flags = ((wrong, place),)

    def seen(self, node: Node) -> Ref:
        """How an input's value is seen."""
        return self.refs[node]

    def starts(self, nodes: Sequence[Node]) -> list[Value]:
        """Run-time numbers i64[], each an array of its own."""
        found = []
        for node in nodes:
            ref = self.refs[node]
            found.append((ref if ref == Ref.whole(ref.value) else self.stored(ref)).value)
        return found

    # ------------------------------------------------------------ nodes

    def enter(self, node: Node) -> None:
        """The kernels of one node."""
        self.node = node
        if node in self.refs:  # a pattern has made it already
            return
        if node.op.name in ALIASES:
            self.refs[node] = self.refs[node.inputs[ALIASES[node.op.name]]]
            return
        ref: Ref | None = None
        if not prod(node.shape):
            ref = Ref.whole(self.result(node))  # nothing to compute
        elif node.op.name in LOWERINGS:
            ref = LOWERINGS[node.op.name](self, node)
        elif isinstance(node.op, Elementwise):
            ref = self.elementwise(node)
        self.refs[node] = self._host(node) if ref is None else ref

    def elementwise(self, node: Node) -> Ref:
        """A Map of the op's formula."""
        body = Body()
        refs = [self.refs[source] for source in node.inputs]
        terms = [
            body.constant(source.meta["fixed"], source.dtype)
            if "fixed" in source.meta
            else body.read(ref.broadcast(node.shape))
            for source, ref in zip(node.inputs, refs, strict=True)
        ]
        body.put(Apply(node.dtype, node.op, tuple(terms), dict(node.meta)))
        value = self.result(node, memory_order(refs, node.shape))
        self.kernel(node.shape, body, [Write(Ref.whole(value), len(terms))])
        return Ref.whole(value)

    def _host(self, node: Node) -> Ref:
        inputs = []
        for source in node.inputs:
            ref = self.refs[source]
            plain = ref.value.strides == dense_strides(ref.shape, range(len(ref.shape)))
            if ref != Ref.whole(ref.value) or not plain:
                ref = self.stored(ref)
            inputs.append(ref.value)
        value = self.result(node)
        self.kernels.append(Host(node, inputs, value))
        return Ref.whole(value)

    # ------------------------------------------------------------ outputs

    def deliver(self) -> None:
        """Make each wanted value an array of its own, that of the caller."""
        self.node = None
        taken: set[Value] = set()
        for place, node in enumerate(self.work.outputs):
            ref = self.refs[node]
            value = ref.value
            state = place in self.work.updates
            natural = value.strides == dense_strides(value.shape, range(len(value.shape)))
            fits = ref == Ref.whole(value) and value.shape == node.shape
            usable = value.role == "temp" and value not in taken and value.dense and fits
            if not usable or (state and not natural):
                value = self.result(node)
                self.copy(ref, Ref.whole(value))
            value.role, value.place = "output", place
            taken.add(value)
            self.outputs.append(value)


def _apart(strides: Sizes, shape: Sizes, outer: int, itemsize: int) -> Sizes:
    """Images whose channels do not all fall on the same sets of a cache.

    The same place of two channels is a multiple of 32 cache lines apart where images are 16 or 32
    wide: eight of them fill their set, and the ninth throws the first out.
    """
    lines = strides[outer] * itemsize // LINE
    if lines % CROWDED or shape[outer] < 4:
        return strides
    return (*strides[:outer], strides[outer] + LINE // itemsize, *strides[outer + 1 :])


def memory_order(refs: Sequence[Ref], shape: Sizes) -> list[int]:
    """The order of axes in which the first whole input lies; row by row if none says."""
    for ref in refs:
        if len(ref.shape) == len(shape) and ref.shape == shape and not ref.bounds and shape:
            moving = [axis for axis in range(len(shape)) if shape[axis] > 1]
            if moving and all(ref.strides[axis] for axis in moving):
                order = sorted(moving, key=lambda axis: -abs(ref.strides[axis]))
                return [axis for axis in range(len(shape)) if axis not in moving] + order
    return list(range(len(shape)))


# ---------------------------------------------------------------- movement


@lowers("reshape")
def _reshape(lowering: Lowering, node: Node) -> Ref:
    ref = lowering.seen(node.inputs[0])
    seen = ref.reshaped(node.shape)
    if seen is None:
        batch_last = [*range(1, len(ref.shape)), 0]
        order = batch_last if ref.strides[0] == 1 and node.shape[:1] == ref.shape[:1] else None
        seen = lowering.stored(ref, order, dense=True).reshaped(node.shape)
        assert seen is not None, "what lies sample by sample, or row by row, has these shapes"
    return seen


@lowers("permute")
def _permute(lowering: Lowering, node: Node) -> Ref:
    return lowering.seen(node.inputs[0]).permuted(node.meta["axes"])


@lowers("expand")
def _expand(lowering: Lowering, node: Node) -> Ref:
    return lowering.seen(node.inputs[0]).expanded(node.shape)


@lowers("flip")
def _flip(lowering: Lowering, node: Node) -> Ref:
    return lowering.seen(node.inputs[0]).flipped(node.meta["axes"])


@lowers("slice")
def _slice(lowering: Lowering, node: Node) -> Ref:
    ref, starts = lowering.seen(node.inputs[0]), lowering.starts(node.inputs[1:])
    meta = node.meta
    if ref.bounds:
        ref = lowering.stored(ref)
    return ref.sliced(meta["axes"], meta["sizes"], meta["steps"], starts)


@lowers("pad")
def _pad(lowering: Lowering, node: Node) -> Ref:
    ref, fill = lowering.seen(node.inputs[0]), node.meta.get("value", 0.0)
    seen = ref.padded(node.meta["widths"], fill)
    if seen is None:
        seen = lowering.stored(ref).padded(node.meta["widths"], fill)
        assert seen is not None
    return seen


@lowers("put")
def _put(lowering: Lowering, node: Node) -> Ref:
    base, part = (lowering.seen(source) for source in node.inputs[:2])
    starts, meta = lowering.starts(node.inputs[2:]), node.meta
    value = lowering.result(node, memory_order([base], node.shape))
    lowering.copy(base, Ref.whole(value))
    sizes = tuple(part.shape[axis] for axis in meta["axes"])
    lowering.copy(part, Ref.whole(value).sliced(meta["axes"], sizes, meta["steps"], starts))
    return Ref.whole(value)


@lowers("concatenate")
def _concatenate(lowering: Lowering, node: Node) -> Ref:
    parts = [lowering.seen(source) for source in node.inputs]
    value, axis, start = lowering.result(node), node.meta["axis"], 0
    for part in parts:
        size = part.shape[axis]
        if size:
            lowering.copy(part, Ref.whole(value).sliced((axis,), (size,), (1,), (start,)))
        start += size
    return Ref.whole(value)


# ---------------------------------------------------------------- reductions


def summation(shape: Sizes, axes: Sizes) -> tuple[Sizes, bool]:
    """The order in which axes are summed, and whether in 16 lanes: by the shape alone.

    The batch (axis 0) lies last in memory where speed matters, so it goes last, in lanes.  Else
    long rows have lanes, and short ones and images are one chain.
    """
    rank = len(shape)
    if not axes:
        return (), False
    if len(axes) == rank and rank <= 3:
        return tuple(range(rank)), True
    if 0 in axes:
        return (*(axis for axis in sorted(axes) if axis), 0), True
    long = rank <= 3 and rank - 1 in axes and (rank == 3 or shape[-1] > 64)
    return tuple(sorted(axes)), long


class Reduction:
    """A reduction of an array over axes, while it is written: first terms, then what follows."""

    def __init__(self, lowering: Lowering, shape: Sizes, axes: Sizes) -> None:
        self.lowering, self.shape = lowering, shape
        self.order, self.lanes = summation(shape, axes)
        self.kept = tuple(axis for axis in range(len(shape)) if axis not in axes)
        self.axes = tuple(shape[axis] for axis in self.kept)
        self.extents = tuple(shape[axis] for axis in self.order)
        self.terms, self.after = Body(), Body()

    def over(self, ref: Ref) -> Ref:
        """A ref of the whole shape, its axes in the kernel's order: kept ones, then extents."""
        return ref.broadcast(self.shape).permuted((*self.kept, *self.order))

    def spread(self, ref: Ref) -> Ref:
        """A reduced ref, repeated along the extents, for the terms."""
        rank = len(self.kept)
        whole = ref.reshaped((*ref.shape, *(1 for _ in self.extents)))
        assert whole is not None and len(ref.shape) == rank
        return whole.expanded((*self.axes, *self.extents))

    def done(
        self, parts: Sequence[tuple[str, int]], target: Ref, term: int, steps: Sizes = ()
    ) -> None:
        """The kernel; ``term`` of what follows goes to ``target``."""
        inner = Reduce(self.extents, self.terms.items, tuple(parts), self.lanes, steps)
        self.lowering.kernel(self.axes, self.after, [Write(target, term)], inner)


def reduced_order(ref: Ref, kept: Sequence[int]) -> list[int]:
    """In which order a reduced array lies: as the axes that stay lie in the whole one."""
    order = sorted(range(len(kept)), key=lambda k: -abs(ref.strides[kept[k]]))
    return order if all(ref.strides[axis] for axis in kept) else list(range(len(kept)))
