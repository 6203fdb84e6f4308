"""Running a step's tape, alone or with workers: threads that take tickets.

``driver.py`` says what a tape is and how tickets keep the threads apart.  Here are the threads:
Python's, as daemons, inside one native call for all their life, without the interpreter's lock.  A
worker that has found nothing to do for 2 ms sleeps until a run wakes it; no run ever waits for it.
Where there are no POSIX threads (Windows) the caller works alone.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import time
from collections.abc import Callable
from functools import cache, partial
from threading import Lock, Thread
from typing import TypeVar

import numpy as np

from chainrule.errors import UsageError, message
from chainrule.run.llvm import driver
from chainrule.run.llvm.engine import engine
from chainrule.run.llvm.memory import counter
from chainrule.run.llvm.target import cores

__all__ = [
    "MOST",
    "denormals_flushed",
    "get_num_threads",
    "prepared",
    "run",
    "set_num_threads",
]

MOST = 64
_PATIENCE = 0.5  # seconds that the end of the process waits for workers


_I64, _PTR = ctypes.c_int64, ctypes.c_void_p
_T = TypeVar("_T")


@cache
def _alone(short: bool) -> Callable[..., int]:
    """The driver without workers; ``short``: other Python threads stand still meanwhile."""
    get_num_threads()  # a number that can't be is told by the first run, also of small work
    make = ctypes.PYFUNCTYPE if short else ctypes.CFUNCTYPE
    return make(_I64, _PTR, _I64, _PTR)(engine().function(driver.alone(), "alone"))


class _Pool:
    """A control block and the workers that look at it."""

    def __init__(self, workers: int) -> None:
        names = ("run", "serve", "prepare", "stop")
        texts = [(getattr(driver, name)(), name) for name in names]
        run, *others = engine().functions(texts)
        serve, prepare, stop = map(ctypes.CFUNCTYPE(None, _PTR), others)
        self.run = ctypes.CFUNCTYPE(_I64, _PTR, _PTR, _I64, _PTR, _I64, _I64)(run)
        block = counter.counted(np.zeros(driver.CONTROL_BYTES // 8 + 16, np.int64))
        # A worker may look at it while the interpreter is taken down.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(block))
        self.control = -(-block.ctypes.data // 128) * 128
        prepare(self.control)
        self.stop = partial(stop, self.control)  # lets the workers end, without waiting for them
        self._threads = []
        with contextlib.suppress(RuntimeError):  # the system has no more threads: fewer will do
            for number in range(1, workers + 1):
                thread = Thread(
                    target=serve, args=(self.control,), name=f"chainrule-{number}", daemon=True
                )
                thread.start()
                self._threads.append(thread)

    def join(self, seconds: float) -> None:
        """Wait so long at most."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))


_lock = Lock()  # of what follows
_pool: _Pool | None = None
_threads = 0  # 0: not chosen yet


def get_num_threads() -> int:
    """How many threads compute: the caller and its workers.

    CHAINRULE_THREADS, else as many as the process may use cores.
    """
    global _threads
    if not _threads:
        given = os.environ.get("CHAINRULE_THREADS", "")
        if not given:
            _threads = min(cores(), MOST)
        elif given.isdigit() and 1 <= int(given) <= MOST:
            _threads = int(given)
        else:
            raise UsageError(
                message("CHAINRULE_THREADS", repr(given), f"a number from 1 to {MOST}")
            )
    return _threads


def set_num_threads(n: int) -> None:
    """Compute with n threads, 1 to 64, from the next run on. Results do not depend on it.

    Raises UsageError for another number.
    """
    global _threads
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST:
        raise UsageError(message("set_num_threads", repr(n), f"a whole number from 1 to {MOST}"))
    with _lock:
        if n != _threads:
            _let_go()
        _threads = n


def run(tape: int, kernels: int, table: int, tickets: int, threads: int = MOST) -> int:
    """Run a tape; its error word, 0 if all is well.

    tape, table: addresses; tickets: the chunks of all kernels; threads: 1 for work too small to be
    shared, else all workers that there are now help, and at most threads - 1 are woken.  Other
    Python threads go on; if one of them runs a tape with the workers, this one runs its own alone.
    """
    pool = None if threads == 1 or _threads == 1 else _pool or _start()
    if pool is None:
        return _alone(False)(tape, kernels, table)
    return pool.run(pool.control, tape, kernels, table, tickets, threads)


def prepared(
    tape: int, kernels: int, table: int, tickets: int, threads: int = MOST, *, short: bool = False
) -> Callable[[], int]:
    """``run`` with its arguments made ready: the cheapest call.

    short: for some 50 µs of work, without workers; other Python threads stand still meanwhile,
    which is cheaper.
    """
    if threads > 1 and not short:
        return partial(run, tape, kernels, table, tickets, threads)
    return partial(_alone(short), _PTR(tape), _I64(kernels), _PTR(table))


@cache
def _flushing() -> tuple[Callable[[], int], Callable[[], int], Callable[[int], None]]:
    names = ("denormals", "flush", "restore")
    now, flush, restore = engine().functions([(getattr(driver, name)(), name) for name in names])
    number = ctypes.PYFUNCTYPE(_I64)
    return number(now), number(flush), ctypes.PYFUNCTYPE(None, _I64)(restore)


def denormals_flushed(work: Callable[[], _T]) -> _T:
    """Call ``work``; what NumPy computes in it has no denormals, as in a run.

    No ``with`` block: Ctrl-C may come between a block's end and the ``__exit__`` that follows.
    """
    now, flush, restore = _flushing()
    before = now()
    try:
        flush()
        return work()
    finally:
        restore(before)


def _start() -> _Pool | None:
    """The workers, started if they are wanted and can be."""
    global _pool
    with _lock:
        if _pool is None and get_num_threads() > 1 and os.name == "posix":
            _pool = _Pool(get_num_threads() - 1)
        return _pool


def _let_go() -> _Pool | None:
    """Stop the workers there are; who is in a run with them ends it."""
    global _pool
    pool, _pool = _pool, None
    if pool is not None:
        pool.stop()
    return pool


def _forget() -> None:
    """A child of a fork has the memory of its parent's workers, but not the workers."""
    global _pool, _lock
    _pool, _lock = None, Lock()


def _end() -> None:
    """Before the interpreter goes; who runs a tape even later runs it alone."""
    global _threads
    pool, _threads = _let_go(), 1
    if pool is not None:
        pool.join(_PATIENCE)


atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
