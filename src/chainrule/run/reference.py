"""The reference backend: NumPy, one node at a time.

The oracle that every other backend is compared with, and the readable semantics of a program.
Canonical arithmetic: a node's bits depend on its op, shapes, dtype and input bits alone, so every
op whose NumPy loops may round differently for other strides gets C-contiguous inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import located
from chainrule.run.blas import one_thread

__all__ = ["run"]


def run(program: Any) -> None:
    """Compute the nodes of a ``storage.Program`` in order.

    Data-dependent checks (labels, indices) come first.  A node that fails does not stop the others:
    what depends on it fails with it, everything else is computed.
    """
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
                value = _compute(program, node, values)
                if node.recorder.watch is not None:
                    node.recorder.watch.saw_value(node, values, value)
            except Exception as error:
                program.fail(node, located(error, node.scope, node.where))
            else:
                values = None  # the inputs may be freed now
                program.finish(node, value)


def _compute(program: Any, node: Any, values: list[np.ndarray]) -> np.ndarray:
    op = node.op
    if op.name == "put" and program.may_overwrite(node):
        base = values[0]
        program.undo_later(node, base, op.window(*values, **node.meta))
        op.write(*values, **node.meta)
        return base
    if not op.any_strides:
        values = [np.ascontiguousarray(value) if value.ndim else value for value in values]
    op.check(*values, **node.meta)
    return np.asarray(op.reference(*values, **node.meta))  # NumPy makes scalars of 0-d results
