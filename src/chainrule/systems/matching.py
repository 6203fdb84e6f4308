"""Template matching as a system: what it does exactly, and where it fails a network does not."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from chainrule import models, nn, optim, random
from chainrule.data import digits
from chainrule.data.transforms import bilinear
from chainrule.inspect.template import find_template, match_template
from chainrule.random import Stream
from chainrule.systems.filtering import picture_of
from chainrule.systems.system import Figure, Report, System
from chainrule.tensor import tensor

__all__ = ["TEMPLATE_MATCHING", "Scenes", "scenes"]

SIDE, SIZE = 32, 12  # of a scene and of what is sought in it, in pixels
SOUGHT, OTHERS = 4, (1, 6, 9)  # a four among digits that are no four
STEPS, BATCH, TESTED = 160, 16, 60


class Scenes(NamedTuple):
    """Pictures with one thing to be found.

    pictures: f32[N,1,32,32]; places: i64[N], row · 32 + column of the middle of what is sought.
    """

    pictures: np.ndarray
    places: np.ndarray


def template() -> np.ndarray:
    """What is sought: the first four of the training digits, f32[12,12] from 0 to 1."""
    return _enlarged(_first(SOUGHT)[None])[0]


@cache
def _first(label: int) -> np.ndarray:
    images, labels = digits("train")
    return images[np.flatnonzero(labels == label)[0]] / np.float32(16)


def _enlarged(images: np.ndarray) -> np.ndarray:
    """f32[N,8,8] -> f32[N,12,12]"""
    at = ((np.arange(SIZE, dtype=np.float32) + 0.5) * 8 / SIZE - 0.5)[None]
    x, y = np.broadcast_arrays(at[:, None, :], at[:, :, None])
    return bilinear(images[:, None], x, y)[:, 0]


def scenes(
    n: int, rng: Stream, turned: tuple[float, float] = (0, 0), scaled: tuple[float, float] = (1, 1)
) -> Scenes:
    """The four and two other digits at random places that do not touch, on noise.

    turned: degrees, scaled: factors; each (least, most), drawn for the four of each scene.
    """
    shapes = _enlarged(np.stack([_first(label) for label in (SOUGHT, *OTHERS)]))
    pictures = 0.1 * rng.uniform(0, 1, (n, SIDE, SIDE)).astype(np.float32)
    # One digit in each of three quarters, moved by a pixel or none in it.
    quarters = np.argsort(rng.uniform(0, 1, (n, 4)), axis=1)[:, :3]
    moved = rng.integers(-1, 2, (n, 3, 2))
    centres = np.stack([quarters // 2, quarters % 2], axis=2) * 15 + 8 + moved
    which = 1 + rng.integers(0, len(OTHERS), (n, 2))
    angle = np.radians(rng.uniform(turned[0], turned[1], n))
    size = np.exp(rng.uniform(np.log(scaled[0]), np.log(scaled[1]), n))
    pictures += _placed(np.repeat(shapes[:1], n, axis=0), centres[:, 0], angle, size)
    for k in range(2):
        pictures += _placed(shapes[which[:, k]], centres[:, 1 + k], 0 * angle, 0 * size + 1)
    places = centres[:, 0, 0] * SIDE + centres[:, 0, 1]
    return Scenes(np.minimum(pictures, 1)[:, None], places)


def _placed(
    shapes: np.ndarray, centres: np.ndarray, angle: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """f32[N,12,12] -> f32[N,32,32]: each turned and scaled around its middle, and moved there."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    dy, dx = (at - centres[:, k, None, None] for k, at in enumerate((y, x)))
    cos, sin = (np.asarray(f(angle) / size)[:, None, None] for f in (np.cos, np.sin))
    middle = SIZE / 2  # so that the middle is pixel 6, as the template's corner says
    across, down = cos * dx + sin * dy + middle, cos * dy - sin * dx + middle
    return bilinear(shapes[:, None], across.astype(np.float32), down.astype(np.float32))[:, 0]


def _hits(found: np.ndarray, places: np.ndarray) -> float:
    """The part of the places i64[N] that was found to within 2 pixels."""
    rows, columns = found // SIDE - places // SIDE, found % SIDE - places % SIDE
    return float((np.maximum(abs(rows), abs(columns)) <= 2).mean())


def _matched(pictures: np.ndarray) -> np.ndarray:
    """Where the template's middle is put by matching: i64[N]"""
    sought = template()
    best = [find_template(picture[0], sought) for picture in pictures]
    return np.array([(m.row + SIZE // 2) * SIDE + m.column + SIZE // 2 for m in best])


def _trained(rng: Stream) -> Any:
    """A finder that has seen fours at all angles and in all these sizes."""
    net = models.finder()
    optimizer, loss_of = optim.Adam(net.parameters(), lr=0.005), nn.CrossEntropyLoss()
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = 0.005 * (1 - step / STEPS)
        seen = scenes(BATCH, rng, turned=(-90, 90), scaled=(0.7, 1.5))
        optimizer.zero_grad()
        loss_of(net(tensor(seen.pictures)), tensor(seen.places)).backward()
        optimizer.step()
    return net


CASES: dict[str, dict[str, tuple[float, float]]] = {
    "as the template": {},
    "turned by 30°": {"turned": (30, 30)},
    "turned by 60°": {"turned": (60, 60)},
    "turned by 90°": {"turned": (90, 90)},
    "scaled by 0.7": {"scaled": (0.7, 0.7)},
    "scaled by 1.5": {"scaled": (1.5, 1.5)},
}


def _compared() -> tuple[list[str], list[Figure], dict[str, Any]]:
    before = random.get_state()
    random.manual_seed(0)
    net = _trained(Stream(seed=1, number=0))
    random.set_state(before)
    lines = [
        f"found to within 2 pixels, of {TESTED} scenes:",
        "",
        f"{'the four is':15}  template  network",
    ]
    figures, result = [], {}
    for name, settings in CASES.items():
        seen = scenes(TESTED, Stream(seed=2, number=0), **settings)
        ours = _hits(_matched(seen.pictures), seen.places)
        learned = net(tensor(seen.pictures)).detach().numpy().argmax(axis=1)
        theirs = _hits(learned, seen.places)
        lines.append(f"{name:15}  {ours:8.0%}  {theirs:7.0%}".replace("%", " %"))
        result[name] = {"template": ours, "network": theirs}
        figures += [
            Figure(f"{name}: found by template", ours, at_least=0.99 if not settings else None),
            Figure(f"{name}: found by network", theirs, at_least=0.8),
        ]
    worst = min(case["template"] for case in result.values())
    figures.append(Figure("found by template where it fails most", worst, at_most=0.5))
    return lines, figures, result


def _exact(picture: np.ndarray) -> list[Figure]:
    """What holds exactly: the planted template's score, gain and offset, the gradient."""
    x = picture.astype(np.float64)
    height, width = (min(size // 3, 24) for size in x.shape)
    windows = [
        (slice(i, i + height), slice(j, j + width))
        for i in range(0, x.shape[0] - height, 5)
        for j in range(0, x.shape[1] - width, 5)
    ]
    # The one with most change along both axes: along a stripe a window can be moved unseen.
    place = max(
        windows, key=lambda at: min(np.square(np.diff(x[at], axis=k)).sum() for k in (0, 1))
    )
    row, column, planted = place[0].start, place[1].start, x[place]
    found = find_template(x, planted)
    away = abs(found.row - row) + abs(found.column - column)
    scores, paler = (match_template(p, planted).numpy() for p in (x, 0.3 * x + 5))
    return [
        Figure("pixels from the planted place", away, equal=0),
        Figure("score there", found.score, equal=1.0, within=1e-9),
        Figure(
            "largest change of a score under 0.3·I + 5",
            float(np.abs(scores - paler).max()),
            at_most=1e-6,
        ),
        Figure("relative error of the gradient", _gradient_error(x, planted), at_most=1e-6),
    ]


def _gradient_error(x: np.ndarray, planted: np.ndarray) -> float:
    """⟨∂ Σ y·g/∂t, d⟩ against the difference quotient along a random direction d."""
    rng, h = np.random.default_rng(0), 1e-6
    weight = tensor(rng.normal(size=np.subtract(x.shape, planted.shape) + 1))
    t = tensor(planted, requires_grad=True)
    (match_template(x, t) * weight).sum().backward()
    assert t.grad is not None
    d = rng.normal(size=planted.shape)
    exact = float((t.grad.numpy() * d).sum())
    up, down = ((match_template(x, planted + s * h * d) * weight).sum().item() for s in (1, -1))
    return abs((up - down) / (2 * h) - exact) / abs(exact)


def _compute(data_dir: str | None = None) -> Report:
    picture, name = picture_of(data_dir)
    lines, figures, result = _compared()
    figures = [*_exact(picture), *figures]
    shown = scenes(5, Stream(seed=2, number=0), turned=(-90, 90), scaled=(0.7, 1.5)).pictures[:, 0]
    pictures = {"template": template(), "scenes": np.concatenate(list(shown), axis=1)}
    lines += ["", f"exactly, on {name}:"]
    return Report(lines, tuple(figures), result | {"picture": name}, ("train filters",), pictures)


TEMPLATE_MATCHING = System(
    "normalised cross-correlation, and a network that finds the same", compute=_compute
)
