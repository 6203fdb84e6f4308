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


SCRIPT = """
from chainrule import nn
net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
number = 3
"""


def test_a_module_of_a_script(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.py").write_text(SCRIPT)
    assert main(["summary", "my.py", "--input", "3x8x8"]) == 0
    assert "0/Conv2d  [N,4,6,6]         112" in capsys.readouterr().out
    assert main(["cost", "my.py:net", "--input", "3x8x8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["forward"] == 4 * 36 * 27
    assert main(["summary", "my.py:net", "--input", "1x8x8"]) == 1
    assert "needs C=3. weight is" in capsys.readouterr().err  # no line: none is the user's
    assert main(["summary", "my.py:net"]) == 2
    assert "--input 1x28x28" in capsys.readouterr().err
    assert main(["summary", "my.py:nett"]) == 2
    assert "got no 'nett' in my.py, needs a Module. Did you mean net?" in capsys.readouterr().err
    assert main(["summary", "my.py:number"]) == 2
    assert "got number of my.py, which is no Module" in capsys.readouterr().err
