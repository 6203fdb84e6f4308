"""``chainrule train``: train a system from its recipe, into a run folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from shlex import quote
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import BarColumn, Progress, TextColumn

from chainrule import models, random
from chainrule.cli.output import can_print_blocks, command, console, did_you_mean, say, say_json
from chainrule.cli.paint import paint, side_by_side
from chainrule.data import digits
from chainrule.data.loader import DataLoader, TensorDataset
from chainrule.errors import UsageError, message
from chainrule.train.callbacks import Callback
from chainrule.train.checkpoint import save_checkpoint
from chainrule.train.metrics import accuracy
from chainrule.train.recipes import RECIPES, Recipe
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
    if system not in RECIPES:
        needs, remedy = "one of " + ", ".join(RECIPES), did_you_mean(system, RECIPES)
        raise UsageError(message("train", repr(system), needs, remedy=remedy))
    if lr is not None and not 0 < lr < float("inf"):
        raise UsageError(message("train", f"--lr {lr}", "a number above 0"))
    recipe = RECIPES[system]
    recipe = replace(
        recipe,
        epochs=epochs or recipe.epochs,
        lr=lr or recipe.lr,
        batch_size=batch_size or recipe.batch_size,
    )
    _SYSTEMS[recipe.data](_Training(system, recipe, seed, out, quiet=json))


def _list_systems(json: bool) -> None:
    if json:
        keys = ("data", "parameters", "epochs", "time")
        say_json({name: {k: getattr(r, k) for k in keys} for name, r in RECIPES.items()})
        return
    say("system  data             parameters  time on two cores")
    for name, recipe in RECIPES.items():
        say(f"{name:6}  {recipe.data:15}  {recipe.parameters:>10,}  {recipe.time}")
    say(f"\n{command()} train lenet trains the first.")


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

    def model_size(self) -> int:
        """How many parameters there are."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def finish(self, result: dict[str, Any], lines: list[str]) -> None:
        """Keep the result, and print it with what to do next."""
        seconds = round(time.perf_counter() - self.begun, 1)
        result |= {"seconds": seconds, "run": str(self.run), "seed": self.seed}
        self.run.write_config(self.run.config | {"result": result})
        lines[0] += f"   {seconds} s   {self.run}"
        for line in lines:
            self.say(line)
        if self.quiet:
            say_json(result | {"epochs": self.run.figures()})

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


# ------------------------------------------------------------ digits


def _train_on_digits(training: _Training) -> None:
    recipe = training.recipe
    train, validation = (_loader(recipe, part) for part in ("train", "validation"))
    if not training.quiet:
        for line in _strip_of_ten():
            say(line)
        count, name = training.model_size(), recipe.model
        say(f"{name}, {count:,} parameters, on {len(train.dataset):,} handwritten digits\n")
    trainer = training.fit(train, validation, metrics=[accuracy])

    test = _loader(recipe, "test")  # read here for the first time: nothing was chosen by it
    labels = test.dataset.arrays[1]
    scores = trainer.predict(test)
    answers = scores.argmax(axis=1)
    right = int((answers == labels).sum())
    wrong = np.flatnonzero(answers != labels)
    mistakes = [
        {"sample": int(i), "label": int(labels[i]), "answer": int(answers[i])} for i in wrong
    ]
    result = {"test_accuracy": right / len(labels), "correct": right, "of": len(labels)}
    lines = [
        f"test accuracy {right / len(labels):.1%}".replace("%", " %")
        + f" ({right} of {len(labels)}; seed {training.seed})"
    ]
    if mistakes:
        lines.append(_mistakes_line(mistakes))
    training.say()
    training.finish(result | {"mistakes": mistakes}, lines)
    training.next_commands("predict RUN --sample 7", "summary RUN", "explain logistic")


def _loader(recipe: Recipe, part: str) -> DataLoader:
    """The batches of one part; only those of "train" are shuffled and varied."""
    images, labels = digits(part)
    dataset = TensorDataset(images[:, None], labels)
    if part == "train":
        return DataLoader(dataset, recipe.batch_size, shuffle=True, transform=recipe.transforms)
    return DataLoader(dataset, 180, transform=recipe.transforms.deterministic())


def _strip_of_ten() -> list[Any]:
    """One image of each class, side by side in 79 columns."""
    images, labels = digits("train")
    first = [images[np.flatnonzero(labels == label)[0]] for label in range(10)]
    return side_by_side([paint(image[:, 1:] / 16) for image in first])


def _mistakes_line(mistakes: list[dict[str, int]], width: int = 66) -> str:
    """The mistakes as label→answer, with the sample's number, as many as fit."""
    line = "mistakes (label→answer):"
    for count, mistake in enumerate(mistakes):
        word = f" {mistake['label']}→{mistake['answer']}"
        if len(line) + len(word) > width:
            return line + f" and {len(mistakes) - count} more"
        line += word
    return line


# ------------------------------------------------------------ xor


def _train_on_xor(training: _Training) -> None:
    inputs = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    targets = np.array([[0], [1], [1], [0]], np.float32)
    dataset = TensorDataset(inputs, targets)
    batch_size = min(training.recipe.batch_size, 4)
    trainer = training.fit(DataLoader(dataset, batch_size, shuffle=batch_size < 4))
    outputs = trainer.predict(DataLoader(dataset, 4))
    right = int(((outputs > 0.5) == (targets > 0.5)).sum())
    table = [
        {"x": [int(a), int(b)], "wanted": int(t), "y": round(float(y), 4)}
        for (a, b), (t,), (y,) in zip(inputs, targets, outputs, strict=True)
    ]
    lines = [f"{right} of 4 right (seed {training.seed})", "", "x1 x2  wanted      y"]
    lines += [f" {r['x'][0]}  {r['x'][1]}  {r['wanted']:6}  {r['y']:5.2f}" for r in table]
    training.say()
    training.finish({"correct": right, "of": 4, "table": table}, lines)
    training.next_commands("summary RUN", "explain xor", "train lenet")


_SYSTEMS: dict[str, Callable[[_Training], None]] = {
    "digits": _train_on_digits,
    "the truth table": _train_on_xor,
}
