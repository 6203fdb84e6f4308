"""The measured stream: bytes in a second, read and written with nothing to compute."""

from __future__ import annotations

import ctypes
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

from chainrule.compile.cost import Speeds
from chainrule.run.llvm.engine import engine
from chainrule.run.llvm.peak import peak
from chainrule.run.llvm.text import Text

__all__ = ["speeds", "stream"]

AT_ONCE = 4  # vectors of a turn


def stream(nbytes: int, threads: int, seconds: float = 0.02) -> float:
    """Bytes a second, the best of some runs: each thread copies its part of ``nbytes``.

    nbytes: of source and copy together, of all threads.
    """
    lanes = engine().machine.vector // 4
    step = 4 * lanes * AT_ONCE  # bytes of a turn
    part = max(nbytes // (2 * threads) // step, 1) * step
    arrays = [(np.ones(part, np.uint8), np.ones(part, np.uint8)) for _ in range(threads)]
    address = engine().function(_text(lanes), "stream")
    kinds = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
    copy = ctypes.CFUNCTYPE(None, *kinds)(address)
    turns = max(1, (4 << 20) // part)
    places = [(to.ctypes.data, source.ctypes.data) for to, source in arrays]
    best, end = 0.0, time.perf_counter() + seconds
    with ThreadPoolExecutor(threads) as pool:
        while True:
            begin = time.perf_counter()
            list(pool.map(lambda place: copy(*place, part // 4, turns), places))
            best = max(best, 2 * part * threads * turns / (time.perf_counter() - begin))
            if time.perf_counter() > end:
                return best


@cache
def speeds(threads: int) -> Speeds:
    """What so many threads can do here, measured once in a process: 0.4 s."""
    machine = engine().machine
    inside = threads * machine.l2
    return Speeds(
        operations=peak(threads, 0.3),
        cached=stream(inside // 2, threads),
        memory=stream(max(4 * machine.l3, 1 << 26), threads, 0.05),
        cache=inside + machine.l3,
    )


def _text(lanes: int) -> str:
    """to[i] = from[i], f32, ``turns`` times."""
    kind = f"<{lanes} x float>"
    text = Text("stream", ["ptr %to", "ptr %from", "i64 %n", "i64 %turns"])
    with (
        text.loop("0", "%turns"),
        text.loop("0", "%n", str(lanes * AT_ONCE)) as loop,
    ):
        for k in range(AT_ONCE):
            place = text.add(loop.index, str(k * lanes))
            loaded = text.load(kind, text.at("float", "%from", place), 4)
            text.store(kind, loaded, text.at("float", "%to", place), 4)
    text.do("ret void")
    return text.module()
