"""``chainrule cost``: what a step costs, in multiply-adds, and why backward is the way to go."""

from __future__ import annotations

import textwrap
from typing import Annotated, Any

import typer

from chainrule.cli.output import command, say, say_json
from chainrule.cli.summary import INPUT, input_of, network
from chainrule.cli.targets import networks
from chainrule.errors import UsageError, did_you_mean, message
from chainrule.inspect.cost import cost, growth, jacobian_order, table, why_backprop

HELP = """Count the multiply-adds of a step, forward and backward, layer by layer.

NAME is a system or a model (lenet), the widths of an MLP (784-128-10), a Module
of a script (net.py:net), a run, or one of the lectures' comparisons; without a
name, they are listed.

\b
Examples:
  chainrule cost lenet
  chainrule cost two-layer
  chainrule cost 784-128-10 --json
  chainrule cost why-backprop --layers 10
  chainrule cost jacobian-order --size 800
"""

COMPARISONS = {
    "two-layer": "the 2-2-2 network: 8 forward, 12 backward, 16 with x̄",
    "why-backprop": "terms of forward and backward differentiation, 2 units a layer",
    "jacobian-order": "a row vector times a chain of Jacobians, from both ends",
    "growth": "linear in layers, quadratic in width; what a backward costs",
}


def run(
    name: Annotated[str, typer.Argument(help="What to count.", show_default=False)] = "",
    size: Annotated[str, typer.Option("--input", metavar="SIZES", help=INPUT)] = "",
    layers: Annotated[
        int, typer.Option(min=1, max=100, help="Layers of why-backprop and jacobian-order.")
    ] = 3,
    side: Annotated[int, typer.Option("--size", min=1, max=4096, help="Rows of a Jacobian.")] = 64,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count."""
    if not name:
        _list(json)
    elif name == "why-backprop":
        found = why_backprop(layers)
        say_json(found) if json else say(_terms(found))
    elif name == "jacobian-order":
        found = jacobian_order(side, layers)
        say_json(found) if json else say(_orders(found))
    elif name == "growth":
        found = growth()
        say_json(found) if json else say(_growth(found))
    else:
        _count(name, size, json)


def _list(json: bool) -> None:
    if json:
        say_json({"comparisons": COMPARISONS, "networks": networks()})
        return
    width = max(map(len, COMPARISONS))
    for name, what in COMPARISONS.items():
        say(f"{name:{width}}  {what}")
    say("\nand any network: widths such as 784-128-10, a run, or")
    say(textwrap.fill(", ".join(networks()), 79))
    say(f"{command()} cost lenet counts one.")


def _count(name: str, size: str, json: bool) -> None:
    model = _model(name)
    found = cost(model, input_of(size, "cost"))
    if json:
        say_json({"name": name, **found.to_json()})
        return
    say(str(found))
    if any(row.expected is not None for row in found.layers):
        same = "equal" if found.as_expected else "DIFFER FROM"
        say(f"\ncounted on the recorded graph of one sample; the forward counts {same}")
        say("weights × places. Padding counts, elementwise operations do not.")


def _model(name: str) -> Any:
    if name == "two-layer":
        return network("2-2-2", "cost")
    try:
        return network(name, "cost")
    except UsageError as error:
        nearest = did_you_mean(name, COMPARISONS)
        if not nearest or "Did you mean" in str(error):
            raise
        needs = "a network, widths, a run, or one of " + ", ".join(COMPARISONS)
        raise UsageError(message("cost", repr(name), needs, remedy=nearest)) from None


def _terms(found: dict[str, Any]) -> str:
    """Two tables: forward layer by layer, backward from the loss."""
    shown = found["layers"] <= 10
    name = "2-" * (found["layers"] + 1) + "1" if shown else f"2 units in {found['layers']} layers"
    lines = [
        f"{name}, {found['weights']} weights, no biases",
        "",
    ]
    hidden = [f"layer {k + 1}" for k in range(found["layers"])]
    forward = [*hidden, "ŷ", "loss"]
    backward = ["loss", "ŷ", *(f"layer {k + 1}" for k in reversed(range(found["layers"])))]
    if shown:
        rows = [("forward", "terms", "", "backward", "new", "carried over")]
        rows += [
            (a, str(n), "", b, str(m), str(c))
            for a, n, b, m, c in zip(
                forward, found["forward"], backward, found["backward"], found["carried"],
                strict=True,
            )
        ]  # fmt: skip
        total = (found["forward_total"], found["backward_total"], sum(found["carried"]))
        rows.append(("total", str(total[0]), "", "total", str(total[1]), str(total[2])))
        lines += [table(rows), ""]
    formula = found["formula"]
    lines += [
        f"forward   {found['forward_total']:,} derivatives = 4(L + 1)² = {formula['forward']:,}",
        f"backward  {found['backward_total']:,} error signals = 6L + 3 = {formula['backward']:,}",
        f"Both ways give the same ∂l/∂w, to {found['difference']:.0e}.",
    ]
    return "\n".join(lines)


def _orders(found: dict[str, Any]) -> str:
    n, layers = found["n"], found["layers"]
    rows = [
        ("order", "multiplications", "formula"),
        ("loss first", f"{found['loss_first']:,}", f"{layers}n²"),
        ("input first", f"{found['input_first']:,}", f"{layers - 1}n³ + n²"),
    ]
    return (
        f"a row vector times {layers} Jacobians, n = {n}\n\n{table(rows)}\n\n"
        f"{found['ratio']:.4g} times as many; the results differ by {found['difference']:.0e}."
    )


def _growth(found: dict[str, Any]) -> str:
    rows = [("network", "forward", "backward", "ratio", "with x̄")]
    rows += [
        (
            name,
            f"{row['forward']:,}",
            f"{row['backward']:,}",
            f"{row['ratio']:.3f}",
            f"{row['ratio_with_input']:.3f}",
        )
        for name, row in found["nets"].items()
    ]
    passes = [("layer operations, L =", *(str(row["layers"]) for row in found["naive"]))]
    for key, name in (("backprop", "one backward: 2L"), ("naive", "one for each: (3L² + L)/2")):
        passes.append((name, *(f"{row[key]:,}" for row in found["naive"])))
    return f"{table(rows)}\n\n{table(passes)}"
