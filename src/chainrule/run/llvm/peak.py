"""The measured peak: fused multiply-adds in a second, with nothing to load and nothing to store."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from chainrule.run.llvm.engine import engine
from chainrule.run.llvm.text import Text

__all__ = ["peak"]

CHAINS = 12  # latency × units at most: each chain waits for itself alone, and 16 registers hold all
TURNS = 1 << 22  # of a run: some 8 ms, beside which starting threads is nothing


def peak(threads: int, seconds: float = 0.1) -> float:
    """The most floating-point operations (2 for a multiply-add) a second that were seen, in f32.

    Several short runs, on as many threads at once, and the best of them: what a core that is ours
    alone can do.
    """
    machine = engine().machine
    lanes = machine.vector // 4
    address = engine().function(_text(lanes, machine.has_fma), "peak")
    chains = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64)(address)
    best, end = 0.0, time.perf_counter() + seconds
    while True:
        taken = _seconds_of(chains, threads)
        best = max(best, 2 * CHAINS * lanes * TURNS * threads / taken)
        if time.perf_counter() > end:
            return best


def _text(lanes: int, has_fma: bool) -> str:
    """acc[k] = ½ acc[k] + ½, again and again: all of them stay near 1."""
    kind = f"<{lanes} x float>"
    text = Text("peak", ["i64 %turns"], result="float")
    half = _all_lanes(text, lanes, "0.5")

    def multiply_add(acc: str) -> str:
        if has_fma:
            return text.call(kind, f"llvm.fma.v{lanes}f32", (kind, acc), (kind, half), (kind, half))
        return text.let(f"fadd {kind} {text.let(f'fmul {kind} {acc}, {half}')}, {half}")

    firsts = [(kind, _all_lanes(text, lanes, f"{1 + k}.0")) for k in range(CHAINS)]
    with text.loop("0", "%turns", carried=firsts) as loop:
        loop.next = [multiply_add(acc) for acc in loop.values]
    total = loop.values[0]
    for acc in loop.values[1:]:
        total = text.let(f"fadd {kind} {total}, {acc}")
    text.do(f"ret float {text.let(f'extractelement {kind} {total}, i64 0')}")
    return text.module()


def _all_lanes(text: Text, lanes: int, number: str) -> str:
    """A vector with one number in all lanes."""
    kind = f"<{lanes} x float>"
    one = text.at_entry(f"insertelement {kind} poison, float {number}, i64 0")
    mask = f"<{lanes} x i32> zeroinitializer"
    return text.at_entry(f"shufflevector {kind} {one}, {kind} poison, {mask}")


def _seconds_of(chains: Callable[[int], float], threads: int) -> float:
    """The time of one run on each of the threads; ctypes lets go of the interpreter's lock."""
    with ThreadPoolExecutor(threads) as pool:
        begin = time.perf_counter()
        list(pool.map(chains, [TURNS] * threads))
        return time.perf_counter() - begin
