"""The graph: nodes that say what is computed from what, in the notation ``f32[N,C,H,W]``.

A ``Node`` is mathematics alone: an op, its inputs, its metadata, the shape and dtype that follow.
Values and lifetimes are added by ``storage/``; execution belongs to ``run/``.  Nodes refer to
their inputs only, never to their readers, so there are no cycles and a graph that nobody holds is
freed at once.  Nothing here is recursive: a chain of 100,000 nodes is a loop, not a stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from chainrule.dtypes import DType
from chainrule.errors import GraphError
from chainrule.notebook import graph_html

if TYPE_CHECKING:
    from chainrule.ops.op import Op

__all__ = ["Graph", "Node", "meta_key", "topological_order", "type_text"]

Shape = tuple[int, ...]
Line = tuple[Any, int]  # the code object and line number that recorded a node; never a frame


def type_text(shape: Iterable[int], dtype: DType) -> str:
    """The notation of shapes that is used everywhere.

    >>> from chainrule.dtypes import float32
    >>> type_text((64, 6, 28, 28), float32), type_text((), float32)
    ('f32[64,6,28,28]', 'f32[]')
    """
    return f"{dtype.short}[{','.join(map(str, shape))}]"


def meta_key(meta: Mapping[str, Any]) -> Any:
    """Metadata as part of a key: 0 and -0 are two numbers, though equal."""
    if not meta:
        return ()
    return repr(meta) if 0 in meta.values() else tuple(meta.items())


class Node:
    """One operation of the graph: ``op(*inputs, **meta) -> dtype[shape]``.

    ``name`` is what a person called the value, ``scope`` the modules and functions it was recorded
    in (``conv1/Conv2d``), ``line`` where.
    """

    __slots__ = ("__weakref__", "dtype", "inputs", "line", "meta", "name", "op", "scope", "shape")

    def __init__(
        self,
        op: Op,
        inputs: tuple[Node, ...],
        meta: Mapping[str, Any],
        shape: Shape,
        dtype: DType,
        *,
        name: str | None = None,
        scope: str = "",
        line: Line | None = None,
    ) -> None:
        self.op, self.inputs, self.meta = op, inputs, meta
        self.shape, self.dtype = shape, dtype
        self.name, self.scope, self.line = name, scope, line

    @property
    def type(self) -> str:
        """The node's type, for instance ``f32[64,6,28,28]``."""
        return type_text(self.shape, self.dtype)

    @property
    def where(self) -> str:
        """``file.py:12``, the line that recorded the node, or an empty string."""
        if self.line is None:
            return ""
        code, number = self.line
        return f"{code.co_filename.replace(chr(92), '/').rsplit('/', 1)[-1]}:{number}"

    def __repr__(self) -> str:
        name = f"{self.name}: " if self.name else ""
        return f"<Node {name}{self.op.name} {self.type}>"


def topological_order(outputs: Iterable[Node]) -> list[Node]:
    """All nodes that ``outputs`` depend on, each after its inputs.

    Depth first without recursion.  Why not simply breadth first from the outputs?  In
    ``b = a + a; c = b + a`` the node ``a`` would be listed before all of its readers were.
    """
    order: list[Node] = []
    placed: set[Node] = set()
    for output in outputs:
        stack = [(output, iter(output.inputs))]
        entered = {output} if output not in placed else set()
        if output in placed:
            continue
        while stack:
            node, remaining = stack[-1]
            for source in remaining:
                if source not in placed and source not in entered:
                    entered.add(source)
                    stack.append((source, iter(source.inputs)))
                    break
            else:
                stack.pop()
                placed.add(node)
                order.append(node)
    return order


class Graph:
    """A graph with its outputs: what ``cr.graph(loss)`` shows and what a compiler takes.

    ``outputs`` maps a name to a node.  ``nodes`` lists all nodes, each after its inputs.
    ``print(graph)`` gives one line per node; ``verify()`` checks the graph's own rules.
    """

    def __init__(self, outputs: Mapping[str, Node]) -> None:
        self.outputs = dict(outputs)
        self.nodes = topological_order(self.outputs.values())

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    @property
    def leaves(self) -> list[Node]:
        """The nodes without inputs: data, parameters, numbers."""
        return [node for node in self.nodes if not node.inputs]

    def copy(self) -> Graph:
        """The same mathematics in new nodes, sharing nothing that could change."""
        twin: dict[Node, Node] = {}
        for node in self.nodes:
            twin[node] = Node(
                node.op,
                tuple(twin[source] for source in node.inputs),
                dict(node.meta),
                node.shape,
                node.dtype,
                name=node.name,
                scope=node.scope,
                line=node.line,
            )
        return Graph({name: twin[node] for name, node in self.outputs.items()})

    def verify(self) -> Graph:
        """Check order and types; raise ``GraphError`` naming the first node that breaks a rule."""
        number = {node: index for index, node in enumerate(self.nodes)}
        for index, node in enumerate(self.nodes):
            for source in node.inputs:
                if number.get(source, index) >= index:
                    raise GraphError(f"[graph] %{index} {node.op.name} stands before its input.")
            if node.inputs:
                shape, dtype = node.op.infer(*node.inputs, **node.meta)
                if (shape, dtype) != (node.shape, node.dtype):
                    raise GraphError(
                        f"[graph] %{index} {node.op.name} got {node.type}, "
                        f"needs {type_text(shape, dtype)} by its op's shape rule."
                    )
        return self

    def __str__(self) -> str:
        number = {node: index for index, node in enumerate(self.nodes)}
        rows = []
        for index, node in enumerate(self.nodes):
            sources = [f"%{number[source]}" for source in node.inputs]
            meta = [f"{key}={_short(value)}" for key, value in node.meta.items()]
            call = f"{node.op.name}({', '.join(sources + meta)})" if node.inputs else node.op.name
            label = "/".join(part for part in (node.scope, node.name) if part)
            rows.append((f"%{index}", node.type, call, label, node.where))
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
        lines = [
            "  ".join(
                cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)
            ).rstrip()
            for row in rows
        ]
        returned = ", ".join(f"{name} = %{number[node]}" for name, node in self.outputs.items())
        return "\n".join([*lines, f"return {returned}"])

    def __repr__(self) -> str:
        return f"<Graph of {len(self)} nodes -> {', '.join(self.outputs)}>"

    def _repr_html_(self) -> str:
        return graph_html(f"Graph of {len(self)} nodes", str(self), self._drawn(self))

    @staticmethod
    def _drawn(graph: Graph) -> str:
        """The graph as SVG.  Drawing stands above, in inspect/; ``__init__`` says where."""
        return ""


def _short(value: object) -> str:
    text = repr(value).replace(" ", "")
    return text if len(text) <= 40 else text[:37] + "..."
