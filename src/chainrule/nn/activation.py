"""Activation functions, elementwise ones and softmax, and their layers."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

from chainrule.errors import ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.nn.calls import here, inner, public
from chainrule.nn.init import constant_parameter
from chainrule.nn.module import Module
from chainrule.nn.parameter import number_type
from chainrule.tensor import Tensor
from chainrule.tensor.operators import choose

__all__ = [
    "ELU",
    "GELU",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSoftmax",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "SELU",
    "CELU",
    "Mish",
    "Softsign",
    "Softmin",
    "LogSigmoid",
    "Hardshrink",
    "Softshrink",
    "Tanhshrink",
    "PReLU",
    "Threshold",
    "GLU",
    "elu",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "log_softmax",
    "logsigmoid",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
    "selu",
    "celu",
    "mish",
    "softsign",
    "softmin",
    "hardshrink",
    "softshrink",
    "tanhshrink",
    "prelu",
    "threshold",
    "glu",
]


def _returned(x: Tensor, y: Tensor, inplace: bool) -> Tensor:
    return x._overwrite(y, "inplace") if inplace else y


@public
def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """y = max(x, 0); its derivative at 0 is 0.

    >>> import chainrule as cr
    >>> relu(cr.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return _returned(input, input.relu(), inplace)


@public
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """y = x for x > 0, else negative_slope · x"""
    return _returned(input, choose(input > 0, input, input * negative_slope), inplace)


@public
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """y = x for x > 0, else alpha (eˣ - 1)"""
    return _returned(input, _elu(input, alpha, 1.0), inplace)


@public
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """y = scale x for x > 0, else scale alpha (eˣ - 1), which keeps mean 0 and variance 1

    alpha ≈ 1.6733, scale ≈ 1.0507.  G. Klambauer et al., "Self-Normalizing Neural Networks", 2017.
    """
    alpha, scale = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
    return _returned(input, _elu(input, alpha, 1.0) * scale, inplace)


@public
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """y = x for x > 0, else alpha (e^(x / alpha) - 1): smooth at 0 for any alpha"""
    if alpha == 0:
        raise UsageError(message(here("celu"), "alpha=0", "another number"))
    return _returned(input, _elu(input, alpha, 1 / alpha), inplace)


def _elu(x: Tensor, alpha: float, inner_scale: float) -> Tensor:
    negative = choose(x > 0, 0, x)  # eˣ of a large x would be ∞, and its derivative NaN
    if inner_scale != 1:
        negative = negative * inner_scale
    return choose(x > 0, x, negative.expm1() * alpha)


@public
def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """y = x Φ(x) = x (1 + erf(x / √2)) / 2

    approximate="tanh": y = x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2
    """
    if approximate == "tanh":
        bent = (input + 0.044715 * (input * input * input)) * sqrt(2 / pi)
        return 0.5 * input * (1 + bent.tanh())
    if approximate != "none":
        raise UsageError(message(here("gelu"), f"approximate={approximate!r}", "'none' or 'tanh'"))
    return 0.5 * input * (1 + (input * sqrt(0.5)).erf())


@public
def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """y = x σ(x)"""
    return _returned(input, input * input.sigmoid(), inplace)


@public
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """y = x tanh(ln(1 + eˣ))      D. Misra, "Mish", 2019"""
    return _returned(input, input * inner(softplus)(input).tanh(), inplace)


@public
def softsign(input: Tensor) -> Tensor:
    """y = x / (1 + |x|)"""
    return input / (1 + input.abs())


@public
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """y = ln(1 + e^(beta x)) / beta, and x itself where beta x > threshold"""
    scaled = input * beta
    large = scaled > threshold
    return choose(large, input, choose(large, 0, scaled).exp().log1p() / beta)


@public
def logsigmoid(input: Tensor) -> Tensor:
    """y = ln σ(x) = -ln(1 + e⁻ˣ)"""
    return -minus_log_sigmoid(input)


def minus_log_sigmoid(x: Tensor) -> Tensor:
    """-ln σ(x) = ln(1 + e⁻ˣ) to full precision, with the derivative -σ(-x) everywhere.

    Not |x| and relu(-x), which have no slope at 0; above 40 it is -x in float64 too.
    """
    large = x < -40
    return choose(large, -x, choose(large, 0, -x).exp().log1p())


@public
def sigmoid(input: Tensor) -> Tensor:
    """y = σ(x) = 1 / (1 + e⁻ˣ)"""
    return input.sigmoid()


@public
def tanh(input: Tensor) -> Tensor:
    """y = tanh x"""
    return input.tanh()


def _hardtanh(x: Tensor, low: float, high: float) -> Tensor:
    # At a bound the derivative is 0, as in PyTorch.
    return choose(x <= low, low, choose(x >= high, high, x))


@public
def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """y = x between min_val and max_val, else the nearer one of them"""
    return _returned(input, _hardtanh(input, min_val, max_val), inplace)


@public
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """y = min(max(x, 0), 6)"""
    return _returned(input, _hardtanh(input, 0, 6), inplace)


@public
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """y = min(max(x / 6 + 1/2, 0), 1)"""
    inside = input / 6 + 0.5
    y = choose(input <= -3, 0, choose(input >= 3, 1, inside))
    return _returned(input, y, inplace)


@public
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """y = x · min(max(x / 6 + 1/2, 0), 1)"""
    y = choose(input <= -3, 0, choose(input >= 3, input, input * (input / 6 + 0.5)))
    return _returned(input, y, inplace)


@public
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """y = 0 for |x| ≤ lambd, else x"""
    return choose(input.abs() <= lambd, 0, input)


@public
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """y = 0 for |x| ≤ lambd, else x, nearer to 0 by lambd"""
    if lambd < 0:
        raise UsageError(message(here("softshrink"), f"lambd={lambd}", "0 or more"))
    outside = choose(input > lambd, input - lambd, input + lambd)
    return choose(input.abs() <= lambd, 0, outside)


@public
def tanhshrink(input: Tensor) -> Tensor:
    """y = x - tanh x"""
    return input - input.tanh()


@public
def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """y = x for x > threshold, else value"""
    return _returned(input, choose(input <= threshold, value, input), inplace)


@public
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """y = x for x > 0, else weight · x      x: f[N,C,...], weight: f[C], f[1] or f[]

    K. He et al., "Delving Deep into Rectifiers", 2015.
    """
    got = f"input {type_text(input.shape, input.dtype)}, weight f{list(weight.shape)}"
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or weight.numel() not in (1, channels):
        raise ShapeError(message(here("prelu"), got, f"weight f[1] or f[{channels}]"))
    if weight.numel() == 1:
        slope = weight.reshape(())
    else:
        slope = weight.reshape(-1, *(1,) * (input.ndim - 2))
    return choose(input > 0, input, input * slope)


@public
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """y = a σ(b), where a and b are the halves of x along ``dim``"""
    size = input.shape[dim] if input.ndim else 1
    if size % 2:
        got = type_text(input.shape, input.dtype)
        raise ShapeError(message(here("glu"), got, f"an even size of axis {dim}"))
    return input.narrow(dim, 0, size // 2) * input.narrow(dim, size // 2, size // 2).sigmoid()


def _axis(name: str, dim: int | None, ndim: int) -> int:
    if dim is None:
        remedy = "dim=1 for classes in f[N,C]"
        raise UsageError(message(here(name), "no dim", "the axis that sums to 1", remedy=remedy))
    return dim


@public
def softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """y = exp(x) / Σ exp(x) along ``dim``, which must be told

    >>> import chainrule as cr
    >>> softmax(cr.tensor([0.0, 0.0]), dim=0)
    tensor([0.5, 0.5])
    """
    x = input if dtype is None else input.to(dtype)
    return x.softmax(_axis("softmax", dim, x.ndim))


@public
def softmin(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """y = exp(-x) / Σ exp(-x) along ``dim``, which must be told"""
    x = input if dtype is None else input.to(dtype)
    return (-x).softmax(_axis("softmin", dim, x.ndim))


@public
def log_softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """y = x - ln Σ exp(x) along ``dim``, which must be told"""
    x = input if dtype is None else input.to(dtype)
    return x.log_softmax(_axis("log_softmax", dim, x.ndim))


# ---------------------------------------------------------------- layers


class _Activation(Module):
    function: Any = None
    settings: dict[str, Any] = {}  # argument -> default, in the order of the constructor

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        names = list(self.settings)
        unknown = [name for name in kwargs if name not in names]
        if unknown or len(args) > len(names):
            got = f"the arguments {(*args, *kwargs)}"
            needs = f"at most {', '.join(names)}" if names else "none"
            raise UsageError(message(type(self).__name__, got, needs))
        given = dict(zip(names, args, strict=False)) | kwargs
        self.__dict__.update(self.settings | given)

    def forward(self, input: Tensor) -> Tensor:
        """The function of the same name."""
        settings = {name: self.__dict__[name] for name in self.settings}
        return inner(type(self).function)(input, **settings)

    def extra_repr(self) -> str:
        """The arguments; ``inplace`` where it is true."""
        shown = {name: self.__dict__[name] for name in self.settings}
        if not shown.get("inplace", True):
            del shown["inplace"]
        return ", ".join(f"{name}={value!r}" for name, value in shown.items())


class ReLU(_Activation):
    """y = max(x, 0)"""

    function, settings = relu, {"inplace": False}


class ReLU6(_Activation):
    """y = min(max(x, 0), 6)"""

    function, settings = relu6, {"inplace": False}


class LeakyReLU(_Activation):
    """y = x for x > 0, else negative_slope · x"""

    function, settings = leaky_relu, {"negative_slope": 0.01, "inplace": False}


class ELU(_Activation):
    """y = x for x > 0, else alpha (eˣ - 1)"""

    function, settings = elu, {"alpha": 1.0, "inplace": False}


class SELU(_Activation):
    """y = scale x for x > 0, else scale alpha (eˣ - 1)"""

    function, settings = selu, {"inplace": False}


class CELU(_Activation):
    """y = x for x > 0, else alpha (e^(x / alpha) - 1)"""

    function, settings = celu, {"alpha": 1.0, "inplace": False}


class GELU(_Activation):
    """y = x Φ(x), by erf or with approximate="tanh" """

    function, settings = gelu, {"approximate": "none"}


class SiLU(_Activation):
    """y = x σ(x)"""

    function, settings = silu, {"inplace": False}


class Mish(_Activation):
    """y = x tanh(ln(1 + eˣ))"""

    function, settings = mish, {"inplace": False}


class Softsign(_Activation):
    """y = x / (1 + |x|)"""

    function = softsign


class LogSigmoid(_Activation):
    """y = ln σ(x)"""

    function = logsigmoid


class Softplus(_Activation):
    """y = ln(1 + e^(beta x)) / beta"""

    function, settings = softplus, {"beta": 1.0, "threshold": 20.0}


class Sigmoid(_Activation):
    """y = 1 / (1 + e⁻ˣ)"""

    function = sigmoid


class Tanh(_Activation):
    """y = tanh x"""

    function = tanh


class Hardtanh(_Activation):
    """y = x between min_val and max_val, else the nearer one of them"""

    function, settings = hardtanh, {"min_val": -1.0, "max_val": 1.0, "inplace": False}


class Hardsigmoid(_Activation):
    """y = min(max(x / 6 + 1/2, 0), 1)"""

    function, settings = hardsigmoid, {"inplace": False}


class Hardswish(_Activation):
    """y = x · min(max(x / 6 + 1/2, 0), 1)"""

    function, settings = hardswish, {"inplace": False}


class Hardshrink(_Activation):
    """y = 0 for |x| ≤ lambd, else x"""

    function, settings = hardshrink, {"lambd": 0.5}

    def extra_repr(self) -> str:
        """lambd, without its name"""
        return str(self.lambd)


class Softshrink(Hardshrink):
    """y = 0 for |x| ≤ lambd, else x, nearer to 0 by lambd"""

    function = softshrink


class Tanhshrink(_Activation):
    """y = x - tanh x"""

    function = tanhshrink


class Threshold(_Activation):
    """y = x for x > threshold, else value"""

    function, settings = threshold, {"threshold": 0.0, "value": 0.0, "inplace": False}

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(threshold, value, inplace)


class GLU(_Activation):
    """y = a σ(b), where a and b are the halves of x along ``dim``"""

    function, settings = glu, {"dim": -1}


class PReLU(Module):
    """y = x for x > 0, else weight · x      x: f[N,C,...], weight: f[num_parameters], 1 or C

    The slope starts at ``init`` and is learned.
    """

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        kind = number_type(dtype, device)
        self.weight = constant_parameter((num_parameters,), init, kind)

    def forward(self, input: Tensor) -> Tensor:
        """The function of the same name."""
        return inner(prelu)(input, self.weight)

    def extra_repr(self) -> str:
        """num_parameters"""
        return f"num_parameters={self.num_parameters}"


class Softmin(_Activation):
    """y = exp(-x) / Σ exp(-x) along ``dim``, which must be told"""

    function, settings = softmin, {"dim": None}


class Softmax(_Activation):
    """y = exp(x) / Σ exp(x) along ``dim``, which must be told"""

    function, settings = softmax, {"dim": None}


class LogSoftmax(_Activation):
    """y = x - ln Σ exp(x) along ``dim``, which must be told"""

    function, settings = log_softmax, {"dim": None}
