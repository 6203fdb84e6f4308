"""Where the framework meets a trace: what is looked at or changed while one runs, and outside.

A trace (``trace.py``) must hear of every handle that is read and of every change that a later call
would have to repeat.  Those places ask ``TRACES`` first, which is empty nearly always.  ``changes``
counts what could make an earlier trace wrong: a compiled call compares two numbers.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from chainrule.storage import recorder

__all__ = ["TRACES", "Changes", "CountedDict", "CountedList", "changes", "running", "touched"]


class Changes:
    """How often a module's attribute, a switch or the make-up of an optimizer was changed.

    items: how often one of a ``CountedDict`` was: an optimizer's learning rate, its state.
    entries: how often a storage was lent to a trace, whose nodes no other thread can read.
    """

    count = items = entries = 0


changes = Changes()


class CountedDict(dict[Any, Any]):
    """An optimizer's dict: it counts its changes in ``changes.items``.

    >>> rates = CountedDict(lr=0.1)
    >>> before = changes.items
    >>> rates["lr"] *= 0.5
    >>> rates, changes.items - before
    ({'lr': 0.05}, 1)
    """

    __slots__ = ()


class CountedList(list[Any]):
    """An optimizer's list of groups or parameters: it counts its changes in ``changes.count``."""

    __slots__ = ()


def _count_in(kind: type, counter: str, methods: str) -> None:
    """Have methods of a class count in ``changes`` when they have made their change."""

    def counting(change: Any) -> Any:
        @wraps(change)
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return change(self, *args, **kwargs)
            finally:
                setattr(changes, counter, getattr(changes, counter) + 1)

        return method

    for name in methods.split():
        setattr(kind, name, counting(getattr(kind, name)))


_OF_BOTH = "__setitem__ __delitem__ clear pop"
_count_in(CountedDict, "items", f"{_OF_BOTH} __ior__ popitem setdefault update")
_count_in(
    CountedList, "count", f"{_OF_BOTH} __iadd__ __imul__ append extend insert remove reverse sort"
)

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
