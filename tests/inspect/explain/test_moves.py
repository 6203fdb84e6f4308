"""The moves of a board: every number against the board, against NumPy, and planted bugs."""

import math
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import GradientError, ShapeError, UsageError
from chainrule.inspect.explain import PRESETS, explain_preset
from chainrule.inspect.explain.lines import LINES
from chainrule.inspect.explain.moves import moves
from chainrule.inspect.expression import parse, parse_values


def found(name):
    line = LINES[name]
    loss = parse(line.formula).loss(parse_values(line.values), line.learned.split(","))
    return moves(loss)


def array(data):
    values = [float.fromhex(text) for text in data["hex"]]
    assert [float(x) for x in data["values"]] == values
    return np.array(values).reshape(data["shape"])


def signals(script):
    names = [rule["plain"] for rule in script["rules"]["bar"]]
    return {n: array(row["value"]) for n, row in zip(names, script["backward"], strict=True)}


@pytest.mark.parametrize("name", PRESETS)
def test_lines_make_the_graphs_of_the_examples(name):
    """Bit for bit the values and error signals of ``explain_preset``, whose numbers are golden."""
    script, board = found(name), explain_preset(name)
    values = {node["name"]: array(node["value"]) for node in script["nodes"]}
    assert set(values) == {v.name for v in board.variables}
    for v in board.variables:
        assert np.array_equal(values[v.name], v.value), v.name
    bars = signals(script)
    assert set(bars) == {v.signal for v in board.backward}
    for v in board.backward:
        assert np.array_equal(bars[v.signal], v.bar), v.name


def test_regularised_logistic_least_squares_has_the_golden_numbers():
    script = found("logistic-l2")
    bars = signals(script)
    assert bars["w̄"] == pytest.approx(-0.0091, abs=5e-7)
    assert bars["b̄"] == pytest.approx(-0.0594, abs=5e-7)
    (row,) = [row for row in script["backward"] if len(row["addends"]) == 2]
    partials = [array(addend["partial"]).item() for addend in row["addends"]]
    assert partials[0] == pytest.approx(0.08) and partials[1] == bars["w̄"]


@pytest.mark.parametrize("name", PRESETS)
def test_addends_sum_up_and_the_check_agrees(name):
    script = found(name)
    for row in script["backward"]:
        if row["addends"]:
            total = sum(array(addend["value"]) for addend in row["addends"])
            assert np.allclose(total, array(row["value"]), rtol=1e-14)
            assert np.array_equal(array(row["addends"][-1]["partial"]), array(row["value"]))
    learned = [k for k, node in enumerate(script["nodes"]) if node["kind"] == "learned"]
    assert sorted(row["of"] for row in script["check"]["rows"]) == learned
    assert all(row["agrees"] for row in script["check"]["rows"])


def test_an_update_is_gradient_descent_and_the_loss_after_it_is_computed():
    script = found("logistic")
    bars = {row["of"]: array(row["value"]) for row in script["backward"]}
    new = {
        script["nodes"][row["of"]]["name"]: array(row["value"]) for row in script["update"]["rows"]
    }
    for k, node in enumerate(script["nodes"]):
        if node["kind"] == "learned":
            assert new[node["name"]] == array(node["value"]) - 0.1 * bars[k]
    y = 1 / (1 + math.exp(-(new["w"] * 1.5 + new["b"])))
    assert array(script["update"]["after"]) == pytest.approx(0.5 * (y - 1) ** 2, rel=1e-14)
    assert script["update"]["lower"]


def test_reuse_is_counted():
    reuse = found("logistic-l2")["reuse"]
    assert (reuse["with"], reuse["without"]) == (7, "10")
    assert [leaf["multiplications"] for leaf in reuse["leaves"]] == ["6", "4"]  # w: 2 + 4
    w = cr.tensor(1.0, requires_grad=True)
    x = w
    for _ in range(20):
        x = x + x * 0.5
    doubled = moves(x)["reuse"]
    assert doubled["leaves"][0]["paths"] == str(2**20)  # two ways at each of them


def test_a_planted_bug_keeps_the_last_addend_alone():
    script = found("multivariate")
    right = signals(script)
    names = [script["nodes"][bug["of"]]["name"] for bug in script["planted"]]
    assert names == ["y", "t"]
    for bug in script["planted"]:
        assert [script["nodes"][k]["name"] for k in bug["wrong"]] == ["t"]
        (row,) = [row for row in bug["backward"] if row["of"] == bug["of"]]
        (good,) = [row for row in script["backward"] if row["of"] == bug["of"]]
        assert len(row["addends"]) == 1
        assert array(row["value"]) == array(good["addends"][-1]["value"])
    # ȳ lost the 1 of f = y + …, so that t̄ lost it times 2t
    bug = script["planted"][0]
    kept = signals({"rules": bug["rules"], "backward": bug["backward"]})
    assert kept["t̄"] == pytest.approx(right["t̄"] - 2 * 1, rel=1e-12)
    formula = next(r for r in bug["rules"]["bar"] if r["plain"] == "ȳ")["rule"]["copy"]
    assert "\\bar" in formula  # written with the error signals of this very pass


def test_near_misses_are_named():
    script = found("logistic-l2")
    guess = {script["nodes"][row["of"]]["name"]: row["guess"] for row in script["backward"]}
    z = guess["z"]
    y, y_bar = 0.710949502625004, -0.289050497374996
    factors = [miss["value"] for miss in z["misses"] if miss["kind"] == "factor"]
    for forgotten in (y * (1 - y), y_bar * y, y_bar * (1 - y)):
        assert any(abs(abs(x) - abs(forgotten)) < 1e-12 for x in factors)
    assert -z["value"] in [miss["value"] for miss in z["misses"] if miss["kind"] == "sign"]
    addends = [miss["value"] for miss in guess["w"]["misses"] if miss["kind"] == "addend"]
    assert any(abs(x - 0.08) < 1e-12 for x in addends)
    for each in guess.values():
        if each:
            assert all(
                abs(m["value"] - each["value"]) > 0.02 * abs(each["value"]) for m in each["misses"]
            )


def test_marks_name_whose_a_number_is():
    script = found("logistic-l2")
    names = [node["name"] for node in script["nodes"]]
    for node in script["nodes"]:
        if node["formula"]:
            marked = re.findall(r"\\of\{(\d+)v\}", node["formula"]["tex"])
            assert {int(k) for k in marked} == set(node["inputs"])
            assert "\\of" not in node["formula"]["copy"]
            numbers = re.findall(r"\\of\{(\d+)v\}\{([^}]*)\}", node["numbers"]["tex"])
            for k, text in numbers:
                value = array(script["nodes"][int(k)]["value"]).item()
                assert float(text) == pytest.approx(value, rel=1e-3), names[int(k)]


def test_nothing_is_changed_and_tapes_hear_nothing():
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    with cr.record() as tape:
        loss = ((w * 3 - 1) ** 2).sum()
        before = tape.names()
        moves(loss)
        assert tape.names() == before
    assert w.grad is None and w.tolist() == [1.0, 2.0]
    loss.backward()
    assert w.grad is not None


def test_a_kink_is_no_disagreement():
    x = cr.tensor([0.0, 1.0], dtype=cr.float64, requires_grad=True)
    (row,) = moves(x.relu().sum())["check"]["rows"]
    assert (row["agrees"], row["kinks"]) == (True, 1)


def test_what_cannot_be_stepped_through_is_refused():
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ShapeError, match=r"\[stepper\] got mul of type f32\[2\], needs a scalar"):
        moves(w * 2)
    x = w.sum()
    for _ in range(200):
        x = x * 1.01
    with pytest.raises(UsageError, match="needs at most 200"):
        moves(x)
    loss = (w * w).sum()
    loss.backward()
    with pytest.raises(GradientError):
        moves(loss)
