"""Inputs of another size than the training's: a picture of 0 to 255 where it saw 0 to 1."""

from __future__ import annotations

import warnings
from typing import Any

from chainrule.errors import message
from chainrule.lines import user_line
from chainrule.tensor import Tensor

__all__ = ["InputRange"]

FAR = 10  # times the training's range beyond it: no chance of the sample, another unit
FEWEST = 16  # values of a batch that say something about a range


class InputRange:
    """The range of a training's first batch, which inputs to come are held against, once."""

    def __init__(self) -> None:
        self.trained: tuple[float, float] | None = None
        self.said = False

    def learn(self, inputs: Any) -> None:
        """Take the range of the first batch."""
        if self.trained is None:
            self.trained = _range(inputs) or (0.0, 0.0)

    def check(self, where: str, inputs: Any) -> None:
        """Warn if the inputs lie far outside."""
        found = _range(inputs)
        if self.said or not found or not self.trained or self.trained[0] == self.trained[1]:
            return
        (low, high), (least, most) = self.trained, found
        far = FAR * (high - low)
        if low - far <= least and most <= high + far:
            return
        self.said = True
        got = f"inputs from {least:.3g} to {most:.3g}"
        needs = f"about {low:.3g} to {high:.3g} as in training"
        remedy = "Scale them as those of the training were"
        if least >= 0 and 16 < most <= 255 and low > -4 and high < 4:
            remedy = "A picture of 0 to 255, where it was trained on 0 to 1? x / 255"
        line, text = user_line(), message(where, got, needs, remedy=remedy)
        if line is None:
            warnings.warn(text, stacklevel=3)
        else:
            warnings.warn_explicit(text, UserWarning, line[0].co_filename, line[1])


def _range(inputs: Any) -> tuple[float, float] | None:
    """The least and the largest value, if they are finite and not too few."""
    if not isinstance(inputs, Tensor) or not inputs.dtype.is_floating_point:
        return None
    values = inputs.numpy()
    if values.size < FEWEST:
        return None
    least, most = float(values.min()), float(values.max())
    return (least, most) if most - least < float("inf") else None
