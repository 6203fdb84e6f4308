import json
import os
import subprocess
import sys

import pytest

from chainrule.cli import main
from chainrule.inspect import PRESETS

SCRIPT = """
import chainrule as cr
print("a script may print")
w = cr.tensor([0.8, 0.2], requires_grad=True)
y = (w * cr.tensor([1.5, -1.0])).sum().sigmoid()
loss = (y - 1) ** 2
vector, number = w * 2, 3
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(SCRIPT, "utf-8")
    return str(path)


def test_the_list(capsys):
    assert main(["explain"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n{name} " in f"\n{out}" for name in PRESETS)
    assert {
        "logistic", "logistic-l2", "multivariate", "neuron", "two-layer", "xor", "softmax", "svm",
        "relu", "affine", "symbolic", "delta",
    } <= set(PRESETS)  # fmt: skip


@pytest.mark.parametrize(
    ("form", "first"),
    [
        ("text", "Logistic least squares"),
        ("latex", r"\begin{aligned}"),
        ("markdown", "**Logistic"),
        ("json", "{"),
    ],
)
def test_formats(capsys, form, first):
    assert main(["explain", "logistic", "--format", form]) == 0
    assert capsys.readouterr().out.startswith(first)


def test_notations(capsys):
    assert main(["explain", "two-layer", "--notation", "delta"]) == 0
    assert "δ_z = δ_h ∘ σ'(z)" in capsys.readouterr().out
    assert main(["explain", "two-layer", "--notation", "dot"]) == 2
    assert "'dot'" in capsys.readouterr().err


def test_plain_letters(capsys):
    assert main(["explain", "two-layer", "--ascii"]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert "z_bar = h_bar .* sigma'(z)" in out


def test_an_old_terminal_gets_plain_letters():
    done = subprocess.run(
        [sys.executable, "-m", "chainrule", "explain", "logistic"],
        capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert done.returncode == 0
    assert "z_bar = y_bar*dy/dz = y_bar*sigma'(z)" in done.stdout


def test_a_script(capsys, script):
    assert main(["explain", f"{script}:loss"]) == 0
    shown = capsys.readouterr()
    assert "a script may print" in shown.err
    assert shown.out.startswith("Given\n")
    assert "ȳ = L̄·∂L/∂y = L̄·2·(y − 1)" in shown.out
    assert main(["explain", f"{script}:y", "--json"]) == 0
    nodes = json.loads(capsys.readouterr().out)["nodes"]
    assert [node["name"] for node in nodes][-1] == "y"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("los", "got no 'los' in"),
        ("number", "got number, a int, needs a tensor"),
        ("vector", "got vector of shape [2], needs a scalar"),
    ],
)
def test_what_is_no_scalar(capsys, script, name, words):
    assert main(["explain", f"{script}:{name}"]) == 2
    assert words in capsys.readouterr().err


def test_a_script_that_raises(capsys, script, tmp_path):
    (tmp_path / "net.py").write_text("x = 1\n\nraise ValueError('no data')\n", "utf-8")
    assert main(["explain", f"{script}:loss"]) == 2
    error = capsys.readouterr().err
    assert error == "[net.py] got ValueError: no data, needs a script that runs (net.py:3).\n"


def test_a_script_whose_backward_has_run(capsys, script, tmp_path):
    (tmp_path / "net.py").write_text(f"{SCRIPT}\nloss.backward()\n", "utf-8")
    assert main(["explain", script]) == 1
    error = capsys.readouterr().err
    assert "got a loss whose backward has run at net.py:9" in error
    assert "cr.record()" in error


def test_a_network_has_a_line_for_each_layer(capsys):
    assert main(["explain", "lenet"]) == 0
    first = capsys.readouterr().out
    assert "conv1/Conv2d" in first
    assert "rms v̄" in first
    assert main(["explain", "lenet"]) == 0
    assert capsys.readouterr().out == first
    assert main(["explain", "mlp", "--json"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert layers[2]["error_signal"]["rms"] > 0


def test_misspelt(capsys):
    assert main(["explain", "lent"]) == 2
    assert "Did you mean lenet?" in capsys.readouterr().err
    assert main(["explain", "sofmax"]) == 2
    assert "Did you mean softmax?" in capsys.readouterr().err
