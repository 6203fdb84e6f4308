"""The random streams: who owns the seed and the draw numbers.

A random number is a pure function of (seed, stream, draw, place).  Five streams, one per purpose,
count their own draws, so that shuffling differently does not change the dropout masks, and
evaluating does not move training.  A state is two small numbers per stream, saved and restored.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from operator import index
from typing import Any

import numpy as np

from chainrule.errors import UsageError, message
from chainrule.forks import unlocked_in_children
from chainrule.ops.random import random_words
from chainrule.ops.scalars import ndtri

__all__ = [
    "STREAMS",
    "Generator",
    "Stream",
    "default_generator",
    "get_state",
    "initial_seed",
    "manual_seed",
    "noted",
    "seed",
    "set_state",
    "stream",
]

STREAMS = {"default": 0, "init": 1, "shuffle": 2, "augmentation": 3, "dropout": 4}

Size = int | tuple[int, ...]


class _Thread(threading.local):
    reserved: list[tuple[Stream, int]] | None = None  # what a trace in this thread draws


_thread = _Thread()


@contextmanager
def noted() -> Iterator[list[tuple[Stream, int]]]:
    """What this thread reserves in the block, (stream, count) in order."""
    before, _thread.reserved = _thread.reserved, []
    try:
        yield _thread.reserved
    finally:
        _thread.reserved = before


class Stream:
    """One sequence of draws.  Each call takes the next draw number and returns NumPy values.

    >>> dice = Stream(seed=1, number=0)
    >>> dice.integers(1, 7, 5).tolist(), dice.integers(1, 7, 5).tolist(), dice.draws
    ([5, 6, 4, 4, 5], [6, 6, 1, 4, 5], 2)
    """

    def __init__(self, seed: int, number: int, draws: int = 0) -> None:
        self.seed, self.number, self.draws = seed, number, draws
        self.unlock()
        unlocked_in_children(self)

    def unlock(self) -> None:
        """See ``forks.Lockable``."""
        self._lock = threading.Lock()

    def next_draw(self) -> tuple[int, int, int]:
        """(seed, stream, draw) for ``ops.random``: the draw number is used up."""
        return self.reserve(1)

    def reserve(self, count: int) -> tuple[int, int, int]:
        """(seed, stream, first draw) of ``count`` draws in a row, all of them used up."""
        if _thread.reserved is not None:
            _thread.reserved.append((self, count))
        with self._lock:
            self.draws += count
            return self.seed, self.number, self.draws - count

    def give_back(self, count: int) -> None:
        """The last draws were not used: the next ones will be these again."""
        with self._lock:
            self.draws -= count

    def child(self) -> Stream:
        """A stream of its own under the next draw number, for a worker or a single sample.

        So the numbers belong to the sample, whichever worker prepares it, in whatever order.
        """
        seed, number, draw = self.next_draw()
        if draw >> 32:
            raise UsageError(message("Stream.child", "a child", "a stream that is no child itself"))
        return Stream(seed, number, (draw + 1) << 32)

    def uniform(self, low: float = 0.0, high: float = 1.0, size: Size = ()) -> np.ndarray:
        """Numbers low ≤ x < high, float64, 53 bits each."""
        first, second = self._pairs(size)
        return low + (high - low) * (((first >> 5) * 2.0**26 + (second >> 6)) * 2.0**-53)

    def normal(self, size: Size = ()) -> np.ndarray:
        """Standard normal numbers, float64."""
        first, second = self._pairs(size)
        return ndtri((first * 2.0**20 + (second >> 12) + 0.5) * 2.0**-52)[()]

    def integers(self, low: int, high: int, size: Size = ()) -> np.ndarray:
        """Whole numbers low ≤ x < high, int64."""
        if high <= low:
            raise UsageError(message("integers", f"low={low}, high={high}", "low < high"))
        return low + self._keys(size) % (high - low)

    def permutation(self, n: int) -> np.ndarray:
        """The numbers 0 … n - 1 in random order, int64."""
        return np.argsort(self._keys(n), kind="stable").astype(np.int64, copy=False)

    def _pairs(self, size: Size) -> tuple[np.ndarray, np.ndarray]:
        shape = tuple(size) if isinstance(size, Sequence) else (index(size),)
        words = random_words(*self.next_draw(), 2 * prod(shape)).reshape(*shape, 2)
        return words[..., 0], words[..., 1]

    def _keys(self, size: Size) -> np.ndarray:
        first, second = self._pairs(size)
        return (first >> 1) * 2**31 + (second >> 1)

    def __reduce__(self):
        return Stream, (self.seed, self.number, self.draws)

    def __repr__(self) -> str:
        return f"Stream(seed={self.seed}, number={self.number}, draws={self.draws})"


class Generator:
    """A seed with its five streams.

    Without a seed it chooses one, which ``initial_seed()`` tells, so that any run can be repeated.

    >>> Generator(7).stream("shuffle").permutation(5).tolist()
    [3, 0, 2, 1, 4]
    """

    def __init__(self, seed: int | None = None) -> None:
        self._streams = {name: Stream(0, number) for name, number in STREAMS.items()}
        self._seed = 0
        self.manual_seed(_unchosen() if seed is None else seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start all streams again under this seed, a whole number from -2⁶³ to 2⁶⁴ - 1."""
        whole = hasattr(seed, "__index__")
        if not whole or not -(2**63) <= index(seed) < 2**64:
            needs = "a whole number from -2⁶³ to 2⁶⁴ - 1"
            raise UsageError(message("manual_seed", repr(seed), needs))
        self._seed = index(seed)
        self._restart({})
        return self

    def seed(self) -> int:
        """Start all streams again under a seed that nobody chose, and return it."""
        return self.manual_seed(_unchosen()).initial_seed()

    def initial_seed(self) -> int:
        """The seed that is in force."""
        return self._seed

    def stream(self, name: str = "default") -> Stream:
        """One of the streams "default", "init", "shuffle", "augmentation", "dropout"."""
        if name not in self._streams:
            needs = "one of " + ", ".join(self._streams)
            raise UsageError(message("stream", repr(name), needs))
        return self._streams[name]

    def get_state(self) -> dict[str, Any]:
        """The seed and how many draws each stream has made: numbers and names, ready for JSON."""
        draws = {name: stream.draws for name, stream in self._streams.items()}
        return {"seed": self._seed, "draws": draws}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where ``get_state`` was called; a stream that it does not name starts at 0."""
        for name in state["draws"]:
            self.stream(name)
        self.manual_seed(state["seed"])
        self._restart(state["draws"])

    def _restart(self, draws: Mapping[str, int]) -> None:
        signed = (self._seed + 2**63) % 2**64 - 2**63  # as an int64 holds it
        for name, stream in self._streams.items():
            stream.seed, stream.draws = signed, draws.get(name, 0)

    def __repr__(self) -> str:
        return f"<Generator with seed {self._seed}>"


def _unchosen() -> int:
    return int.from_bytes(os.urandom(6), "big")


default_generator = Generator()

manual_seed = default_generator.manual_seed
seed = default_generator.seed
initial_seed = default_generator.initial_seed
stream = default_generator.stream
get_state = default_generator.get_state
set_state = default_generator.set_state
