"""The command line: one file per verb.

``main`` loads the verb that is asked for when it runs, so that Ctrl-C while it is loaded is quiet.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    try:
        app = importlib.import_module("chainrule.cli.app")
    except KeyboardInterrupt:
        return 130
    return app.main(args)
