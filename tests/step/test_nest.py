"""Nested values, taken apart and put together."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

import numpy as np

from chainrule.step.nest import put_together, take_apart

Pair = namedtuple("Pair", "left right")


def test_there_and_back():
    value = {"a": ["x", (1, None, 2.5, "y")], "b": Pair("z", ...), "c": OrderedDict(k="w")}
    value["n"] = 3

    class Text(str):
        pass

    marked = {"a": [Text("x")], "p": Pair(Text("z"), 1.5), "o": OrderedDict(k=Text("w"))}
    found, form = take_apart(marked, Text)
    assert found == ["x", "z", "w"]
    assert put_together(form, [1, 2, 3]) == {"a": [1], "p": Pair(2, 1.5), "o": OrderedDict(k=3)}
    assert type(put_together(form, [1, 2, 3])["o"]) is OrderedDict
    assert put_together(take_apart(value, Text)[1], []) == value


def test_forms_are_equal_where_their_values_are():
    def form(value):
        return take_apart(value, bytes)[1]

    assert form((1, "a", 0.5)) == form((1, "a", 0.5)) and hash(form([1])) == hash(form([1]))
    assert form(float("nan")) == form(float("nan")) and form(0.0) != form(-0.0)
    assert form(1) != form(True) and form(1) != form(1.0) and form((1,)) != form([1])
    assert form(np.arange(3)) == form(np.arange(3)) != form(np.arange(1, 4))
    thing = object()
    assert form(thing) == form(thing) != form(object())
