"""The locally connected layer: a convolution whose every place has a kernel of its own."""

from __future__ import annotations

from math import prod, sqrt
from typing import Any

from chainrule.errors import DtypeError, ShapeError, message
from chainrule.graph import type_text
from chainrule.nn.calls import here, inner, public
from chainrule.nn.init import uniform_parameter
from chainrule.nn.parameter import number_type
from chainrule.nn.sizes import Size, Sized, tuple_of
from chainrule.nn.unfold import unfold
from chainrule.ops.windows import Type, Windows
from chainrule.tensor import Tensor

__all__ = ["LocallyConnected2d", "locally_connected2d"]


@public
def locally_connected2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
) -> Tensor:
    """y[n,k,p,q] = b[p,q,k] + Σ x[n, c, p s + f d - pad, …] w[p,q,k,c,f,g]

    x: f[N,C,H,W], weight: f[P,Q,K,C,F,G], bias: f[P,Q,K] -> y: f[N,K,P,Q].  ``weight[p, q]`` is
    what ``conv2d`` would take if the whole picture were treated as the place (p, q) is.
    Raises ``ShapeError`` unless there is one kernel for each place.

    >>> import chainrule as cr
    >>> x, w = cr.tensor([[[[1.0, 2.0, 3.0]]]]), cr.tensor([1.0, 0.0, 0.0, 10.0])
    >>> locally_connected2d(x, w.reshape(1, 2, 1, 1, 1, 2)).tolist()
    [[[[1.0, 30.0]]]]
    """
    where = here("locally_connected2d")
    if input.ndim == 3:
        one = input.unsqueeze(0)
        return inner(locally_connected2d)(one, weight, bias, stride, padding, dilation).squeeze(0)
    if weight.ndim != 6:
        got = f"weight {type_text(weight.shape, weight.dtype)}"
        raise ShapeError(message(where, got, "f[P,Q,K,C,F,G]"))
    windows = Windows(
        weight.shape[4:],
        tuple_of(stride, 2, "stride", "locally_connected2d"),
        tuple_of(padding, 2, "padding", "locally_connected2d"),
        tuple_of(dilation, 2, "dilation", "locally_connected2d"),
    )
    windows.check(where, input)
    windows.check_fit(where, input)
    p, q, k, c = weight.shape[:4]
    if input.shape[1] != c or windows.counts(input.shape[2:]) != (p, q):
        why = f"weight is {type_text(weight.shape, weight.dtype)}, a kernel for each place"
        counts = "×".join(map(str, windows.counts(input.shape[2:])))
        got = f"{type_text(input.shape, input.dtype)} with {counts} places"
        raise ShapeError(message(where, got, f"C={c} and {p}×{q} places", why=why))
    if input.dtype is not weight.dtype:
        got = f"{type_text(input.shape, input.dtype)} with a {weight.dtype.name} weight"
        raise DtypeError(message(where, got, "one number type", remedy=".to(dtype) casts"))
    columns = inner(unfold)(input, weight.shape[4:], dilation, padding, stride)
    kernels = weight.reshape(p * q, k, prod(weight.shape[3:]))
    y = columns.permute(2, 0, 1) @ kernels.mT  # f[P·Q,N,K]
    if bias is not None:
        y = y + bias.reshape(p * q, 1, k)
    return y.permute(1, 2, 0).reshape(input.shape[0], k, p, q)


class LocallyConnected2d(Sized):
    """``locally_connected2d`` with weight f[P,Q,K,C,F,G], bias f[P,Q,K]

    x: f[N,C,H,W] -> y: f[N,K,P,Q].  ``input_size`` is (H, W), or one number for both; it and
    ``in_channels`` may be ``None``, inferred at the first call.  Both parameters start in U(-a, a)
    with a = 1/√(C F G), as in ``Conv2d``.

    >>> layer = LocallyConnected2d(1, 1, (1, 5), (1, 3), padding=(0, 1), bias=False)
    >>> layer.weight.shape
    (1, 5, 1, 1, 1, 3)
    """

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        input_size: Size | None,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = "LocallyConnected2d"
        self.out_channels, self._with_bias = out_channels, bias
        self.kernel_size = tuple_of(kernel_size, 2, "kernel_size", name)
        self.stride = tuple_of(stride, 2, "stride", name)
        self.padding = tuple_of(padding, 2, "padding", name)
        self.dilation = tuple_of(dilation, 2, "dilation", name)
        self._dtype = number_type(dtype, device)
        size = None if input_size is None else tuple_of(input_size, 2, "input_size", name)
        self._make_or_wait(in_channels=in_channels, input_size=size)

    def _make_parameters(self) -> None:
        windows = Windows(self.kernel_size, self.stride, self.padding, self.dilation)
        picture = Type((1, self.in_channels, *self.input_size), self._dtype)
        windows.check(type(self).__name__, picture)
        windows.check_fit(type(self).__name__, picture)
        places = windows.counts(self.input_size)
        shape = (*places, self.out_channels, self.in_channels, *self.kernel_size)
        bound = 1 / sqrt(max(prod(shape[3:]), 1))
        self.register_parameter("weight", uniform_parameter(shape, bound, self._dtype))
        bias = uniform_parameter(shape[:3], bound, self._dtype) if self._with_bias else None
        self.register_parameter("bias", bias)

    def forward(self, input: Tensor) -> Tensor:
        """Each place of x with its own kernel."""
        if self._open:
            if input.ndim not in (3, 4):
                got = type_text(input.shape, input.dtype)
                raise ShapeError(message(here("LocallyConnected2d"), got, "f[N,C,H,W]"))
            self._infer(input, in_channels=input.shape[-3], input_size=input.shape[-2:])
        return inner(locally_connected2d)(
            input, self.weight, self.bias, self.stride, self.padding, self.dilation
        )

    def extra_repr(self) -> str:
        """The arguments that are not at their defaults."""
        text = f"{self.in_channels}, {self.out_channels}, input_size={self.input_size}"
        text += f", kernel_size={self.kernel_size}, stride={self.stride}"
        text += f", padding={self.padding}" if any(self.padding) else ""
        text += f", dilation={self.dilation}" if max(self.dilation) > 1 else ""
        return text + ("" if self._has_bias else ", bias=False")
