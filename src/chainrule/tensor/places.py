"""Numbers taken from places that other numbers tell, put there, repeated, moved around.

A mix-in of ``Tensor``.  ``x[...]`` itself is in ``indexing.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.dtypes import bool_
from chainrule.errors import DtypeError, ShapeError, message
from chainrule.graph import type_text
from chainrule.ops import index as i
from chainrule.storage import recorder
from chainrule.tensor.operands import NUMBERS, axis_of, broadcast_shapes, numpy_words
from chainrule.tensor.operators import choose, in_place
from chainrule.tensor.order import Order
from chainrule.tensor.path import reshaped_strides

if TYPE_CHECKING:
    from chainrule.tensor.tensor import Tensor

__all__ = ["Places"]


class Places(Order):
    """The mix-in; ``self`` is a Tensor."""

    __slots__ = ()

    # ------------------------------------------------------------ along one axis

    @numpy_words
    def gather(self, dim: int, index: Tensor) -> Tensor:
        """y[..., j, ...] = x[..., index[..., j, ...], ...] along an axis"""
        axis = axis_of(dim, self.ndim, "gather")
        return self._of(recorder().record(i.gather, (self._node, index._node), {"axis": axis}))

    def scatter(self, dim: int, index: Tensor, src: Any = None, *, value: Any = None) -> Tensor:
        """y = x with y[..., index[..., j, ...], ...] = src[..., j, ...] along an axis

        ``src`` or ``value`` may be one number.  Of several writes to one place the last one stays.
        """
        axis = axis_of(dim, self.ndim, "scatter")
        source = value if src is None else src
        if source is None:
            raise ShapeError(message("scatter", "neither src nor value", "one of them"))
        if isinstance(source, NUMBERS):
            source = self.number(source).expand(index.shape)
        source = _as_far_as(index, source, "scatter")
        if any(
            n > m for a, (n, m) in enumerate(zip(index.shape, self.shape, strict=True)) if a != axis
        ):
            got = f"{type_text(self.shape, self.dtype)} at {type_text(index.shape, index.dtype)}"
            raise ShapeError(message("scatter", got, f"an index longer along axis {axis} at most"))
        each = [_counted(self, size, a, self.ndim) for a, size in enumerate(index.shape)]
        along = _counted(self, self.shape[axis], axis, self.ndim)
        shape = (*index.shape[:axis], self.shape[axis], *index.shape[axis + 1 :])
        each[axis] = along.expand(shape).gather(axis, index)  # gather refuses what is out of range
        return i.index_put(self, source, *each)

    def scatter_add(self, dim: int, index: Tensor, src: Tensor) -> Tensor:
        """y = x with src added at index along an axis"""
        inputs = (self._node, index._node, _as_far_as(index, src, "scatter_add")._node)
        meta = {"axis": axis_of(dim, self.ndim, "scatter_add")}
        return self._of(recorder().record(i.scatter_add, inputs, meta))

    @numpy_words
    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """The slices of an axis that ``index`` lists."""
        axis = axis_of(dim, self.ndim, "index_select")
        moved = self.transpose(0, axis)
        y = self._of(recorder().record(i.index, (moved._node, index._node), {}))
        return y.transpose(0, axis)

    def index_add(self, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
        """y = x with alpha · source[j] added to the slice index[j] of an axis"""
        source = source if alpha == 1 else source * alpha
        return _by_slices(i.index_add, self, dim, index, source, "index_add")

    def index_copy(self, dim: int, index: Tensor, source: Tensor) -> Tensor:
        """y = x with source[j] as the slice index[j] of an axis"""
        return _by_slices(i.index_put, self, dim, index, source, "index_copy")

    def index_fill(self, dim: int, index: Tensor, value: Any) -> Tensor:
        """y = x with one number in the slices of an axis that ``index`` lists"""
        axis = axis_of(dim, self.ndim, "index_fill")
        shape = (*self.shape[:axis], index.numel(), *self.shape[axis + 1 :])
        one = value if hasattr(value, "_storage") else self.number(value)
        return self.index_copy(dim, index, one.to(self.dtype).expand(shape))

    scatter_, scatter_add_, index_add_ = map(in_place, (scatter, scatter_add, index_add))
    index_copy_, index_fill_ = map(in_place, (index_copy, index_fill))

    # ------------------------------------------------------------ where a mask is true

    def masked_select(self, mask: Tensor) -> Tensor:
        """The numbers where the mask is true, in row-major order      -> [n], computed now"""
        if mask.dtype is not bool_:
            raise DtypeError(message("masked_select", f"a {mask.dtype.name} mask", "bool"))
        shape = broadcast_shapes("masked_select", self.shape, mask.shape)
        return self.expand(shape).reshape(-1)[mask.expand(shape).reshape(-1)]

    def nonzero(self, *, as_tuple: bool = False) -> Any:
        """Where x is not 0: i64[n,axes], or an index per axis      computed now

        >>> import chainrule as cr
        >>> cr.tensor([[0, 5], [7, 0]]).nonzero().tolist()
        [[0, 1], [1, 0]]
        """
        values = np.atleast_1d(self._value()) if as_tuple else self._value()
        places = np.argwhere(values).astype(np.int64)
        if not as_tuple:
            return self._like(places, "nonzero")
        return tuple(self._like(column, "nonzero") for column in places.T)

    # ------------------------------------------------------------ the diagonal

    def diagonal(self, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
        """The elements x[…, k, k + offset] of two axes, as a new last axis: a view.

        Raises ``ShapeError`` where only a copy would have them.
        """
        a, b = (axis_of(dim, self.ndim, "diagonal") for dim in (dim1, dim2))
        if a == b or self.ndim < 2:
            got = f"axes {dim1} and {dim2} of {type_text(self.shape, self.dtype)}"
            raise ShapeError(message("diagonal", got, "two axes"))
        x = self.permute(*(axis for axis in range(self.ndim) if axis not in (a, b)), a, b)
        *batch, rows, columns = x.shape
        flat = (*batch, rows * columns)
        if reshaped_strides(x.shape, x.stride(), flat) is None:  # memory in the other order?
            x, rows, columns, offset = x.transpose(-1, -2), columns, rows, -offset
            if reshaped_strides(x.shape, x.stride(), flat) is None:
                got = f"{type_text(self.shape, self.dtype)} with strides {self.stride()}"
                remedy = ".contiguous().diagonal() takes a copy"
                raise ShapeError(message("diagonal", got, "memory in order", remedy=remedy))
        start = offset if offset >= 0 else -offset * columns
        length = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
        start = start if length else 0
        return x.reshape(flat)._sliced({len(batch): (start, length, columns + 1)})

    def diag(self, diagonal: int = 0) -> Tensor:
        """A matrix with x on its diagonal; of a matrix, its diagonal as a copy."""
        if self.ndim == 2:
            return self.contiguous().diagonal(diagonal).clone()
        if self.ndim != 1:
            got = type_text(self.shape, self.dtype)
            raise ShapeError(message("diag", got, "one axis or two"))
        size = len(self) + abs(diagonal)
        first = self.new_zeros(max(-diagonal, 0))
        last = self.new_zeros(max(diagonal, 0))
        rows = self._join([first, self, last], 0).unsqueeze(1).expand(size, size)  # type: ignore[list-item]
        there = self._like(np.eye(size, k=diagonal, dtype=bool), "diag")
        return choose(there, rows, 0)

    def trace(self) -> Tensor:
        """The sum of a matrix's diagonal."""
        if self.ndim != 2:
            raise ShapeError(message("trace", type_text(self.shape, self.dtype), "a matrix"))
        return self.diag().sum()

    # ------------------------------------------------------------ moved around, repeated

    def roll(self, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
        """Moved by ``shifts`` places along axes; what leaves at one end comes in at the other."""
        if dims is None:
            if not isinstance(shifts, int):
                raise ShapeError(message("roll", f"shifts={tuple(shifts)}", "dims= for each"))
            return self.reshape(-1).roll(shifts, 0).reshape(self.shape)
        moves = (shifts,) if isinstance(shifts, int) else tuple(shifts)
        axes = (dims,) if isinstance(dims, int) else tuple(dims)
        if len(moves) != len(axes):
            raise ShapeError(message("roll", f"{len(moves)} shifts", f"{len(axes)}, as dims"))
        y: Any = self._alias()
        for move, dim in zip(moves, axes, strict=True):
            axis = axis_of(dim, self.ndim, "roll")
            size = self.shape[axis]
            cut = -move % size if size else 0
            if cut:
                y = y._join([y.narrow(axis, cut, size - cut), y.narrow(axis, 0, cut)], axis)
        return y

    def tile(self, *dims: Any) -> Tensor:
        """``repeat``, where axes that are not told stay as they are."""
        times = dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims
        return self.repeat(*(1,) * (self.ndim - len(times)), *times)

    def repeat_interleave(self, repeats: Any, dim: int | None = None) -> Tensor:
        """Each element of an axis ``repeats`` times, next to each other; flattened without axis.

        >>> import chainrule as cr
        >>> cr.tensor([1, 2]).repeat_interleave(2).tolist()
        [1, 1, 2, 2]
        """
        x = self.reshape(-1) if dim is None else self
        axis = axis_of(dim or 0, x.ndim, "repeat_interleave")
        times = np.asarray(repeats)
        if times.ndim > 1 or times.dtype.kind not in "iu" or (times.size and times.min() < 0):
            needs = "whole numbers of 0 or more"
            raise DtypeError(message("repeat_interleave", f"repeats={repeats}", needs))
        if times.ndim and times.size not in (1, x.shape[axis]):
            got = f"{times.size} repeats"
            raise ShapeError(message("repeat_interleave", got, f"one, or {x.shape[axis]}"))
        places = np.repeat(np.arange(x.shape[axis]), times)
        return x.index_select(axis, self._like(places, "repeat_interleave"))


def _counted(x: Any, size: int, axis: int, rank: int) -> Tensor:
    """0, 1, … size - 1 along one of ``rank`` axes."""
    return x._like(np.arange(size), "scatter").reshape((-1,) + (1,) * (rank - 1 - axis))


def _as_far_as(index: Any, source: Any, where: str) -> Tensor:
    """The part of the source that an index covers."""
    shape = index.shape
    fits = source.ndim == len(shape) and all(
        n <= m for n, m in zip(shape, source.shape, strict=True)
    )
    if not fits:
        got = f"src {type_text(source.shape, source.dtype)}"
        raise ShapeError(message(where, got, f"at least {list(shape)}, as the index"))
    return source if source.shape == shape else source[tuple(slice(n) for n in shape)]


def _by_slices(op: Any, x: Any, dim: int, index: Any, source: Any, where: str) -> Tensor:
    """An op that writes to the first axis, applied to any axis."""
    axis = axis_of(dim, x.ndim, where)
    shape = (*x.shape[:axis], index.numel(), *x.shape[axis + 1 :])
    if index.ndim > 1 or source.shape != shape:
        got = f"{type_text(source.shape, source.dtype)} at {type_text(index.shape, index.dtype)}"
        raise ShapeError(message(where, got, f"a source {list(shape)} and an index of one axis"))
    y = op(x.transpose(0, axis), source.transpose(0, axis), index.reshape(-1))
    return y.transpose(0, axis)
