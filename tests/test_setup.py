"""scripts/setup.py: what a user reads when the set-up cannot work, and what it leaves behind."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).parent.parent / "scripts" / "setup.py"
PYPROJECT = """
[build-system]
requires = ["a-build-backend"]
build-backend = "a_build_backend"

[project]
name = "project"
version = "1"
"""
# pip sees no index and no folder of wheels, as if the machine were offline.
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
# Unpacking a pip of its own takes .venv some seconds; the one of this Python does as well.
BORROW_PIP = """
import subprocess
def run(command, run=subprocess.run, **how):
    borrow = ["--without-pip", "--system-site-packages"] if "venv" in command else []
    return run([*command, *borrow], **how)
subprocess.run = run
"""


@pytest.fixture
def project(tmp_path):
    """A folder, with a space in its name, that holds setup.py and a pyproject.toml."""
    folder = tmp_path / "a project"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(SETUP, folder / "scripts")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    return folder


def set_up(project, group="base", *, pretend="pass"):
    """Run setup.py in a Python that first does what `pretend` says."""
    script = project / "scripts" / "setup.py"
    start = f"import runpy; sys.argv = [{str(script)!r}, {group!r}]\n"
    start += "runpy.run_path(sys.argv[0], run_name='__main__')"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return subprocess.run(
        [sys.executable, "-c", f"import sys\n{pretend}\n{start}"],
        env=environment | OFFLINE,
        capture_output=True,
        text=True,
        check=False,
    )


def pretend_installed(project, group):
    """Give `project` a .venv in which `group` is installed, as its stamp says, and pip fails."""
    python = project / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 'ERROR: no network'; exit 1\n")
    python.chmod(0o755)
    requirements = {"requires": ["a-build-backend"], "build-backend": "a_build_backend"}
    made_from = [
        sys.implementation.cache_tag,
        str(project.resolve()),
        requirements,
        {"name": "project", "version": "1"},
    ]
    (project / ".venv" / f"made-{group}").write_text(json.dumps(made_from))


def one_sentence(text):
    return text.endswith(".\n") and text.count("\n") == 1


def test_an_old_python_is_told_so(project):
    result = set_up(project, pretend="sys.version_info, sys.version = (3, 9, 18), '3.9.18 (main)'")
    assert result.returncode == 1
    assert result.stderr.startswith(f"Chainrule needs Python 3.11 or newer, and {sys.executable} ")
    assert "is 3.9.18: install a newer one, or name it with PYTHON=" in result.stderr
    assert one_sentence(result.stderr)
    assert not (project / ".venv").exists()


def test_a_python_without_venv_is_told_the_package(project):
    result = set_up(project, pretend="sys.modules['ensurepip'] = None")
    assert result.returncode == 1
    assert "comes without the venv module: install it" in result.stderr
    assert "apt install python{}.{}-venv)".format(*sys.version_info) in result.stderr
    assert one_sentence(result.stderr)
    assert not (project / ".venv").exists()


def test_an_offline_machine_is_told_the_log_and_gets_no_stamp(project):
    result = set_up(project, pretend=BORROW_PIP)
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        f"setting up .venv (1 of 2): making it with Python {sys.version.split()[0]}",
        "setting up .venv (2 of 2): installing Chainrule and its libraries",
    ]
    assert "offline" in result.stderr
    assert ".venv/setup.log" in result.stderr
    assert one_sentence(result.stderr)
    assert "pip" in (project / ".venv" / "setup.log").read_text()
    assert not list((project / ".venv").glob("made-*"))


@pytest.mark.skipif(os.name == "nt", reason="the pretended Python is a shell script")
class TestWhatIsThereAlready:
    def test_a_second_run_does_nothing(self, project):
        pretend_installed(project, "base")
        result = set_up(project)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

    def test_a_failed_addition_leaves_the_rest(self, project):
        pretend_installed(project, "base")
        assert "(1 of 1)" in set_up(project, "dev").stdout
        assert "no network" in (project / ".venv" / "setup.log").read_text()
        assert set_up(project, "base").returncode == 0

    def test_two_commands_take_turns(self, project):
        import fcntl

        pretend_installed(project, "base")
        command = [sys.executable, project / "scripts" / "setup.py", "base"]
        lock = (project / "pyproject.toml").open()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as second:
            first_line = second.stdout.readline()
            lock.close()
        assert first_line == "waiting for another set-up of .venv\n"
        assert second.returncode == 0

    # Without venv, the run ends before it throws anything away.
    @pytest.mark.parametrize("change", ["interrupted", "no Python", "moved", "new needs"])
    def test_a_venv_that_cannot_be_trusted_is_made_again(self, project, change):
        pretend_installed(project, "base")
        if change == "interrupted":
            (project / ".venv" / "unfinished").touch()
        elif change == "no Python":
            (project / ".venv" / "bin" / "python").unlink()
        elif change == "moved":
            project = project.rename(project.parent / "elsewhere")
        else:
            (project / "pyproject.toml").write_text(PYPROJECT + 'dependencies = ["numpy"]\n')
        result = set_up(project, pretend="sys.modules['ensurepip'] = None")
        assert "(1 of 2)" in result.stdout
        assert result.returncode == 1


@pytest.mark.parity
def test_parity_compares_with_the_pinned_pytorch():
    import torch

    assert torch.__version__.partition("+")[0] == "2.13.0"
