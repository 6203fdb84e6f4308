"""Large graphs at a glance: sizes that are the recorded ones."""

import json

import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn
from chainrule.inspect.explain.explanation import Explanation, board
from chainrule.inspect.explain.overview import LARGEST, MOST, Overview

F = nn.functional


@pytest.fixture
def step():
    cr.manual_seed(0)
    model = models.lenet5()
    x = cr.tensor(np.random.default_rng(0).uniform(size=(2, 1, 28, 28)).astype(np.float32))
    t = cr.tensor([3, 7])
    return model, x, t


def overview(model, x, t, **how):
    loss = F.cross_entropy(model(x), t)
    return loss, board(loss, 4, variables={"x": x, "t": t}, overview=True, **how)


def test_one_line_for_each_layer_and_parameter(step):
    _, shown = overview(*step)
    layers = [row["name"] for row in shown.rows if row["kind"] == "layer"]
    assert layers == [
        "conv1/Conv2d", "relu", "max_pool2d", "conv2/Conv2d", "relu", "max_pool2d",
        "fc1/Linear", "relu", "fc2/Linear", "relu", "fc3/Linear", "cross_entropy (L)",
    ]  # fmt: skip
    parameters = [row["name"] for row in shown.rows if row["kind"] == "parameter"]
    assert parameters == list(dict(step[0].named_parameters()))
    assert str(shown).count("\n") < 40


def test_sizes_are_those_of_the_step(step):
    model, x, t = step
    loss, shown = overview(model, x, t)
    rows = {row["name"]: row for row in shown.rows if row["kind"] == "parameter"}
    loss.backward()
    for name, parameter in model.named_parameters():
        signal, gradient = rows[name]["error_signal"], parameter.grad.numpy()
        assert signal["rms"] == pytest.approx(np.sqrt(np.mean(gradient**2)), rel=1e-5)
        largest = signal["largest"][0]
        assert abs(largest["value"]) == np.abs(gradient).max()
        assert gradient[tuple(largest["index"])] == largest["value"]
        assert rows[name]["type"].startswith("f32[")


def test_explaining_changes_nothing(step):
    model, x, t = step
    loss, _ = overview(model, x, t)
    assert all(p.grad is None for p in model.parameters())
    loss.backward()
    explained = [p.grad.numpy().tobytes() for p in model.parameters()]
    model.zero_grad()
    F.cross_entropy(model(x), t).backward()
    assert [p.grad.numpy().tobytes() for p in model.parameters()] == explained


def chain(length):
    w = cr.tensor(0.5, requires_grad=True)
    h = w
    for _ in range(length):
        h = h.tanh()
    return h


def test_above_60_operations_no_walls_of_numbers():
    assert isinstance(cr.explain(chain(LARGEST)), Explanation)
    shown = cr.explain(chain(LARGEST + 1))
    assert isinstance(shown, Overview)
    assert len([row for row in shown.rows if row["kind"] == "layer"]) == LARGEST + 1
    text = str(cr.explain(chain(500)))
    assert "401 more" in text or "more" in text
    assert text.count("\n") < MOST + 10


def test_forms(step):
    _, shown = overview(*step, notation="leibniz", ascii=True)
    text = str(shown)
    assert text.isascii()
    assert "rms dL/dv" in text
    assert json.loads(json.dumps(shown.to_json()))["node_count"] > 30
    table = [line for line in shown.to_markdown().splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {6}
    latex = shown.to_latex()
    assert latex.isascii()
    assert latex.count("{") == latex.count("}")
    assert {line.count("&") for line in latex.splitlines()[1:-1]} == {4}
    assert shown._repr_html_().startswith("<pre>")
    assert shown._repr_latex_().startswith("$$")
    assert shown._repr_markdown_() == shown.to_markdown()


def test_columns_stand_below_each_other(step):
    _, shown = overview(*step)
    lines = [line for line in str(shown).splitlines() if "f32[" in line]
    assert len({line.index("f32[") for line in lines}) == 1
