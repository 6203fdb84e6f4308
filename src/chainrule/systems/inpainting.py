"""Inpainting: digits of which a square is missing, completed by a perceptron θ = {W₁, W₂}."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule import nn, optim
from chainrule.data import DataLoader, Dataset, Inpainting
from chainrule.systems.classification import open_parts
from chainrule.systems.system import Figure, Parts, Recipe, Report, System, warm_up_and_cosine
from chainrule.tensor import tensor

__all__ = ["INPAINT_MLP", "InpaintingRecipe", "fillings", "hidden_error"]

HALF_SQUARES = nn.HalfMSELoss()  # ½‖y − ŷ‖²
MISSING = 0.25  # of the picture's area


class Pairs(Dataset):
    """(masked f32[C,H,W], whole f32[C,H,W]): what `Inpainting` gives, without the mask."""

    def __init__(self, source: Inpainting) -> None:
        self.source = source

    @property
    def random(self) -> bool:
        """Whether masks differ from epoch to epoch."""
        return self.source.random

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        masked, _, whole = self.source[index]
        return masked, whole

    def __getitems__(self, indices: Sequence[int]) -> tuple[np.ndarray, ...]:
        masked, _, whole = self.source.__getitems__(indices)
        return masked, whole


def hidden_error(filled: np.ndarray, whole: np.ndarray, mask: np.ndarray) -> float:
    """The mean squared error where a picture was missing: f[N,C,H,W] each, mask f[N,1,H,W].

    >>> hidden_error(np.zeros((1, 1, 1, 2)), np.ones((1, 1, 1, 2)), np.array([[[[1.0, 0.0]]]]))
    1.0
    """
    return float((((filled - whole) ** 2) * mask).sum() / (mask.sum() * whole.shape[1]))


def fillings(masked: np.ndarray, mask: np.ndarray, stored: np.ndarray) -> dict[str, np.ndarray]:
    """Pictures filled without learning: f32[N,1,H,W] each, by the name of the way.

    masked, mask: f32[N,1,H,W]; stored: f32[M,1,H,W], whole pictures of the training part.
    "mean image": the mean of the stored ones.  "nearest pixel": each missing pixel is as the
    nearest one that is there.  "nearest picture": as in the stored one that is most like it where
    it can be seen.
    """
    mean = np.broadcast_to(stored.mean(axis=0), masked.shape)
    similar = np.concatenate(
        [stored[_nearest(m, hole, stored)] for m, hole in zip(masked, mask, strict=True)]
    )
    pixels = np.stack(
        [_from_nearest_pixel(m[0], h[0])[None] for m, h in zip(masked, mask, strict=True)]
    )
    ways = {"mean image": mean, "nearest pixel": pixels, "nearest picture": similar}
    return {name: masked + mask * filled for name, filled in ways.items()}


def _nearest(masked: np.ndarray, mask: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """[1], the stored picture with the least squared distance where ``masked`` can be seen."""
    seen = (1 - mask).ravel()
    flat = stored.reshape(len(stored), -1)
    distance = (flat * flat) @ seen - 2 * flat @ (masked.ravel() * seen)
    return np.array([distance.argmin()])


def _from_nearest_pixel(masked: np.ndarray, mask: np.ndarray) -> np.ndarray:
    there = np.argwhere(mask == 0)
    filled = masked.copy()
    for place in np.argwhere(mask > 0):
        filled[tuple(place)] = masked[tuple(there[((there - place) ** 2).sum(axis=1).argmin()])]
    return filled


@dataclass(frozen=True, kw_only=True)
class InpaintingRecipe(Recipe):
    """Completes digits; judged where they were missing, beside fillings that learn nothing."""

    loss: Any = HALF_SQUARES
    schedule: Any = warm_up_and_cosine
    shown: int = 200  # pictures of the test part that the slow fillings are measured on

    def parts(self, data_dir: str | None = None) -> Parts:
        """A new mask for each picture in each epoch; validation and test keep theirs."""
        peak = np.float32(16 if self.data == "digits" else 255)
        found = {
            part: Inpainting(dataset.arrays[0] / peak, part=MISSING, fixed=part != "train")
            for part, dataset in open_parts(self.data, data_dir).items()
        }
        return Parts(
            DataLoader(Pairs(found["train"]), self.batch_size, shuffle=True),
            *(DataLoader(Pairs(found[part]), 180) for part in ("validation", "test")),
        )

    def opening(self, parts: Parts) -> list[Any]:
        """What is trained on how many."""
        count = len(parts.train.dataset)
        what = f"{self.model}, {self.parameters:,} parameters, on {count:,} handwritten digits"
        return [f"{what} with a square missing", ""]

    def report(self, trainer: Any, parts: Parts) -> Report:
        """The error in the missing parts of the test pictures, beside that of the baselines."""
        assert parts.test is not None
        holes: Inpainting = parts.test.dataset.source
        masked, mask, whole = holes.__getitems__(range(len(holes)))
        learned = masked + mask * np.clip(trainer.predict(tensor(masked)), 0, 1)
        stored = parts.train.dataset.source.images
        mean = hidden_error(np.broadcast_to(stored.mean(axis=0), whole.shape), whole, mask)
        share = hidden_error(learned, whole, mask) / mean
        some = slice(self.shown)
        filled = fillings(masked[some], mask[some], stored) | {"network": learned[some]}
        errors = {name: hidden_error(y, whole[some], mask[some]) for name, y in filled.items()}
        lines = [f"error in the missing squares: {share:.2f} of the mean image's"]
        lines += ["", f"mean squared error there, {len(learned[some])} test pictures:"]
        ranked = sorted(errors.items(), key=lambda item: item[1])
        lines += [f"  {name:15}  {error:.4f}" for name, error in ranked]
        figures = [Figure("error / error of the mean image", share, at_most=0.5)]
        for way in ("nearest pixel", "nearest picture"):
            ratio = errors["network"] / errors[way]
            figures.append(Figure(f"error / error of the {way}", ratio, at_most=1))
        strips = [masked[some], *filled.values(), whole[some]]
        picture = np.concatenate([np.concatenate(list(y[:10, 0]), axis=1) for y in strips])
        result = {"share_of_mean_image": share, "errors": errors}
        return Report(lines, tuple(figures), result, ("summary RUN",), {"filled": picture})


_ON_DIGITS = InpaintingRecipe(
    model="inpaint_mlp",
    config={"hidden": 256, "input_shape": (1, 8, 8)},
    data="digits",
    optimizer=optim.Adam,
    lr=0.003,
    epochs=100,
    batch_size=32,
    parameters=32_768,
    time="10 s",
)
_ON_MNIST = replace(
    _ON_DIGITS,
    config={"hidden": 2048},
    data="mnist",
    lr=0.002,
    epochs=20,
    batch_size=128,
    parameters=3_211_264,
    time="7 min",
)

INPAINT_MLP = System(
    "inpainting: digits with a square missing", {"digits": _ON_DIGITS, "mnist": _ON_MNIST}
)
