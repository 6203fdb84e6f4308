"""``chainrule doctor``: what this installation has, and whether it works."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from chainrule import __version__, nn, random
from chainrule.cli.output import can_print_blocks, console, say, say_json
from chainrule.data import digits
from chainrule.errors import ChainruleError
from chainrule.gradcheck import gradcheck

HELP = """Check this installation: versions, processor, terminal, data, and a self-test.

\b
Examples:
  chainrule doctor
  chainrule doctor --json
"""

LIBRARIES = ("numpy", "safetensors", "pillow", "rich", "typer")


def run(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Examine."""
    checks = {
        "chainrule": (True, f"{__version__} in {Path(__file__).parents[1]}"),
        "python": (sys.version_info >= (3, 11), f"{platform.python_version()} ({sys.executable})"),
        "system": (True, f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"),
        "libraries": _libraries(),
        "BLAS": (True, _blas()),
        "terminal": (True, _terminal()),
        "this folder": _folder(),
        "digits": _data(),
        "self-test": _self_test(),
    }
    if json:
        say_json({name: {"ok": ok, "found": found} for name, (ok, found) in checks.items()})
    else:
        for name, (ok, found) in checks.items():
            say(f"{'ok' if ok else 'NO':2}  {name:11}  {found}")
    if not all(ok for ok, _ in checks.values()):
        raise typer.Exit(1)


def _libraries() -> tuple[bool, str]:
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            return False, f"{name} is missing: pip install {name}"
    return True, ", ".join(found[:3])  # all must be there; the numbers of these matter most


def _blas() -> str:
    config = np.show_config(mode="dicts")
    blas = config.get("Build Dependencies", {}).get("blas", {}) if config else {}
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    threads = [f"{name}={os.environ[name]}" for name in names if name in os.environ]
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}, " + (
        ", ".join(threads) or "as many threads as cores"
    )


def _terminal() -> str:
    to = console()
    kind = f"{to.color_system} colours" if to.is_terminal and to.color_system else "no colours"
    size = f"{to.width} columns, " if to.is_terminal else "no terminal, "
    return size + kind + (", UTF-8" if can_print_blocks() else ", no UTF-8: plain characters")


def _folder() -> tuple[bool, str]:
    here = Path.cwd()
    try:
        with tempfile.TemporaryFile(dir=here):
            pass
    except OSError as error:
        return False, f"{here} can't be written to ({error.strerror}): runs need --out FOLDER"
    return True, f"{here}, {shutil.disk_usage(here).free / 1e9:.1f} GB free"


def _data() -> tuple[bool, str]:
    try:
        sizes = [f"{len(digits(part)[1]):,} {part}" for part in ("train", "validation", "test")]
    except ChainruleError as error:
        return False, str(error)
    return True, ", ".join(sizes)


def _self_test() -> tuple[bool, str]:
    """Numeric against automatic derivatives of a small network."""
    begun, state = time.perf_counter(), random.get_state()
    random.manual_seed(0)
    try:
        net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        x = np.random.default_rng(0).normal(size=(2, 3))
        report = gradcheck(net, x, symbolic=False)  # SymPy is an extra, and takes seconds
    except ChainruleError as error:
        return False, str(error)
    finally:
        random.set_state(state)
    worst = max(comparison.relative_error for comparison in report.worst)
    seconds = time.perf_counter() - begun
    verdict = "agree" if report else "differ"
    return bool(report), f"derivatives of a small network {verdict} ({worst:.0e}, {seconds:.1f} s)"
