"""``chainrule train``: train a system from its recipe, into a run folder; or compute it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import numpy as np
import typer
from rich.cells import cell_len

from chainrule.cli.output import can_print_blocks, command, plain, say, say_json
from chainrule.cli.paint import paint, side_by_side
from chainrule.cli.recording import RECORD, completed  # noqa: F401  the second for app.py
from chainrule.errors import CheckpointError, DataError, UsageError, did_you_mean, message
from chainrule.systems import SYSTEMS, Figure, Recipe, Report
from chainrule.train.progress import Progress
from chainrule.train.record import Wanted
from chainrule.train.runs import RUNS, Run, open_run
from chainrule.train.session import Choices, Session

HELP = """Train a system; without a name, list the systems.

Each run gets its own folder, runs/lenet-001 and so on, with its configuration, figures,
checkpoint and log. The same seed gives the same bits. Ctrl-C ends a training after its step;
--resume goes on with it, to the bits it would have had.

\b
Examples:
  chainrule train
  chainrule train lenet
  chainrule train lenet --epochs 3 --seed 1
  chainrule train lenet --record
  chainrule train lenet --data mnist --data-dir ~/mnist
  chainrule train --resume lenet-001
  chainrule train xor --out my-xor
"""


def run(
    system: Annotated[
        str, typer.Argument(help="A system's name, such as lenet.", show_default=False)
    ] = "",
    data: Annotated[str | None, typer.Option(help="Another of the system's data sets.")] = None,
    data_dir: Annotated[str | None, typer.Option(help="The folder that has its files.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides all that is random; 0.")] = None,
    lr: Annotated[float | None, typer.Option(help="The (highest) learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Samples per step.")] = None,
    out: Annotated[str | None, typer.Option(help="A new folder instead of runs/...")] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run: its folder, name, or last.")
    ] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option(metavar="STEPS", min=1, help="Else each epoch and each minute.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Threads that prepare batches; 0.")
    ] = None,
    nan: Annotated[str, typer.Option(help="stop, strict or ignore at the first NaN.")] = "stop",
    record: Annotated[str | None, RECORD] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a system."""
    if nan not in ("stop", "strict", "ignore"):
        raise UsageError(message("train", f"--nan {nan}", "stop, strict or ignore"))
    if resume is not None:
        fixed = {
            "--data": data,
            "--seed": seed,
            "--lr": lr,
            "--batch-size": batch_size,
            "--out": out,
            "--record": record,
        }
        _refuse_with_resume(system, fixed)
        _resume(resume, epochs, json, data_dir=data_dir, workers=workers, every=checkpoint_every)
        return
    if not system:
        _list_systems(json)
        return
    if system not in SYSTEMS:
        needs, remedy = "one of " + ", ".join(SYSTEMS), did_you_mean(system, SYSTEMS)
        raise UsageError(message("train", repr(system), needs, remedy=remedy))
    if lr is not None and not 0 < lr < float("inf"):
        raise UsageError(message("train", f"--lr {lr}", "a number above 0"))
    if SYSTEMS[system].recipe is None:
        _compute(system, data_dir, out, json)
        return
    name, recipe = _recipe(system, data)
    changed = {"epochs": epochs, "lr": lr, "batch_size": batch_size}
    recipe = replace(recipe, **{name: value for name, value in changed.items() if value})
    Wanted.of(record or False)  # told now, not after the folder is made
    choices = Choices(
        system, name, seed or 0, data_dir, workers or 0, nan, checkpoint_every, record
    )
    session = Session.begin(recipe, choices, out)
    _train(session, json, full=not any(changed.values()))


def _recipe(system: str, data: str | None) -> tuple[str, Recipe]:
    """The data set's name and the recipe for it."""
    recipes = SYSTEMS[system].recipes
    name = next(iter(recipes)) if data is None else data
    if name not in recipes:
        needs = f"one of {system}'s data sets: " + ", ".join(recipes)
        raise UsageError(
            message("train", f"--data {name}", needs, remedy=did_you_mean(name, recipes))
        )
    return name, recipes[name]


# ------------------------------------------------------------ without training


def _list_systems(json: bool) -> None:
    if json:
        keys = ("parameters", "epochs", "time")
        say_json(
            {
                name: {"title": system.title}
                | ({k: getattr(system.recipe, k) for k in keys} if system.recipe else {})
                | {"data": list(system.recipes)}
                for name, system in SYSTEMS.items()
            }
        )
        return
    width = max(map(len, SYSTEMS))
    say(f"{'system':{width}}  data             parameters  time on two cores")
    for name, system in SYSTEMS.items():
        for number, (data, recipe) in enumerate(system.recipes.items()):
            label = "" if number else name
            say(f"{label:{width}}  {data:15}  {recipe.parameters:>10,}  {recipe.time}")
        if not system.recipes:
            say(f"{name:{width}}  {system.title}")
    say(f"\n{command()} train lenet trains on what stands first; --data NAME on another.")


def _compute(system: str, data_dir: str | None, out: str | None, json: bool) -> None:
    """A system without training: its lines, and each figure beside what it must be."""
    compute = SYSTEMS[system].compute
    assert compute is not None
    report = compute(data_dir) if data_dir is not None else compute()
    files = report.save_pictures(out) if out is not None else []
    figures = [figure.record() for figure in report.figures]
    if json:
        say_json(report.result | {"figures": figures, "pictures": [str(file) for file in files]})
    else:
        for line in [*report.lines, "", *_table(report.figures)]:
            say(line)
        if files:
            say(_pictures_in(files, out))
    if not report:
        raise typer.Exit(1)


def _table(figures: Sequence[Figure]) -> list[str]:
    r"""A line per figure: its name, what was measured, what is wanted.

    >>> from chainrule.systems import Figure
    >>> print("\n".join(_table([Figure("w", -0.5, equal=-0.5), Figure("terms", 1e6)])))
    figure   measured  wanted
    w            -0.5  -0.5
    terms   1,000,000
    """
    rows = [("figure", "measured", "wanted"), *(figure.cells for figure in figures)]
    rows = [(plain(name), *rest) for name, *rest in rows]
    name, measured = (max(cell_len(row[column]) for row in rows) for column in (0, 1))
    return [
        f"{row[0]}{' ' * (name - cell_len(row[0]))}  {row[1]:>{measured}}  {row[2]}".rstrip()
        for row in rows
    ]


def _pictures_in(files: Sequence[Path], folder: Any) -> str:
    return f"{len(files)} picture{'s' * (len(files) != 1)} in {folder}"


# ------------------------------------------------------------ training


def _refuse_with_resume(system: str, fixed: dict[str, Any]) -> None:
    given = [name for name, value in fixed.items() if value is not None] + [system] * bool(system)
    if given:
        why = "The run keeps its own; --epochs N may ask for more of them"
        got = f"--resume and {', '.join(given)}"
        raise UsageError(message("train", got, "--resume alone", why=why))


def _resume(name: str, epochs: int | None, json: bool, **new: Any) -> None:
    run = open_run(name)
    config = run.config
    system, data = str(config.get("system")), str(config.get("data"))
    if system not in SYSTEMS or data not in SYSTEMS[system].recipes:
        if config.get("system") is None:
            got, needs = f"{run}, the record of a script", "a run of chainrule train"
            raise UsageError(message("train", got, needs, remedy="Run the script again"))
        got = f"{run}, a run of {system} on {data}"
        raise UsageError(message("train", got, "a system and data set of this chainrule"))
    given = {name: value for name, value in new.items() if value is not None}
    session = Session.resume(run, SYSTEMS[system].recipes[data], epochs, **given)
    for note in session.notes:
        typer.echo(f"note: {note}", err=True)
    if session.finished and "result" in config:
        if json:
            say_json(config["result"] | {"epochs": run.figures(), "finished": True})
        else:
            say(f"{run} is finished: {config['epochs']} epochs. --epochs N asks for more.")
        return
    _train(session, json, full=False)


def _train(session: Session, quiet: bool, full: bool) -> None:
    """The training, and what came of it.  full: by its whole recipe, so its figures must hold."""
    printed = _Printed(session, quiet)
    if not quiet:
        _open(session)
    trainer = printed.fit()
    report = session.recipe.report(trainer, session.parts)
    printed.finish(report, full)
    if full and not report:
        raise typer.Exit(1)


def _open(session: Session) -> None:
    opening = session.recipe.opening(session.parts)
    pictures = [paint(shown) for shown in opening if isinstance(shown, np.ndarray)]
    for line in side_by_side(pictures) if pictures else []:
        say(line)
    for line in opening:
        if isinstance(line, str):
            say(line)


class _Printed:
    """A session with the lines that are printed and logged on the way."""

    def __init__(self, session: Session, quiet: bool) -> None:
        self.session, self.run, self.quiet = session, session.run, quiet
        self.begun = time.perf_counter()
        bar = False if quiet or not can_print_blocks() else None
        self.progress = Progress(bar, self.say)

    def say(self, line: Any = "", above: Any = None) -> None:
        """Print a line (above the bar) and log it."""
        self.run.log(str(line))
        if not self.quiet:
            say(line, above)

    def fit(self) -> Any:
        """Train; say what is kept if it ends early."""
        session = self.session
        try:
            return session.fit([self.progress])
        except KeyboardInterrupt:
            place, epochs = session.trainer.place, session.recipe.epochs
            self.say(f"interrupted in epoch {place.epoch + 1} of {epochs}; {self._kept()}")
            raise
        except (CheckpointError, DataError) as error:
            raise type(error)(f"{error} Of this run, {self._kept()}") from error

    def _kept(self) -> str:
        """What the folder holds, and how to go on."""
        run = self.run
        if not run.checkpoint.exists():
            return f"{run} has no checkpoint yet"
        place = run.read_checkpoint()["training"]["place"]
        kept = f"epoch {place['epoch']}" if place["epoch"] or not place["batch"] else ""
        if place["batch"]:
            kept += f"{' and ' if kept else ''}{place['batch']} steps of the next"
        return f"{run} keeps {kept}: {command()} train --resume {quote(_name(run))}"

    def finish(self, report: Report, full: bool) -> None:
        """Keep the result, and print it with what to do next."""
        session = self.session
        seconds = round(time.perf_counter() - self.begun, 1)
        pictures = self.run.folder / f"pictures-{session.recipe.epochs}"
        files = report.save_pictures(pictures) if report.pictures else []
        result = report.result | {
            "figures": [figure.record() for figure in report.figures],
            "notices": session.trainer.history.notices,
            "seconds": seconds,
            "run": str(self.run),
            "seed": session.choices.seed,
        }
        first, *rest = report.lines
        line = f"{first}   seed {session.choices.seed}   {seconds} s   {self.run}"
        missed = [figure for figure in report.figures if not figure]
        for text in ("", line, *rest, *(["", *_table(missed)] if missed else [])):
            self.say(text)
        if missed and not full:
            self.say("(wanted after the whole recipe)")
        if files:
            self.say(_pictures_in(files, pictures))
        session.finish(result)
        if self.quiet:
            say_json(result | {"epochs": self.run.figures()})
        else:
            say("\nnext:")
            for text in report.next:
                say(f"  {command()} {text.replace('RUN', quote(_name(self.run, last=True)))}")
            if session.choices.record not in (None, "none"):
                say(f"  {command()} studio {quote(_name(self.run, last=True))}")


def _name(run: Run, last: bool = False) -> str:
    """How a run is called on the command line."""
    if run.folder.parent == RUNS:
        return "last" if last else run.folder.name
    return str(run)
