"""How many bytes the engine holds: its arrays, counted when they are allocated and when freed.

That is arenas, tables, tapes, rows of results, the control blocks of workers.  A call's results
count until they are handed over: from then on they are their owner's.  What is not counted:
LLVM's code, and the few KB that a kernel has on its thread's stack.
"""

from __future__ import annotations

from collections import deque
from threading import Lock
from weakref import ref

import numpy as np

from chainrule.forks import unlocked_in_children

__all__ = ["Counter", "counter"]


class _Counted(ref):
    """An array that was counted; it lives on in here as its bytes."""

    __slots__ = ("nbytes",)

    nbytes: int


class Counter:
    """``held``: bytes now; ``most``: the most there were since ``reset``."""

    def __init__(self) -> None:
        self._held = self.most = 0
        self._alive: dict[int, _Counted] = {}
        self._freed: deque[_Counted] = deque()  # an array may die wherever it likes: no lock there
        self.unlock()
        unlocked_in_children(self)

    def unlock(self) -> None:
        """See ``forks.Lockable``."""
        self._lock = Lock()

    @property
    def held(self) -> int:
        """Bytes that are allocated now."""
        with self._lock:
            return self._settled()

    def reset(self) -> int:
        """Look for the most from now on; the bytes that are allocated now."""
        with self._lock:
            self.most = self._settled()
            return self.most

    def counted(self, array: np.ndarray) -> np.ndarray:
        """A new array that owns its bytes, from now on counted for as long as it lives."""
        entry = _Counted(array, self._freed.append)
        entry.nbytes, key = array.nbytes, id(entry)
        with self._lock:
            self._held = self._settled() + entry.nbytes
            self._alive[key] = entry
            self.most = max(self.most, self._held)
        return array

    def passing(self, nbytes: int) -> None:
        """A call's results, so many bytes: they are there, and will be handed over."""
        if self._held + nbytes > self.most:
            with self._lock:
                self.most = max(self.most, self._settled() + nbytes)

    def _settled(self) -> int:
        while self._freed:
            entry = self._freed.popleft()
            if self._alive.pop(id(entry), None) is entry:  # else Ctrl-C came before it was counted
                self._held -= entry.nbytes
        return self._held


counter = Counter()
