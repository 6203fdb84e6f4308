"""HTML for notebook cells: arrays as pictures with their figures, trees of modules, graphs.

Each piece stands by itself: its style is inside, pictures are data, names are escaped, and a dark
notebook gets its own colours.  Only arrays and texts come in, so that every room may use it.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

__all__ = ["Branch", "array_html", "framed", "graph_html", "tree_html"]

NUMBERS = 64  # of at most so many, each is written out
MAPS = 16  # pictures of one array
SIDE = 256  # rows and columns of a picture; of larger ones each so-and-so-many-th is drawn
CELL = 160  # pixels of a picture's longer side, about
PERCENT = 99.5  # of the sizes, at which the colours end

PURPLE, GREEN, INK = (91, 42, 134), (27, 99, 53), (29, 28, 26)
BLUE, ORANGE, MAGENTA = (29, 79, 156), (151, 69, 0), (176, 0, 127)

STYLE = """<style>
.chainrule{font:14px/1.5 system-ui,sans-serif;color:#1d1c1a;font-variant-numeric:tabular-nums}
.chainrule .m{color:#5d5a54}
.chainrule figure{display:inline-block;margin:4px 16px 4px 0;vertical-align:top}
.chainrule figcaption{font-size:12px;color:#5d5a54;max-width:28em}
.chainrule img{image-rendering:pixelated;outline:1px solid #d9d5cb;margin:2px;background:#fbfaf7}
.chainrule table{border-collapse:collapse;margin:4px 0}
.chainrule td,.chainrule th{padding:1px 10px 1px 0;text-align:right;font-weight:400}
.chainrule th{color:#5d5a54}
.chainrule ul{list-style:none;margin:0;padding-left:20px}
.chainrule details>ul,.chainrule ul ul{border-left:1px solid #d9d5cb}
.chainrule summary{cursor:pointer}
.chainrule pre{overflow:auto;max-height:30em;font-size:12px}
.chainrule iframe{width:100%;height:720px;border:1px solid #8a867c}
DARK
</style>"""
DARK_RULES = (
    ("", "color:#ece9e2"),
    (" .m", "color:#a8a49b"),
    (" figcaption", "color:#a8a49b"),
    (" th", "color:#a8a49b"),
    (" img", "outline-color:#36393d;background:#161719"),
    # hues stay: what is purple is purple in the dark too, only lighter
    (" img.n", "filter:invert(1) hue-rotate(180deg);background:#e9e8e6"),
)


def framed(parts: Sequence[str]) -> str:
    """Pieces of HTML in one block with its style, in light and dark."""
    system = "".join(f".chainrule{of}{{{rule}}}" for of, rule in DARK_RULES)
    own = "".join(
        f'[data-jp-theme-light="{{}}"] .chainrule{of}{{{{{rule}}}}}' for of, rule in DARK_RULES
    )
    # A notebook's own theme goes before the system's.
    dark = (
        f"@media (prefers-color-scheme:dark){{{system.replace('.chainrule', LIGHT)}}}"
        + own.format(*["false"] * len(DARK_RULES))
    )
    return f'<div class="chainrule">{STYLE.replace("DARK", dark)}{"".join(parts)}</div>'


LIGHT = ':root:not(:has([data-jp-theme-light="true"])) .chainrule'


# ---------------------------------------------------------------- arrays


def array_html(
    value: np.ndarray, title: str, origin: str = "", gradient: np.ndarray | None = None
) -> str:
    """A tensor's heat map or numbers, its figures, the op that made it, and its gradient.

    >>> html = array_html(np.array([1.0, -2.0]), "f64[2] <w>", "mul")
    >>> "f64[2] &lt;w&gt;" in html and "rms 1.581" in html
    True
    """
    made = f' <span class="m">{escape(origin)}</span>' if origin else ""
    parts = [f"<div><b>{escape(title)}</b>{made}</div>", _shown(value, title, PURPLE, GREEN)]
    if gradient is not None:
        parts += [
            '<div><b>gradient</b> <span class="m">orange: raising the value raises the loss, '
            "blue: lowers it</span></div>",
            _shown(gradient, f"gradient of {title}", BLUE, ORANGE),
        ]
    return framed(parts)


def _shown(array: np.ndarray, title: str, low: tuple[int, ...], high: tuple[int, ...]) -> str:
    figures = f'<div class="m">{escape(_figures(array))}</div>'
    if not array.size or array.ndim == 0:
        return f"<pre>{escape(str(array))}</pre>" if array.ndim else f"<div>{array}</div>"
    pictures = _pictures(array, title, low, high)
    if array.ndim <= 2 and array.size <= NUMBERS:
        return f"<figure>{_table(array)}</figure>{pictures}{figures}"
    return pictures + figures


def _figures(array: np.ndarray) -> str:
    """``min −1, mean 0.25, max 2, rms 1.1, 3 of 8 exactly zero, 1 NaN``"""
    if not array.size or array.dtype == bool:
        return f"{int(array.sum())} of {array.size} true" if array.size else "no numbers"
    exact = array.astype(np.float64)
    sound = exact[np.isfinite(exact)]
    told = []
    if sound.size:
        rms = float(np.sqrt(np.mean(sound**2)))
        figures = {"min": sound.min(), "mean": sound.mean(), "max": sound.max(), "rms": rms}
        told += [f"{name} {number:.4g}" for name, number in figures.items()]
    told.append(f"{int((exact == 0).sum()):,} of {array.size:,} exactly zero")
    if (lost := int(np.isnan(exact).sum())) > 0:
        told.append(f"{lost:,} NaN")
    if (endless := array.size - sound.size - lost) > 0:
        told.append(f"{endless:,} infinite")
    return ", ".join(told).replace("-", "−")


def _table(array: np.ndarray) -> str:
    rows = "".join(
        "<tr>" + "".join(f"<td>{_number(x)}</td>" for x in row) + "</tr>"
        for row in np.atleast_2d(array)
    )
    return f"<table>{rows}</table>"


def _number(x: np.generic) -> str:
    return str(x) if x.dtype == bool else f"{x:.4g}".replace("-", "−")


def _pictures(array: np.ndarray, title: str, low: tuple[int, ...], high: tuple[int, ...]) -> str:
    """The last two axes as pictures, 16 at most, all of one scale."""
    exact = np.asarray(array, np.float64)
    sizes = np.abs(exact[np.isfinite(exact)])
    scale = float(np.percentile(sizes, PERCENT)) if sizes.size > NUMBERS else 0.0
    scale = scale or float(sizes.max(initial=0.0))
    signed = bool((exact < 0).any()) or low == BLUE
    planes = exact.reshape(-1, *np.atleast_2d(exact).shape[-2:])
    images = []
    for k, plane in enumerate(planes[:MAPS]):
        rows, columns = (-(-size // SIDE) for size in plane.shape)
        small = plane[::rows, ::columns]
        cell = (
            max(1, CELL // max(small.shape)) if len(planes) == 1 else max(1, 80 // max(small.shape))
        )
        name = f"{title}, {k + 1} of {len(planes)}" if len(planes) > 1 else title
        source = base64.b64encode(_png(_colours(small, scale, signed, low, high))).decode()
        images.append(
            f'<img class="n" src="data:image/png;base64,{source}" alt="{escape(name)}" '
            f'width="{small.shape[1] * cell}" height="{small.shape[0] * cell}">'
        )
    more = f" + {len(planes) - MAPS:,} more" if len(planes) > MAPS else ""
    step = max(-(-size // SIDE) for size in planes.shape[1:])
    every = f"; every {_nth(step)} row or column" if step > 1 else ""
    ends = f"±{scale:.4g}" if signed else f"0 to {scale:.4g}"
    colours = "purple below zero, green above, " if signed and low == PURPLE else ""
    caption = f"{colours}{ends}{every}{more}".replace("-", "−")
    return f"<figure>{''.join(images)}<figcaption>{escape(caption)}</figcaption></figure>"


def _nth(number: int) -> str:
    return f"{number}{({1: 'st', 2: 'nd', 3: 'rd'}).get(number, 'th')}"


def _colours(
    plane: np.ndarray, scale: float, signed: bool, low: tuple[int, ...], high: tuple[int, ...]
) -> np.ndarray:
    """u8[H,W,4]: the colour says the sign and its strength the size, so zero is the page itself."""
    share = np.clip(np.nan_to_num(np.abs(plane) / scale if scale else 0 * plane, nan=1), 0, 1)
    picture = np.empty((*plane.shape, 4), np.uint8)
    picture[..., :3] = np.where((plane < 0)[..., None], low, high if signed else INK)
    picture[..., 3] = np.round(255 * share)
    picture[np.isnan(plane)] = (*MAGENTA, 255)
    return picture


def _png(picture: np.ndarray) -> bytes:
    """u8[H,W,4] as PNG."""
    height, width = picture.shape[:2]
    lines = np.zeros((height, 1 + 4 * width), np.uint8)  # each line begins with its filter, none
    lines[:, 1:] = picture.reshape(height, -1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    pixels = zlib.compress(lines.tobytes(), 6)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


# ---------------------------------------------------------------- trees and graphs


class Branch(NamedTuple):
    """A module in a tree: what it is called, its own parameters as (name, type), those below it."""

    name: str
    kind: str
    parameters: int  # with those below
    own: Sequence[tuple[str, str]]
    below: Sequence[Branch]


def tree_html(tree: Branch) -> str:
    """Modules that unfold, each with the number of its parameters and the shapes of its own.

    >>> "7 parameters" in tree_html(Branch("", "Linear", 7, [("weight", "f32[1,6]")], []))
    True
    """
    return framed([_branch(tree, True)])


def _branch(tree: Branch, opened: bool) -> str:
    name = f"<b>{escape(tree.name)}</b> " if tree.name else ""
    count = f"{tree.parameters:,} parameters" if tree.parameters else ""
    head = f'{name}{escape(tree.kind)} <span class="m">{count}</span>'
    own = [
        f'<li>{escape(name)} <span class="m">{escape(kind)}</span></li>' for name, kind in tree.own
    ]
    below = [f"<li>{_branch(each, False)}</li>" for each in tree.below]
    if not own and not below:
        return head
    state = " open" if opened or tree.below else ""
    return f"<details{state}><summary>{head}</summary><ul>{''.join(own + below)}</ul></details>"


def graph_html(title: str, listing: str, svg: str) -> str:
    """A graph: its picture, if there is one, and its nodes line by line."""
    parts = [f"<div><b>{escape(title)}</b></div>"]
    if svg:
        source = base64.b64encode(svg.encode()).decode()
        label = escape(f"{title}: the nodes below say the same", quote=True)
        parts.append(f'<img src="data:image/svg+xml;base64,{source}" alt="{label}">')
    text = f"<pre>{escape(listing, quote=False)}</pre>"
    opened = "" if svg else " open"
    parts.append(f"<details{opened}><summary>Nodes</summary>{text}</details>")
    return framed(parts)
