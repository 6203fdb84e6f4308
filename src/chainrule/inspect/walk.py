"""A forward pass in shapes alone: which calls a model makes, and what each of them records.

The pass runs on a twin: the same modules with parameters that hold no numbers, in evaluation mode
and without hooks.  So no weight is computed, nothing of the model changes, and no random stream
moves, however large the network is.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from copy import copy as copied
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import random
from chainrule.backprop import ErrorSignals, error_signals
from chainrule.dtypes import DType, float32
from chainrule.errors import UsageError, message
from chainrule.nn.module import Module
from chainrule.nn.parameter import Parameter
from chainrule.nn.states import refuse_hidden_modules
from chainrule.ops import leaf
from chainrule.storage import Recorded, Storage, recorder
from chainrule.tensor import Tensor

__all__ = ["Call", "Walk", "evaluate", "quietly", "walk"]

Size = Sequence[int] | Tensor


@dataclass
class Call:
    """One call of a module, or of a function of ``nn.functional``."""

    path: str  # of the module; of a function: that of the caller and its name
    kind: str
    depth: int
    module: Any = None  # of the twin; none for a function
    output: Recorded | None = None  # its first tensor
    nodes: list[Recorded] = field(default_factory=list)  # not those of the calls inside


@dataclass
class Walk:
    """The calls in their order, the twin that made them, its inputs and outputs."""

    model: Module
    calls: list[Call]
    inputs: list[Tensor]
    outputs: list[Tensor]

    def innermost(self) -> list[Call]:
        """The calls that make no calls themselves."""
        following = [call.depth for call in self.calls[1:]]
        return [
            call
            for call, depth in zip(self.calls, [*following, -1], strict=True)
            if depth <= call.depth
        ]

    def owners(self) -> dict[Recorded, Call]:
        """Which call recorded a node."""
        return {node: call for call in self.calls for node in call.nodes}

    def backward(self) -> ErrorSignals:
        """Record the error signals of all values, those of the inputs included."""
        with quietly([]):
            seeds = {y._node: empty_tensor(y.shape, y.dtype) for y in self.outputs}
            return error_signals(
                {node: seed for node, seed in seeds.items() if node.needs_grad},
                retain_graph=True,
                quiet=True,
            )


def walk(
    model: Module, input_size: Size | Sequence[Size] | None, batch_size: int | None = 1
) -> Walk:
    """Record a forward pass of ``model`` without computing anything.

    input_size: the sizes of one sample, before which ``batch_size`` is put as the batch axis;
    ``batch_size=None``: it has its batch axis already.  For several inputs a list of sizes; an
    example tensor may take a size's place, and is used as it is.  ``None``: the model's
    ``input_shape``, or the features of its first layer.
    """
    if input_size is None:
        input_size, batch_size = _own_input(model), 1
    sizes = _sizes(input_size)
    state = random.get_state()
    try:
        # What a forward prints, it prints when it is called.
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            twin = _twin(model)
            if any(module._open for module in twin.modules()):
                with quietly([]), recorder().setting(grad_enabled=False):
                    twin(*(_input(size, batch_size) for size in sizes))
                twin = _twin(twin)  # now that the sizes are known
            watch = _Watch(twin)
            with quietly([watch]):
                inputs = [_input(size, batch_size) for size in sizes]
                outputs = list(_tensors(twin(*inputs)))
    finally:
        random.set_state(state)
    return Walk(twin, watch.calls, inputs, outputs)


@contextmanager
def quietly(taps: list[Any]) -> Iterator[None]:
    """Record apart from everything else: nothing that waits is computed, no tape hears of it."""
    rec = recorder()
    apart = rec.setting(
        taps=taps, grad_enabled=True, scope="", depth=0, line=None, writes=[], _pending=[]
    )
    with rec.undisturbed_work(), apart:
        yield


def empty_tensor(shape: Sequence[int], dtype: DType, requires_grad: bool = False) -> Tensor:
    """A tensor that takes no memory, whatever its shape: one zero, seen everywhere."""
    made = Tensor._of(recorder().leaf(leaf.data, _no_numbers(shape, dtype), dtype))
    return made.requires_grad_() if requires_grad else made


def _no_numbers(shape: Sequence[int], dtype: DType) -> np.ndarray:
    return np.broadcast_to(np.zeros((), dtype.numpy), tuple(shape))


def _own_input(model: Module) -> tuple[int, ...]:
    own = getattr(model, "input_shape", None)
    if own is not None:
        return tuple(own)
    first = next((part for part in model.modules() if part._parameters), None)
    features = getattr(first, "in_features", None)
    if features is None:
        got, needs = "no input_size", "the sizes of one sample"
        remedy = "Such as (1, 28, 28); on the command line --input 1x28x28"
        raise UsageError(message(type(model).__name__, got, needs, remedy=remedy))
    return (features,)


def _sizes(given: Any) -> list[Any]:
    if isinstance(given, int):
        given = (given,)
    several = not isinstance(given, Tensor) and len(given) and not isinstance(given[0], int)
    sizes = list(given) if several else [given]
    for size in sizes:
        if not isinstance(size, Tensor) and not all(isinstance(n, int) and n >= 0 for n in size):
            needs = "the sizes of one sample, such as (1, 28, 28)"
            raise UsageError(message("input_size", repr(given), needs))
    return sizes


def _input(size: Any, batch_size: int | None) -> Tensor:
    if isinstance(size, Tensor):
        return empty_tensor(size.shape, size.dtype, size.dtype.is_floating_point)
    batch = () if batch_size is None else (batch_size,)
    return empty_tensor((*batch, *size), float32, True)


def _tensors(result: Any) -> Iterator[Tensor]:
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, dict):
        yield from _tensors(list(result.values()))
    elif isinstance(result, list | tuple):
        for item in result:
            yield from _tensors(item)


def _twin(model: Module) -> Any:
    """The same tree of modules with parameters and buffers that hold no numbers."""
    refuse_hidden_modules(model, Module)
    with quietly([]):
        return _Copies().of(model)


def evaluate(model: Module, *inputs: Any) -> Any:
    """``model(*inputs)`` in evaluation mode, without hooks; no mode or random stream moves."""
    state = random.get_state()
    try:
        return _Copies(keep=True).of(model)(*inputs)
    finally:
        random.set_state(state)


class _Copies:
    """One copy of each module and parameter, so that what is shared stays shared.

    ``keep``: modules alone are copied.
    """

    def __init__(self, keep: bool = False) -> None:
        self.keep = keep
        self.made: dict[int, Any] = {}

    def of(self, module: Module) -> Any:
        if id(module) in self.made:
            return self.made[id(module)]
        twin = self.made[id(module)] = object.__new__(type(module))
        own = {
            name: copied(value) if type(value) in (dict, list, set) else value
            for name, value in tuple(module.__dict__.items())
            if name != "_known_paths"
        }
        own.update(training=False, _hooks={}, _pre_hooks={}, _backward_hooks={})
        own["_parameters"] = {k: self._parameter(p) for k, p in module._parameters.items()}
        own["_buffers"] = {k: self._buffer(b) for k, b in module._buffers.items()}
        own["_modules"] = {
            k: None if child is None else self.of(child) for k, child in module._modules.items()
        }
        twin.__dict__.update(own)
        return twin

    def _parameter(self, source: Any) -> Any:
        if self.keep or not isinstance(
            source, Parameter
        ):  # none, or one that is not known before a first call
            return source
        if id(source) not in self.made:
            copy = object.__new__(type(source))
            node = recorder().leaf(leaf.data, _no_numbers(source.shape, source.dtype), source.dtype)
            copy._bind(Storage(node))
            self.made[id(source)] = copy.requires_grad_(source.requires_grad)
        return self.made[id(source)]

    def _buffer(self, source: Tensor | None) -> Tensor | None:
        return source if self.keep or source is None else empty_tensor(source.shape, source.dtype)


class _Watch:
    """A tape that writes down calls."""

    def __init__(self, model: Module) -> None:
        self.calls: list[Call] = []
        self.open: list[Call] = []
        self.ended = False  # a module's call has just ended: what is seen next is not a function
        self.paths = {id(module): path for path, module in model.named_modules()}
        for module in model.modules():
            module.register_forward_pre_hook(self.enter)
            module.register_forward_hook(self.leave)

    def enter(self, module: Module, args: Any) -> None:
        call = Call(self.paths[id(module)], type(module).__name__, len(self.open), module)
        self.calls.append(call)
        self.open.append(call)

    def leave(self, module: Module, args: Any, output: Any) -> None:
        nodes = [y._node for y in _tensors(output)]  # a view's is recorded here: it is the call's
        call = self.open.pop()
        call.output = next(iter(nodes), None)
        self.ended = True

    def saw(self, node: Recorded) -> None:
        if self.open:
            self.open[-1].nodes.append(node)

    def saw_call(self, path: str, result: Any) -> None:
        if self.ended:
            self.ended = False
            return
        caller = self.open[-1] if self.open else None
        if caller is None or type(caller.module).__module__.startswith("chainrule.nn."):
            return  # a layer's own insides
        name = path.rpartition("/")[2]
        inside = f"{recorder().scope}/{name}" if recorder().scope else name
        own = [n for n in caller.nodes if n.scope == inside or n.scope.startswith(f"{inside}/")]
        output = next((y._node for y in _tensors(result)), None)
        path = f"{caller.path}.{name}" if caller.path else name
        self.calls.append(Call(path, name, len(self.open), None, output, own))
        taken = set(own)
        caller.nodes = [node for node in caller.nodes if node not in taken]
