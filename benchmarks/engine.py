"""The engine's own figures: ``python benchmarks/engine.py [FIGURE]``, all without a word.

Ratios of runs of the same process in turn, on a machine that should do nothing else.  The race with
other libraries is ``chainrule bench``; what one kernel costs is ``chainrule plan --time``.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import chainrule as cr
from chainrule import nn

Step = Callable[[], object]


def lenet() -> nn.Module:
    """The LeNet of the race: 1 and 6 channels, 5×5 kernels."""
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def step_of(model: nn.Module, x: np.ndarray, lr: float = 1e-6) -> Step:
    """A compiled training step on one batch, warmed up."""
    optimizer = cr.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    inputs, labels = cr.tensor(x), cr.tensor(np.arange(len(x)) % 10)

    @cr.compile
    def step(inputs: cr.Tensor, labels: cr.Tensor) -> cr.Tensor:
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(3):
        step(inputs, labels)
    return lambda: step(inputs, labels)


def seconds(*steps: Step, rounds: int = 9, least: float = 0.1) -> list[float]:
    """The median time of each, measured in turn."""
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(rounds):
        for step, found in zip(steps, times, strict=True):
            count, begun = 0, time.perf_counter()
            while time.perf_counter() - begun < least:
                step()
                count += 1
            found.append((time.perf_counter() - begun) / count)
    return [statistics.median(found) for found in times]


def images(batch: int = 64) -> np.ndarray:
    """Numbers from 0 to 1 as images."""
    return np.random.default_rng(0).random((batch, 1, 28, 28), np.float32)


def special_numbers() -> None:
    """A step on NaN, on infinity and on denormals, against one on plain numbers."""
    cases = {}
    for name, number in (("plain", 1.0), ("NaN", np.nan), ("∞", np.inf), ("denormal", 1e-40)):
        cr.manual_seed(0)
        cases[name] = step_of(lenet(), images() * np.float32(number))
    plain, *others = seconds(*cases.values())
    found = ", ".join(
        f"{name} {t / plain:.2f}" for name, t in zip(list(cases)[1:], others, strict=True)
    )
    print(f"LeNet's step on special numbers, to that on plain ones: {found}")


def odd_shapes() -> None:
    """A layer with odd sizes against its round neighbour, per multiply-add."""

    def layer(n: int, c: int, h: int, w: int, k: int, f: int) -> tuple[Step, int]:
        cr.manual_seed(0)
        size = k * (h - f + 1) * (w - f + 1)
        model = nn.Sequential(nn.Conv2d(c, k, f), nn.ReLU(), nn.Flatten(), nn.Linear(size, 10))
        x = np.random.default_rng(0).random((n, c, h, w), np.float32)
        work = n * (h - f + 1) * (w - f + 1) * k * c * f * f + n * size * 10
        return step_of(model, x), work

    (odd, odd_work), (even, even_work) = layer(37, 5, 13, 19, 7, 3), layer(32, 8, 14, 18, 8, 3)
    a, b = seconds(odd, even)
    ratio = (a / odd_work) / (b / even_work)
    print(f"N=37 C=5 K=7 13×19 against N=32 C=8 K=8 14×18, per multiply-add: {ratio:.2f}")


def one_core() -> None:
    """Two threads pinned on one core, against one thread."""
    program = (
        "import os, sys; os.sched_setaffinity(0, {0}); sys.path.insert(0, sys.argv[1]);"
        "import engine; engine.np.random.seed(0); step = engine.step_of(engine.lenet(), "
        "engine.images()); print(engine.seconds(step)[0])"
    )

    def run(threads: int) -> float:
        environment = {**os.environ, "CHAINRULE_THREADS": str(threads)}
        command = [sys.executable, "-c", program, str(Path(__file__).parent)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return float(done.stdout)

    one, two = run(1), run(2)
    print(f"LeNet's step with two threads on one core, to one thread: {two / one:.2f}")


def idle() -> None:
    """The processor's time of a process that has trained and waits 10 s."""
    step_of(lenet(), images())()
    time.sleep(0.1)
    before = resource.getrusage(resource.RUSAGE_SELF)
    time.sleep(10)
    after = resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"idle for 10 s: {used / 10:.2%} of a core")


def loader() -> None:
    """How long the loader needs for 64 images from memory."""
    dataset = cr.data.TensorDataset(cr.tensor(images(20_000)), cr.arange(20_000) % 10)
    times = []
    batches = iter(cr.data.DataLoader(dataset, batch_size=64, shuffle=True))
    for _ in range(300):
        begun = time.perf_counter()
        next(batches)
        times.append(time.perf_counter() - begun)
    print(f"64 images from memory: {1e3 * statistics.median(times):.2f} ms")


FIGURES = {
    "special": special_numbers,
    "odd": odd_shapes,
    "core": one_core,
    "idle": idle,
    "loader": loader,
}


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("figure", nargs="?", choices=[*FIGURES, "all"], default="all")
    chosen = parser.parse_args().figure
    for name, figure in FIGURES.items():
        if chosen in (name, "all"):
            figure()


if __name__ == "__main__":
    main()
