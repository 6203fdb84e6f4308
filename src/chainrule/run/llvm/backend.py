"""Plans that run: kernels compiled, a tape of them, and a table of where their arrays lie."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import prod
from threading import Lock
from typing import Any

import numpy as np

from chainrule.compile.memory import ALIGNMENT
from chainrule.compile.pipeline import compile_work
from chainrule.compile.plan import Host, Kernel, Value, dense_strides
from chainrule.compile.work import Work
from chainrule.errors import located
from chainrule.ops.op import Op
from chainrule.run.blas import one_thread
from chainrule.run.llvm import workers
from chainrule.run.llvm.emit import Code, emit
from chainrule.run.llvm.engine import engine

__all__ = ["Machinery", "build"]

ALONE = 40_000  # elementary operations of a step that is not worth sharing


def build(work: Work) -> Machinery:
    """A work as machine code."""
    return Machinery(work)


def aligned(nbytes: int) -> np.ndarray:
    """Bytes that begin at a cache line."""
    raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + nbytes]


class Machinery:
    """A ``Work`` as compiled kernels: see ``compile.work.Built``.

    The table holds addresses: of the error word, the inputs, the outputs, the temporaries.
    """

    def __init__(self, work: Work) -> None:
        self.work, self._lock = work, Lock()
        self.plan, stage = compile_work(work)
        self._early = [
            (node, [work.inputs.index(source) for source in node.inputs])
            for node in work.nodes
            if type(node.op).check is not Op.check and all(s in work.inputs for s in node.inputs)
        ]
        self._arena = aligned(self.plan.arena)
        self._error = np.zeros(8, np.int64)
        self._entries: dict[Value, int] = {}
        addresses = [self._error.ctypes.data]
        for value in (*self.plan.inputs, *self.plan.outputs):
            self._entries[value] = len(addresses)
            addresses.append(0)
        for kernel in self.plan.kernels:
            for value in kernel.reads() | kernel.written():
                if value.role == "temp" and value not in self._entries:
                    self._entries[value] = len(addresses)
                    addresses.append(self._arena.ctypes.data + value.place)
        self._table = np.array(addresses, np.int64)
        self._segments = self._made(stage)

    # ------------------------------------------------------------ building

    def _made(self, stage: list[int]) -> list[Any]:
        """Tapes of kernels, and the Host kernels between them."""
        kernels = self.plan.kernels
        codes = {k: emit(k, engine().machine) for k in kernels if isinstance(k, Kernel)}
        texts = [(code.text, "kernel") for code in codes.values()]
        functions = dict(zip(codes, engine().functions(texts), strict=True))
        order = sorted(range(len(kernels)), key=lambda k: stage[k])
        self._order = [kernels[k] for k in order]
        segments: list[Any] = []
        for host, numbers in groupby(order, key=lambda k: isinstance(kernels[k], Host)):
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
    ) -> _Tape:
        rows, slots, tickets, wait, at = [], [], 0, 0, -1
        work = 0
        for number in numbers:
            kernel = self.plan.kernels[number]
            assert isinstance(kernel, Kernel)
            code = codes[kernel]
            if stage[number] != at:
                at, wait = stage[number], tickets
            places = np.array([self._entries[v] for v in code.arguments], np.int64)
            slots.append(places)
            rows.append([functions[kernel], code.chunks, places.ctypes.data, wait])
            tickets += code.chunks
            work += code.chunks > 1
        tape = np.array(rows, np.int64).reshape(-1, 4)
        return _Tape(tape, slots, tickets, self._table)

    # ------------------------------------------------------------ running

    def run(
        self, inputs: list[np.ndarray], places: Sequence[np.ndarray | None]
    ) -> list[np.ndarray]:
        """See ``compile.work.Built``."""
        with self._lock:
            return self._run(inputs, places)

    def _run(
        self, inputs: list[np.ndarray], places: Sequence[np.ndarray | None]
    ) -> list[np.ndarray]:
        for node, sources in self._early:
            try:
                node.op.check(*[inputs[s] for s in sources], **node.meta)
            except Exception as error:
                raise located(error, node.scope, node.where) from None
        held = [x if x.flags.c_contiguous else np.array(x, order="C") for x in inputs]
        table = self._table
        for number, array in enumerate(held, 1):
            table[number] = array.ctypes.data
        outputs = []
        for number, (value, place) in enumerate(
            zip(self.plan.outputs, places, strict=True), 1 + len(held)
        ):
            array = _fresh(value) if place is None else place
            outputs.append(array)
            table[number] = array.ctypes.data
        for segment in self._segments:
            if isinstance(segment, _Tape):
                segment.run()
            else:
                self._host(segment, held, outputs)
        return outputs

    def _host(self, kernel: Host, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> None:
        """A node by its reference."""
        node = kernel.node
        arrays = [self._array(value, inputs, outputs) for value in kernel.inputs]
        try:
            node.op.check(*arrays, **node.meta)
            with one_thread(), np.errstate(all="ignore"):
                result = node.op.reference(*arrays, **node.meta)
        except Exception as error:
            raise located(error, node.scope, node.where) from None
        self._array(kernel.output, inputs, outputs)[...] = result

    def _array(
        self, value: Value, inputs: list[np.ndarray], outputs: list[np.ndarray]
    ) -> np.ndarray:
        if value.role == "input":
            return inputs[value.place]
        if value.role == "output":
            return outputs[value.place]
        raw = self._arena[value.place : value.place + value.nbytes]
        return raw.view(value.dtype.numpy).reshape(value.shape)


class _Tape:
    """Kernels that run one stage after the other, without a look back to Python."""

    def __init__(
        self, tape: np.ndarray, slots: list[np.ndarray], tickets: int, table: np.ndarray
    ) -> None:
        self._kept = (tape, slots, table)
        threads = workers.get_num_threads() if tickets > len(tape) else 1
        self.run = workers.prepared(
            tape.ctypes.data, len(tape), table.ctypes.data, tickets, threads
        )


def _fresh(value: Value) -> np.ndarray:
    """An array for an output, with the axes in memory as the plan wants them."""
    order = sorted(range(len(value.shape)), key=lambda axis: -value.strides[axis])
    if value.strides == dense_strides(value.shape, range(len(value.shape))) or not prod(
        value.shape
    ):
        return np.empty(value.shape, value.dtype.numpy)
    turned = np.empty(tuple(value.shape[axis] for axis in order), value.dtype.numpy)
    return turned.transpose(np.argsort(order))
