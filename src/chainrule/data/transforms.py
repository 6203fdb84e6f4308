"""Transforms of a batch of images: enlarging, centring and random variation.

A transform is a small frozen record, called with a batch f32[N,C,H,W]. Paper is 0, ink is positive,
and what lies outside an image is paper. The random ones also take a source of random numbers. A
transform can be written down (`spec`, plain JSON) and built again (`from_spec`), so that a run
keeps the exact path of its images.

>>> transform = Compose((Scale(16), Upsample(28), RandomAffine(degrees=10)))
>>> transform(np.full((2, 1, 8, 8), 16), rng=np.random.default_rng(0)).shape
(2, 1, 28, 28)
>>> from_spec(transform.spec()) == transform
True
>>> transform.deterministic()  # for validation, test and pictures
Compose(transforms=(Scale(peak=16), Upsample(size=28, border=2)))
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any, Protocol

import numpy as np

from chainrule.errors import DataError, ShapeError, UsageError, message

__all__ = [
    "Transform",
    "Compose",
    "Scale",
    "Upsample",
    "CentreByMass",
    "RandomTransform",
    "RandomAffine",
    "RandomElastic",
    "RandomStrokeWidth",
    "bilinear",
    "from_spec",
    "register",
]


class Uniform(Protocol):
    """A source of random numbers; `numpy.random.Generator` is one."""

    def uniform(self, low: float, high: float, size: int) -> np.ndarray:
        """f64[size], each number uniform between low and high."""
        ...


@dataclass(frozen=True)
class Transform:
    """A function of a batch that can be written down."""

    @property
    def random(self) -> bool:
        """Whether it needs a source of random numbers."""
        return False

    def __call__(self, images: np.ndarray, rng: Uniform | None = None) -> np.ndarray:
        """f32[N,C,H,W] -> f32[N,C,P,Q], a new array. Other number types are converted to f32."""
        return self.apply(_batch(self, images))

    def together(
        self, images: np.ndarray, targets: np.ndarray, rng: Uniform | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Images and their targets; most transforms leave the targets as they are."""
        return self(images, rng), targets

    def apply(self, images: np.ndarray) -> np.ndarray:
        """What a subclass defines: f32[N,C,H,W] -> f32[N,C,P,Q]."""
        raise NotImplementedError(f"{type(self).__name__} has no apply")

    def fixed(self) -> tuple[Transform, ...]:
        """What stands for it where nothing may be random."""
        return (self,)

    def spec(self) -> dict[str, Any]:
        """The transform as plain JSON: its name and its fields.

        >>> Upsample(28).spec()
        {'name': 'Upsample', 'size': 28, 'border': 2}
        """
        spec: dict[str, Any] = {"name": type(self).__name__}
        for field in dataclasses.fields(self):
            spec[field.name] = _lists(getattr(self, field.name))
        return spec


@dataclass(frozen=True)
class RandomTransform(Transform):
    """A transform that varies each image by itself: for training only."""

    @property
    def random(self) -> bool:
        """True."""
        return True

    def __call__(self, images: np.ndarray, rng: Uniform | None = None) -> np.ndarray:
        """f32[N,C,H,W] -> f32[N,C,H,W]; equal numbers from `rng` give equal bits."""
        if rng is None:
            remedy = "For validation and test, call transform.deterministic()(images)"
            where = type(self).__name__
            raise UsageError(message(where, "no rng", "a source of random numbers", remedy=remedy))
        return self.vary(_batch(self, images), rng)

    def fixed(self) -> tuple[Transform, ...]:
        """Nothing."""
        return ()

    def vary(self, images: np.ndarray, rng: Uniform) -> np.ndarray:
        """What a subclass defines: f32[N,C,H,W] -> f32[N,C,H,W]."""
        raise NotImplementedError(f"{type(self).__name__} has no vary")


@dataclass(frozen=True)
class Compose(Transform):
    """One transform after the other."""

    transforms: Sequence[Transform]

    def __post_init__(self) -> None:
        object.__setattr__(self, "transforms", tuple(self.transforms))
        for transform in self.transforms:
            if not isinstance(transform, Transform):
                got = f"{transform!r} among the transforms"
                raise UsageError(message("Compose", got, "Transforms alone"))

    def __call__(self, images: np.ndarray, rng: Uniform | None = None) -> np.ndarray:
        """f32[N,C,H,W] -> f32[N,C,P,Q]."""
        images = _batch(self, images)
        for transform in self.transforms:
            images = transform(images, rng)
        return images

    @property
    def random(self) -> bool:
        """Whether one of them is."""
        return any(transform.random for transform in self.transforms)

    def together(
        self, images: np.ndarray, targets: np.ndarray, rng: Uniform | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """f32[N,C,H,W] and targets through all of them, in order."""
        images = _batch(self, images)
        for transform in self.transforms:
            images, targets = transform.together(images, targets, rng)
        return images, targets

    def deterministic(self) -> Compose:
        """The same without the random ones: what validation, test and pictures go through."""
        return Compose(tuple(fixed for t in self.transforms for fixed in t.fixed()))

    def fixed(self) -> tuple[Transform, ...]:
        """Itself without the random ones."""
        return (self.deterministic(),)

    def spec(self) -> dict[str, Any]:
        """The specs of the transforms, in order."""
        return {"name": "Compose", "transforms": [t.spec() for t in self.transforms]}


@dataclass(frozen=True)
class Scale(Transform):
    """Values 0 (paper) to `peak` (ink) become 0 to 1."""

    peak: float

    def __post_init__(self) -> None:
        need(self, "peak", self.peak > 0, "a number above 0")

    def apply(self, images: np.ndarray) -> np.ndarray:
        """y = x / peak."""
        return images / np.float32(self.peak)


@dataclass(frozen=True)
class Upsample(Transform):
    """Enlarge to size×size by bilinear interpolation, the outermost `border` pixels being paper.

    The border leaves RandomAffine and CentreByMass room to move the image without cutting it.
    """

    size: int = 28
    border: int = 2

    def __post_init__(self) -> None:
        need(self, "size", self.size > 2 * self.border, f"more than 2 * border = {2 * self.border}")

    def apply(self, images: np.ndarray) -> np.ndarray:
        """f32[N,C,H,W] -> f32[N,C,size,size]."""
        height, width = images.shape[2:]
        x, y = pixels(self.size, self.size)
        inside = np.float32(self.size - 2 * self.border)
        to_image = [((at + 0.5 - self.border) / inside) for at in (x, y)]
        return bilinear(images, to_image[0] * width - 0.5, to_image[1] * height - 0.5)


@dataclass(frozen=True)
class CentreByMass(Transform):
    """Move each image by whole pixels, so that its centre of mass is nearest to the middle."""

    def apply(self, images: np.ndarray) -> np.ndarray:
        """f32[N,C,H,W] -> the same shape."""
        height, width = images.shape[2:]
        x, y = pixels(height, width)
        ink = images.sum(axis=1)
        mass = ink.sum(axis=(1, 2)).clip(np.finfo(np.float32).tiny)
        dx = np.rint((ink * x).sum(axis=(1, 2)) / mass - (width - 1) / 2)
        dy = np.rint((ink * y).sum(axis=(1, 2)) / mass - (height - 1) / 2)
        blank = ~ink.any(axis=(1, 2))
        dx[blank] = dy[blank] = 0
        return bilinear(images, x + each(dx), y + each(dy))


@dataclass(frozen=True)
class RandomAffine(RandomTransform):
    """Slant, resize, turn and move each image, all around its middle.

    Each is drawn uniformly: slant within ±`shear` degrees, size within `scale` and width within
    `stretch` (factors, uniform in their logarithm), angle within ±`degrees`, and ±`shift` pixels
    in x and in y.
    """

    degrees: float = 0.0
    shift: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    stretch: tuple[float, float] = (1.0, 1.0)
    shear: float = 0.0

    def __post_init__(self) -> None:
        for name in ("scale", "stretch"):
            low, high = getattr(self, name)
            need(self, name, 0 < low <= high, "(low, high), two factors above 0")

    def vary(self, images: np.ndarray, rng: Uniform) -> np.ndarray:
        """f32[N,C,H,W] -> the same shape."""
        n, _, height, width = images.shape
        angle = np.radians(rng.uniform(-self.degrees, self.degrees, n))
        slant = np.tan(np.radians(rng.uniform(-self.shear, self.shear, n)))
        tall = np.exp(rng.uniform(log(self.scale[0]), log(self.scale[1]), n))
        wide = tall * np.exp(rng.uniform(log(self.stretch[0]), log(self.stretch[1]), n))
        dx = rng.uniform(-self.shift, self.shift, n)
        dy = rng.uniform(-self.shift, self.shift, n)

        # Each new pixel asks where it came from, so the inverses apply in the opposite order.
        middle_x, middle_y = np.float32((width - 1) / 2), np.float32((height - 1) / 2)
        x, y = pixels(height, width)
        x, y = x - middle_x - each(dx), y - middle_y - each(dy)
        cos, sin = np.cos(angle), np.sin(angle)
        x, y = (
            each(cos / wide + slant * sin / tall) * x + each(sin / wide - slant * cos / tall) * y,
            each(-sin / tall) * x + each(cos / tall) * y,
        )
        return bilinear(images, x + middle_x, y + middle_y)


@dataclass(frozen=True)
class RandomElastic(RandomTransform):
    """Bend each image as if drawn on rubber: loops and strokes change their proportions.

    A net of knots×knots points is laid over the image, each moved by up to ±`shift` pixels in x
    and in y; between them the pull is blended by cubic B-splines, so that no stroke breaks.
    """

    shift: float = 3.0
    knots: int = 4

    def __post_init__(self) -> None:
        need(self, "knots", self.knots >= 2, "at least 2")

    def vary(self, images: np.ndarray, rng: Uniform) -> np.ndarray:
        """f32[N,C,H,W] -> the same shape."""
        height, width = images.shape[2:]
        x, y = pixels(height, width)
        return bilinear(
            images,
            x + self._pull(len(images), height, width, rng),
            y + self._pull(len(images), height, width, rng),
        )

    def _pull(self, n: int, height: int, width: int, rng: Uniform) -> np.ndarray:
        """f32[N,H,W]: how far each pixel is moved along one axis, in pixels."""
        knots = rng.uniform(-self.shift, self.shift, n * self.knots**2).astype(np.float32)
        knots = knots.reshape(n, self.knots, self.knots)
        rows = np.einsum("nij,xj->nix", knots, self._blend(width))
        return np.einsum("nix,yi->nyx", rows, self._blend(height))

    def _blend(self, length: int) -> np.ndarray:
        """f32[length,knots]: the weight of each knot at each pixel; each row adds up to 1."""
        at = np.linspace(0, self.knots - 1, length)[:, None]
        away = abs(at - np.arange(self.knots)).clip(max=2)
        near, far = (4 - 6 * away**2 + 3 * away**3) / 6, (2 - away) ** 3 / 6
        weight = np.where(away < 1, near, far)
        return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class RandomStrokeWidth(RandomTransform):
    """Make the strokes of each image thinner, by up to `thin` pixels a side, or up to `thick` more.

    One pixel more is the maximum over each 3×3 neighbourhood, one less the minimum; a fraction is
    the blend of that with the image. Both are between 0 and 1.
    """

    thin: float = 0.0
    thick: float = 0.0

    def __post_init__(self) -> None:
        for name in ("thin", "thick"):
            need(self, name, 0 <= getattr(self, name) <= 1, "between 0 and 1")

    def vary(self, images: np.ndarray, rng: Uniform) -> np.ndarray:
        """f32[N,C,H,W] -> the same shape."""
        more = each(rng.uniform(-self.thin, self.thick, len(images)))[:, None]
        thicker, thinner = _maximum3x3(images), -_maximum3x3(-images)
        return images + abs(more) * (np.where(more > 0, thicker, thinner) - images)


def from_spec(spec: dict[str, Any]) -> Transform:
    """The transform that `spec` describes, as `Transform.spec` wrote it, perhaps through JSON.

    >>> from_spec({"name": "Scale", "peak": 16})
    Scale(peak=16)
    """
    try:
        fields = dict(spec)
        kind: Any = _KINDS[fields.pop("name")]
        if kind is Compose:
            return Compose(tuple(from_spec(inner) for inner in fields["transforms"]))
        return kind(**{name: _tuples(value) for name, value in fields.items()})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DataError | UsageError):
            raise
        names = ", ".join(_KINDS)
        needs = f"a name, one of {names}, and its fields"
        raise DataError(message("transforms", f"the spec {spec!r}", needs)) from error


_KINDS: dict[str, type[Transform]] = {}


def register(*kinds: type[Transform]) -> None:
    """Let `from_spec` build these kinds of transforms."""
    _KINDS.update({kind.__name__: kind for kind in kinds})


register(Compose, Scale, Upsample, CentreByMass, RandomAffine, RandomElastic, RandomStrokeWidth)


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def bilinear(images: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Images read between their pixels: f32[N,C,H,W] at x, y: f32[N,P,Q] -> f32[N,C,P,Q].

    x, y: column and row in pixels, (0, 0) the middle of the first pixel; each may be 1 long where
    the other is not. Outside the image is paper: 0, reached within one pixel.

    >>> image = np.array([[[[0, 4], [8, 12]]]], np.float32)
    >>> bilinear(image, np.float32([[[0.5, 1, 9]]]), np.float32([[[0, 0.25, 0]]]))
    array([[[[2., 6., 0.]]]], dtype=float32)
    """
    n, channels, height, width = images.shape
    framed = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    x, y = (x + np.float32(1)).clip(0, width + 1), (y + np.float32(1)).clip(0, height + 1)
    left, top = np.floor(x).clip(max=width), np.floor(y).clip(max=height)
    right_part, lower_part = (x - left)[:, None], (y - top)[:, None]

    values, row, size = framed.ravel(), width + 2, (height + 2) * (width + 2)
    starts = np.arange(0, n * channels * size, size).reshape(n, channels, 1, 1)
    at = (top.astype(np.int64) * row + left.astype(np.int64))[:, None] + starts
    upper, lower = values.take(at), values.take(at + row)
    upper += right_part * (values.take(at + 1) - upper)
    lower += right_part * (values.take(at + row + 1) - lower)
    return upper + lower_part * (lower - upper)


def _batch(transform: Transform, images: np.ndarray) -> np.ndarray:
    if np.ndim(images) != 4:
        got = f"images of shape {list(np.shape(images))}"
        remedy = "Grey images [N,H,W]? images[:, None] adds C = 1"
        raise ShapeError(message(type(transform).__name__, got, "[N,C,H,W]", remedy=remedy))
    return np.asarray(images, np.float32)


def need(transform: Transform, name: str, holds: bool, needs: str) -> None:
    if not holds:
        got = f"{name} = {getattr(transform, name)!r}"
        raise UsageError(message(type(transform).__name__, got, needs))


def pixels(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Column f32[1,1,W] and row f32[1,H,1] of each pixel."""
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    return x[None, None, :], y[None, :, None]


def each(values: np.ndarray) -> np.ndarray:
    """[N] -> f32[N,1,1]: one number for each image."""
    return values.astype(np.float32)[:, None, None]


def _maximum3x3(images: np.ndarray) -> np.ndarray:
    """f32[N,C,H,W] -> the same shape: each pixel's maximum over itself and its 8 neighbours."""
    tall = images.copy()
    np.maximum(tall[:, :, 1:], images[:, :, :-1], out=tall[:, :, 1:])
    np.maximum(tall[:, :, :-1], images[:, :, 1:], out=tall[:, :, :-1])
    wide = tall.copy()
    np.maximum(wide[..., 1:], tall[..., :-1], out=wide[..., 1:])
    np.maximum(wide[..., :-1], tall[..., 1:], out=wide[..., :-1])
    return wide
