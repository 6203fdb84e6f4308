"""``chainrule studio``: the runs in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chainrule import models
from chainrule.cli.output import command, say, say_json
from chainrule.errors import UsageError, message
from chainrule.studio.pages import check_built
from chainrule.studio.runs import Runs
from chainrule.studio.server import HOST, PORT, serve
from chainrule.systems import SYSTEMS
from chainrule.train.runs import RUNS, open_run

HELP = f"""Show the runs in the browser, and train from there.

It serves this machine alone, on {HOST}, and prints the link. Ctrl-C ends it, and a
training that was started in it. RUN is a folder, a name in runs/, or the word last;
the page opens with it.

\b
Examples:
  chainrule studio
  chainrule studio last
  chainrule studio lenet-001 --port 9000 --no-browser
"""


def run(
    name: Annotated[
        str, typer.Argument(metavar="[RUN]", help="The run to open with.", show_default=False)
    ] = "",
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help=f"Else {PORT}, or the next free one."),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the link.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print the link as JSON.")] = False,
) -> None:
    """Serve."""
    chosen = _folder(name) if name else None
    check_built()
    elsewhere = [chosen] if chosen and chosen.parent.resolve() != RUNS.resolve() else []

    def announce(link: str) -> None:
        say_json({"url": link}) if json else say(f"Chainrule studio: {link} (Ctrl-C ends it)")

    selected = chosen.name if chosen else None
    runs = Runs(also=elsewhere)
    serve(runs, selected=selected, port=port, announce=announce, browser=browser)


def _folder(name: str) -> Path:
    """The run's folder.  Raises UsageError for what is none, and for what can't be opened yet."""
    is_run = (RUNS / name / "config.json").exists() or (Path(name) / "config.json").exists()
    kind = "a script" if name.endswith(".py") else "a model"
    if not is_run and (name.endswith(".py") or name in SYSTEMS or name in models.MODELS):
        why = "Scripts and models can't be opened in the studio yet"
        first = "run --record" if kind == "a script" else "train --record"
        known = kind == "a script" or name in SYSTEMS
        first += f" {name}" if known else " lenet"
        remedy = f"First {command()} {first}, then {command()} studio last"
        raise UsageError(message("studio", f"{name!r}, {kind}", "a run", why=why, remedy=remedy))
    return Path(open_run(name).folder).resolve()
