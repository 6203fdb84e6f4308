"""Pooling: functions and layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.nn.calls import here, inner, public
from chainrule.nn.module import Module
from chainrule.nn.sizes import Size, tuple_of
from chainrule.ops import pool
from chainrule.storage import recorder
from chainrule.tensor import Tensor, tensor

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
]


def _windows(rank: int, name: str, kernel_size: Size, stride: Any, padding: Size) -> dict[str, Any]:
    kernel = tuple_of(kernel_size, rank, "kernel_size", name)
    moves = kernel if stride is None else tuple_of(stride, rank, "stride", name)
    return {
        "kernel": kernel,
        "stride": moves,
        "padding": tuple_of(padding, rank, "padding", name),
    }


def _max_pool(
    rank: int,
    x: Tensor,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    dilation: Size,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    if x.ndim == rank + 1:
        both = _max_pool(
            rank, x.unsqueeze(0), kernel_size, stride, padding, dilation, ceil_mode, return_indices
        )
        return tuple(y.squeeze(0) for y in both) if return_indices else both.squeeze(0)
    meta = _windows(rank, f"max_pool{rank}d", kernel_size, stride, padding)
    meta["dilation"] = tuple_of(dilation, rank, "dilation", f"max_pool{rank}d")
    meta["ceil_mode"] = ceil_mode
    record = recorder().record
    y = Tensor._of(record(pool.max_pool, (x._node,), meta))
    if not return_indices:
        return y
    return y, Tensor._of(record(pool.max_pool_index, (x._node,), meta))


def _avg_pool(
    rank: int,
    x: Tensor,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Tensor:
    if x.ndim == rank + 1:
        one = x.unsqueeze(0)
        y = _avg_pool(rank, one, kernel_size, stride, padding, ceil_mode, count_include_pad)
        return y.squeeze(0)
    meta = _windows(rank, f"avg_pool{rank}d", kernel_size, stride, padding)
    meta |= {"ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    return Tensor._of(recorder().record(pool.avg_pool, (x._node,), meta))


def _max_pool_of(rank: int, axes: str) -> Callable[..., Any]:
    def max_pool(
        input: Tensor,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        return _max_pool(
            rank, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
        )

    max_pool.__name__ = max_pool.__qualname__ = f"max_pool{rank}d"
    max_pool.__doc__ = f"""The largest number of each window      x: f[N,C,{axes}] -> y: f[N,C,*P]

    The stride is the kernel size unless told.  At a tie the error signal goes to the first maximum
    in row-major order.  ``return_indices`` adds their places in the flattened plane.
    """
    return public(max_pool)


def _avg_pool_of(rank: int, axes: str) -> Callable[..., Tensor]:
    def avg_pool(
        input: Tensor,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> Tensor:
        return _avg_pool(rank, input, kernel_size, stride, padding, ceil_mode, count_include_pad)

    avg_pool.__name__ = avg_pool.__qualname__ = f"avg_pool{rank}d"
    avg_pool.__doc__ = f"""The mean of each window      x: f[N,C,{axes}] -> y: f[N,C,*P]

    The stride is the kernel size unless told.  Padding counts as zeros, or with
    ``count_include_pad=False`` not at all.
    """
    return public(avg_pool)


max_pool1d, avg_pool1d = _max_pool_of(1, "L"), _avg_pool_of(1, "L")
max_pool2d, avg_pool2d = _max_pool_of(2, "H,W"), _avg_pool_of(2, "H,W")
max_pool3d, avg_pool3d = _max_pool_of(3, "D,H,W"), _avg_pool_of(3, "D,H,W")


# ---------------------------------------------------------------- as many windows as are asked for


def _wanted(rank: int, x: Tensor, output_size: Any, where: str) -> tuple[int, ...]:
    """How many windows along each axis; ``None`` keeps a size."""
    if x.ndim not in (rank + 1, rank + 2) or (not all(x.shape[-rank:]) and x.ndim):
        needs = ("f[N,C,L]" if rank == 1 else "f[N,C,H,W]") + " of at least one number per axis"
        raise ShapeError(message(here(where), type_text(x.shape, x.dtype), needs))
    sizes = (output_size,) * rank if isinstance(output_size, int) else tuple(output_size)
    if len(sizes) != rank or any(size is not None and size < 1 for size in sizes):
        needs = f"a number of windows, or {rank} of them"
        raise UsageError(message(here(where), f"output_size={output_size!r}", needs))
    return tuple(s if w is None else w for s, w in zip(x.shape[-rank:], sizes, strict=True))


def _bounds(size: int, count: int) -> list[tuple[int, int]]:
    """Window i reaches from ⌊i size / count⌋ to ⌈(i + 1) size / count⌉."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def _even(x: Tensor, wanted: tuple[int, ...]) -> tuple[int, ...] | None:
    """The kernel of windows that neither overlap nor differ, if they are such."""
    sides = list(zip(x.shape[-len(wanted) :], wanted, strict=True))
    return tuple(s // w for s, w in sides) if all(s % w == 0 for s, w in sides) else None


def _adaptive_avg_pool(rank: int, x: Tensor, output_size: Any) -> Tensor:
    wanted = _wanted(rank, x, output_size, f"adaptive_avg_pool{rank}d")
    kernel = _even(x, wanted)
    if kernel is not None:
        return _avg_pool(rank, x, kernel, kernel, 0, False, True)
    x = x @ _averages(x.shape[-1], wanted[-1], x)
    return x if rank == 1 else _averages(x.shape[-2], wanted[0], x).mT @ x


def _averages(size: int, count: int, like: Tensor) -> Tensor:
    """[size, count]: column i holds 1 / length within window i."""
    table = np.zeros((size, count))
    for i, (start, stop) in enumerate(_bounds(size, count)):
        table[start:stop, i] = 1 / (stop - start)
    return tensor(table).to(like.dtype)


def _adaptive_max_pool(rank: int, x: Tensor, output_size: Any, return_indices: bool) -> Any:
    wanted = _wanted(rank, x, output_size, f"adaptive_max_pool{rank}d")
    kernel = _even(x, wanted)
    if kernel is not None:
        return _max_pool(rank, x, kernel, kernel, 0, 1, False, return_indices)
    windows = tensor(_plane_windows(x.shape[-rank:], wanted))
    flat = x.reshape(*x.shape[:-rank], -1)
    seen = flat.index_select(-1, windows.reshape(-1)).reshape(*flat.shape[:-1], *windows.shape)
    y, tap = seen.max(-1)
    y = y.reshape(*flat.shape[:-1], *wanted)
    if not return_indices:
        return y
    place = windows.expand(*flat.shape[:-1], *windows.shape).gather(-1, tap.unsqueeze(-1))
    return y, place.reshape(y.shape)


def _plane_windows(sizes: tuple[int, ...], wanted: tuple[int, ...]) -> np.ndarray:
    """[windows, taps]: places in the flattened plane.

    A short row repeats its first place: the first maximum stays where it is.
    """
    rows = [np.zeros(1, np.int64)]
    for size, count in zip(sizes, wanted, strict=True):
        rows = [
            np.add.outer(row * size, np.arange(start, stop)).reshape(-1)
            for row in rows
            for start, stop in _bounds(size, count)
        ]
    most = max(map(len, rows))
    return np.array([np.pad(row, (0, most - len(row)), constant_values=row[0]) for row in rows])


@public
def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """As ``adaptive_avg_pool2d``      x: f[N,C,L] -> y: f[N,C,P]"""
    return _adaptive_avg_pool(1, input, output_size)


@public
def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The mean of as many windows as are asked for      x: f[N,C,H,W] -> y: f[N,C,P,Q]

    Window i reaches from ⌊i H / P⌋ to ⌈(i + 1) H / P⌉; ``None`` keeps a size.
    """
    return _adaptive_avg_pool(2, input, output_size)


@public
def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """As ``adaptive_max_pool2d``      x: f[N,C,L] -> y: f[N,C,P]"""
    return _adaptive_max_pool(1, input, output_size, return_indices)


@public
def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest number of as many windows as are asked for      x: f[N,C,H,W] -> y: f[N,C,P,Q]

    The windows are those of ``adaptive_avg_pool2d``.  ``return_indices`` adds their places in the
    flattened plane.
    """
    return _adaptive_max_pool(2, input, output_size, return_indices)


# ---------------------------------------------------------------- layers


class _Pool(Module):
    rank = 0
    shown: tuple[str, ...] = ()

    def extra_repr(self) -> str:
        """The arguments."""
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.shown)


class _MaxPool(_Pool):
    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.padding, self.dilation = kernel_size, padding, dilation
        self.stride = kernel_size if stride is None else stride
        self.return_indices, self.ceil_mode = return_indices, ceil_mode
        _windows(self.rank, type(self).__name__, kernel_size, stride, padding)

    def forward(self, input: Tensor) -> Any:
        """The largest number of each window."""
        return _max_pool(
            self.rank,
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class MaxPool1d(_MaxPool):
    """The largest number of each window      x: f[N,C,L] -> y: f[N,C,P]"""

    rank = 1


class MaxPool2d(_MaxPool):
    """The largest number of each window      x: f[N,C,H,W] -> y: f[N,C,P,Q]

    >>> import chainrule as cr
    >>> MaxPool2d(2)(cr.tensor([[[[1.0, 2.0], [4.0, 3.0]]]])).tolist()
    [[[[4.0]]]]
    """

    rank = 2


class MaxPool3d(_MaxPool):
    """The largest number of each window      x: f[N,C,D,H,W] -> y: f[N,C,*P]"""

    rank = 3


class _AvgPool(_Pool):
    shown = ("kernel_size", "stride", "padding")

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size, self.padding = kernel_size, padding
        self.stride = kernel_size if stride is None else stride
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad
        _windows(self.rank, type(self).__name__, kernel_size, stride, padding)

    def forward(self, input: Tensor) -> Tensor:
        """The mean of each window."""
        return _avg_pool(
            self.rank,
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )


class AvgPool1d(_AvgPool):
    """The mean of each window      x: f[N,C,L] -> y: f[N,C,P]"""

    rank = 1


class AvgPool2d(_AvgPool):
    """The mean of each window      x: f[N,C,H,W] -> y: f[N,C,P,Q]"""

    rank = 2


class AvgPool3d(_AvgPool):
    """The mean of each window      x: f[N,C,D,H,W] -> y: f[N,C,*P]"""

    rank = 3


class _Adaptive(_Pool):
    shown = ("output_size",)
    pool: Any

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size
        if not isinstance(output_size, int) and len(tuple(output_size)) != self.rank:
            where, needs = type(self).__name__, "one number per axis"
            raise UsageError(message(where, f"output_size={output_size!r}", needs))

    def forward(self, input: Tensor) -> Any:
        """As many windows as were asked for."""
        return inner(type(self).pool)(input, self.output_size)


class AdaptiveAvgPool1d(_Adaptive):
    """The mean of ``output_size`` windows      x: f[N,C,L] -> y: f[N,C,P]"""

    rank, pool = 1, adaptive_avg_pool1d


class AdaptiveAvgPool2d(_Adaptive):
    """The mean of ``output_size`` windows      x: f[N,C,H,W] -> y: f[N,C,P,Q]"""

    rank, pool = 2, adaptive_avg_pool2d


class _AdaptiveMax(_Adaptive):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        """The largest number of each window."""
        return inner(type(self).pool)(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMax):
    """The largest number of each of ``output_size`` windows      x: f[N,C,L] -> y: f[N,C,P]"""

    rank, pool = 1, adaptive_max_pool1d


class AdaptiveMaxPool2d(_AdaptiveMax):
    """The largest number of each of ``output_size`` windows      x: f[N,C,H,W] -> y: f[N,C,P,Q]"""

    rank, pool = 2, adaptive_max_pool2d
