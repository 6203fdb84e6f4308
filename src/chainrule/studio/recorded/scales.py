"""The ends of the colours over all kept steps, so that a picture can be followed through time.

Reading hundreds of steps takes seconds: each request reads for a moment and says how far it is, and
what was read of a file is kept as long as the file is the same.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from chainrule.inspect.element.step import Step
from chainrule.studio.recorded.layers import (
    find_layers,
    keys_of,
    node_name,
    parameters_of,
    scale_of,
)
from chainrule.tape import tape_of
from chainrule.train.records import Records

__all__ = ["SECONDS", "Scales"]

SECONDS = 0.25  # that one request reads
MOST = 4000  # steps that are remembered

Found = dict[str, dict[str, list[float]]]  # by key and "value" or "bar": of each sample


class Scales:
    """Scales of steps that were read.  Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: dict[tuple[Path, int, int], Found] = {}

    def over(self, records: Records, kind: str, sample: int) -> dict[str, Any]:
        """How many steps there are and were read, and by layer's key the largest scale in them.

        {"steps": 40, "read": 12, "scales": {"conv1": {"value": 3.1, "bar": 0.02}, ...}}; a
        parameter's has no samples, so it is the same for each.
        """
        steps, until = records.steps(kind), time.monotonic() + SECONDS
        largest: dict[str, dict[str, float]] = {}
        read = 0
        for step in steps:
            found = self._of(records, kind, step, until)
            if found is None:
                continue
            read += 1
            for key, whats in found.items():
                for what, scales in whats.items():
                    scale = scales[min(sample, len(scales) - 1)]
                    known = largest.setdefault(key, {})
                    known[what] = max(known.get(what, 0.0), scale)
        return {"steps": len(steps), "read": read, "scales": largest}

    def _of(self, records: Records, kind: str, step: int, until: float) -> Found | None:
        """A step's scales, if they are known or there is still time to read them."""
        path = records.path(step, kind)
        try:
            state = path.stat()
        except OSError:  # it was given up as the run grew
            return None
        key = path, state.st_mtime_ns, state.st_size
        with self._lock:
            if key in self._read:
                return self._read[key]
        if time.monotonic() > until:
            return None
        found = _scales(records.read(step, kind))
        with self._lock:
            while len(self._read) >= MOST:
                del self._read[next(iter(self._read))]
            self._read[key] = found
        return found


def _scales(kept: dict[str, Any]) -> Found:
    step = Step(tape_of(kept), kept["batch"] or None)
    layers = find_layers(step, kept["calls"], kept["losses"])
    found: Found = {}
    for layer, key in zip(layers, keys_of(layers), strict=True):
        for what in ("value", "bar"):
            array = step.array(layer.node, what)
            if array is not None:
                found.setdefault(key, {})[what] = [scale_of(row) for row in array]
    for number in {k for numbers in parameters_of(step, layers).values() for k in numbers}:
        for what in ("value", "bar"):
            array = step.array(number, what)
            if array is not None:
                found.setdefault(node_name(step.order[number]), {})[what] = [scale_of(array)]
    return found
