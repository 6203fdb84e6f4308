"""What a handle holds, and when pending work is computed.

A ``Tensor`` is a handle on a ``Storage``: the node of its present value and a version.  Recording
an op makes a ``Recorded`` node and computes nothing; the thread's ``Recorder`` collects everything
that is *pending and alive* into one ``Program`` when somebody looks.  Four guarantees bind:

* PyTorch's numbers: a write gives the storage a new node, so the graph stays pure under aliasing.
* No node is computed twice.
* Looking is free and changes nothing.
* Memory is flat in a loop: a computed node drops its inputs unless it can still be differentiated,
  and its value unless somebody holds it or a later backward reads it.

Lifetimes are counted, not traced: ``holders`` counts handles, ``saves`` counts the readers in
histories that can still be differentiated.  Nodes refer to inputs only, so nothing waits for the
garbage collector.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import Any
from weakref import ref

import numpy as np

from chainrule.errors import ChainruleError, FailedError, GraphError, located
from chainrule.graph import Line, Node
from chainrule.lines import line_text, user_line
from chainrule.ops.op import Op

__all__ = ["Hold", "Leaf", "Program", "Recorded", "Recorder", "Storage", "recorder", "stats"]

PENDING, COMPUTED, FAILED = range(3)

LIVING_NODES_LIMIT = 20_000  # pending nodes that are alive before work is done unasked
PENDING_BYTES_LIMIT = 64 << 20  # bytes of leaves that pending nodes alone keep alive


@dataclass(frozen=True)
class Leaf:
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
    value: np.ndarray | None
    consumed: Line | None  # where the backward stood that used this node's history up
    leaf: Leaf | None
    watchers: list[Any] | None  # hooks and handles that want this node's error signal
    failure: BaseException | None
    initial: bool  # a parameter's initial value, or on the way to one: computed when it is read
    recorder: Recorder

    def history(self) -> Iterator[tuple[int, Recorded]]:
        """The inputs that an error signal is passed on to, with their positions."""
        for index, source in enumerate(self.inputs):
            if source.needs_grad:
                yield index, source

    def read_by_backward(self) -> Iterator[Recorded]:
        """The nodes whose values this node's vjp reads for the inputs that need it."""
        for index, _ in self.history():
            for position in self.op.reads_of(index, len(self.inputs)):
                yield self if position < 0 else self.inputs[position]  # type: ignore[misc]

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
        if self.value is None:
            raise GraphError(f"[{self.op.name}] got a value that was freed. It was held by nobody.")
        return self.value


def again(failure: BaseException) -> BaseException:
    """A failure to raise once more: a node that kept the raised one would keep its frames alive."""
    try:
        return type(failure)(*failure.args)
    except Exception:  # an exception class that is made in another way
        return failure


class Hold:
    """One holder of a node: as long as it lives, the node's value is wanted."""

    __slots__ = ("node",)

    def __init__(self, node: Recorded) -> None:
        self.node = node
        node.holders += 1

    def __del__(self) -> None:
        node = self.node
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


@dataclass
class Stats:
    """How much was recorded and computed since the start, by all threads: ``cr.stats()``.

    ``repeated`` counts executions of a node that had been executed before: always 0.
    ``traced`` and ``built``: how often ``cr.compile`` traced a function, and had a graph built.
    """

    recorded: int = 0
    executed: int = 0
    programs: int = 0
    repeated: int = 0
    traced: int = 0
    built: int = 0


_stats = Stats()


def stats() -> Stats:
    """A snapshot of the counters.

    >>> import chainrule as cr
    >>> before = cr.stats().executed
    >>> x = cr.ones(3) * 2 + 1
    >>> cr.stats().executed - before
    0
    """
    return Stats(**vars(_stats))


class Program:
    """Pending work in recording order, with the life of every value in it.

    A backend calls, for each of ``nodes``: ``arguments``, then ``finish`` or ``fail``.
    """

    def __init__(self, nodes: list[Recorded], waiting: list[Recorded], kept: set[Recorded]) -> None:
        self.nodes = nodes
        self.committed = kept  # values that a failure returns to: overwritten only with an undo
        self.failure: BaseException | None = None
        self.failed_at = inf  # where in the order of recording the first failure is
        self._undo: list[tuple[np.ndarray, Any, np.ndarray]] = []
        self._spared: set[Recorded] = set()
        self._readers: dict[Recorded, int] = {}
        for node in nodes:
            for source in node.inputs:
                self._readers[source] = self._readers.get(source, 0) + 1
        for node in waiting:  # alive, but not computed now (a running backward): it will read these
            self._spared.update(node.inputs)
        self._save(waiting)

    def spares(self, node: Recorded) -> bool:
        """Whether pending work that is not part of this program will read the node."""
        return node in self._spared

    def _save(self, waiting: list[Recorded]) -> None:
        """Keep what can be read by the backward of a living tensor."""
        differentiable = {source for node in waiting for _, source in node.history()}
        for node in reversed(self.nodes):
            if (
                node.needs_grad
                and node.consumed is None
                and (node.holders or node in differentiable)
            ):
                node.save()
                differentiable.update(source for _, source in node.history())

    def checkable(self) -> Iterator[Recorded]:
        """The nodes whose values can be checked before anything is computed."""
        for node in self.nodes:
            if type(node.op).check is not Op.check and all(
                s.state == COMPUTED for s in node.inputs
            ):
                yield node

    def arguments(self, node: Recorded) -> list[np.ndarray] | None:
        """The values of the node's inputs; ``None`` if one of them has failed."""
        values = []
        for source in node.inputs:
            if source.state == FAILED:
                node.state, node.failure = FAILED, source.failure
                return None
            if source.value is None:
                raise GraphError(
                    f"[{node.op.name}] reads a value of {source.op.name} that was freed."
                )
            values.append(source.value)
        return values

    def may_overwrite(self, node: Recorded) -> bool:
        """Whether nobody else alive reads the first input: the result may take its place."""
        source = node.inputs[0]
        wanted = source.holders or source.saves or source in self._spared
        if wanted or self._readers[source] != 1:
            return False
        array = source.value
        owned = array.base is None and array.flags.writeable and array.flags.c_contiguous
        # Four references: the node, the caller's list, `array`, the argument. A view is a fifth.
        return owned and sys.getrefcount(array) == 4

    def undo_later(self, node: Recorded, array: np.ndarray, window: Any) -> None:
        """Remember what is overwritten, if a failure would have to bring it back."""
        if node.inputs[0] in self.committed:
            self.committed.add(node)  # what is written next to this array is undone too
            self._undo.append((array, window, array[window].copy()))

    def finish(self, node: Recorded, value: np.ndarray) -> None:
        """Take the result, and free what nobody reads any more."""
        if node.executions:
            _stats.repeated += 1
        node.executions += 1
        _stats.executed += 1
        node.value, node.state = value, COMPUTED
        inputs = node.inputs
        if not node.saving:
            node.inputs = ()
        for source in inputs:
            self._readers[source] -= 1
            self._free(source)
        self._free(node)

    def wants(self, node: Recorded) -> bool:
        """Whether the value is wanted after the program; a number weighs nothing, and is shown."""
        held = node.holders or node.saves or not node.shape
        return bool(held or node in self._spared or node in self.committed)

    def _free(self, node: Recorded) -> None:
        if not (self.wants(node) or self._readers.get(node)):
            node.value = None

    def fail(self, node: Recorded, error: BaseException) -> None:
        """The node could not be computed; what depends on it will fail with the same message."""
        node.state, node.failure = FAILED, error
        self.failure = self.failure or error
        self.failed_at = min(self.failed_at, node.sequence)

    def abandon(self, error: BaseException) -> None:
        """Nothing more will be computed (Ctrl-C)."""
        self.failure, self.failed_at = error, -inf
        told = error if str(error) else type(error)("Interrupted before it was computed.")
        for node in self.nodes:
            if node.state == PENDING:
                node.state, node.failure = FAILED, told

    def stands(self, node: Recorded) -> bool:
        """Whether a write stays although the program failed: it was done before the failure."""
        return node.state == COMPUTED and node.sequence < self.failed_at

    def undo(self, standing: set[int]) -> None:
        """Bring back what was overwritten; values made of it meanwhile keep their numbers.

        ``standing`` has the identities of the arrays whose new contents stay.
        """
        for node in self.nodes:
            if node.state == FAILED:
                node.let_go()
        self._undo = [entry for entry in self._undo if id(entry[0]) not in standing]
        touched = {id(array) for array, _, _ in self._undo}
        for node in self.nodes:
            value = node.value
            if value is not None and (id(value) in touched or id(value.base) in touched):
                node.value = value.copy()
        for array, window, old in reversed(self._undo):
            array[window] = old


class Recorder:
    """One thread's recording state (``no_grad``, scopes) and its pending work."""

    def __init__(self) -> None:
        self.lock = _lock
        self.grad_enabled = True
        self.scope = ""
        self.depth = 0  # of Module calls
        self.undisturbed = 0  # inside an optimizer or a backward: no work is done unasked
        self.initial = False  # what is recorded are initial values
        self.formula = False  # an op's vjp is recorded: its numbers are part of the formula
        self.line: Line | None = None  # of a running backward: what it records stands there
        self.taps: list[Any] = []  # the active tapes of record()
        self.watch: Any = None  # anomaly.Watch: looks at every value
        self.trace: Any = None  # trace.Trace: what is recorded is computed later, by cr.compile
        self.writes: list[ref[Storage]] = []
        self._pending: list[ref[Recorded]] = []
        self._loose: list[ref[Recorded]] = []
        self._limit = LIVING_NODES_LIMIT
        self._new_bytes = 0

    # ------------------------------------------------------------ recording

    def leaf(self, op: Op, value: np.ndarray, dtype: Any, leaf: Leaf | None = None) -> Recorded:
        """A node that is made with its value."""
        fixed = self.formula and not value.shape  # a compiler may look at it
        node = self._node(op, (), {"fixed": value.item()} if fixed else {}, value.shape, dtype)
        node.value, node.state = value, COMPUTED
        node.leaf, node.needs_grad = leaf, leaf is not None
        self._new_bytes += value.nbytes if leaf is None else 0
        return node

    def record(self, op: Op, inputs: tuple[Recorded, ...], meta: Mapping[str, Any]) -> Recorded:
        """Record ``op(*inputs, **meta)``. Nothing is computed."""
        if len(self._pending) >= self._limit or self._new_bytes >= PENDING_BYTES_LIMIT:
            self._relieve()
        try:
            shape, dtype = op.infer(*inputs, **meta)
        except ChainruleError as error:
            raise located(error, self.scope, line_text(self.line or user_line())) from None
        node = self._node(op, inputs, meta, shape, dtype)
        needs_grad = False
        for source in inputs:
            if source.needs_grad:
                needs_grad = True
            if source.state != COMPUTED:
                if source.state == FAILED:
                    raise FailedError(str(source.failure))
                if source.recorder is not self:
                    source.result()  # another thread's work is computed by its own recorder
        node.needs_grad = needs_grad and self.grad_enabled and op.differentiable
        _stats.recorded += 1
        self._pending.append(ref(node))
        for tape in self.taps:
            tape.saw(node)
        return node

    def _node(self, op, inputs, meta, shape, dtype) -> Recorded:
        line = self.line or user_line()
        node = Recorded(op, inputs, meta, shape, dtype, scope=self.scope, line=line)
        node.value = node.leaf = node.consumed = node.watchers = node.failure = None
        node.state = PENDING
        node.holders = node.saves = node.executions = 0
        node.needs_grad = node.saving = False
        node.initial = self.initial
        node.recorder = self
        node.sequence = next(in_order)
        return node

    # ------------------------------------------------------------ computing

    def pending(self) -> list[Recorded]:
        """The pending nodes that are alive, in recording order."""
        seen = self._pending[:]
        found = (reference() for reference in seen)
        alive = [node for node in found if node is not None and node.state == PENDING]
        # In place: the owner of this recorder may be appending while another thread asks.
        self._pending[: len(seen)] = [ref(node) for node in alive]
        return alive

    def compute(self, asked: Recorded | None = None, *, quiet: bool = False) -> None:
        """Compute everything that is pending and alive, in one program; of initial values what it
        reads.  ``asked`` is a node that somebody reads: an initial value is computed by itself.

        Raises the first failure, unless it is somebody else's: then (``quiet``, or ``asked`` is
        well) whoever reads a failed value is told. That state was taken back is always told.
        """
        if self.trace is not None:
            self.trace.asked(asked)
            return
        with self.lock:
            alive = self.pending()
            if asked is not None and asked.initial:
                roots = [asked]
            else:
                roots = [node for node in alive if node.holders and not node.initial]
            if not roots:
                return
            chosen = _pending_ancestors(roots)
            written = [storage for storage in (r() for r in self.writes) if storage is not None]
            writes = [s for s in written if s.node in chosen or s.node.state != PENDING]
            self.writes = [ref(storage) for storage in written if storage not in writes]
            program = Program(
                sorted(chosen, key=lambda node: node.sequence),
                [node for node in alive if node not in chosen],
                {storage.committed for storage in writes if storage.committed is not None},
            )
            _stats.programs += 1
            try:
                execute(program)
            except BaseException as error:  # Ctrl-C, or a defect of ours: leave a consistent state
                program.abandon(error)
            taken_back = self._settle(program, writes)
        failure = program.failure
        if failure is not None:
            own = asked.state == FAILED if asked is not None else not quiet
            if own or taken_back or not isinstance(failure, Exception):
                raise again(failure)

    def _settle(self, program: Program, writes: list[Storage]) -> bool:
        """Commit the writes to state, or take back those that a failure precedes: True if any.

        What was written before the operation that failed stays, as it would have without laziness.
        """
        taken_back = False
        if program.failure is not None:
            standing = [s for s in writes if program.stands(s.node)]
            program.undo({id(storage.node.value) for storage in standing})
        for storage in writes:
            committed = storage.committed
            if program.failure is not None and not program.stands(storage.node):
                taken_back |= committed is not None
                storage.roll_back()
            storage.committed = None
            if committed is not None and committed is not storage.node:
                self.loosen(committed)
        loose, self._loose = self._loose, []
        for reference in loose:
            node = reference()
            if node is None or node.holders or node.saves:
                continue
            if program.spares(node):
                self._loose.append(reference)
            elif node.state == COMPUTED:
                node.value = None
        self._new_bytes = 0
        return taken_back

    def loosen(self, node: Recorded) -> None:
        """Somebody let go of the node: its value is freed after the next program, unless wanted."""
        if not (node.holders or node.saves):
            if not len(self._loose) % 1024:  # compiled calls run no program that clears it
                self._loose = [kept for kept in self._loose if kept() is not None]
            self._loose.append(ref(node))

    def _relieve(self) -> None:
        """Work that piles up is done unasked: 20,000 living nodes, or 64 MB held by them alone."""
        alive = self.pending()
        held = {s for node in alive for s in node.inputs if s.state == COMPUTED and not s.holders}
        size = sum(source.value.nbytes for source in held if source.value is not None)
        much = len(alive) >= LIVING_NODES_LIMIT or size >= PENDING_BYTES_LIMIT
        if much and not self.undisturbed:
            self.compute(quiet=True)
            alive = self.pending()
        self._limit = len(alive) + LIVING_NODES_LIMIT
        self._new_bytes = 0

    # ------------------------------------------------------------ state that is set for a while

    @contextmanager
    def setting(self, **values: Any) -> Iterator[None]:
        """Set attributes for the length of a ``with`` block: ``grad_enabled=False``."""
        before = {name: getattr(self, name) for name in values}
        for name, value in values.items():
            setattr(self, name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(self, name, value)

    @contextmanager
    def undisturbed_work(self) -> Iterator[None]:
        """No work is done unasked inside an optimizer or a backward."""
        with self.lock, self.setting(undisturbed=self.undisturbed + 1):
            yield


def _pending_ancestors(roots: Iterable[Recorded]) -> set[Recorded]:
    found: set[Recorded] = set(roots)
    stack = list(found)
    while stack:
        for source in stack.pop().inputs:
            if source.state == PENDING and source not in found:  # type: ignore[attr-defined]
                found.add(source)  # type: ignore[arg-type]
                stack.append(source)  # type: ignore[arg-type]
    return found


in_order = count()  # of all threads together: inputs come before their readers


# One lock for all recorders: who waits for another thread may hold work that it waits for.
_lock = threading.RLock()


class _Threads(threading.local):
    def __init__(self) -> None:
        self.recorder = Recorder()


_threads = _Threads()


def recorder() -> Recorder:
    """This thread's recorder."""
    return _threads.recorder


def _unfilled(program: Program) -> None:
    raise GraphError("[storage] nothing can be computed before chainrule.step is imported.")


execute: Callable[[Program], None] = _unfilled  # filled by step.py with a backend's run
