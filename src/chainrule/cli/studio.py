"""``chainrule studio``: the runs in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer

from chainrule.cli.output import say, say_json
from chainrule.cli.summary import network
from chainrule.studio.opening import Opening
from chainrule.studio.pages import check_built
from chainrule.studio.runs import Runs
from chainrule.studio.server import HOST, PORT, serve
from chainrule.studio.training.processes import Training
from chainrule.train.runs import RUNS, open_run

HELP = f"""Show the runs in the browser, and train from there.

It serves this machine alone, on {HOST}, and prints the link. Ctrl-C ends it, and a
training that was started in it. WHAT is opened first: a run (a folder, a name in runs/,
or the word last), a script, which is run and recorded, or a model (lenet, 784-128-10,
a Module of a script, net.py:net), one pass of which is recorded on random data.

\b
Examples:
  chainrule studio
  chainrule studio last
  chainrule studio lenet-001 --port 9000 --no-browser
  chainrule studio train_mnist.py
  chainrule studio 784-128-10
"""


def run(
    what: Annotated[
        str,
        typer.Argument(metavar="[WHAT]", help="A run, a script or a model.", show_default=False),
    ] = "",
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help=f"Else {PORT}, or the next free one."),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the link.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print the link as JSON.")] = False,
) -> None:
    """Serve."""
    check_built()
    runs, training = Runs(), Training()
    page = _opened(what, runs, training) if what else "/"

    def announce(link: str) -> None:
        say_json({"url": link}) if json else say(f"Chainrule studio: {link} (Ctrl-C ends it)")

    serve(runs, page=page, training=training, port=port, announce=announce, browser=browser)


def _opened(what: str, runs: Runs, training: Training) -> str:
    """Open it; the address of the page that shows it."""
    opening = Opening(runs, training)
    if ".py:" in what:
        found = opening.open_model(network(what, "studio"), Path(what).stem)
    elif what == "last" or _is_run(what):
        folder = Path(open_run(what).folder).resolve()
        if folder.parent != RUNS.resolve():
            runs.also[folder.name] = folder
        return f"/?{urlencode({'run': folder.name})}"
    else:
        found = opening.open(what)
    if found["run"] is None:
        return "/?follow=yes"
    return f"/network?{urlencode({'run': found['run']})}"


def _is_run(what: str) -> bool:
    return any((folder / "config.json").is_file() for folder in (Path(what), RUNS / what))
