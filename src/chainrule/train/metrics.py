"""Metrics: how good outputs are, batch by batch, in one number or a table.

A metric is a function (outputs, targets) -> the mean over the batch's samples, or a `Metric` that
collects over batches: ``reset``, ``update``, ``compute``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.dtypes import dtype_of
from chainrule.errors import IndexRangeError, ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.tensor import Tensor

__all__ = [
    "ConfusionMatrix",
    "Figures",
    "Metric",
    "TopKAccuracy",
    "TopKError",
    "accuracy",
    "binary_accuracy",
    "error",
    "mean_absolute_error",
    "mean_squared_error",
]


def accuracy(outputs: Tensor, targets: Tensor) -> float:
    """The part of the samples whose largest output is at the label: outputs f[N,K], targets i64[N].

    >>> import chainrule as cr
    >>> accuracy(cr.tensor([[0.1, 2.0], [3.0, 1.0]]), cr.tensor([1, 1]))
    0.5
    """
    scores, labels = _classified(outputs, targets, "accuracy")
    return float((scores.argmax(axis=1) == labels).mean())


def error(outputs: Tensor, targets: Tensor) -> float:
    """1 - accuracy      outputs: f[N,K], targets: i64[N]"""
    return 1.0 - accuracy(outputs, targets)


def binary_accuracy(outputs: Tensor, targets: Tensor) -> float:
    """The part of logits that are on the right side of 0: outputs f[...], targets 0 or 1 [...].

    >>> import chainrule as cr
    >>> binary_accuracy(cr.tensor([2.0, -1.0, 3.0, 0.5]), cr.tensor([1.0, 0.0, 0.0, 1.0]))
    0.75
    """
    logits, wanted = _alike(outputs, targets, "binary_accuracy")
    odd = wanted[(wanted != 0) & (wanted != 1)]
    if odd.size:
        got, remedy = f"a target of {odd[0]:g}", "(t + 1) / 2 makes them of ±1"
        raise UsageError(message("binary_accuracy", got, "0 or 1", remedy=remedy))
    return float(((logits > 0) == (wanted > 0)).mean())


def mean_squared_error(outputs: Tensor, targets: Tensor) -> float:
    """mean (y - t)²      outputs, targets: f[...]

    >>> import chainrule as cr
    >>> mean_squared_error(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 4.0]))
    2.0
    """
    values, wanted = _alike(outputs, targets, "mean_squared_error")
    return float(((values - wanted) ** 2).mean())


def mean_absolute_error(outputs: Tensor, targets: Tensor) -> float:
    """mean |y - t|      outputs, targets: f[...]"""
    values, wanted = _alike(outputs, targets, "mean_absolute_error")
    return float(abs(values - wanted).mean())


def _classified(outputs: Any, targets: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores f[N,K] and labels i64[N] that fit together."""
    scores, labels = np.asarray(outputs), np.asarray(targets)
    fits = scores.ndim == 2 and labels.shape == scores.shape[:1] and labels.dtype.kind in "iu"
    if not fits:
        got = f"outputs {_type(scores)} and targets {_type(labels)}"
        remedy = ""
        if labels.shape == scores.shape:
            remedy = "binary_accuracy, or a mean error?"
            if scores.ndim == 2 and scores.shape[1] > 1:
                remedy = "targets.argmax(1), if they are one-hot?"
        raise ShapeError(message(where, got, "f[N,K] and i64[N]", remedy=remedy))
    return scores, labels


def _alike(outputs: Any, targets: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays of one shape, in float64."""
    values, wanted = np.asarray(outputs), np.asarray(targets)
    if values.shape != wanted.shape:
        got = f"outputs {_type(values)} and targets {_type(wanted)}"
        remedy = f"targets.reshape({', '.join(map(str, values.shape))})"
        remedy = remedy if values.size == wanted.size else ""
        raise ShapeError(message(where, got, "equal shapes", remedy=remedy))
    return values.astype(np.float64), wanted.astype(np.float64)


def _type(array: np.ndarray) -> str:
    return type_text(array.shape, dtype_of(array.dtype))


# ------------------------------------------------------------ what collects over batches


class Metric:
    """A figure of all samples that were seen since ``reset``; a subclass fills in the four.

    ``name`` is what the figure is called.  ``compute`` gives a number, which Trainer lists among
    its figures, or anything else, which is read from the metric itself.
    """

    name = "metric"

    def reset(self) -> None:
        """Forget all samples."""
        raise NotImplementedError(f"{type(self).__name__} has no reset")

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take in a batch."""
        raise NotImplementedError(f"{type(self).__name__} has no update")

    def compute(self) -> Any:
        """The figure of what was taken in."""
        raise NotImplementedError(f"{type(self).__name__} has no compute")

    def state_dict(self) -> dict[str, Any]:
        """What was taken in: numbers and arrays."""
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was called."""
        for name, value in state.items():
            setattr(self, name, np.asarray(value).copy() if isinstance(value, Tensor) else value)


class TopKAccuracy(Metric):
    """The part of the samples whose label is among the k largest outputs, of equal ones the first.

    >>> import chainrule as cr
    >>> top2 = TopKAccuracy(2)
    >>> top2.update(cr.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), cr.tensor([1, 2]))
    >>> top2.name, top2.compute()
    ('top2_accuracy', 0.5)
    """

    def __init__(self, k: int = 5) -> None:
        if k < 1:
            raise UsageError(message(type(self).__name__, f"k = {k}", "at least 1"))
        self.k, self.name = k, f"top{k}_accuracy"
        self.reset()

    def reset(self) -> None:
        """Forget all samples."""
        self.right = self.samples = 0

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take in outputs f[N,K] and labels i64[N]."""
        scores, labels = _classified(outputs, targets, type(self).__name__)
        _check_labels(labels, scores.shape[1], type(self).__name__)
        own = scores[np.arange(len(labels)), labels][:, None]
        before = np.arange(scores.shape[1]) < labels[:, None]
        rank = ((scores > own) | ((scores == own) & before)).sum(axis=1)
        self.right += int(((rank < self.k) & ~np.isnan(own[:, 0])).sum())
        self.samples += len(labels)

    def compute(self) -> float:
        """The part from 0 to 1."""
        return self.right / max(self.samples, 1)


class TopKError(TopKAccuracy):
    """1 - TopKAccuracy: the figure of the ImageNet contests."""

    def __init__(self, k: int = 5) -> None:
        super().__init__(k)
        self.name = f"top{k}_error"

    def compute(self) -> float:
        """The part from 0 to 1."""
        return 1.0 - super().compute()


class ConfusionMatrix(Metric):
    """How often class r was taken for class c: ``compute()[r, c]``, i64[K,K].

    ``print`` shows it with precision, recall and F1 of each class.

    >>> import chainrule as cr
    >>> matrix = ConfusionMatrix(2)
    >>> matrix.update(cr.tensor([[2.0, 1.0], [0.0, 1.0], [5.0, 1.0]]), cr.tensor([0, 1, 1]))
    >>> matrix.compute().tolist()
    [[1, 0], [1, 1]]
    >>> print(matrix)
    class 0 1  prec. %  rec. %   F1 %
    0     1 0     50.0   100.0   66.7
    1     1 1    100.0    50.0   66.7
    """

    name = "confusion_matrix"

    def __init__(self, classes: int | Sequence[str]) -> None:
        self.labels = list(map(str, range(classes) if isinstance(classes, int) else classes))
        if not self.labels:
            raise UsageError(message("ConfusionMatrix", "no classes", "at least one"))
        self.reset()

    def reset(self) -> None:
        """Forget all samples."""
        self.counts = np.zeros((len(self.labels), len(self.labels)), np.int64)

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take in outputs f[N,K], or answers i64[N], and labels i64[N]."""
        answers, labels = np.asarray(outputs), np.asarray(targets)
        if answers.ndim == 2:
            scores, labels = _classified(outputs, targets, "ConfusionMatrix")
            answers = scores.argmax(axis=1)
        elif answers.shape != labels.shape or answers.dtype.kind not in "iu":
            got = f"outputs {_type(answers)} and targets {_type(labels)}"
            raise ShapeError(message("ConfusionMatrix", got, "f[N,K] or i64[N], and i64[N]"))
        for numbers in (labels, answers):
            _check_labels(numbers, len(self.labels), "ConfusionMatrix")
        np.add.at(self.counts, (labels, answers), 1)

    def compute(self) -> np.ndarray:
        """The counts, i64[K,K]: row = label, column = answer."""
        return self.counts.copy()

    def per_class(self) -> list[dict[str, Any]]:
        """Class, samples, precision, recall and F1; NaN for a class that never came up."""
        right = self.counts.diagonal()
        with np.errstate(invalid="ignore"):
            precision, recall = right / self.counts.sum(0), right / self.counts.sum(1)
            f1 = 2 * right / (self.counts.sum(0) + self.counts.sum(1))
        columns = zip(self.labels, self.counts.sum(1), precision, recall, f1, strict=True)
        return [
            {
                "class": c,
                "samples": int(n),
                "precision": float(p),
                "recall": float(r),
                "f1": float(f),
            }
            for c, n, p, r, f in columns
        ]

    def __str__(self) -> str:
        wide = max(len("class"), *map(len, self.labels))
        each = max(map(len, [*self.labels, str(self.counts.max())]))
        head = " ".join(f"{label:>{each}}" for label in self.labels)
        lines = [f"{'class':{wide}} {head}  prec. %  rec. %   F1 %"]
        for label, row, of_class in zip(self.labels, self.counts, self.per_class(), strict=True):
            cells = " ".join(f"{count:{each}}" for count in row)
            parts = [_percent(of_class[name]) for name in ("precision", "recall", "f1")]
            lines.append(f"{label:{wide}} {cells}  {parts[0]:>7}  {parts[1]:>6}  {parts[2]:>5}")
        return "\n".join(lines)


def _percent(part: float) -> str:
    return "-" if np.isnan(part) else f"{100 * part:.1f}"


def _check_labels(labels: np.ndarray, classes: int, where: str) -> None:
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        got = f"class {labels[wrong[0]]} at index {wrong[0]} of the batch"
        raise IndexRangeError(message(where, got, f"0 to {classes - 1}"))


# ------------------------------------------------------------ many metrics over many batches


class Figures:
    """The loss and the metrics of all batches since the start: means over samples, not batches."""

    def __init__(self, metrics: Iterable[Metric | Callable[..., float]]) -> None:
        metrics = list(metrics)
        for metric in metrics:
            if not callable(metric) and not isinstance(metric, Metric):
                needs = "a function (outputs, targets) -> number, or a Metric"
                remedy = "chainrule.train has accuracy and others"
                raise UsageError(message("Trainer", f"metric {metric!r}", needs, remedy=remedy))
        self.metrics = {_name(metric): metric for metric in metrics}
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self.samples, self.sums = 0, {}
        for metric in self.metrics.values():
            if isinstance(metric, Metric):
                metric.reset()

    def add(self, loss: float, outputs: Tensor, targets: Tensor) -> None:
        """Take in a batch."""
        n = len(targets)
        self.samples += n
        self.sums["loss"] = self.sums.get("loss", 0.0) + n * loss
        for name, metric in self.metrics.items():
            if isinstance(metric, Metric):
                metric.update(outputs, targets)
            else:
                self.sums[name] = self.sums.get(name, 0.0) + n * float(metric(outputs, targets))

    def value(self) -> dict[str, float]:
        """Name -> figure; metrics that compute more than a number are left out."""
        figures = {"loss": self.sums["loss"] / self.samples}
        for name, metric in self.metrics.items():
            if not isinstance(metric, Metric):
                figures[name] = self.sums[name] / self.samples
                continue
            found = metric.compute()
            if isinstance(found, int | float):
                figures[name] = float(found)
        return figures

    def state_dict(self) -> dict[str, Any]:
        """What was taken in."""
        collected = {n: m.state_dict() for n, m in self.metrics.items() if isinstance(m, Metric)}
        return {"samples": self.samples, "sums": dict(self.sums), "metrics": collected}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was called."""
        self.samples, self.sums = state["samples"], dict(state["sums"])
        for name, metric in self.metrics.items():
            if isinstance(metric, Metric) and name in state["metrics"]:
                metric.load_state_dict(state["metrics"][name])


def _name(metric: Any) -> str:
    if isinstance(metric, Metric):
        return metric.name
    return getattr(metric, "__name__", type(metric).__name__.lower())
