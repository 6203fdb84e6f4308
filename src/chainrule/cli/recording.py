"""The option ``--record [WHAT]`` of verbs that train."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from chainrule.train.record import Wanted

__all__ = ["RECORD", "completed"]

RECORD = typer.Option(
    metavar="[WHAT]", help="For the studio: nothing more, all, steps=0,10-20, or nodes=conv*."
)


def completed(args: Sequence[str]) -> list[str]:
    """A verb's arguments, with a value for a ``--record`` that has none.

    >>> completed(["train", "--record", "lenet"])
    ['train', '--record=auto', 'lenet']
    """
    found = list(args)
    for k, arg in enumerate(found):
        after = found[k + 1] if k + 1 < len(found) else ""
        said = "=" in after and after[:1] != "-"  # if it can't be read, that is what is wrong
        if arg == "--record" and not said and not Wanted.reads(after):
            found[k] = "--record=auto"
    return found
