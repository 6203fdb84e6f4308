import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from chainrule import __version__
from chainrule.cli import doctor as doctor_verb
from chainrule.cli import main
from chainrule.cli.app import VERBS, command_line

ALL_VERBS = {
    *("train", "eval", "predict", "explain", "draw", "summary", "gradcheck", "plan", "plot"),
    *("cost", "data", "bench", "run", "studio", "cache", "doctor"),
}


def run(*words, **environment):
    command = [sys.executable, "-m", "chainrule", *words]
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env=os.environ | environment
    )


def test_bare_it_says_what_to_do_first():
    done = run()
    assert done.returncode == 0
    assert "chainrule train lenet" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_version():
    assert run("--version").stdout == f"chainrule {__version__}\n"
    assert json.loads(run("--version", "--json").stdout) == {"chainrule": __version__}


def test_a_verb_is_loaded_when_it_is_asked_for():
    program = (
        "import sys; from chainrule.cli import main; main(['explain', 'logistic', '--json']);"
        "print(*(name for name in sys.modules if '.cli.' in name), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    loaded = done.stderr.split()
    assert "chainrule.cli.explain" in loaded and "chainrule.cli.train" not in loaded


def test_help_names_every_verb_and_every_verb_has_examples():
    runner = CliRunner()
    app = command_line()
    text = runner.invoke(app, ["--help"]).output
    assert {"train", "predict", "explain", "data", "doctor"} <= set(VERBS) <= ALL_VERBS
    for verb in VERBS:
        assert f"  {verb} " in text
        page = runner.invoke(app, [verb, "--help"]).output
        assert f"Examples:\n    chainrule {verb}" in page
        assert "--json" in page or verb == "run"  # what a script prints is its own
        assert max(map(len, page.splitlines())) <= 80


def test_a_misspelt_verb():
    done = run("trian")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "chainrule: No such command 'trian'. Did you mean 'train'?\n"


def test_wrong_use_names_the_help_that_says_more(capsys):
    for words, help_of in (
        [["nonsense"], ""],
        [["eval"], " eval"],
        [["studio", "--port", "x"], " studio"],
    ):
        assert main(words) == 2
        error = capsys.readouterr().err
        assert error.endswith(f"chainrule{help_of} --help shows what there is.\n")
        assert len(error.splitlines()) == 1


def test_the_unexpected_is_one_message_and_a_hint(monkeypatch, capsys):
    monkeypatch.setattr(doctor_verb, "_folder", lambda: 1 / 0)
    assert main(["doctor"]) == 1
    error = capsys.readouterr().err
    assert "ZeroDivisionError" in error and "CHAINRULE_TRACEBACK=1" in error
    assert len(error.splitlines()) == 1
    monkeypatch.setenv("CHAINRULE_TRACEBACK", "1")
    assert main(["doctor"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_old_terminal_gets_plain_characters():
    done = run("gradcheck", "matmul", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0
    assert done.stdout.isascii()
    done = run("train", "logistic", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert "  z_bar = y_bar*dy/dz = y_bar*sigma'(z)" in done.stdout and "?" not in done.stdout
    assert "\nw_bar   " in done.stdout
    done = run("summary", "lenet", "--input", "1x32x32", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert "576 = 16*6*6: view of max_pool2d(conv2), input 32x32." in done.stderr


def test_predict_is_a_first_step_only_where_there_is_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    assert "predict" not in capsys.readouterr().out
    (tmp_path / "runs" / "lenet-001").mkdir(parents=True)
    (tmp_path / "runs" / "lenet-001" / "last.safetensors").touch()
    assert main([]) == 0
    assert "predict last" in capsys.readouterr().out


INTERRUPTED_WHILE_IT_IS_LOADED = """
import sys
class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupts())
from chainrule.cli import main
sys.exit(main())
"""


def test_ctrl_c_while_the_verbs_are_loaded_is_quiet():
    command = [sys.executable, "-c", INTERRUPTED_WHILE_IT_IS_LOADED]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_a_reader_that_leaves_is_no_error():
    command = f"{sys.executable} -m chainrule gradcheck ops | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stderr == ""


def test_doctor(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "1,257 train, 180 validation, 360 test" in out
    assert "derivatives of a small network agree" in out
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["self-test"]["ok"]


def test_gradcheck(capsys):
    assert main(["gradcheck", "xor"]) == 0
    assert "the derivatives agree" in capsys.readouterr().out
    assert main(["gradcheck", "tanh", "--json"]) == 0
    assert main(["gradcheck", "tahn"]) == 2
    assert "Did you mean tanh?" in capsys.readouterr().err


def test_explain(capsys):
    assert main(["explain"]) == 0
    assert "logistic" in capsys.readouterr().out
    assert main(["explain", "logistic"]) == 0
    assert main(["explain", "logistics"]) == 2
    assert "Did you mean logistic?" in capsys.readouterr().err
