"""From what a trace recorded to a pure graph, and what its leaves and outputs stand for."""

from __future__ import annotations

from chainrule.compile.work import Work
from chainrule.graph import Node
from chainrule.ops import leaf
from chainrule.step.effects import Argument, Effects
from chainrule.step.trace import Trace, UntraceableError
from chainrule.storage import Recorded, Storage

__all__ = ["Extract"]


class Extract:
    """The inputs are arguments, then storages, then constants; the outputs begin with writes."""

    def __init__(self, trace: Trace, effects: Effects, arguments: list[Argument]) -> None:
        self._trace = trace
        self._same: dict[object, Recorded] = {}
        self.writes = [(storage, trace.resolve(node)) for storage, node in trace.written.items()]
        self.outputs = [node for _, node in self.writes]
        self.outputs += [self._source(node) for node in effects.nodes]
        self._walk()
        begun = [x._begun for x in arguments]
        entered = {entry.leaf: storage for storage, entry in trace.entries.items()}
        read = [node for node in self.leaves if node in entered]
        unread = [trace.entries[s].leaf for s, _ in self.writes]
        states = [*read, *(node for node in unread if node not in self.leaves)]
        self.storages: list[Storage] = [entered[node] for node in states]
        known = {*begun, *states}
        self.constants = [node for node in self.leaves if node not in known]
        for node in self.constants:
            if node.value is None or (node.sequence < trace.first and node.op is not leaf.number):
                raise UntraceableError(f"{node.op.name} {node.type} has no value yet")
        self.work = self._copied([*begun, *states, *self.constants])
        place = {storage: len(begun) + k for k, storage in enumerate(self.storages)}
        self.work.updates = {k: place[storage] for k, (storage, _) in enumerate(self.writes)}

    def _source(self, node: Recorded) -> Recorded:
        node = self._trace.resolve(node)
        if node.op is leaf.number and node.value is not None:
            return self._same.setdefault(self._trace.same_constant(node), node)
        return node

    def _walk(self) -> None:
        """All that the outputs depend on, in the order of recording."""
        stack = list(dict.fromkeys(self.outputs))  # in order: equal functions give equal graphs
        found = set(stack)
        self._sources: dict[Recorded, tuple[Recorded, ...]] = {}
        while stack:
            node = stack.pop()
            inside = node.sequence >= self._trace.first
            sources = tuple(map(self._source, node.inputs)) if inside else ()
            self._sources[node] = sources
            for source in sources:
                if source not in found:
                    found.add(source)
                    stack.append(source)
        order = sorted(found, key=lambda node: node.sequence)
        self.leaves = {node: None for node in order if not self._sources[node]}
        self.order = [node for node in order if node not in self.leaves]

    def _copied(self, inputs: list[Recorded]) -> Work:
        twins: dict[Recorded, Node] = {}
        for node in (*inputs, *self.order):
            sources = tuple(twins[source] for source in self._sources.get(node, ()))
            twins[node] = Node(
                node.op, sources, node.meta, node.shape, node.dtype,
                name=node.name, scope=node.scope, line=node.line,
            )  # fmt: skip
        return Work(
            nodes=[twins[node] for node in self.order],
            inputs=[twins[node] for node in inputs],
            outputs=[twins[node] for node in self.outputs],
        )
