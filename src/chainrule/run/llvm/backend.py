"""Plans that run: kernels compiled, a tape of them, and a table of where their arrays lie."""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import groupby
from math import prod
from threading import RLock
from typing import Any
from weakref import ref

import numpy as np

from chainrule.compile.memory import ALIGNMENT, ROW
from chainrule.compile.pipeline import compile_work
from chainrule.compile.plan import Plan, dense_strides
from chainrule.compile.ref import Sizes
from chainrule.compile.verify import PlanError
from chainrule.compile.work import Work, key
from chainrule.errors import located
from chainrule.forks import unlocked_in_children
from chainrule.graph import Node
from chainrule.run import reference
from chainrule.run.blas import one_thread
from chainrule.run.llvm import workers
from chainrule.run.llvm.cache import default_cache
from chainrule.run.llvm.kept import HostCall, KernelCall, Recipe, found, in_stages, made
from chainrule.run.llvm.memory import counter

__all__ = ["Machinery", "build"]

NOT_RUN = -1  # in the error word: a run makes it 0, or says what is wrong

_AT = 2 * ctypes.sizeof(ctypes.c_void_p)  # where in an array object its address stands
_word = ctypes.c_int64.from_address


def _read(array: np.ndarray) -> int:
    return _word(id(array) + _AT).value


def _ask(array: np.ndarray) -> int:
    return array.ctypes.data


def _known(array: np.ndarray) -> bool:
    """Whether NumPy's arrays look as they have for decades: reading that takes 0.15 µs, not 1."""
    return ctypes.sizeof(ctypes.c_void_p) == 8 and _read(array) == array.ctypes.data


_probe = np.zeros(3, np.float32)
address: Callable[[np.ndarray], int] = (
    _read if _known(_probe) and _known(_probe[1:]) and _known(np.empty(())) else _ask
)


def build(work: Work) -> Machinery | reference.Evaluation:
    """A work as machine code, made by the passes or by an earlier process and kept on disk.

    By the reference, with a warning, if its plan breaks a rule.
    """
    try:
        return Machinery(work, found(work))
    except PlanError as error:
        kept = default_cache().keep_text(key(work)[:32], error.report, ".txt")
        report = f"The report is in {kept}" if kept else error.report
        warnings.warn(f"{error} It runs by the reference, slowly. {report}", stacklevel=2)
        return reference.build(work)


def aligned(nbytes: int) -> np.ndarray:
    """Bytes that begin at a cache line."""
    raw = counter.counted(np.empty(nbytes + ALIGNMENT, np.uint8))
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + nbytes]


class Machinery:
    """A ``Work`` as compiled kernels: see ``compile.work.Built``.

    A table holds addresses: of the error word, the inputs, the outputs, the temporaries.  Each
    ``bind`` has a table of its own; the temporaries are shared, so one call runs at a time.

    recipe: what was kept of the plan, if it was.
    """

    def __init__(self, work: Work, recipe: Recipe | None = None) -> None:
        self.work = work
        self.unlock()
        unlocked_in_children(self)
        self.shared = False  # by several functions, which may run in several threads
        self._plan: Plan | None = None
        functions = None if recipe is None else recipe.addresses()
        if recipe is None or functions is None:
            recipe, self._plan = made(work)
            functions = recipe.addresses()
            assert functions is not None, "what was compiled just now is in the process"
        self.temporaries, self.late = recipe.temporaries, recipe.late
        self.arena = aligned(recipe.arena)
        begin = self.arena.ctypes.data
        places = [begin + offset for offset, _ in recipe.temporaries]
        outside = [0] * (1 + len(work.inputs) + len(work.outputs))
        self.addresses = counter.counted(np.array([*outside, *places], np.int64))
        self.segments = _segments(recipe.steps, functions)
        # One native call: Ctrl-C finds that all of it is done, or nothing.
        self.at_once = len(self.segments) == 1 and not self.late
        self.fresh = [
            _maker(node.shape, node.dtype.numpy, strides)
            for node, strides in zip(work.outputs, recipe.outputs, strict=True)
        ]

    @cached_property
    def _bound(self) -> Bound:
        return Bound(self)

    @property
    def plan(self) -> Plan:
        """Its plan; made by the passes now, if a recipe was kept."""
        if self._plan is None:
            self._plan = compile_work(self.work)
        return self._plan

    @property
    def order(self) -> list[int]:
        """The numbers of the plan's kernels, as they run."""
        return in_stages(self.plan)

    # ------------------------------------------------------------ running

    def unlock(self) -> None:
        """See ``forks.Lockable``."""
        self.lock = RLock()

    def run(
        self,
        inputs: list[np.ndarray],
        places: Sequence[np.ndarray | None],
        results: list[np.ndarray] | None = None,
    ) -> list[np.ndarray]:
        """See ``compile.work.Built``.

        results: an empty list to put them in, if it runs ``at_once``: as soon as it has run, even
        if Ctrl-C comes in that very moment.  As long as it is empty nothing was written.
        """
        with self.lock:
            return self._bound.run(inputs, places, results)

    def bind(
        self, count: int, inputs: Sequence[Any], places: Sequence[np.ndarray | None]
    ) -> Callable[..., list[Any]] | None:
        """``run`` for many calls that differ in the first ``count`` inputs alone.

        The other inputs and the places are arrays that stay where they are as long as it is used;
        it holds none of them.  Called with ``None`` the arguments are those of the call before;
        with ``results`` as in ``run``; with ``later`` the one number of a plan comes as
        (row, place).  Results that lie in their place are ``None``.  ``None`` for a plan that looks
        back to Python.
        """
        return Bound(self).bound(count, inputs, places)

    def explain(self, number: int, inputs: Sequence[Any]) -> None:
        """Raise what the check of a node says: checks come before an input is written."""
        node = self.work.nodes[number - 1]
        values = dict(zip(self.work.inputs, inputs, strict=True))
        needed, waiting = {node}, [node]
        while waiting:
            new = [source for source in waiting.pop().inputs if source not in needed]
            needed.update(new)
            waiting += new
        for each in self.work.nodes:
            if each in needed:
                values[each] = _by_reference(each, [values[source] for source in each.inputs])
        raise AssertionError(f"{node} was wrong, and its check finds nothing")

    def host(self, step: HostCall, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> None:
        """A node by its reference."""
        node = self.work.nodes[step.number]
        arrays = [
            self._array(entry, source, inputs, outputs)
            for entry, source in zip(step.inputs, node.inputs, strict=True)
        ]
        self._array(step.output, node, inputs, outputs)[...] = _by_reference(node, arrays)

    def _array(
        self, entry: int, node: Node, inputs: list[np.ndarray], outputs: list[np.ndarray]
    ) -> np.ndarray:
        """Where the value of a node lies now."""
        outside = [*inputs, *outputs]
        if entry <= len(outside):
            return outside[entry - 1]
        offset, size = self.temporaries[entry - 1 - len(outside)]
        return self.arena[offset : offset + size].view(node.dtype.numpy).reshape(node.shape)


class Bound:
    """A table of addresses, and the tapes that read it."""

    def __init__(self, machinery: Machinery) -> None:
        self.machinery = machinery
        self._table = counter.counted(machinery.addresses.copy())
        self._error = counter.counted(np.zeros(8, np.int64))
        self._table[0] = self._error.ctypes.data
        self._row = memoryview(self._table)  # type: ignore[arg-type]
        self._errors = memoryview(self._error)  # type: ignore[arg-type]
        table = self._table.ctypes.data
        self._segments = [
            segment.prepared(table) if isinstance(segment, Tape) else segment
            for segment in machinery.segments
        ]
        self._one: Any = self._segments[0] if len(self._segments) == 1 else None

    def run(
        self,
        inputs: list[np.ndarray],
        places: Sequence[np.ndarray | None],
        results: list[np.ndarray] | None,
    ) -> list[np.ndarray]:
        """One call with other arrays."""
        held = [x if x.flags.c_contiguous else np.array(x, order="C") for x in inputs]
        row, makers = self._row, self.machinery.fresh
        for number, array in enumerate(held, 1):
            row[number] = address(array)
        outputs, late, fresh = [], self.machinery.late, 0
        for place, make in zip(places, makers, strict=True):
            array = make() if place is None or late else place
            outputs.append(array)
            fresh += array.nbytes if array is not place else 0
        counter.passing(fresh)
        for number, array in enumerate(outputs, 1 + len(held)):
            row[number] = address(array)
        self._errors[0] = NOT_RUN
        try:
            self._go(held, outputs)
        finally:
            if results is not None and not self._errors[0]:
                results += outputs
        if late:
            for k, place in enumerate(places):
                if place is not None:
                    place[...] = outputs[k]
                    outputs[k] = place
        return outputs

    def bound(
        self, count: int, inputs: Sequence[Any], places: Sequence[np.ndarray | None]
    ) -> Callable[..., list[Any]] | None:
        """See ``Machinery.bind``."""
        machinery, row = self.machinery, self._row
        if machinery.late or self._one is None or not _plain(inputs[count:]):
            return None
        first = 1 + len(inputs)
        for number, array in enumerate(inputs[count:], 1 + count):
            row[number] = address(array)
        made: list[tuple[int, int, Callable[[], np.ndarray]]] = []
        for k, (place, make) in enumerate(zip(places, machinery.fresh, strict=True)):
            if place is None:
                made.append((first + k, k, make))
            else:
                row[first + k] = address(place)
        segment, errors = self._one, self._errors
        pool = _Pool(*made[0]) if len(made) == 1 else None
        if pool is not None and pool.shape:
            pool = None
        fresh = sum(make().nbytes for _, _, make in made)
        many, seen = len(places), [ref(array) for array in inputs[count:]]
        before: list[Callable[[], Any]] = [lambda: None] * count

        def call(
            arrays: list[np.ndarray] | None,
            results: list[Any] | None = None,
            later: bool = False,
            locked: bool = False,
        ) -> list[Any]:
            if machinery.shared and not locked:
                with machinery.lock:
                    return call(arrays, results, later, True)
            found: list[Any] = [None] * many
            if arrays is not None:  # else those of the call before
                for number, array in enumerate(arrays):
                    before[number] = ref(array)
                    row[number + 1] = address(array)
            if later and pool is not None:
                found[pool.k], row[pool.number] = pool.next()
            else:
                for number, k, make in made:
                    array = found[k] = make()
                    row[number] = address(array)
                if fresh:
                    counter.passing(fresh)
            if results is None:
                wrong = segment()
            else:
                wrong = errors[0] = NOT_RUN
                try:
                    wrong = segment()
                finally:
                    if not wrong or not errors[0]:  # it has run, though Ctrl-C may have come
                        results += found
            if wrong:
                machinery.explain(wrong, [again() for again in (*before, *seen)])
            return found

        return call

    def _go(self, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> None:
        for segment in self._segments:
            if isinstance(segment, HostCall):
                self.machinery.host(segment, inputs, outputs)
            elif wrong := segment():
                self.machinery.explain(wrong, inputs)


class _Pool:
    """Places for the one number that each call gives, in rows of many: most are never read."""

    def __init__(self, number: int, k: int, make: Callable[[], np.ndarray]) -> None:
        self.number, self.k = number, k
        sample = make()
        self.shape, self._dtype = sample.shape, sample.dtype
        self._places = iter(())

    def next(self) -> tuple[tuple[np.ndarray, int], int]:
        """(row, place), and the address."""
        found = next(self._places, None)
        if found is not None:
            return found
        row = counter.counted(np.empty(ROW, self._dtype))
        start, step = address(row), row.itemsize
        self._places = (((row, k), start + k * step) for k in range(ROW))
        return next(self._places)


def _plain(arrays: Sequence[Any]) -> bool:
    return all(array.flags.c_contiguous for array in arrays)


class Tape:
    """Kernels that run one stage after the other, without a look back to Python."""

    def __init__(self, rows: np.ndarray, slots: list[np.ndarray], tickets: int) -> None:
        self.rows, self._slots, self.tickets = rows, slots, tickets

    def prepared(self, table: int) -> Callable[[], int]:
        """The call that runs it with a table; the error word."""
        short = self.tickets == len(self.rows)  # each kernel is one chunk: nothing to share
        threads = 1 if short else workers.MOST  # as many as there are when it runs
        tape = self.rows.ctypes.data
        return workers.prepared(tape, len(self.rows), table, self.tickets, threads, short=short)


def _segments(steps: list[KernelCall | HostCall], functions: list[int]) -> list[Tape | HostCall]:
    """Tapes of kernels, and the calls of the host between them."""
    code = iter(functions)
    segments: list[Tape | HostCall] = []
    for host, group in groupby(steps, key=lambda step: isinstance(step, HostCall)):
        if host:
            segments += [step for step in group if isinstance(step, HostCall)]
        else:
            segments.append(_tape([step for step in group if isinstance(step, KernelCall)], code))
    return segments


def _tape(calls: list[KernelCall], code: Iterator[int]) -> Tape:
    slots = [counter.counted(np.array(call.slots, np.int64)) for call in calls]
    rows = [
        [next(code), call.chunks, places.ctypes.data, call.wait]
        for call, places in zip(calls, slots, strict=True)
    ]
    return Tape(
        counter.counted(np.array(rows, np.int64)), slots, sum(call.chunks for call in calls)
    )


def _by_reference(node: Node, arrays: list[np.ndarray]) -> np.ndarray:
    try:
        node.op.check(*arrays, **node.meta)
        with one_thread(), np.errstate(all="ignore"):
            return workers.denormals_flushed(lambda: reference.reference_value(node, arrays))
    except Exception as error:
        raise located(error, node.scope, node.where) from None


def _maker(shape: Sizes, kind: np.dtype, strides: Sizes) -> Callable[[], np.ndarray]:
    """Makes arrays for an output, with the axes in memory as the plan wants them."""
    empty = np.empty
    if strides == dense_strides(shape, range(len(shape))) or not prod(shape):
        return lambda: empty(shape, kind)
    order = sorted(range(len(shape)), key=lambda axis: -strides[axis])
    turned, back = tuple(shape[axis] for axis in order), tuple(np.argsort(order).tolist())
    return lambda: empty(turned, kind).transpose(back)
