"""Losses of numbers: half, mean, absolute and Huber's; and what all losses share.

A loss is a function of an input and a target, and a layer with its settings.  By ``reduction`` it
gives the mean (over all elements, or over samples where it says so), the sum, or "none" of them.
"""

from __future__ import annotations

from typing import Any

from chainrule.errors import ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.nn.calls import here, inner, public, shape_of
from chainrule.nn.module import Module
from chainrule.tensor import Tensor
from chainrule.tensor.operators import choose

__all__ = [
    "HalfMSELoss",
    "HuberLoss",
    "L1Loss",
    "Loss",
    "MSELoss",
    "SmoothL1Loss",
    "WeightedLoss",
    "check_reduction",
    "half_mse_loss",
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "reduced",
    "same_shapes",
    "smooth_l1_loss",
    "type_of",
]


def reduced(loss: Tensor, reduction: str, where: str) -> Tensor:
    """The mean or the sum of all losses, or the losses as they are."""
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    check_reduction(reduction, where)
    return loss


def check_reduction(reduction: str, where: str, *more: str) -> None:
    """Raise for a reduction that a loss does not have."""
    known = ("mean", "sum", "none", *more)
    if reduction not in known:
        needs = "one of " + ", ".join(known)
        raise UsageError(message(here(where), f"reduction={reduction!r}", needs))


def type_of(x: Tensor) -> str:
    """f32[4,1], as errors write a type."""
    return type_text(x.shape, x.dtype)


def same_shapes(x: Tensor, target: Tensor, where: str) -> None:
    """Raise unless input and target have one shape: they are never broadcast."""
    if x.shape == target.shape:
        return
    remedy = ""
    if x.numel() == target.numel():
        longer = "input" if x.ndim > target.ndim else "target"
        remedy = f"{longer}.reshape({shape_of((target if longer == 'input' else x).shape)})"
    raise ShapeError(
        message(
            here(where),
            f"input {type_of(x)} against target {type_of(target)}",
            "equal shapes",
            why="Broadcasting would compare each number with every other",
            remedy=remedy,
        )
    )


class Loss(Module):
    """Base of the layers: ``function`` with the settings of the constructor."""

    function: Any = None

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The function of the same name."""
        return inner(type(self).function)(input, target, **self._settings())

    def _settings(self) -> dict[str, Any]:
        return {"reduction": self.reduction}


class WeightedLoss(Loss):
    """A loss with weights, a buffer as in PyTorch."""

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)

    def _settings(self) -> dict[str, Any]:
        return {"reduction": self.reduction, "weight": self.weight}


# ---------------------------------------------------------------- functions


@public
def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """L = (x - t)²      x, t: f[...] of one shape

    >>> import chainrule as cr
    >>> mse_loss(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 4.0])).item()
    2.0
    """
    same_shapes(input, target, "mse_loss")
    return reduced((input - target).square(), reduction, "mse_loss")


@public
def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """L = |x - t|      x, t: f[...] of one shape"""
    same_shapes(input, target, "l1_loss")
    return reduced((input - target).abs(), reduction, "l1_loss")


@public
def smooth_l1_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """L = (x - t)² / 2 beta where |x - t| < beta, else |x - t| - beta / 2"""
    same_shapes(input, target, "smooth_l1_loss")
    if beta < 0:
        raise UsageError(message(here("smooth_l1_loss"), f"beta={beta}", "0 or more"))
    away = (input - target).abs()
    if beta == 0:
        return reduced(away, reduction, "smooth_l1_loss")
    loss = choose(away < beta, away.square() * (0.5 / beta), away - 0.5 * beta)
    return reduced(loss, reduction, "smooth_l1_loss")


@public
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0
) -> Tensor:
    """L = (x - t)² / 2 where |x - t| < delta, else delta (|x - t| - delta / 2)"""
    same_shapes(input, target, "huber_loss")
    if delta <= 0:
        raise UsageError(message(here("huber_loss"), f"delta={delta}", "a number above 0"))
    away = (input - target).abs()
    loss = choose(away < delta, away.square() * 0.5, (away - 0.5 * delta) * delta)
    return reduced(loss, reduction, "huber_loss")


@public
def half_mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """L = ½ ‖x - t‖² of each sample: x̄ = x - t      x, t: f[N,...], or one sample f[K] or f[]

    The lectures' form.  It is the sum over a sample's outputs, where ``mse_loss`` has their mean;
    so for one sample of K outputs the gradient is K / 2 times that of ``mse_loss``.  Without the ½
    gradients are exactly twice as large.  "mean" is over the samples.

    >>> import chainrule as cr
    >>> half_mse_loss(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 4.0])).item()
    2.0
    """
    same_shapes(input, target, "half_mse_loss")
    squares = (input - target).square()
    if input.ndim > 1:
        squares = squares.flatten(1).sum(1)
    elif input.ndim == 1:
        squares = squares.sum()
    return reduced(squares * 0.5, reduction, "half_mse_loss")


# ---------------------------------------------------------------- layers


class MSELoss(Loss):
    """L = (x - t)²"""

    function = mse_loss


class L1Loss(Loss):
    """L = |x - t|"""

    function = l1_loss


class SmoothL1Loss(Loss):
    """L = (x - t)² / 2 beta where |x - t| < beta, else |x - t| - beta / 2"""

    function = smooth_l1_loss

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def _settings(self) -> dict[str, Any]:
        return {"reduction": self.reduction, "beta": self.beta}


class HuberLoss(Loss):
    """L = (x - t)² / 2 where |x - t| < delta, else delta (|x - t| - delta / 2)"""

    function = huber_loss

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def _settings(self) -> dict[str, Any]:
        return {"reduction": self.reduction, "delta": self.delta}


class HalfMSELoss(Loss):
    """L = ½ ‖x - t‖² of each sample, the sum over its outputs: ``half_mse_loss``"""

    function = half_mse_loss
