"""The learning-rate range test: a short training with a rising rate, which leaves no trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import exp, isfinite, log
from typing import Any

from chainrule import random
from chainrule.errors import UsageError, message
from chainrule.optim.optimizer import counted
from chainrule.recording import no_grad
from chainrule.tensor import Tensor, tensor
from chainrule.train.batches import Batches, checked, pair

__all__ = ["LRRange", "lr_range_test"]

SMOOTHING = 0.9  # of the losses: about ten steps
DIVERGED = 4.0  # times the best loss so far


@dataclass(frozen=True)
class LRRange:
    """What a range test found: ``losses[k]`` was measured before a step at ``learning_rates[k]``.

    ``smoothed`` is the running mean of the losses.  ``suggestion`` is the rate at which it falls
    most steeply along the logarithm of the rate, or None if it never fell.
    """

    learning_rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggestion: float | None


def lr_range_test(
    model: Any,
    loss: Callable[[Tensor, Tensor], Tensor],
    optimizer: Any,
    data: Batches,
    *,
    start: float = 1e-6,
    end: float = 10.0,
    steps: int = 100,
) -> LRRange:
    """Train for ``steps`` batches while the rate grows from ``start`` to ``end`` by equal factors.

    It stops when the loss is no longer finite, or 4 times its best.  Groups of the optimizer keep
    their proportions to the first.  Afterwards weights, buffers, gradients, optimizer, random
    streams and the loader's place are what they were, bit for bit.
    L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", 2017.

    loss: (outputs, targets) -> scalar.  data: batches of (inputs, targets), passed again if they
    are fewer than ``steps``.  Raises UsageError for a range that is none, or data of one pass.

    >>> import chainrule as cr
    >>> from chainrule import nn, optim
    >>> _ = cr.manual_seed(0)
    >>> x = cr.randn(64, 3)
    >>> line = nn.Linear(3, 1)
    >>> batches = [(x, x.sum(1, keepdim=True))]
    >>> found = lr_range_test(line, nn.MSELoss(), optim.SGD(line.parameters()), batches)
    >>> 0.001 < found.suggestion < 1
    True
    """
    if not 0 < start < end < float("inf") or steps < 2:
        got = f"start={start}, end={end}, steps={steps}"
        raise UsageError(message("lr_range_test", got, "0 < start < end, 2 steps or more"))
    batches = _endless(checked(data, 2, None))
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    mean = 0.0
    with _no_trace(model, optimizer, data):
        model.train()
        first = optimizer.param_groups[0]["lr"]
        shares = [group["lr"] / first if first else 1.0 for group in optimizer.param_groups]
        for k in range(steps):
            rate = start * exp(log(end / start) * k / (steps - 1))
            for group, share in zip(optimizer.param_groups, shares, strict=True):
                group["lr"] = rate * share
            inputs, targets = pair(next(batches))
            optimizer.zero_grad()
            value = loss(model(inputs), targets)
            number = float(value.item())
            mean += (number - mean) * (1 - SMOOTHING) / (1 - SMOOTHING ** (k + 1))
            if not isfinite(number) or mean > DIVERGED * min(smoothed, default=mean):
                break
            rates.append(rate)
            losses.append(number)
            smoothed.append(mean)
            value.backward()
            optimizer.step()
    return LRRange(rates, losses, smoothed, _steepest(rates, smoothed))


def _endless(data: Batches) -> Iterator[Any]:
    while True:
        yield from data


def _steepest(rates: list[float], losses: list[float]) -> float | None:
    """The rate where the loss falls fastest: rates are equally far apart on their logarithm."""
    inside = range(1, len(losses) - 1)
    falls = [(losses[k + 1] - losses[k - 1], rates[k]) for k in inside]
    slope, rate = min(falls, default=(0.0, 0.0))
    return rate if slope < 0 else None


@contextmanager
def _no_trace(model: Any, optimizer: Any, data: Any) -> Iterator[None]:
    """Everything that training moves goes back to what it was."""
    listed = [p for group in optimizer.param_groups for p in group["params"]]
    tensors = list({id(t): t for t in (*model.parameters(), *model.buffers(), *listed)}.values())
    values = [t.detach().numpy() for t in tensors]
    gradients = [(t, t._kept_grad) for t in tensors]
    modes = [(module, module.training) for module in model.modules()]
    groups = [dict(group) for group in optimizer.param_groups]
    state = counted(
        {p: {name: _kept(v) for name, v in held.items()} for p, held in optimizer.state.items()}
    )
    streams = random.get_state()
    own = getattr(data, "generator", None)
    own_streams = own and own.get_state()
    place = data.state_dict() if hasattr(data, "state_dict") else None
    try:
        yield
    finally:
        with no_grad():
            for t, value in zip(tensors, values, strict=True):
                t.copy_(tensor(value))
        for t, gradient in gradients:
            t._grad = gradient
        for module, training in modes:
            module.training = training
        for group, options in zip(optimizer.param_groups, groups, strict=True):
            group.clear()
            group.update(options)
        optimizer.state = state
        random.set_state(streams)
        if own is not None:
            own.set_state(own_streams)
        if place is not None:
            data.load_state_dict(place)


def _kept(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
