r"""The board in LaTeX and Markdown: its notation, token by token.

``latex_of`` reads the board's own notation (see ``explain``), so there is one writer of formulas.
Matrices become ``bmatrix``, v̄ ``\bar{v}``, ∂L/∂v a fraction, ``·`` and ``∘`` products; what is
marked as a value's becomes ``\of{VALUE}{…}``, which a page may define.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from chainrule.inspect.arrays import array_text, is_small
from chainrule.inspect.explain.board import Addend, Variable
from chainrule.inspect.explain.text import joined
from chainrule.inspect.formulas import MARKED

__all__ = ["latex_board", "latex_of", "markdown_board"]

LOWERED, RAISED = "₀₁₂₃₄₅₆₇₈₉", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"
SIGNS = {
    "·": r"\cdot ", "∘": r"\circ ", "−": "-", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ",
    "Σ": r"\sum ", "∂": r"\partial ", "ᵀ": r"^{\top}", "×": r"\times ", "…": r"\ldots ",
    "∞": r"\infty ", "%": r"\%", "&": r"\&", "#": r"\#", "_": r"\_", "|": r"\vert ",
}  # fmt: skip
FUNCTIONS = {"ln", "exp", "sin", "cos", "tanh", "max", "min"}

LETTERS = rf"(?![{LOWERED}{RAISED}ᵀΣ])[^\W\d_][\u0300-\u036f]*"
NAME = rf"{LETTERS}(?:{LETTERS}|[\d_.](?=[^\W_])|[{LOWERED}])*"
ENTRIES = r"\[[-−\d., e+naif]*\]"  # numbers, nan and inf among them
TOKEN = re.compile(
    rf"(?P<marked>{MARKED})|(?P<fraction>∂(?P<above>{NAME})/∂(?P<below>{NAME}))|(?P<delta>δ_(?P<of>{NAME}))"
    rf"|(?P<array>{ENTRIES}|\[{ENTRIES}(?:, {ENTRIES})*\])"
    r"|(?P<number>\d+(?:\.\d+)?(?:e[-−+]?\d+)?)|(?P<slope>σ')"
    rf"|(?P<name>{NAME})|(?P<raised>[{RAISED}]+)|(?P<lowered>[{LOWERED}]+)|(?P<root>√\()"
    r"|(?P<power>\^)|(?P<space>\s+)|(?P<sign>.)"
)


def latex_of(text: str) -> str:
    r"""A formula of the board as LaTeX.

    >>> print(latex_of("z̄ = ȳ·σ'(z)"), "|", latex_of("W̄₁ = z̄ xᵀ"), "|", latex_of("√(x² + 1)"))
    \bar{z} = \bar{y}\cdot \sigma'(z) | \bar{W}_{1} = \bar{z}\; x^{\top} | \sqrt{x^{2} + 1}
    >>> print(latex_of("∂L/∂z"), "|", latex_of("[1, −0.5] ∘ δ_h"))
    \frac{\partial L}{\partial z} | \begin{bmatrix}1\\ -0.5\end{bmatrix} \circ \delta_{h}
    """
    text = unicodedata.normalize("NFD", text)
    made, place = "", 0
    while place < len(text):
        found = TOKEN.match(text, place)
        assert found is not None
        kind, token = found.lastgroup, found[0]
        place = found.end()
        if found["root"] or (found["power"] and text[place : place + 1] == "("):
            end = _closing(text, place - 1 if found["root"] else place)
            start = place if found["root"] else place + 1
            inner = latex_of(text[start:end])
            made += rf"\sqrt{{{inner}}}" if found["root"] else f"^{{{inner}}}"
            place = end + 1
        elif found["power"]:
            exponent = re.compile(rf"[-−]?[\d.]+|{NAME}").match(text, place)
            made += f"^{{{latex_of(exponent[0]) if exponent else ''}}}"
            place = exponent.end() if exponent else place
        elif found["space"]:
            side_by_side = re.search(r"[\w\u0300-\u036f\ue002ᵀ)\]²]$", text[: found.start()])
            product = side_by_side and re.match(rf"{NAME}|[(\[∂]", text[place:])
            made += r"\; " if product else " "
        else:
            made += _token(found, kind or "", token, made)
    return made


def _token(found: re.Match[str], kind: str, token: str, before: str) -> str:
    if found["marked"]:
        return rf"\of{{{found['whose']}}}{{{latex_of(found['first'] + found['rest'])}}}"
    if found["fraction"]:
        return rf"\frac{{\partial {_name(found['above'])}}}{{\partial {_name(found['below'])}}}"
    if found["delta"]:
        return rf"\delta_{{{_name(found['of'])}}}"
    if found["array"]:
        after = re.search(r"[\w}]$", before)  # x[0, 1:3] is a window of x
        return token if after else _matrix(token)
    if found["number"]:
        mantissa, e, exponent = token.replace("−", "-").partition("e")
        return mantissa + (rf"\cdot 10^{{{int(exponent)}}}" if e else "")
    if found["slope"]:
        return r"\sigma'"
    if found["name"]:
        return _name(token)
    if found["raised"]:
        return "^{" + "".join("0123456789-"[RAISED.index(c)] for c in token) + "}"
    if found["lowered"]:
        return "_{" + "".join(str(LOWERED.index(c)) for c in token) + "}"
    return SIGNS.get(token, "" if unicodedata.combining(token) else token)


def _closing(text: str, opening: int) -> int:
    """Where the bracket that opens there is closed."""
    depth = 0
    for place in range(opening, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if not depth:
            return place
    return len(text)


def _name(name: str) -> str:
    """A name: one letter in italics with its index, a word upright, a bar over what has one."""
    marks = {"\u0304": "bar", "\u0302": "hat"}
    over = next((marks[c] for c in name if c in marks), "")
    plain = "".join(c for c in name if not unicodedata.combining(c))
    base = plain.rstrip(LOWERED)
    index = "".join(str(LOWERED.index(c)) for c in plain[len(base) :])
    if base in FUNCTIONS:
        text = rf"\{base} "
    elif len(base) == 1:
        text = _letter(base)
    else:
        text = r"\mathrm{" + base.replace("_", r"\_") + "}"
        over = {"bar": "overline", "hat": "widehat"}.get(over, "")
    text = rf"\{over}{{{text}}}" if over else text
    return text + (f"_{{{index}}}" if index else "")


def _letter(letter: str) -> str:
    found = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", unicodedata.name(letter, ""))
    if not found:
        return letter
    greek = found[2].lower()
    greek = {"lamda": "lambda"}.get(greek, greek)
    return rf"\{greek if found[1] == 'SMALL' else greek.capitalize()}"


def _matrix(text: str) -> str:
    """[[1, 2], [3, 4]] as a matrix, [1, 2] as a column."""
    text = text.replace("−", "-")
    if text.startswith("[["):
        rows = [row.replace(",", " &") for row in re.findall(r"\[([^\[\]]*)\]", text)]
    else:
        rows = [entry.strip() for entry in text.strip("[]").split(",")]
    return r"\begin{bmatrix}" + r"\\ ".join(rows) + r"\end{bmatrix}"


# ---------------------------------------------------------------- whole boards


def _value(array: np.ndarray, digits: int) -> str:
    text = array_text(array, digits)
    return latex_of(text) if is_small(array) else rf"\text{{{text.replace('−', '-')}}}"


def _forward(v: Variable, digits: int) -> list[str]:
    """What stands between the signs of equality of a forward row."""
    value = _value(v.value, digits)
    cells = [] if v.given else [latex_of(v.formula)]
    if v.numbers is not None and latex_of(v.numbers) not in (value, *cells):
        cells.append(latex_of(v.numbers))
    return [*cells, value]


def _backward(v: Variable, digits: int) -> list[str]:
    """The same of an error signal: its rule, the numbers of one addend or the sum of several."""
    assert v.bar is not None
    value = _value(v.bar, digits)
    if not v.addends:
        return [value]
    cells = [latex_of(joined([a.formula for a in v.addends]))]
    if len(v.addends) > 1 and is_small(v.bar):
        cells.append(latex_of(joined([array_text(a.value, digits) for a in v.addends])))
    elif len(v.addends) == 1 and v.addends[0].numbers is not None:
        cells.append(latex_of(v.addends[0].numbers))
    return [*(cell for cell in cells if cell != value), value]


def latex_board(variables: Sequence[Variable], backward: Sequence[Variable], digits: int) -> str:
    """``aligned`` of LaTeX: a line for each value, then one for each error signal."""
    lines = []
    if any(v.given for v in variables):
        lines.append(r"& \text{Given} \\")
    lines += [_line(v.name, _forward(v, digits)) for v in variables if v.given]
    lines.append(r"& \text{Forward} \\")
    lines += [_line(v.name, _forward(v, digits)) for v in variables if not v.given]
    if backward:
        lines.append(r"& \text{Backward} \\")
        lines += [_line(v.signal, _backward(v, digits)) for v in backward]
    return "\n".join([r"\begin{aligned}", *lines, r"\end{aligned}"])


def _line(name: str, cells: Sequence[str]) -> str:
    return rf"{latex_of(name)} &= {' = '.join(cells)} \\"


def markdown_board(variables: Sequence[Variable], backward: Sequence[Variable], digits: int) -> str:
    """Two tables: values with their formulas, error signals with their addends."""
    given = [f"${latex_of(v.name)} = {_value(v.value, digits)}$" for v in variables if v.given]
    lines = ["Given: " + ", ".join(given), ""] if given else []
    lines += ["| value | formula | with numbers | result |", "|---|---|---|---|"]
    for v in variables:
        if not v.given:
            lines.append(_row(v.name, v.formula, v.numbers, v.value, digits))
    if backward:
        lines += ["", "| error signal | rule | with numbers | result |", "|---|---|---|---|"]
    for v in backward:
        assert v.bar is not None
        rule = joined([a.formula for a in v.addends]) if v.addends else ""
        numbers = v.addends[0].numbers if len(v.addends) == 1 else None
        lines.append(_row(v.signal, rule, numbers, v.bar, digits))
        if len(v.addends) > 1:
            lines += [_addend(a, digits) for a in v.addends]
    return "\n".join(lines)


def _row(name: str, formula: str, numbers: str | None, value: np.ndarray, digits: int) -> str:
    cells = [name, formula, numbers or ""]
    written = [f"${latex_of(cell)}$" if cell else "" for cell in cells]
    return f"| {' | '.join([*written, f'${_value(value, digits)}$'])} |"


def _addend(addend: Addend, digits: int) -> str:
    row = _row("", addend.formula, addend.numbers, addend.value, digits)
    return f"| from ${latex_of(addend.reader.name)}$ {row.removeprefix('| ')}"
