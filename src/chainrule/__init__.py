"""Chainrule: a neural-network framework that you can see through.

PyTorch's names on one explicit graph, on which every value and every error signal has a name.

>>> import chainrule as cr
>>> w = cr.tensor(0.5, requires_grad=True)
>>> loss = (w * 1.5 - 1) ** 2
>>> loss.backward()
>>> w.grad
tensor(-0.75)
"""

from __future__ import annotations

import builtins
import importlib
from typing import Any

from chainrule import autograd, backprop, func, names, nn, optim, step
from chainrule.anomaly import detect_anomaly
from chainrule.creation import (
    arange,
    as_tensor,
    bernoulli,
    cat,
    concatenate,
    empty,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    meshgrid,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    stack,
    where,
    zeros,
    zeros_like,
)
from chainrule.device import Device as device  # noqa: N813
from chainrule.device import get_num_threads, set_num_threads
from chainrule.dtypes import DType, bool_, float32, float64, int32, int64, uint8
from chainrule.errors import (
    ChainruleError,
    CheckpointError,
    DataError,
    DeviceError,
    DivisionError,
    DtypeError,
    FailedError,
    GradientError,
    GraphError,
    IndexRangeError,
    NameNotFoundError,
    NonFiniteError,
    ReadOnlyError,
    ShapeError,
    UsageError,
    not_found,
)
from chainrule.functions import (
    abs,
    add,
    addcdiv,
    addcmul,
    addmm,
    all,
    allclose,
    amax,
    amin,
    any,
    argmax,
    argmin,
    argsort,
    bincount,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    bmm,
    ceil,
    chunk,
    clamp,
    clamp_max,
    clamp_min,
    clone,
    cos,
    count_nonzero,
    cumsum,
    detach,
    diag,
    diagonal,
    div,
    dot,
    eq,
    equal,
    erf,
    exp,
    expm1,
    flatten,
    flip,
    floor,
    floor_divide,
    fmod,
    gather,
    ge,
    gt,
    histc,
    index_add,
    index_copy,
    index_fill,
    index_select,
    isclose,
    isfinite,
    isinf,
    isnan,
    le,
    lerp,
    log,
    log1p,
    log_softmax,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    logsumexp,
    lt,
    masked_fill,
    masked_select,
    matmul,
    max,
    maximum,
    mean,
    median,
    min,
    minimum,
    mm,
    movedim,
    mul,
    mv,
    narrow,
    ne,
    neg,
    nonzero,
    norm,
    numel,
    outer,
    permute,
    pow,
    prod,
    quantile,
    reciprocal,
    relu,
    remainder,
    repeat_interleave,
    reshape,
    roll,
    round,
    rsqrt,
    scatter,
    scatter_add,
    sigmoid,
    sign,
    sin,
    softmax,
    sort,
    split,
    sqrt,
    square,
    squeeze,
    std,
    sub,
    sum,
    tanh,
    tile,
    topk,
    trace,
    transpose,
    tril,
    triu,
    trunc,
    unbind,
    unsqueeze,
    var,
)
from chainrule.gradcheck import gradcheck
from chainrule.graph import Graph
from chainrule.random import (
    Generator,
    get_state,
    initial_seed,
    manual_seed,
    seed,
    set_state,
)
from chainrule.recording import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
    synchronize,
)
from chainrule.step import compile
from chainrule.storage import stats
from chainrule.tape import record
from chainrule.tensor import Tensor, tensor
from chainrule.tensor.contraction import einsum, tensordot

__all__ = [
    "ChainruleError",
    "CheckpointError",
    "DType",
    "DataError",
    "DeviceError",
    "DivisionError",
    "DtypeError",
    "FailedError",
    "Generator",
    "GradientError",
    "Graph",
    "GraphError",
    "IndexRangeError",
    "NameNotFoundError",
    "NonFiniteError",
    "ReadOnlyError",
    "ShapeError",
    "Tensor",
    "UsageError",
    "abs",
    "add",
    "addcdiv",
    "addcmul",
    "addmm",
    "all",
    "allclose",
    "amax",
    "amin",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "as_tensor",
    "autograd",
    "backprop",
    "bernoulli",
    "bincount",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "bmm",
    "bool",
    "bool_",
    "cat",
    "ceil",
    "chunk",
    "clamp",
    "clamp_max",
    "clamp_min",
    "clone",
    "compile",
    "concatenate",
    "cos",
    "count_nonzero",
    "cuda",
    "cumsum",
    "detach",
    "detect_anomaly",
    "device",
    "diag",
    "diagonal",
    "div",
    "dot",
    "double",
    "einsum",
    "empty",
    "enable_grad",
    "eq",
    "equal",
    "erf",
    "exp",
    "expm1",
    "eye",
    "flatten",
    "flip",
    "float",
    "float32",
    "float64",
    "floor",
    "floor_divide",
    "fmod",
    "from_numpy",
    "full",
    "full_like",
    "func",
    "gather",
    "ge",
    "get_num_threads",
    "get_state",
    "gradcheck",
    "graph",
    "gt",
    "histc",
    "index_add",
    "index_copy",
    "index_fill",
    "index_select",
    "inference_mode",
    "initial_seed",
    "int",
    "int32",
    "int64",
    "is_grad_enabled",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "le",
    "lerp",
    "linspace",
    "log",
    "log1p",
    "log_softmax",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logsumexp",
    "long",
    "lt",
    "manual_seed",
    "masked_fill",
    "masked_select",
    "matmul",
    "max",
    "maximum",
    "mean",
    "median",
    "meshgrid",
    "min",
    "minimum",
    "mm",
    "movedim",
    "mul",
    "mv",
    "narrow",
    "ne",
    "neg",
    "nn",
    "no_grad",
    "nonzero",
    "norm",
    "numel",
    "ones",
    "ones_like",
    "optim",
    "outer",
    "permute",
    "pow",
    "prod",
    "quantile",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "reciprocal",
    "record",
    "relu",
    "remainder",
    "repeat_interleave",
    "reshape",
    "roll",
    "round",
    "rsqrt",
    "scatter",
    "scatter_add",
    "seed",
    "set_grad_enabled",
    "set_num_threads",
    "set_state",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "stats",
    "std",
    "step",
    "sub",
    "sum",
    "synchronize",
    "tanh",
    "tensor",
    "tensordot",
    "tile",
    "topk",
    "trace",
    "transpose",
    "tril",
    "triu",
    "trunc",
    "uint8",
    "unbind",
    "unsqueeze",
    "var",
    "where",
    "zeros",
    "zeros_like",
]

__version__ = "0.1.0"

bool = bool_
double, float, int, long = float64, float32, int32, int64


def graph(*outputs: Tensor) -> Graph:
    """The graph that tensors are computed by, as far as it has not been let go.

    >>> print(graph(tensor([1.0, 2.0]).sum()))  # doctest: +ELLIPSIS
    %0  f32[2]  data ...
    """
    from_tensors = {
        output.name or ("y" if len(outputs) == 1 else f"y{index}"): output._node
        for index, output in enumerate(outputs)
    }
    return Graph(from_tensors)


class cuda:  # noqa: N801
    """PyTorch's ``torch.cuda``, as far as it can be without a CUDA backend."""

    manual_seed = manual_seed_all = staticmethod(manual_seed)

    @staticmethod
    def is_available() -> builtins.bool:
        """False: there is no CUDA backend yet."""
        return False

    @staticmethod
    def synchronize() -> None:
        """As ``cr.synchronize()``."""
        synchronize()

    @staticmethod
    def device_count() -> builtins.int:
        """0."""
        return 0

    @staticmethod
    def empty_cache() -> None:
        """Nothing: there is no cache."""


def _summarise(module: nn.Module, *arguments: Any) -> Any:
    """Module.summary: nn/ stands below inspect/, so it is told here where that is."""
    return importlib.import_module("chainrule.inspect.summary").summary(module, *arguments)


def _drawn(graph: Graph) -> str:
    """Graph's picture in a notebook, since graph.py stands below inspect/; "" if there is none."""
    if builtins.any(getattr(node, "consumed", None) for node in graph.outputs.values()):
        return ""  # its backward has let the history go
    layers = importlib.import_module("chainrule.inspect.draw.layers")
    try:
        return layers.draw_layers(graph.nodes, list(graph.outputs.values()), {}).svg
    except UsageError:  # too many boxes; the nodes are listed
        return ""


nn.Module._summarise = _summarise
Graph._drawn = staticmethod(_drawn)

# Loaded when they are first asked for, since they need more than NumPy, or are for few.
_LATER = {
    "data": "chainrule.data",
    "inspect": "chainrule.inspect",
    "models": "chainrule.models",
    "train": "chainrule.train",
    "draw": "chainrule.inspect",
    "explain": "chainrule.inspect",
    "History": "chainrule.train",
    "Trainer": "chainrule.train",
    "load": "chainrule.train",
    "look": "chainrule.studio.look",
    "open_run": "chainrule.train",
    "save": "chainrule.train",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        module = importlib.import_module(_LATER[name])
        return module if _LATER[name] == f"chainrule.{name}" else getattr(module, name)
    if name in names.__all__:
        return getattr(names, name)
    raise not_found("chainrule", name, [*__all__, *_LATER, *names.__all__])
