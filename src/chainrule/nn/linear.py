"""The affine map and what brings its input into shape."""

from __future__ import annotations

from math import prod, sqrt
from typing import Any

from chainrule.dtypes import how_to_cast
from chainrule.errors import DtypeError, ShapeError, message
from chainrule.graph import type_text
from chainrule.nn.calls import here, inner, public
from chainrule.nn.fitting import origin
from chainrule.nn.init import uniform_parameter
from chainrule.nn.module import Module
from chainrule.nn.parameter import number_type
from chainrule.nn.sizes import Sized
from chainrule.ops import elementwise, movement
from chainrule.ops.linear import matmul
from chainrule.storage import recorder
from chainrule.tensor import Tensor
from chainrule.tensor.operands import expand_node

__all__ = ["Bilinear", "Flatten", "Identity", "Linear", "Unflatten", "bilinear", "linear"]


@public
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x Wᵀ + b      x: f[...,I], W: f[O,I], b: f[O] -> y: f[...,O]

    >>> import chainrule as cr
    >>> linear(cr.tensor([[1.0, 2.0]]), cr.tensor([[3.0, 4.0]])).tolist()
    [[11.0]]
    """
    if not input.shape or input.shape[-1] != weight.shape[-1] or input.dtype is not weight.dtype:
        raise _does_not_fit(input, weight)
    record = recorder().record
    turned = record(movement.permute, (weight._node,), {"axes": tuple(range(weight.ndim))[::-1]})
    if input.ndim == 2 and weight.ndim == 2:
        node = record(matmul, (input._node, turned), {})
        if bias is not None:
            node = record(elementwise.add, (node, expand_node(bias._node, node.shape)), {})
        return Tensor._of(node)
    y = input @ Tensor._of(turned)
    return y if bias is None else y + bias


@public
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y_k = aᵀ W_k b + bias_k      a: f[...,I], b: f[...,J], weight: f[K,I,J] -> y: f[...,K]"""
    k, i, j = weight.shape
    if input1.shape[-1:] != (i,) or input2.shape != (*input1.shape[:-1], j):
        types = (type_text(x.shape, x.dtype) for x in (input1, input2))
        raise ShapeError(message(here("bilinear"), " and ".join(types), f"f[...,{i}], f[...,{j}]"))
    rows = input1 @ weight.permute(1, 0, 2).reshape(i, k * j)
    y = (rows.reshape(*input1.shape[:-1], k, j) * input2.unsqueeze(-2)).sum(-1)
    return y if bias is None else y + bias


def _does_not_fit(x: Tensor, w: Tensor) -> ShapeError | DtypeError:
    where = here("linear")
    if x.shape and x.shape[-1] == w.shape[-1]:
        got = f"{type_text(x.shape, x.dtype)} with a {w.dtype.name} weight"
        remedy = how_to_cast(x.dtype) if w.dtype.is_floating_point else ".to(dtype) casts"
        return DtypeError(message(where, got, "one number type", remedy=remedy))
    needed = w.shape[-1]
    got, needs = type_text(x.shape, x.dtype), f"{needed} features"
    why = origin(x._node) or f"weight is {type_text(w.shape, w.dtype)}"
    features, remedy = prod(x.shape[1:]), ""
    if len(x.shape) > 2:
        got, needs = f"{got} with last axis {x.shape[-1]}", f"{needed}: flatten(1) first"
        if features != needed:
            remedy = f"flatten(1) gives {features} features: Linear({features}, {w.shape[0]})"
    elif len(x.shape) == 2 and len(w.shape) == 2:
        remedy = f"Use Linear({x.shape[-1]}, {w.shape[0]}), or an input of {needed} features"
    error = ShapeError(message(where, got, needs, why=why, remedy=remedy))
    error.an_input = f"an input of {needed} features"
    return error


class Linear(Sized):
    """y = x Wᵀ + b      x: f[...,I] -> y: f[...,O] with weight f[O,I], bias f[O]

    Both start in U(-1/√I, 1/√I).  ``in_features=None`` is inferred at the first call.
    Raises ``ShapeError`` unless the last axis of x is I.

    >>> import chainrule as cr
    >>> Linear(3, 2)(cr.ones(5, 3)).shape
    (5, 2)
    """

    def __init__(
        self,
        in_features: int | None,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.out_features, self._with_bias = out_features, bias
        self._dtype = number_type(dtype, device)
        self._make_or_wait(in_features=in_features)

    def _make_parameters(self) -> None:
        shape = (self.out_features, self.in_features)
        bound = 1 / sqrt(max(self.in_features, 1))
        self.register_parameter("weight", uniform_parameter(shape, bound, self._dtype))
        bias = uniform_parameter(shape[:1], bound, self._dtype) if self._with_bias else None
        self.register_parameter("bias", bias)

    def forward(self, input: Tensor) -> Tensor:
        """y = x Wᵀ + b"""
        if self._open:
            if not input.shape:
                got = type_text((), input.dtype)
                raise ShapeError(message(here("Linear"), got, "at least one axis"))
            self._infer(input, in_features=input.shape[-1])
        return inner(linear)(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """in_features, out_features, bias"""
        sizes = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self._has_bias}"


class Bilinear(Module):
    """y_k = aᵀ W_k b + bias_k with weight f[K,I,J], bias f[K]; both start in U(-1/√I, 1/√I)"""

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in1_features, self.in2_features = in1_features, in2_features
        self.out_features = out_features
        kind = number_type(dtype, device)
        shape, bound = (out_features, in1_features, in2_features), 1 / sqrt(max(in1_features, 1))
        self.weight = uniform_parameter(shape, bound, kind)
        made = uniform_parameter((out_features,), bound, kind) if bias else None
        self.register_parameter("bias", made)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """y_k = aᵀ W_k b + bias_k"""
        return inner(bilinear)(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """in1_features, in2_features, out_features, bias"""
        sizes = f"in1_features={self.in1_features}, in2_features={self.in2_features}"
        return f"{sizes}, out_features={self.out_features}, bias={self.bias is not None}"


class Identity(Module):
    """y = x, whatever arguments it was made with."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """y = x"""
        return input


class Flatten(Module):
    """Axes ``start_dim`` … ``end_dim`` as one      x: f[N,C,H,W] -> y: f[N,C·H·W]"""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        """x.flatten(start_dim, end_dim)"""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """start_dim, end_dim"""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """One axis as several      x: f[N,C·H·W] -> y: f[N,C,H,W]"""

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        """x.unflatten(dim, unflattened_size)"""
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """dim, unflattened_size"""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
