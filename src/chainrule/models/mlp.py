"""A multi-layer perceptron of any depth."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from chainrule import nn

__all__ = ["mlp"]


def mlp(sizes: Sequence[int] = (784, 512, 256, 10)) -> nn.Sequential:
    """Linear layers with ReLU between them: x: f32[N,sizes[0]] -> f32[N,sizes[-1]].

    The default has 535,818 parameters.
    """
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
