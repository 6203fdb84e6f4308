"""A vjp is asked once for each kind of node; what is repeated is what it would have said."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import vjps
from chainrule.ops import elementwise
from chainrule.ops.op import REGISTRY, Sample
from chainrule.recording import scope


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(vjps, "_formulas", type(vjps._formulas)())


def graph_of(node):
    """The op, metadata and inputs of all nodes that lead to one, as text."""
    text = str(cr.graph(cr.Tensor._of(node)))
    return [line.split("  ")[1:4] for line in text.splitlines()]


def differentiable():
    rng = np.random.default_rng(0)
    for op in REGISTRY.values():
        if op.differentiable and op.name not in ("detach", "assign"):
            for k, sample in enumerate(op.samples(rng)):
                yield pytest.param(op, sample, id=f"{op.name}-{k}")


@pytest.mark.parametrize(("op", "sample"), [*differentiable()])
def test_what_is_repeated_is_what_the_op_says(op, sample: Sample):
    inputs = [cr.tensor(x) for x in sample.inputs]
    y = op(*inputs, **sample.meta)
    signal = cr.ones(y.shape, dtype=y.dtype)
    floating = range(len(inputs)) if sample.differentiable is None else sample.differentiable
    passing = [k for k in floating if inputs[k].is_floating_point()]
    values = [y._node, signal._node, *y._node.inputs]
    asked = vjps._ask(y._node, values)
    for _ in range(2):
        found = vjps.addends(y._node, signal._node, passing)
        assert [bar is None for bar in found] == [asked[k] is None for k in passing]
        for bar, index in zip(found, passing, strict=True):
            if bar is not None:
                assert graph_of(bar) == graph_of(asked[index])


def test_an_op_is_asked_once(monkeypatch):
    asked = []
    mul, vjp = type(elementwise.mul), type(elementwise.mul).vjp

    def counted(self, y, y_bar, a, b):
        asked.append(y)
        return vjp(self, y, y_bar, a, b)

    monkeypatch.setattr(mul, "vjp", counted)
    a, b = cr.tensor([2.0, 3.0], requires_grad=True), cr.tensor([5.0, 7.0], requires_grad=True)
    for _ in range(3):
        a.grad = b.grad = None
        (a * b).sum().backward()
        assert a.grad.tolist() == [5.0, 7.0] and b.grad.tolist() == [2.0, 3.0]
    assert len(asked) == 1


def test_one_input_twice_is_another_wiring():
    x = cr.tensor([2.0, 3.0], requires_grad=True)
    y = cr.tensor([5.0, 7.0], requires_grad=True)
    (x * x).sum().backward()
    assert x.grad.tolist() == [4.0, 6.0]
    x.grad = None
    (x * y).sum().backward()
    assert x.grad.tolist() == [5.0, 7.0] and y.grad.tolist() == [2.0, 3.0]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_second_derivatives_of_what_is_repeated(exponent, times, twice):
    for _ in range(times):
        x = cr.tensor(1.5, requires_grad=True)
        (first,) = cr.autograd.grad((x**exponent) * x, x, create_graph=True)
        assert first.item() == pytest.approx((exponent + 1) * 1.5**exponent, rel=1e-6)
        if twice:
            (second,) = cr.autograd.grad(first, x)
            wanted = (exponent + 1) * exponent * 1.5 ** (exponent - 1)
            assert second.item() == pytest.approx(wanted, rel=1e-6)


def test_a_vjp_that_looks_at_values_is_asked_each_time(monkeypatch):
    def vjp(self, y, y_bar, x):
        return (y_bar if x.sum().item() > 0 else -y_bar,)

    monkeypatch.setattr(type(elementwise.neg), "vjp", vjp)
    for number, wanted in ((1.0, 1.0), (-1.0, -1.0), (2.0, 1.0)):
        x = cr.tensor([number], requires_grad=True)
        (-x).sum().backward()
        assert x.grad.tolist() == [wanted]


def test_repeated_nodes_stand_where_they_belong():
    x = cr.tensor([0.5], requires_grad=True)
    for name in ("first", "second"):
        with cr.record() as tape:
            with scope(name):
                y = x.tanh()
            y.sum().backward()
        (bar,) = [bar for node, bar in tape._step.bars.items() if node.op.name == "parameter"]
        assert bar._node.scope == name
        assert bar._node.where.startswith("test_vjps.py")


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(vjps, "MOST_FORMULAS", 3)
    x = cr.ones(2, requires_grad=True)
    for size in range(1, 8):
        x.reshape(1, 2).expand(size, 2).sum().backward()
    assert len(vjps._formulas) == 3


def test_nothing_of_a_loop_stays():
    x = cr.ones(1000, requires_grad=True)
    (x * 2).tanh().sum().backward()
    formulas = list(vjps._formulas.values())
    assert formulas and all(formulas)
    assert all(node.value.size == 1 for formula in formulas for node in formula.constants)
