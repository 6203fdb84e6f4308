"""A formula that somebody typed, as tensors: read by this grammar, never run as code.

    program   = statement { (";" | newline) statement }    the last one is the result
    statement = [ NAME "=" ] sum
    sum       = product { ("+" | "-") product }
    product   = signed { ("*" | "/" | "@") signed }
    signed    = ("+" | "-") signed | power
    power     = item [ ("**" | "^") signed ]
    item      = atom { ".T" | "[" WHOLE { "," WHOLE } "]" }
    atom      = NUMBER | NAME | NAME "(" sum { "," sum } ")" | "(" sum ")"

    values    = value { ("," | ";" | newline) value }
    value     = NAME "=" ( number | "[" … "]" )

A NAME before "(" is an op of the registry with one or two inputs (``sigmoid``, ``maximum``), or one
of ``METHODS``. Greek letters may be spelled: ``lam`` is λ.
"""

from __future__ import annotations

import math
import operator
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.dtypes import float64
from chainrule.errors import ChainruleError, UsageError, did_you_mean, message
from chainrule.graph import type_text
from chainrule.ops import REGISTRY, Elementwise
from chainrule.tensor import Tensor, tensor

__all__ = [
    "FUNCTIONS",
    "MOST_LETTERS",
    "FormulaError",
    "Program",
    "likely_learned",
    "parse",
    "parse_values",
]

MOST_LETTERS, MOST_TERMS, DEEPEST = 4000, 200, 40
MOST_ROWS = 6  # and columns of a value: what a board writes out


class FormulaError(UsageError):
    """A formula or a value that can't be read.

    Fails: ``parse("w*")``.  Mended: ``parse("w*x")``.  ``column`` is where, from 1; ``of`` is
    "formula" or "values".
    """

    column: int = 1
    of: str = "formula"


def _error(of: str, column: int, got: str, needs: str, remedy: str = "") -> FormulaError:
    error = FormulaError(message(of, f"{got} at column {column}", needs, remedy=remedy))
    error.column, error.of = column, of
    return error


# ---------------------------------------------------------------- which functions there are


def _ops() -> dict[str, tuple[int, Callable[..., Any]]]:
    """{name: (number of inputs, function)} of the elementwise ops that have a derivative."""
    found: dict[str, tuple[int, Callable[..., Any]]] = {}
    for name, op in REGISTRY.items():
        takes = [name for name in op.input_names if not name.startswith("*")]
        settings = getattr(type(op).vjp, "__kwdefaults__", None) or {}
        keywords = type(op).vjp.__code__.co_kwonlyargcount if hasattr(op.vjp, "__func__") else 0
        plain = isinstance(op, Elementwise) and op.differentiable and not (settings or keywords)
        if plain and name not in INSIDE and takes == list(op.input_names) and len(takes) < 3:
            found[name] = (len(takes), op)
    return found


INSIDE = {"assign", "probability", "ndtri"}  # steps of other ops
METHODS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda x: x.sum(),
    "mean": lambda x: x.mean(),
    "amax": lambda x: x.amax(),
    "amin": lambda x: x.amin(),
    "softmax": lambda x: x.softmax(-1),
    "log_softmax": lambda x: x.log_softmax(-1),
    "logsumexp": lambda x: x.logsumexp(-1),
}
FUNCTIONS = _ops() | {name: (1, method) for name, method in METHODS.items()}
ALSO = {"ln": "log", "σ": "sigmoid", "logistic": "sigmoid"}
SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "@": operator.matmul,
    "**": operator.pow,
}
GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "eta": "η",
    "theta": "θ", "Theta": "Θ", "lam": "λ", "lambda": "λ", "mu": "μ", "tau": "τ", "phi": "φ",
}  # fmt: skip


def _name(word: str) -> str:
    """As the board writes it: theta1 is θ1."""
    letters = word.rstrip("0123456789")
    return GREEK.get(letters, letters) + word[len(letters) :]


# ---------------------------------------------------------------- words of the text

WORD = re.compile(
    r"(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[^\W\d]\w*)"
    r"|(?P<end>[;\n]+)|(?P<space>[^\S\n]+)|(?P<sign>\*\*|[-+*/@^()\[\],=.−·])|(?P<odd>.)"
)
SAME = {"^": "**", "−": "-", "·": "*"}


@dataclass(frozen=True)
class _Word:
    kind: str
    text: str
    column: int


def _words(text: str, of: str) -> list[_Word]:
    if len(text) > MOST_LETTERS:
        got, needs = f"{len(text):,} letters", f"at most {MOST_LETTERS:,}"
        raise _error(of, MOST_LETTERS, got, needs)
    text = unicodedata.normalize("NFC", text)
    words = []
    for found in WORD.finditer(text):
        kind, word = found.lastgroup or "", found[0]
        if kind == "odd":
            raise _error(of, found.start() + 1, repr(word), "names, numbers, + - * / @ ** ( )")
        if kind != "space":
            words.append(_Word(kind, SAME.get(word, word), found.start() + 1))
    return [*words, _Word("last", "", len(text) + 1)]


class _Reader:
    """Words, one after the other."""

    def __init__(self, text: str, of: str) -> None:
        self.of, self.words, self.place = of, _words(text, of), 0

    @property
    def now(self) -> _Word:
        return self.words[self.place]

    def take(self) -> _Word:
        word = self.now
        self.place += word.kind != "last"
        return word

    def takes(self, *texts: str) -> _Word | None:
        """The next word if it is one of these signs."""
        return self.take() if self.now.kind == "sign" and self.now.text in texts else None

    def need(self, text: str, remedy: str = "") -> _Word:
        return self.takes(text) or self.refuse(f"“{text}”", remedy)

    def refuse(self, needs: str, remedy: str = "") -> Any:
        got = {"last": "nothing more", "end": "the end of the line"}.get(self.now.kind)
        raise _error(self.of, self.now.column, got or f"“{self.now.text}”", needs, remedy)


# ---------------------------------------------------------------- formulas


@dataclass(frozen=True)
class _Term:
    """``what``: number, name, ".T", "[]", a sign of ``SIGNS``, "neg", or a function."""

    what: str
    parts: tuple[_Term, ...]
    column: int
    value: Any = None


@dataclass(frozen=True)
class Program:
    """A formula that was read: its statements, in order, each with its name or ""."""

    text: str
    statements: tuple[tuple[str, _Term], ...]

    @property
    def unknown(self) -> dict[str, int]:
        """{name: column} of the values that it needs, in the order of the text."""
        made: set[str] = set()
        found: dict[str, int] = {}
        for name, term in self.statements:
            for part in _names(term):
                if part.value not in made:
                    found.setdefault(part.value, part.column)
            made.add(name)
        return found

    def loss(self, values: Mapping[str, Any], learned: Iterable[str] = ()) -> Tensor:
        """The result, recorded: one float64 number that depends on what is learned.

        values: numbers or arrays by name.  learned: the names that get an error signal.
        Tensors have the names of the text; the result is called L unless it has one.
        Raises FormulaError with the column where a value is missing or shapes do not fit.

        >>> parse("y = w*x; (y - 1)**2").loss({"w": 0.8, "x": 1.5}, ["w"]).item()
        0.04000000000000007
        """
        made: dict[str, Any] = {}
        wanted = {_name(name) for name in learned}
        for name, column in self.unknown.items():
            if name not in values:
                remedy = f"Write {name} = 0.5 among the values"
                raise _error("formula", column, f"{name}, which has no value", "one", remedy)
            made[name] = tensor(values[name], dtype=float64, requires_grad=name in wanted)
            made[name].name = name
        result, known = None, False
        for name, term in self.statements:
            result = _computed(term, made)
            known = any(result is value for value in made.values())  # y = x; x.T of a number
            if name:
                if isinstance(result, Tensor) and not known:
                    result.name = name
                made[name] = result
        return self._as_loss(result, known)

    def python(self, values: Mapping[str, Any], learned: Iterable[str] = ()) -> str:
        """The same program as a script, which ends in ``cr.explain``.

        >>> print(parse("y = sigmoid(w)").python({"w": 0.5}, ["w"]))
        import chainrule as cr
        <BLANKLINE>
        w = cr.tensor(0.5, dtype=cr.float64, requires_grad=True)
        y = cr.sigmoid(w)
        print(cr.explain(y))
        """
        wanted = {_name(name) for name in learned}
        lines = ["import chainrule as cr", ""]
        for name in self.unknown:
            grad = ", requires_grad=True" if name in wanted else ""
            lines.append(f"{name} = cr.tensor({values[name]}, dtype=cr.float64{grad})")
        last = ""
        for name, term in self.statements:
            last = name or "L"
            lines.append(f"{last} = {_python(term)}")
        return "\n".join([*lines, f"print(cr.explain({last}))"])

    def _as_loss(self, result: Any, known: bool) -> Tensor:
        name, term = self.statements[-1]
        if not isinstance(result, Tensor) or not result.requires_grad:
            needs, remedy = "something learned in it", "Mark a value as learned, for instance w"
            raise _error("formula", term.column, "a result with no slope", needs, remedy)
        if result.shape:
            got = f"a result {type_text(result.shape, result.dtype)}"
            raise _error("formula", term.column, got, "one number", "sum(…) or mean(…)")
        if known:
            got = "a result that is only a name"
            raise _error("formula", term.column, got, "something computed")
        if not name:
            result.name = "L"
        return result


def _names(term: _Term) -> Iterable[_Term]:
    if term.what == "name":
        yield term
    for part in term.parts:
        yield from _names(part)


def parse(text: str) -> Program:
    """Read a formula; the grammar stands at the top of this file.

    Raises FormulaError with the column and what is needed there.

    >>> parse("L = (sigmoid(w*x + b) - t)**2/2").unknown
    {'w': 14, 'x': 16, 'b': 20, 't': 25}
    >>> parse("w*(x")
    Traceback (most recent call last):
    chainrule.inspect.expression.FormulaError: [formula] got nothing more at column 5, needs “)”.
    """
    return _Formula(text).program(text)


class _Formula(_Reader):
    def __init__(self, text: str) -> None:
        super().__init__(text, "formula")
        self.terms = self.depth = 0

    def program(self, text: str) -> Program:
        statements: list[tuple[str, _Term]] = []
        names: set[str] = set()
        while True:
            while self.now.kind == "end":
                self.take()
            if self.now.kind == "last":
                break
            name, column = self.assigned()
            term = self.sum()
            if self.now.kind not in ("end", "last"):
                self.refuse("an operator or the end", "Statements are parted by “;”")
            used = {part.value for _, earlier in statements for part in _names(earlier)}
            used |= {part.value for part in _names(term)}
            if name and (name in names or name in used):
                got = f"a second meaning of {name}"
                raise _error("formula", column, got, "a name that is new there")
            names.add(name)
            statements.append((name, term))
        if not statements:
            self.refuse("a formula", "For instance L = (w*x - t)**2")
        return Program(text, tuple(statements))

    def assigned(self) -> tuple[str, int]:
        first, second = self.now, self.words[min(self.place + 1, len(self.words) - 1)]
        if first.kind != "name" or (second.kind, second.text) != ("sign", "="):
            return "", first.column
        self.place += 2
        return _name(first.text), first.column

    def term(self, what: str, parts: Iterable[_Term], column: int, value: Any = None) -> _Term:
        self.terms += 1
        if self.terms > 2 * MOST_TERMS:
            got, needs = "a long formula", f"at most {MOST_TERMS} operations"
            raise _error("formula", column, got, needs)
        return _Term(what, tuple(parts), column, value)

    def sum(self) -> _Term:
        self.depth += 1
        if self.depth > DEEPEST:
            raise _error("formula", self.now.column, "deep brackets", f"at most {DEEPEST} levels")
        term = self.product()
        while sign := self.takes("+", "-"):
            term = self.term(sign.text, (term, self.product()), sign.column)
        self.depth -= 1
        return term

    def product(self) -> _Term:
        term = self.signed()
        while sign := self.takes("*", "/", "@"):
            term = self.term(sign.text, (term, self.signed()), sign.column)
        return term

    def signed(self) -> _Term:
        signs = []
        while sign := self.takes("-", "+"):
            signs.append(sign)
        if len(signs) > DEEPEST:
            raise _error("formula", signs[0].column, "many signs", "one")
        term = self.power()
        for sign in reversed(signs):
            if sign.text == "-":
                term = self.term("neg", (term,), sign.column)
        return term

    def power(self) -> _Term:
        term = self.item()
        if sign := self.takes("**"):
            self.depth += 1
            if self.depth > DEEPEST:
                raise _error("formula", sign.column, "a tower of powers", f"at most {DEEPEST}")
            term = self.term("**", (term, self.signed()), sign.column)
            self.depth -= 1
        return term

    def item(self) -> _Term:
        term = self.atom()
        while sign := self.takes(".", "["):
            if sign.text == ".":
                if self.take().text != "T":
                    raise _error("formula", sign.column, "a dot", ".T, the transpose")
                term = self.term(".T", (term,), sign.column)
                continue
            places = [self.whole()]
            while self.takes(","):
                places.append(self.whole())
            self.need("]")
            term = self.term("[]", (term,), sign.column, tuple(places))
        return term

    def whole(self) -> int:
        word = self.now
        if word.kind != "number" or not word.text.isdecimal() or len(word.text) > 6:
            self.refuse("a place such as 0")
        return int(self.take().text)

    def atom(self) -> _Term:
        word = self.now
        if word.kind == "number":
            self.take()
            value = float(word.text)
            if not math.isfinite(value):
                raise _error("formula", word.column, word.text, "a number of float64")
            whole = word.text.isdecimal() and abs(value) < 2**53
            return self.term("number", (), word.column, int(value) if whole else value)
        if word.kind == "name":
            self.take()
            if self.takes("("):
                return self.call(word)
            return self.term("name", (), word.column, _name(word.text))
        if self.takes("("):
            term = self.sum()
            self.need(")")
            return term
        return self.refuse("a name, a number or “(”")

    def call(self, word: _Word) -> _Term:
        parts = [self.sum()]
        while self.takes(","):
            parts.append(self.sum())
        self.need(")")
        name = ALSO.get(word.text, word.text)
        if name in ("max", "min"):
            name = {1: "a", 2: ""}.get(len(parts), "") + name + ("imum" if len(parts) == 2 else "")
        if name not in FUNCTIONS:
            needs = "a function: " + ", ".join(sorted(FUNCTIONS))
            remedy = did_you_mean(name, FUNCTIONS)
            raise _error("formula", word.column, f"“{word.text}”", needs, remedy)
        count = FUNCTIONS[name][0]
        if len(parts) != count:
            needs = f"{count} argument{'s' if count > 1 else ''} of {name}"
            raise _error("formula", word.column, str(len(parts)), needs)
        return self.term(name, parts, word.column)


# ---------------------------------------------------------------- from terms to tensors


def _computed(term: _Term, made: Mapping[str, Any]) -> Any:
    """A tensor, or a Python number where nothing but numbers stand."""
    if term.what == "number":
        return term.value
    if term.what == "name":
        return made[term.value]
    parts = [_computed(part, made) for part in term.parts]
    try:
        return _applied(term, parts)
    except (OverflowError, ZeroDivisionError) as error:
        raise _error("formula", term.column, str(error), "a number of float64") from None
    except FormulaError:
        raise
    except (ChainruleError, TypeError) as error:
        got = f"“{term.what}” of {' and '.join(map(_type, parts))}"
        why = str(error).partition("] ")[2] or str(error)
        raise _error("formula", term.column, got, "shapes that fit", why) from None


def _applied(term: _Term, parts: list[Any]) -> Any:
    if not any(isinstance(part, Tensor) for part in parts):
        parts = [float(part) for part in parts]  # whole numbers would grow without an end: 9**9**9
    if term.what == "neg":
        return -parts[0]
    if term.what in SIGNS:
        result = SIGNS[term.what](*parts)
        if isinstance(result, complex):
            raise _error("formula", term.column, "a root of a negative number", "a real number")
        return result
    tensors = [p if isinstance(p, Tensor) else tensor(float(p), dtype=float64) for p in parts]
    if term.what == ".T":
        return tensors[0].T
    if term.what == "[]":
        return tensors[0][term.value if len(term.value) > 1 else term.value[0]]
    return FUNCTIONS[term.what][1](*tensors)


RANKS = {"+": 0, "-": 0, "*": 1, "/": 1, "@": 1, "neg": 2, "**": 3}


def _python(term: _Term) -> str:
    def within(part: _Term, rank: int) -> str:
        text = _python(part)
        return f"({text})" if RANKS.get(part.what, 9) < rank else text

    if term.what in ("number", "name"):
        return str(term.value)
    if term.what == "neg":
        return f"-{within(term.parts[0], 2)}"
    if term.what == ".T":
        return f"{within(term.parts[0], 4)}.T"
    if term.what == "[]":
        return f"{within(term.parts[0], 4)}[{', '.join(map(str, term.value))}]"
    if term.what in SIGNS:
        rank = RANKS[term.what]
        left, right = (term.parts[0], rank + (rank == 3)), (term.parts[1], rank + (rank < 3))
        space = "" if rank == 3 else " "
        return f"{within(*left)}{space}{term.what}{space}{within(*right)}"
    axis = ", -1" if term.what in ("softmax", "log_softmax", "logsumexp") else ""
    return f"cr.{term.what}({', '.join(map(_python, term.parts))}{axis})"


def _type(part: Any) -> str:
    return type_text(part.shape, part.dtype) if isinstance(part, Tensor) else "a number"


# ---------------------------------------------------------------- values


def parse_values(text: str) -> dict[str, Any]:
    """Read values: numbers, or rows in brackets, at most 6×6.

    Raises FormulaError with the column and what is needed there.

    >>> parse_values("w = 1.5, x = [1, -2]; lam = 1e-2")
    {'w': 1.5, 'x': [1.0, -2.0], 'λ': 0.01}
    """
    reader = _Reader(text, "values")
    found: dict[str, Any] = {}
    while True:
        while reader.now.kind == "end" or reader.takes(","):
            if not reader.takes(",") and reader.now.kind == "end":
                reader.take()
        if reader.now.kind == "last":
            return found
        if reader.now.kind != "name":
            reader.refuse("a name", "For instance w = 1.5, x = 2")
        word = reader.take()
        reader.need("=", f"Write {word.text} = 0.5")
        name, at = _name(word.text), reader.now.column
        if name in found:
            raise _error("values", word.column, f"a second {name}", "one value of each name")
        value = _value(reader, 0)
        _check_shape(value, at)
        found[name] = value
        if reader.now.kind not in ("end", "last") and reader.now.text != ",":
            reader.refuse("a comma and the next value")


def _value(reader: _Reader, depth: int) -> Any:
    if reader.takes("["):
        if depth == 2:
            reader.refuse("a number", "Rows of rows are the most")
        row = [_value(reader, depth + 1)]
        while reader.takes(","):
            row.append(_value(reader, depth + 1))
            if len(row) > MOST_ROWS:
                reader.refuse(f"at most {MOST_ROWS} numbers in a row, and {MOST_ROWS} rows")
        reader.need("]")
        return row
    sign = reader.takes("-", "+")
    if reader.now.kind != "number":
        reader.refuse("a number or “[”")
    number = float(reader.take().text) * (-1 if sign and sign.text == "-" else 1)
    if not math.isfinite(number):
        reader.refuse("a number of float64")
    return number


def _check_shape(value: Any, column: int) -> None:
    try:
        np.array(value, np.float64)
    except ValueError:
        needs = "rows of one length"
        raise _error("values", column, "rows of several lengths", needs) from None


def likely_learned(names: Iterable[str]) -> list[str]:
    """The names that are parameters by custom: w, b, W1, θ, Θ2; all if there is none.

    >>> likely_learned(["w", "x", "b", "t", "λ"]), likely_learned(["x", "y"])
    (['w', 'b'], ['x', 'y'])
    """
    given = list(names)
    chosen = [name for name in given if re.fullmatch(r"[wWbBθΘ]\d*", name)]
    return chosen or given
