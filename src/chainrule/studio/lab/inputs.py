"""What the convolution lab filters, and with what: numbers as text, pictures and kernels by name.

    numbers     one space apart
    rows        end with _
    channels    end with __
    kernels     end with ___

so "1 0_0 1" is [[1, 0], [0, 1]].  The text stands in the page's address, where it needs no escape.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.data import digits
from chainrule.errors import NameNotFoundError, UsageError, did_you_mean, message
from chainrule.inspect.filters import KERNELS, kernel
from chainrule.nn import functional as F
from chainrule.systems.filtering import A06, A07, picture_of
from chainrule.tensor import tensor

__all__ = [
    "BANKS",
    "IMAGES",
    "KERNELS_1D",
    "KERNELS_2D",
    "SIGNALS",
    "bank_of",
    "image_of",
    "kernel_of",
    "numbers_of",
    "text_of",
    "thumbnail",
]

LARGEST = 1e6  # of a number that is typed: sums of a thousand products keep all their digits


def numbers_of(text: str, axes: int, where: str) -> np.ndarray:
    """The numbers of a text, f64 with so many axes (1 to 4); fractions such as 1/9 are read too.

    Raises UsageError for what is no number, is too large, or has rows of several lengths.

    >>> numbers_of("1 0.5_-2 1/4", 2, "image").tolist()
    [[1.0, 0.5], [-2.0, 0.25]]
    """
    found = _split(text, axes, where)
    try:
        array = np.array(found, np.float64)
    except ValueError:
        why = "All rows have one length, all channels and kernels one size"
        raise UsageError(message(where, "rows of several lengths", "one length", why=why)) from None
    if array.ndim != axes or not array.size:
        got = f"{array.ndim} axes" if array.size else "no numbers"
        raise UsageError(message(where, got, f"{axes} axes"))
    return array


def _split(text: str, axes: int, where: str) -> Any:
    if axes == 1:
        return [_number(word, where) for word in text.split()]
    return [_split(part, axes - 1, where) for part in text.split("_" * (axes - 1))]


def _number(word: str, where: str) -> float:
    above, slash, below = word.partition("/")
    try:
        number = float(above) / float(below) if slash else float(word)
    except (ValueError, ZeroDivisionError):
        number = float("nan")
    if not abs(number) <= LARGEST:
        needs = f"numbers between −{LARGEST:,.0f} and {LARGEST:,.0f}"
        raise UsageError(message(where, repr(word[:20]), needs))
    return number


def text_of(array: np.ndarray) -> str:
    """The text of an array: ``numbers_of`` gives the same bits again.

    >>> text_of(np.array([[1.0, 0.5], [-2.0, 0.1]]))
    '1 0.5_-2 0.1'
    """
    if array.ndim == 1:
        return " ".join(repr(number).removesuffix(".0") for number in array.tolist())
    return ("_" * (array.ndim - 1)).join(map(text_of, array))


def thumbnail(grey: np.ndarray, size: int) -> np.ndarray:
    """The middle square of a picture f[H,W], by averages f64[size,size], to three decimals.

    A picture that is smaller than that is enlarged by repeating its pixels.
    """
    side = min(grey.shape)
    top, left = ((length - side) // 2 for length in grey.shape)
    square = tensor(grey[top : top + side, left : left + side].astype(np.float64))
    return F.adaptive_avg_pool2d(square[None, None], size)[0, 0].numpy().round(3)


# ---------------------------------------------------------------- pictures


def _square(size: int) -> np.ndarray:
    """A bright square with a dark pixel, and a bright pixel alone: the mean filter's example."""
    image = np.zeros((10, 10))
    image[2:7, 3:8], image[5, 4], image[8, 2] = 90, 0, 90
    return image


def _impulse(size: int) -> np.ndarray:
    image = np.zeros((size, size))
    image[size // 2, size // 2] = 1
    return image


def _step(size: int) -> np.ndarray:
    return np.repeat([np.arange(size) >= size // 2], size, axis=0).astype(float)


def _stripes(size: int) -> np.ndarray:
    row, column = np.mgrid[:size, :size]
    return ((row + column) % 6 < 3).astype(float)


def _digit(size: int) -> np.ndarray:
    images, labels = digits("train")
    return thumbnail(images[labels == 3][0] / 16, max(8, size))


@functools.cache
def _picture() -> np.ndarray:
    return picture_of(None)[0]


IMAGES: dict[str, tuple[str, Callable[[int], np.ndarray]]] = {
    # name: (in words, of a size)
    "lecture": ("5 × 5 of the lecture", lambda size: np.array(A06, float)),
    "small": (
        "3 × 3 of the lecture",
        lambda size: np.array([[1.0, 3, 1], [0, -1, 1], [2, 2, -1]]),
    ),
    "four": (
        "4 × 4 for pooling",
        lambda size: np.array([[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]),
    ),
    "hook": ("7 × 7 of the lecture", lambda size: np.array(A07, float)),
    "square": ("10 × 10, a bright square", _square),
    "impulse": ("impulse: one 1", _impulse),
    "step": ("step", _step),
    "stripes": ("slanted stripes", _stripes),
    "digit": ("a handwritten 3", _digit),
    "picture": ("a picture", lambda size: thumbnail(_picture(), size)),
}
SIGNALS: dict[str, tuple[str, Callable[[int], np.ndarray]]] = {
    "short": ("2, −1, 1", lambda size: np.array([2.0, -1, 1])),
    "five": ("1, −2, 3, 0, 4", lambda size: np.array([1.0, -2, 3, 0, 4])),
    "pulse": ("1, 1, 1, 0, 0", lambda size: np.array([1.0, 1, 1, 0, 0])),
    "impulse": ("impulse: one 1", lambda size: (np.arange(size) == size // 2).astype(float)),
    "step": ("step", lambda size: (np.arange(size) >= size // 2).astype(float)),
    "ramp": ("ramp", lambda size: np.arange(size, dtype=float)),
}


def image_of(text: str, size: int, dims: int) -> np.ndarray:
    """An image or signal by name or as text: f64[H,W], or f64[L] in one dimension."""
    named = IMAGES if dims == 2 else SIGNALS
    if text[:1].isalpha():
        return _chosen(text, named, "image")[1](size)
    return numbers_of(text, dims, "image")


def _chosen(name: str, named: dict[str, Any], where: str) -> Any:
    if name not in named:
        needs, remedy = "numbers, or one of " + ", ".join(named), did_you_mean(name, tuple(named))
        raise NameNotFoundError(message(where, repr(name[:40]), needs, remedy=remedy))
    return named[name]


# ---------------------------------------------------------------- kernels

_LECTURE: dict[str, list[list[int]]] = {
    "cross": [[1, 0, 1], [0, 1, 0], [1, 0, 1]],
    "two": [[1, 2], [0, -1]],
    "corner": [[0, 0, 0], [0, 1, 1], [0, 1, 0]],
    "nine": [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
}
_MEANS = {f"mean-{size}": size for size in range(1, 12)}
KERNELS_2D = (*_LECTURE, *KERNELS, *_MEANS)
KERNELS_1D: dict[str, list[float]] = {
    "lecture": [1, 1, 2],
    "ends": [1, 0, 1],
    "three": [2, 3, 5],
    "difference": [1, 0, -1],
    "second-difference": [1, -2, 1],
    "binomial": [1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16],
    "shift": [0, 0, 1],
} | {name: [1 / size] * size for name, size in _MEANS.items()}


def kernel_of(text: str, dims: int) -> np.ndarray:
    """A kernel by name or as text: f64[F,G], or f64[F] in one dimension."""
    if not text[:1].isalpha():
        return numbers_of(text, dims, "kernel")
    if dims == 1:
        return np.array(_chosen(text, KERNELS_1D, "kernel"), np.float64)
    _chosen(text, dict.fromkeys(KERNELS_2D), "kernel")
    if text in _MEANS:
        return np.full((_MEANS[text],) * 2, 1 / _MEANS[text] ** 2)
    return np.array(_LECTURE[text], np.float64) if text in _LECTURE else kernel(text).numpy()


# ---------------------------------------------------------------- several channels


def _scene(size: int) -> np.ndarray:
    """Three channels: a disc in the first, a bar in the second, and a slope of light in all."""
    row, column = (np.mgrid[:size, :size] + 0.5) / size
    slope = 0.25 * column
    disc = (row - 0.4) ** 2 + (column - 0.35) ** 2 < 0.08
    bar = np.abs(column - 0.75) < 0.125
    planes = np.stack([0.7 * disc, 0.7 * bar, 0.5 * (row > 0.75)])
    return (planes + slope).round(2)


STACKS = {"scene": ("red disc, green bar, blue ground", _scene)}
BANKS = {
    "edges": "edges of each channel's own",
    "opponents": "one channel against the others",
    "random": "whole numbers by chance",
}


def stack_of(text: str, size: int) -> np.ndarray:
    """An image of several channels by name or as text: f64[C,H,W]."""
    if text[:1].isalpha():
        return _chosen(text, STACKS, "image")[1](size)
    return numbers_of(text, 3, "image")


def bank_of(text: str, channels: int, kernels: int, seed: int) -> np.ndarray:
    """K kernels for C channels by name or as text: f64[K,C,F,G].

    "random" draws whole numbers from −2 to 2; the same seed draws the same ones.
    """
    if not text[:1].isalpha():
        return numbers_of(text, 4, "kernels")
    _chosen(text, BANKS, "kernels")
    if text == "random":
        drawn = np.random.default_rng(seed).integers(-2, 3, (kernels, channels, 3, 3))
        return drawn.astype(np.float64)
    bank = np.zeros((kernels, channels, 3, 3))
    for k in range(kernels):
        own = k % channels
        if text == "edges":
            bank[k, own] = kernel("sobel-x" if k < channels else "sobel-y").numpy()
        else:
            bank[k] = -0.5 * kernel("box").numpy()
            bank[k, own] = kernel("box").numpy()
    return bank
