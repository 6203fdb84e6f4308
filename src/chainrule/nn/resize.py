"""Pictures larger and smaller: interpolation, and channels exchanged for pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.nn.calls import here, inner, public
from chainrule.nn.module import Module
from chainrule.tensor import Tensor, tensor

__all__ = ["PixelShuffle", "PixelUnshuffle", "Upsample", "interpolate", "pixel_shuffle",
           "pixel_unshuffle"]  # fmt: skip

LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}  # by the number of axes


@public
def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Tensor:
    """x in another size: f[N,C,H,W] -> f[N,C,*size], or ⌊H · scale_factor⌋, ⌊W · scale_factor⌋

    ``mode="nearest"`` repeats numbers; ``"linear"``, ``"bilinear"``, ``"trilinear"`` (for 1, 2, 3
    spatial axes) draw straight lines between them.  With ``align_corners`` the outermost numbers
    keep their places, else pixels are squares of equal size.

    >>> import chainrule as cr
    >>> x = cr.tensor([[[1.0, 3.0]]])
    >>> interpolate(x, scale_factor=2).tolist(), interpolate(x, 3, mode="linear").tolist()
    ([[[1.0, 1.0, 3.0, 3.0]]], [[[1.0, 2.0, 3.0]]])
    """
    where, rank = here("interpolate"), input.ndim - 2
    if input.ndim not in LINEAR:
        needs = "f[N,C,L], f[N,C,H,W] or f[N,C,D,H,W]"
        raise ShapeError(message(where, type_text(input.shape, input.dtype), needs))
    if mode not in ("nearest", LINEAR[input.ndim]):
        got = f"mode={mode!r} for {type_text(input.shape, input.dtype)}"
        raise UsageError(message(where, got, f"'nearest' or {LINEAR[input.ndim]!r}"))
    if align_corners is not None and mode == "nearest":
        got = f"align_corners={align_corners} with mode='nearest'"
        raise UsageError(message(where, got, f"mode={LINEAR[input.ndim]!r}"))
    if (size is None) == (scale_factor is None):
        got = "neither size nor scale_factor" if size is None else "size and scale_factor"
        raise UsageError(message(where, got, "one of them"))
    if size is not None:
        sizes = _per_axis(size, rank, "size")
        scales = [None] * rank
    else:
        scales = _per_axis(scale_factor, rank, "scale_factor")
        sizes = [int(n * s) for n, s in zip(input.shape[2:], scales, strict=True)]
        scales = [None] * rank if recompute_scale_factor else scales
    if min(*input.shape[2:], *sizes) < 1:
        got = f"{type_text(input.shape, input.dtype)} to {list(sizes)}"
        raise ShapeError(message(where, got, "at least one number along each axis"))
    for axis, (new, scale) in enumerate(zip(sizes, scales, strict=True), start=2):
        if mode == "nearest":
            input = input.index_select(axis, tensor(_nearest(input.shape[axis], new, scale)))
        else:
            input = _lines(input, axis, new, scale, bool(align_corners))
    return input


def _per_axis(value: Any, rank: int, name: str) -> list[Any]:
    values = [value] * rank if isinstance(value, (int, float)) else list(value)
    if len(values) != rank:
        got = f"{name}={value!r}"
        raise UsageError(message(here("interpolate"), got, f"a number, or {rank} of them"))
    return values


def _nearest(old: int, new: int, scale: float | None) -> np.ndarray:
    """Which old place each new one shows; in float32, as PyTorch has it."""
    step = np.float32(1 / scale if scale else old / new)
    return np.minimum(np.floor(np.arange(new, dtype=np.float32) * step).astype(np.int64), old - 1)


def _lines(x: Tensor, axis: int, new: int, scale: float | None, align_corners: bool) -> Tensor:
    """Along one axis: the weighted mean of the two numbers around each new place."""
    old = x.shape[axis]
    if align_corners:
        place = np.arange(new) * ((old - 1) / (new - 1) if new > 1 else 0.0)
    else:
        step = 1 / scale if scale else old / new
        place = np.maximum((np.arange(new) + 0.5) * step - 0.5, 0.0)
    before = np.minimum(np.floor(place).astype(np.int64), old - 1)
    after = np.minimum(before + 1, old - 1)
    shape = (-1,) + (1,) * (x.ndim - axis - 1)
    share = tensor(np.clip(place - before, 0.0, 1.0)).to(x.dtype).reshape(shape)
    left, right = (x.index_select(axis, tensor(places)) for places in (before, after))
    return left * (1 - share) + right * share


@public
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Channels as pixels      x: f[...,C·r²,H,W] -> y: f[...,C,H·r,W·r] with r = upscale_factor"""
    r = _factor(input, upscale_factor, "pixel_shuffle")
    *batch, channels, height, width = input.shape
    if channels % r**2:
        got = type_text(input.shape, input.dtype)
        raise ShapeError(message(here("pixel_shuffle"), got, f"a multiple of {r**2} channels"))
    x = input.reshape(*batch, channels // r**2, r, r, height, width)
    n = len(batch)
    x = x.permute(*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return x.reshape(*batch, channels // r**2, height * r, width * r)


@public
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Pixels as channels      x: f[...,C,H·r,W·r] -> y: f[...,C·r²,H,W], r = downscale_factor"""
    r = _factor(input, downscale_factor, "pixel_unshuffle")
    *batch, channels, height, width = input.shape
    if height % r or width % r:
        got, needs = type_text(input.shape, input.dtype), f"sides that are multiples of {r}"
        raise ShapeError(message(here("pixel_unshuffle"), got, needs))
    x = input.reshape(*batch, channels, height // r, r, width // r, r)
    n = len(batch)
    x = x.permute(*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return x.reshape(*batch, channels * r**2, height // r, width // r)


def _factor(x: Tensor, factor: int, where: str) -> int:
    if x.ndim < 3 or factor < 1:
        got = f"{type_text(x.shape, x.dtype)} and a factor of {factor}"
        raise ShapeError(message(here(where), got, "f[...,C,H,W] and a factor of at least 1"))
    return factor


# ---------------------------------------------------------------- layers


class Upsample(Module):
    """``interpolate`` as a layer      x: f[N,C,H,W] -> y: f[N,C,P,Q]

    >>> import chainrule as cr
    >>> Upsample(scale_factor=2)(cr.zeros(1, 3, 5, 5)).shape
    (1, 3, 10, 10)
    """

    def __init__(
        self,
        size: int | tuple[int, ...] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        many = isinstance(scale_factor, (tuple, list))
        factors = tuple(map(float, scale_factor)) if many else scale_factor and float(scale_factor)
        self.size, self.scale_factor, self.mode = size, factors, mode
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """x in the other size."""
        return inner(interpolate)(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            self.recompute_scale_factor,
        )

    def extra_repr(self) -> str:
        """scale_factor or size, mode"""
        name = "size" if self.scale_factor is None else "scale_factor"
        return f"{name}={getattr(self, name)!r}, mode={self.mode!r}"


class PixelShuffle(Module):
    """Channels as pixels      x: f[...,C·r²,H,W] -> y: f[...,C,H·r,W·r]

    >>> import chainrule as cr
    >>> PixelShuffle(2)(cr.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1, 1)).tolist()
    [[[[1.0, 2.0], [3.0, 4.0]]]]
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """Channels as pixels."""
        return inner(pixel_shuffle)(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """upscale_factor"""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Pixels as channels      x: f[...,C,H·r,W·r] -> y: f[...,C·r²,H,W]"""

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """Pixels as channels."""
        return inner(pixel_unshuffle)(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """downscale_factor"""
        return f"downscale_factor={self.downscale_factor}"
