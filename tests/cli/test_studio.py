import json
import subprocess
import sys

import pytest

from chainrule.cli import main
from chainrule.cli import studio as verb
from chainrule.studio.pages import check_built
from chainrule.train.runs import Run


@pytest.fixture
def served(tmp_path, monkeypatch):
    """What the verb would serve, in a folder of runs."""
    monkeypatch.chdir(tmp_path)
    config = {"system": "xor", "epochs": 3}
    for place in ("runs/xor-001", "runs/xor-002", "elsewhere/mine"):
        Run.create("xor", config, place).release()
    calls = []

    def serve(runs, **how):
        how.pop("announce")("http://127.0.0.1:8765/?token=x")
        calls.append(how | {"names": sorted(run["name"] for run in runs.list())})

    monkeypatch.setattr(verb, "serve", serve)
    monkeypatch.setattr(verb, "check_built", lambda: None)
    return calls


IN_RUNS = ["xor-001", "xor-002"]


@pytest.mark.parametrize(
    ("words", "page", "names"),
    [
        ([], "/", IN_RUNS),
        (["last"], "/?run=xor-002", IN_RUNS),
        (["xor-001"], "/?run=xor-001", IN_RUNS),
        (["runs/xor-001"], "/?run=xor-001", IN_RUNS),
        (["elsewhere/mine"], "/?run=mine", ["mine", *IN_RUNS]),
        (["xor"], "/network?run=xor-untrained-001", ["xor-untrained-001", *IN_RUNS]),
        (["4-3-2"], "/network?run=4-3-2-untrained-001", ["4-3-2-untrained-001", *IN_RUNS]),
    ],
)
def test_it_opens_with_what_is_named(served, words, page, names):
    assert main(["studio", *words]) == 0
    (found,) = served
    assert found.pop("training").state([])["state"] == "idle"
    assert found == {"page": page, "port": None, "browser": True, "names": sorted(names)}


NET = "import torch\nnet = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())\n"


def test_a_module_of_a_script_is_opened(served, tmp_path):
    (tmp_path / "own.py").write_text(NET.replace("torch", "chainrule"))
    assert main(["studio", "own.py:net"]) == 0
    assert served[0]["page"] == "/network?run=own-untrained-001"


def test_a_script_runs_and_is_followed(served, tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(verb.Training, "run_script", lambda self, path: begun.append(path.name))
    (tmp_path / "own.py").write_text(NET)
    assert main(["studio", "own.py"]) == 0
    assert begun == ["own.py"] and served[0]["page"] == "/?follow=yes"


def test_one_line_with_the_link(served, capsys):
    assert main(["studio", "--port", "9000", "--no-browser"]) == 0
    link = "http://127.0.0.1:8765/?token=x"
    assert capsys.readouterr().out == f"Chainrule studio: {link} (Ctrl-C ends it)\n"
    assert (served[0]["port"], served[0]["browser"]) == (9000, False)
    assert main(["studio", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"url": link}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("net.py", ["[open] got net.py, needs a Python file that is there"]),
        ("net.py:net", ["net.py, needs a Python file that is there"]),
        ("xor-003", ["'xor-003'", "Did you mean xor-00"]),
        ("resnet", ["'resnet'", "needs a run, a script (.py), widths (784-128-10) or a model"]),
    ],
)
def test_what_is_nothing_to_open_is_told(served, capsys, name, words):
    assert main(["studio", name]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert served == []


def test_help_promises_what_there_is(capsys):
    main(["studio", "--help"])
    page = capsys.readouterr().out
    assert "[WHAT]" in page and all(word in page for word in ("run", "script", "model"))


def test_missing_pages_are_told(served, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(verb, "check_built", lambda: check_built(tmp_path))
    assert main(["studio"]) == 2
    assert "make studio" in capsys.readouterr().err


def test_ctrl_c_is_status_130(tmp_path):
    program = (
        "import sys; from chainrule.cli import main, studio; studio.check_built = lambda: None;"
        "sys.exit(main(['studio', '--no-browser']))"
    )
    command = [sys.executable, "-c", program]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, **streams) as process:
        assert process.stdout.readline().startswith("Chainrule studio: http://127.0.0.1:")
        process.send_signal(2)
        assert process.wait(20) == 130
        assert process.stdout.read() == "" and process.stderr.read() == ""
