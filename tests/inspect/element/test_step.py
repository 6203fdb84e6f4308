"""Who has sent which addend, and what a record does not have."""

import numpy as np

import chainrule as cr
from chainrule import nn
from chainrule.inspect.element import Elements


def normal(*shape, seed=0):
    return cr.tensor(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def test_addends_come_in_the_order_of_arrival_each_with_its_reader():
    w = cr.tensor(2.0, requires_grad=True)
    with cr.record() as tape:
        (w * 3.0 + w.exp() + w * w).backward()
    elements = Elements(tape)
    signal = elements.at(
        elements.number(next(n for n in tape.graph if n.op.name == "parameter")), "bar"
    )
    names = [elements.step.order[addend.reader].op.name for addend in signal.addends]
    assert names == ["mul", "mul", "exp", "mul"]
    assert [a.numbers for a in signal.addends] == ["1·2", "1·2", "1·7.389", "1·3"]
    assert signal.formula == "v̄ = ȳ₁·b₁ + ȳ₂·a₂ + ȳ₃·y₃ + ȳ₄·3"


def test_two_losses_each_send_their_addends():
    w = cr.tensor(2.0, requires_grad=True)
    with cr.record() as tape:
        shared = w * 3.0
        (shared * shared).backward(retain_graph=True)
        shared.exp().backward()
    elements = Elements(tape)
    signal = elements.at(0, "bar")
    assert [bool(addend.why) for addend in signal.addends] == [True, False]
    assert "earlier backward" in signal.addends[0].why


def test_what_a_hook_returned_is_a_leaf():
    w = cr.tensor(2.0, requires_grad=True)
    with cr.record() as tape:
        y = w * 3.0
        y.name = "y"
        y.register_hook(lambda signal: signal * 10)
        (y * y).backward()
    signal = Elements(tape).at(tape["y"].node, "bar")
    assert (signal.leaf, signal.value) == ("what a hook has returned", 120)


def test_what_was_not_kept_says_so():
    net = nn.Linear(2, 2)
    with cr.record(["weight"]) as tape:
        net(normal(3, 2)).sum().backward()
    elements = Elements(tape)
    product = next(n for n in elements.step.order if n.op.name == "matmul")
    element = elements.at(product, "value", (0, 0))
    assert (element.value, element.note) == (None, "This number itself was not kept")
    assert element.numbers.startswith("?·")
    assert element.page()["what"]["value"] is None
