"""``chainrule explain``: every value and every error signal of one training step."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from chainrule import random
from chainrule.cli.output import can_print_blocks, command, say, say_json
from chainrule.cli.script import is_script, scalar_of
from chainrule.cli.targets import model_of, networks
from chainrule.errors import UsageError, did_you_mean, message
from chainrule.inspect import PRESETS, explain_preset
from chainrule.inspect.explain.explanation import board
from chainrule.inspect.explain.lines import LINES
from chainrule.inspect.explain.moves import moves
from chainrule.nn.functional import cross_entropy, mse_loss
from chainrule.tensor import Tensor, tensor

HELP = """Show every value and every error signal of one step; without a name, list the examples.

WHAT is one of the examples, a scalar of a script (net.py:loss), or a network (lenet), of which
one line per layer is shown.

\b
Examples:
  chainrule explain
  chainrule explain logistic
  chainrule explain xor --digits 6
  chainrule explain two-layer --notation delta --format latex
  chainrule explain net.py:loss
  chainrule explain net.py:loss --save steps.html
  chainrule explain lenet
"""


class Format(StrEnum):
    """What is printed."""

    text = "text"
    latex = "latex"
    markdown = "markdown"
    json = "json"


class Notation(StrEnum):
    """How error signals are called: v̄, ∂L/∂v, δ_v, or rows with their Jacobians."""

    bar = "bar"
    leibniz = "leibniz"
    delta = "delta"
    jacobian = "jacobian"


def run(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="An example, net.py:loss, or a network.")
    ] = "",
    form: Annotated[Format, typer.Option("--format", help="What to print.")] = Format.text,
    notation: Annotated[
        Notation, typer.Option(help="v̄, ∂L/∂v, δ, or rows and Jacobians.")
    ] = Notation.bar,
    digits: Annotated[int, typer.Option(min=1, max=17, help="Digits of each number.")] = 4,
    ascii: Annotated[bool, typer.Option("--ascii", help="Plain letters: v_bar, W1, x^2.")] = False,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE.html", help="Keep it as a stepper.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace that file.")] = False,
    json: Annotated[bool, typer.Option("--json", help="As --format json.")] = False,
) -> None:
    """Explain."""
    wants_json = json or form is Format.json
    if save is not None:
        saved = _save(what, save, overwrite)
        say_json({"what": what, "saved": str(saved)}) if wants_json else say(f"saved {saved}")
        return
    if not what:
        _list(wants_json)
        return
    plain = ascii or not can_print_blocks()
    shown = _explained(what, digits, {"notation": notation.value, "ascii": plain})
    if wants_json:
        say_json({"what": what, **shown.to_json()})
    elif form is Format.latex:
        say(shown.to_latex())
    elif form is Format.markdown:
        say(shown.to_markdown())
    else:
        say(str(shown))


def _list(wants_json: bool) -> None:
    if wants_json:
        say_json(dict(PRESETS))
        return
    width = max(map(len, PRESETS))
    for name, line in PRESETS.items():
        say(f"{name:{width}}  {line}")
    say(f"\n{command()} explain {next(iter(PRESETS))} shows the first.")


def _save(what: str, path: Path, overwrite: bool) -> Path:
    """Write the stepper of an example or of a script's scalar as one HTML file."""
    from chainrule.studio.saved.export import (  # a server's modules: not for text
        save_page,
        stepper_file,
    )

    if what in LINES:
        return save_page(path, stepper_file({"example": what}), overwrite=overwrite)
    if is_script(what):
        loss, variables = scalar_of(what, "explain")
        found = moves(loss, title=what, variables=variables)
        return save_page(path, stepper_file(found=found), overwrite=overwrite)
    needs = f"one of {', '.join(LINES)}, or net.py:loss"
    raise UsageError(message("explain --save", repr(what), needs, remedy=did_you_mean(what, LINES)))


def _explained(what: str, digits: int, how: dict[str, Any]) -> Any:
    if what in PRESETS:
        return explain_preset(what, digits, **how)
    if is_script(what):
        loss, variables = scalar_of(what, "explain")
        return board(loss, digits, variables=variables, **how)
    try:
        random.manual_seed(0)
        model = model_of(what, "explain")
    except UsageError:
        needs = f"one of {', '.join(PRESETS)}; net.py:loss; or a network: {', '.join(networks())}"
        remedy = did_you_mean(what, [*PRESETS, *networks()])
        raise UsageError(message("explain", repr(what), needs, remedy=remedy)) from None
    return _network(what, model, digits, how)


def _network(what: str, model: Any, digits: int, how: dict[str, Any]) -> Any:
    """One step of a network with fresh weights, on two random samples."""
    samples = np.random.default_rng(0).uniform(0, 1, (2, *model.input_shape)).astype(np.float32)
    x = tensor(samples)
    y = model(x)
    loss, target, named = _loss(y)
    title = f"{what}: one step of two random samples, {named}, fresh weights"
    return board(
        loss, digits, variables={"x": x, "y": y, "t": target}, title=title, overview=True, **how
    )


def _loss(y: Tensor) -> tuple[Tensor, Tensor, str]:
    """(a loss that fits an output, its target, its name): cross-entropy of rows, or squares."""
    if y.ndim == 2 and y.shape[1] > 1:
        labels = tensor(np.arange(len(y)) % y.shape[1])
        return cross_entropy(y, labels), labels, "cross-entropy"
    target = tensor(np.zeros(y.shape, np.float32))
    return mse_loss(y, target), target, "squared error"
