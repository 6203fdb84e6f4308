"""Strokes to pixels: what a pen of a given width leaves on a canvas.

A stroke is the path of the pen, `f64[P,2]`: points (x, y) in pixels, x to the right, y down, the
corner of the first pixel at (0, 0). One point is a dot.
"""

from collections.abc import Sequence

import numpy as np

from chainrule.errors import DataError, message

__all__ = ["rasterise"]


def rasterise(
    strokes: Sequence[Sequence[Sequence[float]]] | Sequence[np.ndarray],
    width: float,
    canvas: tuple[int, int] = (280, 280),
) -> np.ndarray:
    """Ink that a round pen leaves: `f32[H,W]`, 0 = paper, 1 = ink, edges one pixel soft.

    strokes: each `f64[P,2]` in pixels; width: the pen's diameter in pixels; canvas: (H, W). Ink
    outside the canvas is lost. Raises DataError for a stroke that is not a list of points.

    >>> rasterise([[(0, 1.5), (4, 1.5)]], width=1, canvas=(3, 4))
    array([[0., 0., 0., 0.],
           [1., 1., 1., 1.],
           [0., 0., 0., 0.]], dtype=float32)
    """
    ink = np.zeros(canvas, np.float32)
    for number, stroke in enumerate(strokes):
        points = _points(stroke, number)
        starts, ends = (points, points) if len(points) == 1 else (points[:-1], points[1:])
        for start, end in zip(starts, ends, strict=True):
            _add_segment(ink, start, end, width / 2)
    return ink


def _points(stroke: object, number: int) -> np.ndarray:
    try:
        points = np.asarray(stroke, np.float64)
    except (TypeError, ValueError):
        points = np.empty((0, 0))
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
        got = f"stroke {number} = {stroke!r:.40}"
        raise DataError(message("strokes", got, "a list of points (x, y), each a finite number"))
    return points


def _add_segment(ink: np.ndarray, start: np.ndarray, end: np.ndarray, radius: float) -> None:
    """Add one straight piece of a stroke, touching only the pixels around it."""
    height, width = ink.shape
    reach = radius + 1
    left, top = np.floor(np.minimum(start, end) - reach).astype(int).clip(0, (width, height))
    right, bottom = np.ceil(np.maximum(start, end) + reach).astype(int).clip(0, (width, height))
    x = np.arange(left, right) + 0.5 - start[0]
    y = np.arange(top, bottom)[:, None] + 0.5 - start[1]
    along = end - start
    length2 = along @ along
    nearest = ((x * along[0] + y * along[1]) / length2).clip(0, 1) if length2 else 0.0
    distance = np.hypot(x - nearest * along[0], y - nearest * along[1])
    covered = (radius + 0.5 - distance).clip(0, 1)
    part = ink[top:bottom, left:right]
    np.maximum(part, covered, out=part)
