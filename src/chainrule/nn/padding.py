"""Numbers around a tensor: zeros, a constant, or the tensor's own, mirrored, repeated, around."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.nn.calls import here, inner, public
from chainrule.nn.module import Module
from chainrule.nn.sizes import tuple_of
from chainrule.ops.movement import pad as pad_op
from chainrule.tensor import Tensor, tensor

__all__ = [
    "ConstantPad1d",
    "ConstantPad2d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ZeroPad1d",
    "ZeroPad2d",
    "pad",
]

MODES = ("constant", "reflect", "replicate", "circular")


@public
def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Numbers around x: ``pad`` = (before, after) of the last axis, then of the one before it, …

    A negative number cuts.  ``mode="constant"`` adds ``value``, 0 unless told; ``"reflect"``
    mirrors at the border number, ``"replicate"`` repeats it, ``"circular"`` goes around.

    >>> import chainrule as cr
    >>> pad(cr.ones(1, 2), (1, 0)).tolist()
    [[0.0, 1.0, 1.0]]
    >>> pad(cr.tensor([[1.0, 2.0, 3.0]]), (1, 2), mode="reflect").tolist()
    [[2.0, 1.0, 2.0, 3.0, 2.0, 1.0]]
    """
    if mode not in MODES:
        needs = "one of " + ", ".join(map(repr, MODES))
        raise UsageError(message(here("pad"), f"mode={mode!r}", needs))
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        got = f"{len(pad)} numbers for {type_text(input.shape, input.dtype)}"
        raise ShapeError(message(here("pad"), got, f"pairs, at most {input.ndim}"))
    if value and mode != "constant":
        raise UsageError(message(here("pad"), f"value={value} with mode={mode!r}", "no value"))
    pairs = [(int(pad[k]), int(pad[k + 1])) for k in range(0, len(pad), 2)][::-1]
    pairs = [(0, 0)] * (input.ndim - len(pairs)) + pairs
    for axis, (before, after) in enumerate(pairs):
        size = input.shape[axis] + min(before, 0) + min(after, 0)
        if size < 0:
            got = f"{type_text(input.shape, input.dtype)} cut by {(before, after)}"
            raise ShapeError(message(here("pad"), got, f"a longer axis {axis}"))
        if before < 0 or after < 0:
            input = input.narrow(axis, max(-before, 0), size)
    widths = tuple((max(before, 0), max(after, 0)) for before, after in pairs)
    if not any(map(any, widths)):
        return input
    if mode == "constant":
        return pad_op(input, widths=widths, value=0.0 if value is None else float(value))
    for axis, (before, after) in enumerate(widths):
        if before or after:
            input = input.index_select(axis, _places(input, axis, before, after, mode))
    return input


def _places(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """Which number of an axis stands at each place of the padded one."""
    size = x.shape[axis]
    most = {"reflect": size - 1, "circular": size}.get(mode)
    if size == 0 or (most is not None and max(before, after) > most):
        got = f"{type_text(x.shape, x.dtype)} padded by {(before, after)}"
        needs = f"at most {most}" if size else "at least one number"
        raise ShapeError(message(here("pad"), got, f"{needs} along axis {axis} to {mode}"))
    place = np.arange(-before, size + after)
    if mode == "replicate":
        place = np.clip(place, 0, size - 1)
    elif mode == "circular":
        place %= size
    else:
        place = (size - 1) - np.abs((size - 1) - np.abs(place))
    return tensor(place)


# ---------------------------------------------------------------- layers


class _Pad(Module):
    rank = 1
    mode = "constant"
    value: float = 0.0

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = tuple_of(padding, 2 * self.rank, "padding", type(self).__name__)

    def forward(self, input: Tensor) -> Tensor:
        """x with numbers around it."""
        return inner(pad)(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        """padding"""
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        """padding, value"""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """One number around the last axis; ``padding`` = (left, right)"""


class ConstantPad2d(_ConstantPad):
    """One number around the last two axes; ``padding`` = (left, right, top, bottom)"""

    rank = 2


class ZeroPad1d(_Pad):
    """Zeros around the last axis; ``padding`` = (left, right)"""


class ZeroPad2d(_Pad):
    """Zeros around the last two axes; ``padding`` = (left, right, top, bottom)

    >>> import chainrule as cr
    >>> ZeroPad2d((1, 0, 0, 0))(cr.ones(1, 1, 1, 1)).tolist()
    [[[[0.0, 1.0]]]]
    """

    rank = 2


class ReflectionPad1d(_Pad):
    """The numbers mirrored at the borders of the last axis; ``padding`` = (left, right)"""

    mode = "reflect"


class ReflectionPad2d(ReflectionPad1d):
    """The numbers mirrored at the borders; ``padding`` = (left, right, top, bottom)"""

    rank = 2


class ReplicationPad1d(_Pad):
    """The border numbers of the last axis repeated; ``padding`` = (left, right)"""

    mode = "replicate"


class ReplicationPad2d(ReplicationPad1d):
    """The border numbers repeated; ``padding`` = (left, right, top, bottom)"""

    rank = 2
