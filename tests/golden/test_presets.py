"""The presets of explain against golden.md: A29, A33, A34, A36 to A39, A43."""

import re

import numpy as np
import pytest

from chainrule.inspect import explain_preset
from chainrule.inspect.explain.presets import preset


def numbers(name):
    """Name -> number of a preset's board, error signals under their barred names."""
    return {row["name"]: row["value"] for row in explain_preset(name, digits=17).rows}


def near(got, wanted, digits=6):
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=0, atol=0.51 * 10.0**-digits)


def noted(name):
    """The matrix in a preset's notes."""
    lines = explain_preset(name).notes.replace("−", "-").splitlines()
    rows = [re.findall(r"-?\d\.\d{6}", line) for line in lines]
    return [[float(entry) for entry in row] for row in rows if row]


def test_a29_without_the_regulariser():
    v = numbers("logistic")
    near([v["z"], v["y"], v["L"]], [0.9, 0.7109495, 0.0417751], 7)
    near([v["ȳ"], v["z̄"], v["w̄"], v["b̄"]], [-0.2890505, -0.0594000, -0.0890999, -0.0594000], 7)


def test_a34_the_delta_recursion():
    """δ = Θᵀ δ ∘ a(1 − a), each Θ's derivative δ aᵀ, computed again from the printed numbers."""
    v = {k: np.array(x) for k, x in numbers("delta").items() if not isinstance(x, dict)}
    deltas = {4: v["a₄"] - 1}
    for layer in (3, 2):
        a, theta = v[f"a{'₀₁₂₃₄'[layer]}"], v[f"Θ{'₀₁₂₃₄'[layer]}"]
        deltas[layer] = theta.T @ deltas[layer + 1] * a * (1 - a)
    for layer, wanted in deltas.items():
        sub = "₀₁₂₃₄"[layer]
        np.testing.assert_allclose(v[f"z̄{sub}"], wanted, rtol=1e-12)
        below = v[f"a{'₀₁₂₃₄'[layer - 1]}"]
        np.testing.assert_allclose(v[f"Θ̄{'₀₁₂₃₄'[layer - 1]}"], np.outer(wanted, below), rtol=1e-12)
    board = str(explain_preset("delta", notation="delta"))
    assert "∂L/∂Θ₂ = δ_z₃ a₂ᵀ" in board
    assert "δ_a₂ = Θ₂ᵀ δ_z₃" in board


def test_a36_svm():
    v = numbers("svm")
    assert v["L"] == 4
    assert v["x̄"] == [1, -2, 1, 0]


def test_a37_softmax_with_its_jacobian():
    v = numbers("softmax")
    near(v["y"], [0.231224, 0.628532, 0.140244])
    near(v["L"], 0.464369)
    near(v["ȳ"], [0, -1.59101, 0], 5)
    near(v["x̄"], [0.231224, -0.371468, 0.140244])
    jacobian = [
        [0.177759, -0.145332, -0.032428],
        [-0.145332, 0.23348, -0.088148],
        [-0.032428, -0.088148, 0.120576],
    ]
    near(noted("softmax"), jacobian)


def test_a38_relu():
    assert numbers("relu")["x̄"] == [0, 0, 0.3]


def test_a39_affine_one_sample_and_a_batch():
    v = numbers("affine")
    assert v["x̄"] == [-3.5, -4, -4.5]
    assert v["W̄"] == [[0.5, 0, -0.5], [-1, 0, 1]]
    v = numbers("affine-batch")
    assert v["W̄"] == [[1.5, 0, -1.5], [-3, 0, 3]]
    assert np.shape(v["X̄"]) == (2, 3)


def test_a43_the_symbolic_trap():
    near(numbers("symbolic")["W̄₁"], [[-0.182765, -0.365529], [0.143735, 0.28747]])
    near(noted("symbolic"), [[-0.057765, -0.115529], [0.045429, 0.090858]])


@pytest.mark.parametrize("name", ["two-layer", "logistic_l2"])
def test_names_may_have_either_line(name):
    loss, notes = preset(name)
    assert loss.numel() == 1
    assert notes
