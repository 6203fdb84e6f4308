"""A small graph as a picture: each value v with its formula and its error signal v̄."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import GradientError, message
from chainrule.graph import topological_order
from chainrule.inspect.arrays import array_text, is_small
from chainrule.inspect.draw.boxes import SEE_THROUGH, Box, draw_boxes
from chainrule.inspect.draw.layers import draw_layers
from chainrule.inspect.draw.svg import Drawing, shortened
from chainrule.inspect.formulas import SUBSCRIPT, Writer, Written
from chainrule.inspect.notation import bar_of
from chainrule.inspect.recorded import RecordedLoss
from chainrule.ops import leaf
from chainrule.storage import Recorded
from chainrule.tensor import Tensor

__all__ = ["draw_loss"]

MOST_BOXES = 60  # beyond it, values make room for layers
FORMULA = 16  # letters of a formula that can stand for a value


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
        return draw_layers(order, [node], {})
    values = RecordedLoss(node, "draw")
    picture = _values(values, names, digits)
    values.release()
    return picture


def _is_shown(node: Any, names: dict[Recorded, str]) -> bool:
    """Numbers stand in the formulas, changes of shape are no boxes."""
    if node in names:
        return True
    return node.op is not leaf.number and node.op.name not in SEE_THROUGH


def _values(values: RecordedLoss, names: dict[Recorded, str], digits: int) -> Drawing:
    shown = [node for node in values.order if _is_shown(node, names)]
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
    if values.signals.total:
        words += f"; below each value v its error signal v̄ = ∂{boxes[-1].name}/∂v"
    return draw_boxes(boxes, edges, title, words + ".", bool(values.signals.total))


def _add_names(
    shown: list[Any], values: RecordedLoss, names: dict[Recorded, str], writer: Writer
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


def _writer(values: RecordedLoss, names: dict[Recorded, str], digits: int) -> Writer:
    def atom(node: Any) -> Written | None:
        if node in names:
            return Written(_pretty(names[node]), array=bool(node.shape))
        if not values.inputs.get(node) and node.op is not leaf.number:
            return Written(array_text(values.value(node), digits), array=bool(node.shape))
        return None

    return Writer(values.inputs, atom, digits=digits)


def _value_box(
    node: Any, values: RecordedLoss, names: dict[Recorded, str], writer: Writer, digits: int
) -> Box:
    name, given = _pretty(names.get(node, "")), not values.inputs[node]
    formula = "" if given else writer.formula(node).text
    if len(formula) > 3 * FORMULA:
        formula = f"{node.op.name}(…)"
    rows = _rows(values.value(node), digits)
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
    elif node is values.loss:
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
