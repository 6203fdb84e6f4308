"""A small convolutional network that finds one thing in a picture."""

from __future__ import annotations

from chainrule import nn
from chainrule.tensor import Tensor

__all__ = ["Finder", "finder"]


class Finder(nn.Module):
    """x: f32[N,1,H,W] -> logits: f32[N,H·W], one for each place; 3,825 parameters

    Three convolutions 5×5 that keep the size: 1→8→16→1, ReLU between them.
    """

    input_shape = (1, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 5, padding=2)
        self.conv2 = nn.Conv2d(8, 16, 5, padding=2)
        self.conv3 = nn.Conv2d(16, 1, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        """x: f32[N,1,H,W] -> logits: f32[N,H·W], places in row-major order"""
        x = self.conv2(self.conv1(x).relu()).relu()
        return self.conv3(x).flatten(1)


def finder() -> Finder:
    """The finder with fresh weights."""
    return Finder()
