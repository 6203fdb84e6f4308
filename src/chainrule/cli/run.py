"""``chainrule run``: a PyTorch script, unchanged, on Chainrule."""

from __future__ import annotations

import runpy
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from chainrule.cli import recording
from chainrule.cli.output import command, say
from chainrule.cli.torch_names import torch_is_chainrule
from chainrule.errors import ChainruleError, NameNotFoundError, UsageError, message
from chainrule.train.record import Wanted
from chainrule.train.record_script import recorded
from chainrule.train.runs import Run

HELP = """Run a PyTorch script on Chainrule, unchanged.

In the script, torch and torchvision's datasets and transforms mean Chainrule's. What stands
after the script's name is handed on to it. An installed PyTorch is not loaded. With --record
its steps are kept in a folder of runs/, for the studio.

\b
Examples:
  chainrule run train_mnist.py
  chainrule run train_mnist.py --epochs 3
  chainrule run --record train_mnist.py
"""

SETTINGS = {"ignore_unknown_options": True, "allow_interspersed_args": False}


def completed(args: Sequence[str]) -> list[str]:
    """The verb's own arguments completed, the script's as they are."""
    own = next((k for k, arg in enumerate(args) if arg.endswith(".py")), len(args))
    return [*recording.completed(args[:own]), *args[own:]]


def run(
    script: Annotated[str, typer.Argument(help="A Python file.", show_default=False)],
    arguments: Annotated[list[str] | None, typer.Argument(help="The script's own words.")] = None,
    record: Annotated[str | None, recording.RECORD] = None,
) -> None:
    """Run."""
    path = Path(script)
    if not path.is_file():
        raise UsageError(message("run", script, "a Python file that is there"))
    wanted = Wanted.of(record or False)
    if wanted is None:
        _run(script, path, arguments)
        return
    made = Run.create(path.stem, {"system": None, "script": str(path.resolve()), "record": record})
    say(f"recording into {made}")
    try:
        with recorded(made, wanted):
            _run(script, path, arguments)
        made.write_config(made.config | {"result": {}})
    finally:
        made.release()
        _say_what_is_kept(made)


def _say_what_is_kept(made: Run) -> None:
    """How many steps can be looked at, and where; or why there are none."""
    steps, kept = len(made.records.statistics()), len(made.records.steps())
    if kept:
        say(f"kept {kept} of {steps} steps; to look at them: {command()} studio {made.folder.name}")
    elif steps:
        say(f"none of {steps} steps was among those to keep: --record alone chooses some")
    else:
        say("no step was recorded: the script called no backward()")


def _run(script: str, path: Path, arguments: list[str] | None) -> None:
    sys.argv = [script, *(arguments or [])]
    sys.path.insert(0, str(path.resolve().parent))
    with torch_is_chainrule():
        try:
            runpy.run_path(script, run_name="__main__")
        except NameNotFoundError as error:
            raise NameNotFoundError(f"{error}{_line_of(error, path)}") from None
        except (ChainruleError, KeyboardInterrupt):
            raise  # a text that says where, or the person's own wish
        except SystemExit as end:
            _exit(end)
        except Exception as error:
            _show_their_frames(error, path)
            raise typer.Exit(1) from None


def _exit(end: SystemExit) -> None:
    """As Python ends: with a number, or with a text on standard error and 1."""
    if end.code is None or isinstance(end.code, int):
        raise typer.Exit(end.code or 0)
    sys.stderr.write(f"{end.code}\n")
    raise typer.Exit(1)


def _line_of(error: Exception, script: Path) -> str:
    """Where in the script an error arose."""
    lines = [
        f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(script)
    ]
    return f" ({script.name}:{lines[-1]})" if lines else ""


def _show_their_frames(error: Exception, script: Path) -> None:
    """The traceback from the script's first line on: what lies above is how it was started."""
    frames = traceback.TracebackException.from_exception(error)
    inside = [f.filename == str(script) for f in frames.stack]
    if True not in inside and isinstance(error, SyntaxError):  # the script's: nothing of it ran
        sys.stderr.write("".join(frames.format_exception_only()))
        return
    del frames.stack[: inside.index(True) if True in inside else 0]
    sys.stderr.write("".join(frames.format()))
