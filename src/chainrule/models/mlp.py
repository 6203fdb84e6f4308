"""A multi-layer perceptron of any depth."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from chainrule import nn
from chainrule.errors import UsageError, message
from chainrule.tensor import Tensor

__all__ = ["MLP", "mlp"]


class MLP(nn.Sequential):
    """Linear layers with ReLU between them: x: f32[N,sizes[0]] -> f32[N,sizes[-1]]

    Pictures f32[N,C,H,W] with C·H·W = sizes[0] are read row by row.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        if len(sizes) < 2:
            raise UsageError(message("mlp", f"sizes={tuple(sizes)}", "at least two"))
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(sizes):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        super().__init__(*layers[:-1])
        self.input_shape = (sizes[0],)

    def forward(self, input: Tensor) -> Tensor:
        """x: f32[N,sizes[0]] or pictures of as many pixels -> f32[N,sizes[-1]]"""
        return super().forward(input.flatten(1))


def mlp(sizes: Sequence[int] = (784, 512, 256, 10)) -> MLP:
    """A perceptron with fresh weights; the default has 535,818 parameters."""
    return MLP(sizes)
