"""The board's other forms: LaTeX, Markdown, JSON, plain letters, four names of error signals."""

import json
import re
from functools import cache

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import UsageError
from chainrule.inspect import PRESETS, explain_preset
from chainrule.inspect.explain.latex import latex_of
from chainrule.inspect.notation import NOTATIONS, ascii_text

F = nn.functional
shown = cache(explain_preset)  # each is looked at by several tests


def balanced(text):
    """Brackets of all kinds close, and so do environments."""
    assert text.count("{") == text.count("}")
    depth = 0
    for c in re.sub(r"\\[{}]", "", text):
        depth += (c == "{") - (c == "}")
        assert depth >= 0
    opened = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+\*?)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []


def without_matrices(text):
    """Matplotlib's mathtext has no environments: a matrix becomes a letter."""
    return re.sub(r"\\begin\{bmatrix\}.*?\\end\{bmatrix\}", "M", text)


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("name", PRESETS)
def test_latex_is_read_by_mathtext(name, notation):
    mathtext = pytest.importorskip("matplotlib.mathtext", reason="matplotlib reads the formulas")
    text = shown(name, notation=notation).to_latex()
    balanced(text)
    first, *lines, last = text.splitlines()
    assert (first, last) == (r"\begin{aligned}", r"\end{aligned}")
    parser = mathtext.MathTextParser("path")
    for line in lines:
        assert line.endswith(r" \\")
        formula = line.removesuffix(r"\\").replace("&", "")
        if not re.search(r"\\text\{", formula):
            parser.parse(f"${without_matrices(formula)}$")
            outside = without_matrices(formula)
            assert outside.count("(") == outside.count(")")
            assert re.sub(r"\\[a-zA-Z]+", "", outside).isascii(), formula


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("w·x + b", r"w\cdot x + b"),
        ("0.5·(y − t)²", r"0.5\cdot (y - t)^{2}"),
        ("Σ₀(x ∘ y)", r"\sum _{0}(x \circ  y)"),
        ("x^1.5 + x⁻¹", "x^{1.5} + x^{-1}"),
        ("exp(−x)/(1 + σ(z))", r"\exp (-x)/(1 + \sigma(z))"),
        ("W₂ᵀ ȳ", r"W_{2}^{\top}\; \bar{y}"),
        ("[[1, 2], [3, 4]] [5, 6]",
         r"\begin{bmatrix}1 & 2\\ 3 & 4\end{bmatrix}\; \begin{bmatrix}5\\ 6\end{bmatrix}"),
        ("x[0, 1:3]", "x[0, 1:3]"),
        ("L̄·[y > 0]", r"\bar{L}\cdot [y > 0]"),
        ("1.5e-05", r"1.5\cdot 10^{-5}"),
        ("fc.w̄eight", r"\overline{\mathrm{fc.weight}}"),
        ("relu(|x|)", r"\mathrm{relu}(\vert x\vert )"),
        ("ŷ", r"\hat{y}"),
        ("∂L/∂h·δ_z", r"\frac{\partial L}{\partial h}\cdot \delta_{z}"),
    ],
)  # fmt: skip
def test_latex_of_a_formula(text, wanted):
    assert latex_of(text) == wanted


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("name", PRESETS)
def test_plain_letters(name, notation):
    explanation = shown(name, notation=notation, ascii=True)
    text = str(explanation)
    assert text.isascii(), [c for c in text if not c.isascii()]
    assert "?" not in text
    plain = ascii_text(str(shown(name, notation=notation)))
    assert re.sub(r"\s+", "", text) == re.sub(r"\s+", "", plain)


def test_columns_of_plain_letters_stand_below_each_other():
    lines = str(shown("logistic-l2", ascii=True)).splitlines()
    start = lines.index("Forward") + 1
    rows = lines[start : start + 5]
    assert len({row.index(" = ") for row in rows}) == 1
    assert len({row.rindex(" = ") for row in rows}) == 1


@pytest.mark.parametrize("name", PRESETS)
def test_markdown_tables_have_equal_columns(name):
    explanation = shown(name)
    rows = [line for line in explanation.to_markdown().splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {5}
    assert all(row.count("$") % 2 == 0 for row in rows)
    assert explanation._repr_markdown_() == explanation.to_markdown()
    assert explanation._repr_latex_().startswith("$$\n\\begin{aligned}")
    assert explanation._repr_html_().startswith("<pre>")


@pytest.mark.parametrize("name", PRESETS)
def test_json_holds_every_number_again(name):
    """Parsed back, each error signal is the sum of its addends."""
    board = json.loads(json.dumps(shown(name, digits=17).to_json()))
    assert set(board) == {"title", "notes", "digits", "notation", "nodes"}
    names = [node["name"] for node in board["nodes"]]
    for node in board["nodes"]:
        assert set(node) == {
            "name", "type", "op", "line", "formula", "numbers", "value", "error_signal",
        }  # fmt: skip
        signal = node["error_signal"]
        if signal is None or not signal["addends"]:
            continue
        assert all(addend["reader"] in names for addend in signal["addends"])
        total = sum(np.array(addend["value"]) for addend in signal["addends"])
        np.testing.assert_allclose(total, signal["value"], rtol=1e-13, atol=1e-17)


def test_json_of_large_arrays_has_sizes_and_the_largest_entries():
    w = cr.tensor(np.arange(600.0).reshape(20, 30), requires_grad=True)
    nodes = cr.explain((w**2).sum()).to_json()["nodes"]
    (value,) = [node["value"] for node in nodes if node["name"] == "w"]
    assert value["shape"] == [20, 30]
    assert value["rms"] == pytest.approx(np.sqrt(np.mean(np.arange(600.0) ** 2)))
    assert value["largest"][0] == {"index": [19, 29], "value": 599.0}


def squeezed(explanation):
    return re.sub(r" +", " ", str(explanation))


@pytest.mark.parametrize(
    ("notation", "lines"),
    [
        ("bar", ["ȳ = L̄·(y − t)", "W̄₂ = ȳ hᵀ", "h̄ = W₂ᵀ ȳ", "z̄ = h̄ ∘ σ'(z)", "b̄₁ = z̄"]),
        ("leibniz", ["∂L/∂L = 1", "∂L/∂y = y − t", "∂L/∂W₂ = ∂L/∂y hᵀ", "∂L/∂h = W₂ᵀ ∂L/∂y",
                     "∂L/∂z = ∂L/∂h ∘ σ'(z)", "∂L/∂b₁ = ∂L/∂z"]),
        ("delta", ["δ_y = y − t", "∂L/∂W₂ = δ_y hᵀ", "δ_h = W₂ᵀ δ_y", "δ_z = δ_h ∘ σ'(z)",
                   "∂L/∂W₁ = δ_z xᵀ"]),
        ("jacobian", ["∂L/∂y = (y − t)ᵀ", "∂L/∂h = ∂L/∂y·∂y/∂h", "∂L/∂z = ∂L/∂h·∂h/∂z",
                      "= [[0.08419, 0.03681]]·[[0.5, −0.6], [0.7, 0.8]]",
                      "= [[0.06786, −0.02107]]·[[0.2288, 0], [0, 0.1966]]"]),
    ],
)  # fmt: skip
def test_four_notations_side_by_side(notation, lines):
    board = squeezed(shown("two-layer", notation=notation))
    for line in lines:
        assert f"{line}\n" in board, line


@pytest.mark.parametrize("name", PRESETS)
def test_all_notations_have_the_same_numbers(name):
    values = {
        notation: {
            row["of"]: np.ravel(row["value"])
            for row in shown(name, notation=notation).rows
            if row["phase"] == "backward" and not isinstance(row["value"], dict)
        }
        for notation in NOTATIONS
    }
    for found in values.values():
        assert len(found) >= len(values["bar"]) - 2  # a row of 12 is too long to be written
        for key, value in found.items():
            assert value.tolist() == values["bar"][key].tolist()


@pytest.mark.parametrize("seed", range(5))
def test_a_row_times_its_jacobian_is_the_addend(seed):
    """∂L/∂v = Σ ∂L/∂r ∂r/∂v, every product computed again from what is printed."""
    rng = np.random.default_rng(seed)
    x, W, b = (
        cr.tensor(rng.normal(size=shape), requires_grad=True) for shape in ((3,), (2, 3), (2,))
    )
    z = W @ x + b
    y = z.tanh() * z.sum() + b
    loss = (y * y.exp()).sum() + x.sin().sum()
    rows = cr.explain(loss, digits=17, notation="jacobian").rows
    checked = 0
    for row in rows:
        for addend in row.get("addends", ()):
            if addend["numbers"] and "·∂" in addend["formula"]:
                left, _, right = addend["numbers"].replace("−", "-").partition("·")
                product = np.atleast_2d(json.loads(left)) @ np.atleast_2d(json.loads(right))
                np.testing.assert_allclose(product, addend["value"], rtol=1e-12, atol=1e-15)
                checked += 1
    assert checked >= 5


def test_an_unknown_notation():
    with pytest.raises(UsageError, match=r"got notation 'dot', needs one of bar, leibniz"):
        shown("xor", notation="dot")
