"""What stands between the brackets of ``x[...]``, read and written as in NumPy.

Basic keys (numbers, slices, ``...``, ``None``) make views. Integer arrays and masks make copies
when read and scattered writes when assigned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.dtypes import bool_, int64
from chainrule.errors import DtypeError, IndexRangeError, ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.ops import index as index_ops
from chainrule.storage import recorder
from chainrule.tensor.operands import broadcast_shapes, expand_node
from chainrule.tensor.operators import choose

if TYPE_CHECKING:
    from chainrule.tensor.tensor import Tensor

__all__ = ["read", "write"]


@dataclass
class Key:
    """A parsed key: first the basic part as a view, then the advanced indices on its axes."""

    view: Tensor
    advanced: dict[int, Any]  # axis of the view -> i64 tensor
    apart: bool  # advanced indices with a basic key between them: their axes go first


def read(x: Tensor, key: Any) -> Tensor:
    """``x[key]``: a view for basic keys, a copy for advanced ones."""
    parsed = _parse(x, key)
    if not parsed.advanced:
        return parsed.view
    axes = tuple(parsed.advanced)
    moved = _axes_first(parsed.view, axes)
    y = index_ops.index(moved, *parsed.advanced.values())
    if parsed.apart or axes[0] == 0:
        return y
    added = y.ndim - (moved.ndim - len(axes))
    order = list(range(added, added + axes[0])) + list(range(added))
    return y.permute((*order, *range(added + axes[0], y.ndim)))


def write(x: Tensor, key: Any, value: Tensor) -> None:
    """``x[key] = value``"""
    mask = _whole_mask(x, key)
    if mask is not None and value.ndim == 0:
        mask = mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))
        x._overwrite(choose(mask, value, x), "[...] =")
        return
    parsed = _parse(x, key)
    if not parsed.advanced:
        parsed.view._overwrite(value, "[...] =")
        return
    axes = tuple(parsed.advanced)
    target = _axes_first(parsed.view, axes)
    indices = [index._node for index in parsed.advanced.values()]
    spread = broadcast_shapes("[...] =", *(node.shape for node in indices))
    shape = (*spread, *target.shape[len(axes) :])
    if axes[0] and not parsed.apart and value.ndim:
        before = target.shape[len(axes) : len(axes) + axes[0]]
        full = value.expand((*before, *spread, *target.shape[len(axes) + axes[0] :]))
        order = (*range(len(before), len(before) + len(spread)), *range(len(before)))
        value = full.permute((*order, *range(len(order), full.ndim)))
    node = value.to(x.dtype)._node
    if node.shape == () or node.op.name == "number":
        value = value.to(x.dtype).reshape(()).expand(shape) if shape else value.to(x.dtype)
        node = value._node
    try:
        node = expand_node(node, shape)
    except ShapeError:
        raise ShapeError(
            message(
                "[...] =",
                type_text(value.shape, value.dtype),
                f"{list(shape)}, or a part to repeat",
            )
        ) from None
    new = recorder().record(index_ops.index_put, (target._node, node, *indices), {})
    target._write(new, "[...] =")


def _axes_first(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    if axes == tuple(range(len(axes))):
        return x
    return x.permute((*axes, *(axis for axis in range(x.ndim) if axis not in axes)))


def _whole_mask(x: Tensor, key: Any) -> Tensor | None:
    """A single mask over the leading axes, without looking at its values."""
    mask: Any = key
    if isinstance(key, (list, np.ndarray)) and np.asarray(key).dtype == bool:
        mask = x._like(np.asarray(key), "[...]")
    if not hasattr(mask, "_storage") or mask.dtype is not bool_:
        return None
    return mask if mask.ndim and mask.shape == x.shape[: mask.ndim] else None


def _parse(x: Tensor, key: Any) -> Key:
    items = list(key) if isinstance(key, tuple) else [key]
    items = [_array(x, item) for item in items]
    used = sum(_axes_used(item) for item in items)
    if used > x.ndim:
        raise IndexRangeError(
            message(
                "[...]", f"{used} indices", f"at most {x.ndim} for {type_text(x.shape, x.dtype)}"
            )
        )
    dots = [place for place, item in enumerate(items) if item is Ellipsis]
    if len(dots) > 1:
        raise IndexRangeError(message("[...]", "several ellipses", "at most one"))
    place = dots[0] if dots else len(items)
    fill = [slice(None)] * (x.ndim - used)
    items = items[:place] + fill + items[place + 1 :]

    windows: dict[int, tuple[int, int, int]] = {}
    shape: list[int] = []  # of the view, after slicing
    advanced: dict[int, Any] = {}
    kinds: list[str] = []
    axis = 0
    for item in items:
        size = x.shape[axis] if axis < x.ndim else 0
        if item is None:
            shape.append(1)
            kinds.append("basic")
        elif isinstance(item, slice):
            start, stop, step = _bounds(item, size)
            length = max(0, -(-(stop - start) // step))
            if (start, length, step) != (0, size, 1):
                windows[axis] = (start, length, step)
            shape.append(length)
            kinds.append("basic")
            axis += 1
        elif isinstance(item, int):
            if not -size <= item < size:
                raise IndexRangeError(
                    message(
                        "[...]",
                        f"index {item}",
                        f"{-size} to {size - 1} for axis {axis} of size {size}",
                    )
                )
            windows[axis] = (item % size, 1, 1)
            axis += 1
        else:
            for part in _indices(item, x.shape[axis : axis + max(item.ndim, 1)]):
                advanced[len(shape)] = part
                shape.append(x.shape[axis])
                kinds.append("advanced")
                axis += 1
    view = x._sliced(windows) if windows else x._alias()
    if view.shape != tuple(shape):
        view = view.reshape(tuple(shape))
    places = [place for place, kind in enumerate(kinds) if kind == "advanced"]
    apart = bool(places) and places != list(range(places[0], places[-1] + 1))
    return Key(view, advanced, apart)


def _array(x: Tensor, item: Any) -> Any:
    """Lists and arrays as tensors, 0-d whole numbers as ints; basic keys as they are."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if isinstance(item, (bool, np.bool_)):
        raise UsageError(message("[...]", f"the single truth value {item}", "a mask or an index"))
    if isinstance(item, (int, np.integer)):
        return int(item)
    if not hasattr(item, "_storage"):
        array = np.asarray(item)
        item = x._like(array if array.size else array.astype(np.int64), "[...]")
    if item.dtype.is_floating_point:
        raise DtypeError(
            message("[...]", f"{item.dtype.name} as an index", "whole numbers or a mask")
        )
    return item if item.dtype is bool_ else item.to(int64)


def _axes_used(item: Any) -> int:
    if item is None or item is Ellipsis:
        return 0
    return item.ndim if hasattr(item, "_storage") and item.dtype is bool_ else 1


def _bounds(item: slice, size: int) -> tuple[int, int, int]:
    if item.step is not None and int(item.step) <= 0:
        raise UsageError(
            message("[...]", f"a step of {item.step}", "a step > 0", remedy=".flip() reverses")
        )
    whole = slice(
        *(None if part is None else int(part) for part in (item.start, item.stop, item.step))
    )
    return whole.indices(size)


def _indices(item: Any, sizes: tuple[int, ...]) -> list[Any]:
    """The index tensors of one advanced key: a mask becomes one per axis it covers."""
    if item.dtype is not bool_:
        return [item]
    if item.shape != sizes:
        raise IndexRangeError(
            message(
                "[mask]",
                f"a mask of shape {list(item.shape)}",
                f"{list(sizes)}, as the axes it covers",
            )
        )
    places = np.nonzero(item._value())  # the shape of the result depends on values: computed now
    return [item._like(place.astype(np.int64), "[mask]") for place in places]
