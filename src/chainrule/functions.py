"""The methods of ``Tensor`` as functions: ``cr.exp(x)`` is ``x.exp()``.

>>> import chainrule as cr
>>> cr.maximum(cr.tensor([1.0, 5.0]), cr.tensor([3.0, 2.0]))
tensor([3., 5.])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.tensor import Tensor, tensor

__all__ = [
    "abs", "add", "addcdiv", "addcmul", "addmm", "all", "allclose", "amax", "amin", "any",
    "argmax", "argmin", "argsort", "bincount", "bitwise_and", "bitwise_not", "bitwise_or",
    "bitwise_xor", "bmm", "ceil", "chunk", "clamp", "clamp_max", "clamp_min", "clone", "cos",
    "count_nonzero", "cumsum", "detach", "diag", "diagonal", "div", "dot", "eq", "equal", "erf",
    "exp", "expm1", "flatten", "flip", "floor", "floor_divide", "fmod", "gather", "ge", "gt",
    "histc", "index_add", "index_copy", "index_fill", "index_select", "isclose", "isfinite",
    "isinf", "isnan", "le", "lerp", "log", "log1p", "log_softmax", "logical_and", "logical_not",
    "logical_or", "logical_xor", "logsumexp", "lt", "masked_fill", "masked_select", "matmul",
    "max", "maximum", "mean", "median", "min", "minimum", "mm", "movedim", "mul", "mv", "narrow",
    "ne", "neg", "nonzero", "norm", "numel", "outer", "permute", "pow", "prod", "quantile",
    "reciprocal", "relu", "remainder", "repeat_interleave", "reshape", "roll", "round", "rsqrt",
    "scatter", "scatter_add", "sigmoid", "sign", "sin", "softmax", "sort", "split", "sqrt",
    "square", "squeeze", "std", "sub", "sum", "tanh", "tile", "topk", "trace", "transpose",
    "tril", "triu", "trunc", "unbind", "unsqueeze", "var",
]  # fmt: skip


def _function(name: str) -> Callable[..., Any]:
    method = getattr(Tensor, name)

    def function(x: Any, *args: Any, out: Tensor | None = None, **options: Any) -> Any:
        result = method(x if isinstance(x, Tensor) else tensor(x), *args, **options)
        return result if out is None else out.copy_(result)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = method.__doc__
    function.__wrapped__ = method  # type: ignore[attr-defined]  help() shows the method's arguments
    return function


(
    abs, add, addcdiv, addcmul, addmm, all, allclose, amax, amin, any, argmax, argmin, argsort,
    bincount, bitwise_and, bitwise_not, bitwise_or, bitwise_xor, bmm, ceil, chunk, clamp,
    clamp_max, clamp_min, clone, cos, count_nonzero, cumsum, detach, diag, diagonal, div, dot,
    eq, equal, erf, exp, expm1, flatten, flip, floor, floor_divide, fmod, gather, ge, gt, histc,
    index_add, index_copy, index_fill, index_select, isclose, isfinite, isinf, isnan, le, lerp,
    log, log1p, log_softmax, logical_and, logical_not, logical_or, logical_xor, logsumexp, lt,
    masked_fill, masked_select, matmul, max, maximum, mean, median, min, minimum, mm, movedim,
    mul, mv, narrow, ne, neg, nonzero, norm, numel, outer, permute, pow, prod, quantile,
    reciprocal, relu, remainder, repeat_interleave, reshape, roll, round, rsqrt, scatter,
    scatter_add, sigmoid, sign, sin, softmax, sort, split, sqrt, square, squeeze, std, sub, sum,
    tanh, tile, topk, trace, transpose, tril, triu, trunc, unbind, unsqueeze, var,
) = (_function(name) for name in __all__)  # fmt: skip
