"""Losses of yes or no: targets 0 … 1 for probabilities and logits, -1 or 1 for margins."""

from __future__ import annotations

from typing import Any

from chainrule.nn.activation import minus_log_sigmoid
from chainrule.nn.calls import public
from chainrule.nn.loss import Loss, WeightedLoss, reduced, same_shapes
from chainrule.ops.labels import probability, sign_label
from chainrule.tensor import Tensor
from chainrule.tensor.operators import choose

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "HingeLoss",
    "SoftMarginLoss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "hinge_loss",
    "soft_margin_loss",
]

# ---------------------------------------------------------------- 0 or 1


@public
def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """L = -(t ln p + (1 - t) ln(1 - p))      p, t: f[...] probabilities; ln is never below -100

    p̄ = (p - t) / max(p (1 - p), 1e-12), which stays finite where a sigmoid is saturated.
    """
    same_shapes(input, target, "binary_cross_entropy")
    input, target = probability(input, role="input"), probability(target, role="target")
    saturated = input * (1 - input) < 1e-12
    inside = choose(saturated, 0.5, input)  # ln has no slope at 0 that could be multiplied by 0
    edge = input.detach()
    steep = (input - edge) * ((edge - target.detach()) * 1e12)
    loss = choose(saturated, _binary_entropy(edge, target) + steep, _binary_entropy(inside, target))
    if weight is not None:
        loss = loss * weight
    return reduced(loss, reduction, "binary_cross_entropy")


def _binary_entropy(p: Tensor, target: Tensor) -> Tensor:
    yes, no = p.log().clamp(min=-100.0), (-p).log1p().clamp(min=-100.0)
    return -(target * yes + (1 - target) * no)


@public
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """L = max(x, 0) - x t + ln(1 + e^(-|x|))      x: f[...] logits, t: f[...] from 0 to 1

    Stable for any x; its error signal is σ(x) - t.
    """
    same_shapes(input, target, "binary_cross_entropy_with_logits")
    target = probability(target, role="target")
    tail = minus_log_sigmoid(input)
    if pos_weight is None:
        loss = (1 - target) * input + tail
    else:
        loss = (1 - target) * input + (1 + (pos_weight - 1) * target) * tail
    if weight is not None:
        loss = loss * weight
    return reduced(loss, reduction, "binary_cross_entropy_with_logits")


# ---------------------------------------------------------------- -1 or 1


@public
def hinge_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """L = max(0, 1 - t x)      x̄ = -t where t x < 1, else 0      x: f[...] scores, t: [...] -1 or 1

    >>> import chainrule as cr
    >>> hinge_loss(cr.tensor([0.5, 0.5]), cr.tensor([1.0, -1.0]), reduction="none")
    tensor([0.5, 1.5])
    """
    same_shapes(input, target, "hinge_loss")
    return reduced((1 - _signs(input, target) * input).relu(), reduction, "hinge_loss")


@public
def soft_margin_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """L = ln(1 + e^(-t x)), the logistic loss      x̄ = -t σ(-t x)      t: [...] -1 or 1

    It equals ``binary_cross_entropy_with_logits`` of the targets (t + 1) / 2.
    """
    same_shapes(input, target, "soft_margin_loss")
    loss = minus_log_sigmoid(_signs(input, target) * input)
    return reduced(loss, reduction, "soft_margin_loss")


def _signs(x: Tensor, target: Tensor) -> Tensor:
    return sign_label(target.to(x.dtype))


# ---------------------------------------------------------------- layers


class BCELoss(WeightedLoss):
    """``binary_cross_entropy`` of probabilities f[...] and targets f[...]"""

    function = binary_cross_entropy


class BCEWithLogitsLoss(WeightedLoss):
    """``binary_cross_entropy_with_logits`` of logits f[...] and targets f[...]"""

    function = binary_cross_entropy_with_logits

    def __init__(
        self,
        weight: Tensor | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(weight, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"pos_weight": self.pos_weight}


class HingeLoss(Loss):
    """L = max(0, 1 - t x) of scores f[...] and targets of -1 or 1"""

    function = hinge_loss


class SoftMarginLoss(Loss):
    """L = ln(1 + e^(-t x)) of scores f[...] and targets of -1 or 1: the logistic loss"""

    function = soft_margin_loss
