"""Dropout: numbers left out at random while training, from the random stream "dropout"."""

from __future__ import annotations

from typing import Any

from chainrule.creation import bernoulli
from chainrule.errors import ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.nn.calls import here, inner, public
from chainrule.nn.module import Module
from chainrule.tensor import Tensor
from chainrule.tensor.operators import choose

__all__ = ["Dropout", "Dropout1d", "Dropout2d", "dropout", "dropout1d", "dropout2d"]


def _drop(x: Tensor, p: float, training: bool, inplace: bool, shape: tuple[int, ...]) -> Tensor:
    if not 0 <= p <= 1:
        raise UsageError(message(here("dropout"), f"p={p}", "a probability from 0 to 1"))
    if not training or p == 0:
        return x
    if p == 1:
        y = x * 0
    else:
        kept = bernoulli(shape, 1 - p, stream="dropout")
        y = choose(kept.expand(x.shape), x * (1 / (1 - p)), 0)
    return x._overwrite(y, "dropout") if inplace else y


@public
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """y = x / (1 - p) with probability 1 - p, else 0; y = x unless training.

    >>> import chainrule as cr
    >>> dropout(cr.ones(3), training=False)
    tensor([1., 1., 1.])
    """
    return _drop(input, p, training, inplace, input.shape)


def _channels(rank: int, x: Tensor, where: str) -> tuple[int, ...]:
    """One choice per channel: x is f[N,C,*S], or f[C,*S]."""
    if x.ndim not in (rank + 1, rank + 2):
        got = type_text(x.shape, x.dtype)
        raise ShapeError(message(here(where), got, "f[N,C,L]" if rank == 1 else "f[N,C,H,W]"))
    return (*x.shape[:-rank], *(1,) * rank)


@public
def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """As ``dropout``, whole channels at a time      x: f[N,C,L]"""
    return _drop(input, p, training, inplace, _channels(1, input, "dropout1d"))


@public
def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """As ``dropout``, whole channels at a time      x: f[N,C,H,W]"""
    return _drop(input, p, training, inplace, _channels(2, input, "dropout2d"))


class Dropout(Module):
    """y = x / (1 - p) with probability 1 - p, else 0, while training; y = x in ``eval()``"""

    function: Any = dropout

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise UsageError(message(type(self).__name__, f"p={p}", "a probability from 0 to 1"))
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Numbers left out at random while training."""
        return inner(type(self).function)(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """p, inplace"""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout1d(Dropout):
    """``Dropout`` of whole channels      x: f[N,C,L]"""

    function = dropout1d


class Dropout2d(Dropout):
    """``Dropout`` of whole channels      x: f[N,C,H,W]"""

    function = dropout2d
