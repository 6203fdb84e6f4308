"""``chainrule draw``: a network, a loss or a wiring as an SVG picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule.cli.output import command, say, say_json
from chainrule.cli.script import is_script, run_script
from chainrule.cli.summary import INPUT, input_of, network
from chainrule.errors import UsageError, did_you_mean, message
from chainrule.files import refuse_existing
from chainrule.inspect import PRESETS
from chainrule.inspect.draw import STYLES, Drawing, draw, names_of
from chainrule.inspect.draw.graph import draw_loss
from chainrule.inspect.draw.wiring import wiring
from chainrule.inspect.explain.presets import preset
from chainrule.nn.module import Module
from chainrule.tensor import Tensor
from chainrule.train.runs import open_run

HELP = """Draw a network, a loss or a wiring as SVG; without a name, list what there is.

WHAT is a step of explain (logistic), a system or a model (lenet), the widths of
an MLP (2-8-1), a run, a script's variable (net.py:loss), or the word wiring.
The file is NAME.svg in this folder, or --out; a file that exists stays.
With --save, the graph of a run's recorded step, with its values and error
signals, is one HTML page that opens without Python.

\b
Styles:
  graph    values and error signals of a small graph; else, the layers
  neurons  an MLP: a circle for each unit, a line for each weight
  blocks   the volumes of a convolutional network, to scale

\b
Examples:
  chainrule draw logistic
  chainrule draw lenet --style blocks --out lenet.svg
  chainrule draw 2-8-1 --style neurons
  chainrule draw net.py:loss
  chainrule draw wiring
  chainrule draw lenet-001 --save graph.html
"""


def run(
    what: Annotated[str, typer.Argument(help="What to draw.", show_default=False)] = "",
    style: Annotated[str, typer.Option(help="graph, neurons or blocks.")] = "graph",
    size: Annotated[str, typer.Option("--input", metavar="SIZES", help=INPUT)] = "",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="An .svg file.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.")] = False,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Of a run: its graph, as a page.")
    ] = None,
    step: Annotated[int, typer.Option(min=-1, help="Of the page; -1 is the last.")] = -1,
    json: Annotated[bool, typer.Option("--json", help="Print the picture's data.")] = False,
) -> None:
    """Draw."""
    if save is not None:
        saved = _save(what, save, step, overwrite)
        say_json({"what": what, "file": str(saved)}) if json else say(f"saved {saved}")
        return
    if style not in STYLES:
        needs, remedy = "one of " + ", ".join(STYLES), did_you_mean(style, STYLES)
        raise UsageError(message("draw", f"--style {style}", needs, remedy=remedy))
    if not what:
        _list(json)
        return
    picture = _drawing(what, style, size)
    path = out if out is not None else Path(_file_name(what, style))
    if not overwrite:
        refuse_existing(path, "draw", "a new name: --out FILE.svg", "--overwrite replaces it")
    picture.save(path, overwrite=overwrite)
    if json:
        say_json({"file": str(path), **picture.data})
    else:
        sides = f"{picture.data['width']:.0f}×{picture.data['height']:.0f}"
        say(f"{path}: {picture.title}, {sides} pixels")


def _save(what: str, path: Path, step: int, overwrite: bool) -> Path:
    """Write the graph of a run's recorded step as one HTML file."""
    from chainrule.studio.saved.graph_file import save_graph  # a server's modules: not for pictures

    if not what:
        raise UsageError(message("draw --save", "no run", 'a run, such as "last"'))
    run = open_run(what)
    return save_graph(run, path, step=None if step < 0 else step, overwrite=overwrite)


def _list(json: bool) -> None:
    if json:
        say_json({"steps": dict(PRESETS), "styles": list(STYLES)})
        return
    width = max(map(len, PRESETS))
    for name, line in PRESETS.items():
        say(f"{name:{width}}  {line}")
    say(f"{'wiring':{width}}  full, local and shared connections, and their matrices")
    say(f"\n{command()} draw logistic draws the graph of a step; --help names more.")


def _drawing(what: str, style: str, size: str) -> Drawing:
    if what == "wiring":
        return wiring()
    if what in PRESETS and style == "graph":
        return draw(preset(what)[0])
    if is_script(what):
        return _from_script(what, style, size)
    try:
        model = network(what, "draw")
    except UsageError as error:
        nearest = did_you_mean(what, [*PRESETS, "wiring"])
        if not nearest or "Did you mean" in str(error):
            raise
        needs = "a step of explain, a network, a script's variable, or wiring"
        raise UsageError(message("draw", repr(what), needs, remedy=nearest)) from None
    return draw(model, input_of(size, "draw"), style)


def _from_script(what: str, style: str, size: str) -> Drawing:
    """A tensor or a module of a script."""
    file, _, name = what.rpartition(".py")
    name = name.removeprefix(":") or "loss"
    variables = run_script(Path(f"{file}.py"), "draw")
    value: Any = variables.get(name)
    if isinstance(value, Module):
        return draw(value, input_of(size, "draw"), style)
    if isinstance(value, Tensor) and style == "graph":
        return draw_loss(value, names_of(value, variables))
    there = [k for k, x in variables.items() if isinstance(x, Tensor | Module) and k[:1] != "_"]
    got = f"{name}, a {type(value).__name__}" if name in variables else f"no {name!r} in {file}.py"
    needs = "a tensor or a Module" if style == "graph" else "a Module"
    remedy = did_you_mean(name, there) or (f"{file}.py has {', '.join(there)}" if there else "")
    raise UsageError(message("draw", got, needs, remedy=remedy))


def _file_name(what: str, style: str) -> str:
    """lenet-blocks.svg, in the current folder."""
    stem = Path(what.replace(".py:", "-")).stem
    return f"{stem}.svg" if style == "graph" else f"{stem}-{style}.svg"
