"""explain(): the printed board is parsed and every number of it computed again, independently."""

import json
import math
import re
import unicodedata

import numpy as np
import pytest

import chainrule as cr

FUNCTIONS = {
    "sigma": lambda x: 1 / (1 + math.exp(-x)),
    "slope": lambda x: 1 / (1 + math.exp(-x)) * (1 - 1 / (1 + math.exp(-x))),
    "ln": math.log,
    "root": math.sqrt,
    "relu": lambda x: max(x, 0.0),
    **{name: getattr(math, name) for name in ("exp", "tanh", "sin", "cos")},
}
RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"


def python(formula):
    """The board's notation as a Python expression."""
    text = unicodedata.normalize("NFD", formula)
    text = re.sub(r"(\w)\u0304(\w*)", r"bar_\1\2", text)
    text = re.sub(r"\[([^\[\]]*)\]", r"float(\1)", text)
    text = re.sub(f"[{RAISED}]+", lambda m: f"**{''.join(str_of(c) for c in m[0])}", text)
    text = text.translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789"))
    for sign, word in {"−": "-", "·": "*", "^": "**", "σ'": "slope", "σ": "sigma", "√": "root",
                       "≤": "<=", "≥": ">="}.items():  # fmt: skip
        text = text.replace(sign, word)
    return text


def str_of(raised):
    return "0123456789-"[RAISED.index(raised)]


def evaluate(formula, **names):
    return eval(python(formula), {"__builtins__": {}, "float": float, **FUNCTIONS}, names)


def parse(text):
    """The board as (given, forward rows, backward rows); a row is (name, parts, addend lines)."""
    sections, rows = {}, None
    for line in text.splitlines():
        if not line.startswith(" "):
            rows = sections[line] = []
        elif re.match(r"  \S", line):
            rows.append([(2, line.strip())])
        else:
            rows[-1].append((len(line) - len(line.lstrip()), line.strip()))
    given = {}
    for row in sections.get("Given", []):
        for piece in re.split(r" {3,}", row[0][1]):
            name, value = piece.split(" = ")
            given[python(name)] = evaluate(value)
    forward = [
        [p.strip() for _, line in row for p in parts_of(line)] for row in sections["Forward"]
    ]
    backward = []
    for (_, first), *lines in sections.get("Backward", []):
        name, *parts = parts_of(first)
        addends = []
        column = lines[0][0] if lines else 0  # deeper lines go on with an addend
        for place, line in lines:
            if line.startswith("from "):
                addends.append(parts_of(line.split(": ", 1)[1]))
            else:
                (parts if place == column else addends[-1]).extend(parts_of(line))
        backward.append((python(name), parts, addends))
    return given, forward, backward


def parts_of(line):
    """What stands between the signs of equality of one line."""
    line = re.sub(r" {3}\(\d+ addends\)$", "", line.removeprefix("= "))
    return [part.strip() for part in re.split(r"\s= ", line)]


def random_loss(seed):
    rng = np.random.default_rng(seed)
    leaves = [cr.tensor(x, dtype=cr.float64, requires_grad=True) for x in rng.uniform(0.3, 1.5, 4)]
    for name, tensor in zip("abcd", leaves, strict=True):
        tensor.name = name
    pool = list(leaves)
    unary = [
        lambda x: x.exp(), lambda x: (x**2 + 0.5).log(), lambda x: x.tanh(), lambda x: x.sigmoid(),
        lambda x: x.square(), lambda x: (x * x + 0.3).sqrt(), lambda x: x.sin(), lambda x: x.cos(),
        lambda x: (x + 0.01).relu(), lambda x: x**3, lambda x: (x**2 + 0.4) ** 1.5,
        lambda x: (x**2 + 1) ** -1, lambda x: -x, lambda x: 2.5 - x, lambda x: x / 4 * 3,
    ]  # fmt: skip
    binary = [
        lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, lambda x, y: x / (y * y + 0.5),
        lambda x, y: x - (y - x) * 0.3, lambda x, y: -(x * y) / 2,
    ]  # fmt: skip
    for _ in range(rng.integers(4, 12)):
        if rng.random() < 0.5:
            y = unary[rng.integers(len(unary))](pool[rng.integers(len(pool))])
        else:
            x, z = (pool[i] for i in rng.integers(len(pool), size=2))
            y = binary[rng.integers(len(binary))](x, z)
        pool.append(y.tanh() if abs(y.item()) > 4 else y)
    return pool[-1] * 1.5 + pool[-2] * pool[-3], leaves


@pytest.mark.parametrize("seed", range(50))
def test_every_number_of_a_random_board(seed):
    loss, _ = random_loss(seed)
    text = str(cr.explain(loss, digits=17))
    given, forward, backward = parse(text)

    def run(**changed):
        """The forward column, read from its formulas; a changed value replaces the computed one."""
        values = {**given, **{k: v for k, v in changed.items() if k in given}}
        for name, formula, *_ in forward:
            name = python(name)
            values[name] = changed[name] if name in changed else evaluate(formula, **values)
        return values

    values = run()
    for name, *parts in forward:
        value = evaluate(parts[-1])
        for part in parts[1:-1]:
            assert evaluate(part) == pytest.approx(value, rel=1e-13, abs=1e-300), (name, part)
        assert values[python(name)] == pytest.approx(value, rel=1e-12, abs=1e-300)

    bars = {name: evaluate(parts[-1]) for name, parts, _ in backward}
    assert bars["bar_L"] == 1
    for name, parts, addends in backward[1:]:
        parts = [part for part in parts if "∂" not in part]
        assert evaluate(parts[0], **values, **bars) == pytest.approx(
            bars[name], rel=1e-9, abs=1e-12
        )
        for part in parts[1:]:
            assert evaluate(part) == pytest.approx(bars[name], rel=1e-10, abs=1e-13), (name, part)
        for formula, *numbers in addends:
            got = evaluate(formula, **values, **bars)
            for number in numbers:
                assert evaluate(number) == pytest.approx(got, rel=1e-10, abs=1e-13), (name, formula)
        if addends:
            total = math.fsum(evaluate(addend[-1]) for addend in addends)
            assert total == pytest.approx(bars[name], rel=1e-10, abs=1e-13)
        v = name.removeprefix("bar_")
        h = 1e-5 * max(1.0, abs(values[v]))
        slope = (run(**{v: values[v] + h})["L"] - run(**{v: values[v] - h})["L"]) / (2 * h)
        assert bars[name] == pytest.approx(slope, rel=1e-5, abs=1e-6), name
    assert len(backward) > 1


@pytest.mark.parametrize("seed", range(20))
def test_every_number_of_the_json(seed):
    """Parsed back: formulas with names and with numbers give the values, addends their sum."""
    loss, _ = random_loss(seed)
    nodes = json.loads(json.dumps(cr.explain(loss, digits=17).to_json()))["nodes"]
    values = {python(node["name"]): node["value"] for node in nodes}
    signals = [node["error_signal"] for node in nodes if node["error_signal"]]
    values |= {python(signal["name"]): signal["value"] for signal in signals}
    for node in nodes:
        if node["formula"] is None:
            assert node["numbers"] is None
            continue
        for text in (node["formula"], node["numbers"]):
            assert evaluate(text, **values) == pytest.approx(node["value"], rel=1e-12, abs=1e-300)
    for signal in signals:
        for addend in signal["addends"]:
            for text in (addend["formula"], addend["numbers"]):
                got = evaluate(text, **values)
                assert got == pytest.approx(addend["value"], rel=1e-9, abs=1e-12), text
        if signal["addends"]:
            total = math.fsum(addend["value"] for addend in signal["addends"])
            assert total == pytest.approx(signal["value"], rel=1e-10, abs=1e-13)


@pytest.mark.parametrize("seed", range(12))
def test_the_latex_of_a_random_board_is_read_by_mathtext(seed):
    mathtext = pytest.importorskip("matplotlib.mathtext", reason="matplotlib reads the formulas")
    parser = mathtext.MathTextParser("path")
    loss, _ = random_loss(seed)
    notation = ("bar", "leibniz", "delta")[seed % 3]
    for line in cr.explain(loss, notation=notation).to_latex().splitlines()[1:-1]:
        if r"\text{" not in line:
            assert line.isascii()
            parser.parse(f"${line.removesuffix(chr(92) * 2).replace('&', '')}$")


@pytest.mark.parametrize("seed", range(5))
def test_explaining_changes_nothing(seed):
    plain, leaves = random_loss(seed)
    plain.backward()
    explained, others = random_loss(seed)
    cr.explain(explained)
    assert all(leaf.grad is None for leaf in others)
    explained.backward()
    for a, b in zip(leaves, others, strict=True):
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            assert a.grad.numpy().tobytes() == b.grad.numpy().tobytes()


def test_named_values_and_hooks_hear_nothing():
    w = cr.tensor(2.0, requires_grad=True)
    h = w * 3
    h.name = "h"
    calls = []
    h.register_hook(calls.append)
    with cr.record() as tape:
        str(cr.explain(h**2))
    assert calls == []
    assert "h" not in tape or "bar" not in repr(tape["h"])


def test_after_backward_it_names_record():
    w = cr.tensor(2.0, requires_grad=True)
    loss = w**2
    loss.backward()
    with pytest.raises(cr.GradientError, match=r"\[explain\] got a loss whose backward.*cr.record"):
        cr.explain(loss)


def test_it_works_when_the_loss_has_been_looked_at():
    w = cr.tensor(2.0, requires_grad=True)
    y = w * 3 + 1
    loss = (y.tanh() + y) ** 2
    loss.item()
    assert "y = 3·w + 1 = 3·2 + 1 = 7" in squeeze(cr.explain(loss))


def test_a_vector_is_refused():
    with pytest.raises(cr.ShapeError, match=r"needs a scalar"):
        cr.explain(cr.ones(3))


def test_without_gradients_there_is_a_forward_column_alone():
    x = cr.tensor(2.0)
    x.name = "x"
    board = str(cr.explain(x.exp()))
    assert "Backward" not in board


def squeeze(board):
    return re.sub(r" +", " ", str(board))


def test_the_logistic_board_reads_like_the_lecture():
    board = squeeze(cr.inspect.explain_preset("logistic-l2"))
    for line in (
        "z = w·x + b = 0.8·1.5 + (−0.3) = 0.9",
        "y = σ(z) = σ(0.9) = 0.7109",
        "L = 0.5·(y − t)²",
        "Lreg = L + λ·R",
        "R̄ = L̄reg·∂Lreg/∂R = L̄reg·λ",
        "ȳ = L̄·∂L/∂y = L̄·(y − t)",
        "z̄ = ȳ·∂y/∂z = ȳ·σ'(z)",
        "from R: R̄·w = 0.1·0.8 = 0.08",
        "from z: z̄·x = (−0.0594)·1.5 = −0.0891",
        "= 0.08 + (−0.0891) = −0.0091 (2 addends)",
        "z̄: 1 computed, 2 used: w̄, b̄",
    ):
        assert line in board, line


def test_the_vectorised_lines_read_like_the_lecture():
    board = squeeze(cr.inspect.explain_preset("two-layer"))
    for line in (
        "z = W₁ x + b₁", "h = σ(z)", "y = W₂ h + b₂", "L = 0.5·Σ(y − t)²",
        "L̄ = 1", "ȳ = L̄·(y − t)", "W̄₂ = ȳ hᵀ", "b̄₂ = ȳ", "h̄ = W₂ᵀ ȳ", "z̄ = h̄ ∘ σ'(z)",
        "W̄₁ = z̄ xᵀ", "b̄₁ = z̄",
    ):  # fmt: skip
        assert f"\n {line}" in board, line


def test_arrays_of_a_network_addends_sum_to_the_error_signal():
    rng = np.random.default_rng(1)
    X = cr.tensor(rng.normal(size=(5, 3)))
    W = cr.tensor(rng.normal(size=(3, 3)), requires_grad=True)
    b = cr.tensor(rng.normal(size=(3,)), requires_grad=True)
    h = (X @ W + b).tanh()
    y = (h @ W + b + h.mean(0)).log_softmax(1)
    loss = -y[:, 1].mean()
    board = cr.explain(loss)
    rows = {row["of"]: row for row in board.rows if row["phase"] == "backward"}
    loss.backward()
    np.testing.assert_allclose(rows["W"]["value"], W.grad.numpy(), rtol=1e-12)
    np.testing.assert_allclose(rows["b"]["value"], b.grad.numpy(), rtol=1e-12)
    for row in rows.values():
        if row["addends"]:
            total = sum(np.array(addend["value"]) for addend in row["addends"])
            np.testing.assert_allclose(total, row["value"], rtol=1e-10, atol=1e-14)
    assert len(rows["b"]["addends"]) == 2


def test_repeated_and_reshaped_values_are_seen_through():
    x = cr.tensor([[1.0, 2], [3, 4]], dtype=cr.float64, requires_grad=True)
    flat = [x.reshape(4), x.sum(0, keepdim=True).expand(3, 2)]
    loss = (flat[0] * 2).sum() + (flat[0] ** 3).sum() + (x.T @ x).sum()
    loss = loss + (flat[1] ** 2).sum() + flat[1].exp().mean()
    board = cr.explain(loss)
    text = squeeze(board)
    product = next(row["name"] for row in board.rows if row.get("formula") == "xᵀ x")
    assert f"from {product}: x {product[0]}\u0304{product[1:]}ᵀ" in text
    assert "reshape" not in text
    assert "expand" not in text
    rows = {row["of"]: row for row in board.rows if row["phase"] == "backward"}
    loss.backward()
    np.testing.assert_allclose(rows["x"]["value"], x.grad.numpy(), rtol=1e-12)
    assert len(rows["x"]["addends"]) == 5
    for row in rows.values():
        if row["addends"]:
            total = sum(np.array(addend["value"]) for addend in row["addends"])
            np.testing.assert_allclose(total, row["value"], rtol=1e-12)


def test_large_arrays_are_told_by_type_and_size():
    w = cr.tensor(np.ones((20, 30)), requires_grad=True)
    board = str(cr.explain((w**2).sum()))
    assert "w̄ = L̄·2·w" in board
    assert "f64[20,30], rms 2" in board


def test_rows_are_plain_data():
    explanation = cr.inspect.explain_preset("neuron")
    again = json.loads(json.dumps(explanation.to_json()))
    assert again["nodes"][0]["name"] == "w₀"
    assert explanation._repr_html_().startswith("<pre>")


def test_every_op_of_the_registry_can_be_written():
    from chainrule.ops.op import REGISTRY

    rng = np.random.default_rng(0)
    for op in REGISTRY.values():
        for sample in op.samples(rng):
            if not sample.inputs or any(0 in x.shape for x in sample.inputs):
                continue
            tensors = [cr.tensor(x, requires_grad=x.dtype == np.float64) for x in sample.inputs]
            y = op(*tensors, **sample.meta)
            assert str(cr.explain(y.to(cr.float64).sum())), op.name
            break


@pytest.mark.parametrize("name", cr.inspect.PRESETS)
def test_presets_fit_a_terminal(name):
    lines = str(cr.inspect.explain_preset(name)).splitlines()
    widths = [sum(not unicodedata.combining(c) for c in line) for line in lines]
    assert max(widths) <= 96


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(cr.NameNotFoundError, match="logistic"):
        cr.inspect.explain_preset("logistc")
