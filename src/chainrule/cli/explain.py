"""``chainrule explain``: every value and every error signal of one small training step."""

from __future__ import annotations

from typing import Annotated

import typer

from chainrule.cli.output import command, did_you_mean, say, say_json
from chainrule.errors import UsageError, message
from chainrule.inspect import PRESETS, explain_preset

HELP = """Show every value and every error signal of one small step; without a name, list them.

\b
Examples:
  chainrule explain
  chainrule explain logistic
  chainrule explain xor --digits 6
"""


def run(
    preset: Annotated[str, typer.Argument(help="Which step.", show_default=False)] = "",
    digits: Annotated[int, typer.Option(min=1, max=17, help="Digits of each number.")] = 4,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Explain."""
    if not preset:
        if json:
            say_json(dict(PRESETS))
            return
        width = max(map(len, PRESETS))
        for name, line in PRESETS.items():
            say(f"{name:{width}}  {line}")
        say(f"\n{command()} explain {next(iter(PRESETS))} shows the first.")
        return
    if preset not in PRESETS:
        needs, remedy = "one of " + ", ".join(PRESETS), did_you_mean(preset, PRESETS)
        raise UsageError(message("explain", repr(preset), needs, remedy=remedy))
    explanation = explain_preset(preset, digits=digits)
    if json:
        say_json({"preset": preset, **explanation.to_json()})
    else:
        say(str(explanation))
