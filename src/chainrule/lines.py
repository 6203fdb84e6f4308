"""The user's own line: what an error names, and what a node remembers of where it was recorded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from chainrule.graph import Line

__all__ = ["is_ours", "line_text", "user_line"]


def line_text(line: Line | None) -> str:
    """``net.py:12``, or nothing."""
    return f"{Path(line[0].co_filename).name}:{line[1]}" if line else ""


_PACKAGE = str(Path(__file__).parent)
_OUR_MODELS = str(Path(__file__).parent / "models")  # read like a user's own code
_COMMANDS = str(Path(__file__).parent / "cli")  # what called these is nobody's line
_OURS, _USERS, _END = range(3)
_kinds: dict[Any, int] = {}
_modules: dict[str, bool] = {}


def user_line() -> Line | None:
    """The innermost line that is not Chainrule's own, as (code, number): never a frame."""
    frame = sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        kind = _kinds.get(code)
        if kind is None:
            kind = _kinds[code] = _kind(code.co_filename)
        if kind == _USERS:
            return code, frame.f_lineno
        if kind == _END:
            return None
        frame = frame.f_back
    return None


def is_ours(kind: type) -> bool:
    """Whether a class is Chainrule's own, so that its methods are nobody's line."""
    name = kind.__module__
    found = _modules.get(name)
    if found is None:
        models = name.startswith("chainrule.models")
        found = _modules[name] = name.startswith("chainrule.") and not models
    return found


def _kind(file: str) -> int:
    if not file.startswith(_PACKAGE) or file.startswith(_OUR_MODELS):
        return _USERS
    return _END if file.startswith(_COMMANDS) else _OURS
