"""An element's formula as a tree, for any node of the recorded graph or of an op's derivative.

Sums are computed from arrays, and of their terms only the largest become trees, so that an element
of 10,000 terms costs little more than one of twelve.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from chainrule.autograd import Custom
from chainrule.graph import Node
from chainrule.inspect.element.parts import (
    ARGMAX,
    ARGSORT,
    MAX,
    MIN,
    SAME,
    SUM,
    Link,
    More,
    Part,
    applied,
    constant,
    evaluated,
    product,
    wide,
)
from chainrule.inspect.element.places import (
    TERMS,
    Reduction,
    Winner,
    moved_inputs,
    moved_places,
)
from chainrule.inspect.element.recipes import COMPOSED, Recipe, composition
from chainrule.inspect.element.step import Step
from chainrule.ops import Elementwise, leaf
from chainrule.ops.elementwise import add
from chainrule.ops.labels import class_index
from chainrule.ops.reduce import moments

__all__ = [
    "MOST_TERMS",
    "Alias",
    "Bound",
    "Fixed",
    "Scope",
    "Trees",
    "handed_on",
    "pointwise",
    "scope_of",
]

MOST_TERMS = 12  # that are listed; the others are one number
FEW = 64  # elements of a reduction that are computed one by one rather than all


class Bound(NamedTuple):
    """A stand-in for a recorded array: of which node, its value or bar, its letter."""

    node: int
    kind: str
    letter: str


class Alias(NamedTuple):
    """A stand-in for a node of another graph."""

    node: Node
    scope: Scope


class Fixed(NamedTuple):
    """A number that is part of a formula."""

    value: Any


Scope = Mapping[Node, Any]  # stand-in -> Bound, Alias or Fixed


def scope_of(recipe: Recipe, given: list[Bound | Alias]) -> dict[Node, Any]:
    """What the stand-ins and constants of a recipe stand for."""
    fixed = {node: Fixed(value) for node, value in recipe.constants.items()}
    return {**fixed, **dict(zip(recipe.given, given, strict=True))}


class Trees:
    """Makes the trees of one description; ``reads`` collects which recorded elements they read."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.reads: dict[tuple[int, str], list[np.ndarray]] = {}
        self._arrays: dict[tuple[Node, int], np.ndarray] = {}
        self._scopes: dict[tuple[Node, int], tuple[Node, Scope]] = {}

    # ------------------------------------------------------------ numbers, many at once

    def values(self, node: Node, flats: np.ndarray, scope: Scope) -> tuple[np.ndarray, np.ndarray]:
        """The elements at these places, and which of them are known."""
        bound = scope.get(node)
        if isinstance(bound, Alias):
            return self.values(bound.node, flats, bound.scope)
        if isinstance(bound, Fixed):
            whole = np.broadcast_to(wide(bound.value), node.shape).reshape(-1)
            return whole[flats], np.ones(flats.shape, bool)
        if bound is not None:
            return self._recorded(bound, flats)
        source = handed_on(node)
        if source is not None:
            return self.values(source, flats, scope)
        if pointwise(node):
            found = [
                self.values(source, flats if source.shape else np.zeros_like(flats), scope)
                for source in node.inputs
            ]
            known = np.logical_and.reduce([known for _, known in found])
            return np.asarray(evaluated(node.op, [v for v, _ in found], node.meta)), known
        if moved_inputs(node):
            return self._moved(node, flats, scope)
        if node.op.name in COMPOSED:
            return self.values(*self._inside(node, scope, flats))
        if node.op.name in TERMS and flats.size <= FEW:
            found = [self._total(self.reduction(node, int(flat), scope), scope) for flat in flats]
            return np.array([v for v, _ in found]), np.array([k for _, k in found], bool)
        return self.array(node, scope).reshape(-1)[flats], np.ones(flats.shape, bool)

    def _inside(self, node: Node, scope: Scope, flats: Any) -> tuple[Node, Any, Scope]:
        """The same elements in the graph of an op that is several rules in one."""
        key = (node, id(scope))
        if key not in self._scopes:
            recipe = composition(node)
            aliases: list[Any] = [Alias(source, scope) for source in node.inputs]
            itself: Any = Alias(node, scope)
            if node in self.step.number:  # a mean that the variance reads was recorded
                itself = Bound(self.step.number[node], "value", "y")
            (end,) = recipe.results
            assert end is not None
            self._scopes[key] = (end, scope_of(recipe, [itself, itself, *aliases]))
        end, inner = self._scopes[key]
        return end, flats, inner

    def _recorded(self, bound: Bound, flats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.reads.setdefault(bound[:2], []).append(flats)
        array = self.step.array(bound.node, bound.kind)
        if array is None:
            return np.full(flats.shape, np.nan), np.zeros(flats.shape, bool)
        known = flats < array.size  # of a large batch the first samples are kept
        if known.all():
            return wide(array.reshape(-1)[flats]), known
        found = np.zeros(flats.shape, array.dtype)
        found[known] = array.reshape(-1)[flats[known]]
        return wide(found), known

    def _moved(self, node: Node, flats: np.ndarray, scope: Scope) -> tuple[np.ndarray, np.ndarray]:
        which, at = self.sources(node, flats, scope)
        first, known = np.asarray(node.meta.get("value", 0.0)), np.ones(flats.shape, bool)
        found = np.broadcast_to(first, flats.shape)
        for k, source in enumerate(node.inputs[: moved_inputs(node)]):
            here = which == k
            if here.all():
                return self.values(source, at, scope)
            if here.any():
                values, sure = self.values(source, at[here], scope)
                found = np.array(found, np.result_type(found, values))
                found[here], known[here] = values, sure
        return found, known

    def sources(self, node: Node, flats: np.ndarray, scope: Scope) -> tuple[np.ndarray, np.ndarray]:
        if node.op.name == "reshape":
            return np.zeros_like(flats), flats
        rest = [self.array(source, scope) for source in node.inputs[moved_inputs(node) :]]
        return moved_places(node, flats, rest)

    def array(self, node: Node, scope: Scope) -> np.ndarray:
        """A whole array, in float64 where it is computed."""
        bound = scope.get(node)
        if isinstance(bound, Alias):
            return self.array(bound.node, bound.scope)
        if isinstance(bound, Fixed):
            return np.asarray(bound.value)
        key = (node, id(scope))
        if key not in self._arrays:
            if bound is not None:
                self._arrays[key] = self._whole(bound, node)
            else:
                parts = [self.array(source, scope) for source in node.inputs]
                self._arrays[key] = np.asarray(evaluated(node.op, parts, node.meta))
        return self._arrays[key]

    def _whole(self, bound: Bound, node: Node) -> np.ndarray:
        array = self.step.array(bound.node, bound.kind)
        whole = np.zeros(node.shape, node.dtype.numpy)
        if array is not None:
            whole.reshape(-1)[: array.size] = array.reshape(-1)
        return whole

    # ------------------------------------------------------------ one number of many

    def reduction(self, node: Node, flat: int, scope: Scope) -> Reduction:
        """The terms of an element."""
        at = tuple(int(i) for i in np.unravel_index(flat, node.shape)) if node.shape else ()
        return TERMS[node.op.name](node, at, lambda source: self.array(source, scope))

    def terms(self, of: Reduction, scope: Scope) -> tuple[np.ndarray, np.ndarray]:
        """The terms as numbers, and which are known."""
        total, known = None, np.ones(of.count, bool)
        with np.errstate(all="ignore"):
            for factor in of.factors:
                if isinstance(factor, Winner):
                    values = self._winners(factor, scope) == factor.flat
                else:
                    values, sure = self.values(*factor, scope)
                    known = known & sure
                total = values if total is None else total * values
            assert total is not None
            return (total / of.over if np.ndim(of.over) else total), known

    def _winners(self, factor: Winner, scope: Scope) -> np.ndarray:
        """Which place of the input each of the windows took its maximum from."""
        index, _ = self.values(factor.node, factor.windows, scope)
        plane = int(np.prod(factor.node.inputs[0].shape[2:]))
        windows = int(np.prod(factor.node.shape[2:]))
        return factor.windows // windows * plane + index.astype(np.int64)

    def _total(self, of: Reduction, scope: Scope) -> tuple[Any, bool]:
        terms, known = self.terms(of, scope)
        value = _reduced(of, terms)
        if of.base is not None:
            base, flat = of.base
            first, _ = self.values(base, np.array([flat]), scope)
            value = value + first[0]
        return value / of.over if np.ndim(of.over) == 0 and of.over != 1 else value, bool(
            known.all()
        )

    # ------------------------------------------------------------ trees

    def tree(self, node: Node, flat: int, scope: Scope, *, root: bool = False) -> Part:
        """An element as a part; ``root`` shows all candidates of a maximum, else the winner."""
        bound = scope.get(node)
        if isinstance(bound, Alias):
            return self.tree(bound.node, flat, bound.scope)
        if isinstance(bound, Fixed):
            return constant(np.asarray(bound.value).reshape(-1)[flat])
        if bound is not None:
            return self._link(bound, node, flat)
        source = handed_on(node)
        if source is not None:
            return self.tree(source, flat, scope)
        if pointwise(node):
            parts = [self.tree(s, flat if s.shape else 0, scope) for s in node.inputs]
            return applied(node.op, *parts, **node.meta)
        if moved_inputs(node):
            which, at = self.sources(node, np.array([flat]), scope)
            if which[0] < 0:
                return constant(node.dtype.numpy.type(node.meta.get("value", 0.0)), "padding")
            return self.tree(node.inputs[which[0]], int(at[0]), scope)
        if node.op.name in COMPOSED:
            return self.tree(*self._inside(node, scope, flat))
        if node.op.name in TERMS:
            of = self.reduction(node, flat, scope)
            if of.rule in (MAX, MIN) and not root:
                winner = _winner(of, self.terms(of, scope)[0])
                part = self._term(of, winner, scope)
                part.letter = f"{of.rule.name} {part.letter}"
                return part
            return self.sum_tree(of, scope)
        if node.op.name == "random_bits":
            parts = [self.tree(source, 0, scope) for source in node.inputs]
            value = self.array(node, scope).reshape(-1)[flat]
            return Part(node.op, tuple(parts), value, {"places": (flat,)})
        return Part(node.op, (), None, why=f"{node.op.name} has no rule for one element")

    def _link(self, bound: Bound, node: Node, flat: int) -> Part:
        self.reads.setdefault(bound[:2], []).append(np.array([flat]))
        link = Link(bound.node, bound.kind, self.step.index(bound.node, flat))
        value, letter = self.step.number_at(link), bound.letter
        if letter[:1] == "y" and self.step.order[bound.node].op is moments:
            letter = ("σ²", "μ")[link.index[0] == 0] + letter[1:]
        op = leaf.number if self.step.order[bound.node].op is leaf.number else leaf.data
        return Part(leaf.data if bound.kind == "bar" else op, (), value, {}, link, letter)

    def sum_tree(self, of: Reduction, scope: Scope) -> Part:
        """The terms of a sum, or the candidates of a maximum: all, or the 12 largest."""
        terms, known = self.terms(of, scope)
        chosen = np.flatnonzero(known) if known.any() else np.arange(min(of.count, MOST_TERMS))
        if len(chosen) > MOST_TERMS:
            size = terms[chosen] if of.rule in (MAX, ARGMAX) else np.abs(terms[chosen])
            size = terms[chosen] * -1.0 if of.rule is MIN else size
            chosen = chosen[_largest(np.where(np.isnan(size), np.inf, size))]
        parts = tuple(self._term(of, int(k), scope) for k in chosen)
        rest, lost = known.copy(), ~known
        rest[chosen] = lost[chosen] = False
        more, missing = None, int(np.count_nonzero(lost))
        if rest.any():
            more = More(int(np.count_nonzero(rest)), float(_reduced(of.of(rest), terms[rest])))
        value = _reduced(of, terms) if known.all() else None
        meta: dict[str, Any] = {}
        if of.numbers is not None:
            meta["places"] = tuple(int(of.numbers[k]) for k in chosen)
        if of.rule in (MAX, MIN, ARGMAX) and len(chosen):
            meta["winner"] = _winner(of, terms[chosen])
        why = f"{of.outside} taps see padding" if of.outside else ""
        why = why or ("" if of.count else "nothing has read it")
        part: Part = Part(of.rule, parts, value, meta, more=more, missing=missing, why=why)
        if of.base is not None:
            base = self.tree(*of.base, scope)
            if base.link is not None or base.value != 0:
                part = applied(add, base, part)
        if np.ndim(of.over) == 0 and of.over != 1:
            part = product([part], of.over)
        return part

    def _term(self, of: Reduction, k: int, scope: Scope) -> Part:
        factors = []
        for factor in of.factors:
            if isinstance(factor, Winner):
                one = Winner(factor.flat, factor.node, factor.windows[k : k + 1])
                factors.append(self._won(one, scope))
            else:
                factors.append(self.tree(factor[0], int(factor[1][k]), scope))
        return product(factors, of.over[k] if np.ndim(of.over) else 1)

    def _won(self, factor: Winner, scope: Scope) -> Part:
        (winner,) = self._winners(factor, scope)
        (x,) = factor.node.inputs
        both = (factor.flat, int(winner))
        parts = tuple(self.tree(x, flat, scope) for flat in both)
        return Part(SAME, parts, np.bool_(both[0] == both[1]), {"places": both})


def pointwise(node: Node) -> bool:
    """Whether each element is computed from the inputs' elements at the same place."""
    return isinstance(node.op, Elementwise) or node.op is class_index


def handed_on(node: Node) -> Node | None:
    """The input whose numbers an op hands on as they are; the rounding of a cast is not shown."""
    if node.op.name == "cast":
        same = node.inputs[0].dtype is node.dtype
        return node.inputs[0] if same or node.dtype.is_floating_point else None
    if node.op.name in ("assign", "detach", "probability", "sign_label"):
        return node.inputs[0]
    return node.inputs[-1] if isinstance(node.op, Custom) else None  # what its author computed


def _largest(size: np.ndarray) -> np.ndarray:
    """The places of the 12 largest, the largest first; of equal ones the first."""
    least = np.partition(size, -MOST_TERMS)[-MOST_TERMS]
    above, equal = np.flatnonzero(size > least), np.flatnonzero(size == least)
    places = np.sort(np.concatenate([above, equal[: MOST_TERMS - len(above)]]))
    return places[np.argsort(-size[places].astype(np.float64), kind="stable")]


def _winner(of: Reduction, terms: np.ndarray) -> int:
    return int(np.argmin(terms) if of.rule is MIN else np.argmax(terms))


def _reduced(of: Reduction, terms: np.ndarray) -> Any:
    """The number that the terms come to."""
    if of.rule is SUM:
        return np.sum(terms)
    if of.rule is SAME:
        assert of.numbers is not None
        return np.bool_(of.numbers[0] == of.numbers[1])
    if of.rule in (ARGMAX, ARGSORT):
        assert of.numbers is not None
        return of.numbers[np.argmax(terms)]
    return np.min(terms) if of.rule is MIN else np.max(terms)
