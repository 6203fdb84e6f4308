"""Larger and smaller: extremes along an axis, sorting, medians and quantiles, counts.

A mix-in of ``Tensor``.  What has places too comes as ``values, indices``.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor, inf, nan
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule.dtypes import float64, int64
from chainrule.errors import DtypeError, IndexRangeError, ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.ops import reduce
from chainrule.storage import recorder
from chainrule.tensor.operands import Axes, axis_of, numpy_words
from chainrule.tensor.operators import Operators, choose

if TYPE_CHECKING:
    from chainrule.tensor.tensor import Tensor

__all__ = ["Order", "Picked"]


class Picked(NamedTuple):
    """Numbers along an axis, and where they were: ``x.max(1).values``, ``x.max(1).indices``."""

    values: Tensor
    indices: Tensor


class Order(Operators):
    """The mix-in; ``self`` is a Tensor."""

    __slots__ = ()

    # ------------------------------------------------------------ extremes

    @numpy_words
    def max(self, dim: Any = None, keepdim: bool = False) -> Any:
        """All: the largest number. Along an axis: (values, indices of the first maxima)."""
        if hasattr(dim, "_storage"):
            return self.maximum(dim)
        return self.amax() if dim is None else _extremum(self, dim, keepdim)

    @numpy_words
    def min(self, dim: Any = None, keepdim: bool = False) -> Any:
        """All: the smallest number. Along an axis: (values, indices of the first minima)."""
        if hasattr(dim, "_storage"):
            return self.minimum(dim)
        return self.amin() if dim is None else _extremum(self, dim, keepdim, sign=-1)

    @numpy_words
    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """Index of the first maximum along an axis, or in the flattened tensor."""
        x = self if dim is not None else self.reshape(-1)
        axis = axis_of(dim or 0, x.ndim, "argmax")
        y = x._of(recorder().record(reduce.argmax, (x._node,), {"axis": axis}))
        return y.unsqueeze(axis) if keepdim and dim is not None else y

    @numpy_words
    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """Index of the first minimum along an axis, or in the flattened tensor."""
        return (-self).argmax(dim, keepdim)

    # ------------------------------------------------------------ sorting

    @numpy_words
    def argsort(self, dim: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
        """The indices that sort along an axis; equal numbers always keep their order."""
        meta = {"axis": axis_of(dim, self.ndim, "argsort"), "descending": descending}
        return self._of(recorder().record(reduce.argsort, (self._node,), meta))

    @numpy_words
    def sort(self, dim: int = -1, descending: bool = False, stable: bool = True) -> Picked:
        """(sorted values, indices); equal numbers always keep their order, NaN is the largest"""
        order = self.argsort(dim, descending)
        return Picked(self.gather(dim, order), order)

    @numpy_words
    def topk(self, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Picked:
        """(the k largest values, their indices), the largest first; or the smallest"""
        axis = axis_of(dim, self.ndim, "topk")
        if not 0 <= k <= self.shape[axis]:
            got = f"k={k} for {type_text(self.shape, self.dtype)}"
            raise ShapeError(message("topk", got, f"0 to {self.shape[axis]}"))
        order = self.argsort(axis, descending=largest).narrow(axis, 0, k)
        return Picked(self.gather(axis, order), order)

    @numpy_words
    def median(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The number in the middle, the lower one of two; NaN if any is.

        Along an axis: (values, indices).
        """
        if dim is None:
            x = self.reshape(-1)
            middle = x.detach().median(0).values
            if not x.dtype.is_floating_point:
                return middle
            return choose((x <= middle) | middle.isnan(), x, -inf).amax()  # ties share evenly
        axis = axis_of(dim, self.ndim, "median")
        if not self.ndim:
            return Picked(self._alias(), self.argmax())
        order = self.argsort(axis)
        place: Any = (self.shape[axis] - 1) // 2
        if self.dtype.is_floating_point:
            numbers = self.eq(self).sum(axis, keepdim=True)
            place = choose(numbers.eq(self.shape[axis]), place, numbers)
        else:
            place = order.narrow(axis, 0, 1) * 0 + place
        index = order.gather(axis, place)
        values = self.gather(axis, index)
        return Picked(*((y if keepdim else y.squeeze(axis)) for y in (values, index)))

    @numpy_words
    def quantile(
        self,
        q: Any,
        dim: int | None = None,
        keepdim: bool = False,
        *,
        interpolation: str = "linear",
    ) -> Tensor:
        """The number below which a share q of all lie; several q along a new first axis.

        Between two numbers: "linear", "lower", "higher", "nearest" or "midpoint".  NaN if any is.
        """
        if interpolation not in BETWEEN:
            needs = "one of " + ", ".join(map(repr, BETWEEN))
            raise UsageError(message("quantile", f"interpolation={interpolation!r}", needs))
        shares = np.asarray(q, np.float64)
        if shares.ndim > 1 or not np.all((shares >= 0) & (shares <= 1)):
            raise UsageError(
                message("quantile", f"q={q}", "a number from 0 to 1, or a row of them")
            )
        if not self.dtype.is_floating_point or not self.numel():
            got = type_text(self.shape, self.dtype)
            raise DtypeError(message("quantile", got, "at least one floating-point number"))
        x = self.reshape(-1) if dim is None else self
        axis = axis_of(dim or 0, x.ndim, "quantile")
        x = x.reshape(x.shape or (1,))
        ordered = x.sort(axis).values
        bad = x.ne(x).any(axis, keepdim=True)
        found = []
        for share in shares.reshape(-1).astype(self.dtype.numpy):
            place = float(share * self.dtype.numpy.type(x.shape[axis] - 1))
            low, high, weight = BETWEEN[interpolation](place)
            a, b = (ordered.narrow(axis, at, 1) for at in (low, high))
            y = choose(bad, nan, a if low == high else a.lerp(b, weight))
            found.append(y if keepdim and self.ndim else y.squeeze(axis))
        if keepdim and dim is None:
            found = [y.reshape((1,) * self.ndim) for y in found]
        if not shares.ndim:
            return found[0]
        return found[0]._join([y.unsqueeze(0) for y in found], 0)

    # ------------------------------------------------------------ counting

    @numpy_words
    def count_nonzero(self, dim: Axes = None) -> Tensor:
        """How many numbers are not 0, along the axes ``dim``, all by default."""
        return self.ne(0).sum(dim)

    def bincount(self, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
        """y[v] = how often v occurs in x, or the sum of its weights      x: [n] -> y: [max + 1]

        Whole numbers of 0 or more.  Its shape depends on values: computed now.
        """
        if self.dtype.is_floating_point or self.ndim != 1:
            got = type_text(self.shape, self.dtype)
            raise DtypeError(message("bincount", got, "one axis of whole numbers ≥ 0"))
        values = self._value().astype(np.int64)
        if values.size and values.min() < 0:
            raise IndexRangeError(message("bincount", f"{values.min()}", "numbers of 0 or more"))
        size = max(int(values.max(initial=-1)) + 1, minlength)
        if weights is None:
            return self._like(np.bincount(values, minlength=size).astype(np.int64), "bincount")
        weights = weights if weights.dtype.is_floating_point else weights.to(float64)
        return weights.new_zeros(size).index_add(0, self.to(int64), weights)

    def histc(self, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
        """How many numbers fall into each of ``bins`` equal bins from ``min`` to ``max``

        If both are equal, from the smallest to the largest.  What lies outside is not counted.
        """
        if not self.dtype.is_floating_point or bins < 1:
            got = f"{type_text(self.shape, self.dtype)} and bins={bins}"
            raise DtypeError(message("histc", got, "floating-point numbers and at least one bin"))
        values = self._value().reshape(-1)
        kind = self.dtype.numpy.type
        low, high = kind(min), kind(max)
        if low == high and values.size:
            low, high = values.min(), values.max()
        if low == high:
            low, high = low - 1, high + 1
        if not (np.isfinite([low, high]).all() and low < high):
            raise UsageError(message("histc", f"a range from {low} to {high}", "a finite one"))
        inside = values[(values >= low) & (values <= high)]
        place = ((inside - low) / (high - low) * kind(bins)).astype(np.int64)
        counts = np.bincount(np.minimum(place, bins - 1), minlength=bins)
        return self._like(counts.astype(self.dtype.numpy), "histc")


BETWEEN: dict[str, Callable[[float], tuple[int, int, float]]] = {  # place -> below, above, weight
    "linear": lambda place: (floor(place), ceil(place), place - floor(place)),
    "lower": lambda place: (floor(place), floor(place), 0.0),
    "higher": lambda place: (ceil(place), ceil(place), 0.0),
    "nearest": lambda place: (round(place), round(place), 0.0),
    "midpoint": lambda place: (floor(place), ceil(place), 0.5),
}


def _extremum(x: Any, dim: int, keepdim: bool, sign: int = 1) -> Picked:
    axis = axis_of(dim, x.ndim, "max" if sign > 0 else "min")
    place = (x if sign > 0 else -x).argmax(axis)
    if not x.ndim:
        return Picked(x, place)
    values = x.gather(axis, place.unsqueeze(axis))
    if keepdim:
        return Picked(values, place.unsqueeze(axis))
    return Picked(values.squeeze(axis), place)
