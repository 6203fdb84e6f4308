"""The command line: one file per verb."""

from chainrule.cli.app import app, main

__all__ = ["app", "main"]
