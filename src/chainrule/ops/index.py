"""Indexing by whole numbers that are data: where each number is read from, or written to.

A number out of range is found by ``check``, before a program runs.  The references clamp besides,
so that no stray read or write ever happens, whoever calls them.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.dtypes import DType, bool_, int64
from chainrule.errors import DtypeError, IndexRangeError, ShapeError, message
from chainrule.graph import type_text
from chainrule.ops.elementwise import where, zeros_like
from chainrule.ops.op import Op, Sample, Typed, register

__all__ = ["gather", "index", "index_add", "index_last", "index_put", "scatter_add"]

Sizes = tuple[int, ...]


def check_range(name: str, numbers: np.ndarray, size: int, *, axis: int, least: int = 0) -> None:
    """Raise for the first number outside ``least`` … ``size - 1``."""
    if numbers.size and (numbers.min() < least or numbers.max() >= size):
        first = np.argwhere((numbers < least) | (numbers >= size))[0]
        position = tuple(first.tolist())
        raise IndexRangeError(
            message(
                name,
                f"index {numbers[position]} at position {position}",
                f"{least} to {size - 1}" if size else "none",
                why=f"It is out of range for axis {axis} of size {size}",
            )
        )


def _whole(name: str, numbers: Typed) -> None:
    if numbers.dtype is not int64:
        needs, remedy = "an int64 index", ".long() casts whole numbers"
        raise DtypeError(message(name, numbers.dtype.name, needs, remedy=remedy))


def _same_dtype(name: str, base: Typed, source: Typed) -> None:
    if base.dtype is not source.dtype:
        needs = "one number type"
        raise DtypeError(message(name, f"{source.dtype.name} into {base.dtype.name}", needs))


def nothing(like: Any, shape: Sizes) -> Any:
    """Zeros of that shape, of the dtype of ``like``."""
    return like.number(0).reshape((1,) * len(shape)).expand(shape)


def add_at(base: np.ndarray, places: np.ndarray, source: np.ndarray) -> np.ndarray:
    """``base`` with the source added at those places of it, flattened, in the source's order."""
    y = np.array(base, order="C")
    if y.size:
        np.add.at(y.reshape(-1), places.reshape(-1), source.reshape(-1))
    return y


# ---------------------------------------------------------------- along one axis


def _places(shape: Sizes, index: np.ndarray, axis: int) -> np.ndarray:
    """Where [i, index[i,j], k] lies in an array of that shape, flattened; the index is clamped."""
    places = np.zeros(index.shape, np.int64)
    step = 1
    for a in reversed(range(len(shape))):
        if a == axis:
            places += np.clip(index, 0, max(shape[a] - 1, 0)) * step
        else:
            count = index.shape[a]
            places += (np.arange(count) * step).reshape((count,) + (1,) * (index.ndim - 1 - a))
        step *= shape[a]
    return places


def _check_along(name: str, x: Typed, index: Typed, axis: int) -> None:
    _whole(name, index)
    fits = len(index.shape) == len(x.shape) and all(
        small <= large or a == axis
        for a, (small, large) in enumerate(zip(index.shape, x.shape, strict=True))
    )
    if not fits:
        got = f"{type_text(x.shape, x.dtype)} at {type_text(index.shape, index.dtype)}"
        needs = f"an index of {len(x.shape)} axes, longer than x along axis {axis} at most"
        raise ShapeError(message(name, got, needs))


class Gather(Op):
    """y[i,j,k] = x[i, index[i,j,k], k] for axis 1      x̄ = scatter_add(0, index, ȳ)

    y has the index's shape, which may be smaller than x along the other axes.  As in PyTorch an
    index counts from 0: were -1 the last one, a label of -1 would silently be the last class.
    """

    name = "gather"
    reads = "index"
    any_strides = True

    def infer(self, x: Typed, index: Typed, *, axis: int):
        _check_along(self.name, x, index, axis)
        return index.shape, x.dtype

    def reference(self, x, index, *, axis):
        if x.size == 0:
            return np.zeros(index.shape, x.dtype)
        return np.take(x.reshape(-1), _places(x.shape, index, axis))

    def check(self, x, index, *, axis):
        check_range(self.name, index, x.shape[axis], axis=axis)

    def vjp(self, y, y_bar, x, index, *, axis):
        return scatter_add(nothing(y_bar, x.shape), index, y_bar, axis=axis), None

    def samples(self, rng):
        for shape, smaller, axis in (
            ((3, 4), (3, 1), 1),
            ((3, 4), (5, 2), 0),
            ((2, 3, 4), (1, 5, 3), 1),
            ((5,), (7,), 0),
            ((2, 3), (0, 3), 0),
        ):
            index = rng.integers(0, shape[axis], smaller)
            yield Sample((rng.normal(size=shape), index), {"axis": axis})


class ScatterAdd(Op):
    """y = base, y[i, index[i,j,k], k] += source[i,j,k] for axis 1      base̅ = ȳ, source̅ = gather(ȳ)

    What meets in one place is added in the order of the source.
    """

    name = "scatter_add"
    reads = ("", "", "index")
    any_strides = True

    def infer(self, base: Typed, index: Typed, source: Typed, *, axis: int):
        _check_along(self.name, base, index, axis)
        _same_dtype(self.name, base, source)
        if source.shape != index.shape:
            got = f"a source of {type_text(source.shape, source.dtype)}"
            raise ShapeError(message(self.name, got, f"the shape of the index, {index.shape}"))
        return base.shape, base.dtype

    def reference(self, base, index, source, *, axis):
        return add_at(base, _places(base.shape, index, axis), source)

    def check(self, base, index, source, *, axis):
        check_range(self.name, index, base.shape[axis], axis=axis)

    def vjp(self, y, y_bar, base, index, source, *, axis):
        return y_bar, None, gather(y_bar, index, axis=axis)

    def samples(self, rng):
        for sample in gather.samples(rng):
            x, index = sample.inputs
            yield Sample((x, index, rng.normal(size=index.shape)), sample.meta)


# ---------------------------------------------------------------- by several arrays at once


def _rows(sizes: Sizes, indices: tuple[np.ndarray, ...]) -> np.ndarray:
    """Which row [i0, i1, …] is, of an array of those sizes; negative numbers count from the end."""
    rows = np.zeros(np.broadcast_shapes(*(i.shape for i in indices)), np.int64)
    for size, numbers in zip(sizes, indices, strict=True):
        from_the_start = np.where(numbers < 0, numbers + size, numbers)
        rows = rows * size + np.clip(from_the_start, 0, max(size - 1, 0))
    return rows


def _together(name: str, shape: Sizes, dtype: DType, indices: tuple[Typed, ...]) -> Sizes:
    """The shape of x[i0, i1, …], or an error."""
    for numbers in indices:
        _whole(name, numbers)
    types = ", ".join(str(list(numbers.shape)) for numbers in indices)
    if not 0 < len(indices) <= len(shape):
        got = f"{len(indices)} indices into {type_text(shape, dtype)}"
        raise ShapeError(message(name, got, f"1 to {len(shape)}"))
    try:
        together = np.broadcast_shapes(*(numbers.shape for numbers in indices))
    except ValueError:
        raise ShapeError(message(name, f"indices {types}", "shapes that broadcast")) from None
    return together + shape[len(indices) :]


def _check_value(name: str, base: Typed, value: Typed, indices: tuple[Typed, ...]) -> None:
    shape = _together(name, base.shape, base.dtype, indices)
    _same_dtype(name, base, value)
    if value.shape != shape:
        got, needs = type_text(value.shape, value.dtype), type_text(shape, base.dtype)
        raise ShapeError(message(name, f"a value {got}", needs))


def _check_ranges(name: str, sizes: Sizes, indices: tuple[np.ndarray, ...]) -> None:
    for axis, numbers in enumerate(indices):
        check_range(name, numbers, sizes[axis], axis=axis, least=-sizes[axis])


class Index(Op):
    """y[b…] = x[i0[b], i1[b], …]      x̄ = index_add(0, ȳ, i0, i1, …)

    x: [n0,n1,…,*R], i0, i1, …: i64[*B] after broadcasting -> y: [*B,*R].  Negative numbers count
    from the end.
    """

    name = "index"
    reads = "*indices"
    any_strides = True

    def infer(self, x: Typed, *indices: Typed):
        return _together(self.name, x.shape, x.dtype, indices), x.dtype

    def reference(self, x, *indices):
        sizes, rest = x.shape[: len(indices)], x.shape[len(indices) :]
        rows = _rows(sizes, indices)
        if x.size == 0:
            return np.zeros(rows.shape + rest, x.dtype)
        return np.take(x.reshape(prod(sizes), *rest), rows, axis=0)

    def check(self, x, *indices):
        _check_ranges(self.name, x.shape, indices)

    def vjp(self, y, y_bar, x, *indices):
        back = index_add(nothing(y_bar, x.shape), y_bar, *indices)
        return back, *(None for _ in indices)

    def samples(self, rng):
        for shape, parts in (
            ((5,), ((3,),)),
            ((4, 3), ((2, 3),)),
            ((4, 3, 2), ((2, 1), (3,))),
            ((2, 2), ((6,), (6,))),  # surely twice the same
            ((3, 2), ((),)),
            ((3, 2), ((0,),)),
        ):
            indices = (rng.integers(-n, n, p) for n, p in zip(shape, parts, strict=False))
            yield Sample((rng.normal(size=shape), *map(np.asarray, indices)))


class IndexAdd(Op):
    """y = base, y[i0[b], i1[b], …] += value[b…]      base̅ = ȳ, value̅ = index(ȳ, i0, i1, …)

    What meets in one place is added in the order of the value.
    """

    name = "index_add"
    reads = ("", "*indices")
    any_strides = True

    def infer(self, base: Typed, value: Typed, *indices: Typed):
        _check_value(self.name, base, value, indices)
        return base.shape, base.dtype

    def reference(self, base, value, *indices):
        rows = _rows(base.shape[: len(indices)], indices)
        size = prod(base.shape[len(indices) :])
        # One place per number, not per row: NumPy's fast path is the flat one.
        return add_at(base, rows[..., None] * size + np.arange(size), value)

    def check(self, base, value, *indices):
        _check_ranges(self.name, base.shape, indices)

    def vjp(self, y, y_bar, base, value, *indices):
        return y_bar, index(y_bar, *indices), *(None for _ in indices)

    def samples(self, rng):
        for sample in index.samples(rng):
            x, *indices = sample.inputs
            value = rng.normal(size=index.reference(x, *indices).shape)
            yield Sample((x, value, *indices))


class IndexPut(Op):
    """y = base, y[i0[b], i1[b], …] = value[b…]      base̅ = ȳ, 0 there; value̅ = ȳ from there

    Of several writes to one place the last one stays, and it alone has an error signal.
    """

    name = "index_put"
    reads = "*indices"
    any_strides = True

    def infer(self, base: Typed, value: Typed, *indices: Typed):
        _check_value(self.name, base, value, indices)
        return base.shape, base.dtype

    def reference(self, base, value, *indices):
        sizes, rest = base.shape[: len(indices)], base.shape[len(indices) :]
        rows = _rows(sizes, indices)
        y = np.array(base, order="C")
        if y.size:
            y.reshape(prod(sizes), *rest)[rows.reshape(-1)] = value.reshape(rows.size, *rest)
        return y

    def check(self, base, value, *indices):
        _check_ranges(self.name, base.shape, indices)

    def vjp(self, y, y_bar, base, value, *indices):
        stays = index_last(*indices, sizes=base.shape[: len(indices)])
        rest = len(value.shape) - len(stays.shape)
        stays = stays.reshape(stays.shape + (1,) * rest).expand(value.shape)
        return (
            index_put(y_bar, nothing(y_bar, value.shape), *indices),
            where(stays, index(y_bar, *indices), zeros_like(y_bar)),
            *(None for _ in indices),
        )

    def samples(self, rng):
        yield from index_add.samples(rng)


class IndexLast(Op):
    """y[b] = no later b' has the same i0[b'], i1[b'], …      i64[*B], … -> bool[*B]"""

    name = "index_last"
    differentiable = False
    why_not = "its result is true or false"
    any_strides = True

    def infer(self, *indices: Typed, sizes: Sizes):
        return _together(self.name, sizes, int64, indices), bool_

    def reference(self, *indices, sizes):
        rows = _rows(sizes, indices)
        number = np.arange(rows.size).reshape(rows.shape)
        last = np.full(max(prod(sizes), 1), -1)
        last[rows.reshape(-1)] = number.reshape(-1)
        return last[rows] == number

    def check(self, *indices, sizes):
        _check_ranges(self.name, sizes, indices)

    def samples(self, rng):
        for sample in index.samples(rng):
            x, *indices = sample.inputs
            yield Sample(tuple(indices), {"sizes": x.shape[: len(indices)]})


gather = register(Gather())
scatter_add = register(ScatterAdd())
index = register(Index())
index_add = register(IndexAdd())
index_put = register(IndexPut())
index_last = register(IndexLast())
