"""What a script of one's own does, written into a run's folder as a training's is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from chainrule.ops import leaf
from chainrule.ops.random import random_bits
from chainrule.tape import Tape, kept_step, record
from chainrule.tape.entered import entered
from chainrule.train.record import BATCH, Schedule, Wanted
from chainrule.train.records import Writer
from chainrule.train.runs import Run

__all__ = ["recorded"]


@contextmanager
def recorded(run: Run, wanted: str | bool | Wanted = True) -> Iterator[Tape]:
    """A block under ``cr.record()`` whose steps the studio can show afterwards, and meanwhile.

    Each ``backward()`` with its update is a step.  Steps are chosen as in a training; there is no
    probe, since nobody knows a script's validation data.  Compiled functions run plainly in it.
    """
    chosen = Wanted.of(wanted) or Wanted()
    keeper = _Keeper(Writer(run.folder / "record", 0), chosen)
    try:
        with record(chosen.nodes, on_step=keeper) as tape:
            yield tape
    finally:
        keeper.writer.close()


class _Keeper:
    """Hands a tape's steps to a writer."""

    def __init__(self, writer: Writer, wanted: Wanted) -> None:
        self.writer, self._schedule = writer, Schedule(wanted, None)

    def __call__(self, tape: Tape) -> None:
        begun, writer, step = time.thread_time(), self.writer, tape.step
        loss = _loss(tape)
        found = dict(_of_parameters(tape))
        writer.add_row(step, 0, loss, [list(found)], [list(found.values())])
        if self._schedule.wants(step):
            shown = entered(tape)
            kept = kept_step(shown, _batch(shown), BATCH)
            writer.keep(step, "batch", kept | {"step": step, "epoch": 0, "loss": loss})
            for old in self._schedule.thinned(writer.sizes):
                writer.give_up(old)
        self._schedule.took(time.thread_time() - begun)


def _loss(tape: Tape) -> float:
    losses = [tape.entry(node).value for node in tape.graph.outputs.values() if not node.shape]
    return float(losses[0].item()) if losses else float("nan")


def _of_parameters(tape: Tape) -> Iterator[tuple[tuple[str, str], float]]:
    for node in tape.graph:
        if node.op is leaf.parameter and node.name:
            entry = tape.entry(node)
            yield (node.name, "value"), _rms(entry.value.numpy())
            yield (node.name, "gradient"), _rms(entry.bar.numpy())


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) if x.size else 0.0


def _batch(tape: Tape) -> int:
    """How many samples: the first size that most arrays of data, or of drawn numbers, have."""
    begun = (leaf.data, random_bits)
    sizes: Counter[Any] = Counter(
        node.shape[0] for node in tape._step.order if node.op in begun and node.shape
    )
    return sizes.most_common(1)[0][0] if sizes else 0
