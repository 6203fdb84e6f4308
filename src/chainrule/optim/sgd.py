"""Stochastic gradient descent, with momentum if wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chainrule.errors import UsageError, message
from chainrule.optim.optimizer import NOT_NEGATIVE, Optimizer, State
from chainrule.tensor import Tensor

__all__ = ["SGD"]


class SGD(Optimizer):
    """θ ← θ - lr v with v ← momentum v + (1 - dampening) g, g = ∂L/∂θ + weight_decay θ

    The first v is g; without momentum v = g always.  ``nesterov`` goes along g + momentum v.
    B. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964;
    I. Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013.

    >>> import chainrule as cr
    >>> w = cr.tensor([1.0], requires_grad=True)
    >>> optimizer = SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.8], requires_grad=True)
    """

    bounds = {"lr": NOT_NEGATIVE, "momentum": NOT_NEGATIVE, "weight_decay": NOT_NEGATIVE}

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
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "no_decay_on_bias": no_decay_on_bias,
        }
        super().__init__(params, defaults)

    def _check(self, group: Mapping[str, Any]) -> None:
        super()._check(group)
        momentum, dampening = group["momentum"], group["dampening"]
        if group["nesterov"] and (momentum <= 0 or dampening != 0):
            got = f"nesterov with momentum={momentum}, dampening={dampening}"
            raise UsageError(message("SGD", got, "a momentum and no dampening"))

    def update(self, p: Tensor, grad: Tensor, state: State, group: Mapping[str, Any]) -> Tensor:
        """θ - lr v"""
        momentum = group["momentum"]
        if momentum:
            held = state.get("momentum_buffer")
            v = grad if held is None else held * momentum + grad * (1 - group["dampening"])
            self.keep(state, "momentum_buffer", v)
            grad = grad + v * momentum if group["nesterov"] else v
        return p - grad * group["lr"]
