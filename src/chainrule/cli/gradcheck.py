"""``chainrule gradcheck``: numeric, symbolic and automatic derivatives side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import typer

from chainrule import ops, random
from chainrule.cli.layers import layer_example, layer_names
from chainrule.cli.output import can_print_blocks, say, say_json
from chainrule.cli.script import is_script, scalar_of
from chainrule.cli.targets import model_of, networks
from chainrule.errors import UsageError, did_you_mean, message
from chainrule.gradcheck import Report, gradcheck
from chainrule.gradcheck.replay import replay
from chainrule.inspect.explain.presets import PRESETS, preset
from chainrule.ops.op import REGISTRY, Op
from chainrule.tensor import Tensor, tensor

HELP = """Check derivatives in float64: automatic ones against differences and SymPy's.

WHAT is a network (lenet, xor), an example of explain (two-layer), a layer or loss (nn.Conv2d), a
scalar of a script (net.py:loss), the word ops for every op of the graph, or one op's name.

\b
Examples:
  chainrule gradcheck lenet --dot
  chainrule gradcheck nn.Conv2d
  chainrule gradcheck net.py:loss
  chainrule gradcheck ops
  chainrule gradcheck tanh --errors
"""


def run(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="A network, nn.LAYER, net.py:loss, ops, or an op.")
    ] = "xor",
    dot: Annotated[
        bool, typer.Option("--dot", help="Compare along random directions; tell kinks.")
    ] = False,
    errors: Annotated[
        bool, typer.Option("--errors", help="Print the error of differences against h.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check."""
    random.manual_seed(0)
    if what == "ops":
        if errors:
            remedy = "chainrule gradcheck tanh --errors shows one of them"
            raise UsageError(message("gradcheck", "ops --errors", "one function", remedy=remedy))
        agree = _all_ops(dot, json)
    else:
        found = _reports(what, dot)
        agree = all(found)
        _tell(found, errors, json)
    if not agree:
        raise typer.Exit(1)


def _reports(what: str, dot: bool) -> list[Report]:
    if is_script(what):
        return [_of_loss(*scalar_of(what, "gradcheck"), dot)]
    if what.startswith("nn."):
        layer, inputs = layer_example(what)
        return [gradcheck(layer, inputs, dot=dot)]
    if what in REGISTRY and what not in networks():  # xor is both
        op = REGISTRY[what]
        if not op.differentiable:
            needs = "an op that has a derivative"
            raise UsageError(message("gradcheck", what, needs, why=op.why_not))
        return _op(op, dot)
    if what in PRESETS and what not in networks():
        return [_of_loss(preset(what)[0], {}, dot)]
    try:
        model = model_of(what, "gradcheck")
    except UsageError:
        needs = ", ".join(networks()) + ", nn.LAYER, net.py:loss, ops, or an op"
        known = [*networks(), *layer_names(), *REGISTRY, *PRESETS, "ops"]
        remedy = did_you_mean(what, known)
        raise UsageError(message("gradcheck", repr(what), needs, remedy=remedy)) from None
    x = np.random.default_rng(0).uniform(0, 1, (2, *model.input_shape))
    return [gradcheck(model, x, dot=dot)]


def _tell(reports: list[Report], errors: bool, json: bool) -> None:
    if json:
        shown = [
            report.to_json() | ({"errors": report.error_against_h().to_json()} if errors else {})
            for report in reports
        ]
        say_json(shown[0] if len(shown) == 1 else shown)
        return
    for report in reports:
        say(str(report))
    if errors:
        chart = str(reports[0].error_against_h())
        say("\n" + (chart if can_print_blocks() else chart.replace("·", ".")))


def _of_loss(loss: Tensor, variables: dict[str, Any], dot: bool) -> Report:
    """The derivatives of a recorded loss by its leaves, under their names."""
    f, leaves = replay(loss)
    nodes = {x._node: key for key, x in variables.items() if isinstance(x, Tensor)}
    names = {
        f"x{i}": node.name or nodes.get(node) or node.scope.rpartition("/")[2] or f"x{i}"
        for i, node in enumerate(leaves)
    }
    report = gradcheck(f, [node.result().astype(np.float64) for node in leaves], dot=dot)
    report.worst = [replace(c, input=names[c.input]) for c in report.worst]
    report.compared = {names[name]: count for name, count in report.compared.items()}
    report.types = {names[name]: text for name, text in report.types.items()}
    return report


def _op(op: Op, dot: bool = False, symbolic: int = 100) -> list[Report]:
    """One report for each of the op's samples that have something to differentiate.

    The symbolic column is for the ``symbolic`` smallest of them.
    """
    chosen = []
    for sample in op.samples(np.random.default_rng(0)):
        floating = [i for i, x in enumerate(sample.inputs) if x.dtype.kind == "f" and x.size]
        if sample.differentiable is not None:
            floating = [i for i in floating if i in sample.differentiable]
        if floating:
            chosen.append((sample, floating))
    sizes = [sum(x.size for x in sample.inputs) for sample, _ in chosen]
    smallest = np.argsort(sizes, kind="stable")[:symbolic]
    return [
        gradcheck(*_function(op, *some), dot=dot, symbolic=i in smallest)
        for i, some in enumerate(chosen)
    ]


def _function(op: Op, sample: Any, floating: list[int]) -> tuple[Any, list[np.ndarray]]:
    """The op as a function of the inputs that are differentiated; the others stay as they are."""

    def function(*variables: Any) -> Any:
        inputs = [tensor(x) for x in sample.inputs]
        for i, variable in zip(floating, variables, strict=True):
            inputs[i] = variable
        return op(*inputs, **sample.meta)

    return function, [sample.inputs[i] for i in floating]


def _all_ops(dot: bool, json: bool) -> bool:
    """A row for each op; whether all agree."""
    assert ops  # importing it fills the registry
    rows = []
    if not json:
        say(f"{'op':20}  samples  from numeric  from symbolic  verdict")
    for name, op in REGISTRY.items():
        reports = _op(op, dot, symbolic=2) if op.differentiable else []
        if not reports:
            continue
        row = _summed(name, reports)
        rows.append(row)
        if not json:
            exact = row["symbolic_error"]
            verdict = "agree" if row["agree"] else f"differ: {row['why']}"
            say(
                f"{name:20}  {len(reports):7}  {row['relative_error']:12.0e}  "
                f"{'–' if exact is None else f'{exact:.0e}':>13}  {verdict}"
            )
    wrong = sum(not row["agree"] for row in rows)
    if json:
        say_json(rows)
    else:
        say(f"{len(rows)} ops, " + (f"{wrong} differ" if wrong else "all derivatives agree"))
    return not wrong


def _summed(name: str, reports: list[Report]) -> dict[str, Any]:
    """An op's samples in one row: its worst errors."""
    rows = [c for report in reports for c in report.worst]
    worst = max(rows, key=lambda c: c.excess)
    symbolic = [c.symbolic_error for c in rows if c.symbolic_error is not None]
    return {
        "op": name,
        "samples": len(reports),
        "agree": all(reports),
        "relative_error": worst.relative_error,
        "symbolic_error": max(symbolic, default=None),
        "why": worst.why,
    }
