"""Where the framework meets a trace: what is looked at or changed while one runs, and outside.

A trace (``trace.py``) must hear of every handle that is read and of every change that a later call
would have to repeat.  Those places ask ``TRACES`` first, which is empty nearly always.  ``changes``
counts what could make an earlier trace wrong: a compiled call compares one number.
"""

from __future__ import annotations

from typing import Any

from chainrule.storage import recorder

__all__ = ["TRACES", "Changes", "changes", "running", "touched"]


class Changes:
    """How often a module's attribute, a switch or the make-up of an optimizer was changed."""

    count = 0


changes = Changes()

TRACES: list[Any] = []  # those that run now, in any thread


def running() -> Any:
    """This thread's trace, or ``None``."""
    return recorder().trace if TRACES else None


def touched(handle: Any) -> None:
    """A handle is read or written while some thread traces."""
    trace = recorder().trace
    if trace is not None:
        trace.touch(handle)
        return
    for other in tuple(TRACES):
        other.wait_for(handle._storage)  # its node is a trace's own for the moment
