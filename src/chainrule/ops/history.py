"""Ops on histories: a new value for an old one, none at all, and where several readers meet."""

from __future__ import annotations

from chainrule.ops.op import Elementwise, Sample, register


class Assign(Elementwise):
    """y = value, with the history of another node: value̅ = 0, history̅ = ȳ

    What a write with gradients off leaves behind: new numbers, the old derivative.
    """

    name = "assign"
    arity = 2

    def scalar(self, s, value, history):
        return value

    def vjp(self, y, y_bar, value, history):
        return None, y_bar

    def samples(self, rng):
        yield Sample((rng.normal(size=(3, 4)), rng.normal(size=(3, 4))), differentiable=())


class Detach(Elementwise):
    """y = x, without a history"""

    name = "detach"
    differentiable = False
    why_not = "cutting the history is its purpose"

    def scalar(self, s, x):
        return x


class FanIn(Elementwise):
    """x̄ = x̄₁ + x̄₂ + …: the addends of an error signal, one per reader, in the order of arrival"""

    name = "fan_in"
    arity = 3
    linear = True

    def scalar(self, s, *addends):
        total = addends[0]
        for addend in addends[1:]:
            total = total + addend
        return total

    def vjp(self, y, y_bar, *addends):
        return tuple(y_bar for _ in addends)


assign = register(Assign())
detach = register(Detach())
fan_in = register(FanIn())
