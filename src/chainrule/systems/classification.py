"""Classifiers of pictures: LeNet on the handwritten digits that come with the package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import nn, optim
from chainrule.data import (
    CentreByMass,
    Compose,
    DataLoader,
    RandomAffine,
    RandomElastic,
    RandomStrokeWidth,
    Scale,
    TensorDataset,
    Upsample,
    digits,
)
from chainrule.systems.system import Figure, Parts, Recipe, Report, System, warm_up_and_cosine
from chainrule.train.metrics import accuracy

__all__ = ["LENET", "DigitsRecipe"]


@dataclass(frozen=True, kw_only=True)
class DigitsRecipe(Recipe):
    """A classifier of the digits that ship with the package: 1,257 to train, 180 and 360."""

    data: str = "digits"
    metrics: tuple[Any, ...] = (accuracy,)
    wanted_accuracy: float

    def parts(self, data_dir: str | None = None) -> Parts:
        """Only the batches of the training part are shuffled and varied."""
        return Parts(*(self._loader(part) for part in ("train", "validation", "test")))

    def _loader(self, part: str) -> DataLoader:
        images, labels = digits(part)
        dataset = TensorDataset(images[:, None], labels)
        if part == "train":
            return DataLoader(dataset, self.batch_size, shuffle=True, transform=self.transforms)
        return DataLoader(dataset, 180, transform=self.transforms.deterministic())

    def opening(self, parts: Parts) -> list[Any]:
        """One picture of each class, and what is trained on how many."""
        images, labels = parts.train.dataset.arrays
        first = [images[np.flatnonzero(labels == label)[0], 0, :, 1:] for label in range(10)]
        what = f"{self.model}, {self.parameters:,} parameters, on {len(labels):,} {TITLE}"
        return [image / 16 for image in first] + [what, ""]

    def report(self, trainer: Any, parts: Parts) -> Report:
        """Accuracy and mistakes on the test part, which is read here for the first time."""
        assert parts.test is not None
        labels = parts.test.dataset.arrays[1]
        answers = trainer.predict(parts.test).argmax(axis=1)
        wrong = np.flatnonzero(answers != labels)
        mistakes = [
            {"sample": int(i), "label": int(labels[i]), "answer": int(answers[i])} for i in wrong
        ]
        right, share = len(labels) - len(wrong), 1 - len(wrong) / len(labels)
        line = f"test accuracy {share:.1%}".replace("%", " %") + f" ({right} of {len(labels)})"
        return Report(
            [line, *([_mistakes_line(mistakes)] if mistakes else [])],
            (Figure("test accuracy", share, at_least=self.wanted_accuracy),),
            {"test_accuracy": share, "correct": right, "of": len(labels), "mistakes": mistakes},
            ("predict RUN --sample 7", "summary RUN", "explain logistic"),
        )


TITLE = "handwritten digits"


def _mistakes_line(mistakes: list[dict[str, int]], width: int = 66) -> str:
    """The mistakes as label→answer, as many as fit."""
    line = "mistakes (label→answer):"
    for count, mistake in enumerate(mistakes):
        word = f" {mistake['label']}→{mistake['answer']}"
        if len(line) + len(word) > width:
            return line + f" and {len(mistakes) - count} more"
        line += word
    return line


def _nesterov(parameters: Any, lr: float) -> Any:
    return optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=True, weight_decay=2e-3)


_LENET_ON_DIGITS = DigitsRecipe(
    model="lenet5",
    config={"num_classes": 10},
    transforms=Compose(
        (
            Scale(16),
            Upsample(28, border=2),
            CentreByMass(),
            RandomElastic(shift=4, knots=4),
            RandomAffine(degrees=15, shift=2, scale=(0.75, 1.2), stretch=(0.7, 1.4), shear=20),
            RandomStrokeWidth(thin=0.8, thick=0.8),
        )
    ),
    loss=nn.CrossEntropyLoss(),
    optimizer=_nesterov,
    lr=0.05,
    schedule=warm_up_and_cosine,
    epochs=30,
    batch_size=32,
    parameters=61_706,
    time="30 s",
    wanted_accuracy=0.98,
)

LENET = System("LeNet-5, the modern form", {"digits": _LENET_ON_DIGITS})
