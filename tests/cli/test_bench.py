import json
import shlex

import pytest

from chainrule.bench import machine
from chainrule.cli import bench, main

QUICKLY = ["--networks", "xor", "--peers", "none", "--rounds", "1", "--seconds", "0.1"]


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """Nothing but the race takes time."""
    monkeypatch.setattr(bench, "import_seconds", lambda modules, times: dict.fromkeys(modules, 0.1))
    monkeypatch.setattr(machine, "peak", lambda threads, seconds: 1e11 * threads)


def test_tables(capsys):
    assert main(["bench", *QUICKLY, "--train", "--quick"]) == 0
    out = capsys.readouterr().out
    assert "xor, batch 4, 112 FLOP a step" in out
    assert "Chainrule, plain loop" in out and "inference" not in out and "PyTorch" not in out


def test_json(capsys):
    assert main(["bench", *QUICKLY, "--inference", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    race = found["races"]["xor"]
    assert race["contestants"]["plain"]["inference 4"]["median"] > 0
    assert "train" not in race["contestants"]["plain"]
    words = shlex.split(race["made"]["command"])
    assert sorted(words) == sorted(["chainrule", "bench", *QUICKLY, "--inference"])
    assert race["made"]["peak"] == {"1": 1e11, "2": 2e11}
    assert race["made"]["imports"] == {"chainrule": 0.1}


def test_results_are_renewed_one_network_at_a_time(tmp_path, capsys, monkeypatch):
    made = {"date": "then", "command": "c", "threads": 2, "processor": "p", "system": "s"}
    made |= {"load": 0.0, "peak": {"2": 1e9}, "versions": {}, "imports": {}}
    old = {"network": "mlp", "batch": 64, "scale": {}, "flops": 1, "made": made, "contestants": {}}
    growth = {"mlp": {"made": made, "races": [old]}}
    before = {"format": 1, "races": {"mlp": old}, "growth": growth}
    (tmp_path / "results.json").write_text(json.dumps(before))
    monkeypatch.setitem(bench.GROWTH, "xor", [])
    assert main(["bench", *QUICKLY, "--quick", "--growth", "--write", str(tmp_path)]) == 0
    after = json.loads((tmp_path / "results.json").read_text())
    assert list(after["races"]) == ["xor", "mlp"] == list(after["growth"])
    assert after["races"]["mlp"] == old and after["growth"]["mlp"] == growth["mlp"]
    text = (tmp_path / "RESULTS.md").read_text()
    assert "## xor" in text and "## mlp" in text and "## Growth: xor" in text
    assert (tmp_path / "results.svg").read_text().startswith("<?xml")
    assert "xor ×1" in capsys.readouterr().out


def test_a_picture(tmp_path):
    words = ["bench", *QUICKLY, "--quick", "--train", "--picture", str(tmp_path / "bars.png")]
    assert main(words) == 0
    assert (tmp_path / "bars.png").read_bytes().startswith(b"\x89PNG")
    assert main(words) == 2  # a file that exists stays


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--networks", "lent"], "Did you mean lenet?"),
        (["--peers", "torch"], "needs some of none, pytorch, channels-last"),
        (["--write", "no/such/folder"], "needs a folder that exists"),
        (["--picture", "bars.bmp"], "a name that ends in .png, .svg, .pdf"),
        (["--seconds", "0"], "Invalid value for '--seconds'"),
    ],
)
def test_wrong_use(capsys, words, says):
    assert main(["bench", *words]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 0}'])
def test_damaged_results_are_not_replaced(tmp_path, capsys, content):
    (tmp_path / "results.json").write_text(content)
    assert main(["bench", *QUICKLY, "--write", str(tmp_path)]) == 1
    assert "needs results of format 1. Remove it to begin anew." in capsys.readouterr().err
    assert (tmp_path / "results.json").read_text() == content
