"""Leaves: the nodes without inputs, through which numbers enter a graph."""

from __future__ import annotations

from chainrule.ops.op import Op, register

__all__ = ["data", "number", "parameter"]


class Leaf(Op):
    """Base class: a node that is made with its value."""

    differentiable = False
    why_not = "it has no inputs"

    def samples(self, rng):
        yield from ()


class Data(Leaf):
    """An array that entered from outside: data, labels, initial values."""

    name = "data"


class Number(Leaf):
    """A Python number that entered arithmetic: a run-time scalar, not structure."""

    name = "number"


class Parameter(Leaf):
    """A tensor that requires grad, as it is read: here error signals end, in its ``.grad``."""

    name = "parameter"


data = register(Data())
number = register(Number())
parameter = register(Parameter())
