"""The board as text: given values, forward rows, error signals, what is used more than once."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from chainrule.inspect.arrays import array_lines, array_text, is_small
from chainrule.inspect.explain.board import Addend, Variable
from chainrule.inspect.notation import ascii_text

__all__ = ["WIDTH", "TextBoard", "chain_rule", "joined"]

WIDTH = 96


class TextBoard:
    """``lines`` of the board of some variables, in forward and in backward order."""

    def __init__(
        self,
        variables: Sequence[Variable],
        backward: Sequence[Variable],
        digits: int,
        notation: str,
        ascii: bool,
    ) -> None:
        self.digits, self.notation = digits, notation
        self.style: Callable[[str], str] = ascii_text if ascii else str
        shown = {id(v): self._styled(v) for v in variables}
        for variable in shown.values():
            variable.addends = [
                replace(a, reader=shown[id(a.reader)], formula=self.style(a.formula),
                        numbers=None if a.numbers is None else self.style(a.numbers))
                for a in variable.addends
            ]  # fmt: skip
        self._given = [v for v in shown.values() if v.given]
        self._forward = [v for v in shown.values() if not v.given]
        self._backward = [shown[id(v)] for v in backward]

    def _styled(self, v: Variable) -> Variable:
        numbers = None if v.numbers is None else self.style(v.numbers)
        name, formula, signal = self.style(v.name), self.style(v.formula), self.style(v.signal)
        return replace(v, name=name, formula=formula, numbers=numbers, signal=signal)

    def _rows(self, array: np.ndarray) -> list[str]:
        return [self.style(line) for line in array_lines(array, self.digits)]

    def _text(self, array: np.ndarray) -> str:
        return self.style(array_text(array, self.digits))

    def lines(self) -> list[str]:
        """The board, without title and notes."""
        lines = ["Given", *self._given_lines()] if self._given else []
        lines += ["Forward", *self._forward_lines()]
        if self._backward:
            lines.append("Backward")
            for variable in self._backward:
                lines += self._backward_lines(variable)
            reuse = self._reuse_lines()
            lines += ["Reuse", *reuse] if reuse else []
        return lines

    def _given_lines(self) -> list[str]:
        lines: list[str] = []
        short: list[str] = []
        for variable in self._given:
            rows = self._rows(variable.value)
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
            value = self._rows(variable.value)
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
        head = f"  {variable.signal}"
        more = " " * _width(head) + " = "
        value = self._rows(variable.bar)
        addends = variable.addends
        if not addends:
            return _block(f"{head} = ", value)
        rule = joined([addend.formula for addend in addends])
        parts = [head]
        chain = self.style(chain_rule(variable, self._backward[0], self.notation))
        if chain not in ("", rule, variable.signal):
            parts.append(chain)
        lines = _wrapped([*parts, rule])
        if [rule] == value and len(parts) == 1:
            return lines
        if len(addends) == 1:
            numbers = addends[0].numbers
            plain = self._text(variable.bar)
            if numbers not in (None, plain, rule) and _readable(numbers):
                lines.append(f"{more}{numbers}")
            elif numbers is not None and addends[0].jacobian is not None:
                row = self._text(addends[0].reader.bar)  # type: ignore[arg-type]
                lines += _block(f"{more}{row}{self.style('·')}", self._rows(addends[0].jacobian))
            return lines + _block(more, value)
        for addend in addends:
            lines += self._addend_lines(" " * (_width(head) + 1), addend)
        if is_small(variable.bar):
            texts = [self._text(a.value) for a in addends]
            negative = ("−", "-")
            summed = " + ".join(
                f"({t})" if i and t[0] in negative else t for i, t in enumerate(texts)
            )
            counted = f"   ({len(addends)} addends)"
            if len(value) == 1 and _width(f"{more}{summed} = {value[0]}{counted}") <= WIDTH:
                return [*lines, f"{more}{summed} = {value[0]}{counted}"]
            if _readable(summed):
                lines.append(f"{more}{summed}")
        return lines + _block(more, value)

    def _addend_lines(self, indent: str, addend: Addend) -> list[str]:
        value = self._text(addend.value)
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
        return [head + cells[0], *middle, *_block(more, self._rows(addend.value))]

    def _reuse_lines(self) -> list[str]:
        users: dict[str, list[str]] = {}
        for variable in self._backward:
            for addend in variable.addends:
                users.setdefault(addend.reader.signal, []).append(variable.signal)
        lines = []
        for name, used in users.items():
            one = self.notation != "bar" and name == self._backward[0].signal  # ∂L/∂L
            if len(used) > 1 and not one:
                twice = dict.fromkeys(
                    f"{u} ×{used.count(u)}" if used.count(u) > 1 else u for u in used
                )
                lines.append(f"  {name}: 1 computed, {len(used)} used: {', '.join(twice)}")
        return lines


def _readable(text: str) -> bool:
    """Whether numbers are worth a line: matrices that fill several are not."""
    return "[" not in text or _width(text) <= WIDTH - 8


def chain_rule(variable: Variable, end: Variable, notation: str) -> str:
    """ȳ·∂y/∂x + … where all of it are numbers, else "".  end: the loss."""
    parts = []
    for addend in variable.addends:
        reader = addend.reader
        if variable.bar is None or variable.bar.ndim or reader.bar is None or reader.bar.ndim:
            return ""
        slope = f"∂{reader.name}/∂{variable.name}"
        seed = notation != "bar" and reader is end
        parts.append(slope if seed else f"{reader.signal}·{slope}")
    return " + ".join(parts)


def joined(texts: Sequence[str]) -> str:
    """Addends with their signs: a + b − c."""
    return texts[0] + "".join(
        f" {text[0]} {text[1:]}" if text.startswith(("−", "-")) else f" + {text}"
        for text in texts[1:]
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
