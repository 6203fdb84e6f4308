"""The computation graph as a picture: each value v with its error signal v̄, or whole layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.backprop import error_signals
from chainrule.errors import GradientError, UsageError, message
from chainrule.graph import Node, topological_order
from chainrule.inspect.arrays import array_text, is_small
from chainrule.inspect.draw.layout import layout
from chainrule.inspect.draw.svg import LINE, Canvas, Drawing, shortened, text_width
from chainrule.inspect.formulas import SUBSCRIPT, Writer, Written
from chainrule.inspect.notation import bar_of
from chainrule.inspect.walk import Walk
from chainrule.ops import leaf
from chainrule.recording import enable_grad
from chainrule.storage import Hold, Recorded, recorder
from chainrule.tensor import Tensor

__all__ = ["draw_loss", "draw_walk"]

SEE_THROUGH = frozenset({"reshape", "expand", "cast", "permute", "detach"})
MOST_BOXES = 60  # beyond it, values make room for layers
MOST_GROUPS = 300
MOST_OPS = 6  # in one box, of those outside of all layers
FORMULA = 16  # letters of a formula that can stand for a value
SIZE = 12


@dataclass
class Box:
    """A node of the picture: a title, lines below it, and how it looks."""

    title: str
    look: str
    lines: list[str] = field(default_factory=list)
    bars: list[str] = field(default_factory=list)  # in the colour of error signals
    name: str = ""  # of the value, in the data

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        below = [text_width(line, SIZE - 1) for line in self.lines + self.bars]
        width = max([text_width(self.title, SIZE, bold=True), *below])
        rows = 1 + len(self.lines) + len(self.bars)
        return max(40.0, width + 18), rows * SIZE * LINE + 10


def draw_loss(loss: Tensor, names: dict[Recorded, str], digits: int = 4) -> Drawing:
    """The graph of a tensor: op by op with numbers if it is small, layer by layer if not."""
    node = loss._node
    if node.consumed is not None:
        remedy = "Draw it before its backward(), or pass retain_graph=True"
        got = "a loss whose backward has run"
        raise GradientError(message("draw", got, "one whose history is there", remedy=remedy))
    order: list[Any] = sorted(topological_order([node]), key=lambda n: n.sequence)
    shown = [n for n in order if _is_shown(n, names)]
    if len(shown) > MOST_BOXES:
        return _layers(order, [node], {})
    return _values(_Values(loss, order), order, names, digits)


def draw_walk(pass_: Walk) -> Drawing:
    """The layers of a model, from shapes alone."""
    nodes = {node for call in pass_.calls for node in call.nodes}
    order: list[Any] = sorted(nodes, key=lambda n: n.sequence)
    inputs = [x._node for x in pass_.inputs]
    several = len(inputs) > 1
    names = {x: f"input {k + 1}" if several else "input" for k, x in enumerate(inputs)}
    return _layers([*inputs, *order], [y._node for y in pass_.outputs], names, batch=True)


# ---------------------------------------------------------------- small graphs, with numbers


class _Values:
    """Values and error signals of a graph; what was freed is computed again, only to be shown."""

    def __init__(self, loss: Tensor, order: list[Any]) -> None:
        self.inputs = {node: node.inputs for node in order}
        held = [Hold(node) for node in order]
        self.bars: dict[Any, Tensor] = {}
        root = loss._node
        if root.needs_grad and loss.numel() == 1:
            with enable_grad():
                seed = recorder().leaf(leaf.number, np.ones((), root.dtype.numpy), root.dtype)
                from_loss: Any = Tensor._of(seed)
                if root.shape:
                    from_loss = from_loss.expand(root.shape)
            signals = error_signals({root: from_loss}, retain_graph=True, quiet=True)
            self.bars = dict(signals.total)
        recorder().compute()
        self.known: dict[Any, np.ndarray] = {}
        for node in order:
            self.known[node] = self._value(node)
        held.clear()

    def _value(self, node: Any) -> np.ndarray:
        if node.value is not None:
            return node.result()
        if not self.inputs[node]:
            got = f"a graph whose {node.op.name} {node.type} was let go"
            remedy = "Draw the loss before it is read, or keep that tensor in a variable"
            raise GradientError(message("draw", got, line=node.where, remedy=remedy))
        parts = [  # of numbers too, which ascontiguousarray would make [1]
            np.ascontiguousarray(self.known[part]).reshape(part.shape) for part in self.inputs[node]
        ]
        with np.errstate(all="ignore"):
            return np.asarray(node.op.reference(*parts, **node.meta))

    def bar(self, node: Any) -> np.ndarray | None:
        """The error signal of a node, if it has one."""
        return self.bars[node]._value() if node in self.bars else None


def _is_shown(node: Any, names: dict[Recorded, str]) -> bool:
    """Numbers stand in the formulas, changes of shape are no boxes."""
    if node in names:
        return True
    return node.op is not leaf.number and node.op.name not in SEE_THROUGH


def _values(values: _Values, order: list[Any], names: dict[Recorded, str], digits: int) -> Drawing:
    shown = [node for node in order if _is_shown(node, names)]
    shown = [n for n in shown if values.inputs[n] or n in names or n.shape or n.needs_grad]
    writer = _writer(values, names, digits)
    _add_names(shown, values, names, writer)
    boxes = [_value_box(node, values, names, writer, digits) for node in shown]
    number = {node: k for k, node in enumerate(shown)}
    edges = []
    for node in shown:
        for part in values.inputs[node]:
            source = part
            while source not in number and values.inputs[source]:
                source = values.inputs[source][0]
            if source in number:
                edges.append((number[source], number[node]))
    edges = list(dict.fromkeys(edges))
    title = f"Computation graph of {boxes[-1].name}"
    words = f"{len(boxes)} values from the inputs at the top to {boxes[-1].name} at the bottom"
    if values.bars:
        words += f"; below each value v its error signal v̄ = ∂{boxes[-1].name}/∂v"
    return _drawing(boxes, edges, title, words + ".", bool(values.bars))


def _add_names(
    shown: list[Any], values: _Values, names: dict[Recorded, str], writer: Writer
) -> None:
    """v1, v2, … for what is too long to be written out in its reader's formula."""
    taken, count = set(names.values()), 0
    for node in shown:
        if node in names or not values.inputs[node]:
            continue
        if len(writer.formula(node).text) > FORMULA:
            count += 1
            while f"v{count}" in taken:
                count += 1
            names[node] = f"v{count}"


def _writer(values: _Values, names: dict[Recorded, str], digits: int) -> Writer:
    def atom(node: Any) -> Written | None:
        if node in names:
            return Written(_pretty(names[node]), array=bool(node.shape))
        if not values.inputs.get(node) and node.op is not leaf.number:
            return Written(array_text(values.known[node], digits), array=bool(node.shape))
        return None

    return Writer(values.inputs, atom, digits=digits)


def _value_box(
    node: Any, values: _Values, names: dict[Recorded, str], writer: Writer, digits: int
) -> Box:
    name, given = _pretty(names.get(node, "")), not values.inputs[node]
    formula = "" if given else writer.formula(node).text
    if len(formula) > 3 * FORMULA:
        formula = f"{node.op.name}(…)"
    rows = _rows(values.known[node], digits)
    if not name:
        box = Box(formula or node.type, "value", rows, name=formula or node.type)
    else:
        box = Box(name, "value", rows, name=name)
        if formula and formula != name:
            box.lines.insert(0, f"= {formula}")
    bar = values.bar(node)
    if bar is not None:
        sign, *more = _rows(bar, digits)
        box.bars = [f"{bar_of(name) if name else 'v̄'} = {sign}", *more]
    if given:
        box.look = "weight" if node.needs_grad else "value"
    elif node is list(values.inputs)[-1]:
        box.look = "loss"
    return box


def _rows(array: np.ndarray, digits: int) -> list[str]:
    """A value as lines: a matrix row by row."""
    if array.ndim == 2 and is_small(array):
        return [array_text(row, digits) for row in array]
    return [array_text(array, digits)]


def _pretty(name: str) -> str:
    """W1 as W₁; long paths with … in the middle."""
    word = name.rstrip("0123456789")
    if word and word.isalpha():
        name = word + name[len(word) :].translate(SUBSCRIPT)
    return shortened(name, 30)


# ---------------------------------------------------------------- large graphs, by layers


def _layers(
    order: list[Any], outputs: Sequence[Any], names: dict[Any, str], batch: bool = False
) -> Drawing:
    """One box for what is recorded together in one scope; parameters are counted, not drawn."""
    groups = _groups(order, None)
    for depth in (4, 3, 2, 1):
        if len(groups) <= MOST_GROUPS:
            break
        groups = _groups(order, depth)
    if len(groups) > MOST_GROUPS:
        got, needs = f"a graph of {len(groups):,} boxes", f"{MOST_GROUPS} at most"
        raise UsageError(message("draw", got, needs, remedy="Draw a part, or the model's blocks"))
    known = {node for _, members in groups for node in members}
    data = [x for x in order if not x.inputs and _is_data(x) and x not in known]
    groups = [(names.get(x, x.name or "data"), [x]) for x in data] + groups
    place = {node: k for k, (_, members) in enumerate(groups) for node in members}
    edges = {
        (place[source], place[node]): None
        for _, members in groups
        for node in members
        for source in _sources(node, place)
        if place[source] != place[node]
    }
    boxes = [_layer_box(label, members, batch) for label, members in groups]
    paths = {scope.partition("/")[0] for scope, _ in groups}
    for box, (scope, members) in zip(boxes, groups, strict=True):
        path = scope.partition("/")[0]
        if scope and members[0].inputs and any(other.startswith(f"{path}.") for other in paths):
            box.lines.insert(0, shortened(_ops_of(members), 30))  # what a module does by itself
    last = outputs[0]
    while last not in place and last.inputs:  # a view of the last layer's output
        last = last.inputs[0]
    if last in place:
        boxes[place[last]].look = "loss"
    title = f"Layers of a graph with {len(order):,} nodes"
    words = f"{len(boxes)} boxes from the input at the top to the output at the bottom, each with "
    words += "its output's type and its number of parameters."
    return _drawing(boxes, list(edges), title, words, bars=False)


def _is_data(node: Any) -> bool:
    """Whether a leaf is worth a box: an input, not a parameter or a number."""
    return (node.op is not leaf.number and bool(node.shape) and node.op.name != "parameter") or (
        node.op.name == "parameter" and not node.name
    )


def _sources(node: Any, place: dict[Any, int]) -> list[Any]:
    """The nodes with a place that a node is made of, past those without."""
    found, stack = [], list(node.inputs)
    while stack:
        source = stack.pop()
        if source in place:
            found.append(source)
        else:
            stack.extend(source.inputs)
    return found


def _groups(order: list[Any], depth: int | None) -> list[tuple[str, list[Any]]]:
    """Runs of nodes that were recorded in one scope, one after the other: so no cycle arises."""
    groups: list[tuple[str, list[Any]]] = []
    for node in order:
        if not node.inputs:
            continue
        scope = node.scope
        if depth is not None:
            scope = ".".join(scope.partition("/")[0].split(".")[:depth])
        if groups and groups[-1][0] == scope and (scope or _goes_on(node, groups[-1][1])):
            groups[-1][1].append(node)
        elif scope or node.op.name not in SEE_THROUGH:
            groups.append((scope, [node]))
    return groups


def _goes_on(node: Any, members: list[Any]) -> bool:
    """Whether an op outside of all layers reads only what the ops before it gave."""
    reads = [source for source in node.inputs if source.inputs]
    return len(members) < MOST_OPS and all(source in members[-1:] for source in reads)


def _layer_box(label: str, members: list[Any], batch: bool) -> Box:
    last = next((n for n in reversed(members) if n.op.name not in SEE_THROUGH), members[-1])
    title = label or last.name or _ops_of(members)
    weights = {source for node in members for source in _weights(node)}
    count = sum(int(np.prod(weight.shape)) for weight in weights)
    lines = [_type(last, batch)] + [f"{count:,} parameters"] * bool(count)
    look = "weight" if count else "value"
    return Box(shortened(title, 34), look, lines, name=title)


def _ops_of(members: list[Any]) -> str:
    return ", ".join(node.op.name for node in members if node.op.name not in SEE_THROUGH)


def _type(node: Any, batch: bool) -> str:
    """The type; of a pass in shapes alone, the batch axis is N."""
    if batch and node.shape[:1] == (1,):
        return node.type.replace("[1", "[N", 1)
    return node.type


def _weights(node: Node) -> list[Node]:
    return [x for x in node.inputs if x.op.name == "parameter" and (x.name or "").strip()]


# ---------------------------------------------------------------- the picture


def _drawing(
    boxes: list[Box], edges: list[tuple[int, int]], title: str, words: str, bars: bool
) -> Drawing:
    canvas = Canvas()
    sizes = [box.size for box in boxes]
    found = layout(sizes, edges)
    for route in found.routes:
        canvas.curve(route, "edge frame-s")
    for box, (width, height), (x, y) in zip(boxes, sizes, found.places, strict=True):
        left, top = x - width / 2, y - height / 2
        canvas.rect(left, top, width, height, f"box {box.look}-f frame-s", radius=5)
        line = top + 5 + SIZE
        canvas.text(x, line, box.title, size=SIZE, bold=True)
        line = canvas.lines(x, line + SIZE * LINE, box.lines, size=SIZE - 1)
        canvas.lines(x, line + SIZE * LINE, box.bars, size=SIZE - 1, look="bar")
    if bars:
        low = min(x - w / 2 for (x, _), (w, _) in zip(found.places, sizes, strict=True))
        under = max(y + h / 2 for (_, y), (_, h) in zip(found.places, sizes, strict=True)) + 30
        canvas.text(low, under, "v: value, computed downwards", size=11, look="faint",
                    anchor="start")  # fmt: skip
        canvas.text(low, under + 16, "v̄: error signal, computed upwards", size=11, look="bar",
                    anchor="start")  # fmt: skip
    nodes = [
        {"name": box.name, "lines": box.lines, "bars": box.bars, "layer": layer,
         "x": round(x, 2), "y": round(y, 2), "width": round(w, 2), "height": round(h, 2)}
        for box, layer, (x, y), (w, h) in zip(boxes, found.layers, found.places, sizes, strict=True)
    ]  # fmt: skip
    return canvas.finish(title, words, {"style": "graph", "nodes": nodes, "edges": edges})
