"""Sizes of layers: one number per axis or one for all, and sizes that the first input tells."""

from __future__ import annotations

import sys
from typing import Any

from chainrule.errors import UsageError, message
from chainrule.graph import type_text
from chainrule.nn.calls import calls, here
from chainrule.nn.module import Module
from chainrule.tensor import Tensor

__all__ = ["Size", "Sized", "tuple_of"]

Size = int | tuple[int, ...]


def tuple_of(value: Any, rank: int, name: str, where: str) -> tuple[int, ...]:
    """One number per spatial axis: tuple_of(2, 2, "stride", "conv2d") == (2, 2)."""
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) != rank or not all(isinstance(v, int) for v in values):
        needs = f"a whole number, or {rank} of them"
        raise UsageError(message(here(where), f"{name}={value!r}", needs))
    return values


class Sized(Module):
    """A layer whose parameters need sizes that may stay open (``None``) until the first input.

    ``_make_parameters`` makes them of the sizes; ``_open`` names those that are not known yet.
    """

    _with_bias = True

    def _make_parameters(self) -> None:
        raise NotImplementedError(f"{type(self).__name__} makes no parameters")

    def _make_or_wait(self, **sizes: Any) -> None:
        """Set the sizes; make the parameters if all of them are known."""
        self.__dict__.update(sizes)
        self._open = tuple(name for name, size in sizes.items() if size is None)
        if not self._open:
            self._make_parameters()

    def _infer(self, input: Tensor, **sizes: Any) -> None:
        """Set the sizes that were open, make the parameters, and print what was inferred.

        The line goes to stderr: what a program prints stays its own.
        """
        found = {name: sizes[name] for name in self._open}
        try:
            self._make_or_wait(**found)
        except UsageError:
            self._make_or_wait(**dict.fromkeys(found))
            raise
        kind = type(self).__name__
        if calls.path and calls.path != kind:  # the path in a network
            for name, parameter in self.named_parameters(recurse=False):
                parameter._name = f"{calls.path}.{name}"
        told = ", ".join(f"{name}={size}" for name, size in found.items())
        got = type_text(input.shape, input.dtype)
        print(f"[{here(kind)}] {told}, inferred from the input {got}", file=sys.stderr)

    @property
    def _has_bias(self) -> bool:
        return self._with_bias if self._open else self.bias is not None
