"""A loss with every value and every error signal of its graph, none of them a later number's."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from chainrule.backprop import ErrorSignals, error_signals
from chainrule.errors import GradientError, message
from chainrule.graph import topological_order
from chainrule.ops import leaf
from chainrule.recording import enable_grad
from chainrule.storage import Hold, Recorded, recorder
from chainrule.tensor import Tensor

__all__ = ["RecordedLoss", "inputs_of"]


def inputs_of(loss: Recorded) -> dict[Any, tuple[Any, ...]]:
    """The nodes that lead to a loss, in the order of recording, each with its inputs."""
    return {node: node.inputs for node in sorted(topological_order([loss]), key=_recorded)}


class RecordedLoss:
    """``order`` has the forward nodes, ``inputs`` and ``readers`` who reads whom.

    verb: what somebody does with it, for messages.  graph: ``inputs_of(loss)``, taken before
    anything was computed, for a loss that is recorded more than once: computed nodes drop their
    inputs.  Only a single number has error signals.
    """

    def __init__(
        self,
        loss: Recorded,
        verb: str = "explain",
        graph: Mapping[Any, tuple[Any, ...]] | None = None,
    ) -> None:
        self.loss, self.verb = loss, verb
        self.inputs: dict[Any, tuple[Any, ...]] = dict(graph or inputs_of(loss))
        self.order: list[Any] = list(self.inputs)
        self._held = [Hold(node) for node in self.order]
        self.signals = self._signals()
        recorder().compute()
        self.readers: dict[Any, list[Any]] = {node: [] for node in self.order}
        for node in self.order:
            for source in self.inputs[node]:
                self.readers[source].append(node)
        self.values: dict[Any, np.ndarray] = {}

    def release(self) -> None:
        """Everything has been read: the values may go."""
        self._held.clear()

    def _signals(self) -> ErrorSignals:
        if not self.loss.needs_grad or prod(self.loss.shape) != 1:
            return ErrorSignals()
        with enable_grad():
            seed = recorder().leaf(leaf.number, np.ones((), self.loss.dtype.numpy), self.loss.dtype)
            from_loss = Tensor._of(seed)
            if self.loss.shape:
                from_loss = from_loss.expand(self.loss.shape)
        signals = self._sent_back({self.loss: from_loss})
        addends = [addend._node for some in signals.addends.values() for addend in some]
        for node in topological_order(addends):
            self.inputs.setdefault(node, node.inputs)
            if not node.inputs:
                self._held.append(Hold(node))  # type: ignore[arg-type]
        return signals

    def _sent_back(self, seeds: dict[Recorded, Tensor], *, quiet: bool = True) -> ErrorSignals:
        """The backward pass; quiet: no hook of a tensor is called."""
        return error_signals(seeds, retain_graph=True, quiet=quiet)

    def value(self, node: Any) -> np.ndarray:
        """A node's value; one that was freed meanwhile is computed again, only to be shown."""
        if node not in self.values:
            if node.value is None and not self.inputs[node]:
                got = f"a graph whose {node.op.name} {node.type} was let go once it was computed"
                verb = self.verb.capitalize()
                remedy = f"{verb} the loss before it is read, or keep that tensor in a variable"
                raise GradientError(message(self.verb, got, line=node.where, remedy=remedy))
            if node.value is None:
                parts = [np.ascontiguousarray(self.value(part)) for part in self.inputs[node]]
                parts = [
                    part.reshape(source.shape)
                    for part, source in zip(parts, self.inputs[node], strict=True)
                ]
                with np.errstate(all="ignore"):
                    self.values[node] = np.asarray(node.op.reference(*parts, **node.meta))
            else:
                self.values[node] = node.result()
        return self.values[node]

    def bar(self, node: Any) -> np.ndarray | None:
        """A node's error signal; None where it has none."""
        total = self.signals.total.get(node)
        return None if total is None else total._value()


def _recorded(node: Any) -> int:
    return node.sequence
