"""BACK-PROPAGATION: graph -> the same graph with the error signal of every node.

From the loss backwards, in the reverse of recording order (a topological order):

    v̄ = Σ over the readers w of v:  w̄ ∂w/∂v        seed: L̄ = 1

Each reader's addend is what its op's ``vjp`` returns, recorded as nodes of the same graph; more
than one addend meets in a ``fan_in`` node, so that each stays visible.  Nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import ref

from chainrule.errors import GradientError, GraphError, ShapeError, message
from chainrule.graph import type_text
from chainrule.lines import user_line
from chainrule.ops.history import fan_in
from chainrule.storage import Recorded, recorder
from chainrule.tensor import Tensor
from chainrule.vjps import addends

__all__ = ["ErrorSignals", "error_signals", "grad", "history"]


class ErrorSignals:
    """What a backward pass found: for each node its addends and their sum, the error signal."""

    def __init__(self) -> None:
        self.addends: dict[Recorded, list[Tensor]] = {}
        self.total: dict[Recorded, Tensor] = {}
        self.readers: dict[Recorded, list[Recorded]] = {}  # whose addend it is; none for a seed
        self.order: list[Recorded] = []  # as they became complete: from the loss to the leaves
        self.accumulates = False  # whether they are added to the .grad of leaves

    def add(self, node: Recorded, addend: Tensor, reader: Recorded | None = None) -> None:
        """One reader's addend of v̄."""
        if (addend.shape, addend.dtype) != (node.shape, node.dtype):
            got = type_text(addend.shape, addend.dtype)
            raise GraphError(f"[{node.op.name}] got an error signal {got}, needs {node.type}.")
        self.addends.setdefault(node, []).append(addend)
        if reader is not None:
            self.readers.setdefault(node, []).append(reader)

    def complete(self, node: Recorded) -> Tensor | None:
        """All readers have been passed: the sum of the addends."""
        addends = self.addends.get(node)
        if addends is None:
            return None
        total = addends[0] if len(addends) == 1 else fan_in(*addends)
        self.total[node] = total
        self.order.append(node)
        return total


def history(outputs: Sequence[Recorded]) -> list[Recorded]:
    """Every node that error signals pass, the latest first."""
    found = {node for node in outputs if node.needs_grad}
    stack = list(found)
    while stack:
        for _, source in stack.pop().history():
            if source not in found:
                found.add(source)
                stack.append(source)
    return sorted(found, key=lambda node: node.sequence, reverse=True)


def _leading_to(nodes: list[Recorded], targets: set[Recorded]) -> set[Recorded]:
    """The nodes through which the outputs depend on ``targets``."""
    leading = set()
    for node in reversed(nodes):
        if node in targets or any(source in leading for _, source in node.history()):
            leading.add(node)
    return leading


def error_signals(
    seeds: dict[Recorded, Tensor],
    *,
    targets: set[Recorded] | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    at_leaf: Callable[[Recorded, Tensor], None] | None = None,
    quiet: bool = False,
) -> ErrorSignals:
    """Record the error signal of every node between the seeds and the leaves (or ``targets``).

    ``create_graph`` makes the signals differentiable themselves. Unless ``retain_graph``, the
    history is used up when the pass ends, and a second pass raises. ``quiet``: no hook,
    handle or tape hears of it.
    """
    rec = recorder()
    line = user_line() or (history.__code__, 0)
    signals = ErrorSignals()
    signals.accumulates = at_leaf is not None
    mode = {"grad_enabled": create_graph, "line": line, "sending_back": True}
    with rec.undisturbed_work(), rec.setting(**mode):
        nodes = history(list(seeds))
        for node in nodes:
            if node.consumed is not None:
                raise GradientError(_used_up(node, line))
        wanted = set(nodes) if targets is None else _leading_to(nodes, targets)
        for node, seed in seeds.items():
            signals.add(node, seed)
        for node in nodes:
            if node not in wanted:
                continue
            signal = signals.complete(node)
            if signal is None:
                continue
            if node.watchers and not quiet:
                signal = _tell(node, signal)
                signals.total[node] = signal
            if node.leaf is not None:
                if at_leaf is not None:
                    at_leaf(node, signal)
            else:
                _pass_on(node, signal, signals, wanted)
        for tape in () if quiet else rec.taps:
            tape.saw_backward(signals)
        if not (retain_graph or create_graph):
            for node in nodes:
                if node.leaf is None:
                    node.consume(line)
    return signals


def _pass_on(
    node: Recorded,
    signal: Tensor,
    signals: ErrorSignals,
    wanted: set[Recorded],
) -> None:
    """Give each input of ``node`` its addend."""
    passing = [(index, source) for index, source in node.history() if source in wanted]
    if not passing:
        return
    for index, _ in passing:
        for position in node.op.reads_of(index, len(node.inputs)):
            read = node if position < 0 else node.inputs[position]
            if read.leaf is not None and read.leaf.moved():
                raise GradientError(_moved(node, read))
    found = addends(node, signal._node, [index for index, _ in passing])
    for addend, (_, source) in zip(found, passing, strict=True):
        if addend is not None:
            signals.add(source, Tensor._of(addend), node)


def _tell(node: Recorded, signal: Tensor) -> Tensor:
    """Hooks may replace the signal; handles that asked for it get it."""
    for watcher in list(node.watchers or ()):
        if isinstance(watcher, ref):
            handle = watcher()
            if handle is not None:
                _accumulate(handle, signal)
        else:
            replacement = watcher(signal)
            signal = signal if replacement is None else replacement
    return signal


def _accumulate(handle: Tensor, signal: Tensor) -> bool:
    """Add to ``.grad``; True if there was one before."""
    old = handle._grad
    if old is None or old._node.failure is not None:
        handle._grad = Tensor._of(signal._node)
        return False
    if recorder().grad_enabled:
        handle._grad = old + signal
    else:
        old._overwrite(old + signal, "backward")
    return True


def _backward(
    output: Tensor,
    gradient: Tensor | None,
    retain_graph: bool | None,
    create_graph: bool,
    inputs: Sequence[Tensor] | None,
) -> None:
    seed = _seed(output, gradient, "backward")
    added = False

    def at_leaf(node: Recorded, signal: Tensor) -> None:
        nonlocal added
        assert node.leaf is not None
        handle = node.leaf.handle()
        if handle is not None and (chosen is None or node in chosen):
            added |= _accumulate(handle, signal)

    chosen = None if inputs is None else {x._node for x in inputs}
    error_signals(
        {output._node: seed},
        targets=chosen,
        retain_graph=bool(retain_graph),
        create_graph=create_graph,
        at_leaf=at_leaf,
    )
    if added:
        recorder().compute()


def _seed(output: Tensor, gradient: Tensor | None, where: str) -> Tensor:
    label = output._name or f"{output._node.op.name}"
    if not output.requires_grad:
        remedy = "Was it made under no_grad() or from detached values?"
        if not recorder().grad_enabled:
            remedy = "Gradients are off here: leave the no_grad() block"
        raise GradientError(
            message(
                where,
                f"{label}, which has no history",
                "a tensor that requires grad",
                remedy=remedy,
            )
        )
    if gradient is None:
        if output.numel() != 1:
            got = f"{label} of type {type_text(output.shape, output.dtype)}"
            remedy = "Reduce it with sum() or mean(), or pass gradient="
            raise GradientError(message(where, got, "a scalar", remedy=remedy))
        return output.number(1).expand(output.shape) if output.shape else output.number(1)
    if (gradient.shape, gradient.dtype) != (output.shape, output.dtype):
        got = f"gradient {type_text(gradient.shape, gradient.dtype)}"
        raise ShapeError(message(where, got, type_text(output.shape, output.dtype)))
    return gradient


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """∂(Σ outputs)/∂inputs, without touching any ``.grad``; only what leads there is recorded.

    >>> import chainrule as cr
    >>> x = cr.tensor(3.0, requires_grad=True)
    >>> (first,) = grad(x**3, x, create_graph=True)
    >>> first, grad(first, x)
    (tensor(27., op=mul), (tensor(18.),))
    """
    outs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    given = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs or [])
    seeds: dict[Recorded, Tensor] = {}
    for index, output in enumerate(outs):
        seed = _seed(output, given[index] if index < len(given) else None, "grad")
        seeds[output._node] = seeds[output._node] + seed if output._node in seeds else seed
    for x in wanted:
        if not x.requires_grad:
            raise GradientError(
                message("grad", "an input that does not require grad", "requires_grad")
            )
    nodes = [x._node for x in wanted]
    signals = error_signals(
        seeds,
        targets=set(nodes),
        retain_graph=create_graph if retain_graph is None else retain_graph,
        create_graph=create_graph,
    )
    missing = [index for index, node in enumerate(nodes) if node not in signals.total]
    if missing and not allow_unused:
        got = f"input {missing[0]}, which the outputs do not depend on"
        remedy = "allow_unused=True gives None for it"
        raise GradientError(message("grad", got, "an input in their history", remedy=remedy))
    return tuple(signals.total.get(node) for node in nodes)


def _used_up(node: Recorded, line: Any) -> str:
    assert node.consumed is not None
    code, number = node.consumed
    first = f"{code.co_filename.rsplit('/', 1)[-1]}:{number}"
    got = f"a history that the backward at {first} used up ({node.op.name} {node.type})"
    here = f"{line[0].co_filename.rsplit('/', 1)[-1]}:{line[1]}"
    remedy = "Pass retain_graph=True to the first backward, or compute the loss again"
    return message("backward", got, "a fresh one", line=here, remedy=remedy)


def _moved(node: Recorded, read: Recorded) -> str:
    name = read.name or f"a leaf {read.type}"
    got = f"{name}, changed in place since {node.op.name} used it at {node.where}"
    remedy = "Call backward() before the update, or update a copy"
    assert read.leaf is not None
    handle = read.leaf.handle()
    line = "" if handle is None else handle._storage.node.where
    return message("backward", got, "the value of then", line=line, remedy=remedy)


Tensor._send_back = staticmethod(_backward)
