"""Losses of distances: figures by hand, and what they refuse."""

from __future__ import annotations

import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import ShapeError, UsageError


def test_cosine():
    a, b = cr.tensor([[1.0, 0.0], [3.0, 4.0]]), cr.tensor([[0.0, 2.0], [6.0, 8.0]])
    alike, unlike = cr.tensor([1, 1]), cr.tensor([-1, -1])
    assert F.cosine_embedding_loss(a, b, alike, reduction="none").tolist() == pytest.approx([1, 0])
    far = nn.CosineEmbeddingLoss(margin=0.25, reduction="none")(a, b, unlike)
    assert far.tolist() == pytest.approx([0, 0.75])
    with pytest.raises(UsageError, match="got 0 at index"):
        F.cosine_embedding_loss(a, b, cr.tensor([1, 0])).item()
    with pytest.raises(ShapeError, match=r"against target i64\[1\]"):
        F.cosine_embedding_loss(a, b, cr.tensor([1]))


def test_the_cosine_of_zeros_has_a_gradient():
    a = cr.zeros(1, 2).requires_grad_()
    F.cosine_embedding_loss(a, cr.ones(1, 2), cr.tensor([1])).backward()
    assert all(abs(g) < 1e7 for g in a.grad[0].tolist())


def test_triplet():
    anchor, near, far = cr.zeros(1, 2), cr.tensor([[3.0, 4.0]]), cr.tensor([[0.0, 5.5]])
    loss = F.triplet_margin_loss(anchor, near, far, eps=0.0)
    assert loss.item() == pytest.approx(5 - 5.5 + 1)
    swapped = nn.TripletMarginLoss(swap=True, eps=0.0)(anchor, near, far)
    assert swapped.item() == pytest.approx(5 - 11.25**0.5 + 1)
    with pytest.raises(ShapeError, match="against target"):
        F.triplet_margin_loss(anchor, near, cr.zeros(2))


def test_hinge_embedding():
    x, t = cr.tensor([0.2, 0.2, 3.0]), cr.tensor([1, -1, -1])
    assert nn.HingeEmbeddingLoss(reduction="none")(x, t).tolist() == pytest.approx([0.2, 0.8, 0])
