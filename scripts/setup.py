"""Make .venv, the folder of libraries that the Makefile's targets run in.

    python scripts/setup.py base|dev|docs|parity|bench|studio

One line for each stage, one sentence if something is missing; what pip says goes to
.venv/setup.log. Nothing is done a second time: a stamp in .venv holds what it was made from.

Any Python since 2.7 must be able to read this file, to be told that it is too old. So the
version comes first, and there are no f-strings and no annotations.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "Chainrule needs Python 3.11 or newer, and {} is {}: install a newer one, or name it "
        "with PYTHON=/path/to/python.".format(sys.executable, sys.version.split()[0])
    )

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
LOG = VENV / "setup.log"
UNFINISHED = VENV / "unfinished"  # here while pip works; found by a later run, pip was interrupted

GROUPS = {  # what to install, and how to call it; each group holds those before it, but ALONE
    "base": (".", "Chainrule and its libraries"),
    "dev": (".[dev]", "Chainrule and the tools that test it"),
    "docs": (".[dev,docs]", "Chainrule and the tools that test and document it"),
    "parity": (".[dev,docs,parity]", "Chainrule, its tools and PyTorch to compare with"),
    "bench": (".[dev,docs,parity,bench]", "Chainrule, its tools, PyTorch, JAX and TensorFlow"),
    "studio": (".[dev,studio-dev]", "Chainrule and the tools that build its studio"),
}
ALONE = {"studio": ("base", "dev", "studio")}  # what such a group holds; no other holds it


def main(group):
    """Bring .venv to the point where `group` is installed."""
    with Path(ROOT, "pyproject.toml").open("rb") as pyproject:
        take_turns(pyproject)  # until the file is closed
        bring_up_to_date(group, stamp_text(tomllib.load(pyproject)))


def bring_up_to_date(group, wanted):
    """Install `group` unless it is there; a .venv that does not fit `wanted` is made again."""
    sound = PYTHON.exists() and not UNFINISHED.exists()  # no link to a Python that is gone
    done = [name for name in GROUPS if sound and stamp(name) == wanted]
    if group in done:
        return
    stages = 1 if done else 2
    if not done:
        say(1, stages, "making it with Python " + sys.version.split()[0])
        make_venv()
    requirement, what = GROUPS[group]
    say(stages, stages, "installing " + what)
    install(requirement)
    for name in held(group):
        stamp_file(name).write_text(wanted, encoding="utf-8")


def held(group):
    """Return the groups that are there once `group` is installed."""
    names = [name for name in GROUPS if name not in ALONE]
    return ALONE.get(group) or names[: names.index(group) + 1]


def make_venv():
    """Make .venv from nothing; what a half-made one holds is thrown away."""
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        sys.exit(
            "{} comes without the venv module: install it (on Debian and Ubuntu: sudo apt install "
            "python{}.{}-venv), or name another Python with PYTHON=/path/to/python.".format(
                sys.executable, *sys.version_info[:2]
            )
        )
    command = [sys.executable, "-I", "-m", "venv", "--clear", str(VENV)]
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if made.returncode != 0:
        reason = " ".join(made.stdout.split())
        sys.exit("{} could not make .venv: {}".format(sys.executable, reason))


def install(requirement):
    """Let pip install `requirement` into .venv, all of it or nothing."""
    command = [PYTHON, "-I", "-m", "pip", "install", "--no-user", "--editable", requirement]
    UNFINISHED.touch()
    with LOG.open("w", encoding="utf-8") as log:
        pip = subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    UNFINISHED.unlink()
    if pip.returncode != 0:
        sys.exit("pip could not install this (is the machine offline?): see .venv/setup.log.")
    # pip compiles what it installs, but for an editable package: its first start would be slow.
    subprocess.run([PYTHON, "-I", "-m", "compileall", "-q", str(Path(ROOT, "src"))])


def take_turns(file):
    """Hold a lock on `file` as long as it is open; wait if a command in another terminal has it."""
    with contextlib.suppress(ImportError, OSError):  # Windows; file systems without locks
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stdout.write("waiting for another set-up of .venv\n")
            sys.stdout.flush()
            fcntl.flock(file, fcntl.LOCK_EX)


def stamp_text(pyproject):
    """Return what a stamp holds: all that .venv depends on, its own place among it."""
    python = sys.implementation.cache_tag  # such as cpython-311
    return json.dumps([python, str(ROOT), pyproject["build-system"], pyproject["project"]])


def stamp_file(group):
    """Where the stamp of `group` lies."""
    return VENV / ("made-" + group)


def stamp(group):
    """Return what `group` was installed from, or None if it is not installed."""
    try:
        return stamp_file(group).read_text(encoding="utf-8")
    except OSError:
        return None


def say(stage, stages, what):
    """Print the one line of a stage."""
    sys.stdout.write("setting up .venv ({} of {}): {}\n".format(stage, stages, what))
    sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that pip ends with us
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        sys.exit("Setting up .venv failed: {}.".format(error))
