"""The results as bars: a frame for each network, a bar for each contestant, ours in colour."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chainrule.bench.race import LABELS, OURS
from chainrule.errors import UsageError, message
from chainrule.inspect.plot import COLOURS, FORMATS, INSTALL

__all__ = ["bars", "check_name"]


def check_name(path: Path) -> None:
    """Raise UsageError unless a picture of this name can be drawn."""
    if path.suffix.lower() not in FORMATS:
        needs = "a name that ends in " + ", ".join(FORMATS)
        raise UsageError(message("bench", f"--picture {path}", needs))
    _matplotlib()


def bars(races: Sequence[dict[str, Any]], ending: str = ".svg") -> bytes:
    """The file's content; milliseconds of a training step, less is better."""
    rc_context, figure_type = _matplotlib()
    with rc_context({"svg.hashsalt": "chainrule"}):
        columns = min(len(races), 3)
        rows = -(-len(races) // columns)
        figure = figure_type(figsize=(4.2 * columns, 2.1 * rows + 0.4), layout="constrained")
        figure.suptitle("A training step in milliseconds: less is better")
        frames = figure.subplots(rows, columns, squeeze=False).ravel()
        for frame, race in zip(frames, races, strict=False):
            _frame(frame, race)
        for frame in frames[len(races) :]:
            frame.set_visible(False)
        content = io.BytesIO()
        figure.savefig(content, format=ending[1:], dpi=150, metadata=FORMATS[ending])
    return content.getvalue()


def _matplotlib() -> tuple[Any, Any]:
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        got = "a picture without matplotlib"
        raise UsageError(message("bench", got, "matplotlib", remedy=INSTALL)) from None
    return rc_context, Figure


def _frame(frame: Any, race: dict[str, Any]) -> None:
    times = {
        name: 1e3 * found["train"]["median"]
        for name, found in race["contestants"].items()
        if "train" in found
    }
    colours = [COLOURS[1] if name in OURS else "#9aa5ad" for name in times]
    drawn = frame.barh([LABELS[name] for name in times], list(times.values()), color=colours)
    frame.bar_label(drawn, fmt="%.3g", padding=3, fontsize=8)
    frame.invert_yaxis()
    frame.margins(x=0.18)
    frame.tick_params(labelsize=8)
    frame.set_title(f"{race['network']}, batch {race['batch']}", fontsize=10)
    frame.spines[["top", "right"]].set_visible(False)
