"""A reader of the graph that keeps what it sees.

A tape is one more reader of the graph.  It holds what it wants to keep, so the values are not freed
when the program has run; it records nothing, computes nothing, and can't change a bit.

    saw(node)            from storage/: a node was recorded
    saw_name(node)       from tensor/: a tensor was given a name
    saw_call(path, y)    from nn: a module or function has returned y
    saw_backward(s)      from backprop.py: a backward pass has been recorded
    saw_step()           from optim: a step has ended; the next differentiable node begins another
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

from chainrule.errors import GradientError, IndexRangeError, NameNotFoundError, message
from chainrule.graph import Graph, Node
from chainrule.ops import leaf
from chainrule.storage import Hold, Recorded, recorder
from chainrule.tensor import Tensor

__all__ = ["Entry", "Tape", "record"]


class _Step:
    """One training step: its forward graph, the values that are held, the error signals.

    ``twins`` has a node of plain mathematics for each recorded one: recorded nodes drop their
    inputs when they have been computed, the twins keep the graph.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.twins: WeakKeyDictionary[Recorded, Node] = WeakKeyDictionary()
        self.order: list[Node] = []
        self.holds: dict[Node, Hold] = {}
        self.calls: list[_Call] = []
        self.inside = 0  # where the calls of the outermost module that is running begin
        self.bars: dict[Node, Tensor] = {}
        self.addends: dict[Node, list[Tensor]] = {}
        self.losses: list[Node] = []
        self.together = False  # the losses are where one backward began, else each has its own
        self.versions: dict[int, int] = {}  # of the leaves, by the identity of their storage

    def twin(self, node: Recorded) -> Node:
        """The plain node of a recorded one."""
        for source in self._untold(node):
            twin = Node(
                source.op,
                tuple(self.twins[deeper] for deeper in source.inputs),
                source.meta,
                source.shape,
                source.dtype,
                name=source.name,
                scope=source.scope,
                line=source.line,
            )
            self.twins[source] = twin
            self.order.append(twin)
        return self.twins[node]

    def _untold(self, node: Recorded) -> list[Recorded]:
        """The node and what it depends on, as far as they have no twin yet, inputs first."""
        if node in self.twins:
            return []
        found, stack = {node}, [node]
        while stack:
            for source in stack.pop().inputs:
                if source not in self.twins and source not in found:
                    found.add(source)
                    stack.append(source)
        return sorted(found, key=lambda found: found.sequence)

    def hold(self, node: Recorded) -> None:
        twin = self.twin(node)
        if twin not in self.holds:
            self.holds[twin] = Hold(node)

    def named(self) -> dict[str, list[Node]]:
        """Name -> its nodes: calls of modules and functions first, then tensors with a name."""
        found: dict[str, list[Node]] = {}
        calls = self._trained()
        several = len({call.root for call in calls if call.root and call.path != call.root}) > 1
        for root, path, twin, _ in calls:
            name = f"{root}/{path}" if several and root and path != root else path
            found.setdefault(name, []).append(twin)
        for twin in self.order:
            if twin.name and twin not in found.setdefault(twin.name, []):
                found[twin.name].append(twin)
        return found

    def _trained(self) -> list[_Call]:
        """The calls; if one run of a model was sent back, its runs that were not are left out."""
        back = {(call.root, call.run) for call in self.calls if call.twin in self.bars}
        roots = {root for root, _ in back}
        return [
            call
            for call in self.calls
            if not call.root or call.root not in roots or (call.root, call.run) in back
        ]


class _Call(NamedTuple):
    """A module or function has returned ``twin``, in the ``run``-th call of an outermost module."""

    root: str
    path: str  # below the root
    twin: Node
    run: int


class Entry:
    """What a name stands for on a tape: the first of its calls; ``entry[1]`` is the second."""

    def __init__(self, name: str, step: _Step, nodes: list[Node], row: int | None = None) -> None:
        self.name = name
        self._step, self._nodes, self._row = step, nodes, row

    def __len__(self) -> int:
        return len(self._nodes)

    def __getitem__(self, call: int) -> Entry:
        if not -len(self._nodes) <= call < len(self._nodes):
            calls = f"{len(self._nodes)} call{'s' if len(self._nodes) > 1 else ''}"
            raise IndexRangeError(message(self.name, f"call {call}", f"one of its {calls}, from 0"))
        return Entry(self.name, self._step, [self._nodes[call]], self._row)

    def __iter__(self) -> Iterator[Entry]:
        return (self[call] for call in range(len(self._nodes)))

    def sample(self, index: int) -> Entry:
        """The same entry for one sample: ``value``, ``bar``, ``addends`` there in axis 0."""
        node = self._nodes[0]
        if not node.shape or not -node.shape[0] <= index < node.shape[0]:
            needs = f"0 to {node.shape[0] - 1}" if node.shape else "a batch axis"
            raise IndexRangeError(message(self.name, f"sample {index} of {node.type}", needs))
        return Entry(self.name, self._step, self._nodes, index)

    @property
    def node(self) -> Node:
        """The node in ``tape.graph``."""
        return self._nodes[0]

    @property
    def step(self) -> int:
        """The number of the recorded step, from 0."""
        return self._step.number

    @property
    def value(self) -> Tensor:
        """The value, as the program computed it."""
        hold = self._step.holds.get(self.node)
        if hold is None:
            raise GradientError(
                message(self.name, "a value that was not kept", remedy="cr.record() keeps all")
            )
        return self._shown(hold.node)

    @property
    def bar(self) -> Tensor:
        """v̄ = ∂L/∂v, the error signal."""
        bar = self._step.bars.get(self.node)
        if bar is None:
            why = "No backward() has passed it in this step"
            if self._step.bars:
                why = "The loss does not depend on it, or it has no history"
            raise GradientError(
                message(self.name, "no error signal", line=self.node.where, why=why)
            )
        return self._shown(bar._node)

    @property
    def addends(self) -> list[Tensor]:
        """The addends of v̄, one per reader of v, in the order of arrival."""
        self.bar  # noqa: B018  raises where there is none
        return [self._shown(addend._node) for addend in self._step.addends[self.node]]

    def _shown(self, node: Recorded) -> Tensor:
        """A tensor without history on the node's array."""
        value = node.result()
        if self._row is not None:
            value = value[self._row]
        return Tensor._of(recorder().leaf(leaf.data, value, node.dtype))

    def __repr__(self) -> str:
        calls = f", {len(self)} calls" if len(self) > 1 else ""
        bar = ", with bar" if self.node in self._step.bars else ""
        return f"<{self.name} {self.node.type} of step {self.step}{calls}{bar}>"


class Tape:
    """What ``cr.record()`` returns: names -> entries of the latest step."""

    def __init__(
        self,
        nodes: Iterable[str] | None = None,
        steps: Iterable[int] = (),
        on_step: Callable[[Tape], object] | None = None,
    ) -> None:
        self._patterns = (
            None if nodes is None else ([nodes] if isinstance(nodes, str) else list(nodes))
        )
        self._wanted, self._on_step = frozenset(steps), on_step
        self._told: _Step | None = None  # the step that on_step was called for
        self._kept: dict[int, _Step] = {}
        self._step = _Step(0)
        self._before: _Step | None = None  # until this step has its own backward
        self._ended = False
        self._evaluated = False  # a model was called without gradients: its next call is a step
        self._since: list[Recorded] = []  # seen since the step ended: the start of the next
        self._after: WeakSet[Recorded] = WeakSet()  # or what is made of the old one's results

    # ------------------------------------------------------------ the block

    def __enter__(self) -> Tape:
        recorder().taps.append(self)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        taps = recorder().taps
        taps[:] = [tape for tape in taps if tape is not self]
        self._since = []
        if self._before is not None:  # what was begun last has no backward: a look at the accuracy
            self._step, self._before = self._before, None
        if kind is None:
            recorder().compute()
            self._tell()

    def _tell(self) -> None:
        """A step is complete: once, and only one that had a backward."""
        step = self._step
        if self._on_step is not None and step.bars and self._told is not step:
            self._told = step
            self._on_step(self)

    # ------------------------------------------------------------ what it is told

    def saw(self, node: Recorded) -> None:
        """A node was recorded."""
        rec = node.recorder
        if rec.undisturbed:  # by an optimizer or a backward: no forward node
            return
        if self._ended or self._updated(node):
            if not node.needs_grad:
                if rec.grad_enabled and not self._looks_back(node):
                    self._since.append(node)
                return
            self._next_step()
        if self._step.bars and not rec.grad_enabled:  # an update written by hand
            return
        if self._evaluated and rec.depth:
            self._next_step()
        self._take(node)

    def saw_name(self, node: Recorded) -> None:
        """A tensor was given a name."""
        if node in self._step.twins:
            self._step.twins[node].name = node.name
        elif self._ended or node.inputs:
            return
        if self._wants(node.name):
            self._step.hold(node)

    def saw_call(self, path: str, output: Any) -> None:
        """The module or function at ``path`` has returned ``output``."""
        if not isinstance(output, Tensor) or (self._ended and not output.requires_grad):
            return
        step, depth = self._step, recorder().depth
        step.calls.append(_Call("", path, step.twin(output._node), step.inside))
        if (
            depth == 1 and path[:1].isupper()
        ):  # the outermost module itself, by the name of its class
            within = [call._replace(root=path) for call in step.calls[step.inside :]]
            step.calls[step.inside :] = within
            self._evaluated = not recorder().grad_enabled and not step.bars
        if depth == 0 or step.calls[-1][0]:
            step.inside = len(step.calls)
        if self._wants(path):
            self._step.hold(output._node)

    def saw_backward(self, signals: Any) -> None:
        """A backward pass has been recorded: keep its error signals."""
        step = self._step
        if signals.accumulates:
            self._before = None
        for node in signals.order:
            twin = step.twin(node)
            if self._patterns is not None and not self._matches(twin):
                continue
            if node.leaf is not None:
                step.hold(node)
            addends = list(signals.addends[node])
            if signals.accumulates and twin in step.bars and node.leaf is not None:
                addends = [*step.addends[twin], *addends]  # a second loss adds to the same leaf
                step.bars[twin] = step.bars[twin] + signals.total[node]
            else:
                step.bars[twin] = signals.total[node]
            step.addends[twin] = addends
        if signals.order:
            step.losses.append(step.twin(signals.order[0]))

    def saw_step(self) -> None:
        """A step has ended: ``optimizer.step()`` says so."""
        self._ended = True
        self._tell()

    def bar_of(self, node: Recorded) -> Tensor | None:
        """The error signal of a node, if a backward pass has left one."""
        twin = self._step.twins.get(node)
        return None if twin is None else self._step.bars.get(twin)

    # ------------------------------------------------------------ what it says

    def __getitem__(self, name: str) -> Entry:
        return self._entry(self._step, name)

    def __contains__(self, name: str) -> bool:
        return bool(self._find(self._step, name))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def at(self, step: int) -> Tape:
        """A tape with one of the steps that ``steps=`` asked for."""
        found = self._step if step == self._step.number else self._kept.get(step)
        if found is None:
            kept = ", ".join(map(str, [*self._kept, self._step.number]))
            raise IndexRangeError(message("tape", f"step {step}", f"one of {kept}"))
        tape = Tape()
        tape._step = found
        return tape

    @property
    def step(self) -> int:
        """The number of the latest step, from 0."""
        return self._step.number

    def names(self) -> list[str]:
        """The names that were kept, in the order of the program."""
        return [name for name in self._step.named() if self._wants(name)]

    @property
    def graph(self) -> Graph:
        """The forward graph of the step; its outputs are the losses, else what nothing reads."""
        read = {source for twin in self._step.order for source in twin.inputs}
        outputs: dict[str, Node] = {}
        ends = [twin for twin in self._step.order if twin not in read and twin.inputs]
        if self._step.losses:
            known = {node for nodes in self._step.named().values() for node in nodes}
            ends = [twin for twin in ends if twin in known]
        for twin in dict.fromkeys([*self._step.losses, *ends]):
            name = twin.name or ("loss" if twin in self._step.losses else f"y{len(outputs)}")
            outputs[name if name not in outputs else f"{name}_{len(outputs)}"] = twin
        return Graph(outputs)

    def entry(self, node: Node) -> Entry:
        """The entry of a node of ``tape.graph``."""
        return Entry(node.name or node.op.name, self._step, [node])

    def __repr__(self) -> str:
        return f"<Tape of step {self.step}: {', '.join(self.names()) or 'nothing named'}>"

    def _repr_html_(self) -> str:
        return self.graph._repr_html_()

    # ------------------------------------------------------------ inside

    def _looks_back(self, node: Recorded) -> bool:
        """Whether a node is made of results of the step that has ended, such as its accuracy."""
        for source in node.inputs:
            twin = self._step.twins.get(source)
            if source in self._after or (twin is not None and twin.inputs):
                self._after.add(node)
                return True
        return False

    def _updated(self, node: Recorded) -> bool:
        """Whether a leaf has changed since the backward of this step: an update written by hand."""
        if not self._step.bars:
            return False
        for source in node.inputs:
            where = source.leaf
            if where is not None:
                known = self._step.versions.get(id(where.storage()), where.version)
                if known != where.version:
                    return True
        return False

    def _next_step(self) -> None:
        self._tell()
        if self._step.number in self._wanted:
            self._kept[self._step.number] = self._step
        if self._step.bars:
            self._before = self._step
        since, self._since = self._since, []
        self._step = _Step(self._step.number + 1)
        self._ended = self._evaluated = False
        for node in since:
            self._take(node)

    def _take(self, node: Recorded) -> None:
        self._step.twin(node)
        for source in node.inputs:
            where = source.leaf
            if where is not None:
                self._step.versions.setdefault(id(where.storage()), where.version)
            if not source.inputs and self._wants(source.name):
                self._step.hold(source)
        if self._patterns is None:
            self._step.hold(node)

    def _wants(self, name: str | None) -> bool:
        if self._patterns is None:
            return True
        return name is not None and any(fnmatchcase(name, pattern) for pattern in self._patterns)

    def _matches(self, twin: Node) -> bool:
        return self._wants(twin.name) or any(
            twin is call.twin and self._wants(call.path) for call in self._step.calls
        )

    def _find(self, step: _Step, name: str) -> list[Node]:
        named = step.named()
        if name in named:
            return named[name]
        ends = [path for path in named if path.endswith(f"/{name}")]  # one root: its name is spared
        return named[ends[0]] if len(ends) == 1 else []

    def _entry(self, step: _Step, name: str) -> Entry:
        nodes = self._find(step, name)
        if nodes:
            return Entry(name, step, nodes)
        known = list(step.named())
        nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known[:8]
        remedy = f"Nearest: {', '.join(nearest)}" if nearest else "Nothing was recorded"
        raise NameNotFoundError(message("tape", repr(name), "a recorded name", remedy=remedy))


def record(
    nodes: Iterable[str] | None = None,
    *,
    steps: Iterable[int] = (),
    on_step: Callable[[Tape], object] | None = None,
) -> Tape:
    """Keep values and error signals of the program that runs in the ``with`` block.

    ``nodes`` are patterns of names (``["conv*"]``); ``None`` keeps all. The tape holds the latest
    step; ``steps`` lists numbers of others to keep, for ``tape.at(number)``. A step ends at
    ``optimizer.step()``, at an update written by hand, or with the block; without gradients each
    call of a model is one. Pending work is computed when the block ends.

    ``on_step(tape)`` is called when a step with a backward has ended, and the tape still shows it.

    >>> import chainrule as cr
    >>> w = cr.tensor(0.8, requires_grad=True)
    >>> with cr.record() as tape:
    ...     z = w * 1.5
    ...     z.name = "z"
    ...     (z**2).backward()
    >>> tape["z"].value, tape["z"].bar
    (tensor(1.2), tensor(2.4))
    """
    return Tape(nodes, steps, on_step)
