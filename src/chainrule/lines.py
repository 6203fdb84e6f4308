"""The user's own line: what an error names, and what a node remembers of where it was recorded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from chainrule.graph import Line

__all__ = ["line_text", "user_line"]


def line_text(line: Line | None) -> str:
    """``net.py:12``, or nothing."""
    return f"{Path(line[0].co_filename).name}:{line[1]}" if line else ""


_PACKAGE = str(Path(__file__).parent)
_OUR_MODELS = str(Path(__file__).parent / "models")  # read like a user's own code
_ours: dict[Any, bool] = {}


def user_line() -> Line | None:
    """The innermost line that is not Chainrule's own, as (code, number): never a frame."""
    frame = sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        ours = _ours.get(code)
        if ours is None:
            name = code.co_filename
            ours = name.startswith(_PACKAGE) and not name.startswith(_OUR_MODELS)
            _ours[code] = ours
        if not ours:
            return code, frame.f_lineno
        frame = frame.f_back
    return None
