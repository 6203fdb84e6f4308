"""Gradients kept small: clipped by their norm together, or each number by itself."""

from __future__ import annotations

from collections.abc import Iterable

from chainrule.creation import stack, tensor
from chainrule.errors import UsageError, message
from chainrule.recording import no_grad
from chainrule.tensor import Tensor

__all__ = ["clip_grad_norm_", "clip_grad_value_", "get_total_norm"]


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    several = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p._grad for p in several if p._grad is not None]


@no_grad()
def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """The norm of all numbers of several tensors together: f[]

    With ``error_if_nonfinite`` raises ``UsageError`` for NaN and infinity, which computes them.
    """
    norms = [x.norm(norm_type) for x in ([tensors] if isinstance(tensors, Tensor) else tensors)]
    if not norms:
        return tensor(0.0)
    total = stack(norms).norm(norm_type)
    if error_if_nonfinite and not total.isfinite():
        got = f"gradients with norm {total.item()}"
        remedy = "cr.detect_anomaly() finds where it began"
        raise UsageError(message("clip_grad_norm_", got, "finite ones", remedy=remedy))
    return total


@no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Shorten the gradients together to the norm ``max_norm`` at most; return the norm they had.

    ``foreach`` is PyTorch's and changes nothing.

    >>> import chainrule as cr
    >>> w = cr.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> clip_grad_norm_(w, 5.0), w.grad.norm().round()
    (tensor(10.), tensor(5.))
    """
    gradients = _gradients(parameters)
    total = get_total_norm(gradients, norm_type, error_if_nonfinite)
    scale = (max_norm / (total + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale.to(gradient.dtype))
    return total


@no_grad()
def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Cut every number of the gradients to [-clip_value, clip_value]."""
    for gradient in _gradients(parameters):
        gradient.clamp_(-float(clip_value), float(clip_value))
