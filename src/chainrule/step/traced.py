"""A traced function that is run again and again: its numbers set, its effects carried out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from weakref import ref

import numpy as np

from chainrule.compile.fuse import in_registers
from chainrule.compile.work import Built
from chainrule.graph import Node
from chainrule.ops import leaf
from chainrule.step.bound import Bound
from chainrule.step.effects import Argument, Effects
from chainrule.step.extract import Extract
from chainrule.step.guards import Guards, Options, StaleError
from chainrule.step.later import array_of, later
from chainrule.step.nest import builder
from chainrule.step.trace import Trace
from chainrule.step.variables import Variables
from chainrule.storage import COMPUTED, Recorded, Storage, in_order, recorder
from chainrule.tensor import Tensor
from chainrule.tensor.handle import LET_GO
from chainrule.tracing import CountedDict, changes
from chainrule.tracked import Tracked

__all__ = ["MISSED", "Traced"]

MISSED = object()  # a call that is not the like of the one before


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
        """A computed node with this value: field by field, since a call has microseconds."""
        made = Recorded.__new__(Recorded)
        made.op, made.meta, made.shape, made.dtype = self._op, self._meta, self._shape, self._dtype
        made.scope, made.line, made.name, made.inputs = self._scope, self._line, None, ()
        made.value, made.state, made.consumed = value, COMPUTED, self._consumed
        made.needs_grad = self._consumed is not None  # as a plain run leaves it: used up
        made.leaf = made.watchers = made.failure = None
        made.holders = made.saves = made.executions = 0
        made.saving = made.initial = False
        made.recorder, made.sequence = recorder(), next(in_order)
        return made

    def tensor(self, value: np.ndarray) -> Tensor:
        """A tensor with this value."""
        return self.fill(Tensor.__new__(Tensor), value)

    def fill(self, made: Tensor, value: Any) -> Tensor:
        """Make a new handle a tensor with this value."""
        storage = Storage.__new__(Storage)
        storage.node, storage.version, storage.committed = self.node(array_of(value)), 0, None
        storage.node.holders = 1
        made._bind(storage)
        made._leaf, made._name = self._leaf, self._label
        return made


def _nothing() -> None:
    """A weak reference to nothing."""


class Traced:
    """One trace of a function, for one signature; ``built`` runs its work."""

    built: Built

    def __init__(
        self, trace: Trace, effects: Effects, arguments: list[Argument], variables: Variables
    ) -> None:
        self._variables, self.grads = variables, recorder().grad_enabled
        self._shapes = [x.shape for x in arguments]
        self._dtypes = [x.dtype for x in arguments]
        self._any_grad = any(x.requires_grad for x in arguments)
        extract = Extract(trace, effects, arguments)
        self.work, self.storages = extract.work, extract.storages
        self.volatile, self.hits = trace.volatile, 0
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
        self._written = [j - self._count for j in self.work.updates.values()]  # numbers of storages
        self._bound: Bound | None = None
        place = {storage: k for k, storage in enumerate(self.storages)}
        self._apart = self._not_arguments()
        self._caches = [  # what handles have seen of written storages
            (ref(kept.handle), place[kept.storage])
            for kept in trace.kept.values()
            if kept.storage in place and not kept.handle._detached
        ]
        carried = [(holder, name, j) for holder, name, j, _ in self._attributes if j is not None]
        self.guards = Guards(trace, place, carried)
        self._all_counted = self.guards.all_counted and all(
            isinstance(options.options, CountedDict) for options in self._options
        )
        self._items = -1  # how many changes there had been when optimizers were looked at
        self._nothing = [None] * self._count
        self._unseen: list[Any] = [(_nothing, _nothing)] * self._count
        self._seen = self._unseen  # the arguments of the latest short call, and their nodes
        self._simple = self._one and not (
            self._drawn or self.reserved or self._counted or self._rare
        )

    _latest: ClassVar[Any] = None  # the one that holds arrays, weakly

    def fused(self) -> list[tuple[Node, list[Node]]]:
        """Nodes whose values no array ever holds, each with all that its loop computes."""
        plan = getattr(self.built, "plan", None)
        if plan is None:  # of a backend that computes node by node
            return []
        # It may be that of an equal work, whose nodes are others.
        nodes = [*self.work.inputs, *self.work.nodes]
        own, its = (
            dict(zip(*pair, strict=True)) for pair in ((plan.nodes, nodes), (nodes, plan.nodes))
        )
        found = in_registers(plan, [its[node] for node in self.work.outputs])
        return [
            (own[node], [own[other] for other in plan.kernels[kernel].nodes])
            for node, kernel in found.items()
        ]

    # ------------------------------------------------------------ binding

    def _bind_constants(self, trace: Trace, extract: Extract) -> None:
        self._constants = [
            np.array(node.value, order="C")
            if node.op is leaf.number
            else np.ascontiguousarray(node.value).reshape(node.shape)
            for node in extract.constants
        ]

    def _bind_numbers(self, trace: Trace, extract: Extract) -> None:
        arrays = list(zip(extract.constants, self._constants, strict=True))
        self._sources = trace.numbers.sources
        self._numbers = trace.numbers
        self._options = [Options(group) for group in trace.groups.values()]
        self._counts = [
            (held, others, name, tracked.key[1])  # type: ignore[index]
            for (_, name, *_), ([held, *others], tracked) in trace.counts.items()
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
        self.writes_arguments = bool(effects.written)
        self._rare = bool(
            self._grads or self._rebound or self._begun or self._attributes or self._arguments
        )

    def _bind(self) -> Bound:
        """Read every storage anew; whoever ran before lets go of its arrays."""
        before = Traced._latest() if Traced._latest is not None else None
        if before is not None:
            before._bound = None
        Traced._latest = ref(self)
        many, at_once = len(self.work.outputs), getattr(self.built, "at_once", False)
        self._bound = Bound(
            self._count, self.storages, self._constants, self._written, many, at_once
        )
        self._apart = self._not_arguments()
        return self._bound

    def _not_arguments(self) -> set[Storage]:
        """Storages of outside that are written, or that a write to an argument would change."""
        if self._arguments or self._any_grad:
            return set(self.storages)
        return {self.storages[j] for j in self._written}

    def overlap(self, arguments: Sequence[Any]) -> bool:
        """Whether a write would change two things that the trace took for different ones."""
        own = {x._storage for x in arguments}
        if (self._arguments or self._any_grad) and len(own) < len(arguments):
            return True
        return not self._not_arguments().isdisjoint(own)

    # ------------------------------------------------------------ a call

    def call(self, arguments: Sequence[Any]) -> Any:
        """A call that is in all the like of the one before; MISSED if it is not. It is short."""
        if len(arguments) != self._count or self._any_grad:
            return MISSED
        arrays: list[np.ndarray] | None = None
        seen = self._seen
        for k, x in enumerate(arguments):
            was, node = seen[k]
            if was() is not x or x._storage.node is not node() or x._leaf:
                self._seen = self._unseen  # until a run has put them in the places of those before
                found = self._read(arguments)
                if found is None:
                    return MISSED
                arrays, seen = found
                break
        if not self._variables.are_same() or not self.guards.are_same():
            return MISSED
        if self._items != changes.items and not self._has_same_items():
            return MISSED
        if self._counts and not self._count_anew():
            return MISSED
        bound = self._bound
        if (
            bound is None
            or bound.call is None
            or not self._simple
            or not bound.still(self.storages)
            or not bound.alone()
        ):
            return self.run(arguments, arrays or self.contiguous(arguments))
        results: list[Any] = []
        try:
            bound.call(arrays, results, True)
            bound.wrote()
            for x in self._let_go:
                x._kept_grad = LET_GO
        except BaseException:
            if results:
                self._tell(bound, results, bound.places, arguments)
            raise
        self._seen = seen
        self.hits += 1
        return later(self._results[self._first], results[self._first])

    def _read(self, arguments: Sequence[Any]) -> tuple[list[np.ndarray], list[Any]] | None:
        """The arrays of plain tensors, and what to know them by; ``None`` if one is not plain."""
        arrays: list[np.ndarray] = []
        for x, shape, dtype in zip(arguments, self._shapes, self._dtypes, strict=False):
            if not isinstance(x, Tensor) or x._path or x._leaf or x._root is not None:
                return None
            node = x._storage.node
            if node.shape != shape or node.dtype is not dtype or node.needs_grad:
                return None
            if x._storage in self._apart:
                return None
            value = node.value if node.state == COMPUTED else node.result()
            assert value is not None
            arrays.append(value if value.flags.c_contiguous else np.ascontiguousarray(value))
        return arrays, [
            (ref(x), ref(x._storage.node) if array is x._storage.node.value else _nothing)
            for x, array in zip(arguments, arrays, strict=True)
        ]

    @staticmethod
    def contiguous(arguments: Sequence[Any]) -> list[np.ndarray]:
        """The arrays of arguments of any kind."""
        values = [x._value() for x in arguments]
        return [v if v.flags.c_contiguous else np.ascontiguousarray(v) for v in values]

    def refresh(self) -> None:
        """Look at guards and numbers. Raises StaleError where the trace does not hold."""
        name = self._variables.difference()
        if name:
            raise StaleError(f"the variable {name}")
        self.guards.check(self.storages)
        try:
            changed = [options.refresh(self._sources) for options in self._options]
            if (any(changed) or self._counts) and not self._count_anew():
                raise StaleError("a count of steps, or a number that the function branches on,")
        except BaseException:
            self._items = -1
            for options in self._options:
                options.forget()
            raise

    def _has_same_items(self) -> bool:
        """Whether optimizers have the options and the tensors that they had."""
        items = changes.items
        for options in self._options:
            if options.get(options.options) != options.last:
                return False
        if self.guards.exchanged():
            return False
        if self._all_counted:  # else there is a dict of somebody's own, which tells nothing
            self._items = items
        return True

    def _count_anew(self) -> bool:
        """Set the numbers that depend on an optimizer; False if a guard on them has failed."""
        sources = self._sources
        for held, others, name, place in self._counts:
            value = sources[place] = held[name]
            for other in others:
                if other[name] != value:  # another function made steps with some of them
                    return False
        if not self._numbers.hold():
            return False
        with np.errstate(over="ignore"):  # 1e40 is ∞ in float32, as everywhere
            for array, value in self._tracked:
                array[()] = value()
        return True

    def run(self, arguments: Sequence[Any], arrays: list[np.ndarray]) -> Any:
        """One call with the arrays of its arguments: all that it changes, then its results.

        Ctrl-C may come between any two of these lines.  As long as there are no results nothing was
        written; from then on all is told, if need be once more from the beginning.
        """
        self._seen = self._unseen
        bound = self._bound
        if bound is None or not bound.still(self.storages):
            bound = self._bind()
        places = bound.places if bound.alone() else bound.own_places()
        drawn = self.reserved and {stream: stream.draws for stream in self.reserved}
        results: list[Any] = []
        try:
            if self._drawn or drawn:
                self._draw()
            self._compute(bound, arrays, places, results)
            self._tell(bound, results, places, arguments)
        except BaseException:
            if results:
                self._tell(bound, results, places, arguments)
            else:
                for stream, draws in drawn.items():
                    stream.draws = draws
            raise
        self.hits += 1
        if self._one:
            return self._made(results, 0)
        made = [self._tensor(what, k, results, arguments) for what, k in self._returned]
        return self._build(made)

    def _compute(
        self, bound: Bound, arrays: list[Any], places: list[Any], results: list[Any]
    ) -> None:
        """The outputs; all states in their places, a bound plan needs the arguments alone."""
        built: Any = self.built
        if places is bound.places:
            if bound.call is None:
                bind = getattr(built, "bind", None)
                bound.call = bind and bind(self._count, bound.inputs, places)
            if bound.call is not None:
                bound.call(arrays, results)
                return
        inputs = bound.inputs
        inputs[: self._count] = arrays
        try:
            if bound.at_once:
                built.run(inputs, places, results)
            else:  # Ctrl-C could come when some states are written and some are not
                results += built.run(inputs, [None] * len(places))
        finally:
            inputs[: self._count] = self._nothing

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

    def _draw(self) -> None:
        first = {stream: stream.reserve(count) for stream, count in self.reserved.items()}
        for array, stream, which, draw in self._drawn:
            numbers = first[stream]
            array[()] = numbers[2] + draw if which == 2 else numbers[which]

    def _tell(
        self,
        bound: Bound,
        results: list[np.ndarray],
        places: Sequence[Any],
        arguments: Sequence[Any],
    ) -> None:
        """Carry out what the function changes. Told twice it is the same."""
        for storage in bound.written:
            storage.version += 1
        if places is not bound.places or not bound.at_once:
            self._exchange(bound, results, places)
        for x in self._let_go:
            x._kept_grad = LET_GO
        if self._counted:
            self._count_on()
        if self._rare:
            self._tell_rest(results, arguments)

    def _exchange(self, bound: Bound, results: list[np.ndarray], places: Sequence[Any]) -> None:
        """New arrays for states whose old value somebody sees; what is not in its place yet."""
        for k, j in enumerate(self._written):
            if places[k] is not None:
                if not bound.at_once:
                    places[k][...] = results[k]
            else:
                node = self._results[k].node(results[k])
                self.storages[j]._bind(node)
                bound.exchange(k, j, self._count + j, node, results[k])
        # What handles have seen of old values is out of date: it would keep their arrays.
        for reference, j in self._caches:
            handle = reference()
            if handle is not None and handle._version != self.storages[j].version:
                handle._seen = None

    def _count_on(self) -> None:
        for optimizer, p, name, value in self._counted:
            number = value.value() if isinstance(value, Tracked) else value
            if p not in optimizer.state:
                optimizer.state[p] = CountedDict()
            dict.__setitem__(optimizer.state[p], name, number)  # not counted: it was to come

    def _tensor(
        self, what: str, k: Any, results: list[np.ndarray], arguments: Sequence[Any]
    ) -> Any:
        if what == "argument":
            return arguments[k]
        return k if what == "outside" else self._made(results, k)

    def _made(self, results: list[np.ndarray], k: int) -> Tensor:
        return self._results[self._first + k].tensor(results[self._first + k])

    def _tell_rest(self, results: list[np.ndarray], arguments: Sequence[Any]) -> None:
        for x, now in self._grads:
            handle = arguments[x] if isinstance(x, int) else x
            handle._kept_grad = self._made(results, now) if isinstance(now, int) else now
        for handle, place, k in self._rebound:
            handle._storage, handle._path = self._made(results, k)._storage, ()
            handle._seen, handle._shape = None, None
            if place is not None:
                self.storages[place] = handle._storage
        for optimizer, p, name, k in self._begun:
            if p not in optimizer.state:
                optimizer.state[p] = CountedDict()
            optimizer.state[p][name] = self._made(results, k)
            changes.count += 1
        for holder, name, place, k in self._attributes:
            holder[name] = self._made(results, k)
            if place is not None:
                self.storages[place] = holder[name]._storage
        for place, k in self._arguments:
            rec = recorder()
            with rec.setting(grad_enabled=False):
                arguments[place]._write(self._made(results, k)._node, "compile")
