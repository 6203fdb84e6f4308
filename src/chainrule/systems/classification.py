"""Classifiers of handwritten digits: those that come with the package, and MNIST."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    open_dataset,
)
from chainrule.systems.system import Figure, Parts, Recipe, Report, System, warm_up_and_cosine
from chainrule.train.metrics import accuracy

__all__ = [
    "LENET",
    "LENET_1998",
    "LENET_LECTURE",
    "MLP",
    "SOFTMAX_REGRESSION",
    "ClassifierRecipe",
    "open_parts",
]

CROSS_ENTROPY = nn.CrossEntropyLoss()
HELD_OUT = 5_000  # of MNIST's training images, the last ones: what choices are made by


def open_parts(name: str, data_dir: str | None = None) -> dict[str, TensorDataset]:
    """Stored pixels u8[N,1,H,W] and labels of "train", "validation" and "test".

    Digits has three parts of its own: 1,257, 180 and 360.  Of MNIST's training images the last
    5,000 validate, or the last tenth where there are fewer than 50,000.
    """
    if name == "digits":
        return {part: open_dataset(name, part).raw for part in ("train", "validation", "test")}
    images, labels = open_dataset(name, "train", data_dir).raw.arrays
    first = len(labels) - min(HELD_OUT, -(-len(labels) // 10))
    return {
        "train": TensorDataset(images[:first], labels[:first]),
        "validation": TensorDataset(images[first:], labels[first:]),
        "test": open_dataset(name, "test", data_dir).raw,
    }


@dataclass(frozen=True, kw_only=True)
class ClassifierRecipe(Recipe):
    """A classifier of digits, judged by its accuracy on the test part."""

    loss: Any = CROSS_ENTROPY
    metrics: tuple[Any, ...] = (accuracy,)
    schedule: Any = warm_up_and_cosine
    wanted_accuracy: float

    def parts(self, data_dir: str | None = None) -> Parts:
        """Only the batches of the training part are shuffled and varied."""
        parts = open_parts(self.data, data_dir)
        still = self.transforms.deterministic()
        train = DataLoader(parts["train"], self.batch_size, shuffle=True, transform=self.transforms)
        rest = (DataLoader(parts[p], 180, transform=still) for p in ("validation", "test"))
        return Parts(train, *rest)

    def opening(self, parts: Parts) -> list[Any]:
        """One picture of each class, and what is trained on how many."""
        images, labels = parts.train.dataset.arrays
        known = [label for label in range(10) if (labels == label).any()]
        first = [_thumbnail(images[np.flatnonzero(labels == label)[0], 0]) for label in known]
        what = f"{self.model}, {self.parameters:,} parameters, on {len(labels):,} {TITLE}"
        return [*first, what, ""]

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
        line = f"test accuracy {share:.1%}".replace("%", " %") + f" ({right:,} of {len(labels):,})"
        return Report(
            [line, *([_mistakes_line(mistakes)] if mistakes else [])],
            (Figure("test accuracy", share, at_least=self.wanted_accuracy),),
            {"test_accuracy": share, "correct": right, "of": len(labels), "mistakes": mistakes},
            ("predict RUN --sample 7", "summary RUN", "explain logistic"),
            self.pictures(trainer.model),
        )

    def pictures(self, model: Any) -> dict[str, np.ndarray]:
        """What of the trained model can be looked at: the templates, where it has them."""
        if not hasattr(model, "templates"):
            return {}
        rows = model.templates().numpy()[:, 0]
        most = np.abs(rows).max()
        return {f"template-{label}": 0.5 + 0.5 * row / most for label, row in enumerate(rows)}


TITLE = "handwritten digits"


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """u8[H,W] -> f[H',W'] from 0 to 1, so small that ten stand in a line of 80 characters."""
    if image.shape == (8, 8):
        return image[:, 1:] / 16
    side = len(image) // 7
    return image[: 7 * side, : 7 * side].reshape(7, side, 7, side).mean((1, 3)) / 255


def _mistakes_line(mistakes: list[dict[str, int]], width: int = 66) -> str:
    """The mistakes as label→answer, as many as fit."""
    line = "mistakes (label→answer):"
    for count, mistake in enumerate(mistakes):
        word = f" {mistake['label']}→{mistake['answer']}"
        if len(line) + len(word) > width:
            return line + f" and {len(mistakes) - count} more"
        line += word
    return line


def _nesterov(parameters: Any, lr: float, weight_decay: float = 5e-4) -> Any:
    return optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=True, weight_decay=weight_decay)


def _nesterov_on_few(parameters: Any, lr: float) -> Any:
    return _nesterov(parameters, lr, weight_decay=2e-3)


# ---------------------------------------------------------------- how pictures become inputs

ENLARGED = (Scale(16), Upsample(28, border=2), CentreByMass())
VARIED = (
    RandomElastic(shift=4, knots=4),
    RandomAffine(degrees=15, shift=2, scale=(0.75, 1.2), stretch=(0.7, 1.4), shear=20),
    RandomStrokeWidth(thin=0.8, thick=0.8),
)
LESS_VARIED = (
    RandomElastic(shift=2, knots=4),
    RandomAffine(degrees=12, shift=1.5, scale=(0.85, 1.15), stretch=(0.85, 1.2), shear=10),
)
SLIGHTLY_VARIED = RandomAffine(degrees=10, shift=1.5, scale=(0.9, 1.1), shear=5)
MNIST = Compose((Scale(255),))

# ---------------------------------------------------------------- one linear map, three layers

_SOFTMAX_ON_DIGITS = ClassifierRecipe(
    model="softmax_regression",
    data="digits",
    transforms=Compose(ENLARGED),
    optimizer=optim.Adam,
    lr=0.005,
    epochs=30,
    batch_size=32,
    parameters=7_850,
    time="2 s",
    wanted_accuracy=0.92,
)
_SOFTMAX_ON_MNIST = replace(
    _SOFTMAX_ON_DIGITS,
    data="mnist",
    transforms=MNIST,
    lr=0.002,
    epochs=10,
    batch_size=128,
    time="10 s",
)
_MLP_ON_DIGITS = ClassifierRecipe(
    model="mlp",
    data="digits",
    transforms=Compose((*ENLARGED, RandomAffine(degrees=10, shift=1.5, scale=(0.9, 1.1)))),
    optimizer=optim.Adam,
    lr=0.001,
    epochs=30,
    batch_size=32,
    parameters=535_818,
    time="15 s",
    wanted_accuracy=0.96,
)
_MLP_ON_MNIST = replace(
    _MLP_ON_DIGITS,
    data="mnist",
    transforms=Compose((Scale(255), SLIGHTLY_VARIED)),
    epochs=10,
    batch_size=128,
    time="90 s",
    wanted_accuracy=0.98,
)

# ---------------------------------------------------------------- LeNet

_LENET_ON_DIGITS = ClassifierRecipe(
    model="lenet5",
    config={"num_classes": 10},
    data="digits",
    transforms=Compose((*ENLARGED, *VARIED)),
    optimizer=_nesterov_on_few,
    lr=0.05,
    epochs=30,
    batch_size=32,
    parameters=61_706,
    time="15 s",
    wanted_accuracy=0.98,
)
_LENET_ON_MNIST = replace(
    _LENET_ON_DIGITS,
    data="mnist",
    transforms=Compose((Scale(255), SLIGHTLY_VARIED)),
    optimizer=_nesterov,
    epochs=10,
    batch_size=64,
    time="70 s",
    wanted_accuracy=0.989,
)
_LENET_1998_ON_DIGITS = replace(
    _LENET_ON_DIGITS,
    config={"variant": "1998"},
    transforms=Compose((*ENLARGED, *LESS_VARIED)),  # tanh learns more slowly than ReLU
    optimizer=_nesterov,
    lr=0.005,
    epochs=40,
    parameters=60_000,
    time="20 s",
    wanted_accuracy=0.96,
)
_LENET_1998_ON_MNIST = replace(
    _LENET_ON_MNIST,
    config={"variant": "1998"},
    lr=0.003,
    parameters=60_000,
    time="80 s",
    wanted_accuracy=0.98,
)
_LENET_LECTURE_ON_DIGITS = replace(
    _LENET_ON_DIGITS,
    model="lenet_lecture",
    transforms=Compose((Scale(16), Upsample(32, border=4), CentreByMass(), *VARIED)),
    parameters=81_194,
    time="20 s",
)
_LENET_LECTURE_ON_MNIST = replace(
    _LENET_ON_MNIST,
    model="lenet_lecture",
    transforms=Compose((Scale(255), Upsample(32, border=2), SLIGHTLY_VARIED)),
    parameters=81_194,
    time="90 s",
    wanted_accuracy=0.985,
)


def _both(*recipes: ClassifierRecipe) -> dict[str, ClassifierRecipe]:
    return {recipe.data: recipe for recipe in recipes}


SOFTMAX_REGRESSION = System(
    "softmax regression: one linear map, its rows as pictures",
    _both(_SOFTMAX_ON_DIGITS, _SOFTMAX_ON_MNIST),
)
MLP = System("a perceptron of three layers", _both(_MLP_ON_DIGITS, _MLP_ON_MNIST))
LENET = System("LeNet-5, the modern form", _both(_LENET_ON_DIGITS, _LENET_ON_MNIST))
LENET_1998 = System("LeNet-5 as in 1998", _both(_LENET_1998_ON_DIGITS, _LENET_1998_ON_MNIST))
LENET_LECTURE = System(
    "LeNet as in the lecture's code", _both(_LENET_LECTURE_ON_DIGITS, _LENET_LECTURE_ON_MNIST)
)
