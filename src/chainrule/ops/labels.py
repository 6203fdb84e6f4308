"""Labels: whole numbers 0 … C - 1, checked before a program runs."""

from __future__ import annotations

import numpy as np

from chainrule.dtypes import bool_, int64
from chainrule.errors import DtypeError, IndexRangeError, message
from chainrule.ops.op import Op, Sample, Typed, register

__all__ = ["class_index"]


class ClassIndex(Op):
    """y = label as i64, 0 where it is ``ignore``      raises unless 0 ≤ label < ``classes``

    label: whole numbers [...] -> y: i64[...].  The check comes first in a program, so a bad label
    leaves parameters untouched.
    """

    name = "class_index"
    differentiable = False
    why_not = "its result is an index"
    any_strides = True

    def infer(self, label: Typed, *, classes: int, ignore: int | None):
        if label.dtype.is_floating_point or label.dtype is bool_:
            raise DtypeError(message(self.name, label.dtype.name, "whole numbers"))
        return label.shape, int64

    def reference(self, label, *, classes, ignore):
        whole = label.astype(np.int64, copy=False)
        if ignore is not None:
            whole = np.where(whole == ignore, 0, whole)
        return np.clip(whole, 0, max(classes - 1, 0))

    def check(self, label, *, classes, ignore):
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
            raise IndexRangeError(message("label", got, needs, why=why))

    def samples(self, rng):
        yield Sample((rng.integers(0, 5, (3, 2)),), {"classes": 5, "ignore": None})
        yield Sample((np.array([0, -100, 4]),), {"classes": 5, "ignore": -100})


class_index = register(ClassIndex())
