"""Convolution in one, two and three dimensions: functions and layers."""

from __future__ import annotations

from math import prod, sqrt
from typing import Any

from chainrule.dtypes import dtype_of, float32
from chainrule.errors import UsageError, message
from chainrule.nn.calls import here, public
from chainrule.nn.init import uniform_parameter
from chainrule.nn.module import Module
from chainrule.ops import elementwise, movement
from chainrule.ops.conv import conv
from chainrule.storage import recorder
from chainrule.tensor import Tensor

__all__ = ["Conv1d", "Conv2d", "Conv3d", "conv1d", "conv2d", "conv3d"]

Size = int | tuple[int, ...]


def tuple_of(value: Any, rank: int, name: str, where: str) -> tuple[int, ...]:
    """One number per spatial axis: tuple_of(2, 2, "stride", "conv2d") == (2, 2)."""
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) != rank or not all(isinstance(v, int) for v in values):
        needs = f"a whole number, or {rank} of them"
        raise UsageError(message(here(where), f"{name}={value!r}", needs))
    return values


def _same(kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Padding (before, after) that keeps the size at stride 1; the odd one comes after."""
    totals = (d * (k - 1) for k, d in zip(kernel, dilation, strict=True))
    return tuple((total // 2, total - total // 2) for total in totals)


def _conv(
    rank: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Size,
    padding: Size | str,
    dilation: Size,
    groups: int,
    mode: str,
) -> Tensor:
    where = f"conv{rank}d"
    if x.ndim == rank + 1:  # one sample without the batch axis, as in PyTorch
        one = _conv(rank, x.unsqueeze(0), weight, bias, stride, padding, dilation, groups, mode)
        return one.squeeze(0)
    if mode not in ("correlation", "convolution"):
        raise UsageError(message(here(where), f"mode={mode!r}", "'correlation' or 'convolution'"))
    stride = tuple_of(stride, rank, "stride", where)
    dilation = tuple_of(dilation, rank, "dilation", where)
    rec = recorder()
    source, kernel = x._node, weight._node
    if isinstance(padding, str):
        widths = _named_padding(padding, kernel.shape[2:], stride, dilation, where)
        if any(a != b for a, b in widths):
            surplus = ((0, 0), (0, 0), *((0, b - a) for a, b in widths))
            source = rec.record(movement.pad, (source,), {"widths": surplus})
        padding = tuple(a for a, _ in widths)
    else:
        padding = tuple_of(padding, rank, "padding", where)
    if mode == "convolution":
        kernel = rec.record(movement.flip, (kernel,), {"axes": tuple(range(2, rank + 2))})
    meta = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    node = rec.record(conv, (source, kernel), meta)
    if bias is not None:
        along = rec.record(
            movement.reshape, (bias._node,), {"shape": (1, node.shape[1], *(1,) * rank)}
        )
        spread = rec.record(movement.expand, (along,), {"shape": node.shape})
        node = rec.record(elementwise.add, (node, spread), {})
    return Tensor._of(node)


def _named_padding(
    name: str, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: Any, where: str
) -> tuple[tuple[int, int], ...]:
    if name == "valid":
        return ((0, 0),) * len(kernel)
    if name != "same" or max(stride) > 1:
        got = f"padding={name!r}" + (f" with stride={stride}" if name == "same" else "")
        needs = "stride 1" if name == "same" else "'same', 'valid' or numbers"
        raise UsageError(message(here(where), got, needs))
    return _same(kernel, dilation)


@public
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    mode: str = "correlation",
) -> Tensor:
    """As ``conv2d``      x: f[N,C,L], weight: f[K,C/groups,F] -> y: f[N,K,P]"""
    return _conv(1, input, weight, bias, stride, padding, dilation, groups, mode)


@public
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    mode: str = "correlation",
) -> Tensor:
    """y[n,k,p,q] = b[k] + Σ x[n, c, p s + f d - pad, …] w[k,c,f,…]

    x: f[N,C,H,W], weight: f[K,C/groups,F,G], bias: f[K] -> y: f[N,K,P,Q] with
    P = ⌊(H + 2 pad - d (F - 1) - 1) / s⌋ + 1.  ``padding="same"`` keeps the size at stride 1.
    ``mode="convolution"`` flips the kernel along its spatial axes: a convolution as in mathematics.

    Raises ``ShapeError`` for wrong channels and for a kernel larger than the input.

    >>> import chainrule as cr
    >>> x, w = cr.tensor([[[[1.0, 2.0, 3.0]]]]), cr.tensor([[[[10.0, 1.0]]]])
    >>> conv2d(x, w).tolist(), conv2d(x, w, mode="convolution").tolist()
    ([[[[12.0, 23.0]]]], [[[[21.0, 32.0]]]])
    """
    return _conv(2, input, weight, bias, stride, padding, dilation, groups, mode)


@public
def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    mode: str = "correlation",
) -> Tensor:
    """As ``conv2d``      x: f[N,C,D,H,W], weight: f[K,C/groups,*F] -> y: f[N,K,*P]"""
    return _conv(3, input, weight, bias, stride, padding, dilation, groups, mode)


class _Conv(Module):
    rank = 0

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
        *,
        mode: str = "correlation",
    ) -> None:
        super().__init__()
        name, rank = type(self).__name__, self.rank
        if groups < 1 or in_channels % groups or out_channels % groups:
            got = f"{in_channels} and {out_channels} channels in groups={groups}"
            raise UsageError(message(name, got, "multiples of groups"))
        if padding_mode != "zeros":
            raise UsageError(message(name, f"padding_mode={padding_mode!r}", "'zeros'"))
        if mode not in ("correlation", "convolution"):
            raise UsageError(message(name, f"mode={mode!r}", "'correlation' or 'convolution'"))
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = tuple_of(kernel_size, rank, "kernel_size", name)
        self.stride = tuple_of(stride, rank, "stride", name)
        named = isinstance(padding, str)
        self.padding = padding if named else tuple_of(padding, rank, "padding", name)
        self.dilation = tuple_of(dilation, rank, "dilation", name)
        self.padding_mode, self.mode = padding_mode, mode
        if isinstance(self.padding, str):
            _named_padding(self.padding, self.kernel_size, self.stride, self.dilation, name)
        kind = float32 if dtype is None else dtype_of(dtype)
        fan_in = in_channels // groups * prod(self.kernel_size)
        bound = 1 / sqrt(max(fan_in, 1))
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = uniform_parameter(shape, bound, kind)
        self.register_parameter(
            "bias", uniform_parameter((out_channels,), bound, kind) if bias else None
        )

    def forward(self, input: Tensor) -> Tensor:
        """The convolution of x with the weight, plus bias."""
        return _conv(
            self.rank,
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.mode,
        )

    def extra_repr(self) -> str:
        """The arguments that are not at their defaults."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={self.stride}"
        ones, zeros = (1,) * self.rank, (0,) * self.rank
        text += f", padding={self.padding}" if self.padding != zeros else ""
        text += f", dilation={self.dilation}" if self.dilation != ones else ""
        text += f", groups={self.groups}" if self.groups != 1 else ""
        text += ", bias=False" if self.bias is None else ""
        return text + (f", mode={self.mode!r}" if self.mode != "correlation" else "")


class Conv1d(_Conv):
    """``conv1d`` with weight f[K,C/groups,F] and bias f[K]      x: f[N,C,L] -> y: f[N,K,P]"""

    rank = 1


class Conv2d(_Conv):
    """``conv2d`` with weight f[K,C/groups,F,G] and bias f[K]      x: f[N,C,H,W] -> y: f[N,K,P,Q]

    Both start in U(-a, a) with a = 1/√fan-in.  Raises ``ShapeError`` for wrong channels and for a
    kernel larger than the input.

    >>> import chainrule as cr
    >>> Conv2d(1, 6, 5, padding=2)(cr.zeros(64, 1, 28, 28)).shape
    (64, 6, 28, 28)
    """

    rank = 2


class Conv3d(_Conv):
    """``conv3d`` with weight f[K,C/groups,*F] and bias f[K]      x: f[N,C,D,H,W] -> y: f[N,K,*P]"""

    rank = 3
