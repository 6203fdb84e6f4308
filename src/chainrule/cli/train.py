"""``chainrule train``: train a system from its recipe, into a run folder."""

from __future__ import annotations

import time
from dataclasses import replace
from shlex import quote
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import BarColumn, Progress, TextColumn

from chainrule import models, random
from chainrule.cli.output import can_print_blocks, command, console, did_you_mean, say, say_json
from chainrule.cli.paint import paint, side_by_side
from chainrule.errors import UsageError, message
from chainrule.systems import SYSTEMS, Recipe, Report
from chainrule.train.callbacks import Callback
from chainrule.train.checkpoint import save_checkpoint
from chainrule.train.runs import Run
from chainrule.train.trainer import Trainer

HELP = """Train a system; without a name, list the systems.

Each run gets its own folder, runs/lenet-001 and so on, with its configuration, figures,
checkpoint and log. The same seed gives the same bits.

\b
Examples:
  chainrule train
  chainrule train lenet
  chainrule train lenet --epochs 3 --seed 1
  chainrule train xor --out my-xor
"""

FEW_EPOCHS = 40


def run(
    system: Annotated[str, typer.Argument(help="lenet or xor.", show_default=False)] = "",
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data.")] = None,
    seed: Annotated[int, typer.Option(help="Decides all that is random.")] = 0,
    lr: Annotated[float | None, typer.Option(help="The (highest) learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Samples per step.")] = None,
    out: Annotated[str | None, typer.Option(help="A new folder instead of runs/...")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a system."""
    if not system:
        _list_systems(json)
        return
    if system not in SYSTEMS:
        needs, remedy = "one of " + ", ".join(SYSTEMS), did_you_mean(system, SYSTEMS)
        raise UsageError(message("train", repr(system), needs, remedy=remedy))
    if lr is not None and not 0 < lr < float("inf"):
        raise UsageError(message("train", f"--lr {lr}", "a number above 0"))
    recipe = SYSTEMS[system].recipe
    if recipe is None:
        _compute(system, json)
        return
    recipe = replace(
        recipe,
        epochs=epochs or recipe.epochs,
        lr=lr or recipe.lr,
        batch_size=batch_size or recipe.batch_size,
    )
    _train(_Training(system, recipe, seed, out, quiet=json))


def _list_systems(json: bool) -> None:
    recipes = {name: system.recipe for name, system in SYSTEMS.items()}
    if json:
        keys = ("data", "parameters", "epochs", "time")
        say_json(
            {
                name: {"title": SYSTEMS[name].title}
                | ({k: getattr(recipe, k) for k in keys} if recipe else {})
                for name, recipe in recipes.items()
            }
        )
        return
    width = max(map(len, SYSTEMS))
    say(f"{'system':{width}}  data             parameters  time on two cores")
    for name, recipe in recipes.items():
        if recipe is None:
            say(f"{name:{width}}  {SYSTEMS[name].title}")
        else:
            say(f"{name:{width}}  {recipe.data:15}  {recipe.parameters:>10,}  {recipe.time}")
    say(f"\n{command()} train lenet trains LeNet.")


def _compute(system: str, json: bool) -> None:
    """A system without training: its lines, and each figure beside what it must be."""
    compute = SYSTEMS[system].compute
    assert compute is not None
    report = compute()
    figures = [figure.record() for figure in report.figures]
    if json:
        say_json(report.result | {"figures": figures})
    else:
        for line in [*report.lines, "", *map(str, report.figures)]:
            say(line)
    if not report:
        raise typer.Exit(1)


def _train(training: _Training) -> None:
    """A system with a network: the training, and what came of it."""
    recipe = training.recipe
    parts = recipe.parts()
    opening = recipe.opening(parts)
    if not training.quiet:
        pictures = [paint(shown) for shown in opening if isinstance(shown, np.ndarray)]
        for line in side_by_side(pictures) if pictures else []:
            say(line)
        for line in opening:
            if isinstance(line, str):
                say(line)
    trainer = training.fit(parts.train, parts.validation, recipe.metrics)
    training.say()
    training.finish(recipe.report(trainer, parts))


class _Training(Callback):
    """One run: the seed, the model, the folder, and the lines that are printed on the way."""

    def __init__(
        self, system: str, recipe: Recipe, seed: int, out: str | None, quiet: bool
    ) -> None:
        random.manual_seed(seed)
        self.recipe, self.seed, self.quiet = recipe, seed, quiet
        self.model = models.build(recipe.model, **recipe.config)
        self.optimizer = recipe.optimizer(self.model.parameters(), lr=recipe.lr)
        self.out = out
        self.run = Run.create(system, self._config(system), out)
        self.begun = time.perf_counter()
        self.now = 1  # the epoch that is running
        self.epoch = 0  # the last one that was kept
        self.progress: Progress | None = None

    def _config(self, system: str) -> dict[str, Any]:
        recipe = self.recipe
        return {
            "system": system,
            "model": {"name": recipe.model, "config": recipe.config},
            "data": recipe.data,
            "transforms": recipe.transforms.spec(),
            "loss": type(recipe.loss).__name__,
            "optimizer": type(self.optimizer).__name__,
            "schedule": getattr(recipe.schedule, "__name__", None),
            "lr": recipe.lr,
            "epochs": recipe.epochs,
            "batch_size": recipe.batch_size,
            "seed": self.seed,
        }

    def say(self, line: Any = "") -> None:
        """Print a line (above the bar) and log it."""
        self.run.log(str(line))
        if not self.quiet:
            say(line, self.progress.console if self.progress is not None else None)

    def fit(self, train: Any, validation: Any = None, metrics: Any = ()) -> Trainer:
        """Train; Ctrl-C ends it between two steps, with the last checkpoint whole."""
        recipe = self.recipe
        trainer = Trainer(
            self.model,
            recipe.loss,
            self.optimizer,
            metrics=metrics,
            callbacks=[self],
            schedule=recipe.schedule,
        )
        try:
            with _bar(self.quiet) as self.progress:
                self.task = self.progress.add_task("", total=1, visible=False)
                trainer.fit(train, epochs=recipe.epochs, validation_data=validation)
        except KeyboardInterrupt:
            self.progress = None
            kept = f"keeps epoch {self.epoch}" if self.epoch else "has no checkpoint yet"
            self.say(f"interrupted in epoch {self.now} of {recipe.epochs}; {self.run} {kept}")
            raise
        self.progress = None
        return trainer

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        """Start the bar again, unless the epochs are many and pass too quickly for one."""
        self.now = epoch
        if self.progress is not None and self.recipe.epochs <= FEW_EPOCHS:
            name = _epoch_of(epoch, self.recipe.epochs)
            self.progress.reset(self.task, description=name, total=1, visible=True)

    def on_batch_end(self, trainer: Trainer, batch: int, batches: int | None) -> None:
        """Move the bar."""
        if self.progress is not None and batches:
            self.progress.update(self.task, completed=batch / batches)

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: dict[str, float]) -> None:
        """Keep the figures; of few epochs each, of many each tenth is kept and printed."""
        recipe = self.recipe
        self.run.add_figures(epoch, logs)
        step = 1 if recipe.epochs <= FEW_EPOCHS else recipe.epochs // 10
        if epoch % step and epoch != recipe.epochs:
            return
        save_checkpoint(
            self.run.checkpoint,
            self.model,
            self.optimizer,
            name=recipe.model,
            config=recipe.config,
            data=recipe.data,
            transforms=recipe.transforms.spec(),
            epoch=epoch,
            seed=self.seed,
        )
        self.epoch = epoch
        self.say(_epoch_line(epoch, recipe.epochs, logs))

    def finish(self, report: Report) -> None:
        """Keep the result, and print it with what to do next."""
        seconds = round(time.perf_counter() - self.begun, 1)
        result = report.result | {
            "figures": [figure.record() for figure in report.figures],
            "seconds": seconds,
            "run": str(self.run),
            "seed": self.seed,
        }
        self.run.write_config(self.run.config | {"result": result})
        first, *rest = report.lines
        for line in (f"{first}   seed {self.seed}   {seconds} s   {self.run}", *rest):
            self.say(line)
        if self.quiet:
            say_json(result | {"epochs": self.run.figures()})
        self.next_commands(*report.next)

    def next_commands(self, *commands: str) -> None:
        """Print commands that can be pasted."""
        if not self.quiet:
            name = "last" if self.out is None else str(self.run)
            say("\nnext:")
            for text in commands:
                say(f"  {command()} {text.replace('RUN', quote(name))}")


def _bar(quiet: bool) -> Progress:
    """A live bar, on a terminal only."""
    to = console()
    shown = to.is_terminal and not quiet and can_print_blocks()
    columns = (TextColumn("{task.description}"), BarColumn(40))
    return Progress(*columns, console=to, transient=True, disable=not shown)


def _epoch_of(epoch: int, epochs: int) -> str:
    return f"epoch {epoch:{len(str(epochs))}}/{epochs}"


def _epoch_line(epoch: int, epochs: int, logs: dict[str, float]) -> str:
    loss = logs["loss"]
    line = f"{_epoch_of(epoch, epochs)}  loss " + (f"{loss:.3f}" if loss >= 0.01 else f"{loss:.0e}")
    if "accuracy" in logs:
        line += f"  train {logs['accuracy']:6.1%}".replace("%", " %")
    if "val_accuracy" in logs:
        line += f"  validation {logs['val_accuracy']:6.1%}".replace("%", " %")
    return line + f"  {logs['seconds']:.1f} s"
