"""im2col: windows as columns, so that a convolution is one matrix product; and columns back."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.errors import ShapeError, message
from chainrule.graph import type_text
from chainrule.nn.calls import here, inner, public
from chainrule.nn.module import Module
from chainrule.nn.padding import pad
from chainrule.nn.sizes import Size, tuple_of
from chainrule.ops import index as index_ops
from chainrule.ops.windows import Type, Windows
from chainrule.tensor import Tensor, tensor

__all__ = ["Fold", "Unfold", "fold", "unfold"]


def _windows(where: str, kernel: Size, dilation: Size, padding: Size, stride: Size) -> Windows:
    return Windows(
        tuple_of(kernel, 2, "kernel_size", where),
        tuple_of(stride, 2, "stride", where),
        tuple_of(padding, 2, "padding", where),
        tuple_of(dilation, 2, "dilation", where),
    )


def _places(windows: Windows, sizes: tuple[int, ...]) -> np.ndarray:
    """[F·G, P·Q]: where in the padded plane, flattened, tap f of window p is."""
    counts = windows.counts(sizes)
    places = np.zeros((1, 1), np.int64)
    for axis, size in enumerate(sizes):
        tap = np.arange(windows.kernel[axis]) * windows.dilation[axis]
        start = np.arange(counts[axis]) * windows.stride[axis]
        along = tap[:, None] + start
        wide = size + 2 * windows.padding[axis]
        outer = places[:, None, :, None] * wide + along[None, :, None, :]
        places = outer.reshape(len(places) * len(tap), -1)
    return places


@public
def unfold(
    input: Tensor, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
) -> Tensor:
    """Each window as a column      x: f[N,C,H,W] -> y: f[N,C·F·G,P·Q], windows in row-major order

    >>> import chainrule as cr
    >>> unfold(cr.tensor([[[[1.0, 2.0, 3.0]]]]), (1, 2)).tolist()
    [[[1.0, 2.0], [2.0, 3.0]]]
    """
    where = here("unfold")
    if input.ndim == 3:
        return unfold.inner(input.unsqueeze(0), kernel_size, dilation, padding, stride).squeeze(0)  # type: ignore[attr-defined]
    windows = _windows("unfold", kernel_size, dilation, padding, stride)
    windows.check(where, input)
    windows.check_fit(where, input)
    n, c, *sizes = input.shape
    places = _places(windows, tuple(sizes))
    (top, left) = windows.padding
    plane = pad(input, (left, left, top, top)).reshape(n * c, -1) if n * c else input.flatten(2)
    if not n * c:
        return input.new_zeros(n, c * places.shape[0], places.shape[1])
    columns = index_ops.index(plane.t(), tensor(places))
    return columns.permute(2, 0, 1).reshape(n, c * places.shape[0], places.shape[1])


@public
def fold(
    input: Tensor,
    output_size: Size,
    kernel_size: Size,
    dilation: Size = 1,
    padding: Size = 0,
    stride: Size = 1,
) -> Tensor:
    """Columns added back to where ``unfold`` takes them      x: f[N,C·F·G,P·Q] -> y: f[N,C,H,W]

    ``output_size`` is (H, W).  A number that k windows see comes back k-fold.

    >>> import chainrule as cr
    >>> fold(cr.ones(1, 2, 2), (1, 3), (1, 2)).tolist()
    [[[[1.0, 2.0, 1.0]]]]
    """
    where = here("fold")
    if input.ndim == 2:
        one = input.unsqueeze(0)
        folded = fold.inner(one, output_size, kernel_size, dilation, padding, stride)  # type: ignore[attr-defined]
        return folded.squeeze(0)
    windows = _windows("fold", kernel_size, dilation, padding, stride)
    sizes = tuple_of(output_size, 2, "output_size", "fold")
    taps = prod(windows.kernel)
    windows.check(where, Type((1, 1, *sizes), input.dtype))
    windows.check_fit(where, Type((1, 1, *sizes), input.dtype))
    counts = windows.counts(sizes)
    if input.ndim != 3 or input.shape[1] % taps or input.shape[2] != prod(counts):
        needs = f"f[N,C·{taps},{prod(counts)}] of {counts[0]}×{counts[1]} windows"
        raise ShapeError(message(where, type_text(input.shape, input.dtype), needs))
    n, channels = input.shape[0], input.shape[1] // taps
    high, wide = (s + 2 * p for s, p in zip(sizes, windows.padding, strict=True))
    columns = input.reshape(n * channels, taps, prod(counts)).permute(1, 2, 0)
    plane = input.new_zeros(high * wide, n * channels)
    plane = index_ops.index_add(plane, columns, tensor(_places(windows, sizes)))
    top, left = windows.padding
    y = plane.t().reshape(n, channels, high, wide)
    return y.narrow(2, top, sizes[0]).narrow(3, left, sizes[1])


# ---------------------------------------------------------------- layers


class Unfold(Module):
    """Each window as a column      x: f[N,C,H,W] -> y: f[N,C·F·G,P·Q]"""

    def __init__(
        self, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def _arguments(self) -> tuple[Any, ...]:
        return self.kernel_size, self.dilation, self.padding, self.stride

    def forward(self, input: Tensor) -> Tensor:
        """Windows as columns."""
        return inner(unfold)(input, *self._arguments())

    def extra_repr(self) -> str:
        """kernel_size, dilation, padding, stride"""
        return "kernel_size={}, dilation={}, padding={}, stride={}".format(*self._arguments())


class Fold(Unfold):
    """Columns added back to where ``Unfold`` takes them      x: f[N,C·F·G,P·Q] -> y: f[N,C,H,W]"""

    def __init__(
        self,
        output_size: Size,
        kernel_size: Size,
        dilation: Size = 1,
        padding: Size = 0,
        stride: Size = 1,
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """Columns back."""
        return inner(fold)(input, self.output_size, *self._arguments())

    def extra_repr(self) -> str:
        """output_size, kernel_size, dilation, padding, stride"""
        return f"output_size={self.output_size}, {super().extra_repr()}"
