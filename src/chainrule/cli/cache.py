"""``chainrule cache``: what was compiled and is kept on disk; removing it."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from chainrule.cli.output import say, say_json
from chainrule.errors import UsageError, did_you_mean, message
from chainrule.run.llvm.cache import default_cache

HELP = """Show or clear what was compiled and is kept for the next time.

ACTION is info, path or clear. CHAINRULE_CACHE names another folder, CHAINRULE_CACHE_SIZE how many
MB it may hold (512; 0 for no cache).

\b
Examples:
  chainrule cache
  chainrule cache clear
"""

_ACTIONS = ("info", "path", "clear")
_WORDS = {"object": "compiled kernel"}


def run(
    action: Annotated[
        str, typer.Argument(help="info, path or clear.", show_default=False)
    ] = "info",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show, tell where, or clear."""
    if action not in _ACTIONS:
        remedy = did_you_mean(action, _ACTIONS)
        raise UsageError(message("cache", repr(action), "info, path or clear", remedy=remedy))
    kept = default_cache()
    entries = kept.entries()
    folder = None if kept.folder is None else str(kept.folder)
    facts = {
        "folder": folder,
        "entries": dict(sorted(Counter(entry.kind for entry in entries).items())),
        "bytes": sum(entry.size for entry in entries),
        "limit": kept.limit,
    }
    if action == "clear":
        kept.clear()
    if json:
        say_json(facts | {"cleared": action == "clear"})
    elif action == "path":
        say(folder or "no folder")
    else:
        many = [
            f"{count:,} {_WORDS.get(kind, kind)}{'s' * (count != 1)}"
            for kind, count in facts["entries"].items()
        ]
        size = f"{facts['bytes'] / 1e6:.1f} MB"
        say(f"{'removed ' if action == 'clear' else ''}{', '.join(many) or 'nothing'}, {size}")
        say(f"{folder or 'no folder'}, at most {kept.limit / 1e6:,.0f} MB")
