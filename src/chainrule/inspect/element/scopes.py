"""What the letters of an op stand for: of its value, and of the error signals that it sends."""

from __future__ import annotations

from functools import lru_cache
from inspect import signature
from typing import Any

from chainrule.graph import Node
from chainrule.inspect.element.recipes import derivative
from chainrule.inspect.element.step import Step
from chainrule.inspect.element.trees import Bound, Scope, scope_of
from chainrule.ops import Elementwise, Op

__all__ = ["backward", "forward", "letters"]

SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@lru_cache(maxsize=1024)
def letters(op: Op, count: int) -> tuple[str, ...]:
    """What an op calls its inputs; x₁, x₂, … where it takes any number of them.

    >>> from chainrule.ops import REGISTRY
    >>> letters(REGISTRY["matmul"], 2), letters(REGISTRY["eq"], 2)
    (('a', 'b'), ('a', 'b'))
    """
    by = op.vjp
    if type(op).vjp is Op.vjp:
        by = op.scalar if isinstance(op, Elementwise) else op.reference
    skipped = {op.vjp: 2, getattr(op, "scalar", None): 1}.get(by, 0)
    named = list(signature(by).parameters.values())[skipped:]
    found = [p.name for p in named if p.kind is p.POSITIONAL_OR_KEYWORD]
    found += [f"x{k + 1}".translate(SUBSCRIPT) for k in range(len(found), count)]
    return tuple(found[:count])


def forward(step: Step, node: Node) -> Scope:
    """The recorded values that a node reads."""
    names = letters(node.op, len(node.inputs))
    scope: dict[Node, Any] = {}
    for source, letter in zip(node.inputs, names, strict=True):
        scope.setdefault(source, Bound(step.number[source], "value", letter))
    return scope


def backward(
    step: Step, reader: int, position: int, mark: str = ""
) -> tuple[Node | None, Scope, str]:
    """What a reader sends to one of its inputs: as a node, in which scope, the input's letter.

    ``mark`` tells the letters of several readers apart.
    """
    node = step.order[reader]
    recipe = derivative(node)
    names = [f"{letter}{mark}" for letter in letters(node.op, len(node.inputs))]
    given: list[Any] = [Bound(reader, "value", f"y{mark}"), Bound(reader, "bar", f"y{mark}")]
    for source, letter in zip(node.inputs, names, strict=True):
        given.append(Bound(step.number[source], "value", letter))
    scope = scope_of(recipe, given)
    for twin, recorded in recipe.outside.items():
        number = step.number_of(recorded)
        if number is not None:
            scope[twin] = Bound(number, "value", recorded.name or "s")
    return recipe.results[position], scope, names[position]
