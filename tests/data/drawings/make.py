"""How `drawings.json` was made: thirty digits, drawn by program as a person might draw them.

    python tests/data/drawings/make.py

Ten digits in three styles, each style with shapes of its own. They stand in for what people draw
in the studio, so they were committed before any network was trained and are never changed.
Below, a digit is strokes separated by `;`, a stroke is smooth curves that meet at corners `|`, a
curve is points `x,y` in a box about 60 wide and 100 high, y down.
"""

import json
from pathlib import Path

import numpy as np

CANVAS = 280

PLAIN = [
    "32,2 12,16 2,50 12,84 32,98 52,82 59,50 50,16 32,2",
    "10,28 34,2 | 34,100",
    "4,26 12,8 32,0 52,10 54,32 38,58 4,98 | 62,98",
    "6,12 26,0 50,8 52,28 38,44 22,47 | 46,52 58,72 46,94 22,100 2,86",
    "14,0 2,58 | 62,58 ; 46,26 46,100",
    "10,2 6,44 | 32,36 54,52 56,78 34,98 2,90 ; 10,2 54,2",
    "44,2 22,24 6,56 8,84 26,98 47,92 55,74 44,57 24,57 8,74",
    "2,4 58,4 | 36,46 22,100",
    "50,12 30,0 10,12 14,32 34,48 53,66 50,90 28,100 6,88 8,66 26,48 46,32 50,12",
    "52,20 34,2 10,10 4,34 20,50 42,44 52,20 | 50,60 46,100",
]

OFF_CENTRE = [
    "44,5 24,12 8,40 4,72 16,94 34,94 52,66 58,32 50,8 36,7",
    "32,0 32,100",
    "6,24 18,4 40,2 52,20 46,44 28,74 10,92 2,86 10,77 26,84 44,96 64,90",
    "4,2 54,2 | 24,40 | 48,46 58,68 46,92 20,98 2,84",
    "40,0 0,64 | 62,64 ; 40,0 40,100",
    "56,2 16,4 | 10,42 | 38,40 54,60 46,88 20,98 0,88",
    "50,0 26,26 8,62 12,92 36,98 56,82 50,62 28,60 12,78",
    "0,2 56,2 | 30,100",
    "32,46 12,36 10,12 30,0 50,12 48,36 32,46 ; 32,46 8,58 4,84 30,100 56,84 54,58 32,46",
    "52,14 30,0 6,16 8,40 28,48 48,34 52,14 | 54,50 46,84 24,100 4,92",
]

SMALL = [
    "38,0 12,14 0,50 14,88 38,100 66,84 74,48 62,12 34,2",
    "10,24 34,0 | 34,100 ; 8,100 60,100",
    "6,30 8,10 28,0 50,8 54,28 40,52 18,76 2,96 | 20,91 40,97 60,92",
    "4,20 18,2 44,6 50,26 32,44 | 55,56 54,84 28,98 0,88",
    "18,2 4,54 | 30,51 58,53 ; 50,6 40,100",
    "14,4 4,48 | 26,40 48,50 52,74 36,96 2,94 ; 14,4 34,5 58,0",
    "54,10 36,0 14,16 2,56 10,90 34,100 56,80 48,55 24,52 6,68",
    "4,6 58,2 | 24,100 ; 14,52 54,48",
    "30,46 10,28 16,6 36,0 50,16 42,36 20,54 4,78 20,98 44,96 56,76 44,57 28,45",
    "50,22 34,2 10,8 2,30 18,46 40,40 50,22 | 40,62 26,100",
]


def smooth(points: np.ndarray) -> np.ndarray:
    """f64[K,2] -> f64[P,2]: the Catmull-Rom curve through the points, 8 pieces between two."""
    closed = len(points) > 2 and (points[0] == points[-1]).all()
    before = points[-2] if closed else 2 * points[0] - points[1]
    after = points[1] if closed else 2 * points[-1] - points[-2]
    knots = np.vstack([before, points, after])
    a, b, c, d = (knots[i : len(knots) - 3 + i, None] for i in range(4))
    t = np.linspace(0, 1, 8, endpoint=False)[:, None]
    square, cube = 2 * a - 5 * b + 4 * c - d, 3 * b - a - 3 * c + d
    curve = b + t * (c - a) / 2 + t**2 * square / 2 + t**3 * cube / 2
    return np.vstack([curve.reshape(-1, 2), points[-1]])


def path(stroke: str) -> np.ndarray:
    """The points of one stroke, f64[P,2]; a corner `|` ends one curve and begins the next."""
    curves = [np.array([p.split(",") for p in c.split()], np.float64) for c in stroke.split("|")]
    starts = [curves[0][:0], *(curve[-1:] for curve in curves)]
    return np.vstack([smooth(np.vstack(pair)) for pair in zip(starts, curves, strict=False)])


def tremble(points: np.ndarray, phase: float) -> np.ndarray:
    """A hand is not a ruler: bend the plane by about one hundredth of the digit's height."""
    x, y = points.T
    dx = np.sin(0.055 * y + phase) + 0.5 * np.sin(0.13 * y + 0.07 * x + 2 * phase)
    dy = np.sin(0.06 * x + 1.7 * phase) + 0.5 * np.sin(0.12 * x + 0.05 * y + phase)
    return points + np.stack([dx, dy], axis=1)


def place(
    points: np.ndarray, height: float, centre: tuple[float, float], slant: float, degrees: float
) -> np.ndarray:
    """From the box to the canvas: scaled, slanted to the right, turned clockwise, moved."""
    p = (points - (30, 50)) * height / 100
    p[:, 0] -= slant * p[:, 1]
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return p @ np.array([[cos, sin], [-sin, cos]]) + centre


def main() -> None:
    """Write drawings.json beside this file."""
    lines = []
    for digit in range(10):
        corner = [(90, 100), (195, 95), (85, 185), (190, 180)][digit % 4]
        styles = [  # name, shapes, pen, height, centre, slant
            ("plain", PLAIN, 20, 200, (140, 140), 0.0),
            ("off-centre", OFF_CENTRE, 15, 140, corner, 0.18),
            ("small", SMALL, 8, 72, (150, 130), 0.06),
        ]
        degrees = (-4, 3, -2, 5, 1)[digit % 5]
        for style, shapes, width, *where in styles:
            strokes = [
                place(tremble(path(stroke), 2.4 * len(lines)), *where, degrees).round(1).tolist()
                for stroke in shapes[digit].split(";")
            ]
            drawing = {"label": digit, "style": style, "width": width, "strokes": strokes}
            lines.append(json.dumps(drawing, separators=(",", ":")))
    head = f'{{"drawn_by": "program (make.py)", "canvas": [{CANVAS}, {CANVAS}], "drawings": [\n'
    file = Path(__file__).with_name("drawings.json")
    file.write_text(head + ",\n".join(lines) + "\n]}\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
