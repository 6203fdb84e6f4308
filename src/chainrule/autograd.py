"""``autograd.grad`` and ``autograd.Function``: PyTorch's names for derivatives made by hand.

A ``Function`` with its own forward and backward becomes an op of the graph like any other.
"""

from __future__ import annotations

from typing import Any

from chainrule.anomaly import detect_anomaly, set_detect_anomaly
from chainrule.backprop import grad
from chainrule.creation import cat, zeros_like
from chainrule.dtypes import DType
from chainrule.errors import GradientError, message, not_found
from chainrule.gradcheck import gradcheck
from chainrule.ops import movement
from chainrule.ops.op import Op
from chainrule.recording import enable_grad, inference_mode, no_grad, set_grad_enabled
from chainrule.storage import recorder
from chainrule.tensor import Tensor

__all__ = [
    "Function",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]


def Variable(data: Tensor, requires_grad: bool = False) -> Tensor:  # noqa: N802  PyTorch's name
    """PyTorch's word of old for a tensor: the data themselves."""
    return data.requires_grad_() if requires_grad else data


def backward(tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None) -> None:
    """``t.backward(g)`` of each tensor."""
    several = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    signals = [grad_tensors] if isinstance(grad_tensors, Tensor) else grad_tensors
    signals = [None] * len(several) if signals is None else list(signals)
    for last, (x, signal) in enumerate(zip(several, signals, strict=True), 1):
        x.backward(signal, retain_graph=retain_graph or last < len(several))


class Context:
    """What ``forward`` leaves for ``backward``: saved tensors, and any attribute."""

    def __init__(self) -> None:
        self.saved_tensors: tuple[Tensor, ...] = ()
        self.needs_input_grad: tuple[bool, ...] = ()
        self.is_tensor: tuple[bool, ...] = ()  # of the arguments of forward
        self.without_history: tuple[Tensor, ...] = ()

    def save_for_backward(self, *tensors: Tensor) -> None:
        """Keep tensors for ``backward``, as ``saved_tensors``."""
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """Outputs that no error signal comes back from."""
        self.without_history = outputs


class Custom(Op):
    """y = forward(x…) as its author wrote it      x̄ = backward(ȳ)

    ``result`` is what forward returned; it is the last input, so that the graph shows how it came.
    """

    reads = ""

    def __init__(self, name: str, context: Context, backward: Any) -> None:
        self.name = name  # type: ignore[misc]
        self.context, self.backward = context, backward

    def infer(self, *inputs: Any) -> tuple[tuple[int, ...], DType]:
        return inputs[-1].shape, inputs[-1].dtype

    def reference(self, *inputs: Any) -> Any:
        return inputs[-1]

    def vjp(self, y: Any, y_bar: Any, *inputs: Any) -> tuple[Any, ...]:
        bars = self.backward(self.context, y_bar)
        bars = tuple(bars) if isinstance(bars, tuple | list) else (bars,)
        given = len(self.context.is_tensor)
        if all(bar is None for bar in bars[given:]):  # of arguments that apply() was not given
            bars = bars[:given]
        sources = inputs[:-1]
        tensors = [index for index, is_tensor in enumerate(self.context.is_tensor) if is_tensor]
        if len(bars) != len(self.context.is_tensor):
            raise GradientError(
                message(
                    self.name,
                    f"{len(bars)} error signals from backward",
                    f"one for each of the {len(self.context.is_tensor)} arguments of forward",
                    remedy="Return None for what needs none",
                )
            )
        found = [bars[index] for index in tensors]
        for bar, source in zip(found, sources, strict=True):
            if bar is not None and bar.shape != source.shape:
                got = f"an error signal of shape {list(bar.shape)}"
                raise GradientError(message(self.name, got, f"{list(source.shape)} as its input"))
        return (*found, None)


class Function:
    """An operation with its own forward and backward.

    ``forward(ctx, *args)`` is recorded without history; ``backward(ctx, y_bar)`` returns one error
    signal (or ``None``) for each argument of forward.  If forward returns several tensors, backward
    gets an error signal for each, zeros for those that nobody used.  ``setup_context(ctx, inputs,
    output)`` may take over what forward does with ``ctx``; then it is ``forward(*args)``.

    >>> import chainrule as cr
    >>> class Cube(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...
    ...     @staticmethod
    ...     def backward(ctx, y_bar):
    ...         (x,) = ctx.saved_tensors
    ...         return y_bar * 3 * x**2
    >>> x = cr.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor(12.)
    """

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        """What is computed. To be written by the subclass."""
        raise GradientError(message("Function", "no forward", "a static method forward(ctx, ...)"))

    @staticmethod
    def backward(ctx: Any, *y_bar: Any) -> Any:
        """The error signals of forward's arguments. To be written by the subclass."""
        raise GradientError(
            message("Function", "no backward", "a static method backward(ctx, y_bar)")
        )

    setup_context: Any = None

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call the operation; its results can be differentiated by its own backward."""
        context = Context()
        context.is_tensor = tuple(isinstance(x, Tensor) for x in args)
        context.needs_input_grad = tuple(isinstance(x, Tensor) and x.requires_grad for x in args)
        with no_grad():
            if cls.setup_context is None:
                result = cls.forward(context, *args)
            else:
                result = cls.forward(*args)
                cls.setup_context(context, args, result)
        nodes = tuple(x._node for x in args if isinstance(x, Tensor))
        if isinstance(result, Tensor):
            if any(result is y for y in context.without_history):
                return result.detach()
            op = Custom(cls.__name__, context, cls.backward)
            return Tensor._of(recorder().record(op, (*nodes, result._node), {}))
        if not isinstance(result, (tuple, list)) or not any(isinstance(y, Tensor) for y in result):
            got, needs = f"{type(result).__name__} from forward", "one tensor, or a tuple of them"
            raise GradientError(message(cls.__name__, got, needs))
        return _several(cls, context, nodes, result)


def _several(cls: Any, context: Context, nodes: tuple[Any, ...], results: Any) -> tuple[Any, ...]:
    """Several results: one node holds the numbers of all, so that backward is called once."""
    told = {id(y) for y in context.without_history}
    tracked = [
        place
        for place, y in enumerate(results)
        if isinstance(y, Tensor) and y.is_floating_point() and id(y) not in told
    ]
    parts = [results[place] for place in tracked]
    if not parts or not any(context.needs_input_grad):
        return tuple(y.detach() if isinstance(y, Tensor) else y for y in results)
    sizes = [y.numel() for y in parts]

    def backward(context: Context, together: Tensor) -> Any:
        bars: list[Any] = [zeros_like(y) if isinstance(y, Tensor) else None for y in results]
        for place, y, bar in zip(tracked, parts, together.split(sizes), strict=True):
            bars[place] = bar.reshape(y.shape).to(y.dtype)
        return cls.backward(context, *bars)

    with no_grad():
        together = cat([y.reshape(-1) for y in parts])
    node = recorder().record(Custom(cls.__name__, context, backward), (*nodes, together._node), {})
    outputs = [y.detach() if isinstance(y, Tensor) else y for y in results]
    for place, y, part in zip(tracked, parts, Tensor._of(node).split(sizes), strict=True):
        outputs[place] = movement.reshape(part, shape=y.shape).to(y.dtype)
    return tuple(outputs)


def __getattr__(name: str) -> Any:
    raise not_found("chainrule.autograd", name, __all__)
