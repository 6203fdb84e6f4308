"""Normalisation: over the batch, or over features, groups or neighbours of each sample."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.creation import ones, zeros
from chainrule.errors import ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.nn.calls import here, inner, public
from chainrule.nn.init import constant_parameter
from chainrule.nn.module import Module
from chainrule.nn.padding import pad
from chainrule.nn.parameter import number_type
from chainrule.nn.pool import avg_pool2d
from chainrule.nn.sizes import Sized
from chainrule.ops import reduce
from chainrule.storage import recorder
from chainrule.tensor import Tensor, tensor

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
    "batch_norm",
    "group_norm",
    "layer_norm",
    "local_response_norm",
    "normalize",
    "rms_norm",
]


def _moments(x: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    both = Tensor._of(recorder().record(reduce.moments, (x._node,), {"axes": axes}))
    return both[0], both[1]


@public
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """y = (x - μ) / √(σ² + eps) · weight + bias, per channel      x: f[N,C,...]

    Training: mean and variance of the batch, which move the running ones by ``momentum`` (the
    variance there divided by n - 1).  Else the running ones.
    Raises ``ShapeError`` in training with one value per channel: its variance is 0.
    """
    channels = input.shape[1] if input.ndim > 1 else 0
    if input.ndim < 2 or any(t is not None and t.shape != (channels,) for t in (weight, bias)):
        needs = "f[N,C,...]" if input.ndim < 2 or weight is None else f"C={weight.shape[0]}"
        raise ShapeError(message(here("batch_norm"), type_text(input.shape, input.dtype), needs))
    shape = (1, channels, *(1,) * (input.ndim - 2))
    if training or running_mean is None or running_var is None:
        axes = (0, *range(2, input.ndim))
        count = prod(input.shape[axis] for axis in axes)
        if training and count == 1:
            got = f"{type_text(input.shape, input.dtype)} in train mode"
            needs, why = "more than one value per channel", "The variance of one value is 0"
            raise ShapeError(
                message(here("batch_norm"), got, needs, why=why, remedy="eval(), or a larger batch")
            )
        mean, variance = _moments(input, axes)
        if training and running_mean is not None and running_var is not None and count:
            with recorder().setting(grad_enabled=False):
                unbiased = variance * (count / (count - 1))
                running_mean.copy_(running_mean * (1 - momentum) + mean * momentum)
                running_var.copy_(running_var * (1 - momentum) + unbiased * momentum)
    else:
        mean, variance = running_mean, running_var
        if mean.shape != (channels,):
            got = type_text(input.shape, input.dtype)
            raise ShapeError(message(here("batch_norm"), got, f"C={mean.shape[0]}"))
    scale = (variance + eps).sqrt()
    scale = 1 / scale if weight is None else weight / scale
    y = (input - mean.reshape(shape)) * scale.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def _last_axes(x: Tensor, normalized_shape: Any, where: str) -> tuple[int, ...]:
    sizes = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    first = x.ndim - len(sizes)
    if not sizes or first < 0 or x.shape[first:] != sizes:
        needs = f"the last axes {list(sizes)}"
        raise ShapeError(message(here(where), type_text(x.shape, x.dtype), needs))
    return sizes


@public
def layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """y = (x - μ) / √(σ² + eps) · weight + bias      x: f[...,*normalized_shape]

    Mean μ and variance σ² are those of each sample over the last axes.
    """
    sizes = _last_axes(input, normalized_shape, "layer_norm")
    first = input.ndim - len(sizes)
    mean, variance = _moments(input, tuple(range(first, input.ndim)))
    shape = (*input.shape[:first], *(1,) * len(sizes))
    y = (input - mean.reshape(shape)) / (variance + eps).sqrt().reshape(shape)
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


@public
def rms_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """y = x / √(mean x² + eps) · weight over the last axes; eps is the dtype's precision by default

    x: f[...,*normalized_shape] -> y: the same (Zhang, Sennrich 2019)
    """
    sizes = _last_axes(input, normalized_shape, "rms_norm")
    axes = tuple(range(input.ndim - len(sizes), input.ndim))
    least = float(np.finfo(input.dtype.numpy).eps) if eps is None else eps
    y = input / (input.square().mean(axes, keepdim=True) + least).sqrt()
    return y if weight is None else y * weight


@public
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """y = (x - μ) / √(σ² + eps) · weight + bias      x: f[N,C,...], weight, bias: f[C]

    Mean and variance are those of each sample over a group of C / num_groups channels.
    """
    channels = input.shape[1] if input.ndim > 1 else 0
    if input.ndim < 2 or num_groups < 1 or channels % num_groups:
        got, needs = type_text(input.shape, input.dtype), f"C a multiple of {num_groups} groups"
        raise ShapeError(message(here("group_norm"), got, needs))
    if any(t is not None and t.shape != (channels,) for t in (weight, bias)):
        given = weight if weight is not None else bias
        got = type_text(input.shape, input.dtype)
        raise ShapeError(message(here("group_norm"), got, f"C={given.shape[0]}"))  # type: ignore[union-attr]
    size = channels // num_groups * prod(input.shape[2:])
    x = input.reshape(input.shape[0], num_groups, size)
    mean, variance = (each.unsqueeze(-1) for each in _moments(x, (2,)))
    y = ((x - mean) / (variance + eps).sqrt()).reshape(input.shape)
    shape = (1, channels, *(1,) * (input.ndim - 2))
    y = y if weight is None else y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


@public
def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """y = x / (k + alpha · mean of x² over ``size`` neighbouring channels)^beta

    x: f[N,C,...]; beyond the first and last channel there are zeros (AlexNet, Krizhevsky 2012,
    whose α multiplies the sum: ours is his · size).
    """
    if input.ndim < 3 or size < 1:
        got = f"{type_text(input.shape, input.dtype)} and size={size}"
        raise ShapeError(message(here("local_response_norm"), got, "f[N,C,L,...] and size ≥ 1"))
    if not input.numel():
        return input
    plane = input.square().reshape(input.shape[0], 1, input.shape[1], prod(input.shape[2:]))
    plane = pad(plane, (0, 0, size // 2, (size - 1) // 2))
    around = inner(avg_pool2d)(plane, (size, 1), stride=1).reshape(input.shape)
    return input / (around * alpha + k) ** beta


@public
def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """y = x / max(‖x‖ₚ, eps) along an axis"""
    return input / input.norm(p, dim, keepdim=True).clamp(min=eps)


# ---------------------------------------------------------------- layers


class _BatchNorm(Sized):
    ranks: tuple[int, ...] = ()
    layout = ""
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int | None,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.eps, self.momentum, self.affine = eps, momentum, affine
        self.track_running_stats, self._with_bias = track_running_stats, affine and bias
        self._dtype = number_type(dtype, device)
        self._make_or_wait(num_features=num_features)

    def _make_parameters(self) -> None:
        shape, kind, track = (self.num_features,), self._dtype, self.track_running_stats
        for name, value, wanted in (("weight", 1.0, self.affine), ("bias", 0.0, self._with_bias)):
            made = constant_parameter(shape, value, kind) if wanted else None
            self.register_parameter(name, made)
        self.register_buffer("running_mean", zeros(shape, dtype=kind) if track else None)
        self.register_buffer("running_var", ones(shape, dtype=kind) if track else None)
        self.register_buffer("num_batches_tracked", tensor(0) if track else None)

    def forward(self, input: Tensor) -> Tensor:
        """Normalised by the batch while training, by the running statistics in ``eval()``."""
        if self._open and input.ndim in self.ranks:
            self._infer(input, num_features=input.shape[1])
        if input.ndim not in self.ranks or input.shape[1] != self.num_features:
            got = type_text(input.shape, input.dtype)
            needs = self.layout + ("" if self._open else f" with C={self.num_features}")
            raise ShapeError(message(here(type(self).__name__), got, needs))
        momentum: Any = self.momentum
        if self.training and self.num_batches_tracked is not None:
            with recorder().setting(grad_enabled=False):
                self.num_batches_tracked.add_(1)
                if momentum is None:
                    momentum = 1 / self.num_batches_tracked.to(input.dtype)
        return inner(batch_norm)(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or self.running_mean is None,
            momentum,
            self.eps,
        )

    def reset_running_stats(self) -> None:
        """Forget the running statistics."""
        if self.running_mean is not None and self.running_var is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()  # type: ignore[union-attr]

    def extra_repr(self) -> str:
        """num_features, eps, momentum, affine, bias, track_running_stats"""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self._has_bias}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """``batch_norm`` with its parameters and running statistics      x: f[N,C] or f[N,C,L]"""

    ranks, layout = (2, 3), "f[N,C] or f[N,C,L]"


class BatchNorm2d(_BatchNorm):
    """``batch_norm`` with its parameters and running statistics      x: f[N,C,H,W]

    ``momentum=None`` keeps the plain average of all batches.
    Raises ``ShapeError`` in train mode with one value per channel.

    >>> import chainrule as cr
    >>> y = BatchNorm2d(1)(cr.tensor([1.0, 3.0]).reshape(2, 1, 1, 1))
    >>> [round(number, 3) for number in y.flatten().tolist()]
    [-1.0, 1.0]
    """

    ranks, layout = (4,), "f[N,C,H,W]"


class BatchNorm3d(_BatchNorm):
    """``batch_norm`` with its parameters and running statistics      x: f[N,C,D,H,W]"""

    ranks, layout = (5,), "f[N,C,D,H,W]"


class GroupNorm(Module):
    """``group_norm`` with weight f[C] and bias f[C]      x: f[N,C,...]

    >>> import chainrule as cr
    >>> GroupNorm(2, 4)(cr.randn(3, 4, 5, 5)).shape
    (3, 4, 5, 5)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            got = f"{num_channels} channels in {num_groups} groups"
            raise UsageError(message("GroupNorm", got, "a multiple of num_groups"))
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        kind = number_type(dtype, device)
        shape = (num_channels,)
        for name, value, wanted in (("weight", 1.0, affine), ("bias", 0.0, affine and bias)):
            made = constant_parameter(shape, value, kind) if wanted else None
            self.register_parameter(name, made)

    def forward(self, input: Tensor) -> Tensor:
        """Each group of each sample normalised."""
        return inner(group_norm)(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """num_groups, num_channels, eps, affine, bias"""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """``local_response_norm``: each number against its neighbours in other channels (AlexNet)"""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        """x, weaker where its neighbours are strong."""
        return inner(local_response_norm)(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """size, alpha, beta, k"""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class RMSNorm(Module):
    """``rms_norm`` over the last axes, with a weight of their shape"""

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        self.normalized_shape, self.eps = tuple(sizes), eps
        self.elementwise_affine = elementwise_affine
        kind = number_type(dtype, device)
        weight = constant_parameter(self.normalized_shape, 1.0, kind)
        self.register_parameter("weight", weight if elementwise_affine else None)

    def forward(self, input: Tensor) -> Tensor:
        """Each sample divided by its root mean square."""
        return inner(rms_norm)(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """normalized_shape, eps, elementwise_affine"""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class LayerNorm(Module):
    """``layer_norm`` over the last axes, with weight and bias of their shape"""

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        self.normalized_shape, self.eps = tuple(sizes), eps
        if not self.normalized_shape:
            raise UsageError(message("LayerNorm", "normalized_shape=()", "at least one axis"))
        self.elementwise_affine = elementwise_affine
        kind = number_type(dtype, device)
        shape = self.normalized_shape
        weight = constant_parameter(shape, 1.0, kind) if elementwise_affine else None
        self.register_parameter("weight", weight)
        with_bias = elementwise_affine and bias
        self.register_parameter("bias", constant_parameter(shape, 0.0, kind) if with_bias else None)

    def forward(self, input: Tensor) -> Tensor:
        """Each sample normalised over its last axes."""
        return inner(layer_norm)(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """normalized_shape, eps, elementwise_affine, bias"""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )
