"""An MLP as circles and lines: |w| is the width, the sign colour and dashes, the bias the rim."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule.errors import UsageError, message
from chainrule.inspect.draw.svg import Canvas, Drawing, shortened, text_width
from chainrule.inspect.walk import Walk
from chainrule.nn.module import Module
from chainrule.recording import no_grad

__all__ = ["draw_neurons"]

MOST_UNITS = 16  # of a layer; of a larger one the first and the last are drawn
ENDS = 4
MOST_WEIGHTS = 4_000_000  # of a layer whose values are looked at
RADIUS, STEP = 12.0, 36.0
WIDEST, THINNEST = 4.5, 0.5


@dataclass
class Column:
    """A layer's units, from the top: their numbers, None where some are left out."""

    count: int
    units: list[int | None]
    label: str
    weight: np.ndarray | None = None  # [units, units before]
    bias: np.ndarray | None = None
    after: str = ""  # the activation
    x: float = 0.0

    def y(self, place: int) -> float:
        """The centre of a unit; columns are centred on each other."""
        return (place - (len(self.units) - 1) / 2) * STEP


def draw_neurons(model: Module, pass_: Walk) -> Drawing:
    """Raises UsageError unless the model is a chain of Linear layers."""
    columns = _columns(model, pass_)
    canvas = Canvas()
    labels = [
        [column.label, f"{column.count:,} unit{'s' * (column.count > 1)}", column.after]
        for column in columns
    ]
    wide = [max(text_width(text, 11) for text in texts) for texts in labels]
    for k, column in enumerate(columns[1:], 1):
        gap = max(130.0, (wide[k - 1] + wide[k]) / 2 + 24)
        column.x = columns[k - 1].x + max(gap, 10.0 * max(len(c.units) for c in columns))
    largest = max((float(np.abs(c.weight).max()) for c in columns[1:]
                   if c.weight is not None and c.weight.size), default=0.0)  # fmt: skip
    for before, column in pairwise(columns):
        _lines(canvas, before, column, largest)
    for column in columns:
        _circles(canvas, column)
    bottom = max(column.y(len(column.units) - 1) for column in columns) + RADIUS + 26
    for column, texts in zip(columns, labels, strict=True):
        look = ("ink", "faint", "faint")
        for k, (text, ink) in enumerate(zip(texts, look, strict=True)):
            if text:
                canvas.text(column.x, bottom + 16 * k, text, size=11, look=ink)
    known = any(column.weight is not None for column in columns)
    if known:
        _legend(canvas, columns[0].x - RADIUS, bottom + 62, largest)
    sizes = "-".join(str(column.count) for column in columns)
    title = f"Neurons of a {sizes} network"
    words = f"{len(columns)} columns of units with {', '.join(str(c.count) for c in columns)} "
    words += "units; lines are weights" + (
        ", their width |w|, positive ones solid, negative ones dashed." * known or "."
    )
    data = {
        "style": "neurons",
        "layers": [
            {"label": c.label, "units": c.count, "drawn": [u for u in c.units if u is not None],
             "activation": c.after}
            for c in columns
        ],
    }  # fmt: skip
    return canvas.finish(title, words, data)


def _columns(model: Module, pass_: Walk) -> list[Column]:
    columns: list[Column] = []
    for call in pass_.innermost():
        if call.kind == "Linear" and call.output is not None:
            layer: Any = model.get_submodule(call.path)
            outputs, inputs = call.module.weight.shape
            if not columns:
                columns.append(_column(inputs, "input"))
            elif columns[-1].count != inputs:
                raise _no_chain(model, f"{call.path} after {columns[-1].count} units")
            column = _column(outputs, shortened(call.path or call.kind, 24))
            column.weight, column.bias = _numbers(layer)
            columns.append(column)
        else:
            if any(p.ndim > 1 for p in (call.module.parameters() if call.module else ())):
                raise _no_chain(model, f"{call.path}, a {call.kind}")
            if columns and call.kind not in ("Flatten", "Dropout", "Identity"):
                columns[-1].after += f", {call.kind}" if columns[-1].after else call.kind
    if not columns:
        raise _no_chain(model, "no Linear layer")
    return columns


def _no_chain(model: Module, why: str) -> UsageError:
    got = f"{type(model).__name__} with {why}"
    remedy = 'style="blocks" or "graph" draws any network'
    return UsageError(message("draw", got, "a chain of Linear layers", remedy=remedy))


def _column(count: int, label: str) -> Column:
    if count <= MOST_UNITS:
        return Column(count, list(range(count)), label)
    ends = [*range(ENDS), None, *range(count - ENDS, count)]
    return Column(count, ends, label)


def _numbers(layer: Any) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Weight and bias, unless they are too many, or not known before a first input."""
    if layer._open or layer.weight.numel() > MOST_WEIGHTS:
        return None, None
    with no_grad():
        bias = None if layer.bias is None else layer.bias.numpy()
        return layer.weight.numpy(), bias


def _lines(canvas: Canvas, before: Column, column: Column, largest: float) -> None:
    for place, unit in enumerate(column.units):
        for other, source in enumerate(before.units):
            if unit is None or source is None:
                continue
            ends = (before.x + RADIUS, before.y(other)), (column.x - RADIUS, column.y(place))
            if column.weight is None:
                canvas.line(*ends, "frame-s thin")
                continue
            w = float(column.weight[unit, source])
            width, sign, dash = _look(w, largest)
            note = f"w[{unit},{source}] = {w:.4g}".replace("-", "−")
            canvas.line(*ends, f"{sign}-s", width=width, dash=dash, note=note)


def _look(w: float, largest: float) -> tuple[float, str, str]:
    """(width, colour, dashes) of a weight."""
    width = THINNEST + (WIDEST - THINNEST) * abs(w) / largest if largest else THINNEST
    return width, "minus" if w < 0 else "plus", f"{3 + width:.1f} {2 + width:.1f}" if w < 0 else ""


def _circles(canvas: Canvas, column: Column) -> None:
    bias = column.bias
    most = float(np.abs(bias).max()) if bias is not None and bias.size else 0.0
    for place, unit in enumerate(column.units):
        y = column.y(place)
        if unit is None:
            words = f"⋮ {column.count:,}"
            wide = text_width(words, 14) + 4
            canvas.rect(column.x - wide / 2, y - 11, wide, 22, "paper-f")
            canvas.text(column.x, y + 5, words, size=14, look="faint")
        elif bias is None:
            canvas.circle(column.x, y, RADIUS, "value-f frame-s box", note=f"unit {unit}")
        else:
            b = float(bias[unit])
            width, sign, dash = _look(b, most)
            note = f"unit {unit}, b = {b:.4g}".replace("-", "−")
            canvas.circle(column.x, y, RADIUS, f"value-f {sign}-s", width=1 + width / 2,
                          dash=dash, note=note)  # fmt: skip


def _legend(canvas: Canvas, x: float, y: float, largest: float) -> None:
    for k, (w, words) in enumerate(((largest, "w > 0"), (-largest, "w < 0"))):
        width, sign, dash = _look(w, largest)
        canvas.line((x, y + 18 * k - 4), (x + 34, y + 18 * k - 4), f"{sign}-s", width=width,
                    dash=dash)  # fmt: skip
        text = f"{words}, |w| = {largest:.3g}"
        canvas.text(x + 42, y + 18 * k, text, size=11, look="faint", anchor="start")
    canvas.text(x, y + 36, "rims: biases", size=11, look="faint", anchor="start")
