"""What all verbs print with: lines, JSON, the name of our own command."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from chainrule.inspect.notation import ascii_text

__all__ = ["can_print_blocks", "command", "console", "plain", "say", "say_json"]


class _Pipe(Console):
    """A console that tells when its reader has gone, instead of ending the program."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console() -> Console:
    """The console of standard output as it is now; rich obeys NO_COLOR."""
    return _Pipe(highlight=False, soft_wrap=True, emoji=False, markup=False)


def can_print_blocks(file: Any = None) -> bool:
    """Whether the output can hold ▀ and →."""
    encoding = getattr(file or sys.stdout, "encoding", None) or "ascii"
    return encoding.lower().replace("-", "").startswith("utf")


def plain(text: str, file: Any = None) -> str:
    """The text in letters that the output can hold."""
    return text if can_print_blocks(file) else ascii_text(text)


def say(line: str | Text = "", to: Console | None = None) -> None:
    """Print one line, on the console of a live bar if there is one."""
    if isinstance(line, str):
        line = plain(line)
    (to or console()).print(line)


def say_json(value: Any) -> None:
    """Print a value as one JSON document."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=not can_print_blocks()) + "\n")
    sys.stdout.flush()


def command() -> str:
    """How our own command is called from where the person stands, so that lines can be pasted."""
    called = Path(sys.argv[0])
    on_path = shutil.which("chainrule")
    if called.stem != "chainrule":  # python -m chainrule, or a test
        return "chainrule" if on_path else f"{_short(Path(sys.executable))} -m chainrule"
    if on_path and _same(Path(on_path), called):
        return "chainrule"
    return _short(called)


def _same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return False


def _short(path: Path) -> str:
    """The path from here, if it lies below; with quotes if it needs them."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  resolve() would follow the venv's link
    here = Path.cwd()
    text = str(absolute)
    if absolute.is_relative_to(here):
        text = str(absolute.relative_to(here))
        text = text if os.sep in text else os.path.join(".", text)  # noqa: PTH118  "." would go
    return f'"{text}"' if " " in text else text
