"""Operands meet: axes are checked, shapes broadcast as in NumPy, types promoted as in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from chainrule.dtypes import DType, dtype_of, float32, int64, promote_operands
from chainrule.errors import DtypeError, ShapeError, message
from chainrule.lines import line_text, user_line
from chainrule.ops import elementwise as e
from chainrule.ops import leaf, movement
from chainrule.ops.op import Op
from chainrule.random import Stream
from chainrule.storage import Recorded, recorder
from chainrule.tracing import running
from chainrule.tracked import Tracked

__all__ = [
    "NUMBERS",
    "Axes",
    "axes_of",
    "axis_of",
    "broadcast_shapes",
    "cast_node",
    "draw_nodes",
    "expand_node",
    "number_node",
    "numpy_words",
    "together",
]

Axes = int | Sequence[int] | None
NUMBERS = (bool, int, float, np.generic, Tracked)


P = ParamSpec("P")
R = TypeVar("R")


def numpy_words(method: Callable[P, R]) -> Callable[P, R]:
    """The method with NumPy's words for its arguments too, as in PyTorch: axis, keepdims."""

    @wraps(method)
    def call(*args: P.args, **options: P.kwargs) -> R:
        if options:
            for ours, numpys in (("dim", "axis"), ("keepdim", "keepdims")):
                if numpys in options:
                    options[ours] = options.pop(numpys)
            if "out" in options:  # np.sum(x) calls x.sum(axis=…, out=…)
                name = method.__name__
                remedy = f"x.{name}() keeps the history, np.{name}(x.detach().numpy()) leaves it"
                raise DtypeError(message(name, "NumPy's out=", "no out=", remedy=remedy))
        return method(*args, **options)

    return call


def axis_of(axis: int, rank: int, where: str) -> int:
    """A legal axis from 0, or one error: axis_of(-1, 3, "sum") == 2."""
    if not -max(rank, 1) <= axis < max(rank, 1):
        raise ShapeError(message(where, f"axis {axis}", f"{-rank} to {rank - 1} for {rank} axes"))
    return axis % max(rank, 1)


def axes_of(dim: Axes, rank: int, where: str) -> tuple[int, ...]:
    """Legal axes in rising order; ``None`` means all: axes_of(None, 2, "sum") == (0, 1)."""
    if dim is None or (not isinstance(dim, int) and len(tuple(dim)) == 0):
        return tuple(range(rank))
    named = (dim,) if isinstance(dim, int) else tuple(dim)
    axes = sorted({axis_of(axis, rank, where) for axis in named})
    if len(axes) != len(named):
        raise ShapeError(message(where, f"axes {tuple(named)}", "each axis once"))
    return tuple(axes) if rank else ()


_broadcast = lru_cache(4096)(np.broadcast_shapes)  # NumPy makes arrays for it


def broadcast_shapes(where: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """NumPy's rule: broadcast_shapes("add", (3, 1), (4,)) == (3, 4)."""
    try:
        return _broadcast(*shapes)
    except ValueError:
        got = " and ".join(str(list(shape)).replace(" ", "") for shape in shapes)
        raise ShapeError(
            message(
                where,
                f"shapes {got}",
                "equal sizes, or 1, from the last axis backwards",
                line=line_text(user_line()),
            )
        ) from None


def expand_node(node: Recorded, shape: tuple[int, ...]) -> Recorded:
    """The node, broadcast to a shape; run-time numbers stay as they are."""
    if node.shape == shape or node.op is leaf.number:
        return node
    record = recorder().record
    missing = len(shape) - len(node.shape)
    if missing:
        node = record(movement.reshape, (node,), {"shape": (1,) * missing + node.shape})
    if node.shape != shape:
        node = record(movement.expand, (node,), {"shape": shape})
    return node


def cast_node(node: Recorded, dtype: DType) -> Recorded:
    """The node as another dtype."""
    if node.dtype is dtype:
        return node
    if node.op is leaf.number:
        assert node.value is not None
        cast = recorder().leaf(leaf.number, node.value.astype(dtype.numpy), dtype)
        trace = running()
        if trace is not None:
            trace.same_number(node, cast)
        return cast
    return recorder().record(e.cast, (node,), {"dtype": dtype.name})


def number_node(value: Any, dtype: DType, where: str = "number") -> Recorded:
    """A Python number as a run-time scalar of that dtype."""
    now = value.now if isinstance(value, Tracked) else value
    try:
        if type(now) is float and -1e38 < now < 1e38 and dtype is float32:  # the usual number
            number = np.array(now, np.float32)
        else:
            with np.errstate(over="ignore"):  # 1e40 is ∞ in float32, as everywhere
                number = np.array(now, dtype.numpy)
    except (OverflowError, ValueError):
        raise DtypeError(_does_not_hold(now, dtype, where)) from None
    node = recorder().leaf(leaf.number, number, dtype)
    if now is not value:
        running().number_of(node, value)
    return node


def draw_nodes(stream: Stream) -> list[Recorded]:
    """Seed, stream and draw number of the next draw, as the ops of random numbers take them."""
    numbers = stream.next_draw()
    nodes = [number_node(number, int64) for number in numbers]
    trace = running()
    if trace is not None:
        trace.drawn(stream, nodes)
    return nodes


def _does_not_hold(value: Any, dtype: DType, where: str) -> str:
    if dtype.is_floating_point:
        return message(where, "a whole number beyond float64", "at most 1.8e308")
    limits = np.iinfo(dtype.numpy)
    remedy = ".long() first" if dtype is not int64 and isinstance(value, int) else ".float() first"
    got, needs = f"{value} beside {dtype.name}", f"{limits.min} to {limits.max}"
    return message(where, got, needs, line=line_text(user_line()), remedy=remedy)


def together(
    op: Op, operands: Sequence[Any], *, to_float: bool = False, typed: int = 0
) -> list[Recorded]:
    """Operands (tensors, numbers, arrays) as nodes of one dtype and shape.

    The first ``typed`` of them keep their dtype (the condition of ``where``).
    """
    nodes: list[Any] = []
    standings: list[tuple[DType, int]] = []
    shapes: list[tuple[int, ...]] = []
    tensor = next(operand for operand in operands if hasattr(operand, "_storage"))
    for operand in operands:
        if not hasattr(operand, "_storage") and not isinstance(operand, NUMBERS):
            operand = tensor._like(operand, op.name)
        if isinstance(operand, NUMBERS):
            nodes.append(operand)
            now = operand.now if isinstance(operand, Tracked) else operand
            kind = bool if isinstance(now, (bool, np.bool_)) else float
            kind = int if isinstance(now, (int, np.integer)) and kind is float else kind
            standings.append((dtype_of(kind), 0))
            shapes.append(())
        else:
            node = operand._node
            nodes.append(node)
            scalar = not node.shape
            standings.append((node.dtype, 0 if node.op is leaf.number else 1 if scalar else 2))
            shapes.append(node.shape)
    dtype = promote_operands(*standings[typed:])
    if to_float and not dtype.is_floating_point:
        dtype = float32
    shape = broadcast_shapes(op.name, *shapes)
    result = []
    for index, node in enumerate(nodes):
        if not isinstance(node, Recorded):
            node = number_node(node, dtype, op.name)
        elif index >= typed:
            node = cast_node(node, dtype)
        result.append(expand_node(node, shape))
    return result
