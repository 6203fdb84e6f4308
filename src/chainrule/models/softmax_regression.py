"""Softmax regression: one linear map, whose rows are a template for each class."""

from __future__ import annotations

from math import prod

from chainrule import nn
from chainrule.tensor import Tensor

__all__ = ["SoftmaxRegression", "softmax_regression"]


class SoftmaxRegression(nn.Module):
    """x: f32[N,1,28,28] -> logits: f32[N,10],  logits = Wx + b

    For 28×28 pictures W is f32[10,784] and there are 7,850 parameters.  The loss holds the softmax,
    so that it stays stable; ``templates`` shows the rows of W as pictures.
    """

    def __init__(self, num_classes: int = 10, input_shape: tuple[int, ...] = (1, 28, 28)) -> None:
        super().__init__()
        self.input_shape = tuple(input_shape)
        self.fc = nn.Linear(prod(self.input_shape), num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """x: f32[N,*input_shape] -> logits: f32[N,num_classes]"""
        return self.fc(x.flatten(1))

    def templates(self) -> Tensor:
        """The rows of W: f32[num_classes,*input_shape]; the score is the product with one."""
        return self.fc.weight.detach().reshape(-1, *self.input_shape)


def softmax_regression(
    num_classes: int = 10, input_shape: tuple[int, ...] = (1, 28, 28)
) -> SoftmaxRegression:
    """Softmax regression with fresh weights."""
    return SoftmaxRegression(num_classes, input_shape)
