"""Labels and probabilities: values of the wrong range are refused before a program writes."""

from __future__ import annotations

import numpy as np

from chainrule.dtypes import bool_, int64
from chainrule.errors import DtypeError, IndexRangeError, UsageError, message
from chainrule.ops.op import Elementwise, Op, Sample, Typed, register

__all__ = ["class_index", "probability", "sign_label"]


class ClassIndex(Op):
    """y = label as i64, 0 where it is ``ignore``      raises unless 0 ≤ label < ``classes``

    label: whole numbers [...] -> y: i64[...].  The check comes first in a program, so a bad label
    leaves parameters untouched.  ``role`` says what a number is: a "label", a "row" of a table.
    """

    name = "class_index"
    differentiable = False
    why_not = "its result is an index"
    any_strides = True

    def infer(self, label: Typed, *, classes: int, ignore: int | None, role: str = "label"):
        if label.dtype.is_floating_point or label.dtype is bool_:
            raise DtypeError(message(self.name, label.dtype.name, "whole numbers"))
        return label.shape, int64

    def reference(self, label, *, classes, ignore, role="label"):
        whole = label.astype(np.int64, copy=False)
        if ignore is not None:
            whole = np.where(whole == ignore, 0, whole)
        return np.clip(whole, 0, max(classes - 1, 0))

    def check(self, label, *, classes, ignore, role="label"):
        if not label.size or (label.min() >= 0 and label.max() < classes):
            return
        wrong = (label < 0) | (label >= classes)
        if ignore is not None:
            wrong &= label != ignore
        if wrong.any():
            position = np.argwhere(wrong)[0].tolist()
            got = f"{label[tuple(position)]} at index {position}"
            needs = f"0 to {classes - 1}" if classes else "none"
            why = f"{classes} classes: labels run from 0 to {classes - 1}"
            why = why if role == "label" else f"There are {classes} {role}s"
            raise IndexRangeError(message(role, got, needs, why=why))

    def samples(self, rng):
        yield Sample((rng.integers(0, 5, (3, 2)),), {"classes": 5, "ignore": None})
        yield Sample((np.array([0, -100, 4]),), {"classes": 5, "ignore": -100})


class SignLabel(Elementwise):
    """y = label      raises unless each is -1 or 1      label: [...] -> y: [...]"""

    name = "sign_label"
    differentiable = False
    why_not = "a label does not move"

    def scalar(self, s, label):
        return label

    def check(self, label):
        _refuse(np.abs(label) != 1, label, "label", "-1 or 1", "2 * t - 1 makes them of 0 and 1")

    def samples(self, rng):
        yield Sample((rng.choice([-1.0, 1.0], (3, 4)),))


class Probability(Elementwise):
    """y = p      p̄ = ȳ      raises unless 0 ≤ p ≤ 1; NaN passes, to be found where it arose

    ``role`` is "input" or "target": what the message advises.
    """

    name = "probability"
    linear = True
    domain = (0.01, 0.99)

    def scalar(self, s, p, *, role):
        return p

    def check(self, p, *, role):
        remedy = "Is it a logit? Then binary_cross_entropy_with_logits, or sigmoid first"
        if role == "target":
            remedy = "Are the labels -1 and 1? Then (t + 1) / 2, or soft_margin_loss"
        _refuse((p < 0) | (p > 1), p, role, "0 to 1", remedy)

    def vjp(self, y, y_bar, p, *, role):
        return (y_bar,)

    def samples(self, rng):
        for sample in super().samples(rng):
            yield Sample(sample.inputs, {"role": "input"})


def _refuse(wrong: np.ndarray, x: np.ndarray, name: str, needs: str, remedy: str) -> None:
    if wrong.any():
        position = np.argwhere(wrong)[0].tolist()
        got = f"{x[tuple(position)]:.6g} at index {position}"
        raise UsageError(message(name, got, needs, remedy=remedy))


class_index = register(ClassIndex())
sign_label = register(SignLabel())
probability = register(Probability())
