"""Softmax and cross-entropy as one step: each printed formula is computed again."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.inspect.explain.composites import LOSSES
from chainrule.inspect.explain.explanation import board

F = nn.functional


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def onehot(t, classes):
    return (np.arange(classes) == np.asarray(t)[..., None]).astype(float)


def rows(loss, **variables):
    shown = board(loss, 17, variables=variables)
    return shown, {row["of"]: row for row in shown.rows if row["phase"] == "backward"}


def variable(rng, *shape):
    return cr.tensor(rng.normal(size=shape), requires_grad=True)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("form", ["function", "layer", "sum", "one sample"])
def test_cross_entropy(form, seed):
    rng = np.random.default_rng(seed)
    n = 1 if form == "one sample" else 3
    x = variable(rng, n, 4)
    labels = rng.integers(0, 4, n)
    t = cr.tensor(labels)
    loss = {
        "function": lambda: F.cross_entropy(x, t),
        "layer": lambda: nn.CrossEntropyLoss()(x, t),
        "sum": lambda: F.cross_entropy(x, t, reduction="sum"),
        "one sample": lambda: F.cross_entropy(x, t),
    }[form]() * 1.5
    shown, bars = rows(loss, x=x, t=t)
    divisor = "" if form in ("sum", "one sample") else "/3"
    assert bars["x"]["formula"].endswith(f"·(softmax(x) − onehot(t)){divisor}")
    expected = 1.5 * (softmax(x.numpy()) - onehot(labels, 4)) / (3 if divisor else 1)
    np.testing.assert_allclose(bars["x"]["value"], expected, rtol=1e-9, atol=1e-12)
    assert "gather" not in str(shown) and "exp(" not in str(shown)
    loss.backward()
    np.testing.assert_allclose(bars["x"]["value"], x.grad.numpy(), rtol=1e-13)


def test_the_logits_may_be_read_elsewhere_too():
    rng = np.random.default_rng(0)
    x, t = variable(rng, 2, 3), cr.tensor([0, 2])
    loss = F.cross_entropy(x, t) + (x * x).sum()
    _, bars = rows(loss, x=x, t=t)
    assert len(bars["x"]["addends"]) == 3
    total = sum(np.array(addend["value"]) for addend in bars["x"]["addends"])
    np.testing.assert_allclose(total, bars["x"]["value"], rtol=1e-13)
    whole = next(a for a in bars["x"]["addends"] if "softmax" in a["formula"])
    np.testing.assert_allclose(
        whole["value"], (softmax(x.numpy()) - onehot([0, 2], 3)) / 2, rtol=1e-12
    )


@pytest.mark.parametrize(
    "settings",
    [{"label_smoothing": 0.1}, {"weight": cr.tensor([1.0, 2.0, 3.0], dtype=cr.float64)}],
    ids=["smoothing", "weights"],
)
def test_where_the_formula_does_not_hold_the_steps_are_shown(settings):
    x = variable(np.random.default_rng(1), 2, 3)
    shown, _ = rows(F.cross_entropy(x, cr.tensor([0, 2]), **settings))
    assert "onehot" not in str(shown)
    assert "gather" in str(shown)


def test_an_ignored_label_leaves_the_formula():
    x = variable(np.random.default_rng(1), 2, 3)
    shown, _ = rows(F.cross_entropy(x, cr.tensor([0, -100])))
    assert "onehot" not in str(shown)


@pytest.mark.parametrize("seed", range(3))
def test_softmax_and_its_logarithm(seed):
    rng = np.random.default_rng(seed)
    x, w = variable(rng, 2, 4), cr.tensor(rng.normal(size=(2, 4)))
    y = x.softmax(1)
    loss = (y * w).sum()
    _, bars = rows(loss, x=x, y=y)
    assert bars["x"]["formula"] == "y ∘ (ȳ − Σ₁(ȳ ∘ y))"
    bar, value = np.array(bars["y"]["value"]), softmax(x.numpy())
    expected = value * (bar - (bar * value).sum(1, keepdims=True))
    np.testing.assert_allclose(bars["x"]["value"], expected, rtol=1e-10, atol=1e-15)
    z = x.log_softmax(1)
    _, bars = rows((z * w).sum(), x=x, z=z)
    assert bars["x"]["formula"] == "z̄ − exp(z) ∘ Σ₁ z̄"
    bar = np.array(bars["z"]["value"])
    np.testing.assert_allclose(
        bars["x"]["value"], bar - value * bar.sum(1, keepdims=True), rtol=1e-10, atol=1e-15
    )


def test_the_row_form_multiplies_the_jacobian_of_softmax():
    x = cr.tensor([1.0, 2, 0.5], dtype=cr.float64, requires_grad=True)
    y = x.softmax(0)
    text = str(cr.explain(-y[1].log(), notation="jacobian"))
    y = softmax(x.numpy())
    first = (np.diag(y) - np.outer(y, y))[0]
    assert "  ".join(f"{v:.4g}".replace("-", "−") for v in first) in " ".join(
        text.replace("⎡", " ").replace("⎤", " ").split()
    ).replace(" ", "  ")


def test_a_logit_of_yes_or_no():
    z, t = variable(np.random.default_rng(0), 3), cr.tensor([1.0, 0.0, 1.0], dtype=cr.float64)
    _, bars = rows(F.binary_cross_entropy_with_logits(z, t), z=z, t=t)
    assert bars["z"]["formula"].endswith("(σ(z) − t)/3")
    expected = (1 / (1 + np.exp(-z.numpy())) - t.numpy()) / 3
    np.testing.assert_allclose(bars["z"]["value"], expected, rtol=1e-12)


def test_a_false_formula_is_not_shown(monkeypatch):
    """The printer checks what it prints: a table that lies falls back to the recorded steps."""
    right = LOSSES["cross_entropy"]

    def lying(recorded, end, x, target, inner):
        value = recorded.value(target)
        recorded.values[target] = (value + 1) % 3
        yield from right(recorded, end, x, target, inner)
        recorded.values[target] = value

    monkeypatch.setitem(LOSSES, "cross_entropy", lying)
    x = variable(np.random.default_rng(1), 2, 3)
    shown, _ = rows(F.cross_entropy(x, cr.tensor([0, 2])))
    assert "onehot" not in str(shown)


def test_two_calls_of_one_loss_are_two_steps():
    rng = np.random.default_rng(0)
    a, b, t = variable(rng, 2, 3), variable(rng, 2, 3), cr.tensor([0, 2])
    loss = F.cross_entropy(a, t) + 0.3 * F.cross_entropy(b, t)
    _, bars = rows(loss, a=a, b=b, t=t)
    for name, tensor in (("a", a), ("b", b)):
        assert "softmax" in bars[name]["formula"]
        scale = 1 if name == "a" else 0.3
        np.testing.assert_allclose(
            bars[name]["value"],
            scale * (softmax(tensor.numpy()) - onehot([0, 2], 3)) / 2,
            rtol=1e-12,
        )
