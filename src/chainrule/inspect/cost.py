"""What a step costs, in multiply-adds: counted on the graph that is recorded, not estimated.

A multiply-add is one product that is added to a sum, in a matrix product or a convolution; the
zeros that padding adds are counted, elementwise operations are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import exp, prod
from typing import Any
from unicodedata import combining

import numpy as np

from chainrule.backprop import error_signals
from chainrule.dtypes import float64
from chainrule.errors import UsageError, message
from chainrule.graph import Node, topological_order
from chainrule.inspect.walk import Call, Size, Walk, walk
from chainrule.models.mlp import mlp
from chainrule.nn.module import Module
from chainrule.recording import enable_grad
from chainrule.tensor import Tensor, tensor

__all__ = [
    "Cost",
    "LayerCost",
    "cost",
    "growth",
    "jacobian_order",
    "multiply_adds",
    "naive_backward",
    "why_backprop",
]


def multiply_adds(node: Node) -> int:
    """How many multiply-adds a node is: 0 unless it is a matrix product or a convolution.

    >>> import chainrule as cr
    >>> multiply_adds((cr.ones(2, 3) @ cr.ones(3, 4))._node)
    24
    """
    name = node.op.name
    if name == "matmul":
        return prod(node.shape) * node.inputs[0].shape[-1]
    if name == "conv":
        return prod(node.shape) * prod(node.inputs[1].shape[1:])
    if name == "conv_input_grad":
        return prod(node.inputs[0].shape) * prod(node.inputs[1].shape[1:])
    if name == "conv_weight_grad":
        return prod(node.inputs[1].shape) * prod(node.meta["weight_shape"][1:])
    return 0


# ---------------------------------------------------------------- a model


@dataclass
class LayerCost:
    """Multiply-adds of one call: forward, backward, and backward for the error signal of the input.

    ``for_input`` is what the backward costs in addition if the network's input wants its error
    signal x̄.  ``expected`` is weights × places, where a layer has a weight; it equals ``forward``.
    """

    name: str
    kind: str
    forward: int
    backward: int
    for_input: int
    expected: int | None


@dataclass
class Cost:
    """What one sample costs: a row for each layer that multiplies, in the order of the calls."""

    layers: list[LayerCost]

    @property
    def forward(self) -> int:
        """Multiply-adds of the forward pass."""
        return sum(row.forward for row in self.layers)

    @property
    def backward(self) -> int:
        """Multiply-adds of the backward pass of training, which does not ask for x̄."""
        return sum(row.backward for row in self.layers)

    @property
    def backward_with_input(self) -> int:
        """Multiply-adds of a backward pass that ends with the error signal of the input."""
        return self.backward + sum(row.for_input for row in self.layers)

    @property
    def ratio(self) -> float:
        """backward / forward; 0 for a model that multiplies nothing."""
        return self.backward / self.forward if self.forward else 0.0

    @property
    def as_expected(self) -> bool:
        """Whether every count equals weights × places."""
        return all(row.expected in (None, row.forward) for row in self.layers)

    def to_json(self) -> dict[str, Any]:
        """Rows and totals."""
        return {
            "layers": [asdict(row) for row in self.layers],
            "forward": self.forward,
            "backward": self.backward,
            "backward_with_input": self.backward_with_input,
            "ratio": self.ratio,
            "as_expected": self.as_expected,
        }

    def __str__(self) -> str:
        rows: list[Sequence[str]] = [("layer", "forward", "backward", "with x̄")]
        rows += [
            (
                "/".join(filter(None, (row.name, row.kind))),
                f"{row.forward:,}",
                f"{row.backward:,}",
                f"{row.backward + row.for_input:,}",
            )
            for row in self.layers
        ]
        totals = self.forward, self.backward, self.backward_with_input
        rows.append(("total", *(f"{total:,}" for total in totals)))
        ratios = (f"{total / max(self.forward, 1):.3f}" for total in totals[1:])
        rows.append(("times the forward pass", "", *ratios))
        return table(rows)


def cost(
    model: Module, input_size: Size | Sequence[Size] | None = None, batch_size: int | None = 1
) -> Cost:
    """Multiply-adds of one step for each layer: counted on its graph, of which nothing is computed.

    input_size: the sizes of one sample, as in ``Module.summary``.  The loss is not counted.

    >>> from chainrule import models
    >>> counted = cost(models.mlp((2, 2, 2)), (2,))
    >>> counted.forward, counted.backward, counted.backward_with_input
    (8, 12, 16)
    """
    return cost_of(walk(model, input_size, batch_size))


def cost_of(pass_: Walk) -> Cost:
    """The cost of a forward pass that ``walk`` has recorded, and of its backward."""
    backward, for_input = _backward_counts(pass_)
    rows = []
    for call in pass_.calls:
        forward = sum(map(multiply_adds, call.nodes))
        key = id(call)
        if forward or key in backward or key in for_input:
            row = LayerCost(
                call.path,
                call.kind,
                forward,
                backward.get(key, 0),
                for_input.get(key, 0),
                _weights_times_places(call),
            )
            rows.append(row)
    return Cost(rows)


def _backward_counts(pass_: Walk) -> tuple[dict[int, int], dict[int, int]]:
    """Multiply-adds of each call's error signals: those that lead to weights, and the others."""
    owners, signals = pass_.owners(), pass_.backward()
    inputs = {x._node for x in pass_.inputs}
    lead: set[Node] = set()
    for node in sorted(signals.total, key=lambda node: node.sequence):
        if (node.leaf is not None and node not in inputs) or lead.intersection(node.inputs):
            lead.add(node)
    passed = [
        (reader, source, addend._node)
        for source, addends in signals.addends.items()
        for addend, reader in zip(addends, signals.readers.get(source, ()), strict=False)
    ]
    counts: tuple[dict[int, int], dict[int, int]] = ({}, {})
    known: set[Node] = set(owners)
    for reader, source, addend in sorted(passed, key=lambda step: -step[0].sequence):
        spent = sum(map(multiply_adds, _new(addend, known)))
        if spent and reader in owners:
            count = counts[source not in lead]
            key = id(owners[reader])
            count[key] = count.get(key, 0) + spent
    return counts


def _new(addend: Node, known: set[Node]) -> list[Node]:
    """The nodes that one reader's vjp has recorded for one addend; they are known from now on.

    Why not all nodes above it? The vjp of an addition hands ȳ on as it is: others made it.
    """
    found, stack = [], [addend]
    while stack:
        node = stack.pop()
        if node not in known:
            known.add(node)
            found.append(node)
            stack.extend(node.inputs)
    return found


def _weights_times_places(call: Call) -> int | None:
    """Each output of a Linear or a convolution is a sum over one row of the weight."""
    weight = getattr(call.module, "weight", None)
    known = call.kind == "Linear" or call.kind.startswith("Conv")
    if not known or "Transpose" in call.kind or weight is None or call.output is None:
        return None
    return prod(call.output.shape) * prod(weight.shape[1:])


# ---------------------------------------------------------------- why backward


def why_backprop(layers: int = 3) -> dict[str, Any]:
    """Derivatives that forward and backward differentiation form in the net of 2 units a layer.

    The net of the lectures, 2-2-…-2-1 with ``layers`` hidden layers and no biases.  Forward, the
    derivative of every unit by every weight before it is formed, on real numbers; backward, the
    error signals are those of a recorded graph.  Returns

    ``forward`` terms of each layer, of ŷ and of the loss; ``backward`` new terms, the loss's side
    first; ``carried`` what each takes over from the layer before; ``forward_total``,
    ``backward_total``; ``formula`` {"forward": 4(L+1)², "backward": 6L+3}; ``weights``; ``terms``,
    the names of all of them; ``difference``, the largest between both ways' derivatives.

    >>> found = why_backprop(3)
    >>> found["forward"], found["backward"], found["backward_total"]
    ([4, 12, 20, 14, 14], [1, 4, 6, 6, 4], 21)
    """
    if layers < 1:
        raise UsageError(message("why-backprop", f"layers={layers}", "at least 1"))
    rng = np.random.default_rng(0)
    rows = [(2, 2)] * layers + [(1, 2)]
    weights = [rng.uniform(-1, 1, shape) for shape in rows]
    forward, by_weight = _forward_terms(weights)
    with enable_grad():
        backward, signals = _backward_terms(weights)
    new = [len(terms) for terms in backward]
    return {
        "layers": layers,
        "weights": sum(w.size for w in weights),
        "forward": [len(terms) for terms in forward],
        "backward": new,
        "carried": [0, 1, *[2] * layers],
        "forward_total": sum(map(len, forward)),
        "backward_total": sum(new),
        "formula": {"forward": 4 * (layers + 1) ** 2, "backward": 6 * layers + 3},
        "terms": {"forward": forward, "backward": backward},
        "difference": float(max(abs(by_weight[name] - signals[name]) for name in by_weight)),
    }


X, TARGET = (0.5, -1.0), 1.0


def _forward_terms(weights: list[np.ndarray]) -> tuple[list[list[str]], dict[str, float]]:
    """(names of ∂unit/∂w per layer, ∂l/∂w): every unit carries its derivative by every weight."""
    values: list[float] = list(X)
    slopes: list[dict[str, float]] = [{}, {}]  # of each unit, by the name of the weight
    names: list[list[str]] = []
    count = units = 0
    for w in weights:
        last = len(w) == 1
        made = []
        for row in w:
            own = {f"w{count + k + 1}": value for k, value in enumerate(values)}
            count += len(values)
            units += 1
            z = float(np.dot(row, values))
            y, slope = (z, 1.0) if last else _sigmoid(z)
            through = {
                name: sum(
                    weight * before.get(name, 0.0)
                    for weight, before in zip(row, slopes, strict=True)
                )
                for name in dict.fromkeys(name for before in slopes for name in before)
            }
            made.append((y, {name: slope * d for name, d in (own | through).items()}))
        unit = [f"z{units - len(w) + k + 1}" for k in range(len(w))] if not last else ["ŷ"]
        names.append([f"∂{u}/∂{name}" for u, (_, d) in zip(unit, made, strict=True) for name in d])
        values, slopes = [y for y, _ in made], [d for _, d in made]
    by_weight = {name: 2 * (values[0] - TARGET) * d for name, d in slopes[0].items()}
    names.append([f"∂l/∂{name}" for name in by_weight])
    return names, by_weight


def _sigmoid(z: float) -> tuple[float, float]:
    y = 1 / (1 + exp(-z))
    return y, y * (1 - y)


def _backward_terms(weights: list[np.ndarray]) -> tuple[list[list[str]], dict[str, float]]:
    """(names of the error signals per layer, the loss's side first; their values by name)."""
    values: list[Any] = [tensor(x, dtype=float64) for x in X]
    layers: list[list[tuple[str, Tensor]]] = []  # what of each layer gets an error signal
    count = units = 0
    for w in weights:
        last, named, made = len(w) == 1, [], []
        for row in w:
            total: Any = 0
            for weight, value in zip(row, values, strict=True):
                count += 1
                leaf = tensor(float(weight), dtype=float64, requires_grad=True)
                named.append((f"w{count}", leaf))
                total = leaf * value + total
            units += 1
            made.append(total if last else total.sigmoid())
        layers.append(named)
        layers.append([("ŷ" if last else f"z{units - len(w) + k + 1}", y)
                       for k, y in enumerate(made)])  # fmt: skip
        values = made
    loss = (values[0] - TARGET) ** 2
    seed = {loss._node: tensor(1.0, dtype=float64)}
    signals = error_signals(seed, retain_graph=True, quiet=True).total
    found = {
        name: float(signals[value._node]._value())
        for layer in layers
        for name, value in layer
        if value._node in signals
    }
    ordered = [[n for n, _ in layer if n in found] for layer in layers]
    # ŷ, then the weights of each layer with the units that it reads: x wants no error signal.
    steps = [ordered[2 * k] + (ordered[2 * k - 1] if k else []) for k in range(len(weights))]
    steps = [ordered[-1], *reversed(steps)]
    return [[f"∂l/∂{name}" for name in step] for step in steps], found


# ---------------------------------------------------------------- orders and growth


def jacobian_order(n: int = 64, layers: int = 3) -> dict[str, Any]:
    """Multiplications of a row vector times ``layers`` Jacobians of n×n, from both ends.

    Returns ``loss_first`` and ``input_first``, counted on the products that were computed;
    ``formula``, the same by layers·n² and (layers − 1)·n³ + n²; ``ratio``; ``difference``, the
    largest between both results over the largest entry.

    >>> found = jacobian_order(64)
    >>> found["loss_first"], found["input_first"]
    (12288, 528384)
    """
    if n < 1 or layers < 1:
        got = f"n={n}, layers={layers}"
        raise UsageError(message("jacobian-order", got, "at least 1 of each"))
    rng = np.random.default_rng(0)
    row = tensor(rng.normal(size=(1, n)))
    jacobians = [tensor(rng.normal(size=(n, n)) / np.sqrt(n)) for _ in range(layers)]
    from_loss = row
    for jacobian in reversed(jacobians):
        from_loss = from_loss @ jacobian
    product = jacobians[0]
    for jacobian in jacobians[1:]:
        product = jacobian @ product
    from_input = row @ product
    counts = [_spent(result) for result in (from_loss, from_input)]
    a, b = from_loss.numpy(), from_input.numpy()
    return {
        "n": n,
        "layers": layers,
        "loss_first": counts[0],
        "input_first": counts[1],
        "formula": {"loss_first": layers * n**2, "input_first": (layers - 1) * n**3 + n**2},
        "ratio": counts[1] / counts[0],
        "difference": float(np.abs(a - b).max() / np.abs(a).max()),
    }


def _spent(result: Tensor) -> int:
    """Multiply-adds of everything that a tensor is computed by."""
    return sum(map(multiply_adds, topological_order([result._node])))


def naive_backward(layers: int) -> dict[str, int]:
    """Layer operations with one backward for all layers, and with a pass of its own for each.

    Counted on a chain of ``layers`` products: ``backprop`` 2L, ``naive`` (3L² + L)/2, since each
    layer would need a forward pass and a backward pass from the loss to it.

    >>> naive_backward(32)
    {'layers': 32, 'backprop': 64, 'naive': 1552}
    """
    with enable_grad():
        together = _layer_operations(layers, None)
        alone = sum(_layer_operations(layers, layer) for layer in range(layers))
    return {"layers": layers, "backprop": together, "naive": alone}


def _layer_operations(layers: int, target: int | None) -> int:
    """Forward products, and layers that a backward reaches on its way to one weight, or to all."""
    y: Any = tensor(1.0, dtype=float64)
    leaves = [tensor(0.5, dtype=float64, requires_grad=True) for _ in range(layers)]
    outputs = []
    for w in leaves:
        y = w * y
        outputs.append(y._node)
    wanted = None if target is None else {leaves[target]._node}
    seed = {y._node: tensor(1.0, dtype=float64)}
    signals = error_signals(seed, targets=wanted, retain_graph=True, quiet=True)
    return len(outputs) + sum(node in signals.total for node in outputs)


def growth() -> dict[str, Any]:
    """How the cost grows: with layers, with width; and what a backward costs beside a forward.

    ``ratio`` is backward / forward without x̄: 1.9 for ten equal layers, 1.013 where the first
    layer has most of the weights.
    """

    def counted(*sizes: int) -> Cost:
        return cost(mlp(sizes), sizes[:1])

    nets = {
        "100 units, 10 layers": (100,) * 11,
        "100 units, 20 layers": (100,) * 21,
        "200 units, 10 layers": (200,) * 11,
        "784-128-10": (784, 128, 10),
    }
    rows = {}
    for name, sizes in nets.items():
        found = counted(*sizes)
        rows[name] = {
            "forward": found.forward,
            "backward": found.backward,
            "ratio": found.ratio,
            "ratio_with_input": found.backward_with_input / found.forward,
        }
    return {"nets": rows, "naive": [naive_backward(layers) for layers in (4, 8, 16, 32)]}


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns with two spaces between them, the first to the left, numbers to the right."""
    widths = [max(_width(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first + " " * (widths[0] - _width(first))]
        cells += [
            " " * (width - _width(cell)) + cell
            for cell, width in zip(others, widths[1:], strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _width(text: str) -> int:
    return sum(not combining(letter) for letter in text)
