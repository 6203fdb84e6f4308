"""Where NumPy and tensors meet: snapshots of values, and NumPy's functions called with tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import DtypeError, ReadOnlyError, message
from chainrule.tensor.operands import NUMBERS

__all__ = ["Snapshot", "called_by_numpy", "snapshot"]


class Snapshot(np.ndarray):
    """What ``.numpy()`` returns: a read-only look at a value. NumPy returns plain arrays of it."""

    def __setitem__(self, key: Any, value: Any) -> None:
        if not self.flags.writeable:
            raise ReadOnlyError(
                message(
                    "numpy()",
                    "a write to a read-only snapshot",
                    "an array of your own",
                    remedy="t.numpy().copy() makes one; t[...] = value writes to the tensor",
                )
            )
        super().__setitem__(key, value)

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if out is not None and any(type(o) is Snapshot and not o.flags.writeable for o in out):
            out[0].view(Snapshot)[...] = 0  # raises the one error
        plain = [x.view(np.ndarray) if isinstance(x, Snapshot) else x for x in inputs]
        if out is not None:
            kwargs["out"] = tuple(o.view(np.ndarray) if isinstance(o, Snapshot) else o for o in out)
        return getattr(ufunc, method)(*plain, **kwargs)

    def __reduce__(self):
        return np.array(self).__reduce__()


def snapshot(value: np.ndarray) -> Snapshot:
    """A read-only look at an array."""
    found = value.view(Snapshot)
    found.setflags(write=False)
    return found


# NumPy's name -> the method of a tensor on the left, and of one on the right.
OPERATIONS = {
    "add": ("__add__", "__radd__"),
    "subtract": ("__sub__", "__rsub__"),
    "multiply": ("__mul__", "__rmul__"),
    "divide": ("__truediv__", "__rtruediv__"),
    "floor_divide": ("__floordiv__", "__rfloordiv__"),
    "remainder": ("__mod__", "__rmod__"),
    "power": ("__pow__", "__rpow__"),
    "matmul": ("__matmul__", ""),
    "equal": ("__eq__", "__eq__"),
    "not_equal": ("__ne__", "__ne__"),
    "less": ("__lt__", "__gt__"),
    "less_equal": ("__le__", "__ge__"),
    "greater": ("__gt__", "__lt__"),
    "greater_equal": ("__ge__", "__le__"),
    "bitwise_and": ("__and__", "__rand__"),
    "bitwise_or": ("__or__", "__ror__"),
    "bitwise_xor": ("__xor__", "__rxor__"),
}
OUR_NAMES = {"absolute": "abs", "invert": "bitwise_not", "negative": "neg", "rint": "round"}


def called_by_numpy(
    tensor: Any, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    """``array + tensor`` and the like as operations on tensors; else one error with the remedy."""
    names = OPERATIONS.get(ufunc.__name__)
    if names is None or method != "__call__" or options:
        raise DtypeError(_not_numpys(ufunc.__name__, tensor))
    a, b = (
        x if hasattr(x, "_storage") or isinstance(x, NUMBERS) else tensor._like(x, ufunc.__name__)
        for x in inputs
    )
    if hasattr(a, "_storage"):
        return getattr(a, names[0])(b)
    return getattr(b, names[1])(a)


def _not_numpys(name: str, tensor: Any) -> str:
    ours = OUR_NAMES.get(name, name)
    remedy = f"x.{ours}() keeps the history, " if hasattr(tensor, ours) else ""
    remedy += f"np.{name}(x.detach().numpy()) leaves it"
    return message(f"np.{name}", "a Tensor", "an array", remedy=remedy)
