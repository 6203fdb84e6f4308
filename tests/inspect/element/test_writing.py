"""Formulas in the letters of the ops' own notation, read off what runs."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule.inspect.element import Elements


def table():
    rng = np.random.default_rng(0)
    return cr.tensor(rng.normal(size=(3, 4)).astype(np.float32), requires_grad=True)


def image():
    return table().reshape(1, 1, 3, 4)


CASES = {
    "log_softmax": (lambda x: x.log_softmax(1), "y = xᵢ − max x − ln(Σ exp(xⱼ − max x))",
                    "x̄ = ȳᵢ − exp(y)·(Σ ȳⱼ)"),
    "logsumexp": (lambda x: x.logsumexp(1), "y = ln(Σ exp(x − max x)) + max x", "x̄ = ȳ·exp(x − y)"),
    "sum": (lambda x: x.sum(1), "y = Σ x", "x̄ = ȳ"),
    "matmul": (lambda x: x @ table().T, "y = Σ a·b", "ā = Σ ȳ·b"),
    "relu": (lambda x: x.relu(), "y = relu(x)", "x̄ = ȳ·[y > 0]"),
    "sigmoid": (lambda x: x.sigmoid(), "y = σ(x)", "x̄ = ȳ·y·(1 − y)"),
    "div": (lambda x: x / table().detach(), "y = a/b", "ā = ȳ/b"),
    "conv": (lambda x: F.conv2d(x.reshape(1, 1, 3, 4), image().detach()[:, :, :2, :2]),
             "y = Σ x·w", None),
    "max_pool": (lambda x: F.max_pool2d(x.reshape(1, 1, 3, 4), 2, 1), "y = max(x)", None),
    "avg_pool": (lambda x: F.avg_pool2d(x.reshape(1, 1, 3, 4), 2), "y = Σ x/4", None),
    "gather": (lambda x: x.gather(1, cr.tensor([[1], [0], [3]])), "y = x", None),
    "argmax": (lambda x: x.argmax(1), "y = argmax(x)", None),
    "cumsum": (lambda x: x.cumsum(1), None, None),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_formulas(name):
    f, forward, backward = CASES[name]
    x = table()
    x.name = "x"
    with cr.record() as tape:
        y = f(x)
        y.name = "y"
        if y.requires_grad:
            (y * y).sum().backward()
    elements = Elements(tape)
    node = tape["y"].node
    assert node.op.name == name
    if forward is not None:
        assert elements.at(node, "value", (0,) * len(node.shape)).formula == forward
    if backward is not None:
        assert elements.at(tape["x"].node, "bar", (0, 0)).formula == backward


def test_mean_and_variance_have_their_letters():
    x = table()
    with cr.record() as tape:
        F.layer_norm(x, (4,)).square().sum().backward()
    elements = Elements(tape)
    moments = next(node for node in elements.step.order if node.op.name == "moments")
    assert elements.at(moments, "value", (0, 1)).formula == "y = Σ x/4"
    variance = elements.at(moments, "value", (1, 1))
    assert variance.formula == "y = Σ (x − μ)²/4"
    assert (elements.number(moments), "value", (0, 1), None) in variance.links
    signal = elements.at(0, "bar", (1, 2))
    (sent,) = [a for a in signal.addends if elements.step.order[a.reader] is moments]
    assert "μ̄" in sent.formula
    assert "σ̄" in sent.formula
