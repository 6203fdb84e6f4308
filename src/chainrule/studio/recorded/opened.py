"""A step that was read, or run again: its record, its tape, and what answers are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.graph import Node
from chainrule.inspect.element import Elements
from chainrule.inspect.element.step import Step
from chainrule.inspect.update import Update
from chainrule.studio.recorded.layers import Layer, find_layers, node_name, parameters_of
from chainrule.studio.recorded.tree import ModuleTree, tree
from chainrule.tape import Tape
from chainrule.train.fused import fused_nodes
from chainrule.train.records import Records

__all__ = ["Opened"]


@dataclass
class Opened:
    """A step.  ``edit`` says what was changed in it and ``before`` what it was, if it was."""

    kept: dict[str, Any]
    tape: Tape
    edit: dict[str, Any] | None = None
    before: Opened | None = None
    updates: dict[int, Update] = field(default_factory=dict)  # those that were asked for
    fused: dict[int, list[str]] = field(default_factory=dict)  # see train/fused.py

    @cached_property
    def elements(self) -> Elements:
        """How each number was computed."""
        return Elements(self.tape, self.kept["batch"] or None)

    @property
    def held(self) -> Step:
        """The step by numbers."""
        return self.elements.step

    @cached_property
    def layers(self) -> list[Layer]:
        """The model's data and calls."""
        return find_layers(self.held, self.kept["calls"], self.kept["losses"])

    @cached_property
    def modules(self) -> ModuleTree:
        """Its nodes as a tree of calls."""
        samples = self.held.samples or None
        return tree(self.nodes, self.kept["calls"], self.kept["losses"], samples)

    @cached_property
    def parameters(self) -> dict[int, list[int]]:
        """By a layer's node the parameters that it was computed with."""
        return parameters_of(self.held, self.layers)

    @property
    def nodes(self) -> list[Node]:
        """Its nodes, by their numbers."""
        return self.tape._step.order

    @cached_property
    def names(self) -> list[str]:
        """Each node in words; data that the model reads are called inputs."""
        inputs = {n: name for n, name in self.layers if not self.nodes[n].inputs}
        return [inputs.get(k) or node_name(node) for k, node in enumerate(self.nodes)]

    def find_fused(self, records: Records, kind: str) -> dict[int, list[str]]:
        """``fused``, once a training step's record knows it; the probe runs node by node."""
        if kind == "batch" and not self.fused:
            self.fused = fused_nodes(records.note("fused"), self.nodes)
        return self.fused

    def called(self, number: int) -> str:
        """A node as a page calls it: its layer, else its name."""
        return dict(self.layers).get(number) or self.names[number]

    def array(self, number: int, what: str) -> np.ndarray | None:
        """A node's value or error signal ("bar"); None where there is none."""
        node, held = self.nodes[number], self.tape._step
        if what == "value":
            return held.holds[node].node.result() if node in held.holds else None
        return held.bars[node].numpy() if node in held.bars else None
