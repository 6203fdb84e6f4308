"""What a traced function returns and changes: effects that every later call carries out."""

from __future__ import annotations

from typing import Any

from chainrule.errors import UsageError, message
from chainrule.step.nest import take_apart
from chainrule.step.trace import MISSING, Trace
from chainrule.storage import Recorded, Storage
from chainrule.tensor import Tensor
from chainrule.tensor.handle import LET_GO

__all__ = ["Argument", "Effects", "stand_in"]


class Argument(Tensor):
    """What a traced function gets for a tensor: a leaf without a value."""

    __slots__ = ("_begun",)

    _begun: Recorded


def stand_in(trace: Trace, x: Tensor) -> Argument:
    """An argument for a trace, which requires grad if ``x`` does."""
    made = Argument.__new__(Argument)
    foreign = x.requires_grad and not x._leaf
    made._bind(Storage(trace.leaf(x.shape, x.dtype, x._name, foreign)))
    made._begun = made._storage.node
    made._leaf, made._name, made._kept_grad = x._leaf, x._name, x._kept_grad
    return made


class Effects:
    """Read off while the trace still runs. A number in them is the output that it stands for."""

    def __init__(self, trace: Trace, result: Any, arguments: list[Argument], keep: bool) -> None:
        self._trace, self._arguments = trace, arguments
        self.outputs: list[Tensor] = []
        self.nodes: list[Recorded] = []  # of the outputs
        tensors, self.form = take_apart(result, Tensor)
        self.returned = [self._returned(x) for x in tensors]
        self.grads = [
            (self._place(grad.handle), self._grad(grad, keep))
            for grad in trace.grads.values()
            if grad.now is not grad.before or not grad.read_first
        ]
        if any(grad.read_first and grad.before is not None for grad in self._of_arguments()):
            trace.volatile = "the gradient of an argument adds up"
        self.rebound = [
            (kept.handle, kept.storage, self._output(kept.handle))
            for kept in trace.kept.values()
            if kept.handle._storage is not kept.storage
        ]
        self.state: list[tuple[Any, Any, str, int]] = []  # optimizer, parameter, name, output
        self.counts: list[tuple[Any, Any, str, Any]] = []  # and a number, plain or tracked
        for optimizer, before in trace.optimizers.values():
            self._read_state(optimizer, before)
        self.attributes: list[tuple[Any, int]] = []
        for was in trace.attributes.values():
            self._read_attribute(was)
        self.written = [
            (place, self._output(x))
            for place, x in enumerate(arguments)
            if x._storage.node is not x._begun
        ]
        if len({id(x._storage) for x in arguments}) < len(arguments):
            raise UsageError(message("compile", "x.data = … on an argument", "x.copy_(…)"))

    def _output(self, x: Tensor) -> int:
        self.nodes.append(x._node)
        self.outputs.append(x)
        return len(self.nodes) - 1

    def _place(self, x: Tensor) -> Any:
        """An argument's number, or the tensor of outside itself."""
        return next((k for k, argument in enumerate(self._arguments) if x is argument), x)

    def _of_arguments(self) -> list[Any]:
        return [g for g in self._trace.grads.values() if isinstance(self._place(g.handle), int)]

    def _returned(self, x: Tensor) -> tuple[str, Any]:
        place = self._place(x)
        if place is not x:
            return "argument", place
        if x._storage in self._trace.entries:
            return "outside", x
        return "output", self._output(x)

    def _grad(self, grad: Any, keep: bool) -> Any:
        if grad.now is None:
            return None
        return self._output(grad.now) if grad.read_first or keep else LET_GO

    def _read_state(self, optimizer: Any, before: dict[Any, Any]) -> None:
        for p, held in optimizer.state.items():
            was = before.get(p, {})
            for name, value in held.items():
                if value is was.get(name, MISSING):
                    continue
                if isinstance(value, Tensor):
                    self.state.append((optimizer, p, name, self._output(value)))
                else:
                    self.counts.append((optimizer, p, name, value))

    def _read_attribute(self, was: Any) -> None:
        now = was.holder.get(was.name, MISSING)
        if now is was.before:
            return
        if isinstance(now, Tensor):
            self.attributes.append((was, self._output(now)))
        elif now != was.before:
            self._trace.volatile = f"{type(was.module).__name__}.{was.name} is set"
