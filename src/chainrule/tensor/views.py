"""Views: handles that look at the same storage in another shape, or at a part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.dtypes import int64
from chainrule.errors import ShapeError, message
from chainrule.graph import type_text
from chainrule.ops import movement
from chainrule.ops.op import Op
from chainrule.storage import Recorded
from chainrule.tensor.handle import Handle
from chainrule.tensor.operands import axis_of, number_node, numpy_words
from chainrule.tensor.path import Step, contiguous_strides, path_strides, reshaped_strides

if TYPE_CHECKING:
    from chainrule.tensor.tensor import Tensor

__all__ = ["Views"]

Shape = tuple[int, ...]


class Views(Handle):
    """The mix-in; ``self`` is a Tensor."""

    __slots__ = ()

    def stride(self) -> Shape:
        """Strides in elements, as PyTorch has them."""
        return path_strides(self._storage.node.shape, self._path)

    def is_contiguous(self) -> bool:
        """Whether the elements lie in memory in row-major order."""
        expected = contiguous_strides(self.shape)
        return 0 in self.shape or all(
            size == 1 or stride == wanted
            for size, stride, wanted in zip(self.shape, self.stride(), expected, strict=True)
        )

    def contiguous(self) -> Tensor:
        """This tensor, or a copy in row-major order."""
        return self if self.is_contiguous() else self.clone()  # type: ignore[return-value]

    # ------------------------------------------------------------ shapes

    def view(self, *shape: Any) -> Tensor:
        """The same memory in another shape. Raises where only a copy would have it."""
        wanted = _shape_of(shape, self.shape, "view")
        if reshaped_strides(self.shape, self.stride(), wanted) is None:
            raise ShapeError(
                message(
                    "view",
                    f"{type_text(self.shape, self.dtype)} with strides {self.stride()}",
                    f"memory in the order of {wanted}",
                    remedy="reshape() copies where it must",
                )
            )
        return self._stepped(movement.reshape, {"shape": wanted})

    def reshape(self, *shape: Any) -> Tensor:
        """Another shape; a view where the memory allows it, else a copy."""
        wanted = _shape_of(shape, self.shape, "reshape")
        if self._path and reshaped_strides(self.shape, self.stride(), wanted) is None:
            return movement.reshape(self, shape=wanted)
        return self._stepped(movement.reshape, {"shape": wanted})

    def view_as(self, other: Tensor) -> Tensor:
        """``view`` in the shape of another tensor."""
        return self.view(other.shape)

    def reshape_as(self, other: Tensor) -> Tensor:
        """``reshape`` to the shape of another tensor."""
        return self.reshape(other.shape)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """Axes ``start_dim`` … ``end_dim`` as one."""
        if not self.ndim:
            return self.reshape(1)
        first = axis_of(start_dim, self.ndim, "flatten")
        last = axis_of(end_dim, self.ndim, "flatten")
        one = prod(self.shape[first : last + 1])
        return self.reshape((*self.shape[:first], one, *self.shape[last + 1 :]))

    def unflatten(self, dim: int, sizes: Sequence[int]) -> Tensor:
        """One axis as several; one of ``sizes`` may be -1."""
        axis = axis_of(dim, self.ndim, "unflatten")
        sizes = _shape_of((tuple(sizes),), (self.shape[axis],), "unflatten")
        return self.reshape((*self.shape[:axis], *sizes, *self.shape[axis + 1 :]))

    @numpy_words
    def unsqueeze(self, dim: int) -> Tensor:
        """A new axis of size 1."""
        axis = axis_of(dim, self.ndim + 1, "unsqueeze")
        return self._stepped(
            movement.reshape, {"shape": (*self.shape[:axis], 1, *self.shape[axis:])}
        )

    @numpy_words
    def squeeze(self, dim: int | Sequence[int] | None = None) -> Tensor:
        """Without the axes of size 1, or without those of them in ``dim``."""
        named = range(self.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
        axes = {axis_of(axis, self.ndim, "squeeze") for axis in named}
        shape = tuple(n for axis, n in enumerate(self.shape) if n != 1 or axis not in axes)
        return self._stepped(movement.reshape, {"shape": shape})

    def permute(self, *axes: Any) -> Tensor:
        """The axes in another order."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        order = tuple(axis_of(axis, self.ndim, "permute") for axis in order)
        return self._stepped(movement.permute, {"axes": order})

    def transpose(self, a: int, b: int) -> Tensor:
        """Two axes exchanged."""
        a, b = axis_of(a, self.ndim, "transpose"), axis_of(b, self.ndim, "transpose")
        order = list(range(self.ndim))
        if order:
            order[a], order[b] = b, a
        return self._stepped(movement.permute, {"axes": tuple(order)})

    swapaxes = transpose

    def movedim(self, source: int, destination: int) -> Tensor:
        """One axis moved to another place."""
        order = list(range(self.ndim))
        order.insert(
            axis_of(destination, self.ndim, "movedim"),
            order.pop(axis_of(source, self.ndim, "movedim")),
        )
        return self._stepped(movement.permute, {"axes": tuple(order)})

    def t(self) -> Tensor:
        """A matrix transposed."""
        if self.ndim > 2:
            raise ShapeError(message("t", type_text(self.shape, self.dtype), "at most 2 axes"))
        return self.transpose(0, 1) if self.ndim == 2 else self  # type: ignore[return-value]

    @property
    def T(self) -> Tensor:  # noqa: N802  NumPy's name
        """All axes in reverse order."""
        return self.permute(tuple(reversed(range(self.ndim))))

    @property
    def mT(self) -> Tensor:  # noqa: N802
        """The last two axes exchanged."""
        return self.transpose(-1, -2)

    def expand(self, *shape: Any) -> Tensor:
        """Repeated along axes of size 1, without a copy; -1 keeps a size."""
        wanted = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        missing = len(wanted) - self.ndim
        if missing < 0:
            raise ShapeError(
                message("expand", type_text(self.shape, self.dtype), f"at most {len(wanted)} axes")
            )
        padded = (1,) * missing + self.shape
        wanted = tuple(
            old if new == -1 else int(new) for old, new in zip(padded, wanted, strict=True)
        )
        x = self._stepped(movement.reshape, {"shape": padded}) if missing else self
        return x._stepped(movement.expand, {"shape": wanted})

    def expand_as(self, other: Tensor) -> Tensor:
        """``expand`` to the shape of another tensor."""
        return self.expand(other.shape)

    def repeat(self, *times: int) -> Tensor:
        """Copies side by side: ``times`` per axis."""
        counts = times[0] if len(times) == 1 and not isinstance(times[0], int) else times
        if len(counts) < self.ndim or min(counts, default=0) < 0:
            got, needs = f"{len(counts)} numbers", f"at least {self.ndim}, each 0 or more"
            raise ShapeError(message("repeat", got, needs))
        shape = (1,) * (len(counts) - self.ndim) + self.shape
        x = self.reshape(tuple(n for size in shape for n in (1, size)))
        x = x.expand(tuple(n for c, size in zip(counts, shape, strict=True) for n in (c, size)))
        return x.reshape(tuple(c * size for c, size in zip(counts, shape, strict=True)))

    def flip(self, *dims: Any) -> Tensor:
        """A copy in reverse order along axes."""
        axes = dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims
        axes = tuple(axis_of(axis, self.ndim, "flip") for axis in axes)
        return movement.flip(self, axes=axes)

    # ------------------------------------------------------------ parts

    def narrow(self, dim: int, start: int, length: int) -> Tensor:
        """``length`` elements of an axis, from ``start`` on."""
        axis = axis_of(dim, self.ndim, "narrow")
        size = self.shape[axis]
        if start < -size or length < 0 or (start % size if size else 0) + length > size:
            raise ShapeError(
                message("narrow", f"start {start}, length {length}", f"at most {size}")
            )
        return self._sliced({axis: (start % size if size else 0, length, 1)})

    def select(self, dim: int, index: int) -> Tensor:
        """One element of an axis, without that axis."""
        axis = axis_of(dim, self.ndim, "select")
        return self[(slice(None),) * axis + (index,)]

    def split(self, size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
        """Parts of equal size (the last may be smaller), or of the sizes that are listed."""
        axis = axis_of(dim, self.ndim, "split")
        total = self.shape[axis]
        if isinstance(size, int):
            size = [min(size, total - start) for start in range(0, total, size)] or [0]
        if sum(size) != total:
            raise ShapeError(message("split", f"sizes {list(size)}", f"a sum of {total}"))
        starts = np.cumsum([0, *size]).tolist()
        return tuple(self.narrow(axis, a, n) for a, n in zip(starts, size, strict=False))

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        """At most ``chunks`` parts of equal size."""
        total = self.shape[axis_of(dim, self.ndim, "chunk")]
        return self.split(max(1, -(-total // chunks)), dim)

    def unbind(self, dim: int = 0) -> tuple[Tensor, ...]:
        """The elements of an axis, each without it."""
        return tuple(self.select(dim, index) for index in range(self.shape[dim]))

    def detach(self) -> Tensor:
        """The same storage without the history: no error signal passes."""
        return self._alias(detached=True)

    # ------------------------------------------------------------ the mechanism

    def _sliced(self, windows: Mapping[int, tuple[int, int, int]]) -> Tensor:
        """A view of {axis: (start, size, step)}."""
        axes = tuple(windows)
        meta = {
            "axes": axes,
            "sizes": tuple(windows[axis][1] for axis in axes),
            "steps": tuple(windows[axis][2] for axis in axes),
        }
        starts = tuple(number_node(windows[axis][0], int64) for axis in axes)
        return self._stepped(movement.slice_, meta, starts)

    def _stepped(
        self, op: Op, meta: Mapping[str, Any], starts: tuple[Recorded, ...] = ()
    ) -> Tensor:
        """A view one step further; the shape rule is checked now, at the user's own line."""
        shape, _ = op.infer(self, *starts, **meta)
        if not starts and shape == self.shape and op is not movement.permute:
            return self._alias()
        if op is movement.permute and meta["axes"] == tuple(range(self.ndim)):
            return self._alias()
        view = self._alias((*self._path, Step(op, meta, starts)))
        view._shape = shape
        return view


def _shape_of(shape: tuple[Any, ...], old: Shape, where: str) -> Shape:
    """The sizes that were asked for, -1 filled in."""
    sizes = shape[0] if len(shape) == 1 and not isinstance(shape[0], (int, np.integer)) else shape
    sizes = tuple(int(size) for size in sizes)
    count = prod(old)
    if sizes.count(-1) == 1:
        rest = -prod(sizes)
        if rest > 0 and count % rest == 0:
            sizes = tuple(count // rest if size == -1 else size for size in sizes)
    if any(size < 0 for size in sizes) or prod(sizes) != count:
        raise ShapeError(
            message(where, f"{list(old)} as {list(sizes)}", f"sizes whose product is {count}")
        )
    return sizes
