"""Pictures in a terminal: two pixels in each character cell."""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.style import Style
from rich.text import Text

from chainrule.cli.output import can_print_blocks, console

__all__ = ["paint", "side_by_side"]

_HALVES = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
_SHADES = " .:+*#"


def paint(image: np.ndarray, to: Console | None = None) -> list[Text]:
    """Lines of text for an image f[H,W], 0 = paper to 1 = ink; one line for two rows.

    Greys where the terminal has 256 colours, else half-blocks, else ASCII.
    """
    to = to or console()
    image = np.asarray(image, np.float64).clip(0, 1)
    if len(image) % 2:
        image = np.vstack([image, np.zeros((1, image.shape[1]))])
    pairs = zip(image[::2], image[1::2], strict=True)
    if not can_print_blocks(to.file):
        return [
            Text("".join(_shade((a + b) / 2) for a, b in zip(*rows, strict=True))) for rows in pairs
        ]
    if to.is_terminal and not to.no_color and to.color_system in ("truecolor", "256"):
        return [_grey_line(*rows) for rows in pairs]
    return [Text("".join(_HALVES[a, b] for a, b in zip(*(rows > 0.4), strict=True)))
            for rows in map(np.array, pairs)]  # fmt: skip


def side_by_side(pictures: list[list[Text]], gap: int = 1) -> list[Text]:
    """Pictures of one height in a row."""
    return [Text(" " * gap).join(lines) for lines in zip(*pictures, strict=True)]


def _shade(value: float) -> str:
    return _SHADES[min(int(value * len(_SHADES)), len(_SHADES) - 1)]


def _grey_line(upper: np.ndarray, lower: np.ndarray) -> Text:
    line = Text()
    for a, b in zip(upper, lower, strict=True):
        line.append("▀", Style(color=_grey(a), bgcolor=_grey(b)))
    return line


def _grey(value: float) -> str:
    level = round(20 + 225 * value)
    return f"rgb({level},{level},{level})"
