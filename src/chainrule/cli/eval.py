"""``chainrule eval``: how good a run's network is on a part of its data."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import typer

from chainrule.cli.output import say, say_json
from chainrule.cli.trained import Trained
from chainrule.data import DataLoader
from chainrule.tensor import tensor
from chainrule.train.metrics import ConfusionMatrix, Figures, TopKAccuracy, accuracy
from chainrule.train.trainer import Trainer

HELP = """Measure a run's network: accuracy, top k, confusion matrix, worst samples.

RUN is a folder, a name in runs/, or the word last. Networks that are no classifiers are
measured by their loss and metrics. Nothing of the run is changed.

\b
Examples:
  chainrule eval last
  chainrule eval lenet-001 --part validation
  chainrule eval lenet-001 --data mnist --data-dir ~/mnist
  chainrule eval last --worst 10 --json
"""


def run(
    name: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, its name, or last.")],
    data: Annotated[str | None, typer.Option(help="Another of the system's data sets.")] = None,
    part: Annotated[str, typer.Option(help="test, validation or train.")] = "test",
    data_dir: Annotated[str | None, typer.Option(help="The folder that has its files.")] = None,
    worst: Annotated[int, typer.Option(min=0, help="How many of the worst samples.")] = 5,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Evaluate."""
    trained = Trained("eval", name, data, data_dir)
    batches = trained.batches(part)
    outputs, targets, figures = _measured(trained, batches)
    classifies = outputs.ndim == 2 and outputs.shape[1] > 1 and targets.dtype.kind in "iu"
    found: dict[str, Any] = {"run": str(trained.run), "data": trained.data, "part": part}
    found |= {"samples": len(outputs), "epoch": trained.checkpoint.get("epoch")} | figures
    matrix = ConfusionMatrix(outputs.shape[1]) if classifies else None
    if matrix is not None:
        matrix.update(tensor(outputs), tensor(targets))
        found |= _ranked(outputs, targets)
        found["confusion_matrix"], found["per_class"] = (
            matrix.compute().tolist(),
            matrix.per_class(),
        )
    found["worst"] = _worst(outputs, targets, classifies)[:worst]
    if json:
        say_json(found)
    else:
        _show(found, matrix)


def _measured(
    trained: Trained, batches: DataLoader
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """All outputs and targets, and the loss and metrics of the recipe."""
    recipe, kept = trained.recipe, []

    class Kept:
        """What the trainer's evaluation sees."""

        def __iter__(self) -> Any:
            for inputs, targets in batches:
                kept.append((trained.outputs(inputs), targets.numpy()))
                yield inputs, targets

    trainer = Trainer(trained.model, recipe.loss, None, metrics=recipe.metrics)
    figures = trainer.evaluate(Kept())
    outputs, targets = (np.concatenate(column) for column in zip(*kept, strict=True))
    return outputs, targets, figures


def _ranked(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Accuracy, and top 5 where there are more classes than that, else top 2."""
    classes = outputs.shape[1]
    top = [TopKAccuracy(5 if classes > 5 else 2)] if classes > 2 else []
    figures = Figures([accuracy, *top])
    figures.add(0.0, tensor(outputs), tensor(targets))
    return {name: value for name, value in figures.value().items() if name != "loss"}


def _worst(outputs: np.ndarray, targets: np.ndarray, classifies: bool) -> list[dict[str, Any]]:
    """The samples by how far the network is from their targets, the farthest first."""
    if classifies:
        shifted = outputs.astype(np.float64) - outputs.max(axis=1, keepdims=True)
        chances = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
        own = chances[np.arange(len(targets)), targets]
        order = np.argsort(own, kind="stable")
        return [
            {
                "sample": int(n),
                "label": int(targets[n]),
                "answer": int(outputs[n].argmax()),
                "probability_of_label": float(own[n]),
            }
            for n in order
        ]
    if outputs.shape != targets.shape:
        return []
    apart = ((outputs - targets).astype(np.float64) ** 2).reshape(len(outputs), -1).mean(axis=1)
    order = np.argsort(-apart, kind="stable")
    return [{"sample": int(n), "mean_squared_error": float(apart[n])} for n in order]


def _show(found: dict[str, Any], matrix: ConfusionMatrix | None) -> None:
    say(f"{found['run']} on {found['samples']:,} samples: {found['data']}, {found['part']} part\n")
    for name, value in found.items():
        if isinstance(value, float):
            text = f"{value:.2%}".replace("%", " %") if "accuracy" in name else f"{value:.4g}"
            say(f"{name.replace('_', ' '):18}  {text:>9}")
    if matrix is not None:
        say("\nrow: label, column: answer")
        for line in str(matrix).splitlines():
            say(line)
    if found["worst"]:
        say("\nthe worst samples")
    for one in found["worst"]:
        if "label" in one:
            chance = f"{one['probability_of_label']:.2%}".replace("%", " %")
            label, answer = one["label"], one["answer"]
            say(f"  {one['sample']:>6}  {label}→{answer}  probability of {label}: {chance}")
        else:
            say(f"  {one['sample']:>6}  mean squared error {one['mean_squared_error']:.4g}")
