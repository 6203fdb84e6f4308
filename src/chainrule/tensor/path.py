"""The way from a storage to a view: steps of reshape, permute, expand and slice.

Reading a view applies its steps; writing through it walks them backwards.  Strides are followed as
PyTorch would, to know where ``reshape`` is a view and where it has to copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from chainrule.errors import UsageError, message
from chainrule.graph import type_text
from chainrule.ops import movement
from chainrule.ops.op import Op
from chainrule.storage import Recorded, Recorder, recorder

__all__ = ["Step", "contiguous_strides", "path_strides", "put_back", "reshaped_strides"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """One movement on the way from a storage to a view."""

    op: Op
    meta: Mapping[str, Any]
    starts: tuple[Recorded, ...] = ()

    def apply(self, recorder: Recorder, node: Recorded) -> Recorded:
        """The view's node from the node it looks at."""
        return recorder.record(self.op, (node, *self.starts), self.meta)

    def shape_after(self, shape: Shape) -> Shape:
        """The shape of the view, from the shape of what it looks at."""
        if self.op is movement.permute:
            return tuple(shape[axis] for axis in self.meta["axes"])
        if self.op is movement.slice_:
            sizes = list(shape)
            for axis, size in zip(self.meta["axes"], self.meta["sizes"], strict=True):
                sizes[axis] = size
            return tuple(sizes)
        return self.meta["shape"]

    def put_back(self, recorder: Recorder, node: Recorded, value: Recorded) -> Recorded:
        """``node`` with the part that this step looks at replaced by ``value``."""
        if self.op is movement.slice_:
            meta = {"axes": self.meta["axes"], "steps": self.meta["steps"]}
            return recorder.record(movement.put, (node, value, *self.starts), meta)
        if self.op is movement.reshape:
            return recorder.record(movement.reshape, (value,), {"shape": node.shape})
        if self.op is movement.permute:
            axes = tuple(np.argsort(self.meta["axes"]).tolist())
            return recorder.record(movement.permute, (value,), {"axes": axes})
        raise UsageError(
            message(
                "in-place write",
                f"an expanded view {type_text(value.shape, value.dtype)}",
                "one place in memory per element",
                remedy="clone() it first",
            )
        )


def strides_after(step: Step, shape: Shape, strides: Shape) -> Shape:
    """Strides (in elements) of a view, from shape and strides of what it looks at."""
    meta = step.meta
    if step.op is movement.permute:
        return tuple(strides[axis] for axis in meta["axes"])
    if step.op is movement.slice_:
        result = list(strides)
        for axis, stride in zip(meta["axes"], meta["steps"], strict=True):
            result[axis] *= stride
        return tuple(result)
    if step.op is movement.expand:
        return tuple(
            0 if old != new else stride
            for old, new, stride in zip(shape, meta["shape"], strides, strict=True)
        )
    found = reshaped_strides(shape, strides, meta["shape"])
    assert found is not None, "a reshape that copies is no step of a view"
    return found


def contiguous_strides(shape: Shape) -> Shape:
    """Row-major strides in elements: contiguous_strides((2, 3)) == (3, 1)."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def reshaped_strides(shape: Shape, strides: Shape, new: Shape) -> Shape | None:
    """Strides of the same memory in a new shape, or ``None`` where only a copy has that shape."""
    if prod(shape) == 0 or prod(new) == 0:
        return contiguous_strides(new)
    old = [(size, stride) for size, stride in zip(shape, strides, strict=True) if size != 1]
    runs: list[
        list[int]
    ] = []  # maximal runs of axes that lie in memory like one axis: [size, stride]
    for size, stride in old:
        if runs and runs[-1][1] == size * stride:
            runs[-1] = [runs[-1][0] * size, stride]
        else:
            runs.append([size, stride])
    result = [0] * len(new)
    run, left = len(runs) - 1, runs[-1][0] if runs else 1
    stride = runs[-1][1] if runs else 1
    for axis in range(len(new) - 1, -1, -1):
        if new[axis] == 1:
            result[axis] = stride
            continue
        if left == 1:
            run -= 1
            left, stride = runs[run]
        if left % new[axis]:
            return None
        result[axis] = stride
        left //= new[axis]
        stride *= new[axis]
    return tuple(result)


def path_strides(shape: Shape, path: Sequence[Step]) -> Shape:
    """Strides, in elements, at the end of a path from row-major memory."""
    strides = contiguous_strides(shape)
    for step in path:
        following = step.shape_after(shape)
        strides = strides_after(step, shape, strides)
        shape = following
    return strides


def put_back(path: Sequence[Step], node: Recorded, value: Recorded) -> Recorded:
    """``node`` with the part that a path leads to replaced by ``value``."""
    rec = recorder()
    seen = [node]
    for step in path[:-1]:
        seen.append(step.apply(rec, seen[-1]))
    for step in reversed(path):
        value = step.put_back(rec, seen.pop(), value)
    return value
