"""The board one move at a time, as plain data: what a stepper shows, all of it computed here.

``moves`` records what a board shows (values, error signals, their addends with partial sums), and
beside it what is learned from stepping through it: how often each error signal is used, what a
wrong guess was missing, what the gradient check says, what ``=`` for ``+=`` would have done, and
one update of gradient descent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import islice, pairwise
from typing import Any

import numpy as np

from chainrule.errors import ShapeError, UsageError, message
from chainrule.gradcheck.kinks import branches, switched
from chainrule.gradcheck.replay import replay
from chainrule.gradcheck.trace import Trace
from chainrule.graph import topological_order, type_text
from chainrule.inspect.explain.board import Addend, Board, Variable
from chainrule.inspect.explain.explanation import names_of
from chainrule.inspect.explain.latex import latex_of
from chainrule.inspect.explain.text import chain_rule, joined
from chainrule.inspect.formulas import SEE_THROUGH, unmarked
from chainrule.inspect.notation import NOTATIONS
from chainrule.inspect.recorded import inputs_of
from chainrule.optim import SGD
from chainrule.recording import enable_grad
from chainrule.storage import Hold, recorder
from chainrule.tensor import Tensor, tensor

__all__ = ["LARGEST", "moves"]

LARGEST = 200  # nodes of a graph
MOST_CHECKED = 100  # elements of what is learned; each costs two computations of the loss
MOST_PLANTED = 3  # programs with a bug; each is a backward pass in each notation
MOST_PATHS = 6  # of a derivative, written out
STEP, RELATIVE, ABSOLUTE = 1e-5, 1e-5, 1e-7  # of the gradient check: h, and what may differ
DIGITS = 4


def moves(
    loss: Tensor,
    rate: float = 0.1,
    *,
    title: str = "",
    notes: str = "",
    variables: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    r"""All that one step of learning shows, as plain data for JSON; numbers are the program's own.

    loss: a scalar whose ``backward()`` has not run, of at most 200 nodes.  rate: α of w − α w̄.
    variables: tensors that lend their names.  Nothing is changed: no ``.grad``, no parameter.

    An array is ``{"shape", "values", "hex"}``, in C order, ``hex`` as of ``float.hex``.  A formula
    is ``{"tex", "copy"}``: LaTeX in which ``\\of{3v}{…}`` marks what belongs to the value of node 3
    and ``\\of{3b}{…}`` what to its error signal, and LaTeX without these.  The keys:

    - ``nodes``: ``name``, ``kind`` (learned, data, computed), ``type``, ``op``, ``value``,
      ``inputs`` (numbers of nodes), ``formula``, ``numbers``
    - ``backward``, in order: ``of`` (a node), ``value``, ``addends`` with ``reader``, ``value``,
      ``partial`` sum; ``uses``, how many addends it makes; ``guess``, see ``_guess``
    - ``rules``: for each notation ``names``, ``chains``, ``rules``, ``numbers`` of these
    - ``reuse``: multiplications by a local derivative with and without it, and the paths
    - ``check``: numeric derivatives; ``update``: the step and the loss after it
    - ``planted``: the boards of programs with one ``=`` for ``+=``

    Raises UsageError if the graph is too large, GradientError if nothing is learned in it.

    >>> w = tensor(0.5, requires_grad=True)
    >>> found = moves((w * 3 - 1) ** 2)
    >>> [row["value"]["values"] for row in found["backward"]]
    [[1.0], [3.0]]
    """
    count = len(topological_order([loss._node]))
    if count > LARGEST:
        got, needs = f"a graph of {count} nodes", f"at most {LARGEST}"
        remedy = "explain() sums up larger ones, a line for each layer"
        raise UsageError(message("stepper", got, needs, remedy=remedy))
    if loss.shape:
        got = f"{loss.name or loss.op} of type {type_text(loss.shape, loss.dtype)}"
        raise ShapeError(message("stepper", got, "a scalar", remedy="sum() or mean()"))
    with recorder().setting(taps=[]), enable_grad():  # no tape hears of it
        found = _moves(loss, float(rate), names_of(loss, variables or {}))
    return {"title": title, "notes": notes} | found


def _moves(loss: Tensor, rate: float, names: dict[Any, str]) -> dict[str, Any]:
    f, leaves = replay(loss)
    graph = inputs_of(loss._node)
    held = [Hold(node) for node in graph]  # several boards read its values
    boards = {
        n: _MovesBoard(loss._node, names, DIGITS, n, marks=True, graph=graph) for n in NOTATIONS
    }
    board = boards["bar"]
    place = _places(board)
    learned = [variable for variable in board.variables if variable.core.leaf is not None]
    checked = _check(f, leaves, learned, board, place)
    found = {
        "dtype": loss.dtype.name,
        "rate": rate,
        "nodes": [_node(board, variable, place) for variable in board.variables],
        "backward": [_backward(board, variable, place) for variable in board.backward],
        "rules": {notation: _rules(shown) for notation, shown in boards.items()},
        "reuse": _reuse(board, place),
        "check": checked,
        "update": _update(f, leaves, learned, board, place, rate),
        "planted": list(islice(_planted(board, names, graph, checked), MOST_PLANTED)),
    }
    held.clear()
    return found


class _MovesBoard(Board):
    """A board that keeps the factors of each addend."""

    def release(self) -> None:
        self.factors = {
            id(addend): [self.value(node) for node in self._factors(addend.node)]
            for variable in self.variables
            for addend in variable.addends
            if addend.node is not None and addend.value.ndim == 0
        }
        super().release()

    def _factors(self, node: Any) -> Iterator[Any]:
        """The nodes that a product is made of, signs left out."""
        parts = self.inputs.get(node, ())
        if node.op.name == "mul":
            for part in parts:
                yield from self._factors(part)
        elif (node.op.name in SEE_THROUGH or node.op.name == "neg") and parts:
            yield from self._factors(parts[0])
        else:
            yield node


# ---------------------------------------------------------------- what is written


def _array(array: np.ndarray) -> dict[str, Any]:
    flat = [float(x) for x in np.asarray(array).reshape(-1)]
    values = [x if np.isfinite(x) else _word(x) for x in flat]
    return {"shape": list(array.shape), "values": values, "hex": [x.hex() for x in flat]}


def _word(x: float) -> str:
    return "NaN" if np.isnan(x) else "Infinity" if x > 0 else "-Infinity"


def _formula(text: str | None) -> dict[str, str] | None:
    if not text:
        return None
    return {"tex": latex_of(text), "copy": latex_of(unmarked(text))}


def _node(board: Board, variable: Variable, place: dict[int, int]) -> dict[str, Any]:
    node = variable.core
    kind = "computed" if not variable.given else "data"
    numbers = None if unmarked(variable.numbers or "") == variable.formula else variable.numbers
    return {
        "name": variable.name,
        "tex": latex_of(variable.name),
        "kind": "learned" if node.leaf is not None else kind,
        "type": type_text(variable.face.shape, variable.face.dtype),
        "op": node.op.name,
        "value": _array(variable.value),
        "inputs": _inputs(board, variable, place),
        "formula": _formula(variable.formula),
        "numbers": _formula(numbers),
    }


def _inputs(board: Board, variable: Variable, place: dict[int, int]) -> list[int]:
    """The nodes that a variable is computed from, each once, in the order of its formula."""
    found: dict[int, None] = {}
    waiting = list(reversed(board.inputs[variable.core]))
    while waiting:
        node = waiting.pop()
        if node in board.of:
            found.setdefault(place[id(board.of[node])])
        else:
            waiting.extend(reversed(board.inputs[node]))
    return list(found)


def _rules(board: Board) -> list[dict[str, Any]]:
    """How one notation calls the error signals, in the order of ``backward``."""
    rows = []
    for variable in board.backward:
        addends = variable.addends
        chain = chain_rule(variable, board.backward[0], board.notation)
        rule = joined([addend.formula for addend in addends]) if addends else ""
        if chain in (unmarked(rule), variable.signal):
            chain = ""
        rows.append(
            {
                "name": latex_of(variable.signal),
                "plain": variable.signal,
                "chain": _formula(chain),
                "rule": _formula(rule),
                "addends": [
                    {"formula": _formula(a.formula), "numbers": _formula(a.numbers)}
                    for a in addends
                ],
            }
        )
    return rows


def _backward(board: _MovesBoard, variable: Variable, place: dict[int, int]) -> dict[str, Any]:
    assert variable.bar is not None
    total: Any = None
    addends = []
    for addend in variable.addends:
        total = addend.value if total is None else total + addend.value
        addends.append(
            {
                "reader": place[id(addend.reader)],
                "value": _array(addend.value),
                "partial": _array(total),
            }
        )
    if addends:  # the program's own sum, and not one in another order
        addends[-1]["partial"] = _array(variable.bar)
    uses = [a for v in board.backward for a in v.addends if a.reader is variable]
    return {
        "of": place[id(variable)],
        "value": _array(variable.bar),
        "addends": addends,
        "uses": len(uses),
        "guess": _guess(board, variable),
    }


# ---------------------------------------------------------------- guesses


def _guess(board: _MovesBoard, variable: Variable) -> dict[str, Any] | None:
    """What is asked, one element, and what the wrong answers are that one can name.

    ``index`` is where (the largest element), ``value`` the right one; each of ``misses`` has a
    ``value`` and what it says of a guess that is near it: sign, addend, factor.

    ``value`` is the program's own.  Misses are no values of the program: they are what somebody
    gets who computes the row wrongly by hand, from the board's recorded numbers in float64: the
    sign turned, an addend left out or alone, a factor of a product left out.  They are never shown
    and only choose a sentence.
    """
    if not variable.addends or variable.bar is None or not variable.bar.size:
        return None
    flat = int(np.argmax(np.abs(np.nan_to_num(variable.bar))))
    index = tuple(int(i) for i in np.unravel_index(flat, variable.bar.shape))
    right = float(variable.bar[index])
    found: list[tuple[str, float]] = [("sign", -right)]
    parts = [float(addend.value[index]) for addend in variable.addends]
    if len(parts) > 1:
        found += [("addend", float(variable.bar[index]) - part) for part in parts]
        found += [("addend", part) for part in parts]
    if not variable.bar.ndim:
        for addend, part in zip(variable.addends, parts, strict=True):
            for product in _with_one_left_out(board, addend):
                found.append(("factor", right - part + np.copysign(product, part)))
                found.append(("factor", right - part - np.copysign(product, part)))
    misses = [
        {"kind": kind, "value": value}
        for kind, value in found
        if np.isfinite(value) and not _near(value, right)
    ]
    return {"index": list(index), "flat": flat, "value": right, "misses": misses}


def _with_one_left_out(board: _MovesBoard, addend: Addend) -> Iterator[float]:
    factors = [float(x) for x in board.factors.get(id(addend), ()) if x.ndim == 0]
    for k in range(len(factors)):
        rest = factors[:k] + factors[k + 1 :]
        yield abs(reduce(lambda product, x: product * x, rest, 1.0))


def _near(guess: float, value: float) -> bool:
    return abs(guess - value) <= 0.02 * abs(value)


# ---------------------------------------------------------------- reuse


def _reuse(board: Board, place: dict[int, int]) -> dict[str, Any]:
    """Multiplications of an error signal by a local derivative: one for each addend with reuse.

    Without it each derivative is multiplied out for itself, along each path from the loss.
    """
    paths: dict[int, int] = {}
    length: dict[int, int] = {}
    ways: dict[int, list[list[int]]] = {}
    for variable in board.backward:
        key = id(variable)
        readers = [id(addend.reader) for addend in variable.addends]
        paths[key] = sum(paths[r] for r in readers) if readers else 1
        length[key] = sum(length[r] + paths[r] for r in readers)
        found = [[*way, place[key]] for r in readers for way in ways[r]] or [[place[key]]]
        ways[key] = found[:MOST_PATHS]
    leaves = [v for v in board.backward if v.core.leaf is not None]
    return {
        "with": sum(len(v.addends) for v in board.backward),
        "without": str(sum(length[id(v)] for v in leaves)),  # JSON's readers have no such integers
        "leaves": [
            {
                "of": place[id(v)],
                "multiplications": str(length[id(v)]),
                "paths": str(paths[id(v)]),
                "formula": _formula(_product(board, ways[id(v)], paths[id(v)])),
            }
            for v in leaves
        ],
    }


def _product(board: Board, ways: list[list[int]], count: int) -> str:
    """∂L/∂y·∂y/∂w + …: the paths from the loss."""
    names = [variable.name for variable in board.variables]
    texts = ["·".join(f"∂{names[a]}/∂{names[b]}" for a, b in pairwise(way)) for way in ways]
    more = [f"… {count - len(ways)}"] if count > len(ways) else []
    return " + ".join([*texts, *more])


# ---------------------------------------------------------------- check and update

Loss = Callable[..., Tensor]


def _values(leaves: Sequence[Any], changed: dict[int, np.ndarray]) -> list[Tensor]:
    """The leaves' values in float64, some of them changed."""
    return [
        tensor(changed.get(k, leaf.result().astype(np.float64))) for k, leaf in enumerate(leaves)
    ]


def _check(
    f: Loss, leaves: Sequence[Any], learned: list[Variable], board: Board, place: dict[int, int]
) -> dict[str, Any]:
    """Central differences of the loss: h = 1e-5·max(1, |v|), two computations for each element."""
    rows, left = [], MOST_CHECKED
    for variable in learned:
        at, bar = leaves.index(variable.core), variable.bar
        if bar is None or bar.size > left:
            continue
        left -= bar.size
        base = variable.core.result().astype(np.float64)
        numeric, kinks = np.empty(base.shape), np.zeros(base.shape, bool)
        for index in np.ndindex(base.shape):
            numeric[index], kinks[index] = _difference(f, leaves, at, base, index)
        agrees = np.abs(numeric - bar) <= ABSOLUTE + RELATIVE * np.abs(numeric)
        rows.append(
            {
                "of": place[id(variable)],
                "numeric": _array(numeric),
                "agrees": bool(np.all(agrees | kinks)),
                "kinks": int(kinks.sum()),
            }
        )
    return {"step": STEP, "rows": rows, "unchecked": len(learned) - len(rows)}


def _difference(
    f: Loss, leaves: Sequence[Any], at: int, base: np.ndarray, index: tuple[int, ...]
) -> tuple[float, bool]:
    """((L(v + h) − L(v − h)) / 2h, whether a unit switches in between)"""
    h = STEP * max(1.0, abs(float(base[index])))
    ends = []
    for sign in (1, -1):
        moved = base.copy()
        moved[index] += sign * h
        y = f(*_values(leaves, {at: moved}))
        trace = Trace([y])
        ends.append((y.item(), branches(trace)))
    (above, taken), (below, before) = ends
    return (above - below) / (2 * h), bool(switched(before, taken)[0])


def _update(
    f: Loss,
    leaves: Sequence[Any],
    learned: list[Variable],
    board: Board,
    place: dict[int, int],
    rate: float,
) -> dict[str, Any]:
    """w − α w̄ by ``optim.SGD`` on fresh tensors, and the loss there."""
    fresh = [tensor(leaf.result().astype(np.float64), requires_grad=True) for leaf in leaves]
    f(*fresh).backward()
    SGD(fresh, lr=rate).step()
    after = f(*[tensor(x.detach().numpy()) for x in fresh]).item()
    rows = [
        {
            "of": place[id(v)],
            "value": _array(fresh[leaves.index(v.core)].detach().numpy()),
        }
        for v in learned
        if v.bar is not None
    ]
    before = float(board.of[board.loss].value.item())
    losses = [_array(np.array(x)) for x in (before, after)]
    return {"rows": rows, "before": losses[0], "after": losses[1], "lower": after < before}


# ---------------------------------------------------------------- one = for +=


class _PlantedBoard(_MovesBoard):
    """The board of a backward pass in which one error signal keeps its last addend alone."""

    def __init__(self, *given: Any, target: Any, **settings: Any) -> None:
        self.target = target
        super().__init__(*given, **settings)

    def _sent_back(self, seeds: dict[Any, Tensor]) -> Any:
        before = {node: node.watchers for node in self.order}
        try:
            for node in self.order:
                node.watchers = None
            self.target.watchers = [_last_addend]  # what a hook returns takes its place
            wrong = super()._sent_back(seeds, quiet=False)
        finally:
            for node, watchers in before.items():
                node.watchers = watchers
        del wrong.addends[self.target][:-1], wrong.readers[self.target][:-1]
        return wrong


def _last_addend(signal: Tensor) -> Tensor:
    """What = for += leaves of a sum: an error signal with several addends is one ``fan_in``."""
    return Tensor._of(signal._node.inputs[-1])


def _planted(
    right: Board,
    names: dict[Any, str],
    graph: Mapping[Any, tuple[Any, ...]],
    checked: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    """For what has several addends: the rules and values of the wrong program, and who differs."""
    for variable in right.backward:
        several = right.signals.addends.get(variable.face, ())
        if len(several) < 2 or len(variable.addends) < 2:
            continue
        how = {"marks": True, "graph": graph, "target": variable.face}
        boards = {n: _PlantedBoard(right.loss, names, DIGITS, n, **how) for n in NOTATIONS}
        board, place = boards["bar"], _places(right)
        if [v.core for v in board.variables] != [v.core for v in right.variables]:
            continue  # a composite that holds no more is shown in its steps
        numeric = {row["of"]: row for row in checked["rows"]}
        wrong = []
        for k, shown in enumerate(board.variables):
            row = numeric.get(k)
            if row is not None and shown.bar is not None:
                found = np.array(row["numeric"]["values"], float).reshape(shown.bar.shape)
                near = np.abs(found - shown.bar) <= ABSOLUTE + RELATIVE * np.abs(found)
                wrong += [] if near.all() else [k]
        if wrong:  # else nobody could tell
            yield {
                "of": place[id(variable)],
                "backward": [_backward(board, v, _places(board)) for v in board.backward],
                "rules": {n: _rules(shown) for n, shown in boards.items()},
                "wrong": wrong,
            }


def _places(board: Board) -> dict[int, int]:
    """The numbers of a board's variables."""
    return {id(variable): k for k, variable in enumerate(board.variables)}
