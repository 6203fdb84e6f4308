"""Back-propagation one move at a time: a typed formula, or one of the lectures' examples.

    GET /api/stepper/examples                               formulas with their values
    GET /api/stepper?example=                               all moves of one of them
    GET /api/stepper/file?example= …                        the same as one HTML file, see export.py
    GET /api/stepper?formula=&values=&learned=&rate=        all moves of one's own

A formula is read by ``inspect/expression.py``, and computed in float64 by the ops of the framework.
What can't be read is answered with 422: error, remedy, and ``of`` and ``column`` where it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chainrule.errors import ChainruleError, NameNotFoundError, UsageError, did_you_mean, message
from chainrule.inspect.explain import PRESETS
from chainrule.inspect.explain.lines import LINES, Line
from chainrule.inspect.explain.moves import moves
from chainrule.inspect.explain.presets import preset
from chainrule.inspect.expression import FormulaError, likely_learned, parse, parse_values

__all__ = ["RATE", "ROUTES", "examples", "stepper"]

RATE, LARGEST_RATE = 0.1, 1e6


def examples() -> list[dict[str, str]]:
    """The lectures' examples: name, title, and what is typed."""
    return [
        {"name": name, "title": PRESETS[name], **line._asdict()} for name, line in LINES.items()
    ]


def stepper(given: Mapping[str, str]) -> dict[str, Any]:
    """All moves of what a query names, with the values after the update as ``next``.

    given: ``example``, or ``formula``, ``values``, ``learned`` (names with commas between; those
    that look like parameters without it), ``rate``.
    Raises FormulaError with the column, NameNotFoundError, UsageError.

    >>> found = stepper({"formula": "(w - 3)**2", "values": "w = 1", "rate": "0.25"})
    >>> found["update"]["after"]["values"], found["next"]
    ([1.0], 'w = 2.0')
    """
    title = notes = ""
    line = Line(given.get("formula", ""), given.get("values", ""), given.get("learned", ""))
    name = given.get("example", "") if not line.formula else ""
    if name:
        line, title, notes = _example(name, line)
    program, values = parse(line.formula), parse_values(line.values)
    needed = list(program.unknown)
    learned = [word.strip() for word in line.learned.split(",") if word.strip()]
    learned = learned or likely_learned([name for name in values if name in needed])
    loss = program.loss(values, learned)
    found = moves(loss, _rate(given.get("rate", "")), title=title, notes=notes)
    found |= {"example": name, **line._asdict(), "learned": ",".join(learned)}
    after = {found["nodes"][row["of"]]["name"]: row["value"] for row in found["update"]["rows"]}
    return found | {
        "next": _next(values, _written(found), after),
        "code": program.python(values, learned),
    }


def _written(found: Mapping[str, Any]) -> dict[str, str]:
    """{a value's name: how the board writes it}: W1 is written W₁."""
    lowered = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
    return {node["name"].translate(lowered): node["name"] for node in found["nodes"]}


def _next(values: Mapping[str, Any], names: Mapping[str, str], after: Mapping[str, Any]) -> str:
    """The values after the update, as they are typed; ``repr`` loses no bit of a float."""
    texts = []
    for name, value in values.items():
        new = after.get(names.get(name, ""))
        if new is not None:
            numbers = [float.fromhex(text) for text in new["hex"]]
            value = np.array(numbers).reshape(new["shape"]).tolist()
        texts.append(f"{name} = {value!r}")
    return ", ".join(texts)


def _example(name: str, changed: Line) -> tuple[Line, str, str]:
    """The line of an example, with what was changed of its values; its title and notes."""
    if name not in LINES:
        needs, remedy = f"one of {', '.join(LINES)}", did_you_mean(name, LINES)
        raise NameNotFoundError(message("stepper", f"example {name!r}", needs, remedy=remedy))
    line = LINES[name]
    line = line._replace(
        values=changed.values or line.values, learned=changed.learned or line.learned
    )
    return line, PRESETS[name], preset(name)[1]


def _rate(text: str) -> float:
    try:
        rate = float(text) if text else RATE
    except ValueError:
        rate = float("nan")
    if not 0 <= rate <= LARGEST_RATE:
        raise UsageError(message("stepper", f"learning rate {text!r}", "a number from 0 to 1e6"))
    return rate


# ---------------------------------------------------------------- answers


def _answer_examples(request: Request) -> Response:
    return _json({"examples": examples()})


def _answer(request: Request) -> Response:
    """A thread's work: it computes."""
    try:
        return _json(stepper(dict(request.query_params)))
    except FormulaError as error:
        where = {"of": error.of, "column": error.column}
        return _json({"error": str(error), "remedy": "Mend it, or choose an example."} | where, 422)
    except ChainruleError as error:
        return _json({"error": str(error), "remedy": "Choose an example.", "of": "formula"}, 422)


def _json(value: Any, status: int = 200) -> Response:
    return JSONResponse(value, status, {"Cache-Control": "no-store"})


ROUTES = [Route("/api/stepper", _answer), Route("/api/stepper/examples", _answer_examples)]
