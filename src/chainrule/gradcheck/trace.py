"""The graph of some outputs with every value kept: what the symbolic column and kinks look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.graph import topological_order
from chainrule.storage import Hold, Recorded, recorder
from chainrule.tensor import Tensor

__all__ = ["Trace"]


class Trace:
    """``nodes`` in the order of recording, each with its ``inputs``, which computed nodes drop."""

    def __init__(self, outputs: Sequence[Tensor]) -> None:
        found: list[Any] = topological_order([y._node for y in outputs])
        self.nodes: list[Recorded] = sorted(found, key=lambda node: node.sequence)
        self.inputs: dict[Any, tuple[Recorded, ...]] = {node: node.inputs for node in found}
        self._held = [Hold(node) for node in self.nodes]
        recorder().compute()

    def value(self, node: Recorded) -> np.ndarray:
        """What a node was computed to be."""
        return node.result()

    def arguments(self, node: Recorded) -> list[np.ndarray]:
        """The values that a node was computed from."""
        return [self.value(source) for source in self.inputs[node]]
