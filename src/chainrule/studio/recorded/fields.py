"""The receptive field of a unit as a page shows it: exact places, and the formula's size and jump.

The places come from the recorded graph, element by element (``inspect.reach``); size, jump and
start from the shapes along the same graph (``inspect.receptive_field``).  Two ways to one answer:
where the second, a box around all paths, is not what is really read, the page says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from chainrule.graph import Node
from chainrule.inspect.element.step import Step
from chainrule.inspect.reach import Reach, fed, reach_of
from chainrule.inspect.receptive_field import WINDOWS, Field, fields_from
from chainrule.studio.recorded.layers import Layer, box, maps_of, node_name, of_sample

__all__ = ["reached"]


def reached(step: Step, layers: list[Layer], node: int, index: tuple[int, ...]) -> dict[str, Any]:
    """What a unit sees in each layer before it, and how that follows from the layers between."""
    found = reach_of(step, node, step.flat(node, index))
    data = fed(step)
    seen = [layer for layer in layers if layer.node in found.places and layer.node in data]
    return {
        "node": node,
        "index": list(index),
        "others": bool(found.joins),
        "layers": [_seen(step, layer.node, found.places[layer.node], index) for layer in seen],
        "formula": _formula(step, seen, found, node, index),
    }


def _seen(step: Step, number: int, places: np.ndarray, index: tuple[int, ...]) -> dict[str, Any]:
    """The box around the places in a layer, their cells in a map, and a map to show them in."""
    shape = step.order[number].shape
    maps, rows, columns = maps_of(shape[1:])
    cells = max(rows, 1) * columns
    mask = np.zeros(cells, bool)
    mask[places % cells] = True
    found = box(step, number, places)
    first, last = found["maps"]
    value = of_sample(step, number, "value", index[0] if index else 0)
    shown = first
    if value is not None and last > first:
        with np.errstate(all="ignore"):
            planes = value.reshape(maps, -1)[first : last + 1].astype(np.float64)
            shown += int(np.argmax(np.nan_to_num((planes**2).mean(axis=1))))
    whole = (last - first + 1) * int(np.count_nonzero(mask))
    return found | {
        "of": maps * cells,
        "map": shown,
        "runs": _runs(mask.reshape(max(rows, 1), columns)),
        "same": whole == len(places),  # each of its maps is seen at the same cells
    }


def _runs(mask: np.ndarray) -> list[list[int]]:
    """The first and last cell of each run of seen cells within a row.

    >>> _runs(np.array([[1, 1, 0, 1], [0, 0, 0, 1]], bool))
    [[0, 1], [3, 3], [7, 7]]
    """
    columns = mask.shape[1]
    framed = np.pad(mask, ((0, 0), (1, 1))).astype(np.int8)
    row, edge = np.nonzero(np.diff(framed, axis=1))
    cells = row * columns + edge
    return [[int(a), int(b) - 1] for a, b in zip(cells[::2], cells[1::2], strict=True)]


# ---------------------------------------------------------------- the formula


def _formula(
    step: Step,
    seen: Sequence[Layer],
    found: Reach,
    node: int,
    index: tuple[int, ...],
) -> dict[str, Any] | None:
    """Size, jump, start and centre with their numbers; None where no window moves over the data."""
    values = {each: step.array(k, "value") for k, each in enumerate(step.order)}
    ranked = sorted(found.places.keys() - found.joins, key=step.rank.__getitem__)
    nodes = [step.order[k] for k in ranked]
    for layer in seen:
        source = step.order[layer.node]
        if source.inputs or layer.node == node:
            continue
        fields = fields_from(source, nodes, values.get)
        last = fields.get(step.order[node])
        if last is not None:
            rows = [row for each in nodes[1:] if (row := _row(step, each, fields))]
            exact = box(step, layer.node, found.places[layer.node])
            return {"input": layer.node, "rows": rows} | _unit(last, source, index, exact)
    return None


def _unit(last: Field, source: Node, index: tuple[int, ...], exact: Any) -> dict[str, Any]:
    """The unit's own place: start + place · jump, and half the size further its centre."""
    found: dict[str, Any] = {"size": list(last.size), "jump": None, "start": None, "centre": None}
    sides = source.shape[-len(last.size) :]
    place = _place(last, index)
    if last.jump is None or place is None:
        return found | {"differs": False}
    starts, centres, differs = [], [], False
    ranges = [exact["rows"], exact["columns"]][-len(sides) :]
    for low, jump, p, size, side, (first, end) in zip(
        last.start, last.jump, place, last.size, sides, ranges, strict=True
    ):
        begin = low + p * Fraction(jump)
        starts.append(f"{_text(low)} + {p} · {_text(jump)} = {_text(begin)}")
        centre = begin + Fraction(size - 1, 2)
        centres.append(f"{_text(begin)} + ({size} − 1) / 2 = {_text(centre)}")
        differs |= (max(begin, 0), min(begin + size, side) - 1) != (first, end)
    return found | {
        "jump": [_text(jump) for jump in last.jump],
        "start": starts,
        "centre": centres,
        "differs": differs,
    }


def _place(last: Field, index: tuple[int, ...]) -> list[int] | None:
    """Where the unit is along each axis of the input, if an axis of its own says so."""
    found = {}
    for steps, at in zip(last.axes, index, strict=True):
        if len(steps) == 1 and steps[0].axis >= 0:
            found[steps[0].axis] = at
    return [found[k] for k in range(len(last.size))] if len(found) == len(last.size) else None


def _row(step: Step, node: Node, fields: dict[Node, Field]) -> dict[str, Any] | None:
    """What a node makes of the field of what it reads; None where that stays as it is."""
    after = fields.get(node)
    before = list(dict.fromkeys(source for source in node.inputs if source in fields))
    if after is None or not before:
        return None
    first = fields[before[0]]
    told = {"node": step.number[node], "name": node_name(node), "op": node.op.name}
    if node.op.name in WINDOWS:
        kernel = node.meta.get("kernel") or node.inputs[1].shape[2:]
        dilation = node.meta.get("dilation") or (1,) * len(kernel)
        if (after.size, after.jump) == (first.size, first.jump):
            return None
        size, jump = [], []
        for k, (f, s, d) in enumerate(zip(kernel, node.meta["stride"], dilation, strict=True)):
            step_ = _text(first.jump[k]) if first.jump else "0"
            span = f"{d}·({f} − 1)" if d > 1 else f"({f} − 1)"
            size.append(f"{first.size[k]} + {span} · {step_} = {after.size[k]}")
            jump.append(f"{step_} · {s} = {_text(after.jump[k]) if after.jump else '–'}")
        how = {
            "kernel": list(kernel),
            "stride": list(node.meta["stride"]),
            "padding": list(node.meta["padding"]),
            "dilation": list(dilation),
        }
        return told | {"window": how, "size": _once(size), "jump": _once(jump)}
    sizes = [fields[source].size for source in before]
    if len(set(sizes)) > 1:
        around = " and ".join(dict.fromkeys(_by(size) for size in sizes))
        return told | {"window": None, "size": [f"around {around}: {_by(after.size)}"], "jump": []}
    if after.size != first.size:
        return (
            told
            | {"window": None, "size": [f"{_by(first.size)} to {_by(after.size)}"]}
            | {"jump": [] if after.jump is None else [_by(map(_text, after.jump))]}
        )
    return None


def _once(texts: list[str]) -> list[str]:
    """One text where both axes have the same."""
    return list(dict.fromkeys(texts))


def _by(sizes: Any) -> str:
    return " × ".join(map(str, sizes))


def _text(number: Any) -> str:
    """A whole number, or a decimal one.

    >>> _text(Fraction(-3)), _text(Fraction(5, 2))
    ('−3', '2.5')
    """
    exact = Fraction(number)
    text = str(exact) if exact.denominator == 1 else f"{float(exact):.4g}"
    return text.replace("-", "−")
