"""A forward pass in shapes alone: which calls a model makes, and what each of them records.

The pass runs on a twin: the same modules with parameters that hold no numbers, in evaluation mode
and without hooks.  So no weight is computed, nothing of the model changes, and no random stream
moves, however large the network is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import random
from chainrule.backprop import ErrorSignals, error_signals
from chainrule.dtypes import DType, float32
from chainrule.errors import UsageError, message
from chainrule.nn.module import Module
from chainrule.nn.parameter import Parameter
from chainrule.ops import leaf
from chainrule.storage import Recorded, Storage, recorder
from chainrule.tensor import Tensor

__all__ = ["Call", "Walk", "quietly", "walk"]

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


def walk(model: Module, input_size: Size | Sequence[Size], batch_size: int | None = 1) -> Walk:
    """Record a forward pass of ``model`` without computing anything.

    input_size: the sizes of one sample, before which ``batch_size`` is put as the batch axis;
    ``batch_size=None``: it has its batch axis already.  For several inputs a list of sizes; an
    example tensor may take a size's place, and is used as it is.
    """
    sizes = _sizes(input_size)
    copies = _Twin(model)
    watch = _Watch(copies.model)
    state = random.get_state()
    try:
        with quietly([watch]):
            inputs = [_input(size, batch_size) for size in sizes]
            result = copies.model(*inputs)
            outputs = [y for y in _tensors(result) if y._node is not None]
    finally:
        random.set_state(state)
    return Walk(copies.model, watch.calls, inputs, outputs)


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


def _sizes(given: Any) -> list[Any]:
    if isinstance(given, int):
        given = (given,)
    several = not isinstance(given, Tensor) and len(given) and not isinstance(given[0], int)
    sizes = list(given) if several else [given]
    for size in sizes:
        if not isinstance(size, Tensor) and not all(isinstance(n, int) and n >= 0 for n in size):
            got, needs = f"input_size={given!r}", "the sizes of one sample, such as (1, 28, 28)"
            raise UsageError(message("summary", got, needs))
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


class _Twin:
    """The same tree of modules with parameters and buffers that hold no numbers."""

    def __init__(self, model: Module) -> None:
        list(model.parameters())  # raises for layers in a plain list
        self.made: dict[int, Any] = {}
        with quietly([]):
            self.model = self.of(model)

    def of(self, module: Module) -> Any:
        if id(module) in self.made:
            return self.made[id(module)]
        copy = self.made[id(module)] = object.__new__(type(module))
        own = {k: v for k, v in module.__dict__.items() if k != "_known_paths"}
        own.update(training=False, _hooks={}, _pre_hooks={}, _backward_hooks={})
        own["_transient"] = set(module._transient)
        own["_parameters"] = {k: self._parameter(p) for k, p in module._parameters.items()}
        own["_buffers"] = {k: self._buffer(b) for k, b in module._buffers.items()}
        own["_modules"] = {
            k: None if child is None else self.of(child) for k, child in module._modules.items()
        }
        copy.__dict__.update(own)
        return copy

    def _parameter(self, source: Any) -> Any:
        if not isinstance(source, Parameter):  # none, or one that is not known before a first call
            return source
        if id(source) not in self.made:
            copy = object.__new__(type(source))
            node = recorder().leaf(leaf.data, _no_numbers(source.shape, source.dtype), source.dtype)
            copy._bind(Storage(node))
            self.made[id(source)] = copy.requires_grad_(source.requires_grad)
        return self.made[id(source)]

    def _buffer(self, source: Tensor | None) -> Tensor | None:
        return None if source is None else empty_tensor(source.shape, source.dtype)


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
        call = self.open.pop()
        call.output = next((y._node for y in _tensors(output)), None)
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
