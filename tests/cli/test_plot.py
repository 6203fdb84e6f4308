import json

import pytest

from chainrule.cli import main
from chainrule.train.runs import Run


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (["activations", "sigmoid", "tanh"], "activations-sigmoid-tanh.png"),
        (["losses", "--out", "slopes.svg"], "slopes.svg"),
        (["schedule", "steplr", "--epochs", "9", "--out", "a.pdf"], "a.pdf"),
    ],
)
def test_files(words, file, capsys, tmp_path):
    assert main(["plot", *words]) == 0
    assert capsys.readouterr().out.startswith(f"{file}: ")
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_json_is_the_numbers_and_no_file(capsys, tmp_path):
    assert main(["plot", "losses", "hinge", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["panels"][0]["curves"][0]["name"] == "hinge"
    assert not list(tmp_path.iterdir())
    assert main(["plot", "losses", "--json", "--out", "a.png"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == "a.png"
    assert (tmp_path / "a.png").exists()


def test_a_run(capsys, tmp_path):
    run = Run.create("lenet", {"system": "lenet"})
    run.add_figures(1, {"loss": 2.0})
    run.add_figures(2, {"loss": 1.0})
    run.release()
    assert main(["plot", "run", "last"]) == 0
    assert capsys.readouterr().out.startswith("lenet-001.png: runs/lenet-001")
    assert main(["plot", "run", "lenet-001", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["panels"][0]["curves"][0]["y"] == [2.0, 1.0]
    assert main(["plot", "run", "a", "b"]) == 2


def test_nothing_is_overwritten_unasked(capsys, tmp_path):
    (tmp_path / "losses.png").write_text("mine")
    assert main(["plot", "losses"]) == 2
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert (tmp_path / "losses.png").read_text() == "mine"
    assert main(["plot", "losses", "--overwrite"]) == 0
    assert (tmp_path / "losses.png").read_bytes()[:4] == b"\x89PNG"


def test_the_list(capsys):
    assert main(["plot"]) == 0
    assert "trajectories" in capsys.readouterr().out
    assert main(["plot", "--json"]) == 0
    assert "quadratic" in json.loads(capsys.readouterr().out)["trajectories"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["activation"], "Did you mean activations?"),
        (["activations", "sigmiod"], "Did you mean sigmoid?"),
        (["losses", "--out", "a.jpg"], "needs a name that ends in .png, .svg, .pdf"),
        (["run"], "Train one first"),
    ],
)
def test_wrong_use(words, says, capsys, tmp_path):
    assert main(["plot", *words]) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
