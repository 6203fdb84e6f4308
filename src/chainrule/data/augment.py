"""More transforms of a batch f32[N,C,H,W]: sizes, colours, means, and variation for training.

The names are torchvision's.  Each image of a batch is varied by itself; what lies outside an image
is 0.  Colours are red, green, blue from 0 to 1, in that order of channels.

>>> from chainrule.data import Compose
>>> Compose((Pad(4), RandomCrop(32), RandomHorizontalFlip()))(
...     np.zeros((2, 3, 32, 32)), np.random.default_rng(0)
... ).shape
(2, 3, 32, 32)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np

from chainrule.data.transforms import (
    RandomAffine,
    RandomTransform,
    Transform,
    Uniform,
    each,
    need,
    register,
)
from chainrule.errors import ShapeError, UsageError, message

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Grayscale",
    "MixUp",
    "Normalize",
    "Pad",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "SubtractMean",
    "TenCrop",
]

GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601

Size = int | tuple[int, int]


# ------------------------------------------------------------ sizes


@dataclass(frozen=True)
class Resize(Transform):
    """To ``size`` = (height, width), or, for a number, until the shorter side has that length.

    Bilinear; an image that becomes smaller is averaged over what falls into each new pixel
    (torchvision's ``antialias``).

    >>> Resize(2)(np.array([[[[0, 0, 4, 4], [0, 0, 4, 4], [8, 8, 8, 8], [8, 8, 8, 8]]]])).shape
    (1, 1, 2, 2)
    """

    size: Size

    def __post_init__(self) -> None:
        _check_size(self)

    def apply(self, images: np.ndarray) -> np.ndarray:
        """y = A x Bᵀ, A: f32[P,H] and B: f32[Q,W] the weights of the old rows and columns."""
        height, width = images.shape[2:]
        if isinstance(self.size, tuple):
            rows, columns = self.size
        else:
            factor = self.size / min(height, width)
            rows, columns = (
                self.size if side == min(height, width) else int(factor * side)
                for side in (height, width)
            )
        return _weights(rows, height) @ images @ _weights(columns, width).T


def _weights(new: int, old: int) -> np.ndarray:
    """f32[new,old]: how much of each old pixel is in each new one; each row adds up to 1.

    A triangle around the new pixel's middle, as wide as a pixel of the coarser of both grids.
    """
    factor = old / new
    wide = max(factor, 1.0)
    middle = (np.arange(new)[:, None] + 0.5) * factor
    away = abs(np.arange(old) + 0.5 - middle) / wide
    weight = (1 - away).clip(0)
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class Pad(Transform):
    """``padding`` pixels of ``value`` on each side.

    >>> Pad(1, value=9)(np.zeros((1, 1, 1, 1)))[0, 0, 0]
    array([9., 9., 9.], dtype=float32)
    """

    padding: int
    value: float = 0.0

    def __post_init__(self) -> None:
        need(self, "padding", self.padding >= 0, "0 or more")

    def apply(self, images: np.ndarray) -> np.ndarray:
        """f32[N,C,H,W] -> f32[N,C,H+2p,W+2p]."""
        sides = (self.padding, self.padding)
        return np.pad(images, ((0, 0), (0, 0), sides, sides), constant_values=self.value)


@dataclass(frozen=True)
class CenterCrop(Transform):
    """The middle of each image: ``size`` pixels a side, or (height, width).

    >>> CenterCrop(1)(np.arange(9.0).reshape(1, 1, 3, 3)).tolist()
    [[[[4.0]]]]
    """

    size: Size

    def __post_init__(self) -> None:
        _check_size(self)

    def apply(self, images: np.ndarray) -> np.ndarray:
        """f32[N,C,H,W] -> f32[N,C,size,size]."""
        rows, columns = _fitting(self, self.size, images)
        top, left = (images.shape[2] - rows + 1) // 2, (images.shape[3] - columns + 1) // 2
        return images[:, :, top : top + rows, left : left + columns].copy()


@dataclass(frozen=True)
class TenCrop(Transform):
    """The four corners and the middle, and their mirror images: ten crops of each image.

    They stand together, so that ``scores.reshape(N, 10, K).mean(1)`` averages over them; targets
    are repeated likewise.

    >>> images, labels = TenCrop(2).together(np.zeros((3, 1, 4, 4)), np.arange(3))
    >>> images.shape, labels[:11].tolist()
    ((30, 1, 2, 2), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    """

    size: Size

    def __post_init__(self) -> None:
        _check_size(self)

    def apply(self, images: np.ndarray) -> np.ndarray:
        """f32[N,C,H,W] -> f32[10·N,C,size,size]."""
        rows, columns = _fitting(self, self.size, images)
        corners = [
            images[:, :, top, left]
            for top in (slice(0, rows), slice(-rows, None))
            for left in (slice(0, columns), slice(-columns, None))
        ]
        crops = np.stack([*corners, CenterCrop((rows, columns))(images)], axis=1)
        ten = np.concatenate([crops, crops[..., ::-1]], axis=1)
        return ten.reshape(-1, *ten.shape[2:])

    def together(
        self, images: np.ndarray, targets: np.ndarray, rng: Uniform | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The targets ten times each."""
        return self(images), np.repeat(targets, 10, axis=0)


@dataclass(frozen=True)
class RandomCrop(RandomTransform):
    """A part of each image, ``size`` pixels a side, after ``padding`` zeros on each side.

    >>> RandomCrop(2)(np.zeros((5, 1, 4, 4)), np.random.default_rng(0)).shape
    (5, 1, 2, 2)
    """

    size: Size
    padding: int = 0

    def __post_init__(self) -> None:
        _check_size(self)
        need(self, "padding", self.padding >= 0, "0 or more")

    def fixed(self) -> tuple[Transform, ...]:
        """The middle instead."""
        return Pad(self.padding), CenterCrop(self.size)

    def vary(self, images: np.ndarray, rng: Uniform) -> np.ndarray:
        """f32[N,C,H,W] -> f32[N,C,size,size]."""
        images = Pad(self.padding)(images)
        rows, columns = _fitting(self, self.size, images)
        n, _, height, width = images.shape
        top = _whole(rng, height - rows + 1, n)
        left = _whole(rng, width - columns + 1, n)
        parts = np.lib.stride_tricks.sliding_window_view(images, (rows, columns), axis=(2, 3))
        return parts[np.arange(n), :, top, left]


# ------------------------------------------------------------ places


@dataclass(frozen=True)
class RandomHorizontalFlip(RandomTransform):
    """Exchange left and right, with probability ``p``.

    >>> RandomHorizontalFlip(p=1)(np.array([[[[1, 2]]]]), np.random.default_rng(0)).tolist()
    [[[[2.0, 1.0]]]]
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        need(self, "p", 0 <= self.p <= 1, "between 0 and 1")

    def vary(self, images: np.ndarray, rng: Uniform) -> np.ndarray:
        """f32[N,C,H,W] -> the same shape."""
        return np.where(_chosen(rng, self.p, len(images)), images[..., ::-1], images)


@dataclass(frozen=True)
class RandomVerticalFlip(RandomTransform):
    """Exchange top and bottom, with probability ``p``.

    >>> RandomVerticalFlip(p=1)(np.array([[[[1], [2]]]]), np.random.default_rng(0)).tolist()
    [[[[2.0], [1.0]]]]
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        need(self, "p", 0 <= self.p <= 1, "between 0 and 1")

    def vary(self, images: np.ndarray, rng: Uniform) -> np.ndarray:
        """f32[N,C,H,W] -> the same shape."""
        return np.where(_chosen(rng, self.p, len(images)), images[:, :, ::-1], images)


@dataclass(frozen=True)
class RandomRotation(RandomTransform):
    """Turn each image around its middle by up to ±``degrees``; bilinear.

    >>> RandomRotation(30)(np.ones((2, 1, 8, 8)), np.random.default_rng(0)).shape
    (2, 1, 8, 8)
    """

    degrees: float

    def vary(self, images: np.ndarray, rng: Uniform) -> np.ndarray:
        """f32[N,C,H,W] -> the same shape."""
        return RandomAffine(degrees=self.degrees).vary(images, rng)


@dataclass(frozen=True)
class RandomErasing(RandomTransform):
    """Overwrite a rectangle of each image by ``value``, with probability ``p``.

    Its area is within ``scale`` (parts of the image's), height / width within ``ratio`` (uniform in
    its logarithm); a side that would be longer than the image is as long.  Zhong et al., 2017.

    >>> erased = RandomErasing(p=1)(np.ones((1, 1, 16, 16)), np.random.default_rng(0))
    >>> 0 < float((erased == 0).mean()) < 0.4
    True
    """

    p: float = 0.5
    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    value: float = 0.0

    def __post_init__(self) -> None:
        need(self, "p", 0 <= self.p <= 1, "between 0 and 1")
        need(self, "scale", 0 < self.scale[0] <= self.scale[1] <= 1, "(low, high), up to 1")
        need(self, "ratio", 0 < self.ratio[0] <= self.ratio[1], "(low, high), above 0")

    def vary(self, images: np.ndarray, rng: Uniform) -> np.ndarray:
        """f32[N,C,H,W] -> the same shape."""
        n, _, height, width = images.shape
        chosen = _chosen(rng, self.p, n)
        area = rng.uniform(self.scale[0], self.scale[1], n) * height * width
        ratio = np.exp(rng.uniform(log(self.ratio[0]), log(self.ratio[1]), n))
        rows = np.rint(np.sqrt(area * ratio)).clip(1, height)[:, None, None, None]
        columns = np.rint(np.sqrt(area / ratio)).clip(1, width)[:, None, None, None]
        top = np.floor(rng.uniform(0, 1, n)[:, None, None, None] * (height - rows + 1))
        left = np.floor(rng.uniform(0, 1, n)[:, None, None, None] * (width - columns + 1))
        y, x = np.arange(height)[:, None], np.arange(width)
        inside = (top <= y) & (y < top + rows) & (left <= x) & (x < left + columns)
        return np.where(inside & chosen, np.float32(self.value), images)


# ------------------------------------------------------------ colours


@dataclass(frozen=True)
class Grayscale(Transform):
    """Brightness 0.299 R + 0.587 G + 0.114 B, in ``num_output_channels`` equal channels, 1 or 3.

    >>> float(Grayscale()(np.ones((1, 3, 1, 1)))[0, 0, 0, 0].round(6))
    1.0
    """

    num_output_channels: int = 1

    def __post_init__(self) -> None:
        need(self, "num_output_channels", self.num_output_channels in (1, 3), "1 or 3")

    def apply(self, images: np.ndarray) -> np.ndarray:
        """f32[N,3,H,W] -> f32[N,1,H,W] or f32[N,3,H,W]."""
        _channels(self, images, 3)
        return np.repeat(_grey(images), self.num_output_channels, axis=1)


@dataclass(frozen=True)
class ColorJitter(RandomTransform):
    """Vary brightness, contrast, saturation and hue of each image, in this order.

    The first three are factors, uniform from 1 - v (at least 0) to 1 + v; hue is moved by up to
    ±v turns of the colour circle, v ≤ 0.5.  Values stay within 0 to 1, as the images' must be.

    >>> images = np.full((2, 3, 4, 4), 0.5)
    >>> ColorJitter(brightness=0.4, hue=0.1)(images, np.random.default_rng(0)).shape
    (2, 3, 4, 4)
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            need(self, name, getattr(self, name) >= 0, "0 or more")
        need(self, "hue", 0 <= self.hue <= 0.5, "between 0 and 0.5")

    def vary(self, images: np.ndarray, rng: Uniform) -> np.ndarray:
        """f32[N,C,H,W] -> the same shape; saturation and hue need C = 3."""
        if self.saturation or self.hue:
            _channels(self, images, 3)
        images = images.clip(0, 1)
        if self.brightness:
            images = (images * self._factors(self.brightness, images, rng)).clip(0, 1)
        if self.contrast:
            grey = _grey(images) if images.shape[1] == 3 else images
            mean = grey.mean(axis=(1, 2, 3), keepdims=True)
            images = _away(images, mean, self._factors(self.contrast, images, rng))
        if self.saturation:
            factors = self._factors(self.saturation, images, rng)
            images = _away(images, _grey(images), factors)
        if self.hue:
            turns = each(rng.uniform(-self.hue, self.hue, len(images)))
            images = _turned(images, turns)
        return images

    def _factors(self, amount: float, images: np.ndarray, rng: Uniform) -> np.ndarray:
        return each(rng.uniform(max(0.0, 1 - amount), 1 + amount, len(images)))[:, None]


def _away(images: np.ndarray, centre: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Away from the centre for a factor above 1, towards it for one below."""
    return (centre + factor * (images - centre)).clip(0, 1)


def _turned(images: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Colours moved along the colour circle: f32[N,3,H,W], turns f32[N,1,1].

    In the hexagon of HSV: the hue h = 0 … 6 says which channel is the largest and which the
    smallest; channel value = v - c·clip(min(k, 4 - k), 0, 1) with k = (offset + h) mod 6.
    """
    largest, smallest = images.max(axis=1), images.min(axis=1)
    chroma = largest - smallest
    safe = np.where(chroma > 0, chroma, 1)
    red, green, blue = images[:, 0], images[:, 1], images[:, 2]
    hue = np.where(
        largest == red,
        (green - blue) / safe,
        np.where(largest == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = hue + 6 * turns
    sectors = [(offset + hue) % 6 for offset in (5, 3, 1)]
    return np.stack([largest - chroma * np.minimum(k, 4 - k).clip(0, 1) for k in sectors], axis=1)


# ------------------------------------------------------------ means


@dataclass(frozen=True)
class Normalize(Transform):
    """(x - mean) / std, a number for each channel.

    >>> Normalize((0.5,), (0.5,))(np.ones((1, 1, 1, 1))).tolist()
    [[[[1.0]]]]
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            numbers = np.atleast_1d(np.asarray(getattr(self, name), np.float64))
            object.__setattr__(self, name, tuple(numbers.tolist()))
        need(self, "std", all(std > 0 for std in self.std), "numbers above 0")
        need(self, "mean", len(self.mean) == len(self.std), f"{len(self.std)} numbers, as std")

    def apply(self, images: np.ndarray) -> np.ndarray:
        """f32[N,C,H,W] -> the same shape."""
        _channels(self, images, len(self.mean))
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (self.mean, self.std))
        return (images - mean) / std

    @staticmethod
    def learn(images: np.ndarray) -> Normalize:
        """With the means and standard deviations of the channels of f[N,C,H,W].

        >>> Normalize.learn(np.array([[[[0.0, 2.0]]]]))
        Normalize(mean=(1.0,), std=(1.0,))
        """
        mean = np.asarray(np.mean(images, axis=(0, 2, 3), dtype=np.float64))
        std = np.asarray(np.std(images, axis=(0, 2, 3), dtype=np.float64))
        return Normalize(tuple(mean.tolist()), tuple(std.tolist()))


@dataclass(frozen=True)
class SubtractMean(Transform):
    """x - mean: a number for each channel, or a whole mean image [C,H,W], of the training set.

    >>> remove = SubtractMean.learn(np.array([[[[0.0, 2.0]]], [[[4.0, 2.0]]]]))
    >>> remove
    SubtractMean(mean=(2.0,))
    >>> remove(np.array([[[[5.0, 6.0]]]])).tolist()
    [[[[3.0, 4.0]]]]
    """

    mean: tuple[Any, ...]

    def apply(self, images: np.ndarray) -> np.ndarray:
        """f32[N,C,H,W] -> the same shape."""
        mean = np.array(self.mean, np.float32)
        if mean.ndim == 1:
            _channels(self, images, len(mean))
            return images - mean[:, None, None]
        if mean.shape != images.shape[1:]:
            got = f"images {list(images.shape)}"
            raise ShapeError(message("SubtractMean", got, f"[N,{','.join(map(str, mean.shape))}]"))
        return images - mean

    @staticmethod
    def learn(images: np.ndarray, whole_image: bool = False) -> SubtractMean:
        """From a training set f[N,C,H,W]: the channels' means, or the mean image."""
        axes = (0,) if whole_image else (0, 2, 3)
        return SubtractMean(_tuples(np.mean(images, axis=axes, dtype=np.float64).tolist()))


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


# ------------------------------------------------------------ mix-up


@dataclass(frozen=True)
class MixUp(RandomTransform):
    """Blend each image with the one before it in the batch, and their targets likewise.

    λ x + (1 - λ) x′ with λ from Beta(alpha, alpha), 0 < alpha ≤ 1 (Zhang et al., 2018).  Labels
    i64[N] become soft targets f32[N,classes], rows that add up to 1, as CrossEntropyLoss takes.

    >>> images, targets = MixUp(classes=3).together(
    ...     np.zeros((2, 1, 1, 1)), np.array([0, 2]), np.random.default_rng(0)
    ... )
    >>> targets.shape, targets.sum(axis=1).tolist()
    ((2, 3), [1.0, 1.0])
    """

    classes: int
    alpha: float = 0.2

    def __post_init__(self) -> None:
        need(self, "alpha", 0 < self.alpha <= 1, "above 0, at most 1")

    def vary(self, images: np.ndarray, rng: Uniform) -> np.ndarray:
        """Not without targets."""
        remedy = "DataLoader(…, transform=…) gives both; or call together(images, labels, rng)"
        raise UsageError(message("MixUp", "images alone", "images and labels", remedy=remedy))

    def together(
        self, images: np.ndarray, targets: np.ndarray, rng: Uniform | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """f32[N,C,H,W], i64[N] or f[N,K] -> f32[N,C,H,W], f32[N,K]."""
        if rng is None:
            raise UsageError(message("MixUp", "no rng", "a source of random numbers"))
        if targets.ndim == 1:
            if targets.dtype.kind not in "iu":
                got, needs = f"{targets.dtype} labels", "whole numbers, or soft targets f[N,K]"
                raise UsageError(message("MixUp", got, needs))
            outside = (targets < 0) | (targets >= self.classes)
            if outside.any():
                got = f"label {targets[outside][0]}"
                raise ShapeError(message("MixUp", got, f"0 to {self.classes - 1}"))
            targets = np.eye(self.classes, dtype=np.float32)[targets]
        part = _beta(self.alpha, len(images), rng).astype(np.float32)
        mixed = [
            np.asarray(x, np.float32) * weight + np.roll(x, 1, axis=0) * (1 - weight)
            for x, weight in ((images, part[:, None, None, None]), (targets, part[:, None]))
        ]
        return mixed[0], mixed[1]


def _beta(alpha: float, n: int, rng: Uniform) -> np.ndarray:
    """f64[n] from Beta(alpha, alpha), by Jöhnk's method (1964).

    u^(1/α) / (u^(1/α) + v^(1/α)) for the pairs whose sum is at most 1: at least half of them,
    as alpha ≤ 1.  In logarithms, since u^(1/α) of a small alpha is below the least number.
    """
    found = np.empty(0)
    while len(found) < n:
        u, v = (np.log(rng.uniform(0, 1, 2 * n + 8) + 2.0**-54) / alpha for _ in range(2))
        both = np.logaddexp(u, v)
        found = np.concatenate([found, np.exp(u - both)[both <= 0]])
    return found[:n]


# ------------------------------------------------------------


def _check_size(transform: Any) -> None:
    """Complain about a size that is none; a list becomes a tuple."""
    if isinstance(transform.size, list):
        object.__setattr__(transform, "size", tuple(transform.size))
    sides = transform.size if isinstance(transform.size, tuple) else (transform.size,) * 2
    sound = len(sides) == 2 and all(isinstance(side, int) and side >= 1 for side in sides)
    need(transform, "size", sound, "a whole number of pixels above 0, or (height, width)")


def _pair(size: Size) -> tuple[int, int]:
    return size if isinstance(size, tuple) else (size, size)


def _fitting(transform: Transform, size: Size, images: np.ndarray) -> tuple[int, int]:
    """Rows and columns, if the images have as many."""
    rows, columns = _pair(size)
    height, width = images.shape[2:]
    if not (1 <= rows <= height and 1 <= columns <= width):
        name, remedy = type(transform).__name__, "Resize or Pad the images first"
        got, needs = f"images of {height}×{width}", f"at least {rows}×{columns}"
        raise ShapeError(message(name, got, needs, remedy=remedy))
    return rows, columns


def _channels(transform: Transform, images: np.ndarray, channels: int) -> None:
    if images.shape[1] != channels:
        name, got = type(transform).__name__, f"images with C = {images.shape[1]}"
        raise ShapeError(message(name, got, f"C = {channels}"))


def _grey(images: np.ndarray) -> np.ndarray:
    """f32[N,3,H,W] -> f32[N,1,H,W]."""
    return np.einsum("nchw,c->nhw", images, GREY)[:, None]


def _whole(rng: Uniform, count: int, n: int) -> np.ndarray:
    """i64[n], each from 0 to count - 1."""
    return np.floor(rng.uniform(0, 1, n) * count).astype(np.int64).clip(max=count - 1)


def _chosen(rng: Uniform, p: float, n: int) -> np.ndarray:
    """bool[n,1,1,1], True with probability p."""
    return (rng.uniform(0, 1, n) < p)[:, None, None, None]


register(
    *(Resize, Pad, CenterCrop, TenCrop, RandomCrop),
    *(RandomHorizontalFlip, RandomVerticalFlip, RandomRotation, RandomErasing),
    *(Grayscale, ColorJitter, Normalize, SubtractMean, MixUp),
)
