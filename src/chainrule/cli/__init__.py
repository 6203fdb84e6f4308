"""The command line: one file per verb.

``main`` loads the verbs when it runs, so that Ctrl-C while they are loaded is quiet too.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    try:
        verbs = _verbs()
    except KeyboardInterrupt:
        return 130
    return verbs.main(args)


def _verbs() -> Any:
    module = importlib.import_module("chainrule.cli.app")
    globals()["app"] = module.app  # the import has put the module under this name
    return module


def __getattr__(name: str) -> Any:
    if name == "app":
        return _verbs().app
    raise AttributeError(name)
