"""Steps along the running mean of the gradient, scaled by its running square: Adam, AdamW, LAMB."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chainrule.optim.optimizer import NOT_NEGATIVE, TWO_FACTORS, Optimizer, State
from chainrule.tensor import Tensor
from chainrule.tensor.operators import choose

__all__ = ["LAMB", "Adam", "AdamW"]


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
        "lr": NOT_NEGATIVE,
        "betas": TWO_FACTORS,
        "eps": NOT_NEGATIVE,
        "weight_decay": NOT_NEGATIVE,
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
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "no_decay_on_bias": no_decay_on_bias,
        }
        super().__init__(params, defaults)

    def update(self, p: Tensor, grad: Tensor, state: State, group: Mapping[str, Any]) -> Tensor:
        """θ - lr m̂ / (√v̂ + eps)"""
        return p - self.way(grad, state, group, group["lr"])

    def way(self, grad: Tensor, state: State, group: Mapping[str, Any], rate: float) -> Tensor:
        """rate m̂ / (√v̂ + eps), with m and v brought up to date"""
        first, second = group["betas"]
        t = self.count(state)
        m = self.average(state, "exp_avg", grad, first)
        v = self.average(state, "exp_avg_sq", grad.square(), second)
        if group["amsgrad"]:
            largest = state.get("max_exp_avg_sq")
            v = self.keep(state, "max_exp_avg_sq", v if largest is None else largest.maximum(v))
        scale = v.sqrt() * (1 - second**t) ** -0.5 + group["eps"]
        return m / scale * (rate / (1 - first**t))


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
        **options: bool,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **options)

    def decayed(self, p: Tensor, grad: Tensor, group: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """(1 - lr weight_decay) θ, g"""
        return p * (1 - group["lr"] * group["weight_decay"]), grad


class LAMB(Adam):
    """Adam whose step has the length of the parameter: for large batches

    With m̂ and v̂ of Adam, for each parameter (a layer's weight or bias):
    r = m̂ / (√v̂ + eps) + weight_decay θ,  θ ← θ - lr (‖θ‖ / ‖r‖) r
    The trust ratio ‖θ‖ / ‖r‖ is 1 where one of the norms is 0.
    Y. You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", 2020,
    algorithm 2 with φ(z) = z.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 1e-2,
        **options: bool,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, **options)

    def decayed(self, p: Tensor, grad: Tensor, group: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """θ, g: the decay is a part of r"""
        return p, grad

    def update(self, p: Tensor, grad: Tensor, state: State, group: Mapping[str, Any]) -> Tensor:
        """θ - lr (‖θ‖ / ‖r‖) r"""
        r = self.way(grad, state, group, 1.0) + p * group["weight_decay"]
        length, size = r.norm(), p.norm()
        nothing = (length * size).eq(0)
        ratio = choose(nothing, 1.0, size / choose(nothing, 1.0, length))
        return p - r * (ratio * group["lr"])
