"""What recording adds to LeNet's training step, and what keeping one step takes.

    python benchmarks/recording.py

Three trainings of the same network take a step in turn, so that whatever else the machine does
meets all of them: without a record, with the figures of every step, and with kept steps as
``chainrule train lenet --record`` chooses them. Run it alone.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from chainrule import models, nn, optim
from chainrule.data import DataLoader, TensorDataset
from chainrule.train import Callback, Recording, Trainer
from chainrule.train.record import Wanted

BATCH, STEPS, EPOCHS = 64, 40, 50
WARM = 40  # steps that are not counted: compiling, and the first steps that are kept


class Turns(Callback):
    """Hands the machine to the next training after each step, and times its own steps."""

    def __init__(self, number: int, turns: Sequence[threading.Semaphore]) -> None:
        self._turns, self._number = turns, number
        self.seconds: list[float] = []

    def begin(self) -> None:
        """Wait for the first turn."""
        self._turns[self._number].acquire()
        self._began = perf_counter()

    def on_batch_end(self, trainer: Trainer, batch: int, batches: int | None) -> None:
        """The step is over; wait for the next turn."""
        self.seconds.append(perf_counter() - self._began)
        self.end()
        self.begin()

    def end(self) -> None:
        """Let the next one have its turn."""
        self._turns[(self._number + 1) % len(self._turns)].release()


class LastTold(Trainer):
    """A trainer that tells one callback after all others, so that it times their work too."""

    def __init__(self, *parts: Any, last: Turns, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._last = last

    def _tell(self, moment: str, *news: Any) -> None:
        super()._tell(moment, *news)
        getattr(self._last, moment)(self, *news)


def train(record: Any, turns: Turns) -> None:
    """One of the trainings, from its first turn on."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * BATCH, 1, 28, 28)).astype(np.float32)
    data = DataLoader(TensorDataset(x, rng.integers(0, 10, len(x))), BATCH, shuffle=True)
    net = models.build("lenet5")
    optimizer = optim.Adam(net.parameters(), lr=1e-3)
    trainer = LastTold(net, nn.CrossEntropyLoss(), optimizer, record=record, last=turns)
    turns.begin()
    trainer.fit(data, epochs=EPOCHS, verbose=False)
    turns.end()


def main() -> None:
    """Train, and print the steps' times."""
    with tempfile.TemporaryDirectory() as folder:
        records = {
            "without a record": False,
            "figures of every step": Recording(Path(folder, "a"), Wanted(steps=frozenset())),
            "figures and kept steps": Recording(Path(folder, "b"), True),
        }
        waiting = [threading.Semaphore(int(k == 0)) for k in range(len(records))]
        turns = [Turns(k, waiting) for k in range(len(records))]
        threads = [
            threading.Thread(target=train, args=pair, daemon=True)
            for pair in zip(records.values(), turns, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        plain = np.array(turns[0].seconds[WARM:])
        print(f"{'LeNet, batch 64, Adam':24} {'median':>10} {'mean':>10}   more than without")
        for name, turn in zip(records, turns, strict=True):
            seconds = np.array(turn.seconds[WARM:])
            median, mean = np.median(seconds), seconds.mean()
            more = f"{median / np.median(plain) - 1:+.1%}, {mean / plain.mean() - 1:+.1%}"
            print(f"{name:24} {median * 1e3:7.3f} ms {mean * 1e3:7.3f} ms   {more}")


if __name__ == "__main__":
    main()
