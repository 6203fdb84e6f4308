"""A trained network that reads pictures: a run's model with the run's transforms."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np

from chainrule import models
from chainrule.data import digits, from_spec, prepare_picture
from chainrule.errors import UsageError, message
from chainrule.recording import no_grad
from chainrule.tensor import tensor
from chainrule.train.checkpoint import load_checkpoint
from chainrule.train.runs import open_run

__all__ = ["READ", "PictureReader"]

READ = ("digits", "mnist")  # data sets whose pictures any picture of a digit can be made like


class PictureReader:
    """The network of a run, its transforms, and what it makes of pictures.

    run: a folder, a name in ``runs/`` or "last".  Raises UsageError where there is no such run or
    it was trained on something else than pictures, CheckpointError where its checkpoint is damaged.
    """

    def __init__(self, run: str | PathLike[str] = "last") -> None:
        self.run = open_run(run)
        checkpoint = self.run.read_checkpoint()
        self.data = str(checkpoint.get("data"))
        if self.data not in READ:
            got = f"{self.run}, trained on {self.data}"
            raise UsageError(message("predict", got, "a network that reads pictures"))
        self.transforms: Any = from_spec(checkpoint["transforms"])
        self.model = models.build(checkpoint["name"], **checkpoint["config"])
        load_checkpoint(self.run.checkpoint, self.model)
        self.model.eval()

    def prepare(self, picture: Any) -> np.ndarray:
        """What the network sees of a picture (a path, bytes or an array): f32[1,1,28,28]."""
        return prepare_picture(picture, self.transforms, self.data).input

    def sample(self, number: int) -> tuple[np.ndarray, int]:
        """Digit ``number`` of the test part as the network sees it, and its label."""
        images, labels = digits("test")
        if not 0 <= number < len(labels):
            got, needs = f"--sample {number}", f"a number from 0 to {len(labels) - 1}"
            raise UsageError(message("predict", got, needs))
        seen = self.transforms.deterministic()(images[number][None, None])
        return seen, int(labels[number])

    def probabilities(self, seen: np.ndarray) -> np.ndarray:
        """f32[N,1,28,28] -> f64[N,10], rows that sum to 1."""
        with no_grad():
            return self.model(tensor(seen)).double().softmax(1).numpy()

    def read(self, picture: Any) -> int:
        """The class that the network gives a picture."""
        return int(self.probabilities(self.prepare(picture))[0].argmax())
