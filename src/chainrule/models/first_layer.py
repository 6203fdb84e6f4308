"""One layer under three constraints: dense, locally connected, shared; to be compared."""

from __future__ import annotations

from chainrule import nn
from chainrule.errors import UsageError, message
from chainrule.tensor import Tensor

__all__ = ["KINDS", "FirstLayer", "first_layer"]

KINDS = ("dense", "local", "shared")


class FirstLayer(nn.Module):
    """x: f32[N,1,8,8] -> logits: f32[N,10]: a layer of 4·6·6 units, ReLU, a linear map

    Each unit reads: "dense" all 64 pixels, 9,360 parameters; "local" 3×3 of them by weights of its
    own, 1,440; "shared" 3×3 by the weights of its map, 40.  The linear map has 1,450.
    """

    input_shape = (1, 8, 8)

    def __init__(self, kind: str = "local") -> None:
        super().__init__()
        if kind not in KINDS:
            needs = "one of " + ", ".join(map(repr, KINDS))
            raise UsageError(message("first_layer", f"kind={kind!r}", needs))
        self.kind = kind
        if kind == "dense":
            self.first: nn.Module = nn.Linear(64, 4 * 6 * 6)
        elif kind == "local":
            self.first = nn.LocallyConnected2d(1, 4, 8, 3)
        else:
            self.first = nn.Conv2d(1, 4, 3)
        self.fc = nn.Linear(4 * 6 * 6, 10)

    def forward(self, x: Tensor) -> Tensor:
        """x: f32[N,1,8,8] -> logits: f32[N,10]"""
        x = x.flatten(1) if self.kind == "dense" else x
        return self.fc(self.first(x).relu().flatten(1))


def first_layer(kind: str = "local") -> FirstLayer:
    """The network with fresh weights: "dense", "local" or "shared"."""
    return FirstLayer(kind)
