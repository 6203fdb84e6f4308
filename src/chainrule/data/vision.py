"""The names of ``torchvision.transforms``, for ``chainrule run``: transforms of batches here.

A data set's pictures are f32 from 0 to 1 already, so ``ToTensor`` has nothing left to do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.data.augment import (
    CenterCrop,
    ColorJitter,
    Grayscale,
    Normalize,
    Pad,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
    TenCrop,
)
from chainrule.data.dataset import as_array
from chainrule.data.transforms import Compose, RandomAffine, Transform
from chainrule.errors import not_found
from chainrule.tensor import Tensor, tensor

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "Grayscale",
    "Lambda",
    "Normalize",
    "Pad",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "TenCrop",
    "ToTensor",
]


class ToTensor(Transform):
    """Nothing: f32[N,C,H,W] from 0 to 1 stays what it is.

    >>> ToTensor()(np.ones((1, 1, 1, 1))).tolist()
    [[[[1.0]]]]
    """

    def apply(self, images: np.ndarray) -> np.ndarray:
        """f32[N,C,H,W] -> f32[N,C,H,W]"""
        return images


@dataclass(frozen=True)
class Lambda(Transform):
    """A function of one image f32[C,H,W], a tensor, called for each.

    >>> Lambda(lambda image: 1 - image)(np.zeros((1, 1, 1, 2))).tolist()
    [[[[1.0, 1.0]]]]
    """

    lambd: Callable[[Tensor], Any]

    def apply(self, images: np.ndarray) -> np.ndarray:
        """f32[N,C,H,W] -> f32[N,…]"""
        return np.stack([as_array(self.lambd(tensor(image))) for image in images])


def __getattr__(name: str) -> Any:
    raise not_found("torchvision.transforms", name, __all__)
