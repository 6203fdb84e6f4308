"""What a compiled function reads beside its arguments: whatever changes there is seen."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from functools import partial
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.step.variables import MOST, MOST_BYTES, Variables

X = cr.ones(2)


class Config:
    k = 1.0


class Object:
    bias = 0.0

    def __init__(self, k):
        self.k, self._m, self.other = k, 1.0, 0.0

    @property
    def m(self):
        return self._m

    def scaled(self, x):
        return x * self.m

    def __call__(self, x):
        return x * self.k + self.bias


@dataclass(slots=True)
class Slots:
    k: float


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.sizes, self.about = [1.0], SimpleNamespace(k=1.0)

    def helped(self, x):
        return x * Config.k

    def forward(self, x):
        return self.helped(x) * self.sizes[0] * self.about.k


def setter(holder, name, value):
    return lambda: setattr(holder, name, value)


def in_a_dict():
    found = {"k": 1.0}
    return lambda x: x * found["k"], lambda: found.update(k=3.0)


def in_a_nested_dict():
    found = {"a": [{"k": 1.0}]}
    return lambda x: x * found["a"][0]["k"], lambda: found["a"][0].update(k=3.0)


def in_a_list_of_tensors():
    found = [cr.ones(2)]
    return lambda x: x * found[0], lambda: found.__setitem__(0, cr.ones(2) * 3)


def in_a_longer_list():
    found = deque([1.0])
    return lambda x: x * sum(found), lambda: found.append(2.0)


def in_a_tuple():
    found = ([1.0], 2)
    return lambda x: x * found[0][0], lambda: found[0].__setitem__(0, 3.0)


def in_an_object():
    found = SimpleNamespace(k=1.0)
    return lambda x: x * found.k, setter(found, "k", 3.0)


def in_an_object_with_slots():
    found = Slots(1.0)
    return lambda x: x * found.k, setter(found, "k", 3.0)


def of_a_class():
    found = Object(1.0)
    return lambda x: x + found.bias, setter(found, "bias", 3.0)


def in_a_class():
    Config.k = 1.0
    return lambda x: x * Config.k, setter(Config, "k", 3.0)


def in_a_module_of_python():
    found = ModuleType("settings")
    found.k = 1.0
    return lambda x: x * found.k, setter(found, "k", 3.0)


def behind_a_method_and_a_property():
    found = Object(1.0)
    return lambda x: found.scaled(x), setter(found, "_m", 3.0)


def an_object_that_is_called():
    found = Object(1.0)
    return lambda x: found(x), setter(found, "k", 3.0)


def an_object_that_is_compiled():
    found = Object(1.0)
    return found, setter(found, "k", 3.0)


def a_method_that_is_compiled():
    found = Object(1.0)
    return found.scaled, setter(found, "_m", 3.0)


def in_a_partial():
    found = Object(1.0)
    return partial(lambda settings, x: x * settings.k, found), setter(found, "k", 3.0)


def in_a_default():
    found = {"k": 1.0}
    return lambda x, d=found: x * d["k"], lambda: found.update(k=3.0)


def an_array():
    found = np.ones(2, np.float32)
    return lambda x: x * cr.tensor(found), lambda: found.fill(3.0)


def a_list_in_a_module():
    net = Net()
    return lambda x: net(x), lambda: net.sizes.__setitem__(0, 3.0)


def an_object_in_a_module():
    net = nn.Sequential(Net())
    return lambda x: net(x), setter(net[0].about, "k", 3.0)


def a_class_that_a_module_names():
    Config.k, net = 1.0, Net()
    return lambda x: net(x), setter(Config, "k", 3.0)


def behind_a_hook():
    found, net = {"k": 1.0}, nn.Identity()
    net.register_forward_hook(lambda module, args, y: y * found["k"])
    return lambda x: net(x), lambda: found.update(k=3.0)


CASES = [
    in_a_dict, in_a_nested_dict, in_a_list_of_tensors, in_a_longer_list, in_a_tuple, in_an_object,
    in_an_object_with_slots, of_a_class, in_a_class, in_a_module_of_python,
    behind_a_method_and_a_property, an_object_that_is_called, an_object_that_is_compiled,
    a_method_that_is_compiled, in_a_partial, in_a_default, an_array, a_list_in_a_module,
    an_object_in_a_module, a_class_that_a_module_names, behind_a_hook,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_what_variables_hold(case):
    function, change = case()
    compiled = cr.compile(function)
    first = compiled(X).tolist()
    assert first == compiled(X).tolist() == function(X).tolist()
    before = cr.stats().traced
    compiled(X)
    assert cr.stats().traced == before
    change()
    assert compiled(X).tolist() == function(X).tolist() != first
    before = cr.stats().traced
    compiled(X)
    assert cr.stats().traced == before


@pytest.mark.parametrize("make", [lambda: SimpleNamespace(k=1.0), lambda: Slots(1.0)])
def test_an_argument_that_is_an_object(make):
    found, f = make(), cr.compile(lambda x, settings: x * settings["s"].k)
    assert f(X, {"s": found}).tolist() == [1, 1]
    found.k = 3.0
    assert f(X, {"s": found}).tolist() == [3, 3]


def test_an_attribute_of_an_optimizer_of_somebody():
    class Scaled(optim.SGD):
        scale = 1.0

        def update(self, p, grad, state, group):
            return super().update(p, grad * self.scale, state, group)

    w = cr.zeros(1, requires_grad=True)
    optimizer = Scaled([w], lr=1.0)

    @cr.compile
    def step():
        optimizer.zero_grad()
        w.sum().backward()
        optimizer.step()

    step()
    step()
    optimizer.scale = 3.0
    step()
    assert w.item() == -5


def test_other_attributes_cost_no_trace():
    found = Object(1.0)
    f = cr.compile(lambda x: found(x))
    f(X)
    before = cr.stats().traced
    for k in range(3):
        found.other = k
        f(X)
    assert cr.stats().traced == before


def test_what_the_function_itself_changes_is_changed_by_each_call():
    calls, counter = [], SimpleNamespace(n=0)

    @cr.compile
    def f(x):
        calls.append(len(calls))
        counter.n += 1
        return x * counter.n

    assert [f(X).tolist()[0] for _ in range(4)] == [1, 2, 3, 4]
    assert calls == [0, 1, 2, 3] and counter.n == 4


@pytest.mark.parametrize(
    "draw",
    [random.random, np.random.rand, np.random.default_rng(1).random, random.Random(2).random],
)
def test_random_numbers_of_others_are_drawn_at_each_call(draw):
    f = cr.compile(lambda x: x * draw())
    assert len({f(X).tolist()[0] for _ in range(4)}) == 4


def test_the_name_of_what_changes_is_told():
    settings = {"k": 1.0}
    variables = Variables(lambda x: x * settings["k"])
    assert variables.are_same() and not variables.difference()
    settings["k"] = float("1.0")  # an equal one
    assert not variables.are_same() and not variables.difference()
    settings["k"] = 2.0
    assert variables.difference() == "settings, or what is in it"


def test_what_is_large_or_not_ours_is_not_looked_through():
    data, rows = list(range(MOST + 1)), [[0] * (MOST // 4) for _ in range(8)]
    images = [np.zeros(MOST_BYTES // 4, np.uint8) for _ in range(8)]
    variables = Variables(
        lambda x: (x * data[0], rows, images, np.pi, random.random, pytest.approx)
    )
    data[0] = rows[-1][0] = 5
    images[-1][0] = 5
    assert variables.are_same()
    rows[0][0] = 5
    assert not variables.are_same()


def test_things_that_hold_each_other():
    one, two = SimpleNamespace(k=1.0), [1.0]
    one.two, two[0] = two, one
    assert Variables(lambda x: x * one.two[0].k).are_same()
