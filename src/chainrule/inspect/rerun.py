"""A recorded step, run again with one thing changed.

The very nodes of the record are computed again by the framework that computed them: its ops, its
derivatives, its backend.  Without a change every value and every error signal has the recorded
bits.  What can be changed: numbers of leaves (``Write``), maps of a node that are forced to 0 while
the program runs on (``Off``), and what the backward begins with (``Seed``).

A node keeps its number.  A map that is off is one more op behind the node, which takes its place:

    before   k: y = conv(x, w)
    after    k: y = put(p, y[:, m] = 0)     n: p = conv(x, w)     n + 1 …: the 0, and where it goes

with n, n + 1, … after all numbers of the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from chainrule.backprop import error_signals
from chainrule.dtypes import dtype_of, int64
from chainrule.errors import GradientError, IndexRangeError, UsageError, message
from chainrule.graph import Node, topological_order
from chainrule.ops import REGISTRY, leaf
from chainrule.ops.movement import expand, put, reshape
from chainrule.recording import enable_grad
from chainrule.storage import Hold, Recorded, recorder
from chainrule.tape import Tape, sample_nodes
from chainrule.tape.tape import _Call, _Step
from chainrule.tensor import Tensor

__all__ = ["NOTHING", "Off", "Seed", "Write", "may_rerun", "rerun"]

Index = tuple[int, ...]


class Write(NamedTuple):
    """Numbers that a leaf has instead of its own: ``leaf[place] = numbers``."""

    node: int
    place: Index  # of an element, or of a row: the first axes
    numbers: np.ndarray


class Off(NamedTuple):
    """A part of a node that is forced to 0: ``y[:, *place] = 0``, for all samples."""

    node: int
    place: Index


class Seed(NamedTuple):
    """What the backward begins with instead of 1 at the recorded loss; ``NOTHING``: no backward.

    With an ``index`` 1 at this element of ``node``.  Without, the loss of one ``sample`` alone: 1
    at the loss (``batch`` where it is a mean over the samples), and of what the loss sums over the
    samples only this sample's row is passed back.
    """

    node: int | None = None
    index: Index = ()
    sample: int = 0


NOTHING = Seed(-1)


def rerun(
    tape: Tape,
    writes: Sequence[Write] = (),
    offs: Sequence[Off] = (),
    seed: Seed | None = None,
    batch: int = 0,
) -> Tape:
    """The latest step of a tape computed again, with these changes; a tape of it.

    Float data of the ``batch`` samples get error signals too, whether they had them or not.  Raises
    UsageError for a step that can't be run again, IndexRangeError for a place outside, and whatever
    the ops say of numbers that they don't take (a label out of range).

    >>> import chainrule as cr
    >>> w = cr.tensor([2.0, 3.0], requires_grad=True)
    >>> with cr.record() as tape:
    ...     y = w * 5.0
    ...     y.name = "y"
    ...     y.sum().backward()
    >>> at = tape._step.order.index
    >>> again = rerun(
    ...     tape,
    ...     [Write(at(y_of.inputs[0]), (1,), np.float32(-1))] if (y_of := tape["y"].node) else [],
    ... )
    >>> again["y"].value, again.graph.leaves[0].op.name
    (tensor([10., -5.]), 'parameter')
    """
    old = tape._step
    why = may_rerun(tape)
    if why:
        raise UsageError(
            message("rerun", f"step {old.number}", "one that can be run again", why=why)
        )
    program = _Program(old, writes, offs, batch)
    program.forward()
    if seed == NOTHING:
        program.step.losses = []
    elif seed is not None:
        program.backward(program.seeds(seed))
    elif old.losses:
        loss = program.numbered[old.order.index(old.losses[0])]
        program.backward({loss: np.ones(loss.shape, loss.dtype.numpy)})
    found = Tape()
    found._step = program.step
    return found


def may_rerun(tape: Tape) -> str:
    """Why a step can't be run again; "" if it can.

    Each leaf must have been kept whole, each op be known here, and one backward have passed it.
    """
    step = tape._step
    for node in step.order:
        if REGISTRY.get(node.op.name) is not node.op:
            return f"{node.op.name} is an op of the program's own, which the record does not hold"
        if not node.inputs:
            hold = step.holds.get(node)
            if hold is None:
                name = node.name or f"{node.op.name} {node.type}"
                return f"{name} was not kept: it is too large, or not among the nodes= asked for"
            if hold.node.result().shape != node.shape:
                kept, all_ = hold.node.result().shape[0], node.shape[0]
                why = f"{kept} of its {all_} samples were kept, and the program needs all"
                return f"{why}. A probe is kept whole"
    if len(step.losses) > 1:
        return f"{len(step.losses)} backward passes have met in it, one after the other"
    return ""


@dataclass
class _Program:
    """The nodes of a step, to be computed again."""

    old: _Step
    writes: Sequence[Write]
    offs: Sequence[Off]
    batch: int
    numbered: list[Node] = field(default_factory=list)
    hidden: list[Node] = field(default_factory=list)
    values: dict[Node, np.ndarray] = field(default_factory=dict)  # of leaves
    made: dict[Node, Recorded] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._take_nodes()
        self._take_values()
        self.order = topological_order([*self.numbered, *self.hidden])
        self.samples = sample_nodes(self.order, self.batch) if self.batch else set()
        self.step = step = _Step(self.old.number)
        number = {node: k for k, node in enumerate(self.old.order)}
        step.order = [*self.numbered, *self.hidden]
        step.calls = [
            _Call(root, path, self.numbered[number[node]], run)
            for root, path, node, run in self.old.calls
        ]
        step.losses = [self.numbered[number[node]] for node in self.old.losses]

    # ------------------------------------------------------------ the graph

    def _take_nodes(self) -> None:
        """The recorded nodes, and behind those that are partly off the ops that make it so."""
        if not self.offs:
            self.numbered = list(self.old.order)
            return
        twins: dict[Node, Node] = {}
        for k, node in enumerate(self.old.order):
            twin = _copy(node, tuple(twins[source] for source in node.inputs))
            for off in self.offs:
                if off.node == k:
                    self.hidden.append(twin)
                    twin = self._off(twin, off.place)
            twins[node] = twin
            self.numbered.append(twin)

    def _off(self, node: Node, place: Index) -> Node:
        """put(node, 0) at [:, *place]."""
        shape = node.shape
        if not node.inputs or not node.dtype.is_floating_point:
            needs = "a number that the program computes"
            raise UsageError(message("off", f"{node.op.name} {node.type}", needs))
        if (
            not place
            or len(place) >= len(shape)
            or any(not 0 <= i < size for i, size in zip(place, shape[1:], strict=False))
        ):
            needs = f"a place in {list(shape[1:])}, the axes after the samples'"
            raise IndexRangeError(message("off", f"[:, {str(list(place))[1:-1]}]", needs))
        cut = (shape[0], *[1] * len(place), *shape[1 + len(place) :])
        zero = self._leaf(np.zeros((), node.dtype.numpy), node)
        ones = _made(reshape, (zero,), {"shape": (1,) * len(cut)}, node)
        window = _made(expand, (ones,), {"shape": cut}, node)
        starts = [self._leaf(np.array(i, np.int64), node) for i in place]
        meta = {"axes": tuple(range(1, 1 + len(place))), "steps": (1,) * len(place)}
        self.hidden += [zero, ones, window, *starts]
        return _made(put, (node, window, *starts), meta, node)

    def _leaf(self, value: np.ndarray, near: Node) -> Node:
        dtype = near.dtype if value.dtype == near.dtype.numpy else int64
        found = Node(leaf.number, (), {}, (), dtype, scope=near.scope, line=near.line)
        self.values[found] = value
        return found

    # ------------------------------------------------------------ its leaves

    def _take_values(self) -> None:
        for old, node in zip(self.old.order, self.numbered, strict=True):
            if not node.inputs:
                self.values[node] = self.old.holds[old].node.result()
        written: set[Node] = set()
        for number, place, numbers in self.writes:
            node = self.numbered[number]
            if node.inputs or node.op is leaf.number:
                got = f"a write to node {number}, {node.op.name} {node.type}"
                needs = "data or a parameter: what the program reads from outside"
                raise UsageError(message("rerun", got, needs))
            if len(place) > len(node.shape) or any(
                not 0 <= i < size for i, size in zip(place, node.shape, strict=False)
            ):
                got = f"place {place} of {node.type}"
                raise IndexRangeError(message("rerun", got, "one within it"))
            if node not in written:
                written.add(node)
                self.values[node] = np.array(self.values[node], order="C")
            self.values[node][place] = numbers

    # ------------------------------------------------------------ running

    def forward(self) -> None:
        """Compute every value."""
        rec = recorder()
        with enable_grad(), rec.setting(taps=[], scope="", line=None):
            for node in self.order:
                rec.scope, rec.line = node.scope, node.line or rec.line
                if node.inputs:
                    sources = tuple(self.made[source] for source in node.inputs)
                    self.made[node] = rec.record(node.op, sources, node.meta)
                else:
                    self.made[node] = self._begun(node)
                self.step.holds[node] = Hold(self.made[node])
        rec.compute()

    def _begun(self, node: Node) -> Recorded:
        """A leaf; error signals pass to parameters and to data of samples."""
        made = recorder().leaf(node.op, self.values[node], node.dtype)
        wanted = node.op is leaf.parameter or (node.op is leaf.data and node in self.samples)
        made.needs_grad = wanted and node.dtype.is_floating_point
        return made

    def seeds(self, seed: Seed) -> dict[Node, np.ndarray]:
        """Where the backward begins, and with what."""
        if seed.node is None:
            return self._own_loss(seed.sample)
        node = self.step.order[seed.node]
        if not self.made[node].needs_grad:
            got, needs = (
                f"{node.op.name} {node.type}",
                "one that depends on a parameter or the input",
            )
            raise GradientError(message("seed", got, needs))
        fits = len(seed.index) == len(node.shape) and all(
            0 <= i < size for i, size in zip(seed.index, node.shape, strict=True)
        )
        if not fits:
            got, needs = (
                f"index {seed.index} of {node.type}",
                f"{len(node.shape)} numbers within it",
            )
            raise IndexRangeError(message("seed", got, needs))
        one = np.zeros(node.shape, node.dtype.numpy)
        one[seed.index] = 1
        return {node: one}

    def _own_loss(self, sample: int) -> dict[Node, np.ndarray]:
        """The loss of one sample: its rows of what is summed over the samples."""
        if not self.step.losses:
            raise UsageError(message("seed", "a step without a loss", "an element, or a score"))
        loss = self.step.losses[0]
        tail = _tail(loss, self.samples)
        ends = list(dict.fromkeys(s for node in tail for s in node.inputs if s in self.samples))
        ends = [node for node in ends if self.made[node].needs_grad]
        if not ends or not 0 <= sample < self.batch:
            got = f"the loss of sample {sample}"
            needs = f"0 to {self.batch - 1}, of a loss that is summed over samples"
            raise UsageError(message("seed", got, needs))
        mean = any(node.op.name == "div" for node in tail)
        begin = np.full(loss.shape, self.batch if mean else 1, loss.dtype.numpy)
        signals = error_signals(
            {self.made[loss]: _tensor(begin)},
            targets={self.made[node] for node in ends},
            retain_graph=True,
            quiet=True,
        )
        found = {}
        for node in ends:
            whole = signals.total.get(self.made[node])
            if whole is not None:  # an op such as a comparison passes nothing back
                found[node] = np.zeros(node.shape, node.dtype.numpy)
                found[node][sample] = whole.numpy()[sample]
        return found

    def backward(self, seeds: Mapping[Node, np.ndarray]) -> None:
        """Compute every error signal."""
        step, node_of = self.step, {made: node for node, made in self.made.items()}
        begun = {self.made[node]: _tensor(array) for node, array in seeds.items()}
        signals = error_signals(begun, quiet=True)
        for made, bar in signals.total.items():
            step.bars[node_of[made]] = bar
            step.addends[node_of[made]] = list(signals.addends[made])
        recorder().compute()
        step.losses, step.together = list(seeds), True


def _tail(loss: Node, samples: set[Node]) -> list[Node]:
    """The nodes without samples between the samples and the loss, which is the first of them."""
    found, waiting = {loss: None}, [loss]
    while waiting:
        for source in waiting.pop().inputs:
            if source not in samples and source not in found:
                found[source] = None
                waiting.append(source)
    return list(found)


def _copy(node: Node, inputs: tuple[Node, ...]) -> Node:
    return Node(
        node.op, inputs, node.meta, node.shape, node.dtype,
        name=node.name, scope=node.scope, line=node.line,
    )  # fmt: skip


def _made(op: Any, inputs: tuple[Node, ...], meta: dict[str, Any], near: Node) -> Node:
    shape, dtype = op.infer(*inputs, **meta)
    name = near.name if op is put else None
    return Node(op, inputs, meta, shape, dtype, name=name, scope=near.scope, line=near.line)


def _tensor(array: np.ndarray) -> Tensor:
    """A tensor on an array, without a copy; its dtype is one of ours."""
    return Tensor._of(recorder().leaf(leaf.data, array, dtype_of(array.dtype)))
