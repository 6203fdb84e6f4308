"""A run's filters as pages show them: of one step with their figures, of all kept steps as films.

A film is read some steps at a time, so that no answer takes long; what was read of a file is kept
while the file is as it was.
"""

from __future__ import annotations

import base64
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import NameNotFoundError, message
from chainrule.inspect.banks import Bank, alive, banks, chosen, duplicates, numbers_of
from chainrule.inspect.element.step import Step
from chainrule.studio.recorded.layers import figures_of
from chainrule.tape import tape_of
from chainrule.train.records import Records

__all__ = ["Films", "filters"]

MANY, MOST = 32, 16  # of more than so many filters or channels so many are shown
SECONDS = 0.3  # that one answer reads steps for
BYTES = 64 << 20  # of numbers that were read and are kept
PAIRS = 50  # of duplicates that are listed


class _Frame(NamedTuple):
    """A bank in one step."""

    weights: np.ndarray  # f32[K, C, rows, columns]
    alive: list[int] | None
    samples: int


class Films:
    """Reads banks through the kept steps of runs.  Threads may share it."""

    def __init__(self) -> None:
        self._lock, self._bytes = threading.Lock(), 0
        self._frames: OrderedDict[tuple[Path, int, int, str], _Frame | None] = OrderedDict()

    def film(self, records: Records, kind: str, name: str, begin: int) -> dict[str, Any]:
        """The kept steps from the one numbered ``begin`` on, as many as are read in a moment.

        ``numbers`` are float32, little-endian, [steps, filters, channels, rows, columns] in base64;
        ``most`` the largest |weight| of each step, those that are not sent included.  Raises
        NameNotFoundError for a bank that the last kept step has not.
        """
        steps = records.steps(kind)
        last = self._frame(records, kind, steps[-1], name) if steps else None
        if last is None:
            got = f"filters {name!r} in the last kept {kind}"
            raise NameNotFoundError(message("studio", got, "a weight of its convolutions"))
        shown = list(chosen(last.weights, MOST, MANY))
        depth = channels(last.weights)
        until, frames = time.monotonic() + SECONDS, []
        for step in steps[begin:]:
            frame = self._frame(records, kind, step, name)
            frames.append(frame if frame and frame.weights.shape == last.weights.shape else None)
            if time.monotonic() > until:
                break
        empty = np.full((len(shown), len(depth), *last.weights.shape[2:]), np.nan, "<f4")
        parts = [f.weights[np.ix_(shown, depth)].astype("<f4") if f else empty for f in frames]
        numbers = np.stack(parts) if parts else empty[:0]
        return {
            "name": name,
            "all": steps,
            "steps": steps[begin : begin + len(frames)],
            "filters": shown,
            "channels": depth,
            "rows": last.weights.shape[2],
            "columns": last.weights.shape[3],
            "most": [float(np.nanmax(np.abs(f.weights), initial=0)) if f else 0 for f in frames],
            "alive": [f.alive if f else None for f in frames],
            "samples": [f.samples if f else 0 for f in frames],
            "numbers": base64.b64encode(numbers.tobytes()).decode(),
        }

    def _frame(self, records: Records, kind: str, step: int, name: str) -> _Frame | None:
        state = records.path(step, kind).stat()
        key = records.path(step, kind), state.st_mtime_ns, state.st_size, name
        with self._lock:
            if key in self._frames:
                self._frames.move_to_end(key)
                return self._frames[key]
        frame = _read(records, kind, step, name)
        with self._lock:
            self._frames[key] = frame
            self._bytes += frame.weights.nbytes if frame else 0
            while self._bytes > BYTES and len(self._frames) > 1:
                _, gone = self._frames.popitem(last=False)
                self._bytes -= gone.weights.nbytes if gone else 0
        return frame


def _read(records: Records, kind: str, step: int, name: str) -> _Frame | None:
    kept = records.read(step, kind)
    held = Step(tape_of(kept), kept["batch"] or None)
    bank = next((bank for bank in banks(held) if bank.name == name), None)
    weights = None if bank is None else numbers_of(held, bank)
    if bank is None or weights is None:
        return None
    lives = alive(held, bank)
    return _Frame(np.array(weights, np.float32), lives and lives[0], held.rows())


def channels(weights: np.ndarray) -> list[int]:
    """The channels whose kernels are shown: all, or of many the largest."""
    return list(chosen(np.moveaxis(weights, 1, 0), MOST, MANY))


def filters(step: Step) -> list[dict[str, Any]]:
    """The banks of a step: their sizes, which filters are dead in it and which are alike."""
    return [_described(step, bank) for bank in banks(step)]


def _described(step: Step, bank: Bank) -> dict[str, Any]:
    weights, lives = numbers_of(step, bank), alive(step, bank)
    pairs = [] if weights is None else duplicates(weights)
    k, depth, rows, columns = bank.shape
    node = step.order[bank.map]
    return {
        "name": bank.name,
        "node": bank.node,
        "map": bank.map,
        "map_shape": list(node.shape[1:]),
        "map_op": node.op.name,
        "linear": bank.linear,
        "colours": depth == 3 and not step.order[bank.op].inputs[0].inputs,
        "shape": list(step.order[bank.node].shape),
        "filters": k,
        "depth": depth,
        "rows": rows,
        "columns": columns,
        "shown": [] if weights is None else list(chosen(weights, MOST, MANY)),
        "channels": [] if weights is None else channels(weights),
        "weights": figures_of(weights),
        "samples": step.rows(),
        "alive": None if lives is None else lives[0],
        "most": None if lives is None else lives[1],
        "judged": depth * max(rows, 1) * columns > 1,
        "alike": len(pairs),
        "pairs": [pair._asdict() for pair in pairs[:PAIRS]],
    }
