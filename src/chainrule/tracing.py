"""Where the framework meets a trace: what is looked at or changed while one runs, and outside.

A trace (``trace.py``) must hear of every handle that is read and of every change that a later call
would have to repeat.  Those places ask ``TRACES`` first, which is empty nearly always.  ``changes``
counts what could make an earlier trace wrong: a compiled call compares two numbers.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from chainrule.storage import recorder

__all__ = ["TRACES", "Changes", "CountedDict", "changes", "running", "touched"]


class Changes:
    """How often a module's attribute, a switch or the make-up of an optimizer was changed.

    items: how often one of a ``CountedDict`` was: an optimizer's learning rate, its state.
    """

    count = items = 0


changes = Changes()


class CountedDict(dict[Any, Any]):
    """A dict that counts its changes in ``changes.items``.

    >>> rates = CountedDict(lr=0.1)
    >>> before = changes.items
    >>> rates["lr"] *= 0.5
    >>> rates, changes.items - before
    ({'lr': 0.05}, 1)
    """

    __slots__ = ()


def _counting(name: str) -> Any:
    change = getattr(dict, name)

    def counting(self: CountedDict, *args: Any, **kwargs: Any) -> Any:
        result = change(self, *args, **kwargs)
        changes.items += 1
        return result

    return wraps(change)(counting)


_CHANGES = (
    "__setitem__",
    "__delitem__",
    "__ior__",
    "clear",
    "pop",
    "popitem",
    "setdefault",
    "update",
)
for _name in _CHANGES:
    setattr(CountedDict, _name, _counting(_name))

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
