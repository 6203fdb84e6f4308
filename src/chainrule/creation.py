"""Making tensors, and functions of several tensors: the names of ``torch``'s top level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import random as streams
from chainrule.device import Device
from chainrule.dtypes import DType, dtype_of, float32, int64
from chainrule.errors import ShapeError, UsageError, message
from chainrule.ops import leaf, movement
from chainrule.ops import random as draws
from chainrule.storage import recorder
from chainrule.tensor import Tensor, tensor
from chainrule.tensor.operands import axis_of, draw_nodes, numpy_words
from chainrule.tensor.operators import choose

__all__ = [
    "arange",
    "as_tensor",
    "bernoulli",
    "cat",
    "concatenate",
    "empty",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "meshgrid",
    "ones",
    "ones_like",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "stack",
    "where",
    "zeros",
    "zeros_like",
]


def _sizes(shape: tuple[Any, ...]) -> tuple[int, ...]:
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    sizes = tuple(int(size) for size in sizes)
    if any(size < 0 for size in sizes):
        raise ShapeError(message("shape", f"{list(sizes)}", "sizes of 0 or more"))
    return sizes


def _made(array: np.ndarray, requires_grad: bool, device: Any = None) -> Tensor:
    if device is not None:
        Device(device)
    made = Tensor._of(recorder().leaf(leaf.data, array, dtype_of(array.dtype)))
    return made.requires_grad_() if requires_grad else made


def full(
    shape: Sequence[int],
    value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """One number everywhere: full((2,), 7.0) is [7., 7.]."""
    kind = dtype_of(dtype) if dtype is not None else dtype_of(type(value))
    return _made(np.full(_sizes((tuple(shape),)), value, kind.numpy), requires_grad, device)


def zeros(
    *shape: Any, dtype: Any = float32, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros: zeros(2, 3) or zeros((2, 3))."""
    return full(_sizes(shape), 0, dtype=dtype, device=device, requires_grad=requires_grad)


def ones(
    *shape: Any, dtype: Any = float32, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones: ones(2, 3) or ones((2, 3))."""
    return full(_sizes(shape), 1, dtype=dtype, device=device, requires_grad=requires_grad)


empty = zeros  # uninitialised memory is no reproducible value


def full_like(
    x: Tensor, value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """One number everywhere, in the shape and dtype of ``x``."""
    kind = dtype or x.dtype
    return full(x.shape, value, dtype=kind, device=device, requires_grad=requires_grad)


def zeros_like(
    x: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros in the shape and dtype of ``x``."""
    return full_like(x, 0, dtype=dtype, device=device, requires_grad=requires_grad)


def ones_like(
    x: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones in the shape and dtype of ``x``."""
    return full_like(x, 1, dtype=dtype, device=device, requires_grad=requires_grad)


def arange(
    *bounds: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """start, start + step, … below end: arange(3) is [0, 1, 2]."""
    array = np.arange(*bounds)
    kind = dtype_of(dtype) if dtype is not None else (int64 if array.dtype.kind == "i" else float32)
    return _made(array.astype(kind.numpy), requires_grad, device)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: Any = float32,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``steps`` numbers at equal distances, both ends included."""
    numbers = np.linspace(start, end, steps).astype(dtype_of(dtype).numpy)
    return _made(numbers, requires_grad, device)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = float32,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones on the diagonal."""
    return _made(np.eye(n, m, dtype=dtype_of(dtype).numpy), requires_grad, device)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor of a copy of an array: a later write to the array does not reach it."""
    return tensor(np.asarray(array))


def as_tensor(data: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """``data`` itself if it is a tensor of that dtype, else a tensor of its values."""
    if isinstance(data, Tensor):
        return data.to(dtype=dtype, device=device)
    return tensor(data, dtype=dtype, device=device)


# ---------------------------------------------------------------- random numbers


def _numbers(stream: str, generator: streams.Generator | None, device: Any) -> list[Tensor]:
    """Seed, stream and draw, as the ops of random numbers take them."""
    if device is not None:
        Device(device)
    source = streams.default_generator if generator is None else generator
    return [Tensor._of(node) for node in draw_nodes(source.stream(stream))]


def rand(
    *shape: Any,
    dtype: Any = float32,
    device: Any = None,
    requires_grad: bool = False,
    generator: streams.Generator | None = None,
    stream: str = "default",
) -> Tensor:
    """Uniform numbers in [0, 1) from a named stream of ``manual_seed``, or of a generator."""
    numbers = _numbers(stream, generator, device)
    y = draws.uniform(*numbers, shape=_sizes(shape), dtype=dtype_of(dtype))
    return y.requires_grad_() if requires_grad else y


def randn(
    *shape: Any,
    dtype: Any = float32,
    device: Any = None,
    requires_grad: bool = False,
    generator: streams.Generator | None = None,
    stream: str = "default",
) -> Tensor:
    """Standard normal numbers, equal on every machine."""
    numbers = _numbers(stream, generator, device)
    y = draws.normal(*numbers, shape=_sizes(shape), dtype=dtype_of(dtype))
    return y.requires_grad_() if requires_grad else y


def randint(
    low: int,
    high: Any = None,
    size: Sequence[int] = (),
    *,
    dtype: Any = int64,
    device: Any = None,
    generator: streams.Generator | None = None,
    stream: str = "default",
) -> Tensor:
    """Whole numbers low ≤ y < high; with one bound, 0 ≤ y < low.

    >>> randint(1, (2,)).tolist()
    [0, 0]
    """
    if isinstance(high, tuple | list):
        high, size = None, high
    low, high = (0, low) if high is None else (low, high)
    numbers = _numbers(stream, generator, device)
    y = draws.integers(*numbers, shape=_sizes((tuple(size),)), low=low, high=high)
    return y.to(dtype)


def randperm(
    n: int,
    *,
    device: Any = None,
    generator: streams.Generator | None = None,
    stream: str = "default",
) -> Tensor:
    """The numbers 0 … n - 1 in random order."""
    return draws.permutation(*_numbers(stream, generator, device), n=n)


def bernoulli(shape: Any, p: float | None = None, *, stream: str = "default") -> Tensor:
    """True with probability p; of a tensor of probabilities, ones and zeros of its dtype."""
    if isinstance(shape, Tensor):
        wanted = shape if p is None else shape * 0 + p
        return (rand(shape.shape, dtype=shape.dtype, stream=stream) < wanted).to(shape.dtype)
    if p is None:
        raise UsageError(message("bernoulli", "no p", "bernoulli(shape, p), or a tensor of them"))
    return draws.bernoulli(*_numbers(stream, None, None), shape=_sizes((tuple(shape),)), p=p)


def rand_like(
    x: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Uniform numbers in the shape and dtype of ``x``."""
    return rand(x.shape, dtype=dtype or x.dtype, device=device, requires_grad=requires_grad)


def randn_like(
    x: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Standard normal numbers in the shape and dtype of ``x``."""
    return randn(x.shape, dtype=dtype or x.dtype, device=device, requires_grad=requires_grad)


# ---------------------------------------------------------------- functions of several tensors


@numpy_words
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one after the other along an axis."""
    if not len(tensors):
        raise UsageError(message("cat", "no tensors", "at least one"))
    axis = axis_of(dim, tensors[0].ndim, "cat")
    dtypes: list[DType] = [x.dtype for x in tensors]
    widest = max(dtypes, key=lambda dtype: dtype.rank)
    return movement.concatenate(*(x.to(widest) for x in tensors), axis=axis)


concatenate = cat


@numpy_words
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape along a new axis."""
    if not len(tensors):
        raise UsageError(message("stack", "no tensors", "at least one"))
    return cat([x.unsqueeze(dim) for x in tensors], axis_of(dim, tensors[0].ndim + 1, "stack"))


def where(condition: Tensor, a: Any = None, b: Any = None) -> Any:
    """``a`` where the condition holds, else ``b``; alone: its places, an index per axis."""
    if a is None and b is None:
        return condition.nonzero(as_tuple=True)
    if a is None or b is None:
        raise UsageError(message("where", "one of a and b", "both, or neither"))
    return choose(condition, a, b)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """The coordinates of a grid: one tensor per axis, each of the grid's shape.

    ``indexing="xy"`` exchanges the first two axes, as in pictures.

    >>> [x.tolist() for x in meshgrid(tensor([1, 2]), tensor([3, 4]))]
    [[[1, 1], [2, 2]], [[3, 4], [3, 4]]]
    """
    axes = tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], list) else tensors
    if indexing not in ("ij", "xy") or any(x.ndim > 1 for x in axes):
        got = f"indexing={indexing!r}, axes {[x.ndim for x in axes]}"
        raise UsageError(message("meshgrid", got, "'ij' or 'xy', and tensors of one axis"))
    shape = tuple(x.numel() for x in axes)
    along = [(1,) * k + (n,) + (1,) * (len(shape) - k - 1) for k, n in enumerate(shape)]
    grids = [x.reshape(at).expand(shape) for x, at in zip(axes, along, strict=True)]
    return tuple(x.transpose(0, 1) if indexing == "xy" and len(axes) > 1 else x for x in grids)
