"""Initial values: written into a tensor, from the random stream "init".

The names and formulas of ``torch.nn.init``.  Fan-in is how many numbers a unit reads, fan-out how
many units read a number: weight f[K,C,*F] has fan-in C·∏F and fan-out K·∏F.  A seed gives the same
bits on every machine; ``orthogonal_`` does so up to rounding, being made by a matrix library.
"""

from __future__ import annotations

from math import ceil, prod, sqrt
from typing import Any

import numpy as np

from chainrule.creation import eye, rand, randn
from chainrule.creation import zeros as zeros_of
from chainrule.dtypes import DType, float64
from chainrule.errors import ShapeError, UsageError, message, not_found
from chainrule.graph import type_text
from chainrule.nn.parameter import Parameter
from chainrule.ops.linear import orthonormal
from chainrule.ops.random import ndtri
from chainrule.ops.scalars import ndtri as quantile
from chainrule.storage import recorder
from chainrule.tensor import Tensor, tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def _fill(x: Tensor, value: Tensor) -> Tensor:
    with recorder().setting(grad_enabled=False, initial=True):
        value._node.initial = True
        return x._overwrite(value, "init")


def _require(right: bool, name: str, got: str, needs: str) -> None:
    if not right:
        raise UsageError(message(name, got, needs))


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Uniform numbers a ≤ x < b.

    >>> import chainrule as cr
    >>> x = uniform_(cr.zeros(1000), -1, 1)
    >>> -1 <= x.min().item() < -0.9 and 0.9 < x.max().item() < 1
    True
    """
    _require(a <= b, "uniform_", f"a={a}, b={b}", "a ≤ b")
    return _fill(tensor, rand(tensor.shape, dtype=tensor.dtype, stream="init") * (b - a) + a)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normal numbers of this mean and standard deviation."""
    _require(std >= 0, "normal_", f"std={std}", "0 or more")
    return _fill(tensor, randn(tensor.shape, dtype=tensor.dtype, stream="init") * std + mean)


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> Tensor:
    """Normal numbers between a and b: by the quantile of a uniform number between Φ(a) and Φ(b)."""
    _require(a < b, "trunc_normal_", f"a={a}, b={b}", "a < b")
    _require(std > 0, "trunc_normal_", f"std={std}", "a number above 0")
    low, high = (_below((bound - mean) / std) for bound in (a, b))
    u = rand(tensor.shape, dtype=float64, stream="init") * (high - low) + low
    return _fill(tensor, (ndtri(u) * std + mean).clamp(a, b).to(tensor.dtype))


def _below(z: float) -> float:
    """Φ(z) by halving: the system's erf differs in its last bit from machine to machine."""
    low, high = 0.0, 1.0
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if quantile(np.array([middle]))[0] < z else (low, middle)
    return low


def constant_(tensor: Tensor, val: float) -> Tensor:
    """One number everywhere."""
    with recorder().setting(grad_enabled=False):
        return tensor.fill_(val)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return constant_(tensor, 1.0)


def eye_(tensor: Tensor) -> Tensor:
    """Ones on the diagonal of a matrix, else zeros."""
    _require(tensor.ndim == 2, "eye_", type_text(tensor.shape, tensor.dtype), "a matrix")
    return _fill(tensor, eye(*tensor.shape, dtype=tensor.dtype))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution that keeps its channels: a one in the middle of kernel k for channel k

    tensor: f[K,C,*F].  Each of ``groups`` parts of the K kernels keeps the first channels.
    """
    shape = tensor.shape
    _require(3 <= len(shape) <= 5, "dirac_", type_text(shape, tensor.dtype), "f[K,C,*F]")
    _require(shape[0] % groups == 0, "dirac_", f"groups={groups}", f"a divisor of {shape[0]}")
    array, size = np.zeros(shape), shape[0] // groups
    middle = tuple(taps // 2 for taps in shape[2:])
    for channel in range(min(size, shape[1])):
        array[(slice(channel, None, size), channel, *middle)] = 1
    return _fill(tensor, _tensor(array, tensor))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01) -> Tensor:
    """N(0, std²) in a matrix, but ⌈sparsity · rows⌉ zeros in each column (J. Martens 2010)."""
    _require(tensor.ndim == 2, "sparse_", type_text(tensor.shape, tensor.dtype), "a matrix")
    _require(0 <= sparsity <= 1, "sparse_", f"sparsity={sparsity}", "a number from 0 to 1")
    rank = rand(tensor.shape, dtype=float64, stream="init").argsort(0).argsort(0)
    numbers = randn(tensor.shape, dtype=tensor.dtype, stream="init") * std
    zeros = ceil(sparsity * tensor.shape[0])
    return _fill(tensor, numbers.masked_fill(rank < zeros, 0))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through a nonlinearity.

    1 for "linear", "sigmoid" and convolutions, 5/3 for "tanh", √2 for "relu", 3/4 for "selu",
    √(2 / (1 + param²)) for "leaky_relu" of the slope ``param``, 0.01 by default.

    >>> round(calculate_gain("relu"), 4)
    1.4142
    """
    gains = {"tanh": 5 / 3, "relu": sqrt(2), "selu": 3 / 4}
    if nonlinearity == "leaky_relu":
        return sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    convolutions = [f"conv{kind}{rank}d" for kind in ("", "_transpose") for rank in (1, 2, 3)]
    linear = ("linear", "sigmoid", *convolutions)
    if nonlinearity not in gains and nonlinearity not in linear:
        needs = "one of " + ", ".join((*linear, *gains, "leaky_relu"))
        raise UsageError(message("calculate_gain", repr(nonlinearity), needs))
    return gains.get(nonlinearity, 1.0)


def fans(x: Tensor) -> tuple[int, int]:
    """(fan-in, fan-out) of a weight."""
    if x.ndim < 2:
        raise ShapeError(message("init", type_text(x.shape, x.dtype), "a weight of 2 or more axes"))
    taps = prod(x.shape[2:])
    return x.shape[1] * taps, x.shape[0] * taps


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """U(-a, a) with a = gain √(6 / (fan-in + fan-out)) (Glorot, Bengio 2010)."""
    bound = gain * sqrt(6 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """N(0, σ²) with σ = gain √(2 / (fan-in + fan-out)) (Glorot, Bengio 2010)."""
    return normal_(tensor, 0.0, gain * sqrt(2 / sum(fans(tensor))))


def _kaiming(x: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise UsageError(message("init", f"mode={mode!r}", "'fan_in' or 'fan_out'"))
    fan = fans(x)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / sqrt(max(fan, 1))


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """U(-b, b) with b = gain √(3 / fan) (He et al. 2015)."""
    bound = sqrt(3) * _kaiming(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """N(0, σ²) with σ = gain / √fan (He et al. 2015)."""
    return normal_(tensor, 0.0, _kaiming(tensor, a, mode, nonlinearity))


def orthogonal_(tensor: Tensor, gain: float = 1) -> Tensor:
    """Orthogonal rows or columns, whichever are fewer, of the weight as a matrix [K, C·∏F].

    A. Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks", 2014.
    """
    fans(tensor)
    rows, columns = tensor.shape[0], prod(tensor.shape[1:])
    tall = (max(rows, columns), min(rows, columns))
    q = orthonormal(randn(tall, dtype=float64, stream="init")) * gain
    return _fill(tensor, (q if rows >= columns else q.T).reshape(tensor.shape).to(tensor.dtype))


def _tensor(array: Any, like: Tensor) -> Tensor:
    return tensor(array).to(like.dtype).reshape(like.shape)


# ---------------------------------------------------------------- what layers start with


def uniform_parameter(shape: tuple[int, ...], bound: float, dtype: DType) -> Parameter:
    """A new parameter in U(-bound, bound). Nothing is computed until somebody reads it."""
    with recorder().setting(initial=True):
        return Parameter(rand(shape, dtype=dtype, stream="init") * (2 * bound) - bound)


def constant_parameter(shape: tuple[int, ...], value: float, dtype: DType) -> Parameter:
    """A new parameter with one number everywhere."""
    with recorder().setting(initial=True):
        made = zeros_of(shape, dtype=dtype)
        return Parameter(made + value if value else made)


def __getattr__(name: str) -> Any:
    raise not_found("chainrule.nn.init", name, __all__)
