"""A large graph at a glance: one line per layer, with sizes instead of walls of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.graph import topological_order
from chainrule.inspect.arrays import largest_entries, rms
from chainrule.inspect.explain.latex import latex_of
from chainrule.inspect.explain.notebook import Notebook
from chainrule.inspect.formulas import SEE_THROUGH, number_text
from chainrule.inspect.notation import ascii_text, signal_name
from chainrule.inspect.recorded import RecordedLoss
from chainrule.ops import leaf
from chainrule.storage import Recorded

__all__ = ["LARGEST", "Overview"]

LARGEST = 60  # nodes that are explained one by one
MOST = 100  # lines that are printed


@dataclass(frozen=True)
class Line:
    """A layer's result or a parameter, and its error signal, by their sizes."""

    kind: str  # given, layer, parameter
    name: str
    type: str
    line: str
    value: np.ndarray
    bar: np.ndarray | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        signal = None if self.bar is None else _sizes(self.bar)
        head = {"kind": self.kind, "name": self.name, "type": self.type, "line": self.line}
        return head | _sizes(self.value) | {"error_signal": signal}

    def cells(self, digits: int) -> list[str]:
        """Name, type, rms v, rms v̄, the largest entry of v̄ and where it is."""
        floating = self.value.dtype.kind == "f"
        cells = [self.name, self.type, number_text(rms(self.value), digits) if floating else "–"]
        if self.bar is None or not self.bar.size:
            return [*cells, "–", ""]
        ((index, value),) = largest_entries(self.bar, 1)
        at = f" at {','.join(map(str, index))}" if index else ""
        return [*cells, number_text(rms(self.bar), digits), number_text(value, digits) + at]


def _sizes(array: np.ndarray) -> dict[str, Any]:
    if array.dtype.kind != "f":
        return {"rms": None, "largest": []}
    entries = [{"index": list(index), "value": value} for index, value in largest_entries(array)]
    return {"rms": rms(array), "largest": entries}


class Overview(Notebook):
    """One line per layer: its type, rms v, rms v̄, and the largest entry of v̄ with its position.

    A layer is what was recorded in a row in one scope (``conv1/Conv2d``, ``relu``); what stands in
    none goes up to the next value that has a name.  ``rows`` are plain data, ``print`` a table.
    """

    def __init__(
        self,
        loss: Recorded,
        names: dict[Recorded, str],
        digits: int = 4,
        notation: str = "bar",
        title: str = "",
        notes: str = "",
        ascii: bool = False,
    ) -> None:
        self.digits, self.title, self.notes = digits, title, notes
        self.notation, self.ascii = notation, ascii
        recorded = RecordedLoss(loss)
        self.node_count = self.nodes(loss)
        self.lines = _leaves(recorded, names, "given") + _layers(recorded, names)
        self.lines += _leaves(recorded, names, "parameter")
        self.signal = signal_name("v", names.get(loss, "L"), notation)
        self.rows = [line.to_json() for line in self.lines]
        recorded.release()

    @staticmethod
    def nodes(loss: Recorded) -> int:
        """How many operations lead to a loss."""
        return sum(bool(node.inputs) for node in topological_order([loss]))

    def to_json(self) -> dict[str, Any]:
        """Plain data: ``title``, ``notes``, ``digits``, ``notation``, ``node_count``, ``layers``.

        Each layer has ``kind`` (given, layer, parameter), ``name``, ``type``, ``line``, ``rms``,
        ``largest`` entries (``index``, ``value``) and the same of its ``error_signal``, or null.
        """
        head = {"title": self.title, "notes": self.notes, "digits": self.digits}
        counted = {"notation": self.notation, "node_count": self.node_count}
        return head | counted | {"layers": self.rows}

    def _table(self) -> list[list[str]]:
        signal = self.signal
        head = ["", "type", "rms v", f"rms {signal}", f"largest {signal}"]
        return [head] + [line.cells(self.digits) for line in self.lines]

    def __str__(self) -> str:
        style = ascii_text if self.ascii else str
        table = [[style(cell) for cell in row] for row in self._table()]
        widths = [max(_width(row[i]) for row in table) for i in range(4)]
        text = [style(self.title)] if self.title else []
        text.append(style(f"{self.node_count} operations, one line per layer"))
        kind = ""
        for place, (row, line) in enumerate(zip(table, [None, *self.lines], strict=True)):
            if MOST // 2 <= place < len(table) - MOST // 2:  # to_json() has all of them
                text += [f"  ... {len(table) - MOST} more"] if place == MOST // 2 else []
                continue
            if line is not None and line.kind != kind:
                kind = line.kind
                text.append({"given": "Given", "layer": "Layers", "parameter": "Parameters"}[kind])
            cells = [_pad(row[0], widths[0]), _pad(row[1], widths[1])]
            cells += [" " * (widths[i] - _width(row[i])) + row[i] for i in (2, 3)]
            text.append("  " + "  ".join([*cells, row[4]]).rstrip())
        if self.notes:
            text += ["Notes", *(f"  {style(line)}" for line in self.notes.splitlines())]
        return "\n".join(text)

    __repr__ = __str__

    def to_latex(self) -> str:
        """A table of LaTeX, without the signs around mathematics."""
        rows = [
            " & ".join(rf"\text{{{_plain(cell)}}}" for cell in row) for row in self._table()[1:]
        ]
        signal = latex_of(self.signal)
        head = rf"& \text{{type}} & \text{{rms }} v & \text{{rms }} {signal} & \text{{largest}}"
        return "\n".join(
            [r"\begin{array}{llrrl}", rf"{head} \\", *(rf"{row} \\" for row in rows),
             r"\end{array}"]
        )  # fmt: skip

    def to_markdown(self) -> str:
        """A table of Markdown."""
        head, *rows = self._table()
        title = f"**{self.title}**\n\n" if self.title else ""
        lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * 5, *rows)]
        notes = f"\n\n{self.notes}" if self.notes else ""
        return title + "\n".join(lines) + notes


def _width(text: str) -> int:
    return len(text) - text.count("\u0304")


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _plain(text: str) -> str:
    """A cell between the braces of LaTeX's text."""
    return ascii_text(text).replace("_", r"\_").replace("#", r"\#").replace("%", r"\%")


def _leaves(recorded: RecordedLoss, names: dict[Recorded, str], kind: str) -> list[Line]:
    """What entered from outside: data, or what is learned."""
    lines = []
    for node in recorded.order:
        if recorded.inputs[node] or node.op is leaf.number:
            continue
        if (kind == "parameter") == node.needs_grad:
            called = names.get(node) or node.scope.rpartition("/")[2] or node.op.name
            lines.append(_line(recorded, kind, called, node))
    return lines


def _line(recorded: RecordedLoss, kind: str, name: str, node: Any) -> Line:
    return Line(kind, name, node.type, node.where, recorded.value(node), recorded.bar(node))


def _layers(recorded: RecordedLoss, names: dict[Recorded, str]) -> list[Line]:
    """Runs of one scope, each shown by its last node; outside of scopes each value for itself."""
    runs: list[list[Any]] = []
    for node in recorded.order:
        if not recorded.inputs[node]:
            continue
        if node.scope and runs and runs[-1][-1].scope == node.scope:
            runs[-1].append(node)
        elif node.scope or node in names or node.op.name not in SEE_THROUGH:
            runs.append([node])
    lines = []
    for *_, node in runs:
        called = node.scope or names.get(node) or node.op.name
        if names.get(node, called) != called:
            called = f"{called} ({names[node]})"
        lines.append(_line(recorded, "layer", called, node))
    return lines
