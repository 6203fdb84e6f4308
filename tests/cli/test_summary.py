import json
from pathlib import Path

from chainrule.cli import main


def test_the_table(capsys):
    assert main(["summary", "lenet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["conv1/Conv2d", "[N,6,28,28]", "156", "117,600", "5", "1"]
    assert lines[-4].split() == ["total", "61,706", "416,520"]
    assert max(map(len, lines)) <= 80


def test_json(capsys):
    assert main(["summary", "784-128-10", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["input"] == [784] and found["total"]["multiply_adds"] == 101_632


def test_another_input(capsys):
    assert main(["summary", "lenet", "--input", "1×29×29"]) == 0
    assert "[N,6,29,29]" in capsys.readouterr().out
    assert main(["summary", "lenet", "--input", "1x32x32"]) == 1
    assert capsys.readouterr().err.startswith("[fc1/Linear] got f32[1,576], needs 400 features")
    assert main(["summary", "lenet", "--input", "big"]) == 2
    assert "[summary] got --input big, needs sizes, such as 1x28x28." in capsys.readouterr().err


def test_names_that_are_not_there(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["summary", "lent"]) == 2
    assert "Did you mean lenet?" in capsys.readouterr().err
    assert main(["summary", "last"]) == 2
    assert "Train one first" in capsys.readouterr().err
    assert main(["summary", "3-0-1"]) == 2
    assert "needs widths of at least 1" in capsys.readouterr().err
    assert not Path("runs").exists()
