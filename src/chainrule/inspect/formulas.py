"""How each op is written on the board: node -> text, with names or with numbers put in.

There are no rules for derivatives here.  An error signal is made of nodes as everything else is, so
its formula is read off the nodes that compute it: what is shown is what runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from chainrule.graph import Node
from chainrule.ops import leaf

__all__ = [
    "ATOM",
    "MARKED",
    "NEGATIVE",
    "POWER",
    "SEE_THROUGH",
    "SUM",
    "Writer",
    "Written",
    "marked",
    "number_text",
    "unmarked",
]

COMPARISON, SUM, NEGATIVE, PRODUCT, POWER, ATOM = range(6)  # how tightly a text holds together

SEE_THROUGH = frozenset({"reshape", "expand", "cast"})  # the numbers stay, only their places change

FUNCTIONS = {"log": "ln", "sigmoid": "σ", "sqrt": "√", "maximum": "max", "minimum": "min"}
COMPARISONS = {"lt": "<", "le": "≤", "eq": "=", "ne": "≠"}
MIRRORED = {"<": ">", "≤": "≥", ">": "<", "≥": "≤"}
OPPOSITE = {"<": "≥", "≤": ">", "=": "≠", "≠": "="}
SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


# A text that says whose it is: behind its first letter, which tells its sign and kind to readers.
MARKED = r"(?P<first>.[\u0300-\u036f]*)\ue000(?P<whose>\w+)\ue001(?P<rest>[^\ue002]*)\ue002"


def marked(text: str, whose: str) -> str:
    """A text with a mark in it; ``unmarked`` takes marks out.

    >>> len(marked("−0.5", "3b")), unmarked(marked("−0.5", "3b") + "·2")
    (9, '−0.5·2')
    """
    return f"{text[:1]}\ue000{whose}\ue001{text[1:]}\ue002"


def unmarked(text: str) -> str:
    """A text without its marks."""
    return re.sub(MARKED, r"\g<first>\g<rest>", text)


class Written(NamedTuple):
    """A text, how tightly it holds together, whether it is an array, an error signal."""

    text: str
    rank: int = ATOM
    array: bool = False
    bar: bool = False


def number_text(x: float, digits: int) -> str:
    """A number with so many significant digits; 17 give it exactly.

    >>> number_text(2 / 3, 4), number_text(-0.5, 4), number_text(1 / 3, 17)
    ('0.6667', '−0.5', '0.3333333333333333')
    """
    if isinstance(x, int):
        return str(int(x)).replace("-", "−")
    text = repr(float(x)) if digits >= 17 else f"{float(x):.{digits}g}"
    text = text[:-2] if text.endswith(".0") else text
    return "0" if text == "-0" else text.replace("-", "−")


class Writer:
    """Writes nodes as formulas.

    ``atom(node)`` gives the text of what has a name; ``inputs`` the inputs of each node (kept,
    since computed nodes drop theirs); ``numbers`` tells that atoms are numbers.
    """

    def __init__(
        self,
        inputs: dict[Any, tuple[Any, ...]],
        atom: Callable[[Any], Written | None],
        *,
        digits: int = 4,
        numbers: bool = False,
        sigmoids: Callable[[Any], Any] = lambda node: None,
    ) -> None:
        self.inputs, self.atom, self.sigmoids = inputs, atom, sigmoids
        self.digits, self.numbers = digits, numbers

    def write(self, node: Any) -> Written:
        """The text of a node: its name, or the formula that makes it."""
        return self.atom(node) or self.formula(node)

    def formula(self, node: Any) -> Written:
        """The formula of a node, even if it has a name."""
        op, array = node.op.name, bool(node.shape)
        if node.op is leaf.number:
            return self._number(node.value.item())
        parts = self.inputs.get(node, ())
        if op in SEE_THROUGH and parts:
            return self.write(parts[0])
        if op in ("mul", "div", "neg") or self._iverson(node):
            return self._product(node)
        method = getattr(self, f"_{op}", None)
        if method is not None:
            return method(node, *parts)._replace(array=array)
        if op in COMPARISONS:
            return self._comparison(COMPARISONS[op], *parts)
        arguments = ", ".join(self.write(part).text for part in parts)
        return Written(f"{FUNCTIONS.get(op, op)}({arguments})", ATOM, array)

    # ------------------------------------------------------------ sums and products

    def _number(self, value: float) -> Written:
        return Written(number_text(value, self.digits), NEGATIVE if value < 0 else ATOM)

    def _within(self, part: Written, rank: int) -> str:
        return part.text if part.rank >= rank else f"({part.text})"

    def _add(self, node: Node, *parts: Any) -> Written:
        first, *rest = (self.write(part) for part in parts)
        text = first.text + "".join(f" + {self._within(part, PRODUCT)}" for part in rest)
        return Written(text, SUM)

    _fan_in = _add

    def _sub(self, node: Node, a: Any, b: Any) -> Written:
        first, second = self.write(a), self.write(b)
        return Written(f"{first.text} − {self._within(second, PRODUCT)}", SUM)

    def _product(self, node: Any) -> Written:
        """A product of everything that is multiplied; its plain numbers are made into one."""
        factors: list[Written] = []
        divisors: list[Written] = []
        up: list[float] = []
        down: list[float] = []
        negative = self._collect(node, factors, divisors, up, down, top=True)
        coefficient = 1.0
        zeros = [value for value in down if value == 0]  # written: a number of text has no ∞
        if len(up) + len(down) > 1 or (not factors and up):
            for value in up:
                coefficient *= value
            for value in down:
                coefficient /= value or 1.0
            up, down = ([] if coefficient == 1 and factors else [coefficient]), zeros
        if up and up[0] < 0:
            up, negative = [-up[0]], not negative
        if up and not (up[0] == 1 and factors):
            behind = int(bool(factors) and factors[0].bar)  # 2·x, but L̄·2·x
            factors.insert(behind, self._number(up[0]))
        divisors += [self._number(value) for value in down]
        factors = self._squares(factors) or [Written("1")]
        text, array = "", False
        lone = len(factors) == 1 and not divisors
        for index, factor in enumerate(factors):
            if index:
                text += " ∘ " if array and factor.array else "·"
            least = POWER if index else (SUM if lone and not negative else PRODUCT)
            text += self._within(factor, least)
            array |= factor.array
        for divisor in divisors:
            text += f"/{self._within(divisor, POWER)}"
            array |= divisor.array
        if negative:
            return Written(f"−{text}", NEGATIVE, array)
        return factors[0] if lone else Written(text, PRODUCT, array)

    def _collect(self, node, factors, divisors, up, down, top=False) -> bool:
        """Take a node apart into factors; True if the sign changes."""
        pieces = (factors, divisors, up, down)
        atom = None if top else self.atom(node)
        parts = self.inputs.get(node, ())
        op = node.op.name
        if atom is not None:
            factors.append(atom)
            return False
        if node.op is leaf.number:
            up.append(node.value.item())
            return False
        sloped = None if self.numbers else self._slope(node)
        if sloped is not None:
            factors.append(sloped)
            return False
        if op in SEE_THROUGH and parts:
            return self._collect(parts[0], *pieces)
        if op == "neg":
            return not self._collect(parts[0], *pieces)
        if op == "mul":
            first = self._collect(parts[0], *pieces)
            return first != self._collect(parts[1], *pieces)
        if op == "div":
            changed = self._collect(parts[0], *pieces)
            if parts[1].op is leaf.number and self.atom(parts[1]) is None:
                down.append(parts[1].value.item())
            else:
                divisors.append(self.write(parts[1]))
            return changed
        if self._iverson(node):
            condition = self.write(parts[0])
            factor = self._indicator(condition)
            other = parts[1]
            if not self._is_number(parts[2], 0):
                factor, other = self._not(parts[0], condition), parts[2]
            changed = self._collect(other, *pieces)
            factors.append(factor)
            return changed
        factors.append(self.formula(node))
        return False

    def _indicator(self, condition: Written) -> Written:
        """[c]: 1 where c holds, else 0; a mask that is written as numbers is that already."""
        written = self.numbers and condition.rank == ATOM
        return Written(condition.text if written else f"[{condition.text}]", ATOM, condition.array)

    def _not(self, node: Any, condition: Written) -> Written:
        """[not c]; of a comparison the opposite one."""
        sign = COMPARISONS.get(node.op.name)
        if sign is None or self.atom(node) is not None:
            return Written(f"(1 − {self._indicator(condition).text})", ATOM, condition.array)
        opposite = self._comparison(OPPOSITE[sign], *self.inputs[node])
        return Written(f"[{opposite.text}]", ATOM, condition.array)

    def _squares(self, factors: list[Written]) -> list[Written]:
        """x·x is x²."""
        shorter: list[Written] = []
        for factor in factors:
            if shorter and shorter[-1] == factor and factor.rank == ATOM and not self.numbers:
                shorter[-1] = Written(f"{factor.text}²", POWER, factor.array)
            else:
                shorter.append(factor)
        return shorter

    def _slope(self, node: Any) -> Written | None:
        """y·(1 − y) of a sigmoid y = σ(z) is written σ'(z)."""
        parts = self.inputs.get(node, ())
        if node.op.name != "mul" or len(parts) != 2 or parts[1].op.name != "sub":
            return None
        rest = self.inputs.get(parts[1], ())
        z = self.sigmoids(parts[0])
        if z is None or not self._is_number(rest[0], 1) or rest[1] is not parts[0]:
            return None
        return Written(f"σ'({self.write(z).text})", ATOM, bool(node.shape))

    def _iverson(self, node: Any) -> bool:
        """where(c, a, 0) and where(c, 0, b) are products with [c], which is 1 or 0."""
        parts = self.inputs.get(node, ())
        return node.op.name == "where" and any(self._is_number(part, 0) for part in parts[1:])

    def _is_number(self, node: Any, value: float) -> bool:
        return node.op is leaf.number and self.atom(node) is None and node.value.item() == value

    # ------------------------------------------------------------ ops with a sign of their own

    def _square(self, node: Node, x: Any) -> Written:
        return self._raised(x, 2)

    def _power(self, node: Node, x: Any) -> Written:
        return self._raised(x, node.meta["exponent"])

    def _raised(self, x: Any, exponent: float) -> Written:
        base = self.write(x)
        if exponent == 1:
            return base
        whole = float(exponent).is_integer()
        sign = str(int(exponent)).translate(SUPERSCRIPT) if whole else f"^{exponent!r}"
        return Written(self._within(base, ATOM) + sign, POWER)

    def _pow(self, node: Node, a: Any, b: Any) -> Written:
        base, exponent = self.write(a), self.write(b)
        return Written(f"{self._within(base, ATOM)}^{self._within(exponent, ATOM)}", POWER)

    def _abs(self, node: Node, x: Any) -> Written:
        return Written(f"|{self.write(x).text}|")

    def _comparison(self, sign: str, a: Any, b: Any) -> Written:
        left, right = self.write(a), self.write(b)
        if a.op is leaf.number and sign in MIRRORED:  # 0 < y is better read as y > 0
            left, right, sign = right, left, MIRRORED[sign]
        text = f"{self._within(left, SUM)} {sign} {self._within(right, SUM)}"
        return Written(text, COMPARISON, left.array or right.array)

    def _sum(self, node: Node, x: Any) -> Written:
        inner, axes = self.write(x), node.meta["axes"]
        part = "" if len(axes) == len(x.shape) else "".join(map(str, axes)).translate(SUBSCRIPT)
        text = inner.text if inner.rank >= POWER else f"({inner.text})"
        space = " " if text[:1] not in "([" else ""
        return Written(f"Σ{part}{space}{text}", POWER)

    def _matmul(self, node: Node, a: Any, b: Any) -> Written:
        left, right = self.write(a), self.write(b)
        return Written(f"{self._within(left, PRODUCT)} {self._within(right, POWER)}", PRODUCT)

    def _permute(self, node: Node, x: Any) -> Written:
        axes = node.meta["axes"]
        if self._swaps(node):
            return self._transposed(x)
        inner = self.write(x)
        return Written(f"permute({inner.text}, {', '.join(map(str, axes))})")

    def _swaps(self, node: Any) -> bool:
        """Whether a node transposes its last two axes."""
        axes = node.meta.get("axes", ()) if node.op.name == "permute" else ()
        return len(axes) > 1 and axes == (*range(len(axes) - 2), len(axes) - 1, len(axes) - 2)

    def _transposed(self, node: Any) -> Written:
        """aᵀ; (aᵀ)ᵀ is a, and (a b)ᵀ is bᵀ aᵀ."""
        if self.atom(node) is None and self._swaps(node):
            return self.write(self.inputs[node][0])
        if self.atom(node) is None and node.op.name == "matmul":
            a, b = (self._transposed(part) for part in self.inputs[node])
            return Written(f"{self._within(b, PRODUCT)} {self._within(a, POWER)}", PRODUCT)
        return Written(f"{self._within(self.write(node), ATOM)}ᵀ")

    def _slice(self, node: Node, x: Any, *starts: Any) -> Written:
        return Written(
            f"{self._within(self.write(x), ATOM)}{self._window(node.meta, starts, node)}"
        )

    def _put(self, node: Node, base: Any, value: Any, *starts: Any) -> Written:
        window = self._window(node.meta, starts, value)
        return Written(f"put({self.write(base).text}, {window} = {self.write(value).text})")

    def _window(self, meta: Any, starts: tuple[Any, ...], part: Any) -> str:
        axes = {}
        for axis, start, step in zip(meta["axes"], starts, meta["steps"], strict=True):
            size = part.shape[axis]
            first = int(start.value) if start.value is not None else 0
            by = f":{step}" if step != 1 else ""
            axes[axis] = str(first) if size == 1 else f"{first}:{first + (size - 1) * step + 1}{by}"
        return f"[{', '.join(axes.get(axis, ':') for axis in range(max(axes, default=0) + 1))}]"
