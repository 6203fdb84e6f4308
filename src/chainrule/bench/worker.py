"""A process with one contestant: it builds its network, then does what it reads, line by line.

Orders and answers are JSON on standard input and output.  It needs NumPy and the contestant's
library alone, so that its memory and its times are that library's.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chainrule.bench.networks import NETWORKS

__all__ = ["CONTESTANTS", "main"]

# name: (module of this folder, its class, mode)
CONTESTANTS = {
    "plain": ("with_chainrule", "Chainrule", "plain"),
    "compiled": ("with_chainrule", "Chainrule", "compiled"),
    "pytorch": ("with_torch", "Torch", "eager"),
    "channels-last": ("with_torch", "Torch", "channels_last"),
    "torch-compile": ("with_torch", "Torch", "compile"),
    "jax": ("with_jax", "Jax", "jit"),
    "tensorflow": ("with_tensorflow", "TensorFlow", "graph"),
}
STEPS_COMPARED = 20
# Timed steps hardly move the weights.  Trained on one batch for thousands of steps, units would
# die and their momentum decay to denormals: 22 times the time, for those who don't flush them.
LR_WHILE_TIMED = 1e-6
GROUP = 0.01  # seconds between two looks at the clock, so that JAX may run ahead in between


class Worker:
    """The orders, each a method; what it returns is the answer."""

    def __init__(self, contestant: str, network: str, scale: dict[str, int], threads: int) -> None:
        if hasattr(os, "sched_setaffinity"):  # JAX takes as many threads as it may use cores
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        module, name, mode = CONTESTANTS[contestant]
        kind = getattr(importlib.import_module(f"chainrule.bench.{module}"), name)
        self.network = NETWORKS[network](**scale)
        self.contestant = kind(self.network, mode, threads)
        self.calls: dict[str, tuple[Callable[[], Any], int]] = {}
        self.busy = time.process_time()

    def first(self) -> dict[str, Any]:
        """The first training step, from the call to its loss."""
        begin = time.perf_counter()
        self.contestant.step()
        loss = self.contestant.loss()
        return {"seconds": time.perf_counter() - begin, "loss": loss}

    def losses(self, seconds: float) -> dict[str, Any]:
        """The losses of the steps behind the first; fewer where they last long."""
        found: list[float] = []
        end = time.perf_counter() + seconds
        while len(found) < STEPS_COMPARED - 1 and (len(found) < 4 or time.perf_counter() < end):
            self.contestant.step()
            found.append(self.contestant.loss())
        self.contestant.learning_rate(LR_WHILE_TIMED)
        self._prepare("train", self.contestant.step)
        return {"losses": found}

    def inference(self, batch: int) -> dict[str, Any]:
        """Get ready to compute outputs of batches of this size; the first call's seconds."""
        begin = time.perf_counter()
        call = self.contestant.inference(batch)
        call()
        seconds = time.perf_counter() - begin
        self._prepare(f"inference {batch}", call)
        return {f"first_inference_{batch}": seconds}

    def _prepare(self, what: str, call: Callable[[], Any]) -> None:
        """Find how many calls make a group: one that lasts 10 ms, or a single call."""
        calls = 1
        while (taken := self._group(call, calls) * calls) < GROUP:
            calls = max(2 * calls, min(round(calls * GROUP / taken), 16 * calls))
        self.calls[what] = call, calls

    def _group(self, call: Callable[[], Any], calls: int) -> float:
        """The mean seconds of calls in a row."""
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        self.contestant.wait()
        return (time.perf_counter() - begin) / calls

    def burst(self, what: str, seconds: float) -> dict[str, Any]:
        """The seconds a call, group by group; and the processor's time used since the last burst.

        A sixth of the time is for getting warm again: others ran in the meantime.
        """
        idle = time.process_time() - self.busy
        call, calls = self.calls[what]
        begin = time.perf_counter()
        warm, end, times = begin + seconds / 6, begin + seconds, []
        while not times or time.perf_counter() < end:
            began = time.perf_counter()
            taken = self._group(call, calls)
            if began >= warm or taken * calls > seconds:
                times.append(taken)
        self.busy = time.process_time()
        return {"times": times, "idle": idle}

    def memory(self) -> dict[str, Any]:
        """The most memory that the process has held, in bytes."""
        return {"bytes": peak_memory()}


def peak_memory() -> int | None:
    """The most memory that this process has held, in bytes; None where the system can't tell.

    Linux hands ru_maxrss on from the parent through fork and exec; VmHWM is the program's own.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return 1024 * int(lines["VmHWM"].split()[0])
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def main() -> None:
    """Read orders until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    worker = None
    for line in sys.stdin:
        order = json.loads(line)
        what = order.pop("order")
        try:
            if what == "build":
                worker = Worker(**order)
                answer({})
            else:
                answer(getattr(worker, what)(**order))
        except Exception as error:
            words = str(error).strip().splitlines() or [""]
            answer({"error": f"{type(error).__name__}: {words[0]}"})


if __name__ == "__main__":
    main()
