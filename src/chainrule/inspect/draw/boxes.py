"""Boxes and arrows: what a graph's picture is made of, whatever stands in the boxes."""

from __future__ import annotations

from dataclasses import dataclass, field

from chainrule.inspect.draw.layout import layout
from chainrule.inspect.draw.svg import LINE, Canvas, Drawing, text_width

__all__ = ["SEE_THROUGH", "Box", "draw_boxes"]

SEE_THROUGH = frozenset({"reshape", "expand", "cast", "permute", "detach"})  # no boxes
SIZE = 12


@dataclass
class Box:
    """A node of the picture: a title, lines below it, and how it looks."""

    title: str
    look: str
    lines: list[str] = field(default_factory=list)
    bars: list[str] = field(default_factory=list)  # in the colour of error signals
    name: str = ""  # of the value, in the data

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        below = [text_width(line, SIZE - 1) for line in self.lines + self.bars]
        width = max([text_width(self.title, SIZE, bold=True), *below])
        rows = 1 + len(self.lines) + len(self.bars)
        return max(40.0, width + 18), rows * SIZE * LINE + 10


def draw_boxes(
    boxes: list[Box], edges: list[tuple[int, int]], title: str, words: str, bars: bool
) -> Drawing:
    """The picture: boxes in their layers, edges between them (from, to), what the colours mean."""
    canvas = Canvas()
    sizes = [box.size for box in boxes]
    found = layout(sizes, edges)
    for route in found.routes:
        canvas.curve(route, "edge frame-s")
    for box, (width, height), (x, y) in zip(boxes, sizes, found.places, strict=True):
        left, top = x - width / 2, y - height / 2
        canvas.rect(left, top, width, height, f"box {box.look}-f frame-s", radius=5)
        line = top + 5 + SIZE
        canvas.text(x, line, box.title, size=SIZE, bold=True)
        line = canvas.lines(x, line + SIZE * LINE, box.lines, size=SIZE - 1)
        canvas.lines(x, line + SIZE * LINE, box.bars, size=SIZE - 1, look="bar")
    if bars:
        low = min(x - w / 2 for (x, _), (w, _) in zip(found.places, sizes, strict=True))
        under = max(y + h / 2 for (_, y), (_, h) in zip(found.places, sizes, strict=True)) + 30
        canvas.text(low, under, "v: value, computed downwards", size=11, look="faint",
                    anchor="start")  # fmt: skip
        canvas.text(low, under + 16, "v̄: error signal, computed upwards", size=11, look="bar",
                    anchor="start")  # fmt: skip
    nodes = [
        {"name": box.name, "lines": box.lines, "bars": box.bars, "layer": layer,
         "x": round(x, 2), "y": round(y, 2), "width": round(w, 2), "height": round(h, 2)}
        for box, layer, (x, y), (w, h) in zip(boxes, found.layers, found.places, sizes, strict=True)
    ]  # fmt: skip
    return canvas.finish(title, words, {"style": "graph", "nodes": nodes, "edges": edges})
