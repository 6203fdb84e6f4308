import json
from xml.etree import ElementTree

import pytest

from chainrule.cli import main

SCRIPT = """
import chainrule as cr
from chainrule import nn
w = cr.tensor(2.0, requires_grad=True)
loss = (w - 1) ** 2
net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
number = 3
print("printed")
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (["logistic"], "logistic.svg"),
        (["xor"], "xor.svg"),
        (["xor", "--style", "neurons"], "xor-neurons.svg"),
        (["lenet"], "lenet.svg"),
        (["lenet", "--style", "blocks"], "lenet-blocks.svg"),
        (["2-8-1", "--style", "neurons"], "2-8-1-neurons.svg"),
        (["wiring"], "wiring.svg"),
        (["lenet", "--input", "1x28x28", "--out", "my picture.svg"], "my picture.svg"),
    ],
)
def test_pictures(words, file, capsys, tmp_path):
    assert main(["draw", *words]) == 0
    assert capsys.readouterr().out.startswith(f"{file}: ")
    assert ElementTree.parse(tmp_path / file).getroot().tag.endswith("svg")


def test_nothing_is_overwritten_unasked(capsys, tmp_path):
    (tmp_path / "wiring.svg").write_text("mine")
    assert main(["draw", "wiring"]) == 2
    error = capsys.readouterr().err
    assert "wiring.svg, which exists" in error and "--overwrite" in error
    assert (tmp_path / "wiring.svg").read_text() == "mine"
    assert main(["draw", "wiring", "--overwrite"]) == 0
    assert (tmp_path / "wiring.svg").read_text("utf-8").startswith("<svg")


def test_scripts(capsys, tmp_path):
    (tmp_path / "net.py").write_text(SCRIPT)
    assert main(["draw", "net.py", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [node["name"] for node in found["nodes"]] == ["w", "w − 1", "L"]
    assert main(["draw", "net.py:net", "--style", "neurons"]) == 0
    assert (tmp_path / "net-net-neurons.svg").exists()
    assert main(["draw", "net.py:lose"]) == 2
    assert "Did you mean loss?" in capsys.readouterr().err
    assert main(["draw", "net.py:number"]) == 2
    assert "got number, a int, needs a tensor or a Module" in capsys.readouterr().err
    assert main(["draw", "gone.py:loss"]) == 2


def test_json(capsys):
    assert main(["draw", "wiring", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == "wiring.svg"
    assert found["parameters"] == {"full": 25, "local": 13, "shared": 3}


def test_the_list(capsys):
    assert main(["draw"]) == 0
    assert "wiring" in capsys.readouterr().out
    assert main(["draw", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["styles"] == ["graph", "neurons", "blocks"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["logistics"], "Did you mean logistic?"),
        (["lent"], "Did you mean lenet?"),
        (["lenet", "--style", "neuron"], "Did you mean neurons?"),
        (["lenet", "--style", "neurons"], "needs a chain of Linear layers"),
        (["--save", "a.html"], 'got no run, needs a run, such as "last"'),
        (["gone-001", "--save", "a.html"], "'gone-001'"),
        (["wiring", "--out", "a.png"], "needs one that ends in .svg"),
    ],
)
def test_wrong_use(words, says, capsys, tmp_path):
    assert main(["draw", *words]) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
