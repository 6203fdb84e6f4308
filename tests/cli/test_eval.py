import json
from pathlib import Path

import numpy as np
import pytest

from chainrule.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with two short trainings: a classifier, and XOR."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["--epochs", "2", "--json"]
        assert main(["train", "softmax-regression", "--data", "digits", *words]) == 0
        assert main(["train", "xor", "--json"]) == 0
    return folder


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NO_COLOR", "1")


def found(capsys, *words):
    capsys.readouterr()
    assert main(["eval", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_classifier_is_measured_in_all_ways(capsys):
    result = found(capsys, "softmax-regression-001", "--worst", "3")
    matrix = np.array(result["confusion_matrix"])
    assert matrix.shape == (10, 10) and matrix.sum() == result["samples"] == 360
    assert result["accuracy"] == pytest.approx(matrix.trace() / 360)
    assert result["accuracy"] <= result["top5_accuracy"] <= 1
    config = json.loads(Path("runs/softmax-regression-001/config.json").read_text())
    assert result["accuracy"] == pytest.approx(config["result"]["test_accuracy"])
    chances = [one["probability_of_label"] for one in result["worst"]]
    assert len(chances) == 3 and chances == sorted(chances)
    assert all(one["label"] != one["answer"] for one in result["worst"])


def test_a_part_is_measured_in_its_own_order(capsys):
    result = found(capsys, "softmax-regression-001", "--part", "train")
    assert result["samples"] == 1257
    assert found(capsys, "softmax-regression-001", "--part", "train") == result


def test_the_table_can_be_read(capsys):
    assert main(["eval", "softmax-regression-001"]) == 0
    out = capsys.readouterr().out
    assert "top5 accuracy" in out and "row: label, column: answer" in out
    assert "the worst samples" in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_network_that_is_no_classifier(capsys):
    result = found(capsys, "last")
    assert result["loss"] < 0.01 and "confusion_matrix" not in result
    assert len(result["worst"]) == 4
    assert main(["predict", "xor-001", "--sample", "1"]) == 0
    out = capsys.readouterr().out
    assert "inputs   0 1\n" in out and "wanted   1" in out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["softmax-regression-01"], 2, "Nearest: softmax-regression-001"),
        (["softmax-regression-001", "--part", "tset"], 2, "--part tset, needs one of test"),
        (["softmax-regression-001", "--data", "digit"], 2, "Did you mean digits?"),
        (["xor-001", "--part", "validation"], 2, "needs one of test, train"),
        ([], 2, "RUN"),
    ],
)
def test_mistakes_are_one_message(capsys, words, code, says):
    assert main(["eval", *words]) == code
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) == 1
