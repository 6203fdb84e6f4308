"""Inpainting: a network that completes pictures of which a part is missing."""

from __future__ import annotations

from math import prod

from chainrule import nn
from chainrule.tensor import Tensor

__all__ = ["InpaintMLP", "inpaint_mlp"]


class InpaintMLP(nn.Module):
    """x: f32[N,1,28,28] -> y: f32[N,1,28,28],  y = W₂ relu(W₁x), θ = {W₁, W₂}

    W₁ is f32[H,784] and W₂ f32[784,H]: 2·784·H parameters, 802,816 with H = 512.  There is no bias,
    so an empty picture stays empty.
    """

    def __init__(self, hidden: int = 512, input_shape: tuple[int, ...] = (1, 28, 28)) -> None:
        super().__init__()
        self.input_shape = tuple(input_shape)
        self.W1 = nn.Linear(prod(self.input_shape), hidden, bias=False)
        self.W2 = nn.Linear(hidden, prod(self.input_shape), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: f32[N,*input_shape], a picture with a hole -> y: the same shape, the whole picture"""
        return self.W2(self.W1(x.flatten(1)).relu()).reshape(x.shape)


def inpaint_mlp(hidden: int = 512, input_shape: tuple[int, ...] = (1, 28, 28)) -> InpaintMLP:
    """The inpainting perceptron with fresh weights."""
    return InpaintMLP(hidden, input_shape)
