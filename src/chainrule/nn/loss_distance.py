"""Losses of distances between vectors: which shall be near, which far."""

from __future__ import annotations

from typing import Any

from chainrule.nn.calls import inner, public
from chainrule.nn.loss import Loss, reduced, same_shapes
from chainrule.ops.labels import sign_label
from chainrule.tensor import Tensor
from chainrule.tensor.operators import choose

__all__ = [
    "CosineEmbeddingLoss",
    "HingeEmbeddingLoss",
    "TripletMarginLoss",
    "cosine_embedding_loss",
    "cosine_similarity",
    "hinge_embedding_loss",
    "triplet_margin_loss",
]


@public
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """y = Σ ab / (max(‖a‖, ε) max(‖b‖, ε)) along ``dim``      a, b: f[...], broadcast

    >>> import chainrule as cr
    >>> cosine_similarity(cr.tensor([[2.0, 0.0]]), cr.tensor([[4.0, 0.0]]))
    tensor([1.])
    """
    lengths = x1.norm(2, dim, True).clamp(min=eps), x2.norm(2, dim, True).clamp(min=eps)
    return ((x1 / lengths[0]) * (x2 / lengths[1])).sum(dim)


@public
def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """L = x where t = 1, max(0, margin - x) where t = -1      x: f[...] distances"""
    same_shapes(input, target, "hinge_embedding_loss")
    alike = sign_label(target) > 0
    loss = choose(alike, input, (margin - input).relu())
    return reduced(loss, reduction, "hinge_embedding_loss")


@public
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """L = 1 - cos(a, b) where t = 1, max(0, cos(a, b) - margin) where t = -1

    a, b: f[N,D] or f[D], t: [N] or []
    """
    same_shapes(input1, input2, "cosine_embedding_loss")
    tiny = 1e-12  # the cosine of a vector of zeros is 0
    lengths = (input1.square().sum(-1) + tiny) * (input2.square().sum(-1) + tiny)
    cosine = (input1 * input2).sum(-1) / lengths.sqrt()
    same_shapes(cosine, target, "cosine_embedding_loss")
    loss = choose(sign_label(target) > 0, 1 - cosine, (cosine - margin).relu())
    return reduced(loss, reduction, "cosine_embedding_loss")


@public
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """L = max(0, d(anchor, positive) - d(anchor, negative) + margin), d(a, b) = ‖a - b + eps‖ₚ

    All three: f[N,D] or f[D].  ``swap`` takes d(positive, negative) if that is smaller.
    V. Balntas et al., "Learning shallow convolutional feature descriptors with triplet losses",
    2016.
    """
    same_shapes(anchor, positive, "triplet_margin_loss")
    same_shapes(anchor, negative, "triplet_margin_loss")
    far = (anchor - negative + eps).norm(p, -1)
    if swap:
        far = far.minimum((positive - negative + eps).norm(p, -1))
    loss = ((anchor - positive + eps).norm(p, -1) - far + margin).relu()
    return reduced(loss, reduction, "triplet_margin_loss")


# ---------------------------------------------------------------- layers


class HingeEmbeddingLoss(Loss):
    """L = x where t = 1, max(0, margin - x) where t = -1"""

    function = hinge_embedding_loss

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def _settings(self) -> dict[str, Any]:
        return {"reduction": self.reduction, "margin": self.margin}


class CosineEmbeddingLoss(Loss):
    """``cosine_embedding_loss`` of two batches of vectors f[N,D] and targets of -1 or 1"""

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """The function of the same name."""
        return inner(cosine_embedding_loss)(input1, input2, target, self.margin, self.reduction)


class TripletMarginLoss(Loss):
    """L = max(0, d(anchor, positive) - d(anchor, negative) + margin)"""

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The function of the same name."""
        settings = (self.margin, self.p, self.eps, self.swap, self.reduction)
        return inner(triplet_margin_loss)(anchor, positive, negative, *settings)
