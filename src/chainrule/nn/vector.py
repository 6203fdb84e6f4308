"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from chainrule.creation import cat
from chainrule.errors import ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.recording import no_grad
from chainrule.tensor import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The numbers of all parameters, one after the other: f[total]

    >>> import chainrule as cr
    >>> parameters_to_vector(cr.nn.Linear(3, 2).parameters()).shape
    (8,)
    """
    parts = [p.reshape(-1) for p in parameters]
    if not parts:
        raise UsageError(message("parameters_to_vector", "no parameters", "at least one"))
    return cat(parts)


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the numbers of ``vec`` into the parameters, in their order."""
    several = list(parameters)
    total = sum(p.numel() for p in several)
    if vec.shape != (total,):
        got = type_text(vec.shape, vec.dtype)
        raise ShapeError(message("vector_to_parameters", got, f"{total} numbers in one axis"))
    start = 0
    with no_grad():
        for p in several:
            p.copy_(vec.detach().narrow(0, start, p.numel()).reshape(p.shape))
            start += p.numel()
