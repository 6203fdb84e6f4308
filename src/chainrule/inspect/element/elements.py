"""Every number of a recorded step with how it was computed: formula, numbers put in, used by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import GradientError, IndexRangeError, message
from chainrule.graph import Node
from chainrule.inspect.element.parts import (
    ADDEND,
    Link,
    More,
    Part,
    applied,
    constant,
    finite,
    hex_text,
    plain,
)
from chainrule.inspect.element.samples import Shares
from chainrule.inspect.element.scopes import backward, forward
from chainrule.inspect.element.step import Arrival, Step, checked_kind
from chainrule.inspect.element.trees import Trees
from chainrule.inspect.element.uses import Uses, passed_on, read_by
from chainrule.inspect.element.writing import written
from chainrule.inspect.notation import bar_of
from chainrule.ops import leaf
from chainrule.ops.history import fan_in
from chainrule.tape import Tape

__all__ = ["Addend", "Element", "Elements"]

LEAVES = {
    "data": "data, as it entered from outside",
    "parameter": "a parameter: its value before the update",
    "number": "a number of the program",
    "random_bits": "a random number: 32 bits of Philox for this seed, stream, draw and place",
    "orthonormal": "an initial value: all of its matrix was made orthonormal at once",
}
SEED = "the seed of the backward pass"


@dataclass
class Addend:
    """What one reader of v has sent to v̄: the recorded number and what it was computed from.

    ``reader`` is the reader's number in the graph, None for the seed; ``why`` says why it can't be
    opened, if it can't.
    """

    reader: int | None
    value: Any
    formula: str
    numbers: str
    part: Part
    why: str = ""

    def page(self) -> dict[str, Any]:
        """Plain values, as a page takes them."""
        return {
            "reader": self.reader,
            "value": finite(self.value),
            "hex": hex_text(self.value),
            "formula": self.formula,
            "numbers": self.numbers,
            "part": self.part.page(),
            "roundoff": finite(_difference(self.value, self.part.value)),
            "why": self.why,
        }


@dataclass
class Element:
    """A number of the record and how it was computed.

    ``part`` is the tree that was evaluated in float64, ``roundoff`` what the program's own number
    differs from it. ``leaf`` says why the chain ends here, if it does.  ``samples`` has an error
    signal that is summed over a batch in shares, one for each sample that was kept.
    """

    link: Link
    node: Node
    value: Any
    formula: str
    numbers: str
    part: Part
    used_by: Uses
    leaf: str = ""
    note: str = ""
    addends: tuple[Addend, ...] = ()
    samples: Part | None = None

    @property
    def roundoff(self) -> float | None:
        """The program's number minus the float64 one; None where one of them is not known."""
        return _difference(self.value, self.part.value)

    @property
    def links(self) -> list[Link]:
        """Where to click on."""
        found = self.part.links()
        return found if self.samples is None else [*found, *self.samples.links()]

    @property
    def missing(self) -> More | None:
        """Terms of samples that were not kept, and what they come to: the value minus the rest."""
        if not self.part.missing or self.value is None:
            return None
        known = sum(plain(part.value) for part in self.part.parts if part.value is not None)
        known += self.part.more.value if self.part.more else 0
        return More(self.part.missing, plain(self.value) - known)

    def page(self) -> dict[str, Any]:
        """Plain values, as a page takes them: numbers, texts, lists."""
        return {
            "what": {
                "node": self.link.node,
                "kind": self.link.kind,
                "index": list(self.link.index),
                "sample": self.link.sample,
                "op": self.node.op.name,
                "name": self.node.name or self.node.scope,
                "dtype": self.node.dtype.name,
                "value": finite(self.value),
                "hex": hex_text(self.value),
            },
            "formula": self.formula,
            "numbers": self.numbers,
            "part": self.part.page(),
            "float64": finite(self.part.value),
            "roundoff": finite(self.roundoff),
            "missing": None if self.missing is None else self.missing.page(),
            "addends": [addend.page() for addend in self.addends],
            "samples": None if self.samples is None else self.samples.page(),
            "leaf": self.leaf,
            "note": self.note,
            "used_by": self.used_by.page(),
        }


class Elements:
    """How each number of the latest step of a tape was computed.

    ``batch`` is the number of samples; by default the rows of the first array of data.  Nodes go by
    their numbers in the order of recording, which ``number(node)`` tells.

    >>> import chainrule as cr
    >>> w = cr.tensor(0.5, requires_grad=True)
    >>> with cr.record() as tape:
    ...     y = w * 3.0
    ...     y.name = "y"
    ...     ((y - 1.0) ** 2 / 2).backward()
    >>> elements = Elements(tape)
    >>> signal = elements.at(tape["y"].node, "bar")
    >>> signal.formula, signal.numbers, signal.value.item()
    ('ā = ȳ', '0.5', 0.5)
    >>> (link,) = signal.links
    >>> elements.at(*link[:3]).numbers
    '2·0.5·0.5'
    """

    def __init__(self, tape: Tape, batch: int | None = None) -> None:
        self.step = Step(tape, batch)

    def number(self, node: Node) -> int:
        """The number of a node of ``tape.graph``, or of a tape's entry."""
        return self.step.number[node]

    def at(
        self,
        node: int | Node,
        kind: str = "value",
        index: tuple[int, ...] = (),
        sample: int | None = None,
    ) -> Element:
        """How one number was computed: an element of a value, or of an error signal ("bar").

        With ``sample``: what this sample of the batch alone adds to the error signal.  Raises
        IndexRangeError for an index outside, GradientError where nothing was recorded.
        """
        number = node if isinstance(node, int) else self.step.number[node]
        if not 0 <= number < len(self.step.order):
            got, needs = f"node {number}", f"0 to {len(self.step.order) - 1}"
            raise IndexRangeError(message("element", got, needs))
        link = Link(number, checked_kind(kind), tuple(index), sample)
        flat = self.step.flat(number, link.index)
        if kind == "value":
            return self._value(link, flat)
        if not self.step.has_bar(number):
            twin = self.step.order[number]
            got = f"a {twin.op.name} {twin.type} without an error signal"
            why = "No backward() has passed it in this step"
            raise GradientError(message("element", got, line=twin.where, why=why))
        return self._bar(link, flat) if sample is None else self._share(link, flat)

    # ------------------------------------------------------------ values

    def _value(self, link: Link, flat: int) -> Element:
        node, value = self.step.order[link.node], self.step.number_at(link)
        uses = read_by(self.step, link.node, flat)
        if not node.inputs:
            reason = LEAVES.get(node.op.name, "a leaf")
            part = Part(leaf.number, value=value)
            return Element(link, node, value, "", "", part, uses, leaf=reason)
        part = Trees(self.step).tree(node, flat, forward(self.step, node), root=True)
        note = "" if value is not None else "This number itself was not kept"
        reason = LEAVES.get(node.op.name, "") or _end(part)
        formula = f"y = {written(part, numbers=False)}"
        numbers = written(part, numbers=True)
        return Element(link, node, value, formula, numbers, part, uses, reason, note)

    # ------------------------------------------------------------ error signals

    def _bar(self, link: Link, flat: int) -> Element:
        step, node = self.step, self.step.order[link.node]
        value = step.number_at(link)
        recorded = [_at(array, flat) for array in step.addends(link.node)]
        arrivals = step.arrivals(link.node)
        several = len(recorded) > 1
        addends, letter = [], "v"
        for k, number in enumerate(recorded):
            arrival = arrivals[k] if arrivals is not None else None
            mark = "₀₁₂₃₄₅₆₇₈₉"[k + 1] if several and k < 9 else ""
            addend, letter = self._addend(arrival, flat, number, mark)
            addends.append(addend)
        reason = note = ""
        if several:
            sent = tuple(Part(ADDEND, (a.part,), a.value) for a in addends)
            part, letter = applied(fan_in, *sent), "v"
        else:
            part = addends[0].part
            reason = addends[0].why
        reason = reason or _end(part)
        total = applied(fan_in, *(constant(a) for a in recorded if a is not None)).value
        if value is not None and None not in recorded and not _near(value, total, recorded):
            note, reason = "A hook has replaced what the readers sent", "what a hook has returned"
            part = constant(value)
        formula = f"{bar_of(letter)} = {written(part, numbers=False)}"
        numbers = written(part, numbers=True)
        uses = passed_on(step, link.node, flat)
        shares = None if note or link.node in step.samples else Shares(step).of(link, value)
        return Element(
            link, node, value, formula, numbers, part, uses, reason, note, tuple(addends), shares
        )

    def _addend(
        self, arrival: Arrival | None, flat: int, value: Any, mark: str
    ) -> tuple[Addend, str]:
        """What one reader has sent, and the letter that it has for v."""
        if arrival is None or arrival.stale:
            why = "an addend of an earlier backward, whose error signals were not kept"
            return Addend(None, value, "", "", constant(value, why), why), "v"
        if arrival.reader < 0:
            return Addend(None, value, "", "", constant(value, SEED), SEED), "L"
        try:
            result, scope, letter = backward(self.step, arrival.reader, arrival.position, mark)
        except Exception:  # whatever a user's own vjp does with stand-ins
            why = "its op's derivative can't be asked without values"
            return Addend(arrival.reader, value, "", "", constant(value, why), why), "v"
        assert result is not None
        part = Trees(self.step).tree(result, flat, scope)
        formula = f"{bar_of(letter)} = {written(part, numbers=False)}"
        addend = Addend(arrival.reader, value, formula, written(part, numbers=True), part)
        return addend, letter

    def _share(self, link: Link, flat: int) -> Element:
        part = Shares(self.step).part(link.node, flat, link.sample or 0)
        if part is None:
            got = f"sample {link.sample} of an error signal without samples that were kept"
            raise GradientError(message("element", got, line=self.step.order[link.node].where))
        node, numbers = self.step.order[link.node], written(part, numbers=True)
        formula = f"v̄ = {written(part, numbers=False)}"
        note = f"What sample {link.sample} alone adds"
        return Element(link, node, part.value, formula, numbers, part, Uses(0, ()), note=note)


def _end(part: Part) -> str:
    """Why the chain ends at a part that reads nothing of the record; "" where it goes on."""
    if part.links():
        return ""
    return next((p.why for p in part.walk() if p.why), "a number that stands in the rule itself")


def _at(array: np.ndarray, flat: int) -> Any:
    return array.reshape(-1)[flat] if flat < array.size else None


def _difference(value: Any, exact: Any) -> float | None:
    if value is None or exact is None:
        return None
    with np.errstate(all="ignore"):
        return float(value) - float(exact)


def _near(value: Any, total: Any, addends: list[Any]) -> bool:
    """Whether a sum in the program's own precision is this number."""
    size = sum(abs(float(a)) for a in addends)
    if not np.isfinite(size):
        return True
    return abs(float(value) - float(total)) <= 8 * len(addends) * np.finfo(value.dtype).eps * size
