"""``chainrule gradcheck``: derivatives by backward against derivatives by differences."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import typer

from chainrule import ops, random
from chainrule.cli.output import did_you_mean, say, say_json
from chainrule.cli.targets import model_of, networks
from chainrule.errors import UsageError, message
from chainrule.gradcheck import Report, gradcheck
from chainrule.ops.op import REGISTRY, Op
from chainrule.tensor import tensor

HELP = """Check derivatives: automatic ones against differences, in float64.

WHAT is a network (lenet, xor), the word ops for every op of the graph, or one op's name.

\b
Examples:
  chainrule gradcheck lenet
  chainrule gradcheck ops
  chainrule gradcheck tanh
"""


def run(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="A network, ops, or an op.")] = "xor",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check."""
    random.manual_seed(0)
    if what == "ops":
        agree = _all_ops(json)
    elif what in networks():
        agree = _tell(_network(what), json)
    elif what in REGISTRY and REGISTRY[what].differentiable:
        reports = _op(REGISTRY[what])
        agree = all(reports)
        for report in reports:
            _tell(report, json)
    elif what in REGISTRY:
        why = REGISTRY[what].why_not
        raise UsageError(message("gradcheck", what, "an op that has a derivative", why=why))
    else:
        needs, known = ", ".join(networks()) + ", ops, or an op", [*networks(), "ops", *REGISTRY]
        remedy = did_you_mean(what, known)
        raise UsageError(message("gradcheck", repr(what), needs, remedy=remedy))
    if not agree:
        raise typer.Exit(1)


def _tell(report: Report, json: bool) -> bool:
    if json:
        rows = [vars(c) | {"relative_error": c.relative_error} for c in report.worst]
        say_json({"agree": bool(report), "worst": rows})
    else:
        say(str(report))
    return bool(report)


def _network(name: str) -> Report:
    model = model_of(name, "gradcheck")
    x = np.random.default_rng(0).uniform(0, 1, (2, *model.input_shape))
    return gradcheck(model, x)


def _op(op: Op) -> list[Report]:
    """One report for each of the op's samples that have something to differentiate."""
    reports = []
    for sample in op.samples(np.random.default_rng(0)):
        floating = [i for i, x in enumerate(sample.inputs) if x.dtype.kind == "f" and x.size]
        if sample.differentiable is not None:
            floating = [i for i in floating if i in sample.differentiable]
        if not floating:
            continue
        reports.append(gradcheck(*_function(op, sample, floating)))
    return reports


def _function(op: Op, sample: Any, floating: list[int]) -> tuple[Any, list[np.ndarray]]:
    """The op as a function of the inputs that are differentiated; the others stay as they are."""

    def function(*variables: Any) -> Any:
        inputs = [tensor(x) for x in sample.inputs]
        for i, variable in zip(floating, variables, strict=True):
            inputs[i] = variable
        return op(*inputs, **sample.meta)

    return function, [sample.inputs[i] for i in floating]


def _all_ops(json: bool) -> bool:
    assert ops  # importing it fills the registry
    rows, agree = [], True
    for name, op in REGISTRY.items():
        if not op.differentiable:
            continue
        reports = _op(op)
        worst = max(
            (r.worst_of_all for r in reports if r.worst_of_all is not None),
            key=lambda c: c.excess,
            default=None,
        )
        if worst is None:
            continue
        agree &= all(reports)
        rows.append({"op": name, "agree": all(reports), "relative_error": worst.relative_error})
        if not json:
            verdict = "agree" if all(reports) else f"differ: {worst.why}"
            say(f"{name:20}  {len(reports):2} samples  {worst.relative_error:.0e}  {verdict}")
    if json:
        say_json(rows)
    else:
        wrong = sum(not row["agree"] for row in rows)
        say(f"{len(rows)} ops, " + (f"{wrong} differ" if wrong else "all derivatives agree"))
    return agree
