"""``chainrule plot``: activations, losses, schedules, paths of optimizers, a run's figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chainrule.cli.output import command, say, say_json
from chainrule.errors import UsageError, did_you_mean, message
from chainrule.files import refuse_existing
from chainrule.inspect.plot import FORMATS
from chainrule.inspect.plot_curves import (
    ACTIVATIONS,
    LOSSES,
    SCHEDULES,
    SURFACES,
    Plot,
    activations,
    losses,
    run_figures,
    schedules,
    trajectories,
)
from chainrule.train.runs import open_run

HELP = """Plot curves into a .png, .svg or .pdf file; without a word, list what there is.

The file is WHAT.png in this folder, or --out; a file that exists stays. NAMES
choose among what is plotted; for run, they name the run. Needs matplotlib:
pip install chainrule[plot].

\b
Examples:
  chainrule plot activations
  chainrule plot activations sigmoid tanh --out two.pdf
  chainrule plot losses --json
  chainrule plot schedule OneCycleLR --epochs 30
  chainrule plot trajectories quadratic
  chainrule plot run last
"""

KINDS = {
    "activations": ("functions and their derivatives", ACTIVATIONS),
    "losses": ("for labels ±1, with slopes", LOSSES),
    "schedule": ("learning rates by epoch", SCHEDULES),
    "trajectories": ("paths of optimizers in two valleys", SURFACES),
    "run": ("the figures of a run: its path, its name, or last", {}),
}


def run(
    what: Annotated[str, typer.Argument(help="What to plot.", show_default=False)] = "",
    names: Annotated[list[str] | None, typer.Argument(help="Which.", show_default=False)] = None,
    epochs: Annotated[int, typer.Option(min=1, max=100_000, help="Of a schedule.")] = 60,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the numbers; a file only with --out.")
    ] = False,
) -> None:
    """Plot."""
    if not what:
        _list(json)
        return
    if out is not None:
        _check(out, overwrite)  # before anything is computed
    plot, stem = _plot(what, names or [], epochs)
    path = out or (None if json else Path(f"{stem}.png"))
    if path is not None:
        _check(path, overwrite)
        plot.save(path, overwrite=overwrite)
    if json:
        say_json(({"file": str(path)} if path else {}) | plot.to_json())
    else:
        say(f"{path}: {plot.title}")


def _check(path: Path, overwrite: bool) -> None:
    """Raise unless a file of this name can be drawn."""
    if path.suffix.lower() not in FORMATS:
        needs = "a name that ends in " + ", ".join(FORMATS)
        raise UsageError(message("plot", f"--out {path}", needs))
    if not overwrite:
        refuse_existing(path, "plot", "a new name: --out FILE", "--overwrite replaces it")


def _list(json: bool) -> None:
    if json:
        say_json({name: list(known) for name, (_, known) in KINDS.items()})
        return
    width = max(map(len, KINDS))
    for name, (about, _) in KINDS.items():
        say(f"{name:{width}}  {about}")
    say(f"\n{command()} plot activations draws the first.")


def _plot(what: str, names: list[str], epochs: int) -> tuple[Plot, str]:
    """The plot, and the stem of its file's name."""
    if what == "run":
        if len(names) > 1:
            raise UsageError(message("plot", f"{len(names)} runs", "one"))
        run = open_run(names[0] if names else "last")
        return run_figures(run.figures(), str(run)), f"{Path(str(run)).name}"
    if what == "activations":
        plot = activations(names)
    elif what == "losses":
        plot = losses(names)
    elif what == "schedule":
        plot = schedules(names, epochs)
    elif what == "trajectories":
        plot = trajectories(names)
    else:
        needs, remedy = "one of " + ", ".join(KINDS), did_you_mean(what, KINDS)
        raise UsageError(message("plot", repr(what), needs, remedy=remedy))
    return plot, "-".join([what, *(name.replace(" ", "-") for name in names)])
