"""Softmax and cross-entropy as people write them, though the graph is made of smaller steps.

A composite is shown only where it is true: its formula for the error signal is computed from the
recorded values and compared with what the recorded nodes give; where they differ (class weights,
label smoothing), the steps themselves are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.inspect.formulas import SUBSCRIPT
from chainrule.inspect.recorded import RecordedLoss

__all__ = ["Composite", "composites", "inner_addend"]

WITHIN = {4: 1e-4, 8: 1e-9}  # relative, by the bytes of a number


@dataclass(frozen=True, eq=False)
class Composite:
    """``end`` is computed from ``source``, and a target, through ``inner`` nodes alone.

    ``forward(x, t)`` is its formula, ``backward(x, t, y, y_bar)`` that of x̄, both made of texts.
    """

    name: str
    end: Any
    source: Any
    inner: frozenset[Any]
    target: Any
    forward: Callable[[str, str], str]
    backward: Callable[[str, str, str, str], str]


def composites(recorded: RecordedLoss) -> list[Composite]:
    """Those of a graph whose formulas hold, the larger ones first."""
    found: list[Composite] = []
    taken: set[Any] = set()
    for candidate in (*_losses(recorded), *_softmaxes(recorded)):
        if not taken & {*candidate.inner, candidate.end}:
            found.append(candidate)
            taken |= {*candidate.inner, candidate.end}
    return found


def inner_addend(recorded: RecordedLoss, source: Any, inside: frozenset[Any]) -> np.ndarray | None:
    """What the nodes of a composite add to the error signal of its source, as recorded."""
    signals = recorded.signals
    readers = signals.readers.get(source, [])
    parts = [
        addend._value()
        for addend, reader in zip(signals.addends.get(source, []), readers, strict=False)
        if reader in inside
    ]
    return sum(parts[1:], parts[0]) if parts else None


def _holds(recorded: RecordedLoss, source: Any, inside: frozenset[Any], wanted: np.ndarray) -> bool:
    """Whether a formula gives what was recorded."""
    found = inner_addend(recorded, source, inside)
    if found is None or found.shape != wanted.shape:
        return False
    least = np.abs(found).max(initial=0) * WITHIN[found.dtype.itemsize]
    return bool(np.all(np.abs(found - wanted) <= least))


# ---------------------------------------------------------------- softmax and its logarithm


def _softmaxes(recorded: RecordedLoss) -> Iterator[Composite]:
    """exp(log_softmax(x)), and log_softmax(x) that is read as it is."""
    for node in recorded.order:
        if node.op.name != "log_softmax":
            continue
        readers = recorded.readers[node]
        if len(readers) == 1 and readers[0].op.name == "exp":
            yield from _softmax(recorded, readers[0], node)
        else:
            yield from _softmax(recorded, node, node)


def _softmax(recorded: RecordedLoss, end: Any, node: Any) -> Iterator[Composite]:
    """``end`` is the node log_softmax(x), or exp of it."""
    (x,), axis = recorded.inputs[node], node.meta["axis"]
    total = "" if len(x.shape) == 1 else str(axis).translate(SUBSCRIPT)
    logarithm = end is node
    inner = frozenset({node} - {end})
    bar, y = recorded.bar(end), recorded.value(end)
    if bar is not None:
        if logarithm:
            wanted = bar - np.exp(y) * bar.sum(axis, keepdims=True)
        else:
            wanted = y * (bar - (bar * y).sum(axis, keepdims=True))
        if not _holds(recorded, x, inner | {end}, wanted):
            return
    if logarithm:
        yield Composite(
            "log_softmax", end, x, inner, None,
            lambda x, t: f"ln softmax({x})",
            lambda x, t, y, bar: f"{bar} − exp({y}) ∘ Σ{total}{_apart(bar)}",
        )  # fmt: skip
    else:
        yield Composite(
            "softmax", end, x, inner, None,
            lambda x, t: f"softmax({x})",
            lambda x, t, y, bar: f"{y} ∘ ({bar} − Σ{total}({bar} ∘ {y}))",
        )  # fmt: skip


def _apart(text: str) -> str:
    return f" {text}" if text[:1] not in "([" else text


# ---------------------------------------------------------------- losses, found by their scope


def _losses(recorded: RecordedLoss) -> Iterator[Composite]:
    for node in recorded.order:
        scope = node.scope.rpartition("/")[2]
        if scope not in LOSSES or not recorded.inputs[node]:
            continue
        if any(reader.scope == node.scope for reader in recorded.readers[node]):
            continue
        inner, outside = _within(recorded, node)
        sources = [part for part in outside if part.needs_grad]
        targets = [part for part in outside if not part.needs_grad]
        if len(sources) == 1 and len(targets) == 1:
            yield from LOSSES[scope](recorded, node, sources[0], targets[0], inner)


def _within(recorded: RecordedLoss, end: Any) -> tuple[frozenset[Any], list[Any]]:
    """The nodes of a call that lead to its result, and what they read from outside."""
    inner: set[Any] = set()
    outside: dict[Any, None] = {}
    stack = [end]
    while stack:
        for part in recorded.inputs[stack.pop()]:
            here = part.scope == end.scope and (recorded.inputs[part] or part.op.name == "number")
            if not here:
                outside[part] = None
            elif part not in inner:
                inner.add(part)
                stack.append(part)
    return frozenset(inner), list(outside)


def _cross_entropy(
    recorded: RecordedLoss, end: Any, x: Any, target: Any, inner: frozenset[Any]
) -> Iterator[Composite]:
    """x̄ = L̄ (softmax(x) − onehot(t)), a mean over the samples divided by their number."""
    logits, labels, bar = recorded.value(x), recorded.value(target), recorded.bar(end)
    if bar is None or end.shape or labels.dtype.kind != "i" or logits.ndim > 2:
        return
    y = np.exp(logits - logits.max(-1, keepdims=True))
    y = y / y.sum(-1, keepdims=True)
    away = (y - (np.arange(y.shape[-1]) == labels[..., None])) * bar
    divisor = _divisor(recorded, x, inner | {end}, away, labels.size)
    word = _over(divisor, labels.size)
    if divisor:
        yield Composite(
            "cross_entropy", end, x, inner, target,
            lambda x, t: f"{word}(−ln softmax({x})[{t}])" if word else f"−ln softmax({x})[{t}]",
            lambda x, t, y, bar: f"{bar}(softmax({x}) − onehot({t}))"
            + (f"/{divisor}" if divisor > 1 else ""),
        )  # fmt: skip


def _with_logits(
    recorded: RecordedLoss, end: Any, x: Any, target: Any, inner: frozenset[Any]
) -> Iterator[Composite]:
    """x̄ = L̄ (σ(x) − t), a mean divided by the number of numbers."""
    logits, wanted, bar = recorded.value(x), recorded.value(target), recorded.bar(end)
    if bar is None or end.shape:
        return
    away = (1 / (1 + np.exp(-logits)) - wanted) * bar
    divisor = _divisor(recorded, x, inner | {end}, away, logits.size)
    word = _over(divisor, logits.size)
    if divisor:
        yield Composite(
            "binary_cross_entropy", end, x, inner, target,
            lambda x, t: f"{word}(−{t}·ln σ({x}) − (1 − {t})·ln(1 − σ({x})))",
            lambda x, t, y, bar: f"{bar}(σ({x}) − {t})" + (f"/{divisor}" if divisor > 1 else ""),
        )  # fmt: skip


def _divisor(
    recorded: RecordedLoss, x: Any, inside: frozenset[Any], away: np.ndarray, count: int
) -> int:
    """What a loss was divided by, its count or 1, so that the formula holds; 0 if it does not."""
    fits = (n for n in (count, 1) if _holds(recorded, x, inside, away / n))
    return next(fits, 0)


def _over(divisor: int, count: int) -> str:
    """What is done with several samples."""
    return "mean" if divisor > 1 else "Σ" if count > 1 else ""


LOSSES = {
    "cross_entropy": _cross_entropy,
    "CrossEntropyLoss": _cross_entropy,
    "binary_cross_entropy_with_logits": _with_logits,
    "BCEWithLogitsLoss": _with_logits,
}
