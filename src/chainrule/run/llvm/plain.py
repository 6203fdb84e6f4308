"""Pending work of plain loops: node by node at first, as one plan when it comes again and again.

Where work is computed never changes a bit.  An op whose result IEEE 754 fixes (sums of two
numbers, products, choices, movement) is computed by NumPy; one that rounds in an order of its own
(sums, products of matrices, exp) by a plan of that op alone, the same that ``cr.compile`` uses.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from math import inf, prod
from typing import Any

import numpy as np

from chainrule.compile.lower import LOWERINGS
from chainrule.compile.work import Built, Work
from chainrule.errors import GraphError
from chainrule.graph import Node, meta_key
from chainrule.ops.op import REGISTRY, Elementwise
from chainrule.run import reference
from chainrule.run.llvm.backend import Machinery, build
from chainrule.run.llvm.workers import denormals_flushed

__all__ = ["run"]

PATIENCE = 0.25  # seconds that 50 nodes cost node by node before all is compiled as a whole
MOST_NODES = 5_000  # of a program that is compiled as a whole
MOST_SINGLES, MOST_PROGRAMS, MOST_ROWS = 4096, 256, 100_000  # that are remembered

_ROUNDS = {  # ops whose result depends on an order, or on an approximation
    name
    for name, op in REGISTRY.items()
    if not op.any_strides and (name in LOWERINGS or isinstance(op, Elementwise))
} | {"avg_pool", "avg_pool_scatter"}

_Single = Callable[[list[np.ndarray]], list[np.ndarray]]

_singles: OrderedDict[Any, _Single] = OrderedDict()
_programs: OrderedDict[Any, _Program] = OrderedDict()


def run(program: Any) -> None:
    """Compute the nodes of a ``storage.Program``."""
    if any(node.recorder.watch is not None for node in program.nodes[:1]):
        _node_by_node(program)
        return
    shape = _Structure(program) if 3 <= len(program.nodes) <= MOST_NODES else None
    known = _known(shape) if shape is not None else None
    if known is None or shape is None:
        _node_by_node(program)
    elif known.built is None:
        begun = time.perf_counter()
        _node_by_node(program)
        known.seconds += time.perf_counter() - begun
    else:
        _as_one(shape, known.built)


# ---------------------------------------------------------------- node by node


def _node_by_node(program: Any) -> None:
    denormals_flushed(lambda: reference.run(program, _value))


def _value(node: Node, values: list[np.ndarray]) -> np.ndarray:
    if node.op.name not in _ROUNDS or not node.dtype.is_floating_point:
        return reference.reference_value(node, values)
    key = (node.op.name, meta_key(node.meta), *[(s.shape, s.dtype.short) for s in node.inputs])
    try:
        single = _singles.get(key)
    except TypeError:  # metadata that is not hashable
        key = repr(key)
        single = _singles.get(key)
    if single is None:
        single = _singles[key] = _single(node)
        if len(_singles) > MOST_SINGLES:
            _singles.popitem(last=False)
    return single([x if x.flags.c_contiguous else x.copy("C") for x in values])[0]


def _single(node: Node) -> _Single:
    """What computes one op for one kind of inputs."""
    leaves = [Node(source.op, (), {}, source.shape, source.dtype) for source in node.inputs]
    twin = Node(node.op, tuple(leaves), node.meta, node.shape, node.dtype)
    if not any(prod(source.shape) for source in leaves):
        return lambda values: [reference.reference_value(twin, values)]
    built = build(Work([twin], leaves, [twin]))
    bound = built.bind(len(leaves), leaves, [None]) if isinstance(built, Machinery) else None
    return bound or (lambda values: built.run(values, [None]))


# ---------------------------------------------------------------- as one


class _Program:
    """A program that was seen: what it has cost, and what was built of it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.built: Built | None = None


class _Structure:
    """A pending program, what it reads, and a key that is equal for programs of one structure."""

    def __init__(self, program: Any) -> None:
        self.program, self.wanted = program, program.wanted
        self.leaves: list[Any] = []
        number: dict[Any, int] = {}
        rows: list[Any] = []
        for node in program.nodes:
            places = []
            for source in node.inputs:
                place = number.get(source)
                if place is None:
                    place = number[source] = len(number)
                    self.leaves.append(source)
                    fixed = meta_key(source.meta) if "fixed" in source.meta else ()
                    rows.append((source.shape, source.dtype.short, fixed))
                places.append(place)
            number[node] = len(number)
            rows.append((node.op.name, *places, meta_key(node.meta)))
        self.key = (*rows, tuple([number[node] for node in self.wanted]))

    def work(self) -> Work:
        """The program as a pure graph, that holds none of its nodes."""
        twins: dict[Any, Node] = {}
        for leaf in self.leaves:
            fixed = {key: value for key, value in leaf.meta.items() if key == "fixed"}
            twins[leaf] = Node(leaf.op, (), fixed, leaf.shape, leaf.dtype)
        for node in self.program.nodes:
            sources = tuple(twins[source] for source in node.inputs)
            twins[node] = Node(
                node.op, sources, dict(node.meta), node.shape, node.dtype,
                scope=node.scope, line=node.line,
            )  # fmt: skip
        return Work(
            [twins[node] for node in self.program.nodes],
            [twins[leaf] for leaf in self.leaves],
            [twins[node] for node in self.wanted],
        )


def _known(shape: _Structure) -> _Program | None:
    """What is known of a structure; built as soon as that pays."""
    try:
        known = _programs.get(shape.key)
    except TypeError:  # metadata that is not hashable
        return None
    if known is None:
        known = _programs[shape.key] = _Program()
        while len(_programs) > MOST_PROGRAMS or sum(map(len, _programs)) > MOST_ROWS:
            _programs.popitem(last=False)
        return known
    _programs.move_to_end(shape.key)
    nodes = shape.program.nodes
    if known.built is None and known.seconds > PATIENCE * max(1, len(nodes) / 50):
        if any(node.op.name == "put" and node.inputs[0] in shape.leaves for node in nodes):
            known.seconds = -inf  # node by node such a write needs no copy of what it writes to
        else:
            known.built = build(shape.work())
    return known


def _as_one(shape: _Structure, built: Built) -> None:
    program, leaves = shape.program, shape.leaves
    inputs = [leaf.value for leaf in leaves]
    try:
        if any(value is None for value in inputs):  # it has failed
            raise GraphError("a value is missing")
        values = built.run(inputs, [None] * len(shape.wanted))
    except Exception:  # a label out of range: everything that does not depend on it is computed
        _node_by_node(program)
    else:
        program.finish_together(dict(zip(shape.wanted, values, strict=True)), leaves)
