"""``explain``: the chalkboard of back-propagation for any scalar loss.

The board has a grammar, so that a program can check every number of it (``digits=17`` prints them
exactly).  ``...`` is a formula in names or in numbers; ``·`` multiplies, ``²`` and ``x^1.5`` raise,
``σ ln exp √ tanh sin cos Σ`` are functions, ``[a > b]`` is 1 or 0, ``−`` is minus; ``∘`` multiplies
arrays element by element, side by side is the matrix product, ``ᵀ`` transposes::

    Given
      NAME = value   NAME = value
    Forward
      NAME = formula = numbers = value        long rows go on in lines that begin with "="
    Backward
      NAME̅ = rule                             an error signal with one addend
         = numbers
         = value
      NAME̅ = rule                             with several: a line for each reader ...
         from READER: formula = numbers = addend
         = addend + addend = value   (2 addends)  ... and their sum. Where an addend is too long,
             = numbers                        the deeper lines go on with it
    Reuse
      NAME̅: 1 computed, 2 used: NAME̅, NAME̅
"""

from __future__ import annotations

import sys
import unicodedata
from html import escape
from types import FrameType
from typing import Any

import numpy as np

from chainrule.errors import GradientError, ShapeError, message
from chainrule.graph import type_text
from chainrule.inspect.arrays import array_lines, array_text, is_small, type_and_size
from chainrule.inspect.board import Board, Variable
from chainrule.storage import Recorded
from chainrule.tensor import Tensor

__all__ = ["Explanation", "explain"]

WIDTH = 96


def explain(loss: Tensor, digits: int = 4) -> Explanation:
    """How a scalar loss came about and what its error signals are, as on a chalkboard.

    The loss may still be pending; its ``backward()`` must not have run. Nothing is changed: no
    ``.grad``, no later number. Names are those of the tensors, else those of your variables, else
    v1, v2 ...; the loss is L.

    >>> import chainrule as cr
    >>> w = cr.tensor(0.8, requires_grad=True)
    >>> y = w * 1.5
    >>> print(explain((y - 1) ** 2))
    Given
      w = 0.8
    Forward
      y = 1.5·w    = 1.5·0.8    = 1.2
      L = (y − 1)² = (1.2 − 1)² = 0.04
    Backward
      L̄ = 1
      ȳ = L̄·∂L/∂y = L̄·2·(y − 1)
        = 1·2·(1.2 − 1)
        = 0.4
      w̄ = ȳ·∂y/∂w = ȳ·1.5
        = 0.4·1.5
        = 0.6
    """
    return board(loss, digits, frame=sys._getframe(1))


def board(
    loss: Tensor, digits: int, *, frame: FrameType | None = None, title: str = "", notes: str = ""
) -> Explanation:
    """As ``explain``; local variables of ``frame`` are names."""
    if loss.numel() != 1:
        got = f"{loss.name or loss.op} of type {type_text(loss.shape, loss.dtype)}"
        raise ShapeError(message("explain", got, "a scalar", remedy="sum() or mean()"))
    node = loss._node
    if node.consumed is not None:
        code, number = node.consumed
        where = f"{code.co_filename.rsplit('/', 1)[-1]}:{number}"
        remedy = (
            "Explain it before, or run the step in `with cr.record() as tape:` and read the tape"
        )
        got = f"a loss whose backward has run at {where}"
        raise GradientError(message("explain", got, "one whose history is there", remedy=remedy))
    return Explanation(Board(node, _names(node, loss, frame), digits), digits, title, notes)


def _names(loss: Recorded, handle: Tensor, frame: FrameType | None) -> dict[Recorded, str]:
    """What the nodes are called: by their tensors, or by the variables of the caller."""
    found: dict[Recorded, str] = {}
    if frame is not None:
        for scope in (frame.f_locals, frame.f_globals):
            for name, thing in list(scope.items()):
                if isinstance(thing, Tensor) and not name.startswith("_"):
                    node = _present(thing)
                    if node is not None and name not in found.values():
                        found.setdefault(node, name)
    if found.get(loss) in ("loss", None) and "L" not in found.values():
        found[loss] = "L"
    stack, seen = [loss], {loss}
    while stack:
        node = stack.pop()
        if node.name:
            found[node] = node.name
        fresh = [source for source in node.inputs if source not in seen]
        seen.update(fresh)  # type: ignore[arg-type]
        stack.extend(fresh)  # type: ignore[arg-type]
    if handle.name:
        found[loss] = handle.name
    return _unique({node: name for node, name in found.items() if node in seen})


def _present(tensor: Tensor) -> Recorded | None:
    """The node that a variable shows now, without recording one."""
    if tensor._seen is not None and tensor._version == tensor._storage.version:
        return tensor._seen.node
    return None if tensor._path else tensor._storage.node


def _unique(names: dict[Recorded, str]) -> dict[Recorded, str]:
    """Two values of one name get a number behind it, in the order of the program."""
    count: dict[str, int] = {}
    single: dict[Recorded, str] = {}
    for node in sorted(names, key=lambda node: node.sequence):
        name = names[node]
        count[name] = count.get(name, 0) + 1
        single[node] = name if count[name] == 1 else f"{name}_{count[name]}"
    return single


class Explanation:
    """The board: ``print`` it, or read ``rows``, plain data for JSON.

    Each row is a dict: ``phase`` (given, forward, backward), ``name``, ``type``, ``op``,
    ``formula``, ``numbers`` (None where an array is too large to be written), ``value``, ``line``;
    in the backward phase also ``of`` and ``addends``, each with ``reader``, ``formula``,
    ``numbers`` and ``value``.
    """

    def __init__(self, board: Board, digits: int, title: str = "", notes: str = "") -> None:
        self.digits, self.title, self.notes = digits, title, notes
        self._given = [v for v in board.variables if v.given]
        self._forward = [v for v in board.variables if not v.given]
        self._backward = board.backward
        self.rows: list[dict[str, Any]] = [_forward_row(v) for v in board.variables]
        self.rows += [_backward_row(v) for v in self._backward]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data: ``json.dumps(explanation.to_json())``."""
        return {"title": self.title, "notes": self.notes, "digits": self.digits, "rows": self.rows}

    def __str__(self) -> str:
        lines = [self.title] if self.title else []
        lines += ["Given", *self._given_lines()] if self._given else []
        lines += ["Forward", *self._forward_lines()]
        if self._backward:
            lines.append("Backward")
            for variable in self._backward:
                lines += self._backward_lines(variable)
            reuse = self._reuse_lines()
            lines += ["Reuse", *reuse] if reuse else []
        if self.notes:
            lines += ["Notes", *(f"  {line}" for line in self.notes.splitlines())]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    # ------------------------------------------------------------ lines

    def _given_lines(self) -> list[str]:
        lines: list[str] = []
        short: list[str] = []
        for variable in self._given:
            rows = array_lines(variable.value, self.digits)
            text = f"{variable.name} = {rows[0]}"
            if len(rows) > 1:
                lines += _flow(short) + _block(f"  {variable.name} = ", rows)
                short = []
            else:
                short.append(text)
        return lines + _flow(short)

    def _forward_lines(self) -> list[str]:
        rows = []
        for variable in self._forward:
            value = array_lines(variable.value, self.digits)
            cells = [variable.formula]
            plain = variable.numbers not in (None, variable.formula, value[0])
            cells += [variable.numbers] if plain and variable.numbers else []
            rows.append((variable, cells, value))
        return self._columns(rows)

    def _columns(self, rows: list[tuple[Variable, list[str], list[str]]]) -> list[str]:
        """One row a line with the signs of equality below each other, where that fits."""
        fits = [
            _width(" = ".join([v.name, *cells, value[0]])) + 2 <= WIDTH and len(value) == 1
            for v, cells, value in rows
        ]
        chosen = [row for row, fit in zip(rows, fits, strict=True) if fit and len(row[1]) == 2]
        name = max((_width(v.name) for v, _, _ in chosen), default=0)
        one = max((_width(cells[0]) for _, cells, _ in chosen), default=0)
        two = max((_width(cells[1]) for _, cells, _ in chosen), default=0)
        last = max((_width(value[0]) for _, _, value in chosen), default=0)
        if name + one + two + last + 11 > WIDTH:
            name = one = two = 0
        lines = []
        for (variable, cells, value), fit in zip(rows, fits, strict=True):
            head = _pad(f"  {variable.name}", name + 2)
            if fit:
                widths = (one, two) if variable.numbers is not None else (0, 0)
                wide = [_pad(text, width) for text, width in zip(cells, widths, strict=False)]
                lines.append(" = ".join([head, *wide, value[0]]))
                continue
            indent = " " * _width(head)
            lines.append(f"{head} = {cells[0]}")
            lines += [f"{indent} = {cell}" for cell in cells[1:] if _readable(cell)]
            lines += _block(f"{indent} = ", value)
        return lines

    def _backward_lines(self, variable: Variable) -> list[str]:
        assert variable.bar is not None
        head = f"  {variable.bar_name}"
        more = " " * _width(head) + " = "
        value = array_lines(variable.bar, self.digits)
        addends = variable.addends
        if not addends:
            return _block(f"{head} = ", value)
        rule = _joined([addend.formula for addend in addends])
        parts = [head]
        if not variable.bar.ndim and not any(a.reader.bar.ndim for a in addends):  # type: ignore[union-attr]
            parts.append(" + ".join(_chain(a.reader, variable) for a in addends))
        lines = _wrapped([*parts, rule])
        if len(addends) == 1:
            numbers = addends[0].numbers
            plain = array_text(variable.bar, self.digits)
            if numbers is not None and numbers != plain and _readable(numbers):
                lines.append(f"{more}{numbers}")
            return lines + _block(more, value)
        for addend in addends:
            lines += self._addend_lines(" " * (_width(head) + 1), addend)
        if is_small(variable.bar):
            texts = [array_text(a.value, self.digits) for a in addends]
            summed = " + ".join(f"({t})" if i and t[0] == "−" else t for i, t in enumerate(texts))
            counted = f"   ({len(addends)} addends)"
            if len(value) == 1 and _width(f"{more}{summed} = {value[0]}{counted}") <= WIDTH:
                return [*lines, f"{more}{summed} = {value[0]}{counted}"]
            if _readable(summed):
                lines.append(f"{more}{summed}")
        return lines + _block(more, value)

    def _addend_lines(self, indent: str, addend: Any) -> list[str]:
        value = array_text(addend.value, self.digits)
        cells = [addend.formula]
        if addend.numbers is not None and addend.numbers not in (addend.formula, value):
            cells.append(addend.numbers)
        cells.append(value)
        head = f"{indent}from {addend.reader.name}: "
        line = head + " = ".join(cells)
        if _width(line) <= WIDTH:
            return [line]
        more = " " * (_width(head) - 2) + "= "
        middle = [more + cell for cell in cells[1:-1] if _readable(cell)]
        return [head + cells[0], *middle, *_block(more, array_lines(addend.value, self.digits))]

    def _reuse_lines(self) -> list[str]:
        users: dict[str, list[str]] = {}
        for variable in self._backward:
            for addend in variable.addends:
                users.setdefault(addend.reader.bar_name, []).append(variable.bar_name)
        lines = []
        for name, used in users.items():
            if len(used) > 1:
                twice = dict.fromkeys(
                    f"{u} ×{used.count(u)}" if used.count(u) > 1 else u for u in used
                )
                lines.append(f"  {name}: 1 computed, {len(used)} used: {', '.join(twice)}")
        return lines


def _readable(text: str) -> bool:
    """Whether numbers are worth a line: matrices that fill several are not."""
    return "[" not in text or _width(text) <= WIDTH - 8


def _chain(reader: Variable, variable: Variable) -> str:
    return f"{reader.bar_name}·∂{reader.name}/∂{variable.name}"


def _joined(texts: list[str]) -> str:
    """Addends with their signs: a + b − c."""
    return texts[0] + "".join(
        f" − {text[1:]}" if text.startswith("−") else f" + {text}" for text in texts[1:]
    )


def _width(text: str) -> int:
    return sum(not unicodedata.combining(letter) for letter in text)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _wrapped(parts: list[str]) -> list[str]:
    """Parts with = between them, in one line or the later ones below."""
    line = " = ".join(parts)
    if _width(line) <= WIDTH:
        return [line]
    more = " " * _width(parts[0]) + " = "
    return [f"{parts[0]} = {parts[1]}", *(more + part for part in parts[2:])]


def _block(head: str, rows: list[str]) -> list[str]:
    return [head + rows[0], *(" " * _width(head) + row for row in rows[1:])]


def _flow(texts: list[str]) -> list[str]:
    lines: list[str] = []
    for text in texts:
        if lines and _width(lines[-1]) + _width(text) + 3 <= 80:
            lines[-1] += f"   {text}"
        else:
            lines.append(f"  {text}")
    return lines


def _forward_row(variable: Variable) -> dict[str, Any]:
    node = variable.core
    return {
        "phase": "given" if variable.given else "forward",
        "name": variable.name,
        "type": type_text(variable.face.shape, variable.face.dtype),
        "op": node.op.name,
        "formula": variable.formula or None,
        "numbers": variable.numbers,
        "value": _plain(variable.value),
        "line": node.where,
    }


def _backward_row(variable: Variable) -> dict[str, Any]:
    assert variable.bar is not None
    return {
        "phase": "backward",
        "name": variable.bar_name,
        "type": type_text(variable.face.shape, variable.face.dtype),
        "of": variable.name,
        "formula": _joined([a.formula for a in variable.addends]) if variable.addends else None,
        "value": _plain(variable.bar),
        "addends": [
            {
                "reader": addend.reader.name,
                "formula": addend.formula,
                "numbers": addend.numbers,
                "value": _plain(addend.value),
            }
            for addend in variable.addends
        ],
    }


def _plain(array: np.ndarray) -> Any:
    return array.tolist() if is_small(array) else type_and_size(array)
