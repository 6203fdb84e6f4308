"""The numbers of the plots: activations, losses, schedules, paths of optimizers, a run's figures.

Each function returns a ``Plot``, which is numbers alone; ``plot.py`` makes a picture of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import optim
from chainrule.backprop import grad
from chainrule.dtypes import float64
from chainrule.errors import UsageError, message, nearest
from chainrule.inspect.plot import save_plot
from chainrule.nn import functional as F
from chainrule.optim import lr_scheduler as schedulers
from chainrule.recording import enable_grad
from chainrule.tensor import Tensor, tensor

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "SCHEDULES",
    "SURFACES",
    "Plot",
    "activations",
    "losses",
    "run_figures",
    "schedules",
    "trajectories",
]


@dataclass
class Curve:
    """y over x; dashed where it is the derivative of the one before."""

    name: str
    x: list[float]
    y: list[float]
    dashed: bool = False


@dataclass
class Panel:
    """One picture of a plot: curves in one frame, over the contours of a ``surface``."""

    title: str
    x_label: str
    y_label: str
    curves: list[Curve]
    surface: Surface | None = None
    logarithmic: bool = False


@dataclass
class Plot:
    """Curves in frames: ``to_json()`` gives the numbers, ``save(path)`` draws them."""

    title: str
    panels: list[Panel] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Every number that is drawn."""
        panels = [
            {
                "title": p.title,
                "x": p.x_label,
                "y": p.y_label,
                "curves": [vars(c) for c in p.curves],
            }
            for p in self.panels
        ]
        return {"title": self.title, "panels": panels}

    def save(self, path: str | PathLike[str], overwrite: bool = False) -> Path:
        """A .png, .svg or .pdf file, by matplotlib; one that exists only with ``overwrite``."""
        return save_plot(self, path, overwrite)


def _chosen(names: Sequence[str], known: Iterable[str], what: str) -> list[str]:
    """The names asked for, or all; upper and lower case are the same."""
    by_lower = {name.lower(): name for name in known}
    for name in names:
        if name.lower() not in by_lower:
            close = by_lower.get(nearest(name.lower(), by_lower))
            remedy = f"Did you mean {close}?" if close else ""
            needs = "one of " + ", ".join(by_lower.values())
            raise UsageError(message("plot", f"the {what} {name!r}", needs, remedy=remedy))
    return [by_lower[name.lower()] for name in names] or list(by_lower.values())


# ---------------------------------------------------------------- functions with their slopes


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": F.sigmoid,
    "tanh": F.tanh,
    "ReLU": F.relu,
    "leaky ReLU": lambda x: F.leaky_relu(x, 0.1),
    "ELU": F.elu,
    "softplus": F.softplus,
    "GELU": F.gelu,
    "SiLU": F.silu,
}

# Of the margin m = y·f with a label y of 1 or −1; (f − y)² is (1 − m)² for both.
LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "squared": lambda m: (1 - m) ** 2,
    "hinge": lambda m: F.relu(1 - m),
    "logistic": lambda m: F.softplus(-m),
}


def activations(names: Sequence[str] = ()) -> Plot:
    """Activation functions and their derivatives, over x from −4 to 4.

    leaky ReLU has the slope 0.1 on the left, ELU α = 1.

    >>> plot = activations(["sigmoid"])
    >>> value, slope = plot.panels[0].curves
    >>> value.y[value.x.index(0.0)], slope.y[slope.x.index(0.0)]
    (0.5, 0.25)
    """
    x = np.round(np.linspace(-4, 4, 161), 2)
    panels = [
        Panel(name, "x", "y", _with_slope("y", ACTIVATIONS[name], x, "y′"))
        for name in _chosen(names, ACTIVATIONS, "activation")
    ]
    return Plot("Activations and their derivatives", panels)


def losses(names: Sequence[str] = ()) -> Plot:
    """Losses of a label y = ±1 and an output f, over the margin y·f, with their slopes.

    The slope by f is the one shown for y = 1 and its negative for y = −1.
    """
    x = np.round(np.linspace(-2, 3, 101), 2)
    chosen = _chosen(names, LOSSES, "loss")
    parts = [_with_slope(name, LOSSES[name], x, name) for name in chosen]
    values = Panel("losses", "margin y·f", "L", [value for value, _ in parts])
    curves = [replace(slope, dashed=False) for _, slope in parts]
    slopes = Panel("slopes", "margin y·f", "∂L/∂(y·f)", curves)
    return Plot("Losses for labels ±1", [values, slopes])


def _with_slope(
    name: str, function: Callable[[Tensor], Tensor], x: np.ndarray, slope: str
) -> list[Curve]:
    """A function and its derivative, by back-propagation."""
    with enable_grad():
        at = tensor(x, dtype=float64, requires_grad=True)
        y = function(at)
        (slopes,) = grad(y.sum(), at)
    assert slopes is not None
    points = x.tolist()
    return [Curve(name, points, y.tolist()), Curve(slope, points, slopes.tolist(), dashed=True)]


# ---------------------------------------------------------------- schedules


Maker = Callable[[Any, int], Any]  # optimizer, epochs -> scheduler

SCHEDULES: dict[str, Maker] = {
    "StepLR": lambda o, n: schedulers.StepLR(o, max(1, n // 4), gamma=0.5),
    "MultiStepLR": lambda o, n: schedulers.MultiStepLR(o, [n // 2, 3 * n // 4]),
    "ExponentialLR": lambda o, n: schedulers.ExponentialLR(o, 0.05 ** (1 / n)),
    "CosineAnnealingLR": lambda o, n: schedulers.CosineAnnealingLR(o, n),
    "CosineAnnealingWarmRestarts": lambda o, n: schedulers.CosineAnnealingWarmRestarts(
        o, max(1, n // 3)
    ),
    "OneCycleLR": lambda o, n: schedulers.OneCycleLR(o, 1.0, total_steps=n),
    "CyclicLR": lambda o, n: schedulers.CyclicLR(o, 0.1, 1.0, max(1, n // 6)),
    "LinearLR": lambda o, n: schedulers.LinearLR(o, total_iters=max(1, n // 2)),
    "LinearWarmupLR": lambda o, n: schedulers.LinearWarmupLR(o, max(1, n // 5)),
    "PolynomialLR": lambda o, n: schedulers.PolynomialLR(o, n, power=2.0),
    "ConstantLR": lambda o, n: schedulers.ConstantLR(o, total_iters=max(1, n // 3)),
    "LambdaLR": lambda o, n: schedulers.LambdaLR(o, lambda epoch: 1 / (1 + 4 * epoch / n)),
    "ReduceLROnPlateau": lambda o, n: schedulers.ReduceLROnPlateau(o, factor=0.5, patience=n // 10),
}


def schedules(names: Sequence[str] = (), epochs: int = 60) -> Plot:
    """Learning rates by epoch, from an initial or largest rate of 1.

    ReduceLROnPlateau is shown a loss that falls for a third of the epochs and then stays.
    """
    if epochs < 1:
        raise UsageError(message("plot", f"epochs={epochs}", "at least 1"))
    panels = []
    for name in _chosen(names, SCHEDULES, "schedule"):
        rates = _rates(SCHEDULES[name], epochs)
        curve = Curve(name, [float(k) for k in range(epochs)], rates)
        panels.append(Panel(name, "epoch", "learning rate", [curve]))
    return Plot("Learning-rate schedules", panels)


def _rates(make: Maker, epochs: int) -> list[float]:
    optimizer = optim.SGD([tensor([0.0], requires_grad=True)], lr=1.0, momentum=0.9)
    schedule = make(optimizer, epochs)
    plateau = isinstance(schedule, schedulers.ReduceLROnPlateau)
    rates = []
    for epoch in range(epochs):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        if epoch + 1 < epochs:
            loss = max(1 - 3 * epoch / epochs, 0.0)
            schedule.step(loss) if plateau else schedule.step()
    return rates


# ---------------------------------------------------------------- paths of optimizers


def quadratic(x: Any, y: Any) -> Any:
    """½(x² + 100y²): badly scaled, a valley 10 times as long as wide."""
    return 0.5 * (x**2 + 100 * y**2)


def rosenbrock(x: Any, y: Any) -> Any:
    """(1 − x)² + 100(y − x²)²: a bent valley with its lowest point at (1, 1)."""
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


@dataclass(frozen=True)
class Surface:
    """A function of two variables: where paths start and should end, and each optimizer's rate."""

    function: Callable[[Any, Any], Any]
    start: tuple[float, float]
    lowest: tuple[float, float]
    frame: tuple[tuple[float, float], tuple[float, float]]
    steps: int
    rates: dict[str, float]


OPTIMIZERS: dict[str, Callable[[list[Tensor], float], Any]] = {
    "SGD": lambda p, lr: optim.SGD(p, lr=lr),
    "momentum": lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9),
    "Nesterov": lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9, nesterov=True),
    "RMSprop": lambda p, lr: optim.RMSprop(p, lr=lr),
    "Adagrad": lambda p, lr: optim.Adagrad(p, lr=lr),
    "Adam": lambda p, lr: optim.Adam(p, lr=lr),
}

SURFACES = {
    "quadratic": Surface(
        quadratic, (-4.0, 0.6), (0.0, 0.0), ((-4.6, 2.4), (-0.9, 0.9)), 80,
        {"SGD": 0.018, "momentum": 0.01, "Nesterov": 0.01, "RMSprop": 0.1, "Adagrad": 0.8,
         "Adam": 0.3},
    ),
    "rosenbrock": Surface(
        rosenbrock, (-1.2, 1.0), (1.0, 1.0), ((-1.7, 1.5), (-0.6, 1.9)), 200,
        {"SGD": 0.0015, "momentum": 0.0005, "Nesterov": 0.0005, "RMSprop": 0.02, "Adagrad": 0.4,
         "Adam": 0.2},
    ),
}  # fmt: skip


def trajectories(names: Sequence[str] = (), steps: int | None = None) -> Plot:
    """The paths of SGD, momentum, Nesterov, RMSprop, Adagrad and Adam on two valleys.

    names: "quadratic", "rosenbrock".  Each has a rate that suits it, which its label says.
    """
    panels = []
    for name in _chosen(names, SURFACES, "surface"):
        surface = SURFACES[name]
        paths, heights = [], []
        for label, make in OPTIMIZERS.items():
            rate = surface.rates[label]
            points = _path(surface, make, rate, steps or surface.steps)
            xs, ys = [x for x, _ in points], [y for _, y in points]
            paths.append(Curve(f"{label}, lr {rate:g}", xs, ys))
            f = [float(surface.function(x, y)) for x, y in points]
            heights.append(Curve(label, [float(k) for k in range(len(f))], f))
        panels.append(Panel(f"{name}: paths", "x", "y", paths, surface=surface))
        panels.append(Panel(f"{name}: f by step", "step", "f", heights, logarithmic=True))
    return Plot("Paths of optimizers", panels)


def _path(
    surface: Surface, make: Callable[[list[Tensor], float], Any], rate: float, steps: int
) -> list[tuple[float, float]]:
    with enable_grad():
        point = tensor(list(surface.start), dtype=float64, requires_grad=True)
        optimizer = make([point], rate)
        points = [surface.start]
        for _ in range(steps):
            optimizer.zero_grad()
            surface.function(point[0], point[1]).backward()
            optimizer.step()
            x, y = point.tolist()
            points.append((x, y))
    return points


# ---------------------------------------------------------------- a run


def run_figures(figures: Sequence[dict[str, float]], name: str) -> Plot:
    """The figures of a run's epochs: training and validation in one frame; without the seconds."""
    keys = list(dict.fromkeys(key for epoch in figures for key in epoch))
    kinds = dict.fromkeys(key.removeprefix("val_") for key in keys if key != "seconds")
    panels = []
    for kind in kinds:
        curves = []
        for key in (kind, f"val_{kind}"):
            points = [(k + 1.0, row[key]) for k, row in enumerate(figures) if key in row]
            if points:
                label = "validation" if key.startswith("val_") else "training"
                curves.append(Curve(label, [x for x, _ in points], [y for _, y in points]))
        panels.append(Panel(kind, "epoch", kind, curves))
    if not panels:
        needs = "at least one whole epoch"
        raise UsageError(message("plot", f"{name}, which has no figures yet", needs))
    return Plot(name, panels)
