"""Initial values: written into a tensor, from the random stream "init".

The names and formulas of ``torch.nn.init``.  Fan-in is how many numbers a unit reads, fan-out how
many units read a number: weight f[K,C,*F] has fan-in C·∏F and fan-out K·∏F.
"""

from __future__ import annotations

from math import erf, prod, sqrt
from typing import Any

from chainrule.creation import eye, rand, randn
from chainrule.creation import zeros as zeros_of
from chainrule.dtypes import DType, float64
from chainrule.errors import ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.nn.parameter import Parameter
from chainrule.ops.random import ndtri
from chainrule.random import stream
from chainrule.storage import recorder
from chainrule.tensor import Tensor, tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def _fill(x: Tensor, value: Tensor) -> Tensor:
    with recorder().setting(grad_enabled=False):
        return x._overwrite(value, "init")


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Uniform numbers a ≤ x < b."""
    return _fill(tensor, rand(tensor.shape, dtype=tensor.dtype, stream="init") * (b - a) + a)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normal numbers."""
    return _fill(tensor, randn(tensor.shape, dtype=tensor.dtype, stream="init") * std + mean)


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> Tensor:
    """Normal numbers between a and b: by the quantile of a uniform number between Φ(a) and Φ(b)."""
    low, high = ((1 + erf((bound - mean) / std / sqrt(2))) / 2 for bound in (a, b))
    u = rand(tensor.shape, dtype=float64, stream="init") * (high - low) + low
    return _fill(tensor, (ndtri(u) * std + mean).clamp(a, b).to(tensor.dtype))


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
    return _fill(tensor, eye(*tensor.shape, dtype=tensor.dtype))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through a nonlinearity: √2 for "relu", 5/3 for "tanh"."""
    gains = {"tanh": 5 / 3, "relu": sqrt(2), "selu": 3 / 4}
    if nonlinearity == "leaky_relu":
        return sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    linear = ("linear", "sigmoid", "conv1d", "conv2d", "conv3d")
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
    """Orthogonal rows or columns, whichever are fewer, of the weight as a matrix [K, C·∏F]."""
    import numpy as np

    fans(tensor)
    rows, columns = tensor.shape[0], prod(tensor.shape[1:])
    q, r = np.linalg.qr(stream("init").normal((max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diag(r))
    return _fill(tensor, _tensor(gain * (q if rows >= columns else q.T), tensor))


def _tensor(array: Any, like: Tensor) -> Tensor:
    return tensor(array).to(like.dtype).reshape(like.shape)


# ---------------------------------------------------------------- what layers start with


def uniform_parameter(shape: tuple[int, ...], bound: float, dtype: DType) -> Parameter:
    """A new parameter in U(-bound, bound). Nothing is computed until somebody reads it."""
    return Parameter(rand(shape, dtype=dtype, stream="init") * (2 * bound) - bound)


def constant_parameter(shape: tuple[int, ...], value: float, dtype: DType) -> Parameter:
    """A new parameter with one number everywhere."""
    made = zeros_of(shape, dtype=dtype)
    return Parameter(made + value if value else made)
