"""A step of a tape as plain values, which a file can hold, and the tape made of them again.

What was recorded live and what was read from a run is opened by the same calls: ``kept_step`` takes
a step apart, ``tape_of`` puts together a ``Tape`` with the same graph, names and numbers.  Of a
large batch the first samples are kept: where a node has samples, its array has these alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from chainrule.dtypes import dtype_of
from chainrule.graph import Node
from chainrule.ops import REGISTRY, leaf
from chainrule.ops.leaf import parameter
from chainrule.ops.op import Elementwise, Op
from chainrule.storage import Hold, recorder
from chainrule.tape.tape import Tape, _Call, _Step
from chainrule.tensor import Tensor

__all__ = ["kept_step", "row_nodes", "sample_nodes", "tape_of"]

ELEMENTS = 1 << 22  # of one array: a larger one is left out
MOVED = "reshape", "permute", "expand"  # numbers of their source, which are put there when read


def foreign(op: str) -> Op:
    """An op that this process does not know: a user's own, or another release's."""

    class Foreign(Op):
        name, why_not = op, "it was read from a file"

    return Foreign()


def kept_step(tape: Tape, count: int = 0, rows: int = 0) -> dict[str, Any]:
    """The latest step of a tape: its graph, calls, values, error signals and their addends.

    Of a batch of ``count`` samples the first ``rows`` are kept; all without these two.  Arrays are
    copies; one of more than 4 million elements is left out.
    """
    step = tape._step
    number = {node: k for k, node in enumerate(step.order)}
    cut = sample_nodes(step.order, count) if rows < count else set()
    kept: dict[str, Any] = {
        "step": step.number,
        "batch": count,
        "rows": min(rows, count),
        "calls": [[call.root, call.path, number[call.twin], call.run] for call in step.calls],
        "losses": [number[node] for node in step.losses],
        "left_out": [],
    }

    def taken(node: Node, array: np.ndarray) -> np.ndarray | None:
        array = array[:rows] if node in cut else array
        if array.size > ELEMENTS:
            kept["left_out"].append(number[node])
            return None
        return np.array(array, order="C")

    def moved(node: Node) -> bool:
        if node.op.name not in MOVED or not node.inputs:  # computed before the step began
            return False
        if node.inputs[0] not in step.holds:
            return False
        return node.op.name == "expand" or (node in cut) == (node.inputs[0] in cut)

    arrays = {
        "values": {
            node: hold.node.result() for node, hold in step.holds.items() if not moved(node)
        },
        "bars": {node: bar._value() for node, bar in step.bars.items()},
    }
    for what, found in arrays.items():
        pairs = {str(number[node]): taken(node, array) for node, array in found.items()}
        kept[what] = {place: array for place, array in pairs.items() if array is not None}
    kept["nodes"] = [
        _described(node, number) | {"samples": node in cut, "moved": moved(node)}
        for node in step.order
    ]
    kept["addends"] = {
        str(number[node]): [taken(node, addend._value()) for addend in addends]
        for node, addends in step.addends.items()
        if len(addends) > 1 and str(number[node]) in kept["bars"]
    }
    kept["left_out"] = sorted(set(kept["left_out"]))
    return kept


def tape_of(kept: Mapping[str, Any]) -> Tape:
    """The tape of a step that was kept."""
    step = _Step(kept["step"])
    step.order = nodes = list(_nodes(kept["nodes"]))
    step.calls = [_Call(root, path, nodes[k], run) for root, path, k, run in kept["calls"]]
    step.losses = [nodes[k] for k in kept["losses"]]
    values = {nodes[int(place)]: np.asarray(array) for place, array in kept["values"].items()}
    for node, described in zip(nodes, kept["nodes"], strict=True):
        if described["moved"] and node.inputs[0] in values:
            shape = [kept["rows"], *node.shape[1:]] if described["samples"] else node.shape
            values[node] = _moved(node, shape, values[node.inputs[0]])
    for node, array in values.items():
        step.holds[node] = Hold(recorder().leaf(leaf.data, array, node.dtype))
    step.bars = {nodes[int(k)]: _tensor(array) for k, array in kept["bars"].items()}
    step.addends = {node: [bar] for node, bar in step.bars.items()}
    for place, addends in kept["addends"].items():
        step.addends[nodes[int(place)]] = [_tensor(addend) for addend in addends]
    tape = Tape()
    tape._step = step
    return tape


def sample_nodes(order: Sequence[Node], count: int) -> set[Node]:
    """The nodes whose axis 0 are the ``count`` samples of a batch.

    Data and random numbers with so many rows begin it, and it goes on as long as an op leaves the
    axis where it is.  What is summed over the batch, such as the means of a batch normalisation,
    has no samples; what is combined with samples one by one, such as a repeated bias, has.  They
    are followed through ``row_nodes``, which are none themselves.
    """
    return _followed(order, count)[0]


def row_nodes(order: Sequence[Node], count: int) -> set[Node]:
    """The nodes of whose rows each sample has equally many, one sample after the other.

    Such are tokens on their way through a matrix product, f32[N,T,D] -> f32[N*T,D].
    """
    return _followed(order, count)[1]


def _followed(order: Sequence[Node], count: int) -> tuple[set[Node], set[Node]]:
    begin = leaf.data, REGISTRY["random_bits"]
    found = {node for node in order if node.op in begin and node.shape[:1] == (count,)}
    several: set[Node] = set()
    for node in order:
        if node.shape[:1] == (count,):
            if _keeps_samples(node, found) or (
                node.op.name == "reshape" and node.inputs[0] in several
            ):
                found.add(node)
        elif count and node.shape and node.shape[0] % count == 0:
            same = {s for s in node.inputs if s in several and s.shape[:1] == node.shape[:1]}
            if _keeps_samples(node, same) or (
                node.op.name == "reshape" and node.inputs[0] in found | several
            ):
                several.add(node)
    for node in reversed(order):
        if node in found and isinstance(node.op, Elementwise):
            found.update(s for s in node.inputs if s.shape == node.shape and s.op is not parameter)
        elif node in found and _repeats_rows(node, count):
            found.add(node.inputs[0])
    return found, several


def _repeats_rows(node: Node, count: int) -> bool:
    """Whether its source has the samples too: a mean of each row, repeated along the row."""
    if node.op.name not in ("expand", "reshape"):
        return False
    source = node.inputs[0]
    same = node.op.name == "reshape" or len(source.shape) == len(node.shape)
    return same and source.shape[:1] == (count,) and source.op is not parameter


def _keeps_samples(node: Node, found: set[Node]) -> bool:
    meta, sources = node.meta, [source for source in node.inputs if source in found]
    if node.op.name == "permute":
        return bool(sources) and meta["axes"][0] == 0
    if node.op.name == "matmul" and len(node.shape) == 2:
        return node.inputs[0] in found  # the rows of the right factor are summed over
    summed = meta.get("axes", meta.get("axis", ()))
    return bool(sources) and 0 not in (summed if isinstance(summed, tuple) else (summed,))


def _moved(node: Node, shape: Sequence[int], source: np.ndarray) -> np.ndarray:
    """The value of a node that moves its source's numbers; ``shape`` has the kept samples alone."""
    if node.op.name == "permute":
        return source.transpose(node.meta["axes"])
    if node.op.name == "reshape":
        return source.reshape(shape)
    # A statistic of each sample, such as a layer's mean, is followed by nobody: it has all samples.
    along = source[: shape[0]] if source.ndim == len(shape) > 0 else source
    return np.broadcast_to(along, tuple(shape))


def _described(node: Node, number: Mapping[Node, int]) -> dict[str, Any]:
    plain = REGISTRY.get(node.op.name) is node.op
    return {
        "op": node.op.name,
        "inputs": [number[source] for source in node.inputs],
        "meta": dict(node.meta) if plain else {name: repr(v) for name, v in node.meta.items()},
        "shape": list(node.shape),
        "dtype": node.dtype.name,
        "name": node.name,
        "scope": node.scope,
        "where": node.where,
    }


def _nodes(described: Iterable[Mapping[str, Any]]) -> Iterator[Node]:
    nodes: list[Node] = []
    for one in described:
        file, _, line = one["where"].rpartition(":")
        node = Node(
            REGISTRY.get(one["op"]) or foreign(one["op"]),
            tuple(nodes[k] for k in one["inputs"]),
            one["meta"],
            tuple(one["shape"]),
            dtype_of(np.dtype(one["dtype"])),
            name=one["name"],
            scope=one["scope"],
            line=(SimpleNamespace(co_filename=file), int(line)) if file else None,
        )
        nodes.append(node)
        yield node


def _tensor(array: Any) -> Tensor:
    array = np.asarray(array)
    return Tensor._of(recorder().leaf(leaf.data, array, dtype_of(array.dtype)))
