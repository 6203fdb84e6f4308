"""Whole numbers as vectors: a learned row for each, or one-hot."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.creation import randn
from chainrule.dtypes import int64
from chainrule.errors import DtypeError, ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.nn.calls import here, inner, public
from chainrule.nn.module import Module
from chainrule.nn.parameter import Parameter, number_type
from chainrule.ops import index
from chainrule.ops.labels import class_index
from chainrule.storage import recorder
from chainrule.tensor import Tensor, tensor
from chainrule.tensor.operators import choose

__all__ = ["Embedding", "embedding", "one_hot"]


def _numbers(x: Tensor, count: int, where: str) -> Tensor:
    if x.dtype.is_floating_point:
        got = type_text(x.shape, x.dtype)
        raise DtypeError(message(here(where), got, "whole numbers", remedy=".long() casts"))
    meta = {"classes": count, "ignore": None, "role": "row" if where == "embedding" else "number"}
    return Tensor._of(recorder().record(class_index, (x._node,), meta))


@public
def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """y[...] = weight[x[...]]      x: whole numbers [...], weight: f[V,D] -> y: f[...,D]

    The row ``padding_idx`` gets no error signal.
    Raises ``IndexRangeError`` for x outside 0 … V - 1.
    """
    table = weight._node  # first: reading it may compute, and then a bad number is told too early
    rows = _numbers(input, weight.shape[0], "embedding")
    y = Tensor._of(recorder().record(index.index, (table, rows._node), {}))
    if padding_idx is None:
        return y
    is_padding = rows.eq(padding_idx % weight.shape[0]).unsqueeze(-1).expand(y.shape)
    return choose(is_padding, y.detach(), y)


@public
def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """y[...,c] = 1 where x[...] = c, else 0      x: whole numbers [...] -> y: i64[...,C]

    Without ``num_classes`` it is one more than the largest number, which computes pending work.

    >>> import chainrule as cr
    >>> one_hot(cr.tensor([2, 0]), 3).tolist()
    [[0, 0, 1], [1, 0, 0]]
    """
    if num_classes == -1:
        if not tensor.numel():
            raise UsageError(message(here("one_hot"), "no numbers", "num_classes="))
        num_classes = int(tensor.max()) + 1
    rows = _numbers(tensor, num_classes, "one_hot")
    return rows.unsqueeze(-1).eq(_range(num_classes)).to(int64)


def _range(count: int) -> Tensor:
    return tensor(np.arange(count))


class Embedding(Module):
    """A learned row for each number      x: whole numbers [...] -> y: f[...,D], weight f[V,D]

    The weight starts as N(0, 1), its row ``padding_idx`` as zeros.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        kind = number_type(dtype, device)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            needs = f"less than {num_embeddings}"
            raise UsageError(message("Embedding", f"padding_idx={padding_idx}", needs))
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        start = randn((num_embeddings, embedding_dim), dtype=kind, stream="init")
        if self.padding_idx is not None:
            start[self.padding_idx] = 0
        self.weight = Parameter(start)

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None
    ) -> Embedding:
        """A layer with these rows f[V,D], which learn only with ``freeze=False``."""
        if embeddings.ndim != 2:
            got = type_text(embeddings.shape, embeddings.dtype)
            raise ShapeError(message("Embedding", got, "f[V,D]"))
        count, size = embeddings.shape
        layer = cls(count, size, padding_idx, dtype=embeddings.dtype)
        layer.weight = Parameter(embeddings, requires_grad=not freeze)
        return layer

    def forward(self, input: Tensor) -> Tensor:
        """weight[x]"""
        return inner(embedding)(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """num_embeddings, embedding_dim, padding_idx"""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        return text + (f", padding_idx={self.padding_idx}" if self.padding_idx is not None else "")
