"""The recipes of ``chainrule train NAME``: model, data, transforms, optimizer; one record each."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import cos, pi
from typing import Any

from chainrule import nn, optim
from chainrule.data import (
    CentreByMass,
    Compose,
    RandomAffine,
    RandomElastic,
    RandomStrokeWidth,
    Scale,
    Upsample,
)

__all__ = ["RECIPES", "Recipe", "warm_up_and_cosine"]


@dataclass(frozen=True)
class Recipe:
    """How a system is trained.  Everything that decides the figures is here or in the seed."""

    model: str  # a name in models.MODELS
    config: dict[str, Any]  # its arguments
    data: str
    loss: Any
    optimizer: Any  # (parameters, lr=...) -> optimizer
    lr: float
    epochs: int
    batch_size: int
    parameters: int
    time: str  # on two cores, measured by the command itself
    schedule: Any = None  # (progress 0 … 1) -> the learning rate's factor
    transforms: Compose = field(default_factory=lambda: Compose(()))


def warm_up_and_cosine(progress: float) -> float:
    """The learning rate's factor: up to 1 in the first tenth, then along a cosine to 0.

    >>> [round(warm_up_and_cosine(p), 2) for p in (0, 0.05, 0.1, 0.55, 1)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if progress < 0.1:
        return progress / 0.1
    return 0.5 + 0.5 * cos(pi * (progress - 0.1) / 0.9)


def _nesterov(parameters: Any, lr: float) -> Any:
    return optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=True, weight_decay=2e-3)


def _adam(parameters: Any, lr: float) -> Any:
    return optim.Adam(parameters, lr=lr)


RECIPES = {
    "lenet": Recipe(
        model="lenet5",
        config={"num_classes": 10},
        data="digits",
        transforms=Compose(
            (
                Scale(16),
                Upsample(28, border=2),
                CentreByMass(),
                RandomElastic(shift=4, knots=4),
                RandomAffine(degrees=15, shift=2, scale=(0.75, 1.2), stretch=(0.7, 1.4), shear=20),
                RandomStrokeWidth(thin=0.8, thick=0.8),
            )
        ),
        loss=nn.CrossEntropyLoss(),
        optimizer=_nesterov,
        lr=0.05,
        schedule=warm_up_and_cosine,
        epochs=30,
        batch_size=32,
        parameters=61_706,
        time="30 s",
    ),
    "xor": Recipe(
        model="xor",
        config={"hidden": 8},
        data="the truth table",
        loss=nn.MSELoss(),
        optimizer=_adam,
        lr=0.05,
        epochs=200,
        batch_size=4,
        parameters=33,
        time="2 s",
    ),
}
