"""What a number was computed from: a tree of numbers, each of them a link, a constant or a formula.

One element of a graph is a graph of numbers.  ``Part`` is its node: an elementwise op of the
registry on numbers, or one of the few rules below that make one number of many.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from chainrule.ops import Elementwise, Op, leaf
from chainrule.ops.elementwise import div, mul

__all__ = [
    "ADDEND",
    "ARGMAX",
    "ARGSORT",
    "MAX",
    "MIN",
    "SAME",
    "SUM",
    "Link",
    "More",
    "Part",
    "Rule",
    "applied",
    "constant",
    "evaluated",
    "finite",
    "hex_text",
    "plain",
    "product",
    "wide",
]


class Rule(NamedTuple):
    """A rule that makes one number of many."""

    name: str


SUM, MAX, MIN = Rule("sum"), Rule("max"), Rule("min")
ARGMAX, ARGSORT = Rule("argmax"), Rule("argsort")  # meta: the ``places`` of the parts
SAME = Rule("same")  # 1 if its two links are one and the same element, else 0
ADDEND = Rule("addend")  # an addend of an error signal as it was recorded; its part says of what


class Link(NamedTuple):
    """A number of the record: an element of a node's value, or of its error signal ("bar").

    With ``sample`` only what this sample of the batch adds to it.
    """

    node: int
    kind: str
    index: tuple[int, ...]
    sample: int | None = None


class More(NamedTuple):
    """Terms that are not listed: how many, and what they come to."""

    count: int
    value: float

    def page(self) -> dict[str, Any]:
        """Plain values, as a page takes them."""
        return {"count": self.count, "value": finite(self.value)}


@dataclass(eq=False)
class Part:
    """A number and what it is made of.

    ``value`` is what was recorded (a link), or what follows from the parts in float64; None if it
    was not kept.  ``more`` stands for terms beyond the 12 largest, ``missing`` counts those that
    were not kept, ``why`` says where a constant comes from.  ``meta`` has an op's metadata, and of
    a maximum the ``winner`` among the parts.
    """

    op: Op | Rule
    parts: tuple[Part, ...] = ()
    value: Any = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    link: Link | None = None
    letter: str = ""
    more: More | None = None
    missing: int = 0
    why: str = ""
    shape: ClassVar[tuple[int, ...]] = ()  # one number: so it is written without ∘

    def walk(self) -> Iterator[Part]:
        """This part, and all that it is made of."""
        stack: list[Part] = [self]
        while stack:
            part = stack.pop()
            yield part
            stack.extend(reversed(part.parts))

    def links(self) -> list[Link]:
        """The links in it, each once."""
        return list(dict.fromkeys(part.link for part in self.walk() if part.link is not None))

    def page(self) -> dict[str, Any]:
        """Plain values, as a page takes them."""
        shown: dict[str, Any] = {"value": finite(self.value)}
        if self.link is not None:
            shown["link"] = self.link._asdict() | {"index": list(self.link.index)}
            shown["hex"] = hex_text(self.value)
        elif self.op is not leaf.number:
            shown["rule"] = self.op.name
            shown["parts"] = [part.page() for part in self.parts]
        listed = {k: list(v) if isinstance(v, tuple) else v for k, v in self.meta.items()}
        optional = {
            "meta": listed,
            "more": None if self.more is None else self.more.page(),
            "missing": self.missing,
            "why": self.why,
        }
        return shown | {name: value for name, value in optional.items() if value}


def plain(value: Any) -> Any:
    """A NumPy scalar as Python's."""
    return value.item() if isinstance(value, np.generic | np.ndarray) else value


def finite(value: Any) -> Any:
    """A number as JSON has it: "nan", "inf" and "-inf" are words.

    >>> finite(np.float32(0.5)), finite(np.inf), finite(None)
    (0.5, 'inf', None)
    """
    number = plain(value)
    return number if number is None or np.isfinite(number) else str(float(number))


def hex_text(value: Any) -> str:
    """The bits of a number: float.hex, or the whole number itself."""
    number = plain(value)
    if number is None:
        return ""
    return number.hex() if isinstance(number, float) else str(int(number))


def wide(values: Any) -> Any:
    """Floating-point numbers as float64, others as they are."""
    values = np.asarray(values)
    return values.astype(np.float64, copy=False) if values.dtype.kind == "f" else values


def evaluated(op: Op, values: Sequence[Any], meta: Mapping[str, Any]) -> Any:
    """An op of numbers or arrays, in float64.

    Casts to floating-point types are not shown, so a whole number may stand among such ones.
    """
    arrays = [wide(value) for value in values]
    if isinstance(op, Elementwise) and any(array.dtype.kind == "f" for array in arrays):
        arrays = [array.astype(np.float64) for array in arrays]
    with np.errstate(all="ignore"):
        return op.reference(*arrays, **meta)


def constant(value: Any, why: str = "") -> Part:
    """A number that stands in the formula."""
    return Part(leaf.number, value=np.asarray(value)[()], why=why)


def applied(op: Op, *parts: Part, **meta: Any) -> Part:
    """An elementwise op of parts."""
    values = [part.value for part in parts]
    known = all(value is not None for value in values)
    value = np.asarray(evaluated(op, values, meta))[()] if known else None
    return Part(op, parts, value, meta)


def product(factors: Sequence[Part], over: float = 1) -> Part:
    """The factors multiplied with each other, divided by a constant."""
    first, *rest = factors
    for factor in rest:
        first = applied(mul, first, factor)
    return first if over == 1 else applied(div, first, constant(float(over)))
