"""What was recorded, executed and built since the start: ``cr.stats()``."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Stats", "counters", "stats"]


@dataclass
class Stats:
    """How much was recorded and computed since the start, by all threads: ``cr.stats()``.

    ``repeated`` counts executions of a node that had been executed before: always 0.
    ``traced`` and ``built``: how often ``cr.compile`` traced a function, and had a graph built.
    """

    recorded: int = 0
    executed: int = 0
    programs: int = 0
    repeated: int = 0
    traced: int = 0
    built: int = 0


counters = Stats()


def stats() -> Stats:
    """A snapshot of the counters.

    >>> import chainrule as cr
    >>> before = cr.stats().executed
    >>> x = cr.ones(3) * 2 + 1
    >>> cr.stats().executed - before
    0
    """
    return Stats(**vars(counters))
