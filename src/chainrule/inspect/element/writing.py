"""A tree as a formula: with the letters of the op's own notation, or with numbers put in."""

from __future__ import annotations

from typing import Any

from chainrule.inspect.element.parts import SUM, Part
from chainrule.inspect.formulas import ATOM, NEGATIVE, PRODUCT, Writer, Written, number_text
from chainrule.inspect.formulas import SUM as SEVERAL
from chainrule.inspect.notation import bar_of
from chainrule.ops import leaf

__all__ = ["written"]


def written(part: Part, *, numbers: bool, digits: int = 4) -> str:
    """The formula of a part.

    >>> from chainrule.inspect.element.parts import SUM, constant, product
    >>> terms = [product([constant(2.0), constant(x)]) for x in (0.5, -1.0)]
    >>> written(Part(SUM, tuple(terms), -1.0), numbers=True)
    '1 + (−2)'
    """
    return _ElementWriter(part, numbers=numbers, digits=digits).write(part).text


class _ElementWriter(Writer):
    """Writes parts as ``formulas.Writer`` writes nodes, and the rules of ``parts.py`` besides."""

    def __init__(self, root: Part, *, numbers: bool, digits: int) -> None:
        inputs: dict[Any, Any] = {part: part.parts for part in root.walk()}
        super().__init__(inputs, self._atom, digits=digits, numbers=numbers)
        self.summed = {p for total in root.walk() if total.op is SUM for p in total.walk()}
        within = {(p.letter, p.link.kind == "bar") for p in self.summed if p.link}
        others = [p for p in root.walk() if p not in self.summed]
        without = {(p.letter, p.link.kind == "bar") for p in others if p.link}
        self.both = within & without  # x outside of a sum and within it are two

    def _atom(self, part: Part) -> Written | None:
        if part.link is None:
            return None if part.parts or part.op in (SUM, leaf.number) else self._value(part)
        if self.numbers or part.op is leaf.number:
            return self._value(part)
        bar = part.link.kind == "bar"
        letter = bar_of(part.letter) if bar else part.letter
        if (part.letter, bar) in self.both and " " not in part.letter:
            letter += "ⱼ" if part in self.summed else "ᵢ"
        return Written(letter, ATOM, bar=bar)

    def _value(self, part: Part) -> Written:
        if part.value is None:
            return Written("?")
        value = part.value.item() if hasattr(part.value, "item") else part.value
        negative = value < 0
        return Written(number_text(value, self.digits), NEGATIVE if negative else ATOM)

    def _sum(self, node: Any, *parts: Any) -> Written:
        terms = [self.write(part) for part in parts]
        if not terms:
            return Written("0")  # nothing reads the element
        if not self.numbers:
            kinds = list(dict.fromkeys(term.text for term in terms))
            if len(kinds) == 1 and (len(terms) > 1 or node.more):
                return Written(f"Σ {self._within(terms[0], PRODUCT)}", PRODUCT)
            return Written(" + ".join(kinds), SEVERAL) if len(kinds) > 1 else terms[0]
        texts = [terms[0].text, *(self._within(term, PRODUCT) for term in terms[1:])]
        if node.more is not None:
            texts.append(f"({self._rest(node)})")
        if node.missing:
            texts.append(f"({node.missing} not kept)")
        return Written(" + ".join(texts), SEVERAL if len(texts) > 1 else terms[0].rank)

    def _rest(self, node: Any) -> str:
        return f"{node.more.count} more = {number_text(node.more.value, self.digits)}"

    def _choice(self, node: Any, *parts: Any) -> Written:
        texts = [self.write(part).text for part in parts]
        if not self.numbers:
            texts = list(dict.fromkeys(texts))
        if self.numbers and node.more is not None:
            texts.append(f"{node.more.count} more")
        return Written(f"{node.op.name}({', '.join(texts)})")

    _max = _min = _argmax = _argsort = _choice

    def _same(self, node: Any, *parts: Any) -> Written:
        return Written(str(int(node.value))) if self.numbers else Written("[its maximum is here]")

    def _addend(self, node: Any, part: Any) -> Written:
        return self._value(node) if self.numbers else self.write(part)

    def _cast(self, node: Any, part: Any) -> Written:
        return Written(f"{node.meta['dtype']}({self.write(part).text})")
