"""Stochastic gradient descent, with momentum if wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chainrule.errors import UsageError, message
from chainrule.optim.optimizer import Optimizer, State, not_negative
from chainrule.tensor import Tensor

__all__ = ["SGD"]


class SGD(Optimizer):
    """θ ← θ - lr v with v ← momentum v + (1 - dampening) g, g = ∂L/∂θ + weight_decay θ

    The first v is g.  ``nesterov`` uses g + momentum v; without momentum v = g.
    ``no_decay_on_bias`` leaves parameters of one axis undecayed.

    >>> import chainrule as cr
    >>> w = cr.tensor([1.0], requires_grad=True)
    >>> optimizer = SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.8], requires_grad=True)
    """

    bounds = {
        "lr": ("a number of 0 or more", not_negative),
        "momentum": ("a number of 0 or more", not_negative),
        "weight_decay": ("a number of 0 or more", not_negative),
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        no_decay_on_bias: bool = False,
    ) -> None:
        if nesterov and (momentum <= 0 or dampening != 0):
            got = f"nesterov with momentum={momentum}, dampening={dampening}"
            raise UsageError(message("SGD", got, "a momentum and no dampening"))
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "no_decay_on_bias": no_decay_on_bias,
            },
        )

    def update(self, p: Tensor, grad: Tensor, state: State, group: Mapping[str, Any]) -> Tensor:
        """p - lr v"""
        momentum = group["momentum"]
        if group["weight_decay"]:
            grad = grad + p * group["weight_decay"]
        if momentum:
            v = state.get("momentum_buffer")
            v = grad if v is None else v * momentum + grad * (1 - group["dampening"])
            self.keep(state, "momentum_buffer", v)
            grad = grad + v * momentum if group["nesterov"] else v
        return p - grad * group["lr"]
