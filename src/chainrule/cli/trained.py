"""A run's network with the data of its system: what eval and predict begin with."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import models
from chainrule.data import DataLoader
from chainrule.errors import UsageError, did_you_mean, message
from chainrule.recording import no_grad
from chainrule.systems import SYSTEMS
from chainrule.train.checkpoint import load_checkpoint
from chainrule.train.runs import open_run

__all__ = ["Trained"]

PARTS = ("test", "validation", "train")


class Trained:
    """The network of a run, ready to answer, and the data of its system.

    data: another data set of the system; data_dir: the folder that has its files.  Raises
    UsageError where there is no such run or data, CheckpointError where nothing was kept.
    """

    def __init__(
        self, verb: str, name: str, data: str | None = None, data_dir: str | None = None
    ) -> None:
        self.verb, self.run = verb, open_run(name)
        config = self.run.config
        self.checkpoint = self.run.read_checkpoint()
        system = SYSTEMS.get(str(config.get("system")))
        self.data = data or str(config.get("data"))
        recipes = {} if system is None else system.recipes
        if self.data not in recipes:
            got = f"{self.data!r}, for a run of {config.get('system')}"
            needs = "one of its data sets: " + (", ".join(recipes) or "none is known here")
            remedy = did_you_mean(self.data, recipes)
            raise UsageError(message(verb, got, needs, remedy=remedy))
        self.recipe = recipes[self.data]
        self.model = models.build(self.checkpoint["name"], **self.checkpoint["config"])
        load_checkpoint(self.run.checkpoint, self.model)
        self.model.eval()
        self._data_dir = data_dir or config.get("data_dir")
        self._parts: Any = None

    def batches(self, part: str) -> DataLoader:
        """A part of the data in its own order, without variation."""
        if part not in PARTS:
            raise UsageError(message(self.verb, f"--part {part}", "one of " + ", ".join(PARTS)))
        if self._parts is None:
            self._parts = self.recipe.parts(self._data_dir)
        loader = getattr(self._parts, part)
        if loader is None:
            has = [name for name in PARTS if getattr(self._parts, name) is not None]
            got = f"--part {part} of {self.data}"
            raise UsageError(message(self.verb, got, "one of " + ", ".join(has)))
        still = loader.transform.deterministic() if loader.transform is not None else None
        return DataLoader(
            loader.dataset,
            max(loader.batch_size, 128),
            collate_fn=loader.collate_fn,
            transform=still,
        )

    def sample(self, number: int, part: str = "test") -> tuple[Any, Any]:
        """Inputs [1,…] and target of one sample, as the network sees it."""
        batches = self.batches(part)
        count = len(batches.dataset)
        if not 0 <= number < count:
            got, needs = f"--sample {number}", f"a number from 0 to {count - 1}"
            raise UsageError(message(self.verb, got, needs))
        one = DataLoader(
            batches.dataset, sampler=[number], collate_fn=batches.collate_fn,
            transform=batches.transform,
        )  # fmt: skip
        inputs, targets = next(iter(one))
        return inputs, targets

    def outputs(self, inputs: Any) -> np.ndarray:
        """What the network gives: f[N,…], as NumPy."""
        with no_grad():
            return self.model(inputs).numpy()
