"""Ctrl-C in a training: it waits for the step that runs, so that no step is torn apart."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupts"]


class Interrupts:
    """Handles SIGINT for the length of a ``with`` block, where nobody else does.

    Outside a ``step`` the first one raises KeyboardInterrupt at once; in it, when it has ended.  A
    second one is Python's own.
    """

    def __init__(self) -> None:
        self._mine = self._stepping = self._asked = False

    def __enter__(self) -> Interrupts:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._first)
            self._mine = True
        return self

    def __exit__(self, *error: object) -> None:
        if self._mine:
            self._mine = False
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _first(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if not self._stepping:
            raise KeyboardInterrupt
        self._asked = True

    @contextmanager
    def step(self) -> Iterator[None]:
        """What is not to be torn apart."""
        self._stepping = True
        try:
            yield
        finally:
            self._stepping = False
        if self._asked:
            self._asked = False
            raise KeyboardInterrupt
