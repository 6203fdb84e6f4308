"""Plots as files, by matplotlib, which is loaded when the first one is drawn."""

from __future__ import annotations

import io
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import UsageError, message
from chainrule.files import write_new

__all__ = ["FORMATS", "save_plot"]

# Nothing in a file tells when or by what it was made: the same numbers give the same bytes.
FORMATS: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
# Told apart by all eyes (Okabe and Ito 2008), and by their dashes.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#8a3f8f", "#a07000", "#333333", "#3a8fc4")
DASHES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 1)), (0, (3, 3)))
INSTALL = "pip install chainrule[plot]"
WIDTH, HEIGHT = 4.2, 3.1  # of a frame, in inches


def save_plot(plot: Any, path: str | PathLike[str], overwrite: bool = False) -> Path:
    """Draw a ``Plot`` into a .png, .svg or .pdf file.

    Raises UsageError for another ending, for a file that exists and if matplotlib is not there.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        needs = "one that ends in " + ", ".join(FORMATS)
        raise UsageError(message("plot", f"the name {path}", needs))
    content, remedy = _drawn(plot, path.suffix.lower()), "overwrite=True replaces it"
    return write_new(path, content, "plot", overwrite=overwrite, remedy=remedy)


def _drawn(plot: Any, ending: str) -> bytes:
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        got = "a plot without matplotlib"
        raise UsageError(message("plot", got, "matplotlib", remedy=INSTALL)) from None
    columns = min(len(plot.panels), 2 if len(plot.panels) <= 4 else 4)
    rows = -(-len(plot.panels) // columns)
    tall = HEIGHT * (1.25 if any(panel.surface for panel in plot.panels) else 1)
    with rc_context({"svg.hashsalt": "chainrule", "axes.unicode_minus": True}):
        figure = Figure(figsize=(columns * WIDTH, rows * tall + 0.5), layout="constrained")
        figure.suptitle(plot.title)
        frames = figure.subplots(rows, columns, squeeze=False).ravel()
        for frame, panel in zip(frames, plot.panels, strict=False):
            _panel(frame, panel)
        for frame in frames[len(plot.panels) :]:
            frame.set_visible(False)
        content = io.BytesIO()
        figure.savefig(content, format=ending[1:], dpi=150, metadata=FORMATS[ending])
    return content.getvalue()


def _panel(frame: Any, panel: Any) -> None:
    """One frame: curves in their colours, a derivative in its function's with dashes."""
    solid = not any(curve.dashed for curve in panel.curves) and len(panel.curves) > 1
    if panel.surface:
        _contours(frame, panel.surface)
    for k, curve in enumerate(panel.curves):
        style = DASHES[k % len(DASHES)] if solid else "--" if curve.dashed else "-"
        look = {"color": COLOURS[k % len(COLOURS)], "linestyle": style, "linewidth": 1.6}
        if panel.surface:
            look |= {"marker": ".", "markersize": 3, "linewidth": 1.1}
        elif len(curve.x) <= 20:
            look["marker"] = "o"
        frame.plot(curve.x, curve.y, label=curve.name, **look)
    if panel.logarithmic:
        frame.set_yscale("log")
    frame.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
    if not panel.surface:
        frame.grid(alpha=0.3)
    if panel.surface:  # below: inside it would hide paths
        frame.legend(fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    elif len(panel.curves) > 1:
        frame.legend(fontsize=8)


def _contours(frame: Any, surface: Any) -> None:
    """Lines of equal height, closer together where it is steep; the lowest point as a cross."""
    (left, right), (low, high) = surface.frame
    x, y = np.meshgrid(np.linspace(left, right, 161), np.linspace(low, high, 161))
    z = surface.function(x, y)
    levels = np.geomspace(max(z.min(), 1e-2 * z.max()), z.max(), 12)
    frame.contour(x, y, z, levels=levels, colors="#9aa3ad", linewidths=0.7)
    frame.plot(*surface.lowest, "+", color="#000000", markersize=10)
    frame.set(xlim=(left, right), ylim=(low, high))
