"""A node of the running program and who holds its value: handles, storages, histories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ref

import numpy as np

from chainrule.dtypes import DType
from chainrule.errors import FailedError, GraphError
from chainrule.graph import Line, Node, Shape
from chainrule.lines import user_line
from chainrule.ops.op import Op

if TYPE_CHECKING:
    from chainrule.storage.pending import Recorder

__all__ = ["COMPUTED", "FAILED", "PENDING", "Hold", "Leaf", "Recorded", "Storage", "in_order"]

PENDING, COMPUTED, FAILED = range(3)

in_order = count()  # of all threads together: inputs come before their readers


class Leaf(NamedTuple):
    """Whose gradient ends here: the handle (weakly), and its storage's state when it was read."""

    handle: ref
    storage: ref
    version: int

    def moved(self) -> bool:
        """Whether the handle has been written to, or given another storage, since."""
        handle = self.handle()
        if handle is None:
            return False
        storage = handle._storage
        return storage is not self.storage() or storage.version != self.version


class Recorded(Node):
    """A node of the running program: mathematics, and the life of its value."""

    __slots__ = (
        "consumed",
        "executions",
        "failure",
        "holders",
        "initial",
        "leaf",
        "needs_grad",
        "recorder",
        "saves",
        "saving",
        "sequence",
        "state",
        "value",
        "watchers",
    )

    inputs: tuple[Any, ...]
    name: str | None
    value: np.ndarray | None
    consumed: Line | None  # where the backward stood that used this node's history up
    leaf: Leaf | None
    watchers: list[Any] | None  # hooks and handles that want this node's error signal
    failure: BaseException | None
    initial: bool  # a parameter's initial value, or on the way to one: computed when it is read
    recorder: Recorder

    def __init__(  # field by field: a plain loop makes hundreds in each step
        self,
        op: Op,
        inputs: tuple[Recorded, ...],
        meta: Mapping[str, Any],
        shape: Shape,
        dtype: DType,
        recorder: Recorder,
    ) -> None:
        self.op, self.inputs, self.meta = op, inputs, meta
        self.shape, self.dtype = shape, dtype
        self.name, self.scope = None, recorder.scope
        self.line = recorder.line or user_line()
        self.recorder, self.sequence = recorder, next(in_order)
        self.value = self.leaf = self.consumed = self.watchers = self.failure = None
        self.state, self.initial = PENDING, recorder.initial
        self.holders = self.saves = self.executions = 0
        self.needs_grad = self.saving = False

    def history(self) -> Iterator[tuple[int, Recorded]]:
        """The inputs that an error signal is passed on to, with their positions."""
        for index, source in enumerate(self.inputs):
            if source.needs_grad:
                yield index, source

    def read_by_backward(self) -> Iterator[Recorded]:
        """The nodes whose values this node's vjp reads for the inputs that need it."""
        for index, _ in self.history():
            for position in self.op.reads_of(index, len(self.inputs)):
                yield self if position < 0 else self.inputs[position]

    def save(self) -> None:
        """Keep what backward reads."""
        if not self.saving:
            self.saving = True
            for node in self.read_by_backward():
                node.saves += 1

    def consume(self, line: Line) -> None:
        """A backward has used this node's history: let it go, and remember where."""
        self.consumed = line
        self.let_go()

    def let_go(self) -> None:
        """Nothing will be differentiated through this node any more."""
        if self.saving:
            self.saving = False
            for node in self.read_by_backward():
                node.saves -= 1
                node.recorder.loosen(node)
        if self.state != PENDING:
            self.inputs = ()

    def result(self) -> np.ndarray:
        """The value; computes pending work. The array belongs to the node: never write to it."""
        held = Hold(self) if self.state == PENDING else None
        if held is not None:
            self.recorder.compute(asked=self)
        if self.state == FAILED:
            raise FailedError(str(self.failure))
        value = self.value
        if value is None:
            raise GraphError(f"[{self.op.name}] got a value that was freed. It was held by nobody.")
        return value


class Hold:
    """One holder of a node: as long as it lives, the node's value is wanted."""

    __slots__ = ("node",)

    def __init__(self, node: Recorded) -> None:
        self.node = node
        node.holders += 1

    def __del__(self) -> None:
        try:
            node = self.node
        except AttributeError:  # Ctrl-C came before it had one
            return
        node.holders -= 1
        if node.needs_grad and node.state == COMPUTED:
            node.recorder.loosen(node)


class Storage:
    """What handles share: the node of the present value, and how often it was written to."""

    __slots__ = ("__weakref__", "committed", "node", "version")
    rebinds = 0  # how often any storage was given another node
    looks = 0  # how often any handle has kept what it saw, for as long as the version stays

    def __init__(self, node: Recorded) -> None:
        self.node = node
        self.version = 0
        self.committed: Recorded | None = None  # what a failure of pending writes returns to
        node.holders += 1

    __del__ = Hold.__del__

    def write(self, node: Recorded) -> None:
        """Give the storage a new value. The old one stays until the new one is computed."""
        old = self.node
        if self.committed is None and old.state != FAILED:
            self.committed = old
        self._bind(node)
        if node.state == PENDING:
            node.recorder.writes.append(ref(self))
        else:
            self.committed = None

    def roll_back(self) -> None:
        """Return to the value before the pending writes, after a failure."""
        if self.committed is not None and self.committed.state == COMPUTED:
            self._bind(self.committed)
        self.committed = None

    def return_to(self, node: Recorded) -> None:
        """Take back what was written since ``node`` was the value, before anything is computed."""
        if self.node is not node:
            self._bind(node)
            if node is self.committed:
                self.committed = None

    def _bind(self, node: Recorded) -> None:
        node.holders += 1
        self.node.holders -= 1
        self.node = node
        self.version += 1
        Storage.rebinds += 1
