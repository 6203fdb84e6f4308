"""The logistic unit: one neuron with a sigmoid, the smallest thing that learns."""

from __future__ import annotations

from chainrule import nn
from chainrule.tensor import Tensor

__all__ = ["Logistic", "logistic"]


class Logistic(nn.Module):
    """x: f32[N,D] -> y: f32[N,1],  y = σ(w·x + b); D + 1 parameters."""

    def __init__(self, in_features: int = 1) -> None:
        super().__init__()
        self.input_shape = (in_features,)
        self.fc = nn.Linear(in_features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x: f32[N,D] -> y: f32[N,1], each between 0 and 1"""
        return self.fc(x).sigmoid()


def logistic(in_features: int = 1) -> Logistic:
    """A logistic unit with fresh weights."""
    return Logistic(in_features)
