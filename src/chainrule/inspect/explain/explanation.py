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

With ``notation=`` error signals are called ∂L/∂NAME or δ_NAME; with ``ascii`` all of it is in plain
letters: NAME_bar, ``*``, ``.*`` for ∘, ``^2``, ``sum``, ``sigma``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from chainrule.errors import GradientError, ShapeError, message
from chainrule.graph import type_text
from chainrule.inspect.arrays import array_data
from chainrule.inspect.explain.board import Board, Variable
from chainrule.inspect.explain.latex import latex_board, markdown_board
from chainrule.inspect.explain.notebook import Notebook
from chainrule.inspect.explain.overview import LARGEST, Overview
from chainrule.inspect.explain.text import TextBoard, joined
from chainrule.inspect.notation import check_notation
from chainrule.storage import Recorded
from chainrule.tensor import Tensor

__all__ = ["Explanation", "board", "explain", "names_of"]


def explain(
    loss: Tensor, digits: int = 4, *, notation: str = "bar", ascii: bool = False
) -> Explanation | Overview:
    """How a scalar loss came about and what its error signals are, as on a chalkboard.

    The loss may still be pending; its ``backward()`` must not have run. Nothing is changed: no
    ``.grad``, no later number. Names are those of the tensors, else those of your variables, else
    v1, v2 ...; the loss is L.  ``notation`` calls error signals v̄ ("bar"), ∂L/∂v ("leibniz"), δ_v
    ("delta"), or shows rows ∂L/∂v as products of Jacobians ("jacobian"); ``ascii`` writes v_bar.

    ``print`` it; ``to_latex()``, ``to_markdown()`` and ``to_json()`` give other forms. A graph of
    more than 60 nodes is shown as an ``Overview``, one line per layer.

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
    frame = sys._getframe(1)
    variables = dict(frame.f_globals) | dict(frame.f_locals)
    return board(loss, digits, variables=variables, notation=notation, ascii=ascii)


def board(
    loss: Tensor,
    digits: int,
    *,
    variables: Mapping[str, Any] | None = None,
    title: str = "",
    notes: str = "",
    notation: str = "bar",
    ascii: bool = False,
    overview: bool = False,
) -> Any:
    """As ``explain``; ``variables`` that are tensors lend their names; ``overview`` insists."""
    check_notation(notation)
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
    names = names_of(loss, variables or {})
    if overview or Overview.nodes(node) > LARGEST:
        return Overview(node, names, digits, notation, title, notes, ascii)
    shown = Board(node, names, digits, notation)
    return Explanation(shown, digits, title, notes, ascii)


def names_of(handle: Tensor, variables: Mapping[str, Any]) -> dict[Recorded, str]:
    """What the nodes of a loss are called: by their tensors, or by the variables of the caller."""
    loss = handle._node
    found: dict[Recorded, str] = {}
    for name, thing in variables.items():
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
        seen.update(fresh)
        stack.extend(fresh)
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


class Explanation(Notebook):
    """The board: ``print`` it, or take ``to_latex()``, ``to_markdown()``, ``to_json()``.

    ``rows`` are plain data, one dict a row: ``phase`` (given, forward, backward), ``name``,
    ``type``, ``op``, ``formula``, ``numbers`` (None where an array is too large to be written),
    ``value``, ``line``; in the backward phase also ``of`` and ``addends``, each with ``reader``,
    ``formula``, ``numbers`` and ``value``.
    """

    def __init__(
        self, board: Board, digits: int, title: str = "", notes: str = "", ascii: bool = False
    ) -> None:
        self.digits, self.title, self.notes, self.ascii = digits, title, notes, ascii
        self.notation = board.notation
        self.variables, self.backward = board.variables, board.backward
        self.rows: list[dict[str, Any]] = [_forward_row(v) for v in self.variables]
        self.rows += [_backward_row(v) for v in self.backward]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data: ``json.dumps(explanation.to_json())``.

        ``title``, ``notes``, ``digits``, ``notation``, and ``nodes`` in forward order, each with

        - ``name``, ``type`` (f64[2,3]), ``op``, ``line`` (net.py:12)
        - ``formula`` (null for what is given) and ``numbers``, the same with numbers put in
        - ``value``: a number, nested lists, or for an array larger than 6×6 its ``shape``, ``rms``
          and ``largest`` entries, each with ``index`` and ``value``
        - ``error_signal``, null where there is none: ``name``, ``formula``, ``value``, and its
          ``addends``, one per reader: ``reader``, ``formula``, ``numbers``, ``value``
        """
        signals = {row["of"]: row for row in self.rows if row["phase"] == "backward"}
        nodes = []
        for row in self.rows:
            if row["phase"] == "backward":
                continue
            signal = signals.get(row["name"])
            if signal is not None:
                kept = ("name", "formula", "value", "addends")
                signal = {key: signal[key] for key in kept}
            nodes.append({k: v for k, v in row.items() if k != "phase"} | {"error_signal": signal})
        head = {"title": self.title, "notes": self.notes, "digits": self.digits}
        return head | {"notation": self.notation, "nodes": nodes}

    def to_latex(self) -> str:
        """The board as one ``aligned`` of LaTeX, without the signs around mathematics."""
        return latex_board(self.variables, self.backward, self.digits)

    def to_markdown(self) -> str:
        """The board as tables of Markdown, with LaTeX between dollar signs."""
        head = f"**{self.title}**\n\n" if self.title else ""
        notes = f"\n\n{self.notes}" if self.notes else ""
        return head + markdown_board(self.variables, self.backward, self.digits) + notes

    def __str__(self) -> str:
        text = TextBoard(self.variables, self.backward, self.digits, self.notation, self.ascii)
        lines = [text.style(self.title)] if self.title else []
        lines += text.lines()
        if self.notes:
            lines += ["Notes", *(f"  {text.style(line)}" for line in self.notes.splitlines())]
        return "\n".join(lines)

    __repr__ = __str__


def _forward_row(variable: Variable) -> dict[str, Any]:
    node = variable.core
    return {
        "phase": "given" if variable.given else "forward",
        "name": variable.name,
        "type": type_text(variable.face.shape, variable.face.dtype),
        "op": node.op.name,
        "formula": variable.formula or None,
        "numbers": variable.numbers,
        "value": array_data(variable.value),
        "line": node.where,
    }


def _backward_row(variable: Variable) -> dict[str, Any]:
    assert variable.bar is not None
    return {
        "phase": "backward",
        "name": variable.signal,
        "type": type_text(variable.face.shape, variable.face.dtype),
        "of": variable.name,
        "formula": joined([a.formula for a in variable.addends]) if variable.addends else None,
        "value": array_data(variable.bar),
        "addends": [
            {
                "reader": addend.reader.name,
                "formula": addend.formula,
                "numbers": addend.numbers,
                "value": array_data(addend.value),
            }
            for addend in variable.addends
        ],
    }
