"""A traced function that is run again and again: its values bound, its effects carried out.

A call reads the storages, hands their arrays to what a backend built, and commits: a state whose
old value nobody else can see is overwritten in its place, any other gets a new array.
"""

from __future__ import annotations

from collections.abc import Sequence
from sys import getrefcount
from typing import Any

import numpy as np

from chainrule.compile.work import Built
from chainrule.ops import leaf
from chainrule.step.effects import Argument, Effects
from chainrule.step.extract import Extract
from chainrule.step.guards import Guards, Options, StaleError
from chainrule.step.nest import builder
from chainrule.step.trace import Trace
from chainrule.storage import COMPUTED, Recorded, Storage, recorder
from chainrule.tensor import Tensor
from chainrule.tensor.handle import LET_GO
from chainrule.tracing import changes
from chainrule.tracked import Tracked

__all__ = ["Traced"]


class Result:
    """What a result has besides its numbers: op, type, line, and whether it had a history."""

    def __init__(self, node: Recorded, x: Tensor | None = None) -> None:
        self._label, self._leaf = None, False
        self._op, self._meta = (node.op, node.meta) if node.inputs else (leaf.data, {})
        self._consumed = None
        if x is not None:
            self._label, self._leaf = x._name, x._leaf
            own = x._node
            self._consumed = own.consumed if own.needs_grad else None
        self._shape, self._dtype, self._scope = node.shape, node.dtype, node.scope
        self._line = node.line

    def node(self, value: np.ndarray) -> Recorded:
        """A computed node with this value."""
        rec = recorder()
        made = rec._node(self._op, (), self._meta, self._shape, self._dtype, self._line)
        made.value, made.state, made.scope = value, COMPUTED, self._scope
        if self._consumed is not None:  # as a plain run leaves it: used up by its backward
            made.needs_grad, made.consumed = True, self._consumed
        return made

    def tensor(self, value: np.ndarray) -> Tensor:
        """A tensor with this value."""
        made = Tensor._of(self.node(value))
        made._leaf, made._name = self._leaf, self._label
        return made


def _count_of_one() -> int:
    """The references that an array has which only a state holds: they are counted as in a call."""
    array = np.empty(1)
    node, inputs, places, arrays = [array], [array], [array], [array]
    del array
    (count,) = map(getrefcount, arrays)
    assert node and inputs and places
    return count


ALONE = _count_of_one()


class Traced:
    """One trace of a function, for one signature; ``built`` runs its work."""

    built: Built

    def __init__(self, trace: Trace, effects: Effects, arguments: list[Argument]) -> None:
        extract = Extract(trace, effects, arguments)
        self.work, self.storages = extract.work, extract.storages
        self.volatile, self.hits = trace.volatile, 0
        self.guards = Guards(trace, {s: k for k, s in enumerate(self.storages)})
        self._count = len(arguments)
        self._first = len(extract.writes)  # of the outputs that are no writes to state
        self._bind_constants(trace, extract)
        self._bind_numbers(trace, extract)
        self._bind_effects(trace, effects)
        self._results = [Result(node) for _, node in extract.writes]
        self._results += [
            Result(node, x)
            for node, x in zip(extract.outputs[self._first :], effects.outputs, strict=True)
        ]
        self._written = [
            (k, j - self._count) for k, j in self.work.updates.items()
        ]  # output, number of the storage
        self._nodes: list[Recorded] = []  # of the storages, as they were last read
        self._arrays: list[np.ndarray] = []  # of those that are written
        self._alone: list[int] = []
        self._places: list[np.ndarray | None] = []
        self._nothing = [None] * self._count

    # ------------------------------------------------------------ binding

    def _bind_constants(self, trace: Trace, extract: Extract) -> None:
        self._inputs: list[Any] = [None] * (self._count + len(self.storages))
        self._constants = [
            np.array(node.value, order="C")
            if node.op is leaf.number
            else np.ascontiguousarray(node.value).reshape(node.shape)
            for node in extract.constants
        ]
        self._inputs += self._constants

    def _bind_numbers(self, trace: Trace, extract: Extract) -> None:
        arrays = list(zip(extract.constants, self._constants, strict=True))
        self._sources = trace.numbers.sources
        self._numbers = trace.numbers
        self._options = [Options(group) for group in trace.groups.values()]
        self._counts = [
            (held, name, tracked.key[1])  # type: ignore[index]
            for (_, name, _), (held, tracked) in trace.counts.items()
        ]
        self._tracked = [
            (array, trace.tracked[node].value) for node, array in arrays if node in trace.tracked
        ]
        self._drawn = [(array, *trace.draws[node]) for node, array in arrays if node in trace.draws]
        self.reserved: dict[Any, int] = {}
        for stream, count in trace.reserved:
            self.reserved[stream] = self.reserved.get(stream, 0) + count
        used = {(id(stream), draw) for stream, _, draw in trace.draws.values()}
        if len(used) != sum(self.reserved.values()):
            self.volatile = "NumPy draws random numbers"

    def _bind_effects(self, trace: Trace, effects: Effects) -> None:
        self._returned = effects.returned
        self._build = builder(effects.form)
        self._one = effects.form == ("tensor", 0) and effects.returned == [("output", 0)]
        self._let_go = [x for x, now in effects.grads if now is LET_GO and not isinstance(x, int)]
        self._grads = [
            (x, now) for x, now in effects.grads if now is not LET_GO or isinstance(x, int)
        ]
        place = {storage: k for k, storage in enumerate(self.storages)}
        self._rebound = [(x, place.get(was), k) for x, was, k in effects.rebound]
        self._begun, self._counted = effects.state, effects.counts
        self.begins = bool(effects.state)  # an optimizer's state: the next step is another one
        self._attributes = [
            (was.holder, was.name, place.get(getattr(was.before, "_storage", None)), k)  # type: ignore[arg-type]
            for was, k in effects.attributes
        ]
        self._arguments = effects.written
        self._rare = bool(
            self._grads or self._rebound or self._begun or self._attributes or self._arguments
        )

    def _bind_states(self) -> None:
        """Read every storage anew."""
        first = self._count
        for k, storage in enumerate(self.storages):
            value = storage.node.result()
            if not value.flags.c_contiguous:
                value = np.ascontiguousarray(value)
            self._inputs[first + k] = value
        self._nodes = [storage.node for storage in self.storages]
        self._places = [None] * len(self.work.outputs)
        self._arrays, self._alone = [], []
        for k, j in self._written:
            array = self._inputs[first + j]
            self._arrays.append(array)
            self._places[k] = array
            self._alone.append(ALONE if self._may_be_alone(self._nodes[j], array) else -1)

    @staticmethod
    def _may_be_alone(node: Recorded, array: np.ndarray) -> bool:
        owned = array.base is None and array.flags.writeable
        return owned and array is node.value and not node.needs_grad

    # ------------------------------------------------------------ a call

    def refresh(self) -> None:
        """Look at guards and numbers. Raises StaleError where the trace does not hold."""
        self.guards.check(self.storages)
        dirty = False
        try:
            for options in self._options:
                dirty |= options.refresh(self._sources)
            for held, name, place in self._counts:
                self._sources[place] = held[name]
                dirty = True
            if dirty:
                if not self._numbers.hold():
                    raise StaleError("a number that the function branches on")
                with np.errstate(over="ignore"):
                    for array, value in self._tracked:
                        array[()] = value()
        except BaseException:
            for options in self._options:
                options.forget()
            raise

    def run(self, arguments: Sequence[Any]) -> Any:
        """One call: its results, when all that it changes is committed."""
        inputs = self._inputs
        for place, x in enumerate(arguments):
            value = x._value()
            if not value.flags.c_contiguous:
                value = np.ascontiguousarray(value)
            inputs[place] = value
        if not self._nodes or [s.node for s in self.storages] != self._nodes:
            self._bind_states()
        places = self._places if self._are_alone() else self._own_places()
        if self._drawn or self.reserved:
            self._draw()
        try:
            results = self.built.run(inputs, places)
        except BaseException:
            for stream, count in self.reserved.items():
                stream.give_back(count)
            raise
        finally:
            inputs[: self._count] = self._nothing
        self.hits += 1
        return self._commit(results, places, arguments)

    def first_difference(self, other: Traced) -> str:
        """The first constant that another trace of the same structure has otherwise, in words."""
        own = {id(array) for array, *_ in (*self._tracked, *self._drawn)}
        for node, mine, theirs in zip(
            self.work.inputs[-len(self._constants) :],
            self._constants,
            other._constants,
            strict=False,
        ):
            if id(mine) not in own and not np.array_equal(
                mine, theirs, equal_nan=mine.dtype.kind == "f"
            ):
                return f"{node.op.name} {node.type} at {node.where}"
        return ""

    def _are_alone(self) -> bool:
        """Whether nobody but its storage sees the old value of any state that is written."""
        if list(map(getrefcount, self._arrays)) != self._alone:
            return False
        return all(
            (node := self._nodes[j]).holders == 1 and not node.saves for _, j in self._written
        )

    def _own_places(self) -> list[np.ndarray | None]:
        """Places for those states alone whose old value nobody else sees."""
        places = list(self._places)
        for index, (k, j) in enumerate(self._written):
            places[k] = None
            node = self._nodes[j]
            # One reference less: `places` had it, and is the copy's no more.
            alone = getrefcount(self._arrays[index]) == self._alone[index]
            if alone and node.holders == 1 and not node.saves:
                places[k] = self._places[k]
        return places

    def _draw(self) -> None:
        first = {stream: stream.reserve(count) for stream, count in self.reserved.items()}
        for array, stream, which, draw in self._drawn:
            numbers = first[stream]
            array[()] = numbers[2] + draw if which == 2 else numbers[which]

    def _commit(
        self, results: list[np.ndarray], places: Sequence[Any], arguments: Sequence[Any]
    ) -> Any:
        for index, (k, j) in enumerate(self._written):
            storage = self.storages[j]
            if places[k] is not None:
                storage.version += 1
            else:
                self._exchange(index, k, j, storage, results[k])
        for x in self._let_go:
            x._kept_grad = LET_GO
        if self._counted:
            self._count_on()
        if self._rare:
            self._commit_rest(results, arguments)
        if self._one:
            return self._made(results, 0)
        made = [self._tensor(what, k, results, arguments) for what, k in self._returned]
        return self._build(made)

    def _exchange(self, index: int, k: int, j: int, storage: Storage, value: np.ndarray) -> None:
        """A new array for a state."""
        node = self._results[k].node(value)
        old = storage.node
        storage._bind(node)
        old.recorder.loosen(old)
        self._nodes[j] = node
        self._inputs[self._count + j] = self._places[k] = self._arrays[index] = value
        self._alone[index] = ALONE

    def _count_on(self) -> None:
        for optimizer, p, name, value in self._counted:
            held = optimizer.state.setdefault(p, {})
            held[name] = value.value() if isinstance(value, Tracked) else value

    def _tensor(
        self, what: str, k: Any, results: list[np.ndarray], arguments: Sequence[Any]
    ) -> Any:
        if what == "argument":
            return arguments[k]
        return k if what == "outside" else self._made(results, k)

    def _made(self, results: list[np.ndarray], k: int) -> Tensor:
        return self._results[self._first + k].tensor(results[self._first + k])

    def _commit_rest(self, results: list[np.ndarray], arguments: Sequence[Any]) -> None:
        for x, now in self._grads:
            handle = arguments[x] if isinstance(x, int) else x
            handle._kept_grad = self._made(results, now) if isinstance(now, int) else now
        for handle, place, k in self._rebound:
            handle._storage, handle._path = self._made(results, k)._storage, ()
            handle._seen, handle._shape = None, None
            if place is not None:
                self.storages[place] = handle._storage
        for optimizer, p, name, k in self._begun:
            optimizer.state.setdefault(p, {})[name] = self._made(results, k)
            changes.count += 1
        for holder, name, place, k in self._attributes:
            holder[name] = self._made(results, k)
            if place is not None:
                self.storages[place] = holder[name]._storage
        for place, k in self._arguments:
            rec = recorder()
            with rec.setting(grad_enabled=False):
                arguments[place]._write(self._made(results, k)._node, "compile")
