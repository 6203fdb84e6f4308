"""Figures of every step's health, computed by the step itself: one more output of its program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from chainrule.creation import stack
from chainrule.recording import no_grad
from chainrule.storage import recorder
from chainrule.tensor import Tensor

__all__ = ["Statistics"]

SAMPLES = 16  # of the batch, whose activations are looked at
SATURATED = {"tanh": 0.99, "sigmoid": 0.49}  # so far from the middle of its range


class Statistics:
    """For each parameter the rms of its value, gradient and last change, for each layer's output
    the rms, and of a ReLU the share of dead units, of a tanh or sigmoid that of saturated values.

    A unit is dead that is 0 for the first 16 samples of the batch.  ``names`` has what each number
    of a row is: ("conv1.weight", "gradient"), ("relu", "dead").
    """

    def __init__(self, model: Any) -> None:
        self.model, self.names = model, list[tuple[str, str]]()

    def of(self, step: Callable[[], Any]) -> tuple[Any, Tensor | None]:
        """What a step returns, and its row of numbers; ``None`` if there are none."""
        named = list(self.model.named_parameters())
        before = [Tensor._of(p._node) for _, p in named]
        with _outputs() as outputs:
            result = step()
        with no_grad():
            found = dict(_of_parameters(named, before))
            for path, y in outputs.items():
                found |= {(path, what): number for what, number in _of_output(y)}
            self.names = list(found)
            return result, stack(list(found.values())) if found else None


def _of_parameters(
    named: Sequence[tuple[str, Tensor]], before: Sequence[Tensor]
) -> Iterator[tuple[tuple[str, str], Tensor]]:
    for (name, p), old in zip(named, before, strict=True):
        now = Tensor._of(p._node)
        yield (name, "value"), _rms(now)
        if p._grad is not None:
            yield (name, "gradient"), _rms(Tensor._of(p._grad._node))
        yield (name, "change"), _rms(now - old)


def _of_output(y: Tensor) -> Iterator[tuple[str, Tensor]]:
    op = y._node.op.name
    seen = y.detach()[:SAMPLES]
    yield "rms", _rms(seen)
    if op == "relu" and y.ndim > 1:
        others = [axis for axis in range(y.ndim) if axis != 1]
        yield "dead", seen.sum(others).eq(0).float().mean()  # none is below 0
    elif op in SATURATED:
        middle = seen if op == "tanh" else seen - 0.5
        yield "saturated", middle.abs().gt(SATURATED[op]).float().mean()


def _rms(x: Tensor) -> Tensor:
    return (x * x).mean().sqrt().float()


class _Outputs(dict[str, Tensor]):
    """A tap that keeps the first output of each layer and function, by path."""

    def saw_call(self, path: str, output: Any) -> None:
        if not isinstance(output, Tensor) or not output.ndim or path[:1].isupper():
            return  # the loss, and the model itself, are no layers
        if output.is_floating_point():
            self.setdefault(path, output)

    def saw(self, node: Any) -> None: ...
    def saw_name(self, node: Any) -> None: ...
    def saw_backward(self, signals: Any) -> None: ...
    def saw_step(self) -> None: ...


@contextmanager
def _outputs() -> Iterator[_Outputs]:
    taps, found = recorder().taps, _Outputs()
    taps.append(found)
    try:
        yield found
    finally:
        taps[:] = [tap for tap in taps if tap is not found]
