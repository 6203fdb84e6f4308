"""Tensors filled in place with random or equal numbers, triangles, and new tensors like others.

A mix-in of ``Tensor``.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule import random as streams
from chainrule.dtypes import dtype_of
from chainrule.errors import DtypeError, ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.ops import leaf
from chainrule.ops import random as draws
from chainrule.storage import recorder
from chainrule.tensor.operands import draw_nodes
from chainrule.tensor.operators import choose
from chainrule.tensor.places import Places

if TYPE_CHECKING:
    from chainrule.tensor.tensor import Tensor

__all__ = ["Filling"]


class Filling(Places):
    """The mix-in; ``self`` is a Tensor."""

    __slots__ = ()

    # ------------------------------------------------------------ random numbers in place

    def uniform_(self, from_: float = 0.0, to: float = 1.0, **named: float) -> Tensor:
        """Write numbers of U(from, to) from the stream "default"."""
        low = named.pop("from", from_)  # a word of Python's own
        if named or not low <= to or not isfinite(to - low):
            needs = "finite bounds from ≤ to"
            raise UsageError(message("uniform_", f"from={low}, to={to}", needs))
        return self._overwrite(
            self._drawn(draws.uniform, "uniform_") * (to - low) + low, "uniform_"
        )

    def normal_(self, mean: float = 0.0, std: float = 1.0) -> Tensor:
        """Write numbers of N(mean, std²) from the stream "default"."""
        if std < 0:
            raise UsageError(message("normal_", f"std={std}", "0 or more"))
        return self._overwrite(self._drawn(draws.normal, "normal_") * std + mean, "normal_")

    def bernoulli_(self, p: float = 0.5) -> Tensor:
        """Write 1 with probability p, else 0."""
        if not 0 <= p <= 1:
            raise UsageError(message("bernoulli_", f"p={p}", "a probability from 0 to 1"))
        ones = self._draw(draws.bernoulli, p=p)
        return self._overwrite(ones.to(self.dtype), "bernoulli_")

    def _drawn(self, function: Any, where: str) -> Tensor:
        if not self.dtype.is_floating_point:
            got = type_text(self.shape, self.dtype)
            raise DtypeError(message(where, got, "a floating-point tensor"))
        return self._draw(function, dtype=self.dtype)

    def _draw(self, function: Any, **options: Any) -> Tensor:
        numbers = (self._of(node) for node in draw_nodes(streams.stream("default")))
        return function(*numbers, shape=self.shape, **options)

    # ------------------------------------------------------------ triangles

    def tril(self, diagonal: int = 0) -> Tensor:
        """The lower triangle of matrices, zeros above it."""
        return self._triangle(diagonal, lower=True)

    def triu(self, diagonal: int = 0) -> Tensor:
        """The upper triangle of matrices, zeros below it."""
        return self._triangle(diagonal, lower=False)

    def _triangle(self, diagonal: int, lower: bool) -> Tensor:
        if self.ndim < 2:
            where = "tril" if lower else "triu"
            raise ShapeError(message(where, type_text(self.shape, self.dtype), "at least two axes"))
        rows, columns = self.shape[-2:]
        mask = np.tri(rows, columns, diagonal if lower else diagonal - 1, dtype=bool)
        kept = self._like(mask if lower else ~mask, "triangle")
        return choose(kept.expand(self.shape), self, 0)

    def fill_diagonal_(self, fill_value: Any) -> Tensor:
        """Write one number to the diagonal of a matrix."""
        if self.ndim != 2:
            got = type_text(self.shape, self.dtype)
            raise ShapeError(message("fill_diagonal_", got, "a matrix"))
        there = self._like(np.eye(*self.shape, dtype=bool), "fill_diagonal_")
        return self._overwrite(choose(there, fill_value, self), "fill_diagonal_")

    # ------------------------------------------------------------ new tensors of this dtype

    def new_full(self, size: Any, fill_value: Any, *, dtype: Any = None) -> Tensor:
        """One number everywhere, in this dtype unless told."""
        kind = self.dtype if dtype is None else dtype_of(dtype)
        sizes = (size,) if isinstance(size, int) else tuple(size)
        array = np.full(sizes, fill_value, kind.numpy)
        return self._of(recorder().leaf(leaf.data, array, kind))

    def new_zeros(self, *size: Any, dtype: Any = None) -> Tensor:
        """Zeros, in this dtype unless told."""
        return self.new_full(_one(size), 0, dtype=dtype)

    def new_ones(self, *size: Any, dtype: Any = None) -> Tensor:
        """Ones, in this dtype unless told."""
        return self.new_full(_one(size), 1, dtype=dtype)

    new_empty = new_zeros  # uninitialised memory is no reproducible value

    def new_tensor(self, data: Any, *, dtype: Any = None) -> Tensor:
        """A tensor of a copy of ``data``, in this dtype unless told."""
        return self._like(data, "new_tensor").to(self.dtype if dtype is None else dtype)


def _one(size: tuple[Any, ...]) -> Any:
    return size[0] if len(size) == 1 else size
