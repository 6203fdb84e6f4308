"""What a system is: something of the field that one command trains or computes, and a report.

A system with a network has a `Recipe` for each data set it is trained on; one without computes its
figures.  Either ends in a `Report`, whose figures say whether the system does what it must.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import cos, isfinite, pi
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data import Compose, DataLoader
from chainrule.inspect.pictures import save_picture

__all__ = ["Figure", "Parts", "Recipe", "Report", "System", "warm_up_and_cosine"]


@dataclass(frozen=True)
class Figure:
    """A measured number, and what it must be: at least, at most, or equal within a tolerance.

    >>> print(Figure("df/dt at t = 1", 2.4104786, equal=2.410479, within=1e-6))
    df/dt at t = 1    2.410479    wanted 2.410479 ± 1e-06
    >>> bool(Figure("accuracy", 0.975, at_least=0.98))
    False
    """

    name: str
    measured: float
    at_least: float | None = None
    at_most: float | None = None
    equal: float | None = None
    within: float = 0.0

    def __bool__(self) -> bool:
        holds = isfinite(self.measured)
        if self.at_least is not None:
            holds &= self.measured >= self.at_least
        if self.at_most is not None:
            holds &= self.measured <= self.at_most
        if self.equal is not None:
            holds &= abs(self.measured - self.equal) <= self.within
        return bool(holds)

    @property
    def wanted(self) -> str:
        """What the number must be, in signs; "" where nothing is demanded."""
        if self.equal is not None:
            return _number(self.equal) + (f" ± {self.within:.0e}" if self.within else "")
        if self.at_least is not None:
            return f"≥ {_number(self.at_least)}"
        return "" if self.at_most is None else f"≤ {_number(self.at_most)}"

    @property
    def cells(self) -> tuple[str, str, str]:
        """Name, measured, wanted: a row of a table."""
        wanted = self.wanted if self else f"{self.wanted}  MISSED".strip()
        return self.name, _number(self.measured), wanted

    def __str__(self) -> str:
        wanted = f"    wanted {self.wanted}" if self.wanted else ""
        missed = "" if self else "    MISSED"
        return f"{self.name}    {_number(self.measured)}{wanted}{missed}"

    def record(self) -> dict[str, Any]:
        """As JSON: name, measured, wanted, holds."""
        what = {"name": self.name, "measured": self.measured, "wanted": self.wanted}
        return what | {"holds": bool(self)}


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.7g}"


@dataclass(frozen=True)
class Report:
    """How a system ended: lines to read, figures to judge, the rest as JSON, what to do next.

    pictures: f[H,W] from 0 (dark) to 1, by the name of the file that ``save_pictures`` makes.
    """

    lines: list[str]
    figures: tuple[Figure, ...] = ()
    result: dict[str, Any] = field(default_factory=dict)
    next: tuple[str, ...] = ()  # commands; RUN stands for the run's name
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return all(self.figures)

    def save_pictures(self, folder: str | PathLike[str]) -> list[Path]:
        """Write each picture as NAME.png into a folder, which is made; returns the files.

        Raises UsageError rather than write over a file that is there.
        """
        return [
            save_picture(picture, Path(folder) / f"{name}.png")
            for name, picture in self.pictures.items()
        ]


@dataclass(frozen=True)
class Parts:
    """The batches of a data set's three parts.  Nothing may be chosen by the last."""

    train: DataLoader
    validation: DataLoader | None = None
    test: DataLoader | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained.  Everything that decides the figures is here or in the seed."""

    model: str  # a name in models.MODELS
    config: dict[str, Any] = field(default_factory=dict)  # its arguments
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
    metrics: tuple[Any, ...] = ()

    def parts(self, data_dir: str | None = None) -> Parts:
        """The data; ``data_dir`` is the folder of those that don't come with the package."""
        raise NotImplementedError(f"{type(self).__name__} has no parts")

    def opening(self, parts: Parts) -> list[Any]:
        """What is printed before the training: lines, or pictures as arrays f[H,W] in 0 … 1."""
        return []

    def report(self, trainer: Any, parts: Parts) -> Report:
        """What the trained network does on the data."""
        raise NotImplementedError(f"{type(self).__name__} has no report")


@dataclass(frozen=True)
class System:
    """A system by name: recipes by data set, the first is the default; or what it computes."""

    title: str
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    compute: Callable[..., Report] | None = None  # (data_dir=None)

    @property
    def recipe(self) -> Recipe | None:
        """The default recipe, or None for a system without training."""
        return next(iter(self.recipes.values()), None)


def warm_up_and_cosine(progress: float) -> float:
    """The learning rate's factor: up to 1 in the first tenth, then along a cosine to 0.

    >>> [round(warm_up_and_cosine(p), 2) for p in (0, 0.05, 0.1, 0.55, 1)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if progress < 0.1:
        return progress / 0.1
    return 0.5 + 0.5 * cos(pi * (progress - 0.1) / 0.9)
