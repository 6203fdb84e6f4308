"""The update of a parameter as a page gets it: from w to the new w, in the optimizer's own numbers.

    GET /api/runs/NAME/steps/KIND/STEP/update?node=&index=0,3      of one element; without index the
                                                                   one that was moved the most
    -> {"node", "name", "shape", "dtype",
        "state": "updated" | "frozen" | "still" | "unknown",
        "sentence": why there is no update, or whether the new w has the recorded bits,
        "exact": true | false | null,            null: there is none, or it was not kept
        "optimizer": "SGD", "index": [0, 3],
        "options": [{"name": "η", "latex", "value", "hex"}],     what the optimizer was given, and t
        "constants": [ the same ],                               what the formulas have of them
        "rows": [{"name": "v", "latex", "role", "words", "formula", "formula_latex", "numbers",
                  "numbers_latex", "value", "hex"}],
        "pictures": {"value" | "bar" | "update" | "after": {"scale", "signed", "low", "high", "rms",
                     "zeros", "nan", "clipped"} | null},
        "initial": {"step": 0, "value", "hex"} | null,           of the element, at the run's begin
        "last": {"step": 4, "before", "after", "change", "hex"} | null}    what made the value

``role`` is "before", "gradient", "clipped", "state before", "between", "state", "after" or
"change"; the rows stand in the order of the program.  A parameter is "frozen" if it is none of the
optimizer's, "still" if no gradient has come to it, "unknown" where the step has no update: the
probe, or a step of a script.  ``GET …/array?what=update`` has Δw of the whole parameter,
``what=after`` the new w.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import UsageError, message
from chainrule.graph import Node
from chainrule.inspect.element.parts import finite, hex_text
from chainrule.inspect.explain.latex import latex_of
from chainrule.inspect.update import Constant, Row, Update
from chainrule.ops import leaf
from chainrule.studio.recorded.layers import figures_of
from chainrule.studio.recorded.opened import Opened
from chainrule.tensor import Tensor

__all__ = ["change", "update_array", "update_of", "update_page"]

Json = dict[str, Any]
NONE = (
    "The optimizer's step was not recorded here: this is {what}. Look at a batch of the training."
)
FROZEN = "{name} is frozen: no gradient is computed for it, so it stays as it is."
STILL = "No gradient has come to {name} in this step, so the optimizer has left it as it was."
EXACT = "Computed again by {optimizer}'s own code, with the bits of the recorded training step."
OTHER = "What {optimizer}'s code gives is not what was recorded: the gradient was changed between."


Earlier = Callable[[int, str], Opened | None]  # another step of the run and its kind, if it is kept


def update_of(opened: Opened, number: int) -> Update:
    """The update of a parameter that has one, or a UsageError that says why it has none."""
    if number not in opened.updates:
        state, sentence = _state(opened, number)
        if state != "updated":
            raise UsageError(message("update", sentence.rstrip("."), "one that was updated"))
        opened.updates[number] = _computed(opened, number)
    return opened.updates[number]


def _computed(opened: Opened, number: int) -> Update:
    node, optimizer = opened.nodes[number], opened.kept["optimizer"]
    known = optimizer["parameters"][node.name]
    value, bar = opened.array(number, "value"), opened.array(number, "bar")
    if value is None or bar is None:
        got, needs = f"{node.name}, which was too large to be kept", "its value and its gradient"
        raise UsageError(message("update", got, needs))
    clipped = _array(opened.kept.get("clipped", {}).get(node.name))
    return Update(optimizer["name"], value, bar, known["options"], known["state"], clipped)


def _state(opened: Opened, number: int) -> tuple[str, str]:
    """ "updated", "frozen", "still" or "unknown", and a sentence."""
    node, optimizer = opened.nodes[number], opened.kept.get("optimizer")
    name = _name(opened, number)
    if not name:
        got = f"{node.name or f'node {number}'}, {node.op.name} {node.type}"
        raise UsageError(message("update", got, "a parameter of the model"))
    if not optimizer or opened.edit is not None:
        what = "an edited step" if opened.edit is not None else "a probe, or the step of a script"
        return "unknown", NONE.format(what=what)
    if node.op is not leaf.parameter or name not in optimizer["parameters"]:
        return "frozen", FROZEN.format(name=name)
    if opened.array(number, "bar") is None:
        return "still", STILL.format(name=name)
    return "updated", ""


def _name(opened: Opened, number: int) -> str:
    """The name of a parameter, "" for what is none.

    One that is frozen is read as data, without a name: it is known by its numbers.
    """
    node, value = opened.nodes[number], opened.array(number, "value")
    if node.op is leaf.parameter:
        return node.name or node.scope
    if node.inputs or number in opened.held.samples or value is None:
        return ""
    bits = value.shape, value.dtype, value.tobytes()
    for name, kept in opened.kept.get("after", {}).items():
        after = _array(kept)
        if after is not None and (after.shape, after.dtype, after.tobytes()) == bits:
            return name
    return ""


def change(step: Opened, number: int) -> np.ndarray | None:
    """What the optimizer changed in a parameter; None of the probe, and of a frozen one."""
    try:
        return update_of(step, number).change
    except UsageError:
        return None


def update_array(opened: Opened, number: int, what: str) -> np.ndarray:
    """Δw ("update") or the new w ("after") of a parameter: f[...]"""
    update = update_of(opened, number)
    return update.change if what == "update" else update.after


def update_page(
    opened: Opened, earlier: Earlier, step: int, number: int, index: tuple[int, ...] | None
) -> Json:
    """What a page shows of a parameter's update; ``earlier`` opens other steps of the run."""
    node = opened.nodes[number]
    state, sentence = _state(opened, number)
    about: Json = {
        "node": number,
        "name": _name(opened, number),
        "shape": list(node.shape),
        "dtype": node.dtype.name,
        "state": state,
        "sentence": sentence,
        "exact": None,
        "optimizer": (opened.kept.get("optimizer") or {}).get("name"),
        "options": [],
        "constants": [],
        "rows": [],
        "pictures": {what: figures_of(opened.array(number, what)) for what in ("value", "bar")},
    }
    update = update_of(opened, number) if state == "updated" else None
    if index is None:
        index = (0,) * len(node.shape) if update is None else _most(update.change)
    opened.held.flat(number, index)  # an IndexRangeError for one outside
    if update is not None:
        rows = [_row(update, row, index) for row in update.rows]
        about |= _told(opened, update, node) | {"rows": rows}
    return about | {"index": list(index)} | _history(earlier, step, node, index)


def _told(opened: Opened, update: Update, node: Node) -> Json:
    after = _array(opened.kept["after"].get(node.name))
    exact = after is not None and after.tobytes() == update.after.tobytes()
    return {
        "exact": exact,
        "sentence": (EXACT if exact else OTHER).format(optimizer=update.optimizer),
        "options": [_constant(constant) for constant in update.options],
        "constants": [_constant(constant) for constant in update.constants],
        "pictures": {
            "value": figures_of(opened.array(opened.held.number[node], "value")),
            "bar": figures_of(opened.array(opened.held.number[node], "bar")),
            "update": figures_of(update.change),
            "after": figures_of(update.after),
        },
    }


def _most(change: np.ndarray) -> tuple[int, ...]:
    """Where a parameter was moved the most."""
    if not change.size:
        return (0,) * change.ndim
    sizes = np.nan_to_num(np.abs(change), nan=np.inf)
    return tuple(int(i) for i in np.unravel_index(int(sizes.argmax()), change.shape))


def _array(kept: Any) -> np.ndarray | None:
    return kept.detach().numpy() if isinstance(kept, Tensor) else kept


def _constant(constant: Constant) -> Json:
    value = float(constant.value)
    name = constant.name
    name = name[1:-1] if name[0] == "(" and name[-1] == ")" else name
    return {
        "name": name,
        "latex": latex_of(name),
        "value": finite(value),
        "hex": value.hex(),
    }


def _row(update: Update, row: Row, index: tuple[int, ...]) -> Json:
    number, numbers = row.at(index), update.numbers(row, index)
    return {
        "name": row.name,
        "latex": latex_of(row.name),
        "role": row.role,
        "words": row.words,
        "formula": row.formula,
        "formula_latex": latex_of(row.formula),
        "numbers": numbers if row.formula else "",
        "numbers_latex": latex_of(numbers) if row.formula else "",
        "value": finite(number),
        "hex": hex_text(number),
    }


# ---------------------------------------------------------------- before this step


def _history(earlier: Earlier, step: int, node: Node, index: tuple[int, ...]) -> Json:
    """The element at the run's begin, and the update that made it what it is."""
    first = earlier(0, "batch") or earlier(0, "probe")
    begun = None if first is None else _value(first, node)
    last = None if step == 0 else earlier(step - 1, "batch")
    return {
        "initial": None if begun is None else _number(0, begun[index]),
        "last": None if last is None else _last(last, step - 1, node, index),
    }


def _number(step: int, value: np.generic) -> Json:
    return {"step": step, "value": finite(value), "hex": hex_text(value)}


def _value(opened: Opened, node: Node) -> np.ndarray | None:
    """The parameter of this name in another step."""
    for k, other in enumerate(opened.nodes):
        if (other.name, other.shape, other.inputs) == (node.name, node.shape, ()):
            return opened.array(k, "value")
    return None


def _last(opened: Opened, step: int, node: Node, index: tuple[int, ...]) -> Json | None:
    before, after = _value(opened, node), _array(opened.kept.get("after", {}).get(node.name))
    if before is None or after is None or after.shape != node.shape:
        return None
    change = float(after[index]) - float(before[index])
    moved = {"before": finite(before[index]), "change": finite(change)}
    return moved | {"after": finite(after[index]), "step": step, "hex": hex_text(after[index])}
