"""Movement: ops that only say where a number comes from or goes to. No arithmetic."""

from __future__ import annotations

from math import prod

import numpy as np

from chainrule.errors import DtypeError, ShapeError, message
from chainrule.graph import type_text
from chainrule.ops.op import Op, Sample, Typed, register

__all__ = ["concatenate", "expand", "flip", "pad", "permute", "put", "reshape", "slice_"]


class Movement(Op):
    """Base class: linear, and exact in every number type."""

    linear = True
    any_strides = True


class Reshape(Movement):
    """y = the numbers of x, in order, in another shape      x̄ = ȳ in the shape of x"""

    name = "reshape"

    def infer(self, x: Typed, *, shape: tuple[int, ...]):
        if prod(shape) != prod(x.shape):
            raise ShapeError(
                message(
                    "reshape", type_text(x.shape, x.dtype), f"{prod(shape)} elements for {shape}"
                )
            )
        return shape, x.dtype

    def reference(self, x, *, shape):
        return np.reshape(x, shape)

    def vjp(self, y, y_bar, x, *, shape):
        return (reshape(y_bar, shape=x.shape),)

    def samples(self, rng):
        yield Sample((rng.normal(size=(3, 4)),), {"shape": (2, 6)})
        yield Sample((rng.normal(size=()),), {"shape": (1, 1)})
        yield Sample((rng.normal(size=(0, 4)),), {"shape": (2, 0)})


class Permute(Movement):
    """y[i_axes[0], i_axes[1], …] = x[i_0, i_1, …]      x̄ = ȳ permuted back"""

    name = "permute"

    def infer(self, x: Typed, *, axes: tuple[int, ...]):
        if sorted(axes) != list(range(len(x.shape))):
            raise ShapeError(
                message(
                    "permute", f"axes {axes}", f"each axis of {type_text(x.shape, x.dtype)} once"
                )
            )
        return tuple(x.shape[axis] for axis in axes), x.dtype

    def reference(self, x, *, axes):
        return np.transpose(x, axes)

    def vjp(self, y, y_bar, x, *, axes):
        return (permute(y_bar, axes=tuple(np.argsort(axes).tolist())),)

    def samples(self, rng):
        yield Sample((rng.normal(size=(2, 3, 4)),), {"axes": (2, 0, 1)})


class Expand(Movement):
    """y = x, repeated along axes of size 1      x̄ = Σ ȳ over those axes"""

    name = "expand"

    def infer(self, x: Typed, *, shape: tuple[int, ...]):
        fits = len(shape) == len(x.shape) and all(
            old in (1, new) for old, new in zip(x.shape, shape, strict=True)
        )
        if not fits:
            raise ShapeError(
                message("expand", type_text(x.shape, x.dtype), f"size 1 wherever {shape} differs")
            )
        return shape, x.dtype

    def reference(self, x, *, shape):
        return np.broadcast_to(x, shape)

    def vjp(self, y, y_bar, x, *, shape):
        axes = tuple(
            axis
            for axis, (old, new) in enumerate(zip(x.shape, shape, strict=True))
            if old == 1 and new != 1
        )
        return (y_bar.sum(axes, keepdim=True) if axes else y_bar,)  # sum(()) is over all axes

    def samples(self, rng):
        yield Sample((rng.normal(size=(3, 1)),), {"shape": (3, 4)})
        yield Sample((rng.normal(size=(1, 2)),), {"shape": (1, 2)})
        yield Sample((rng.normal(size=(1, 2, 1)),), {"shape": (3, 2, 0)})


class Pad(Movement):
    """y = x with ``widths`` = ((before, after), …) numbers around it      x̄ = ȳ without them

    The numbers are ``value``, 0 unless told.
    """

    name = "pad"

    def infer(self, x: Typed, *, widths: tuple[tuple[int, int], ...], value: float = 0.0):
        shape = tuple(
            size + before + after for size, (before, after) in zip(x.shape, widths, strict=True)
        )
        return shape, x.dtype

    def reference(self, x, *, widths, value=0.0):
        return np.pad(x, widths, constant_values=value)

    def vjp(self, y, y_bar, x, *, widths, value=0.0):
        window = tuple(
            slice(before, before + size) for size, (before, _) in zip(x.shape, widths, strict=True)
        )
        return (y_bar[window],)

    def samples(self, rng):
        yield Sample((rng.normal(size=(2, 3)),), {"widths": ((1, 0), (2, 1))})


def _window(starts, axes, sizes, steps, rank: int) -> tuple[slice, ...]:
    window = [slice(None)] * rank
    for start, axis, size, step in zip(starts, axes, sizes, steps, strict=True):
        first = int(start)
        window[axis] = slice(first, first + (size - 1) * step + 1 if size else first, step)
    return tuple(window)


class Slice(Movement):
    """y = x[start : start + size·step : step] along each of ``axes``      x̄ = 0 with ȳ put there

    Starts are run-time numbers (i64[]), sizes and steps (> 0) are structure.
    """

    name = "slice"
    reads = "*starts"

    def infer(self, x: Typed, *starts: Typed, axes, sizes, steps):
        shape = list(x.shape)
        for axis, size in zip(axes, sizes, strict=True):
            shape[axis] = size
        return tuple(shape), x.dtype

    def reference(self, x, *starts, axes, sizes, steps):
        return x[_window(starts, axes, sizes, steps, x.ndim)]

    def vjp(self, y, y_bar, x, *starts, axes, sizes, steps):
        nothing = y_bar.number(0).reshape((1,) * len(x.shape)).expand(x.shape)
        rest = (None,) * len(starts)
        return put(nothing, y_bar, *starts, axes=axes, steps=steps), *rest

    def samples(self, rng):
        at = np.asarray
        yield Sample((rng.normal(size=(5, 4)), at(1)), {"axes": (0,), "sizes": (2,), "steps": (2,)})
        meta = {"axes": (0, 1), "sizes": (2, 0), "steps": (1, 1)}
        yield Sample((rng.normal(size=(5, 4)), at(3), at(1)), meta)


class Put(Movement):
    """y = base, with value at [start : … : step]      base̅ = ȳ, 0 there; value̅ = ȳ from there

    What a write to a view leaves behind.  Backends do it in place where nobody else reads ``base``.
    """

    name = "put"
    reads = "*starts"

    def infer(self, base: Typed, value: Typed, *starts: Typed, axes, steps):
        if base.dtype is not value.dtype:
            raise DtypeError(message("put", value.dtype.name, base.dtype.name))
        return base.shape, base.dtype

    def reference(self, base, value, *starts, axes, steps):
        y = np.array(base, order="C")
        self.write(y, value, *starts, axes=axes, steps=steps)
        return y

    def window(self, base, value, *starts, axes, steps) -> tuple[slice, ...]:
        sizes = tuple(value.shape[axis] for axis in axes)
        return _window(starts, axes, sizes, steps, base.ndim)

    def write(self, base, value, *starts, axes, steps) -> None:
        """Write ``value`` into ``base``."""
        base[self.window(base, value, *starts, axes=axes, steps=steps)] = value

    def vjp(self, y, y_bar, base, value, *starts, axes, steps):
        sizes = tuple(value.shape[axis] for axis in axes)
        nothing = y_bar.number(0).reshape((1,) * len(value.shape)).expand(value.shape)
        rest = (None,) * len(starts)
        return (
            put(y_bar, nothing, *starts, axes=axes, steps=steps),
            slice_(y_bar, *starts, axes=axes, sizes=sizes, steps=steps),
            *rest,
        )

    def samples(self, rng):
        base, value = rng.normal(size=(5, 4)), rng.normal(size=(2, 4))
        yield Sample((base, value, np.asarray(1)), {"axes": (0,), "steps": (2,)})


class Flip(Movement):
    """y = x in reverse order along axes      x̄ = ȳ in reverse order"""

    name = "flip"

    def infer(self, x: Typed, *, axes: tuple[int, ...]):
        return x.shape, x.dtype

    def reference(self, x, *, axes):
        return np.flip(x, axes)

    def vjp(self, y, y_bar, x, *, axes):
        return (flip(y_bar, axes=axes),)

    def samples(self, rng):
        yield Sample((rng.normal(size=(2, 3)),), {"axes": (0, 1)})


class Concatenate(Movement):
    """y = the parts one after the other along an axis      parts̅ = the pieces of ȳ"""

    name = "concatenate"

    def infer(self, *parts: Typed, axis: int):
        first = parts[0]
        for part in parts:
            same = len(part.shape) == len(first.shape) and all(
                a == b or i == axis
                for i, (a, b) in enumerate(zip(part.shape, first.shape, strict=True))
            )
            if not same:
                types = ", ".join(type_text(p.shape, p.dtype) for p in parts)
                raise ShapeError(message("concatenate", types, f"equal sizes but for axis {axis}"))
        size = sum(part.shape[axis] for part in parts)
        return (*first.shape[:axis], size, *first.shape[axis + 1 :]), first.dtype

    def reference(self, *parts, axis):
        return np.concatenate(parts, axis)

    def vjp(self, y, y_bar, *parts, axis):
        pieces, start = [], 0
        for part in parts:
            size = part.shape[axis]
            window = (slice(None),) * axis + (slice(start, start + size),)
            pieces.append(y_bar[window])
            start += size
        return tuple(pieces)

    def samples(self, rng):
        parts = tuple(rng.normal(size=(2, size)) for size in (1, 3, 0))
        yield Sample(parts, {"axis": 1})


reshape = register(Reshape())
permute = register(Permute())
expand = register(Expand())
pad = register(Pad())
slice_ = register(Slice())
put = register(Put())
flip = register(Flip())
concatenate = register(Concatenate())
