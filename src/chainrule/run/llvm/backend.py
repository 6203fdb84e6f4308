"""Plans that run: kernels compiled, a tape of them, and a table of where their arrays lie."""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable, Sequence
from itertools import groupby
from math import prod
from threading import RLock
from typing import Any
from weakref import ref

import numpy as np

from chainrule.compile.memory import ALIGNMENT
from chainrule.compile.pipeline import compile_work
from chainrule.compile.plan import Host, Kernel, Value, dense_strides
from chainrule.compile.verify import PlanError
from chainrule.compile.work import Work, key
from chainrule.errors import located
from chainrule.graph import Node
from chainrule.run import reference
from chainrule.run.blas import one_thread
from chainrule.run.llvm import workers
from chainrule.run.llvm.cache import default_cache
from chainrule.run.llvm.emit import Code, emit
from chainrule.run.llvm.engine import engine

__all__ = ["Machinery", "build"]

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
    """A work as machine code; by the reference, with a warning, if its plan breaks a rule."""
    try:
        return Machinery(work)
    except PlanError as error:
        kept = default_cache().keep_text(key(work)[:32], error.report, ".txt")
        report = f"The report is in {kept}" if kept else error.report
        warnings.warn(f"{error} It runs by the reference, slowly. {report}", stacklevel=2)
        return reference.build(work)


def aligned(nbytes: int) -> np.ndarray:
    """Bytes that begin at a cache line."""
    raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + nbytes]


class Machinery:
    """A ``Work`` as compiled kernels: see ``compile.work.Built``.

    A table holds addresses: of the error word, the inputs, the outputs, the temporaries.  Each
    ``bind`` has a table of its own; the temporaries are shared, so one call runs at a time.
    """

    def __init__(self, work: Work) -> None:
        self.work, self.lock = work, RLock()
        self.plan = compile_work(work)
        self.arena = aligned(self.plan.arena)
        self.entries: dict[Value, int] = {}
        addresses = [0]
        for value in (*self.plan.inputs, *self.plan.outputs):
            self.entries[value] = len(addresses)
            addresses.append(0)
        for kernel in self.plan.kernels:
            for value in kernel.reads() | kernel.written():
                if value.role == "temp" and value not in self.entries:
                    self.entries[value] = len(addresses)
                    addresses.append(self.arena.ctypes.data + value.place)
        self.addresses = np.array(addresses, np.int64)
        self.segments = self._made(self.plan.stages)
        self.fresh = [_maker(value) for value in self.plan.outputs]
        leaves = set(self.plan.inputs)
        # Checks of what the plan computes come when something may have been written already.
        self.late = any(
            isinstance(kernel, Host) or (kernel.flags and not kernel.reads() <= leaves)
            for kernel in self.plan.kernels
        )
        self._bound = Bound(self)

    # ------------------------------------------------------------ building

    def _made(self, stage: list[int]) -> list[Any]:
        """Tapes of kernels, and the Host kernels between them."""
        kernels = self.plan.kernels
        self.order = sorted(range(len(kernels)), key=lambda k: stage[k])
        codes = {k: emit(k, engine().machine) for k in kernels if isinstance(k, Kernel)}
        texts = [(code.text, "kernel") for code in codes.values()]
        functions = dict(zip(codes, engine().functions(texts), strict=True))
        segments: list[Any] = []
        for host, numbers in groupby(self.order, key=lambda k: isinstance(kernels[k], Host)):
            if host:
                segments += [kernels[k] for k in numbers]
            else:
                segments.append(self._tape(list(numbers), stage, codes, functions))
        return segments

    def _tape(
        self,
        numbers: list[int],
        stage: list[int],
        codes: dict[Kernel, Code],
        functions: dict[Kernel, int],
    ) -> Tape:
        rows, slots, tickets, wait, at = [], [], 0, 0, -1
        for number in numbers:
            kernel = self.plan.kernels[number]
            assert isinstance(kernel, Kernel)
            code = codes[kernel]
            if stage[number] != at:
                at, wait = stage[number], tickets
            places = np.array([self.entries[v] for v in code.arguments], np.int64)
            slots.append(places)
            rows.append([functions[kernel], code.chunks, places.ctypes.data, wait])
            tickets += code.chunks
        return Tape(np.array(rows, np.int64).reshape(-1, 4), slots, tickets)

    # ------------------------------------------------------------ running

    def run(
        self, inputs: list[np.ndarray], places: Sequence[np.ndarray | None]
    ) -> list[np.ndarray]:
        """See ``compile.work.Built``."""
        with self.lock:
            return self._bound.run(inputs, places)

    def bind(
        self, count: int, inputs: Sequence[Any], places: Sequence[np.ndarray | None]
    ) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
        """``run`` for many calls that differ in the first ``count`` inputs alone.

        The other inputs and the places are arrays that stay where they are as long as it is used;
        it holds none of them.
        """
        return Bound(self).bound(count, inputs, places)

    def explain(self, number: int, inputs: list[Any], outputs: list[np.ndarray]) -> None:
        """Raise what the check of a node says of the values that it has seen."""
        node = self.work.nodes[number - 1]
        values = [self._value_of(source, inputs, outputs) for source in node.inputs]
        try:
            node.op.check(*values, **node.meta)
        except Exception as error:
            raise located(error, node.scope, node.where) from None
        raise AssertionError(f"{node} was wrong, and its check finds nothing")

    def _value_of(self, node: Node, inputs: list[Any], outputs: list[np.ndarray]) -> np.ndarray:
        seen = self.plan.refs[node]
        raw = self.array(seen.value, inputs, outputs).reshape(-1)
        strides = tuple(stride * seen.dtype.itemsize for stride in seen.strides)
        return np.lib.stride_tricks.as_strided(raw[seen.offset :], seen.shape, strides)

    def host(self, kernel: Host, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> None:
        """A node by its reference."""
        node = kernel.node
        arrays = [self.array(value, inputs, outputs) for value in kernel.inputs]
        try:
            node.op.check(*arrays, **node.meta)
            with one_thread(), np.errstate(all="ignore"), workers.denormals_flushed():
                result = node.op.reference(*arrays, **node.meta)
        except Exception as error:
            raise located(error, node.scope, node.where) from None
        self.array(kernel.output, inputs, outputs)[...] = result

    def array(
        self, value: Value, inputs: list[np.ndarray], outputs: list[np.ndarray]
    ) -> np.ndarray:
        """Where a value lies now."""
        if value.role == "input":
            return inputs[value.place]
        if value.role == "output":
            return outputs[value.place]
        raw = self.arena[value.place : value.place + value.nbytes]
        return raw.view(value.dtype.numpy).reshape(value.shape)


class Bound:
    """A table of addresses, and the tapes that read it."""

    def __init__(self, machinery: Machinery) -> None:
        self.machinery = machinery
        self._table = machinery.addresses.copy()
        self._error = np.zeros(8, np.int64)
        self._table[0] = self._error.ctypes.data
        self._row = memoryview(self._table)  # type: ignore[arg-type]
        self._errors = memoryview(self._error)  # type: ignore[arg-type]
        table = self._table.ctypes.data
        self._segments = [
            segment.prepared(table) if isinstance(segment, Tape) else segment
            for segment in machinery.segments
        ]
        self._one = self._segments[0] if len(self._segments) == 1 else None

    def run(
        self, inputs: list[np.ndarray], places: Sequence[np.ndarray | None]
    ) -> list[np.ndarray]:
        """One call with other arrays."""
        held = [x if x.flags.c_contiguous else np.array(x, order="C") for x in inputs]
        row, fresh = self._row, self.machinery.fresh
        for number, array in enumerate(held, 1):
            row[number] = address(array)
        outputs = []
        late = self.machinery.late
        for place, make in zip(places, fresh, strict=True):
            array = make() if place is None or late else place
            outputs.append(array)
        for number, array in enumerate(outputs, 1 + len(held)):
            row[number] = address(array)
        self._go(held, outputs)
        if late:
            for k, place in enumerate(places):
                if place is not None:
                    place[...] = outputs[k]
                    outputs[k] = place
        return outputs

    def bound(
        self, count: int, inputs: Sequence[Any], places: Sequence[np.ndarray | None]
    ) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
        """See ``Machinery.bind``."""
        machinery, row = self.machinery, self._row
        if machinery.late or self._one is None or not _plain(inputs[count:]):
            kept = list(inputs[count:])
            return lambda arrays: machinery.run([*arrays, *kept], places)
        first = 1 + len(inputs)
        for number, array in enumerate(inputs[count:], 1 + count):
            row[number] = address(array)
        made: list[tuple[int, int, Callable[[], np.ndarray]]] = []
        for k, (place, make) in enumerate(zip(places, machinery.fresh, strict=True)):
            if place is None:
                made.append((first + k, k, make))
            else:
                row[first + k] = address(place)
        segment, lock, errors = self._one, machinery.lock, self._errors
        many, seen = len(places), [ref(array) for array in inputs[count:]]

        def call(arrays: list[np.ndarray]) -> list[Any]:
            """One call; results that lie in their place are ``None``."""
            results: list[Any] = [None] * many
            with lock:
                number = 1
                for array in arrays:
                    row[number] = address(array)
                    number += 1
                for number, k, make in made:
                    array = results[k] = make()
                    row[number] = address(array)
                if segment():
                    wrong, errors[0] = errors[0], 0
                    machinery.explain(wrong, [*arrays, *(again() for again in seen)], results)
            return results

        return call

    def _go(self, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> None:
        for segment in self._segments:
            if isinstance(segment, Host):
                self.machinery.host(segment, inputs, outputs)
            elif segment():
                wrong, self._errors[0] = self._errors[0], 0
                self.machinery.explain(wrong, inputs, outputs)


def _plain(arrays: Sequence[Any]) -> bool:
    return all(array.flags.c_contiguous for array in arrays)


class Tape:
    """Kernels that run one stage after the other, without a look back to Python."""

    def __init__(self, rows: np.ndarray, slots: list[np.ndarray], tickets: int) -> None:
        self.rows, self._slots, self.tickets = rows, slots, tickets

    def prepared(self, table: int) -> Callable[[], int]:
        """The call that runs it with a table; the error word."""
        threads = workers.get_num_threads() if self.tickets > len(self.rows) else 1
        short = self.tickets == len(self.rows)
        tape = self.rows.ctypes.data
        return workers.prepared(tape, len(self.rows), table, self.tickets, threads, short=short)


def _maker(value: Value) -> Callable[[], np.ndarray]:
    """Makes arrays for an output, with the axes in memory as the plan wants them."""
    shape, kind, empty = value.shape, value.dtype.numpy, np.empty
    if value.strides == dense_strides(shape, range(len(shape))) or not prod(shape):
        return lambda: empty(shape, kind)
    order = sorted(range(len(shape)), key=lambda axis: -value.strides[axis])
    turned, back = tuple(shape[axis] for axis in order), tuple(np.argsort(order).tolist())
    return lambda: empty(turned, kind).transpose(back)
