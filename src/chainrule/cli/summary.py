"""``chainrule summary``: layers, shapes, parameters and multiply-adds, from shapes alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule import models
from chainrule.cli.output import say, say_json
from chainrule.cli.script import is_script, run_script
from chainrule.cli.targets import model_of
from chainrule.errors import UsageError, did_you_mean, message
from chainrule.inspect.summary import summary
from chainrule.nn.module import Module

__all__ = ["input_of", "network"]

HELP = """List a network's layers: output shape, parameters, multiply-adds.

NAME is a system or a model (lenet, xor), the widths of an MLP (784-128-10), a
Module of a script (net.py:net), or a run: a folder, a name in runs/, or the
word last. "sees" is the receptive field: how many places of the input one value
depends on, along each axis; neighbouring values lie "jump" places apart.

\b
Examples:
  chainrule summary lenet
  chainrule summary lenet --input 1x32x32
  chainrule summary 784-512-256-10
  chainrule summary net.py:net --input 3x32x32
  chainrule summary last --json
"""

INPUT = "Sizes of one sample, such as 1x28x28."


def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A system, widths, or a run.")],
    size: Annotated[str, typer.Option("--input", metavar="SIZES", help=INPUT)] = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Summarise."""
    table = summary(network(name, "summary"), input_of(size, "summary"))
    say_json(table.to_json()) if json else say(str(table))


def network(name: str, verb: str) -> Any:
    """The network that a name means: ``784-128-10`` is an MLP, ``net.py:net`` a script's."""
    if is_script(name):
        return _of_script(name, verb)
    if re.fullmatch(r"\d+(-\d+)+", name):
        widths = [int(width) for width in name.split("-")]
        if min(widths) == 0:
            raise UsageError(message(verb, repr(name), "widths of at least 1"))
        return models.mlp(widths)
    return model_of(name, verb)


def _of_script(what: str, verb: str) -> Module:
    file, _, name = what.rpartition(".py")
    name = name.removeprefix(":") or "net"
    variables = run_script(Path(f"{file}.py"), verb)
    if not isinstance(variables.get(name), Module):
        there = [k for k, x in variables.items() if isinstance(x, Module) and k[:1] != "_"]
        remedy = did_you_mean(name, there) or (f"{file}.py has {', '.join(there)}" * bool(there))
        got = (
            f"{name} of {file}.py, which is no Module"
            if name in variables
            else (f"no {name!r} in {file}.py")
        )
        raise UsageError(message(verb, got, "a Module", remedy=remedy))
    return variables[name]


def input_of(text: str, verb: str) -> tuple[int, ...] | None:
    """1x28x28 as (1, 28, 28); nothing as None."""
    if not text:
        return None
    if not re.fullmatch(r"\d+([x×]\d+)*", text):
        raise UsageError(message(verb, f"--input {text}", "sizes, such as 1x28x28"))
    return tuple(int(size) for size in re.split("[x×]", text))
