"""Pictures with a part that is missing, to learn to fill it in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.data.dataset import Dataset, as_array
from chainrule.data.transforms import Uniform
from chainrule.data.workers import augmentation
from chainrule.errors import ShapeError, UsageError, message
from chainrule.random import Stream

__all__ = ["MASKS", "Inpainting", "random_masks"]

MASKS = ("square", "half", "pixels")


def random_masks(
    kind: str, shape: tuple[int, int, int], rng: Uniform, part: float = 0.25
) -> np.ndarray:
    """f32[N,1,H,W], 1 where a picture is missing, 0 elsewhere; shape: (N, H, W).

    kind: "square", a square of ``part`` of the area, anywhere; "half", the left, right, upper or
    lower half; "pixels", each pixel with probability ``part``.

    >>> masks = random_masks("half", (3, 4, 4), np.random.default_rng(0))
    >>> masks.shape, masks.mean(axis=(1, 2, 3)).tolist()
    ((3, 1, 4, 4), [0.5, 0.5, 0.5])
    """
    n, height, width = shape
    if not 0 < part <= 1:
        raise UsageError(message("random_masks", f"part = {part}", "above 0, at most 1"))
    y, x = np.arange(height)[:, None], np.arange(width)
    if kind == "pixels":
        missing = rng.uniform(0, 1, n * height * width).reshape(n, height, width) < part
    elif kind == "square":
        side = min(max(1, round((part * height * width) ** 0.5)), height, width)
        top, left = (
            np.floor(rng.uniform(0, 1, n)[:, None, None] * (length - side + 1))
            for length in (height, width)
        )
        missing = (top <= y) & (y < top + side) & (left <= x) & (x < left + side)
    elif kind == "half":
        which = np.floor(rng.uniform(0, 4, n)).astype(np.int64)
        left, upper = x + 0 * y < width // 2, y + 0 * x < height // 2
        missing = np.stack([left, ~left, upper, ~upper])[which]
    else:
        needs = "one of " + ", ".join(MASKS)
        raise UsageError(message("random_masks", f"kind = {kind!r}", needs))
    return missing[:, None].astype(np.float32)


class Inpainting(Dataset):
    """Pictures with missing parts: sample i is (masked f32[C,H,W], mask f32[1,H,W], whole).

    images: [N,C,H,W], u8 (which become 0 to 1) or floating.  The missing part of ``masked`` is 0.
    kind, part: see `random_masks`.  For training masks differ from epoch to epoch; ``fixed`` masks,
    for validation and test, depend on the number of the sample alone.

    >>> holes = Inpainting(np.ones((2, 1, 4, 4)), fixed=True)
    >>> masked, mask, whole = holes[1]
    >>> float(mask.sum()), np.array_equal(masked, whole * (1 - mask))
    (4.0, True)
    """

    def __init__(
        self, images: Any, kind: str = "square", part: float = 0.25, *, fixed: bool = False
    ) -> None:
        self.images, self.kind, self.part, self.fixed = as_array(images), kind, part, fixed
        if self.images.ndim != 4:
            got = f"images of shape {list(self.images.shape)}"
            raise ShapeError(message("Inpainting", got, "[N,C,H,W]"))
        random_masks(kind, (1, 1, 1), Stream(0, 0), part)  # wrong arguments fail here

    @property
    def random(self) -> bool:
        """Whether masks differ from epoch to epoch."""
        return not self.fixed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        return tuple(column[0] for column in self.__getitems__([index]))

    def __getitems__(self, indices: Sequence[int]) -> tuple[np.ndarray, ...]:
        chosen = self.images[np.asarray(indices, np.int64)]
        peak = np.float32(255 if chosen.dtype == np.uint8 else 1)
        whole, size = chosen.astype(np.float32) / peak, chosen.shape[2:]
        if self.fixed:
            each = [Stream(0, 3, index % len(self) << 32) for index in indices]
            masks = [random_masks(self.kind, (1, *size), rng, self.part) for rng in each]
            mask = np.concatenate(masks)
        else:
            mask = random_masks(self.kind, (len(whole), *size), augmentation(), self.part)
        return whole * (1 - mask), mask, whole
