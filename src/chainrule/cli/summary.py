"""``chainrule summary``: layers, shapes, parameters and multiply-adds, from shapes alone."""

from __future__ import annotations

from math import prod
from typing import Annotated, Any

import typer

from chainrule.cli.output import say, say_json
from chainrule.cli.targets import model_of
from chainrule.creation import zeros

HELP = """List a network's layers: output shape, parameters, multiply-adds.

NAME is a system (lenet, xor) or a run: a folder, a name in runs/, or the word last.

\b
Examples:
  chainrule summary lenet
  chainrule summary last --json
"""


def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A system or a run.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Summarise."""
    model = model_of(name, "summary")
    rows = layers(model, model.input_shape)
    total = {key: sum(row[key] for row in rows) for key in ("parameters", "multiply_adds")}
    if json:
        say_json({"input": list(model.input_shape), "layers": rows, "total": total})
        return
    say(f"{'layer':16}  {'output':16}  {'parameters':>10}  {'multiply-adds':>13}")
    say(f"{'input':16}  {_shape(model.input_shape):16}")
    for row in rows:
        layer = f"{row['name']}/{row['kind']}"
        counts = f"{row['parameters']:>10,}  {row['multiply_adds']:>13,}"
        say(f"{layer:16}  {_shape(row['output']):16}  {counts}")
    say(f"{'total':16}  {'':16}  {total['parameters']:>10,}  {total['multiply_adds']:>13,}")


def layers(model: Any, input_shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """One row for each layer in the order of the calls, shapes without the batch axis.

    The forward pass is recorded, which computes nothing, and let go.
    """
    rows: list[dict[str, Any]] = []
    inside = {module: name for name, module in model.named_modules() if not list(module.children())}

    def note(module: Any, inputs: Any, output: Any) -> None:
        rows.append(
            {
                "name": inside[module],
                "kind": type(module).__name__,
                "output": list(output.shape[1:]),
                "parameters": sum(p.numel() for p in module.parameters()),
                "multiply_adds": _multiply_adds(module, output.shape[1:]),
            }
        )

    hooks = [module.register_forward_hook(note) for module in inside]
    try:
        model(zeros(1, *input_shape))
    finally:
        for hook in hooks:
            hook.remove()
    return rows


def _multiply_adds(module: Any, output: tuple[int, ...]) -> int:
    """Each output element of a Linear or convolution is a sum over one row of the weight."""
    weight = getattr(module, "weight", None)
    if weight is None or weight.ndim < 2:
        return 0
    return prod(output) * prod(weight.shape[1:])


def _shape(shape: Any) -> str:
    return "[N," + ",".join(map(str, shape)) + "]"
