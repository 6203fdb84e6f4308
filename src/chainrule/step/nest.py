"""Nested tuples, lists and dicts of tensors: taken apart and put together again.

>>> tensors, form = take_apart({"x": ("a", 1)}, str)
>>> tensors, put_together(form, ["b"])
(['a'], {'x': ('b', 1)})
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

__all__ = ["Form", "builder", "objects", "put_together", "take_apart"]

Form = tuple[Any, ...]  # hashable: equal forms have equal values in them


class Same:
    """A value that is compared by identity, since it has no other way to be."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


class Exactly:
    """A float, compared by its digits: nan is nan, -0.0 is not 0.0."""

    __slots__ = ("value",)

    def __init__(self, value: float) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Exactly) and repr(self.value) == repr(other.value)

    def __hash__(self) -> int:
        return hash(repr(self.value))


class Array:
    """An array of NumPy, compared by what it held when it was seen."""

    __slots__ = ("_content", "value")

    def __init__(self, value: np.ndarray) -> None:
        self.value, self._content = value, (value.shape, value.dtype.str, value.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)


SIMPLE = (bool, int, str, bytes, type(None))


def take_apart(value: Any, kind: type) -> tuple[list[Any], Form]:
    """All that is of a kind in a nested value, and the form that it stood in."""
    found: list[Any] = []

    def form_of(part: Any) -> Form:
        if isinstance(part, kind):
            found.append(part)
            return ("tensor", len(found) - 1)
        if isinstance(part, tuple | list):
            return ("row", type(part), tuple(map(form_of, part)))
        if isinstance(part, dict):
            return ("dict", type(part), tuple(part), tuple(map(form_of, part.values())))
        return ("value", type(part), _comparable(part))

    return found, form_of(value)


def _comparable(value: Any) -> Hashable:
    if isinstance(value, SIMPLE):
        return value
    if isinstance(value, float):
        return Exactly(value)
    return Array(value) if isinstance(value, np.ndarray) else Same(value)


def objects(form: Form) -> list[Any]:
    """The values of a form that are compared by identity alone."""
    if form[0] in ("row", "dict"):
        return [value for part in form[-1] for value in objects(part)]
    return [form[2].value] if isinstance(form[-1], Same) else []


def put_together(form: Form, tensors: Sequence[Any]) -> Any:
    """The nested value of a form, with other tensors."""
    return builder(form)(tensors)


def builder(form: Form) -> Callable[[Sequence[Any]], Any]:
    """``put_together`` for one form, again and again."""
    what = form[0]
    if what == "tensor":
        place = form[1]
        return lambda tensors: tensors[place]
    if what == "value":
        held = form[2]
        plain = held.value if isinstance(held, Same | Exactly | Array) else held
        return lambda tensors: plain
    parts = [builder(part) for part in form[-1]]
    kind = form[1]
    if what == "dict":
        keys = form[2]
        return lambda tensors: kind(zip(keys, [part(tensors) for part in parts], strict=True))
    if hasattr(kind, "_fields"):  # a named tuple
        return lambda tensors: kind(*[part(tensors) for part in parts])
    return lambda tensors: kind([part(tensors) for part in parts])
