"""Convolution in one, two and three dimensions: functions and layers."""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt
from typing import Any

from chainrule.errors import ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.nn.calls import here, public
from chainrule.nn.init import uniform_parameter
from chainrule.nn.padding import MODES, pad
from chainrule.nn.parameter import number_type
from chainrule.nn.sizes import Size, Sized, tuple_of
from chainrule.ops import elementwise, movement
from chainrule.ops.conv import conv
from chainrule.storage import recorder
from chainrule.tensor import Tensor, tensor

__all__ = ["Conv1d", "Conv2d", "Conv3d", "conv1d", "conv2d", "conv3d"]

Widths = tuple[tuple[int, int], ...]  # padding (before, after) of each spatial axis


def _check_mode(mode: str, where: str) -> None:
    if mode not in ("correlation", "convolution"):
        raise UsageError(message(where, f"mode={mode!r}", "'correlation' or 'convolution'"))


def _named_padding(
    name: str, kernel: Size, stride: Size, dilation: Any, mode: str, where: str
) -> Widths:
    """What "valid", "same" and "full" mean in numbers."""
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]  # type: ignore[arg-type]
    if name == "valid":
        return ((0, 0),) * len(totals)
    if name == "full":
        return tuple((total, total) for total in totals)
    if name != "same" or max(stride) > 1:  # type: ignore[arg-type]
        got = f"padding={name!r}" + (f" with stride={stride}" if name == "same" else "")
        needs = "stride 1" if name == "same" else "'same', 'valid' or numbers"
        raise UsageError(message(where, got, needs))
    widths = tuple((total // 2, total - total // 2) for total in totals)
    # The odd one comes after, as in PyTorch; flipped with the kernel, it comes before, as in SciPy.
    return widths if mode == "correlation" else tuple((b, a) for a, b in widths)


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
    _check_mode(mode, here(where))
    stride = tuple_of(stride, rank, "stride", where)
    dilation = tuple_of(dilation, rank, "dilation", where)
    rec = recorder()
    source, kernel = x._node, weight._node
    if isinstance(padding, str):
        widths = _named_padding(padding, kernel.shape[2:], stride, dilation, mode, here(where))
        padding = tuple(map(min, widths))
        surplus = tuple((a - p, b - p) for (a, b), p in zip(widths, padding, strict=True))
        if any(map(any, surplus)):
            meta = {"widths": ((0, 0), (0, 0), *surplus)}
            source = rec.record(movement.pad, (source,), meta)
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


def _conv_of(rank: int, doc: str) -> Callable[..., Tensor]:
    def conv_of_rank(
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
        return _conv(rank, input, weight, bias, stride, padding, dilation, groups, mode)

    conv_of_rank.__name__ = conv_of_rank.__qualname__ = f"conv{rank}d"
    conv_of_rank.__doc__ = doc
    return public(conv_of_rank)


conv1d = _conv_of(1, """As ``conv2d``      x: f[N,C,L], weight: f[K,C/groups,F] -> y: f[N,K,P]""")
conv2d = _conv_of(
    2,
    """y[n,k,p,q] = b[k] + Σ x[n, c, p s + f d - pad, …] w[k,c,f,…]

    x: f[N,C,H,W], weight: f[K,C/groups,F,G], bias: f[K] -> y: f[N,K,P,Q] with
    P = ⌊(H + 2 pad - d (F - 1) - 1) / s⌋ + 1.  ``padding="same"`` keeps the size at stride 1,
    ``"full"`` goes on as long as kernel and input touch, ``"valid"`` pads nothing.
    ``mode="convolution"`` flips the kernel along its spatial axes: a convolution as in mathematics.

    Raises ``ShapeError`` for wrong channels and for a kernel larger than the input.

    >>> import chainrule as cr
    >>> x, w = cr.tensor([[[[1.0, 2.0, 3.0]]]]), cr.tensor([[[[10.0, 1.0]]]])
    >>> conv2d(x, w).tolist(), conv2d(x, w, mode="convolution").tolist()
    ([[[[12.0, 23.0]]]], [[[[21.0, 32.0]]]])
    """,
)
conv3d = _conv_of(
    3, """As ``conv2d``      x: f[N,C,D,H,W], weight: f[K,C/groups,*F] -> f[N,K,*P]"""
)


class _Conv(Sized):
    rank = 0

    def __init__(
        self,
        in_channels: int | None,
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
        if padding_mode not in ("zeros", *MODES[1:]):
            needs = "one of 'zeros', " + ", ".join(map(repr, MODES[1:]))
            raise UsageError(message(name, f"padding_mode={padding_mode!r}", needs))
        _check_mode(mode, name)
        self.out_channels, self.groups = out_channels, groups
        self.kernel_size = tuple_of(kernel_size, rank, "kernel_size", name)
        self.stride = tuple_of(stride, rank, "stride", name)
        named = isinstance(padding, str)
        self.padding = padding if named else tuple_of(padding, rank, "padding", name)
        self.dilation = tuple_of(dilation, rank, "dilation", name)
        self.padding_mode, self.mode = padding_mode, mode
        if mode == "convolution":  # saved with the weights, which mean another function without it
            self.register_buffer("flipped", tensor(True))
        if isinstance(self.padding, str):
            if self.padding == "full":
                raise UsageError(message(name, "padding='full'", "'same', 'valid' or numbers"))
            self._widths(self.padding)
        self._with_bias = bias
        self._dtype = number_type(dtype, device)
        self._make_or_wait(in_channels=in_channels)

    def _make_parameters(self) -> None:
        channels, groups = self.in_channels, self.groups
        if groups < 1 or channels % groups or self.out_channels % groups:
            got = f"{channels} and {self.out_channels} channels in groups={groups}"
            raise UsageError(message(type(self).__name__, got, "multiples of groups"))
        bound = 1 / sqrt(max(channels // groups * prod(self.kernel_size), 1))
        shape = (self.out_channels, channels // groups, *self.kernel_size)
        self.register_parameter("weight", uniform_parameter(shape, bound, self._dtype))
        bias = uniform_parameter(shape[:1], bound, self._dtype) if self._with_bias else None
        self.register_parameter("bias", bias)

    def _widths(self, padding: str) -> Widths:
        name = type(self).__name__
        return _named_padding(
            padding, self.kernel_size, self.stride, self.dilation, self.mode, name
        )

    def forward(self, input: Tensor) -> Tensor:
        """The convolution of x with the weight, plus bias."""
        if self._open:
            if input.ndim not in (self.rank + 1, self.rank + 2):
                got, needs = type_text(input.shape, input.dtype), f"{self.rank + 2} axes, f[N,C,…]"
                raise ShapeError(message(here(type(self).__name__), got, needs))
            self._infer(input, in_channels=input.shape[-self.rank - 1])
        padding = self.padding
        if self.padding_mode != "zeros":
            named = isinstance(padding, str)
            pairs = self._widths(padding) if named else [(p, p) for p in padding]
            input = pad(input, [n for pair in reversed(pairs) for n in pair], self.padding_mode)
            padding = 0
        return _conv(
            self.rank,
            input,
            self.weight,
            self.bias,
            self.stride,
            padding,
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
        text += "" if self._has_bias else ", bias=False"
        text += f", padding_mode={self.padding_mode}" if self.padding_mode != "zeros" else ""
        return text + (f", mode={self.mode!r}" if self.mode != "correlation" else "")


class Conv1d(_Conv):
    """``conv1d`` with weight f[K,C/groups,F] and bias f[K]      x: f[N,C,L] -> y: f[N,K,P]"""

    rank = 1


class Conv2d(_Conv):
    """``conv2d`` with weight f[K,C/groups,F,G] and bias f[K]      x: f[N,C,H,W] -> y: f[N,K,P,Q]

    Both start in U(-a, a) with a = 1/√fan-in.  ``in_channels=None`` is inferred at the first call.
    ``mode="convolution"`` adds a buffer ``flipped``, so that a file tells it.
    ``padding_mode`` is "zeros", "reflect", "replicate" or "circular".  Raises ``ShapeError`` for
    wrong channels and for a kernel larger than the input.

    >>> import chainrule as cr
    >>> Conv2d(1, 6, 5, padding=2)(cr.zeros(64, 1, 28, 28)).shape
    (64, 6, 28, 28)
    """

    rank = 2


class Conv3d(_Conv):
    """``conv3d`` with weight f[K,C/groups,*F] and bias f[K]      x: f[N,C,D,H,W] -> y: f[N,K,*P]"""

    rank = 3
