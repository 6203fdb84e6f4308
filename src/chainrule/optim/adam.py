"""Adam and AdamW: steps scaled by running moments of the gradient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import sqrt
from typing import Any

from chainrule.optim.optimizer import Optimizer, State, not_negative, two_factors
from chainrule.tensor import Tensor

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """θ ← θ - lr m̂ / (√v̂ + eps) with m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g²

    m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ) at step t; g = ∂L/∂θ + weight_decay θ.  ``amsgrad`` uses
    the largest v so far.  D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", 2015.

    >>> import chainrule as cr
    >>> w = cr.tensor([1.0], requires_grad=True)
    >>> optimizer = Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 6)
    0.9
    """

    bounds = {
        "lr": ("a number of 0 or more", not_negative),
        "betas": ("two numbers from 0 to below 1", two_factors),
        "eps": ("a number of 0 or more", not_negative),
        "weight_decay": ("a number of 0 or more", not_negative),
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        no_decay_on_bias: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "no_decay_on_bias": no_decay_on_bias,
            },
        )

    def update(self, p: Tensor, grad: Tensor, state: State, group: Mapping[str, Any]) -> Tensor:
        """p - lr m̂ / (√v̂ + eps)"""
        if group["weight_decay"]:
            grad = grad + p * group["weight_decay"]
        return p - self.way(grad, state, group)

    def way(self, grad: Tensor, state: State, group: Mapping[str, Any]) -> Tensor:
        """lr m̂ / (√v̂ + eps), with m and v brought up to date"""
        first, second = group["betas"]
        t = state["step"] = state.get("step", 0) + 1
        squares = grad.square() * (1 - second)
        m, v = state.get("exp_avg"), state.get("exp_avg_sq")
        m = grad * (1 - first) if m is None else m * first + grad * (1 - first)
        v = squares if v is None else v * second + squares
        self.keep(state, "exp_avg", m)
        self.keep(state, "exp_avg_sq", v)
        if group["amsgrad"]:
            largest = state.get("max_exp_avg_sq")
            v = v if largest is None else Tensor._of(largest._node).maximum(v)
            self.keep(state, "max_exp_avg_sq", v)
        scale = v.sqrt() * (1 / sqrt(1 - second**t)) + group["eps"]
        return m / scale * (group["lr"] / (1 - first**t))


class AdamW(Adam):
    """Adam whose weight decay does not pass through the moments: θ ← (1 - lr weight_decay) θ first

    I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", 2019.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        no_decay_on_bias: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            no_decay_on_bias=no_decay_on_bias,
        )

    def update(self, p: Tensor, grad: Tensor, state: State, group: Mapping[str, Any]) -> Tensor:
        """(1 - lr weight_decay) p - lr m̂ / (√v̂ + eps)"""
        if group["weight_decay"]:
            p = p * (1 - group["lr"] * group["weight_decay"])
        return p - self.way(grad, state, group)
