"""A race: contestants in processes of their own, which run in turn, a burst each, round by round.

So a slow moment of a shared machine hits all of them, and the medians stay comparable.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np

from chainrule.bench.networks import NETWORKS
from chainrule.bench.worker import CONTESTANTS

__all__ = [
    "GROWTH",
    "LABELS",
    "LIBRARIES",
    "OURS",
    "Plan",
    "compare",
    "contestants_of",
    "race",
    "spread",
]

LABELS = {
    "plain": "Chainrule, plain loop",
    "compiled": "Chainrule, compiled",
    "pytorch": "PyTorch eager",
    "channels-last": "PyTorch channels_last",
    "torch-compile": "PyTorch compile",
    "jax": "JAX jit",
    "tensorflow": "TensorFlow graph",
}
# contestant: (the library's module, what pip installs)
LIBRARIES = {
    "plain": ("chainrule", "chainrule"),
    "compiled": ("chainrule", "chainrule"),
    "pytorch": ("torch", "torch==2.13.0"),
    "channels-last": ("torch", "torch==2.13.0"),
    "torch-compile": ("torch", "torch==2.13.0"),
    "jax": ("jax", "jax"),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
}
OURS = tuple(name for name, (module, _) in LIBRARIES.items() if module == "chainrule")
FOLDER = Path(__file__).parents[1]
# The package chainrule without its __init__: a peer's process must not carry our memory.
START = f"""
import sys, types
package = types.ModuleType("chainrule")
package.__path__ = [{str(FOLDER)!r}]
sys.modules["chainrule"] = package
from chainrule.bench.worker import main
main()
"""
CLOSE, CLOSE_AT_20 = 1e-4, 1e-2  # relative differences of losses: first 5 steps, up to 20

Tell = Callable[[str], None]


class LeftOutError(Exception):
    """A contestant can't take part; the message says why."""


@dataclass
class Plan:
    """What a race does; ``seconds`` is each contestant's whole time for bursts."""

    network: str
    contestants: Sequence[str]
    threads: int = 2
    rounds: int = 5
    seconds: float = 10.0
    training: bool = True
    inference: bool = True
    cold: bool = True  # a process before it, with empty caches
    scale: Mapping[str, int] = field(default_factory=dict)


# What grows, and by which factors; the first of each network's races is ×1.
GROWTH = {
    "mlp": [{what: by} for what in ("batch", "width", "depth") for by in (2, 4, 8)],
    "lenet": [{what: by} for what in ("batch", "width", "depth") for by in (2, 4, 8)],
    "resnet18": [{"batch": 2}],
}


def contestants_of(network: str, chosen: Sequence[str] = tuple(CONTESTANTS)) -> list[str]:
    """Those that make sense: channels_last needs channels, TensorFlow is there for AlexNet."""
    channels = len(NETWORKS[network]().input_shape) > 1
    fits = {"channels-last": channels, "tensorflow": network == "alexnet"}
    return [name for name in CONTESTANTS if name in chosen and fits.get(name, True)]


class Process:
    """A worker, spoken to from here."""

    def __init__(self, plan: Plan, contestant: str, caches: Path, log: IO[bytes]) -> None:
        own = contestant in OURS
        how = ["-m", "chainrule.bench.worker"] if own else ["-c", START]
        self.log = log
        self.child = subprocess.Popen(
            [sys.executable, *how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | _environment(caches, plan.threads),
        )

    def ask(self, order: str, **settings: Any) -> dict[str, Any]:
        """One order, one answer; raises LeftOutError where the worker failed."""
        assert self.child.stdin and self.child.stdout
        try:
            self.child.stdin.write(json.dumps({"order": order, **settings}) + "\n")
            self.child.stdin.flush()
            line = self.child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise LeftOutError(f"its process ended: {_last_line(self.log)}")
        answer = json.loads(line)
        if "error" in answer:
            raise LeftOutError(answer["error"])
        return answer

    def end(self) -> None:
        """Let the worker go; it leaves nothing behind."""
        assert self.child.stdin and self.child.stdout
        with suppress(BrokenPipeError):
            self.child.stdin.close()
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()


def _environment(caches: Path, threads: int) -> dict[str, str]:
    """Threads, and caches that are nobody else's."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "CHAINRULE_CACHE": str(caches / "chainrule"),
        "TORCHINDUCTOR_CACHE_DIR": str(caches / "torch"),
        "JAX_COMPILATION_CACHE_DIR": str(caches / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "JAX_PLATFORMS": "cpu",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "without a word"


# ---------------------------------------------------------------- one race


def race(plan: Plan, tell: Tell = lambda what: None) -> dict[str, Any]:
    """Run it; the figures of every contestant, or why it was left out or broke off."""
    network = NETWORKS[plan.network](**plan.scale)
    with tempfile.TemporaryDirectory() as name, ExitStack() as processes:
        course = _Course(plan, tell)
        for contestant in plan.contestants:
            course.start(contestant, Path(name) / contestant, processes)
        if plan.training:
            course.rounds("train", 0.6 if plan.inference else 1.0)
            course.ask_all("memory")
        if plan.inference:
            for batch in dict.fromkeys((1, network.batch)):
                course.ask_all("inference", batch=batch)
                course.rounds(f"inference {batch}", 0.2 if plan.training else 0.5)
    compare(course.results)
    return {
        "network": plan.network,
        "batch": network.batch,
        "scale": dict(plan.scale),
        "flops": network.flops(network.batch, training=True),
        "contestants": course.results,
    }


class _Course:
    """A race while it runs: the processes that are in it, and the figures so far."""

    def __init__(self, plan: Plan, tell: Tell) -> None:
        self.plan, self.tell = plan, tell
        self.running: dict[str, Process] = {}
        self.results: dict[str, dict[str, Any]] = {}

    def start(self, contestant: str, caches: Path, processes: ExitStack) -> None:
        """The first steps, with empty caches in a process before it, then for good."""
        result = self.results[contestant] = {}
        module, package = LIBRARIES[contestant]
        try:
            if find_spec(module) is None:
                raise LeftOutError(f"not installed: pip install {package}")
            if self.plan.cold:
                self.tell(f"{LABELS[contestant]}: first step, cold")
                with _process(self.plan, contestant, caches) as process:
                    result["first_cold"] = process.ask("first")["seconds"]
            self.tell(f"{LABELS[contestant]}: first steps")
            process = processes.enter_context(_process(self.plan, contestant, caches))
            first = process.ask("first")
            if self.plan.cold:
                result["first_warm"] = first["seconds"]
            found = process.ask("losses", seconds=6 * self.plan.seconds)
            result["losses"] = [first["loss"], *found["losses"]]
            self.running[contestant] = process
        except LeftOutError as reason:
            self.results[contestant] = {"left_out": str(reason)}

    def ask(self, contestant: str, order: str, **settings: Any) -> dict[str, Any] | None:
        """The answer, or None where the contestant breaks off: the others go on."""
        try:
            return self.running[contestant].ask(order, **settings)
        except LeftOutError as reason:
            del self.running[contestant]
            self.results[contestant]["broke_off"] = str(reason)
            return None

    def ask_all(self, order: str, **settings: Any) -> None:
        """Ask everyone, and put the answers among the figures."""
        for contestant in list(self.running):
            self.results[contestant] |= self.ask(contestant, order, **settings) or {}

    def rounds(self, what: str, share: float) -> None:
        """A, B, C, A, B, C …; a round begins with another contestant each time."""
        seconds = share * self.plan.seconds / self.plan.rounds
        times: dict[str, list[float]] = {name: [] for name in self.running}
        idle, waited = dict.fromkeys(times, 0.0), dict.fromkeys(times, 0.0)
        since: dict[str, float] = {}
        for number in range(self.plan.rounds):
            for contestant in _turned(list(self.running), number):
                self.tell(f"{LABELS[contestant]}: {what}, {number + 1} of {self.plan.rounds}")
                begin = time.perf_counter()
                answer = self.ask(contestant, "burst", what=what, seconds=seconds)
                if answer is None:
                    continue
                times[contestant] += answer["times"]
                if contestant in since:
                    idle[contestant] += answer["idle"]
                    waited[contestant] += begin - since[contestant]
                since[contestant] = time.perf_counter()
        for contestant in self.running:
            self.results[contestant][what] = spread(times[contestant])
            if waited[contestant]:
                share_of_core = idle[contestant] / waited[contestant]
                self.results[contestant][what]["idle"] = share_of_core


@contextmanager
def _process(plan: Plan, contestant: str, caches: Path) -> Iterator[Process]:
    """A worker that has built its network."""
    caches.mkdir(exist_ok=True)
    with tempfile.TemporaryFile() as log:
        process = Process(plan, contestant, caches, log)
        try:
            settings = {"network": plan.network, "scale": dict(plan.scale), "threads": plan.threads}
            process.ask("build", contestant=contestant, **settings)
            yield process
        except BaseException:  # Ctrl-C does not wait for what a worker is at
            process.child.kill()
            raise
        finally:
            process.end()


def _turned(names: list[str], by: int) -> list[str]:
    start = by % len(names) if names else 0
    return names[start:] + names[:start]


def spread(times: Sequence[float]) -> dict[str, float]:
    """Median, quartiles and the least of all in seconds, and of how many groups of calls."""
    least, low, median, high = np.quantile(times, (0, 0.25, 0.5, 0.75)).tolist()
    return {"median": median, "low": low, "high": high, "least": least, "groups": len(times)}


def compare(results: dict[str, Any]) -> None:
    """Add to each contestant how far its losses are from PyTorch's, or from the first other's.

    ``differs`` is a sentence where it is too far: the numbers beside it mean little then.
    """
    having = {name: found["losses"] for name, found in results.items() if "losses" in found}
    peers = [name for name in having if name not in OURS]
    against = "pytorch" if "pytorch" in peers else (peers or list(having) or [""])[0]
    for name, losses in having.items():
        result = results[name]
        result["compared_with"] = against
        if name == against:
            continue
        pairs = zip(losses, having[against], strict=False)
        apart = [abs(a - b) / max(abs(b), 1e-30) for a, b in pairs]
        result["loss_difference"] = max(apart[:5]), max(apart)
        for step, value in enumerate(apart):
            if not value <= (CLOSE if step < 5 else CLOSE_AT_20):  # NaN is too far
                result["differs"] = f"loss of step {step + 1} differs by {value:.0e}"
                break
