"""A convolutional network as volumes: C×H×W to scale, kernels as windows, Linear layers as bars.

Heights and depths are in proportion to H and W, thicknesses to C; each with a least size, so that
nothing vanishes.  Branches are drawn one after the other, in the order of their calls.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chainrule.errors import UsageError, message
from chainrule.inspect.draw.svg import Canvas, Drawing, text_width
from chainrule.inspect.receptive_field import WINDOWS
from chainrule.inspect.walk import Call, Walk

__all__ = ["draw_blocks"]

TALLEST, THICKEST = 150.0, 70.0
LEAST_SIDE, LEAST_THICKNESS, BAR = 6.0, 4.0, 12.0
SLANT = 0.42  # how far depth goes to the right and up, per unit
ROW = 1500.0  # a row is broken where it gets wider
GAP = 34.0
NAMES = {"max_pool": "max pool", "avg_pool": "average pool", "conv": "conv"}


@dataclass
class Volume:
    """What a layer gives: channels and sides; units have none."""

    channels: int
    sides: tuple[int, ...]
    label: str  # how it came about: "conv 5×5"
    window: tuple[int, ...] = ()  # the kernel that reads the volume before it
    after: list[str] = field(default_factory=list)

    @property
    def size(self) -> str:
        """6@28×28, or 120."""
        return (
            f"{self.channels}@{'×'.join(map(str, self.sides))}"
            if self.sides
            else (f"{self.channels:,}")
        )


def draw_blocks(pass_: Walk) -> Drawing:
    """Raises UsageError for a model without convolution, pooling and Linear layers."""
    volumes = _volumes(pass_)
    canvas = Canvas()
    high = max((v.sides[0] for v in volumes if v.sides), default=1)
    most = max((v.channels for v in volumes if v.sides), default=1)
    units = max((v.channels for v in volumes if not v.sides), default=1)
    x, top, before = 0.0, 0.0, None
    rows = 0
    for volume in volumes:
        shape = _measures(volume, high, most, units)
        texts = [volume.label, *volume.after]
        words = max(text_width(text, 10.5) for text in (*texts, volume.size))
        room = max(shape[0] + shape[2] * SLANT, words)
        if x and x + room > ROW:
            x, top, before, rows = 0.0, top + TALLEST * (1 + SLANT) + 96, None, rows + 1
        left = x + (room - shape[0] - shape[2] * SLANT) / 2
        middle = top + TALLEST / 2
        front = (left, middle - shape[1] / 2 + shape[2] * SLANT / 2)
        if before is not None:
            _reading(canvas, before, volume, (left, front[1] + shape[1] / 2))
        _box(canvas, front, shape, volume)
        centre = x + room / 2
        canvas.text(centre, top - TALLEST * SLANT / 2 - 8, volume.size, size=10.5, bold=False)
        below = top + TALLEST * (1 + SLANT / 2) + 18
        canvas.lines(centre, below, [text for text in texts if text], size=10.5, look="faint")
        before = (volume, front, shape)
        x += room + GAP
    title = f"{type(pass_.model).__name__} as volumes"
    words = "From left to right: " + ", ".join(f"{v.label} {v.size}" for v in volumes) + "."
    data = {"style": "blocks", "volumes": [
        {"label": v.label, "channels": v.channels, "sides": list(v.sides), "kernel": list(v.window),
         "after": v.after} for v in volumes
    ]}  # fmt: skip
    return canvas.finish(title, words, data)


# ---------------------------------------------------------------- what is drawn


def _volumes(pass_: Walk) -> list[Volume]:
    shape = pass_.inputs[0].shape[1:]
    volumes = [_volume(shape, "input")]
    for call in pass_.innermost():
        if call.output is None:
            continue
        made = _read(call)
        if made is not None:
            volumes.append(made)
        elif call.kind not in ("Flatten", "Dropout", "Identity"):
            volumes[-1].after.append(call.kind)
    if len(volumes) == 1:
        got, needs = type(pass_.model).__name__, "convolutions, pooling or Linear layers"
        remedy = 'style="graph" draws any network'
        raise UsageError(message("draw", got, needs, remedy=remedy))
    return volumes


def _volume(shape: tuple[int, ...], label: str, window: tuple[int, ...] = ()) -> Volume:
    if len(shape) < 2:
        return Volume(shape[0] if shape else 1, (), label, window)
    return Volume(shape[0], tuple(shape[1:]), label, window)


def _read(call: Call) -> Volume | None:
    """The volume of a layer that reads windows or everything."""
    shape = call.output.shape[1:] if call.output is not None else ()
    for node in call.nodes:
        if node.op.name in WINDOWS:
            conv = node.op.name == "conv"
            kernel = node.inputs[1].shape[2:] if conv else node.meta["kernel"]
            by = "×".join(map(str, kernel))
            return _volume(shape, f"{NAMES[node.op.name]} {by}{_moves(node.meta)}", tuple(kernel))
    if call.kind == "Linear":
        name = call.path.rpartition(".")[2]
        return _volume(shape, "Linear" if not name or name.isdigit() else name)
    return None


def _moves(meta: Any) -> str:
    """The stride, where it is not 1 and not that of every pooling."""
    stride = meta["stride"]
    plain = (1,) * len(stride) if "kernel" not in meta else meta["kernel"]
    text = "" if tuple(stride) == tuple(plain) else f", stride {stride[0]}"
    return text + (f", pad {meta['padding'][0]}" if any(meta["padding"]) else "")


# ---------------------------------------------------------------- shapes


def _measures(volume: Volume, high: int, most: int, units: int) -> tuple[float, float, float]:
    """(thickness, height, depth) in pixels."""
    if not volume.sides:
        return BAR, max(LEAST_SIDE, TALLEST * volume.channels / units), 0.0
    rows, *columns = volume.sides
    depth = columns[-1] if columns else 0
    scale = TALLEST / high
    return (
        max(LEAST_THICKNESS, THICKEST * volume.channels / most),
        max(LEAST_SIDE, rows * scale),
        max(LEAST_SIDE, depth * scale),
    )


def _box(
    canvas: Canvas, front: tuple[float, float], shape: tuple[float, float, float], volume: Volume
) -> None:
    """A block seen from its left front: the face of depth × height is what windows slide over."""
    (x, y), (thick, tall, deep) = front, shape
    shift, rise = deep * SLANT, deep * SLANT
    look = "box frame-s"
    top = [(x, y), (x + shift, y - rise), (x + shift + thick, y - rise), (x + thick, y)]
    side = [(x + thick, y), (x + thick + shift, y - rise), (x + thick + shift, y - rise + tall),
            (x + thick, y + tall)]  # fmt: skip
    if deep:
        canvas.polygon(top, f"{look} paper-f")
        canvas.polygon(side, f"{look} value-f")
    canvas.rect(x, y, thick, tall, f"{look} weight-f", note=f"{volume.label}: {volume.size}")


def _reading(canvas: Canvas, before: Any, volume: Volume, point: tuple[float, float]) -> None:
    """The window on the volume before, and lines to the place that it becomes."""
    source, (x, y), (thick, tall, deep) = before
    if not volume.window or not source.sides or not deep:
        return
    scale = tall / source.sides[0]
    height = min(tall, max(5.0, volume.window[0] * scale))
    depth = min(deep, max(5.0, volume.window[-1] * scale))
    # In the middle of the right face, which is seen from the side.
    start = (deep - depth) / 2
    left = x + thick + start * SLANT
    top = y - start * SLANT + (tall - height) / 2
    corners = [
        (left, top), (left + depth * SLANT, top - depth * SLANT),
        (left + depth * SLANT, top - depth * SLANT + height), (left, top + height),
    ]  # fmt: skip
    canvas.polygon(corners, "box plus-s paper-f", note=f"{volume.label}: its window")
    for corner in (corners[1], corners[2]):
        canvas.line(corner, point, "plus-s thin")
