"""A trace: what a function does to tensors, recorded once as a graph that is computed later.

While a trace runs nothing is computed.  A storage found outside is *entered*: its node is a leaf
without a value until the trace ends, so that reads, writes and aliases record what they would
record anyway.  At the end everything outside is as it was before; what the function would have
changed is a list of effects, for each call to carry out.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any
from weakref import ref

import numpy as np

from chainrule.autograd import Custom
from chainrule.errors import FailedError, GradientError, UsageError, message
from chainrule.lines import line_text, user_line
from chainrule.ops import history, leaf
from chainrule.random import Stream, noted
from chainrule.storage import FAILED, Leaf, Recorded, Storage, recorder
from chainrule.tensor import Tensor
from chainrule.tensor.handle import LET_GO, let_go
from chainrule.tracing import TRACES, changes
from chainrule.tracked import Numbers, Tracked

__all__ = ["MISSING", "Grad", "Group", "SetAttribute", "LookError", "Trace", "UntraceableError"]

MISSING = object()  # an attribute that was not there


class UntraceableError(Exception):
    """The function does what no trace can repeat: it is run plainly this time."""


class LookError(UsageError):
    """A value was asked for inside a compiled function."""


@dataclass
class Entry:
    """A storage found outside, as it was, and the leaf that stands for its value."""

    storage: Storage
    node: Recorded
    version: int
    committed: Recorded | None
    leaf: Recorded


@dataclass
class Kept:
    """A handle that was read or written, as it was."""

    handle: Any
    storage: Storage
    path: Any
    leaf: bool
    seen: Any
    version: int
    tracked: bool


@dataclass
class Grad:
    """The ``.grad`` of a handle: was it asked for before it was set? What is it at the end?"""

    handle: Any
    read_first: bool
    before: Any
    now: Any


@dataclass
class Group:
    """A group of an optimizer, and which of its options are sources of numbers."""

    optimizer: Any
    options: dict[str, Any]
    values: dict[str, Any]  # while tracing
    tracked: dict[str, Any]


@dataclass
class SetAttribute:
    """An attribute of a module that was set: where it is held, and what was there."""

    module: Any
    name: str
    holder: dict[str, Any]
    before: Any


class Trace:
    """One run of a function without values, in a ``with`` block; then read what it found."""

    def __init__(self) -> None:
        self.rec = recorder()
        self.numbers = Numbers()
        self.entries: dict[Storage, Entry] = {}
        self.kept: dict[int, Kept] = {}
        self.grads: dict[int, Grad] = {}
        self.modules: dict[int, Any] = {}
        self.attributes: dict[tuple[int, str], SetAttribute] = {}
        self.optimizers: dict[int, tuple[Any, dict[Any, Any]]] = {}  # with their state before
        self.states: dict[int, dict[Any, Any]] = {}  # and after
        self.groups: dict[tuple[int, int], Group] = {}
        self.counts: dict[tuple[int, str, Any, bool], tuple[list[Any], Tracked]] = {}
        self.tracked: dict[Recorded, Tracked] = {}
        self.draws: dict[Recorded, tuple[Stream, int, int]] = {}  # which of its numbers, draw
        self.reserved: list[tuple[Stream, int]] = []
        self.volatile = ""  # why each call has to trace anew
        self.broken: Exception | None = None  # that the function may have caught
        self._bases: dict[Recorded, Recorded] = {}  # of parameters as they are read
        self._leaves: list[Recorded] = []
        self._outside: Any = None  # what was pending before it began
        self._given_back = 0
        self._done = threading.Event()

    # ------------------------------------------------------------ the block

    def __enter__(self) -> Trace:
        rec = self.rec
        rec.compute()
        self.first = rec.leaf(leaf.number, np.zeros(()), None).sequence
        self._changes = changes.count
        self._noted = noted()
        with rec.lock:  # another thread may be computing what is pending here
            self._outside = rec._pending, rec.writes
            rec._pending, rec.writes = [], []
            self.reserved = self._noted.__enter__()
            TRACES.append(self)
            rec.trace = self
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """All that is outside is as before; what was made inside and is still held has failed."""
        self._leave(failed=kind is not None)

    def over(self) -> None:
        """After the block: Ctrl-C may have come while it began, or while it ended."""
        if self._outside is not None and not self._done.is_set():
            self._leave(failed=True)

    def _leave(self, failed: bool) -> None:
        """Can be done again from the beginning."""
        rec = self.rec
        self._noted.gen.close()
        self._put_back(failed)
        pending, writes = self._outside
        inside = [] if rec._pending is pending else rec._pending
        made = [node for node in (reference() for reference in inside) if node is not None]
        self.made = [*made, *self._leaves]
        rec._pending, rec.writes = pending, writes
        rec.trace = None  # from here on other threads may compute what is pending
        while self in TRACES:
            TRACES.remove(self)
        if failed:
            self.end()
        self._done.set()

    def _put_back(self, failed: bool) -> None:
        self.states = {key: held.state for key, (held, _) in self.optimizers.items()}
        for optimizer, state in self.optimizers.values():
            optimizer.__dict__["state"] = state
        self.written = {
            storage: storage.node
            for storage, entry in self.entries.items()
            if storage.node is not entry.leaf
        }
        for entry in self.entries.values():
            storage = entry.storage
            storage.node, storage.version = entry.node, entry.version
            storage.committed = entry.committed
        self.set_at_the_end = {}
        for key, was in self.attributes.items():
            now = was.holder.get(was.name, MISSING)
            self.set_at_the_end[key] = now
            if failed or isinstance(now, Tensor):
                _set(was.holder, was.name, was.before)
        while self._given_back < len(self.reserved):
            stream, count = self.reserved[self._given_back]
            stream.draws -= count  # no call: Ctrl-C does not come between these two
            self._given_back += 1
        for kept in self.kept.values():
            handle = kept.handle
            if handle._leaf != kept.leaf:
                self.volatile = "requires_grad is changed"
                handle._leaf = kept.leaf if failed else handle._leaf
            handle._storage, handle._path = kept.storage, kept.path
            handle._seen, handle._version = kept.seen, kept.version
            handle._tracked = kept.tracked

    def end(self) -> None:
        """The graph has been copied: a tensor that survived the trace says so when it is used."""
        for node in self.made:
            node.state, node.inputs, node.watchers = FAILED, (), None
            node.failure = UsageError(_survived(node))
        self.made = []

    def wait_for(self, storage: Storage) -> None:
        """Another thread wants to read a storage: after the trace."""
        if storage in self.entries:
            self.wait()

    def wait(self) -> None:
        """Another thread has nothing to do until the trace is over."""
        self._done.wait()

    # ------------------------------------------------------------ what it is told

    def asked(self, node: Recorded | None) -> None:
        """Pending work should be computed: not in a trace. If a value is asked for, say so."""
        if node is None:
            return
        if node.sequence < self.first:
            self.refuse("a value of outside is asked for")
        where = f"{node.scope}/{node.op.name}" if node.scope else node.op.name
        self.broken = LookError(
            message(
                where,
                f"a look at the value of {node.type} inside a compiled function",
                "work that does not depend on values",
                line=line_text(user_line()),
                why="It is traced without values, and later runs without Python",
                remedy="Return the tensor and look at it outside; cr.where chooses by value",
            )
        )
        raise self.broken

    def touch(self, handle: Any) -> None:
        """A handle is read or written."""
        storage = handle._storage
        if storage.node.sequence >= self.first and storage not in self.entries:
            return  # made in this trace
        if id(handle) not in self.kept:
            tracked = getattr(handle, "_tracked", False)
            self.kept[id(handle)] = Kept(
                handle,
                storage,
                handle._path,
                handle._leaf,
                handle._seen,
                handle._version,
                tracked,
            )
        self.enter(storage)

    def enter(self, storage: Storage) -> None:
        """A leaf without a value takes the place of the storage's node."""
        if storage in self.entries:
            return
        node = storage.node
        if node.state == FAILED:
            raise FailedError(str(node.failure))
        entered = self.leaf(node.shape, node.dtype, node.name, foreign=node.needs_grad)
        self.entries[storage] = Entry(storage, node, storage.version, storage.committed, entered)
        changes.entries += 1
        storage.node, storage.committed = entered, None
        storage.version += 1  # what handles have seen of it is out of date

    def leaf(self, shape: Any, dtype: Any, name: str | None, foreign: bool = False) -> Recorded:
        """A leaf without a value; a foreign one has a history outside, where no signal can go."""
        node = Recorded(leaf.data, (), {}, shape, dtype, self.rec)
        node.name = name
        if foreign:
            node.needs_grad, node.watchers = True, [_refuse]
        self._leaves.append(node)
        return node

    def parameter(self, handle: Any, base: Recorded) -> Recorded:
        """A leaf that requires grad, as it is read."""
        node = Recorded(leaf.parameter, (), {}, base.shape, base.dtype, self.rec)
        node.leaf = Leaf(ref(handle), ref(handle._storage), handle._storage.version)
        node.needs_grad, node.name = True, handle._name
        if not base.inputs and base.op is leaf.data and base.value is None:
            base.op, base.name = leaf.parameter, handle._name
        self._bases[node] = base
        self._leaves.append(node)
        return node

    def grad_of(self, handle: Any) -> Any:
        """``handle._grad`` is asked for."""
        slot = self.grads.get(id(handle))
        if slot is None:
            before = handle._kept_grad
            if before is LET_GO:
                raise let_go(handle)
            slot = self.grads[id(handle)] = Grad(handle, True, before, before)
        return slot.now

    def set_grad(self, handle: Any, grad: Any) -> None:
        """``handle._grad`` is set."""
        slot = self.grads.get(id(handle))
        if slot is None:
            slot = self.grads[id(handle)] = Grad(handle, False, None, None)
        slot.now = grad

    def saw_module(self, module: Any) -> None:
        """A module is called."""
        self.modules[id(module)] = module

    def will_set(self, module: Any, name: str, value: Any) -> None:
        """An attribute of a module is going to be set."""
        self.modules[id(module)] = module
        registries = [module.__dict__.get(r, {}) for r in ("_parameters", "_buffers", "_modules")]
        holder = next((held for held in registries if name in held), module.__dict__)
        if (id(module), name) not in self.attributes:
            before = holder.get(name, MISSING)
            self.attributes[id(module), name] = SetAttribute(module, name, holder, before)

    def refuse(self, why: str) -> None:
        """Something happens that no trace can repeat."""
        self.broken = UntraceableError(why)
        raise self.broken

    def enter_optimizer(self, optimizer: Any) -> None:
        """A step begins: its counts are tracked, what it sets is undone at the end."""
        if id(optimizer) in self.optimizers:
            return
        self.optimizers[id(optimizer)] = optimizer, optimizer.state
        state = {}
        for p, held in optimizer.state.items():
            moves = p._grad is not None  # the count of a frozen one stays behind
            state[p] = {
                name: self._count((id(optimizer), name, value, moves), held)
                for name, value in held.items()
            }
        optimizer.__dict__["state"] = state

    def _count(self, key: tuple[int, str, Any, bool], held: dict[str, Any]) -> Any:
        """A number of a state, tracked: one for all that are equal and move together."""
        value = key[2]
        if type(value) not in (int, float):
            return value
        if key not in self.counts:
            self.counts[key] = [], self.numbers.source(value)
        states, tracked = self.counts[key]
        states.append(held)
        return tracked

    def group(self, optimizer: Any, number: int) -> dict[str, Any]:
        """The options of a group, its numbers tracked."""
        key = id(optimizer), number
        if key not in self.groups:
            options = optimizer.param_groups[number]
            values = {name: value for name, value in options.items() if name != "params"}
            tracked = {name: self._number(value) for name, value in values.items()}
            self.groups[key] = Group(optimizer, options, values, tracked)
        group = self.groups[key]
        return {**group.options, **group.tracked}

    def _number(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(self._number, value))
        return self.numbers.source(value) if type(value) in (int, float) else value

    def number_of(self, node: Recorded, tracked: Tracked) -> None:
        """A tracked number enters the graph."""
        self.tracked[node] = tracked

    def same_number(self, node: Recorded, other: Recorded) -> None:
        """A number is cast."""
        for known in (self.tracked, self.draws):
            if node in known:
                known[other] = known[node]  # type: ignore[assignment]

    def drawn(self, stream: Stream, nodes: list[Recorded]) -> None:
        """The last draw enters the graph as seed, stream and draw number."""
        draw = sum(count for other, count in self.reserved if other is stream) - 1
        for which, node in enumerate(nodes):
            self.draws[node] = stream, which, draw

    # ------------------------------------------------------------ reading the graph

    def resolve(self, node: Recorded) -> Recorded:
        """The node whose value this one has, behind cut, exchanged and custom histories."""
        while True:
            if node in self._bases:
                node = self._bases[node]
                continue
            if node.op is history.detach or node.op is history.assign:
                source = node.inputs[0]
            elif isinstance(node.op, Custom):
                source = node.inputs[-1]
            else:
                return node
            if (source.shape, source.dtype) != (node.shape, node.dtype):
                return node
            node = source

    def same_constant(self, node: Recorded) -> Hashable:
        """Numbers of one line that are always equal are one input: lr for all parameters."""
        if node in self.tracked:
            return node.dtype.name, self.tracked[node].key
        if node in self.draws:
            stream, which, draw = self.draws[node]
            return id(stream), which, draw
        assert node.value is not None
        return node.dtype.name, node.value.tobytes(), node.line


def _set(holder: dict[str, Any], name: str, value: Any) -> None:
    if value is MISSING:
        holder.pop(name, None)
    else:
        holder[name] = value


def _refuse(signal: Any) -> None:
    raise GradientError(
        message(
            "backward",
            "a history that begins outside the compiled function",
            "one inside",
            line=line_text(user_line()),
            remedy="Compile the whole step, or pass x.detach()",
        )
    )


def _survived(node: Recorded) -> str:
    got = f"a tensor {node.type} that was kept when a compiled function was traced"
    remedy = "Return it, alone or in a tuple, list or dict, or set an attribute of a Module"
    return message(node.op.name, got, "a value", line=node.where, remedy=remedy)
