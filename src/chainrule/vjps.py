"""What the vjps of ops record, kept for each kind of node, so that a loop asks each once.

A vjp looks at types, never at values: for one op, one metadata and the types of its inputs it
records the same ops each time.  They are found once, on stand-ins, and repeated from then on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from chainrule.graph import Node, meta_key, topological_order
from chainrule.ops import leaf
from chainrule.ops.op import REGISTRY
from chainrule.storage import COMPUTED, PENDING, Recorded, Row, recorder
from chainrule.tensor import Tensor

__all__ = ["addends", "stand_ins"]

MOST_FORMULAS = 4096  # that are remembered

_formulas: OrderedDict[Any, Formula | None] = OrderedDict()


def addends(node: Recorded, signal: Recorded, passing: Sequence[int]) -> list[Recorded | None]:
    """What ``node``, whose error signal is ``signal``, sends back to its inputs of these numbers.

    ``None`` for an input that its op sends nothing to.
    """
    rec, values = recorder(), [node, signal, *node.inputs]
    before, rec.scope = rec.scope, node.scope
    try:
        formula = _known(node, tuple(passing)) if _may_repeat(node, values) else None
        if formula is not None:
            return formula.repeat(values)
        bars = _ask(node, values)
        return [bars[index] for index in passing]
    finally:
        rec.scope = before


class Formula:
    """The rows that a vjp records of (y, ȳ, inputs, constants), and which of these it returns."""

    def __init__(self, given: Sequence[Recorded], bars: Sequence[Recorded | None]) -> None:
        found: list[Any] = topological_order([bar for bar in bars if bar is not None])
        made = sorted((n for n in found if n not in given), key=lambda n: n.sequence)
        self.constants = [node for node in made if not node.inputs]
        if not all("fixed" in node.meta for node in self.constants):
            raise LookupError("data of its own")
        place = {node: k for k, node in enumerate((*given, *self.constants))}
        self.rows = []
        for node in made:
            if node.inputs:
                sources = tuple(place[source] for source in node.inputs)
                self.rows.append(Row(node.op, sources, node.meta, node.shape, node.dtype))
                place[node] = len(place)
        self.returned = [None if bar is None else place[bar] for bar in bars]
        for constant in self.constants:
            constant.holders += 1  # for good: it is part of every later graph

    def repeat(self, values: Sequence[Recorded]) -> list[Recorded | None]:
        """The error signals, from other values of the same types."""
        known = recorder().repeat(self.rows, [*values, *self.constants])
        return [None if place is None else known[place] for place in self.returned]


def _may_repeat(node: Recorded, values: Sequence[Recorded]) -> bool:
    """Whether ops can be recorded of the values without a look at them, and without a trace."""
    rec = recorder()
    if rec.trace is not None or REGISTRY.get(node.op.name) is not node.op:
        return False
    return all(v.state == COMPUTED or (v.state == PENDING and v.recorder is rec) for v in values)


def _known(node: Recorded, passing: tuple[int, ...]) -> Formula | None:
    types = tuple([(source.shape, source.dtype) for source in node.inputs])
    key = (node.op, type(node.op).vjp, meta_key(node.meta), types, passing)
    try:
        return _formulas[key]
    except TypeError:  # metadata that is not hashable
        return None
    except KeyError:
        formula = _formulas[key] = _find(node, passing)
        if len(_formulas) > MOST_FORMULAS:
            _formulas.popitem(last=False)
        return formula


def stand_ins(node: Node) -> list[Recorded]:
    """Leaves without numbers: of the node's type, of its error signal's, and of its inputs'."""
    found = []
    for source in (node, node, *node.inputs):
        stand_in = Recorded(leaf.data, (), {}, source.shape, source.dtype, recorder())
        stand_in.state = COMPUTED
        found.append(stand_in)
    return found


def _find(node: Recorded, passing: Sequence[int]) -> Formula | None:
    """Ask the op once; ``None`` if what it records is not the same each time."""
    given = stand_ins(node)
    try:
        with recorder().setting(grad_enabled=False, taps=[], on_stand_ins=True):
            bars = _ask(node, given)
        return Formula(given, [bars[index] for index in passing])
    except Exception:  # whatever it is: asked about real values, the op will say it better
        return None


def _ask(node: Recorded, values: Sequence[Recorded]) -> list[Recorded | None]:
    with recorder().setting(formula=True):
        bars = node.op.vjp(*map(Tensor._of, values), **node.meta)
    return [None if bar is None else bar._node for bar in bars]
