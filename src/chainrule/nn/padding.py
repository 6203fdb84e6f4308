"""Numbers around a tensor."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.errors import ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.nn.calls import here, public
from chainrule.ops.movement import pad as pad_op
from chainrule.tensor import Tensor

__all__ = ["pad"]


@public
def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Numbers around x: ``pad`` = (before, after) of the last axis, then of the one before it, …

    A negative number cuts.  Only ``mode="constant"``.

    >>> import chainrule as cr
    >>> pad(cr.ones(1, 2), (1, 0)).tolist()
    [[0.0, 1.0, 1.0]]
    """
    if mode != "constant":
        raise UsageError(message(here("pad"), f"mode={mode!r}", "'constant'"))
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        got = f"{len(pad)} numbers for {type_text(input.shape, input.dtype)}"
        raise ShapeError(message(here("pad"), got, f"pairs, at most {input.ndim}"))
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
    return pad_op(input, widths=widths, value=0.0 if value is None else float(value))
