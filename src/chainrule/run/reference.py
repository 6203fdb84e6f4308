"""The reference backend: NumPy, one node at a time.

The oracle that every other backend is compared with, and the readable semantics of a program.
Canonical arithmetic: a node's bits depend on its op, shapes, dtype and input bits alone, so every
op whose NumPy loops may round differently for other strides gets C-contiguous inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.compile.work import Work
from chainrule.errors import located
from chainrule.graph import Node
from chainrule.ops.op import Op
from chainrule.run.blas import one_thread

__all__ = ["build", "reference_value", "run"]


def run(
    program: Any, value_of: Callable[[Node, list[np.ndarray]], np.ndarray] | None = None
) -> None:
    """Compute the nodes of a ``storage.Program`` in order; ``value_of`` computes one of them.

    Data-dependent checks (labels, indices) come first.  A node that fails does not stop the others:
    what depends on it fails with it, everything else is computed.
    """
    value_of = value_of or reference_value
    for node in program.checkable():
        try:
            node.op.check(*program.arguments(node), **node.meta)
        except Exception as error:
            program.fail(node, located(error, node.scope, node.where))
    with one_thread(), np.errstate(all="ignore"):  # NaN propagates, it is no warning
        for node in program.nodes:
            if node.failure is not None:
                continue
            values = program.arguments(node)
            if values is None:
                continue
            try:
                value = _compute(program, node, values, value_of)
                if node.recorder.watch is not None:
                    node.recorder.watch.saw_value(node, values, value)
            except Exception as error:
                program.fail(node, located(error, node.scope, node.where))
            else:
                values = None  # the inputs may be freed now
                program.finish(node, value)


def _compute(
    program: Any,
    node: Any,
    values: list[np.ndarray],
    value_of: Callable[[Node, list[np.ndarray]], np.ndarray],
) -> np.ndarray:
    op = node.op
    if op.name == "put" and program.may_overwrite(node):
        base = values[0]
        program.undo_later(node, base, op.window(*values, **node.meta))
        op.write(*values, **node.meta)
        return base
    op.check(*values, **node.meta)
    return value_of(node, values)


def reference_value(node: Node, values: list[np.ndarray]) -> np.ndarray:
    """One node by its reference semantics."""
    if not node.op.any_strides:
        values = [np.ascontiguousarray(value) if value.ndim else value for value in values]
    return np.asarray(node.op.reference(*values, **node.meta))  # NumPy makes scalars of 0-d results


# ---------------------------------------------------------------- a whole step


def build(work: Work) -> Evaluation:
    """The work node by node, each value freed after its last reader."""
    return Evaluation(work)


class Evaluation:
    """A ``Work`` as NumPy runs it: slots for values, and for each node where they are."""

    def __init__(self, work: Work) -> None:
        slot = {node: index for index, node in enumerate((*work.inputs, *work.nodes))}
        self._leaves, self._count = len(work.inputs), len(slot)
        self._outputs = [slot[node] for node in work.outputs]
        last = {slot[source]: node for node in work.nodes for source in node.inputs}
        self._steps = []
        for node in work.nodes:
            sources = [slot[source] for source in node.inputs]
            done = [s for s in {*sources} if last[s] is node and s not in self._outputs]
            self._steps.append((node, sources, slot[node], done))
        self._early = [  # can be checked before anything is computed
            (node, sources)
            for node, sources, _, _ in self._steps
            if type(node.op).check is not Op.check and all(s < self._leaves for s in sources)
        ]

    def run(
        self, inputs: list[np.ndarray], places: Sequence[np.ndarray | None]
    ) -> list[np.ndarray]:
        """See ``compile.work.Built``."""
        values: list[Any] = [*inputs, *[None] * (self._count - self._leaves)]
        node = None
        try:
            for node, sources in self._early:
                node.op.check(*[values[s] for s in sources], **node.meta)
            with one_thread(), np.errstate(all="ignore"):  # NaN propagates, it is no warning
                for node, sources, target, done in self._steps:
                    arrays = [values[s] for s in sources]
                    node.op.check(*arrays, **node.meta)
                    values[target] = reference_value(node, arrays)
                    for slot in done:
                        values[slot] = None
        except Exception as error:
            raise error if node is None else located(error, node.scope, node.where) from None
        return self._delivered(inputs, values, places)

    def _delivered(
        self, inputs: list[np.ndarray], values: list[Any], places: Sequence[np.ndarray | None]
    ) -> list[np.ndarray]:
        """The outputs, each in an array of its own; what is written in place is written last."""
        taken: set[int] = {id(array) for array in inputs}
        results = []
        for slot in self._outputs:
            value = values[slot]
            if id(value) in taken or not _whole(value):
                value = np.array(value, order="C")
            taken.add(id(value))
            results.append(value)
        for k, place in enumerate(places):
            if place is not None:
                place[...] = results[k]
                results[k] = place
        return results


def _whole(value: np.ndarray) -> bool:
    """Whether the array owns its memory, in row-major order."""
    return value.base is None and value.flags.c_contiguous and value.flags.writeable
