"""PyTorch's names for small things that scripts ask for: constants, types, devices, few functions.

Nothing of Chainrule itself needs them.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from chainrule.creation import rand, randn, zeros
from chainrule.dtypes import DType, dtype_of, float32
from chainrule.errors import DtypeError, ShapeError, UsageError, message, not_found
from chainrule.graph import type_text
from chainrule.tensor.tensor import PRINTED, Tensor, tensor

__all__ = [
    "BoolTensor", "ByteTensor", "DoubleTensor", "FloatTensor", "IntTensor", "LongTensor", "Size",
    "accelerator", "backends", "cdist", "finfo", "get_default_dtype", "iinfo", "inf",
    "is_floating_point", "is_tensor", "linalg", "multinomial", "nan", "normal", "pi",
    "set_default_dtype", "set_printoptions", "t", "unique",
]  # fmt: skip

pi, inf, nan = math.pi, math.inf, math.nan
Size = tuple  # what ``x.shape`` is


class Constructor:
    """PyTorch's constructor of old: of sizes zeros, of data a tensor; it names its dtype, too.

    >>> LongTensor([1, 2]), FloatTensor(2), tensor([1]).type(FloatTensor)
    (tensor([1, 2]), tensor([0., 0.]), tensor([1.]))
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)

    def __call__(self, *data: Any) -> Tensor:
        if all(isinstance(size, int) for size in data):
            return zeros(data or (0,), dtype=self.dtype)
        return tensor(data[0], dtype=self.dtype)


FloatTensor, DoubleTensor = Constructor("float32"), Constructor("float64")
LongTensor, IntTensor = Constructor("int64"), Constructor("int32")
ByteTensor, BoolTensor = Constructor("uint8"), Constructor("bool")


def is_tensor(x: Any) -> bool:
    """Whether ``x`` is a Tensor."""
    return isinstance(x, Tensor)


def is_floating_point(x: Tensor) -> bool:
    """Whether ``x`` is f32 or f64."""
    return x.is_floating_point()


def finfo(dtype: Any = float32) -> np.finfo:
    """The limits of a floating-point dtype: ``eps``, ``max``, ``tiny``."""
    return np.finfo(dtype_of(dtype).numpy)


def iinfo(dtype: Any) -> np.iinfo:
    """The limits of an integer dtype: ``min``, ``max``."""
    return np.iinfo(dtype_of(dtype).numpy)


def get_default_dtype() -> DType:
    """float32."""
    return float32


def set_default_dtype(dtype: Any) -> None:
    """Nothing for float32; raises DtypeError for all others."""
    if dtype_of(dtype) is not float32:
        remedy = "model.double() and dtype=float64 say it where it is wanted"
        got = dtype_of(dtype).name
        raise DtypeError(message("set_default_dtype", got, "float32", remedy=remedy))


def set_printoptions(
    precision: int | None = None,
    threshold: int | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    sci_mode: bool | None = None,
) -> None:
    """How tensors are printed; what is None stays as it is."""
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "max_line_width": linewidth,
        "suppress_small": None if sci_mode is None else not sci_mode,
    }
    PRINTED.update({name: value for name, value in given.items() if value is not None})


# ---------------------------------------------------------------- devices that are not there


def _no() -> bool:
    return False


accelerator = SimpleNamespace(is_available=_no, device_count=lambda: 0)
mps = SimpleNamespace(is_available=_no, is_built=_no)
cudnn = SimpleNamespace(is_available=_no, enabled=False, deterministic=True, benchmark=False)
backends = SimpleNamespace(mps=mps, cudnn=cudnn)


# ---------------------------------------------------------------- functions


def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Any = None, dtype: Any = None
) -> Tensor:
    """Numbers of N(mean, std²), of this size or one for each mean and deviation."""
    kind = next((x.dtype for x in (mean, std) if isinstance(x, Tensor)), float32)
    if size is None:
        shapes = [x.shape for x in (mean, std) if isinstance(x, Tensor)]
        size = np.broadcast_shapes(*shapes)
    return randn(tuple(size), dtype=dtype or kind, generator=generator) * std + mean


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None
) -> Tensor:
    """Numbers of classes, drawn by their weights: f[N,K] or f[K] -> i64[N,num_samples] or [n].

    >>> multinomial(tensor([0.0, 3.0, 0.0]), 4, replacement=True)
    tensor([1, 1, 1, 1])
    """
    weights = np.atleast_2d(input.detach().double().numpy())
    usable = (weights > 0).sum(-1).min(initial=weights.shape[-1])
    wrong = not np.isfinite(weights).all() or (weights < 0).any() or usable == 0
    if input.ndim not in (1, 2) or wrong or (num_samples > usable and not replacement):
        needs = f"weights of 0 or more, {1 if replacement else num_samples} of them above 0, a row"
        got = type_text(input.shape, input.dtype)
        raise UsageError(message("multinomial", got, needs))
    rows, wanted = weights.shape[0], (num_samples if replacement else weights.shape[1])
    chances = rand((rows, wanted), dtype="float64", generator=generator).numpy()
    if replacement:
        ends = np.cumsum(weights, -1) / weights.sum(-1, keepdims=True)
        last = np.argmax(np.where(weights > 0, np.arange(weights.shape[1]), -1), -1)
        found = [np.searchsorted(e, c, side="right") for e, c in zip(ends, chances, strict=True)]
        chosen = np.minimum(found, last[:, None])
    else:  # the largest of u^(1/w): Efraimidis and Spirakis 2006
        with np.errstate(divide="ignore"):
            keys = np.where(weights > 0, np.log(chances) / weights, -np.inf)
        chosen = np.argsort(-keys, -1, kind="stable")[:, :num_samples]
    return tensor(chosen if input.ndim == 2 else chosen[0])


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different values in rising order; with their places, with how often each is there."""
    found = np.unique(
        input.detach().numpy(), False, return_inverse, return_counts, dim, equal_nan=False
    )
    return tuple(map(tensor, found)) if isinstance(found, tuple) else tensor(found)


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0) -> Tensor:
    """The distances of all pairs of rows: f[...,P,M], f[...,R,M] -> f[...,P,R]."""
    if x1.shape[-1:] != x2.shape[-1:] or min(x1.ndim, x2.ndim) < 2:
        types = " and ".join(type_text(x.shape, x.dtype) for x in (x1, x2))
        raise ShapeError(message("cdist", types, "f[...,P,M] and f[...,R,M]"))
    return (x1.unsqueeze(-2) - x2.unsqueeze(-3)).norm(p=p, dim=-1)


def t(x: Tensor) -> Tensor:
    """A matrix with its axes exchanged; a vector as it is."""
    return x.t()


def _norm(x: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False) -> Tensor:
    if ord is not None and (isinstance(dim, tuple | list) or (dim is None and x.ndim != 1)):
        needs = "one axis: norms of matrices are not in Chainrule"
        raise UsageError(message("linalg.norm", f"ord={ord!r} and dim={dim!r}", needs))
    return x.norm(p=2.0 if ord is None else ord, dim=dim, keepdim=keepdim)


linalg = SimpleNamespace(norm=_norm)


def __getattr__(name: str) -> Any:
    raise not_found("chainrule", name, __all__)
