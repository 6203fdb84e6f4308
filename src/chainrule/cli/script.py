"""``script.py:loss``: what a variable is after a script has run."""

from __future__ import annotations

import contextlib
import runpy
import sys
import traceback
from pathlib import Path
from typing import Any

from chainrule.errors import ChainruleError, UsageError, did_you_mean, message
from chainrule.tensor import Tensor

__all__ = ["is_script", "run_script", "scalar_of"]


def is_script(what: str) -> bool:
    """Whether a target means a script: ``net.py:loss``, or ``net.py`` for its ``loss``."""
    return what.endswith(".py") or ".py:" in what


def scalar_of(what: str, verb: str) -> tuple[Tensor, dict[str, Any]]:
    """The scalar tensor that ``net.py:loss`` means, and the script's variables.

    Raises UsageError if there is no such file or variable, if it is no tensor or no scalar, or if
    the script raises.
    """
    file, _, name = what.rpartition(".py")
    name = name.removeprefix(":") or "loss"
    variables = run_script(Path(f"{file}.py"), verb)
    tensors = [key for key, x in variables.items() if isinstance(x, Tensor) and key[:1] != "_"]
    if name not in variables:
        needs = f"one of its tensors: {', '.join(tensors)}" if tensors else "a variable of a script"
        remedy = did_you_mean(name, tensors)
        raise UsageError(message(verb, f"no {name!r} in {file}.py", needs, remedy=remedy))
    value = variables[name]
    if not isinstance(value, Tensor):
        got = f"{name}, a {type(value).__name__}"
        remedy = f"{file}.py has {', '.join(tensors)}" if tensors else ""
        raise UsageError(message(verb, got, "a tensor", remedy=remedy))
    if value.numel() != 1:
        got = f"{name} of shape {list(value.shape)}"
        raise UsageError(message(verb, got, "a scalar", remedy="sum() or mean() makes one"))
    return value, variables


def run_script(path: Path, verb: str) -> dict[str, Any]:
    """Run a script and return its variables; what it prints goes to standard error."""
    if not path.is_file():
        raise UsageError(message(verb, str(path), "a Python file that is there"))
    before = sys.argv[:], sys.path[:]
    sys.argv, sys.path[:0] = [str(path)], [str(path.resolve().parent)]
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return runpy.run_path(str(path), run_name="__main__")
    except ChainruleError:
        raise  # a text that says where
    except SystemExit as end:
        got = f"an exit with {end.code!r} before its end"
        raise UsageError(message(path.name, got, "a script that runs through")) from None
    except Exception as error:
        line = _line(error, path)
        got = f"{type(error).__name__}: {error}"
        raise UsageError(message(path.name, got, "a script that runs", line=line)) from error
    finally:
        sys.argv, sys.path[:] = before


def _line(error: Exception, path: Path) -> str:
    """The last line of the script that the error has passed."""
    numbers = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path)
    ]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        numbers.append(error.lineno)
    return f"{path.name}:{numbers[-1]}" if numbers else path.name
