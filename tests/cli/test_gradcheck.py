import json

import pytest

from chainrule import nn
from chainrule.cli import main
from chainrule.cli.layers import LAYERS, layer_example, layer_names
from chainrule.gradcheck import gradcheck

SCRIPT = """
import chainrule as cr
print("a script may print")
w = cr.tensor([0.8, 0.2], requires_grad=True)
b = cr.tensor(0.1, requires_grad=True)
y = ((w * cr.tensor([1.5, -1.0])).sum() + b).sigmoid()
loss = (y - 1) ** 2
vector, number = w * 2, 3
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(SCRIPT, "utf-8")
    return str(path)


@pytest.mark.parametrize("name", layer_names())
def test_every_layer_and_loss_by_name(name):
    layer, inputs = layer_example(name)
    report = gradcheck(layer, inputs, symbolic=False)
    assert report, f"{name}: {report}"


@pytest.mark.parametrize(
    "name", ["Linear", "Conv2d", "BatchNorm1d", "Softmax", "LogSoftmax", "CrossEntropyLoss", "Tanh"]
)
def test_the_symbolic_column_applies(name):
    layer, inputs = layer_example(f"nn.{name}")
    report = gradcheck(layer, inputs)
    assert report.notes == []
    assert all(
        c.symbolic is not None and c.symbolic_error < 1e-9 for c in report.worst if c.numeric
    )


def test_examples_are_of_layers_that_are_named_right():
    later = {
        "ConvTranspose1d", "ConvTranspose2d", "MultiheadAttention", "TransformerEncoderLayer",
        "HuberLoss", "MultiMarginLoss", "HingeEmbeddingLoss", "SoftMarginLoss",
    }  # fmt: skip
    assert {name for name in LAYERS if name not in nn.__all__} <= later


def test_a_layer_without_an_example_says_what_to_do(capsys, monkeypatch):
    monkeypatch.delitem(LAYERS, "Linear")
    assert main(["gradcheck", "nn.Linear"]) == 2
    assert "needs a layer that has an example in cli/layers.py" in capsys.readouterr().err


def test_containers_are_no_layers():
    assert not {"nn.Sequential", "nn.ModuleList", "nn.Module", "nn.Parameter"} & set(layer_names())


def test_a_layer(capsys):
    assert main(["gradcheck", "nn.Linear"]) == 0
    out = capsys.readouterr().out
    assert "symbolic" in out.splitlines()[0]
    assert "weight[" in out


@pytest.mark.parametrize(
    "name", ["logistic-l2", "neuron", "two-layer", "multivariate", "softmax", "symbolic"]
)
def test_the_small_nets_in_three_columns(capsys, name):
    assert main(["gradcheck", name, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["worst"]
    assert rows
    for row in rows:
        assert row["symbolic"] == pytest.approx(row["automatic"], rel=1e-11, abs=1e-14)
        assert row["numeric"] == pytest.approx(row["automatic"], rel=1e-5, abs=1e-7)


def test_xor_in_three_columns(capsys):
    assert main(["gradcheck", "xor", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["worst"]
    assert all(row["symbolic_error"] < 1e-12 for row in rows if abs(row["automatic"]) > 1e-9)


def test_a_network_along_directions(capsys):
    assert main(["gradcheck", "lenet", "--dot"]) == 0
    out = capsys.readouterr().out
    assert "fc3.bias, all at once" in out
    assert "the derivatives agree" in out


def test_errors_against_h(capsys):
    assert main(["gradcheck", "tanh", "--errors"]) == 0
    assert "1e-13" in capsys.readouterr().out
    assert main(["gradcheck", "nn.Tanh", "--errors", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["errors"]["errors"]) == 13
    assert main(["gradcheck", "ops", "--errors"]) == 2
    assert "tanh --errors" in capsys.readouterr().err


def test_a_script(capsys, script):
    assert main(["gradcheck", f"{script}:loss", "--json"]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert "a script may print" in shown.err
    assert [row["input"] for row in found["worst"]] == ["w", "b"]
    assert all(row["symbolic_error"] < 1e-12 for row in found["worst"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("los", "got no 'los' in"),
        ("los", "Did you mean loss?"),
        ("number", "got number, a int, needs a tensor"),
        ("vector", "got vector of shape [2], needs a scalar. sum() or mean() makes one."),
    ],
)
def test_what_is_no_loss(capsys, script, name, words):
    assert main(["gradcheck", f"{script}:{name}"]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\ny = 1 / 0\n", "[net.py] got ZeroDivisionError: division by zero, "
                               "needs a script that runs (net.py:2)."),
        ("x = = 1\n", "got SyntaxError"),
        ("import sys\nsys.exit(3)\n", "got an exit with 3 before its end"),
        ("import chainrule as cr\ncr.ones(2) @ cr.ones(3)\n", "(net.py:2)"),
    ],
)  # fmt: skip
def test_a_script_that_does_not_run(capsys, script, tmp_path, text, words):
    (tmp_path / "net.py").write_text(text, "utf-8")
    assert main(["gradcheck", f"{script}:loss"]) in (1, 2)
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_a_loss_whose_backward_has_run(capsys, script, tmp_path):
    (tmp_path / "net.py").write_text(f"{SCRIPT}\nloss.backward()\n", "utf-8")
    assert main(["gradcheck", script]) == 1
    assert "got a loss whose backward has run, needs its history" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("nn.Conv2D", "Did you mean nn.Conv2d?"),
        ("lent", "Did you mean lenet?"),
        ("tahn", "Did you mean tanh?"),
        ("sign", "needs an op that has a derivative"),
        ("missing.py:loss", "needs a Python file that is there"),
    ],
)
def test_misspelt(capsys, what, words):
    assert main(["gradcheck", what]) == 2
    assert words in capsys.readouterr().err


def test_all_ops_in_three_columns(capsys):
    assert main(["gradcheck", "ops", "--json"]) == 0
    rows = {row["op"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["tanh"]["symbolic_error"] < 1e-14
    assert rows["index_add"]["symbolic_error"] is None
    assert all(row["agree"] for row in rows.values())
