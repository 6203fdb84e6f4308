"""The command ``chainrule``: its verbs, and what happens when something goes wrong.

Exit codes: 0 done, 1 failed, 2 wrong use, 130 Ctrl-C.  A mistake prints one message on standard
error and no traceback; ``CHAINRULE_TRACEBACK=1`` shows it.
"""

from __future__ import annotations

import importlib
import io
import os
import shutil
import sys
import textwrap
import traceback
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from chainrule import __version__
from chainrule.cli.output import command, plain, say, say_json
from chainrule.errors import ChainruleError, UsageError

__all__ = ["VERBS", "command_line", "main"]

VERBS = (
    "train",
    "eval",
    "predict",
    "explain",
    "draw",
    "summary",
    "cost",
    "plan",
    "bench",
    "plot",
    "studio",
    "gradcheck",
    "run",
    "data",
    "cache",
    "doctor",
)

FIRST_STEPS = {
    "train lenet": "train a network on handwritten digits",
    "predict last": "let it read a digit, and see what it sees",
    "explain logistic": "every value and every error signal of one step",
}


def command_line(verbs: Iterable[str] = VERBS) -> typer.Typer:
    """The command with some of its verbs; the modules of the others are not loaded."""
    app = typer.Typer(
        name="chainrule",
        help="Chainrule: a neural-network framework that you can see through.",
        epilog="chainrule VERB --help shows a verb's options, with examples.",
        invoke_without_command=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_start)
    for name in verbs:
        verb = importlib.import_module(f"chainrule.cli.{name}")
        settings = getattr(verb, "SETTINGS", None)
        app.command(name, help=verb.HELP, context_settings=settings)(verb.run)
    return app


def _verbs_of(args: Sequence[str]) -> Iterable[str]:
    """The verb that is asked for; all of them for help, and where none is or a wrong one."""
    if args and args[0] in VERBS:
        return args[:1]
    return () if not args or args[0] == "--version" else VERBS


def _completed(args: Sequence[str]) -> list[str]:
    """The arguments, with the values that a verb lets one leave out."""
    if not args or args[0] not in VERBS:
        return list(args)
    verb = importlib.import_module(f"chainrule.cli.{args[0]}")
    return getattr(verb, "completed", list)(args)


def _start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What happens before a verb, or without one."""
    if version:
        say_json({"chainrule": __version__}) if json else say(f"chainrule {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        if json:
            say_json({"chainrule": __version__, "verbs": list(VERBS)})
        else:
            _welcome()


def _welcome() -> None:
    say(f"Chainrule {__version__}: a neural-network framework that you can see through\n")
    from chainrule.train.runs import RUNS  # not loaded for nothing

    known = any(RUNS.glob("*/last.safetensors"))  # only then there is something that can predict
    steps = {
        f"{command()} {words}": what
        for words, what in FIRST_STEPS.items()
        if known or not words.startswith("predict")
    }
    width = max(map(len, steps))
    fits = width + max(map(len, steps.values())) < 75
    for words, what in steps.items():
        say(f"  {words:{width}}    {what}" if fits else f"  {words}")
    say(f"\n{command()} --help lists all commands.")


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # no terminal is too old for a message
    given = list(sys.argv[1:] if args is None else args)
    try:
        given = _completed(given)
        click_command = typer.main.get_command(command_line(_verbs_of(given)))
        done = click_command.main(given, prog_name="chainrule", standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has gone: chainrule ... | head
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  what is left to flush goes there
        return 141  # 128 + SIGPIPE, as of any program in a pipe
    except Exception as error:
        return _failed(error, given)
    return done if isinstance(done, int) else 0


def _failed(error: Exception, given: Sequence[str]) -> int:
    """Tell what went wrong with the command line ``given``; returns the exit code."""
    if os.environ.get("CHAINRULE_TRACEBACK"):
        traceback.print_exc()
    if isinstance(error, ChainruleError):
        _complain(str(error))
        return 2 if isinstance(error, UsageError) else 1
    tell = getattr(error, "format_message", None)
    if tell is not None:  # typer's: wrong use
        text = tell()
        if "Did you mean" not in text:
            verb = f" {given[0]}" if given and given[0] in VERBS else ""
            text = f"{text.rstrip('.')}. {command()}{verb} --help shows what there is."
        _complain(f"chainrule: {text}")
        return int(getattr(error, "exit_code", 2))
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"chainrule: {where}{error.strerror or error}.")
        return 1
    if isinstance(error, MemoryError):
        _complain("chainrule: the memory is not enough. A smaller --batch-size needs less.")
        return 1
    _complain(
        f"chainrule: {type(error).__name__}: {error}. This should not have happened; "
        "CHAINRULE_TRACEBACK=1 shows where it did."
    )
    return 1


def _complain(text: str) -> None:
    lines = plain(text, sys.stderr).rstrip().splitlines()
    if sys.stderr.isatty():  # between words, unlike the terminal itself; tables are narrow
        width = shutil.get_terminal_size().columns
        lines = [part for line in lines for part in textwrap.wrap(line, width) or [""]]
    sys.stderr.write("\n".join(lines) + "\n")
