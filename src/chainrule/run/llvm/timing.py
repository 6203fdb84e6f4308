"""How long each kernel of a plan takes, alone, with its data where the last run left them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from chainrule.compile.plan import Value
from chainrule.run.llvm import workers
from chainrule.run.llvm.backend import Machinery, Tape
from chainrule.run.llvm.kept import HostCall

__all__ = ["chunks_of", "seconds_of_kernels"]

LEAST = 200e-6  # seconds of a run, which is of one kernel again and again
RUNS = 7  # whose median counts
MOST = 1 << 14


def chunks_of(machinery: Machinery) -> list[int]:
    """Into how many pieces the work of each kernel is cut."""
    found = [1] * len(machinery.plan.kernels)
    for number, tape, row in _rows(machinery):
        if isinstance(tape, Tape):
            found[number] = int(tape.rows[row, 1])
    return found


def seconds_of_kernels(machinery: Machinery, seed: int = 0) -> tuple[list[float], float]:
    """The median seconds of each kernel in a plan's order, and those of the whole, on random data.

    Floating-point inputs are uniform in 0 … 1, all others 0.
    """
    rng = np.random.default_rng(seed)
    plan = machinery.plan
    inputs = [_data(value, rng) for value in plan.inputs]
    outputs = [make() for make in machinery.fresh]
    table, error = machinery.addresses.copy(), np.zeros(8, np.int64)
    table[0] = error.ctypes.data
    for number, array in enumerate([*inputs, *outputs], 1):
        table[number] = array.ctypes.data
    machinery.run(inputs, outputs)  # the temporaries hold what they do in a step
    whole = _median(lambda: machinery.run(inputs, outputs), 1)
    found = [0.0] * len(plan.kernels)
    for number, tape, row in _rows(machinery):
        if isinstance(tape, HostCall):

            def by_reference(call: HostCall = tape) -> None:
                machinery.host(call, inputs, outputs)

            found[number] = _median(by_reference, 1)
        else:
            found[number] = _alone(tape, row, table)
    return found, whole


def _rows(machinery: Machinery) -> list[tuple[int, Tape | HostCall, int]]:
    """Each kernel's number, with the tape and its row there, or the call of the host."""
    found: list[tuple[int, Tape | HostCall, int]] = []
    order = machinery.order
    for segment in machinery.segments:
        many = len(segment.rows) if isinstance(segment, Tape) else 1
        for row in range(many):
            found.append((order[len(found)], segment, row))
    return found


def _data(value: Value, rng: np.random.Generator) -> np.ndarray:
    if value.dtype.is_floating_point:
        return rng.random(value.shape).astype(value.dtype.numpy)
    return np.zeros(value.shape, value.dtype.numpy)


def _alone(tape: Tape, row: int, table: np.ndarray) -> float:
    """A kernel again and again on a tape of its own, one after the other as if they depended."""
    repeats = 1
    while True:
        rows = np.repeat(tape.rows[row : row + 1], repeats, axis=0)
        chunks = int(rows[0, 1])
        rows[:, 3] = np.arange(repeats) * chunks
        threads = workers.MOST if chunks > 1 else 1
        call = workers.prepared(
            rows.ctypes.data, repeats, table.ctypes.data, repeats * chunks, threads
        )
        call()
        begin = time.perf_counter()
        call()
        taken = time.perf_counter() - begin
        if taken > LEAST or repeats >= MOST:
            return _median(call, repeats)
        repeats *= 2 if taken > LEAST / 16 else 16


def _median(call: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds) / repeats
