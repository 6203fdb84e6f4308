"""The XOR network: the smallest problem that needs a hidden layer."""

from __future__ import annotations

from chainrule import nn
from chainrule.tensor import Tensor

__all__ = ["XOR", "xor"]


class XOR(nn.Module):
    """x: f32[N,2] -> y: f32[N,1],  y = W₂ tanh(W₁x + b₁) + b₂

    With 2 hidden units it has 9 parameters and some starts lead nowhere; with 8 it learns from
    nearly any start.  ``chainrule train xor-2-2-1`` counts both.
    """

    input_shape = (2,)

    def __init__(self, hidden: int = 2) -> None:
        super().__init__()
        self.fc1 = nn.Linear(2, hidden)
        self.tanh = nn.Tanh()
        self.fc2 = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x: f32[N,2] -> f32[N,1]"""
        return self.fc2(self.tanh(self.fc1(x)))


def xor(hidden: int = 2) -> XOR:
    """The XOR network with fresh weights; ``hidden=2`` is the textbook's 2-2-1."""
    return XOR(hidden)
