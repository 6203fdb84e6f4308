"""One thread's pending work: recorded here, computed together when somebody looks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple
from weakref import ref

import numpy as np

from chainrule.dtypes import DType
from chainrule.errors import ChainruleError, FailedError, GraphError, located
from chainrule.forks import unlocked_in_children
from chainrule.graph import Line, Shape, meta_key
from chainrule.lines import line_text, user_line
from chainrule.ops.op import Op
from chainrule.storage.counters import counters
from chainrule.storage.node import COMPUTED, FAILED, PENDING, Hold, Leaf, Recorded, Storage
from chainrule.storage.program import Program

__all__ = ["Recorder", "Row", "recorder"]

LIVING_NODES_LIMIT = 20_000  # pending nodes that are alive before work is done unasked
MOST_TYPES = 4096  # answers of shape rules that are remembered
PENDING_BYTES_LIMIT = 64 << 20  # bytes of leaves that pending nodes alone keep alive


class Row(NamedTuple):
    """An op, the places of its inputs in a list of values, and the type of its result."""

    op: Op
    sources: tuple[int, ...]
    meta: Mapping[str, Any]
    shape: Shape
    dtype: DType


class Recorder:
    """One thread's recording state (``no_grad``, scopes) and its pending work."""

    execute: Callable[[Program], None]  # filled by step/ with a backend's run
    # One for all recorders: who waits for another thread may hold work that it waits for.
    lock = threading.RLock()

    def __init__(self) -> None:
        self.recording = threading.Lock()  # held by another thread that computes what is pending
        unlocked_in_children(self)
        self.grad_enabled = True
        self.scope = ""
        self.depth = 0  # of Module calls
        self.undisturbed = 0  # inside an optimizer or a backward: no work is done unasked
        self.initial = False  # what is recorded are initial values
        self.sending_back = False  # a backward records error signals
        self.formula = False  # an op's vjp is recorded: its numbers are part of the formula
        self.on_stand_ins = False  # what is recorded has no values, and nothing is computed
        self.line: Line | None = None  # where all that is recorded stands, if it is known
        self.taps: list[Any] = []  # the active tapes of record()
        self.watch: Any = None  # anomaly.Watch: looks at every value
        self.trace: Any = None  # trace.Trace: what is recorded is computed later, by cr.compile
        self.writes: list[ref[Storage]] = []
        self._pending: list[ref[Recorded]] = []
        self._loose: list[ref[Recorded]] = []
        self._borrowed: list[Hold] = []  # what pending work reads of other threads
        self._limit = LIVING_NODES_LIMIT
        self._new_bytes = 0

    def unlock(self) -> None:
        """See ``forks.Lockable``."""
        Recorder.lock = threading.RLock()
        self.recording = threading.Lock()

    # ------------------------------------------------------------ recording

    def leaf(self, op: Op, value: np.ndarray, dtype: Any, leaf: Leaf | None = None) -> Recorded:
        """A node that is made with its value."""
        fixed = self.formula and not value.shape  # a compiler may look at it
        meta = {"fixed": value.item()} if fixed else {}
        node = Recorded(op, (), meta, value.shape, dtype, self)
        node.value, node.state = value, COMPUTED
        node.leaf, node.needs_grad = leaf, leaf is not None
        self._new_bytes += value.nbytes if leaf is None else 0
        return node

    def repeat(self, rows: Iterable[Row], values: list[Recorded]) -> list[Recorded]:
        """Record rows that stood the shape rules before, of values that are not looked at.

        Returns ``values`` with what was recorded after them.
        """
        if len(self._pending) >= self._limit:
            self._relieve()
        first = len(values)
        for op, sources, meta, shape, dtype in rows:
            inputs = tuple([values[place] for place in sources])
            node = Recorded(op, inputs, meta, shape, dtype, self)
            if self.grad_enabled and op.differentiable:
                node.needs_grad = any(source.needs_grad for source in inputs)
            self._pending.append(ref(node))
            values.append(node)
        counters.recorded += len(values) - first
        for tape in self.taps:
            for node in values[first:]:
                tape.saw(node)
        return values

    def record(self, op: Op, inputs: tuple[Recorded, ...], meta: Mapping[str, Any]) -> Recorded:
        """Record ``op(*inputs, **meta)``. Nothing is computed."""
        if len(self._pending) >= self._limit or self._new_bytes >= PENDING_BYTES_LIMIT:
            self._relieve()
        try:
            shape, dtype = _type_of(op, inputs, meta) if meta else op.infer(*inputs)
        except ChainruleError as error:
            raise located(error, self.scope, line_text(self.line or user_line())) from None
        node = Recorded(op, inputs, meta, shape, dtype, self)
        needs_grad = False
        for source in inputs:
            if source.needs_grad:
                needs_grad = True
            if source.state != COMPUTED:
                if source.state == FAILED:
                    raise FailedError(str(source.failure))
                if source.recorder is not self:
                    source.result()  # another thread's work is computed by its own recorder
            if source.recorder is not self and self.trace is None:
                self._borrowed.append(Hold(source))  # the other thread does not know this reader
        node.needs_grad = needs_grad and self.grad_enabled and op.differentiable
        counters.recorded += 1
        with self.recording:
            self._pending.append(ref(node))
        for tape in self.taps:
            tape.saw(node)
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
        own = recorder() is self
        if own and self.trace is not None:
            self.trace.asked(asked)
            return
        if self.on_stand_ins:
            raise GraphError("[vjp] got a look at a value, needs types alone.")
        visited = nullcontext() if own else self.recording
        with self._outside_a_trace(), visited:
            alive = self.pending()
            if asked is not None and asked.initial:
                roots = [asked] if asked.state == PENDING else []  # else another thread was first
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
            counters.programs += 1
            try:
                self.execute(program)
            except BaseException as error:  # Ctrl-C, or a defect of ours: leave a consistent state
                program.abandon(error)
            taken_back = self._settle(program, writes)
        failure = program.failure
        if failure is not None:
            told = asked.state == FAILED if asked is not None else not quiet
            if told or taken_back or not isinstance(failure, Exception):
                raise _again(failure)

    @contextmanager
    def _outside_a_trace(self) -> Iterator[None]:
        """The lock, while the owner of this recorder traces nothing: a trace begins under it."""
        while True:
            trace = self.trace
            if trace is not None:
                trace.wait()
            with self.lock:
                if self.trace is None:
                    yield
                    return

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
        self._borrowed = [hold for hold in self._borrowed if program.spares(hold.node)]
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
        """No work is done unasked inside an optimizer or a backward.

        Who waits for this thread's trace may hold the lock, and a trace computes nothing.
        """
        held = nullcontext() if self.trace is not None else self.lock
        with held, self.setting(undisturbed=self.undisturbed + 1):
            yield


def _type_of(op: Op, inputs: tuple[Recorded, ...], meta: Mapping[str, Any]) -> tuple[Shape, DType]:
    """What the op's shape rule says, asked once for each kind of inputs."""
    types = tuple([(source.shape, source.dtype) for source in inputs])
    key = (op, meta_key(meta), types)
    try:
        found = _types.get(key)
    except TypeError:  # metadata that is not hashable
        return op.infer(*inputs, **meta)
    if found is None:
        if len(_types) >= MOST_TYPES:
            _types.clear()
        found = _types[key] = op.infer(*inputs, **meta)
    return found


_types: dict[Any, tuple[Shape, DType]] = {}


def _pending_ancestors(roots: Iterable[Recorded]) -> set[Recorded]:
    found: set[Recorded] = set(roots)
    stack = list(found)
    while stack:
        for source in stack.pop().inputs:
            if source.state == PENDING and source not in found:
                found.add(source)
                stack.append(source)
    return found


def _again(failure: BaseException) -> BaseException:
    """A failure to raise once more: a node that kept the raised one would keep its frames alive."""
    try:
        return type(failure)(*failure.args)
    except Exception:  # an exception class that is made in another way
        return failure


class _Threads(threading.local):
    def __init__(self) -> None:
        self.recorder = Recorder()


_threads = _Threads()


def recorder() -> Recorder:
    """This thread's recorder."""
    return _threads.recorder
