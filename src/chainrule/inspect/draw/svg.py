"""SVG text from shapes and words: colours, the widths of letters, and a canvas that knows both.

No font is loaded: widths come from a table of DejaVu Sans, which is wider than what most systems
take for ``sans-serif``, so that no word reaches out of its box.  Colours are named by what they
mean; each has a shade for light and for dark pages, with a contrast of at least 4.5 to the paper.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from math import inf
from os import PathLike
from pathlib import Path
from typing import Any

from chainrule.errors import UsageError, message
from chainrule.files import write_new

__all__ = ["PALETTE", "SHARED", "Canvas", "Drawing", "shortened", "text_width"]

Point = tuple[float, float]

# name: (on light paper, on dark paper)
PALETTE = {
    "paper": ("#ffffff", "#16191d"),
    "ink": ("#1b1f24", "#e8eaed"),
    "faint": ("#5b6470", "#a3acb8"),
    "frame": ("#6b7480", "#8b95a1"),
    "value": ("#eef1f4", "#262b32"),  # fills: words stand on them
    "weight": ("#e3edf9", "#1d3047"),
    "loss": ("#fbeedb", "#43331b"),
    "bar": ("#a8320a", "#ffa07a"),  # error signals
    "plus": ("#0b62b0", "#6cb6ff"),
    "minus": ("#b0440a", "#ff9d5c"),
}
# One colour for one shared weight.
SHARED = (
    ("#0b62b0", "#6cb6ff"),
    ("#b0440a", "#ff9d5c"),
    ("#1a7437", "#63d083"),
    ("#8a2fb0", "#d49bf0"),
    ("#8a6100", "#e3b93f"),
    ("#a81a58", "#ff8ab8"),
    ("#0b6f7c", "#4fd0de"),
)
DASHES = ("", "6 3", "2 3", "9 3 2 3", "1 2", "12 4", "4 2 1 2")

# Thousandths of the letter size, for the letters from space to ~ (DejaVu Sans).
ASCII = (
    "318 401 460 838 636 950 780 275 390 390 500 838 318 361 318 337 636 636 636 636 636 636 636 "
    "636 636 636 337 337 838 838 838 531 1000 684 686 698 770 632 575 775 752 295 295 656 557 863 "
    "748 787 603 787 695 635 611 732 684 989 685 611 685 390 337 390 838 500 500 613 635 550 635 "
    "615 352 635 634 278 278 579 278 974 634 612 635 635 411 521 392 634 592 818 592 592 525 636 "
    "337 636 838"
)
WIDTHS = {chr(32 + k): int(width) for k, width in enumerate(ASCII.split())}
OTHERS = 840  # any other letter; few are wider
WIDE = {"…": 1000, "⋮": 1000, "→": 838, "½": 969, "—": 1000}
BOLD = 1.2
LINE = 1.35  # a line's height, in letter sizes


def text_width(text: str, size: float, bold: bool = False) -> float:
    """How wide a text is, in pixels, or a little less.

    >>> text_width("v̄", 10) == text_width("v", 10)
    True
    """
    total = 0
    for letter in text:
        if unicodedata.combining(letter):
            continue
        plain = WIDTHS.get(letter) or WIDTHS.get(unicodedata.normalize("NFD", letter)[0])
        if unicodedata.east_asian_width(letter) in "WF":
            plain = 1000
        total += plain or WIDE.get(letter, OTHERS)
    return total * size / 1000 * (BOLD if bold else 1)


def shortened(text: str, letters: int) -> str:
    """A long text with … in its middle.

    >>> shortened("features.12.conv1", 11)
    'featu…conv1'
    """
    text = "".join(letter for letter in text if letter.isprintable())
    half = (letters - 1) // 2
    return text if len(text) <= letters else f"{text[: letters - 1 - half]}…{text[-half:]}"


class Drawing:
    """A finished picture: ``svg`` is its text; notebooks show it; ``save`` writes it."""

    def __init__(self, svg: str, title: str, data: dict[str, Any]) -> None:
        self.svg, self.title, self.data = svg, title, data

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<Drawing {self.title!r}: .svg is its text, .save(path) writes it>"

    def save(self, path: str | PathLike[str], overwrite: bool = False) -> Path:
        """Write an .svg file, whole or not at all; one that exists only with ``overwrite``."""
        if Path(path).suffix.lower() != ".svg":
            remedy = "Browsers, Inkscape and rsvg-convert turn it into others"
            raise UsageError(message("draw", f"the name {path}", "one that ends in .svg",
                                     remedy=remedy))  # fmt: skip
        content = self.svg.encode()
        remedy = "overwrite=True replaces it"
        return write_new(path, content, "draw", overwrite=overwrite, remedy=remedy)


class Canvas:
    """Shapes and words; ``finish`` puts paper under them that is large enough."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._low: list[float] = [inf, inf]
        self._high: list[float] = [-inf, -inf]

    # ------------------------------------------------------------ shapes

    def rect(
        self, x: float, y: float, width: float, height: float, look: str, *,
        radius: float = 0, note: str = "",
    ) -> None:  # fmt: skip
        """A box, its top left corner at (x, y)."""
        self._reach((x, y), (x + width, y + height))
        rounded = f' rx="{_n(radius)}"' if radius else ""
        size = f'width="{_n(width)}" height="{_n(height)}"'
        self._add(f'<rect x="{_n(x)}" y="{_n(y)}" {size}{rounded} class="{look}"', note)

    def circle(
        self, x: float, y: float, radius: float, look: str, *, width: float = 0, dash: str = "",
        note: str = "",
    ) -> None:  # fmt: skip
        """A circle around (x, y)."""
        self._reach((x - radius, y - radius), (x + radius, y + radius))
        place = f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" class="{look}"'
        self._add(place + _stroke(width, dash), note)

    def line(
        self, a: Point, b: Point, look: str, *, width: float = 0, dash: str = "", note: str = ""
    ) -> None:
        """A straight line."""
        self._reach(a, b)
        ends = f'x1="{_n(a[0])}" y1="{_n(a[1])}" x2="{_n(b[0])}" y2="{_n(b[1])}"'
        self._add(f'<line {ends} class="{look}"{_stroke(width, dash)}', note)

    def polygon(self, points: Sequence[Point], look: str, *, note: str = "") -> None:
        """A closed shape."""
        self._reach(*points)
        corners = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self._add(f'<polygon points="{corners}" class="{look}"', note)

    def curve(self, points: Sequence[Point], look: str, *, arrow: bool = True) -> None:
        """From point to point downwards, leaving and arriving upright; an arrow at the end."""
        self._reach(*points)
        path = f"M{_n(points[0][0])} {_n(points[0][1])}"
        for (x0, y0), (x1, y1) in pairwise(points):
            middle = _n((y0 + y1) / 2)
            straight = f"L{_n(x1)} {_n(y1)}"
            bent = f"C{_n(x0)} {middle} {_n(x1)} {middle} {_n(x1)} {_n(y1)}"
            path += straight if abs(x0 - x1) < 0.05 else bent
        tip = ' marker-end="url(#arrow)"' if arrow else ""
        self._add(f'<path d="{path}" class="{look}"{tip}')

    # ------------------------------------------------------------ words

    def text(
        self, x: float, y: float, words: str, *, size: float = 12, look: str = "ink",
        anchor: str = "middle", bold: bool = False,
    ) -> None:  # fmt: skip
        """One line of words, (x, y) on its base line."""
        width = text_width(words, size, bold)
        left = x - {"start": 0, "middle": width / 2, "end": width}[anchor]
        self._reach((left, y - size), (left + width, y + 0.3 * size))
        heavy = ' font-weight="bold"' if bold else ""
        place = f'x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" text-anchor="{anchor}"{heavy}'
        self._parts.append(f'<text {place} class="t {look}-t">{_words(words)}</text>')

    def lines(
        self, x: float, y: float, rows: Iterable[str], *, size: float = 12, look: str = "ink",
        anchor: str = "middle",
    ) -> float:  # fmt: skip
        """Several lines, the first base line at y; returns the last one's."""
        for row in rows:
            self.text(x, y, row, size=size, look=look, anchor=anchor)
            y += size * LINE
        return y - size * LINE

    # ------------------------------------------------------------ the whole

    def _add(self, start: str, note: str = "") -> None:
        end = f"><title>{_words(note)}</title></{start[1:].split(' ', 1)[0]}>" if note else "/>"
        self._parts.append(start + end)

    def _reach(self, *points: Point) -> None:
        for point in points:
            for k in (0, 1):
                self._low[k] = min(self._low[k], point[k])
                self._high[k] = max(self._high[k], point[k])

    def finish(self, title: str, description: str, data: dict[str, Any]) -> Drawing:
        """The picture with its title and description, for those who can't see it."""
        margin = 12
        x, y = (low - margin for low in self._low)
        width, height = (
            high - low + 2 * margin for high, low in zip(self._high, self._low, strict=True)
        )
        paper = f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'
        svg = "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" '
                f'height="{_n(height)}" viewBox="{_n(x)} {_n(y)} {_n(width)} {_n(height)}" '
                'role="img" aria-labelledby="title desc">',
                f'<title id="title">{_words(title)}</title>',
                f'<desc id="desc">{_words(description)}</desc>',
                f"<style>{_style()}</style>",
                '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="7" '
                'markerHeight="7" orient="auto"><path d="M0 0.5L8 4L0 7.5Z" class="tip"/>'
                "</marker></defs>",
                f'{paper} class="paper-f"/>',
                *self._parts,
                "</svg>\n",
            ]
        )
        size = {"width": round(width, 2), "height": round(height, 2)}
        return Drawing(svg, title, {"title": title, "description": description, **size, **data})


def _style() -> str:
    """Fills (-f), strokes (-s) and words (-t) of each colour, light and, where asked for, dark."""
    names = {**PALETTE, **{f"w{k}": pair for k, pair in enumerate(SHARED)}}
    fixed = (
        ".t{font-family:'DejaVu Sans',Verdana,Arial,sans-serif}"
        ".box{stroke-width:1.2}.edge{fill:none;stroke-width:1.2}.thin{stroke-width:.8}"
    )
    parts = []
    for shade in (0, 1):
        rules = "".join(
            f".{name}-f{{fill:{pair[shade]}}}.{name}-s{{stroke:{pair[shade]}}}"
            f".{name}-t{{fill:{pair[shade]}}}"
            for name, pair in names.items()
        )
        parts.append(rules + f".tip{{fill:{PALETTE['frame'][shade]}}}")
    return f"{fixed}{parts[0]}@media (prefers-color-scheme:dark){{{parts[1]}}}"


def _words(text: str) -> str:
    """Text for XML: escaped, and without letters that XML does not have."""
    return escape("".join(letter if letter.isprintable() else " " for letter in text), quote=False)


def _n(number: float) -> str:
    """A coordinate: at most two decimals, never -0."""
    return f"{round(float(number), 2) + 0:.2f}".rstrip("0").rstrip(".")


def _stroke(width: float, dash: str = "") -> str:
    text = f' stroke-width="{_n(width)}"' if width else ""
    return text + (f' stroke-dasharray="{dash}"' if dash else "")
