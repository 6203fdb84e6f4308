"""Strokes to pixels, and the thirty drawings that were committed before any network was trained."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.data import rasterise
from chainrule.errors import DataError

DRAWINGS = Path(__file__).parent / "drawings" / "drawings.json"
points = st.lists(st.tuples(st.floats(0, 40), st.floats(0, 30)), min_size=1, max_size=5)


def test_a_dot_has_the_area_of_a_disc():
    ink = rasterise([[(20, 15)]], width=12, canvas=(30, 40))
    assert ink.shape == (30, 40)
    assert ink.dtype == np.float32
    assert ink.sum() == pytest.approx(np.pi * 6**2, rel=0.01)
    rows, columns = np.nonzero(ink == 1)
    assert ((rows + 0.5 - 15) ** 2 + (columns + 0.5 - 20) ** 2 < 6**2).all()


def test_a_line_has_the_area_of_its_length_times_its_width():
    ink = rasterise([[(10, 10), (80, 60)]], width=5, canvas=(70, 90))
    length = np.hypot(70, 50)
    assert ink.sum() == pytest.approx(5 * length + np.pi * 2.5**2, rel=0.01)


@given(points, st.floats(1, 9))
def test_ink_lies_within_the_pen_and_between_0_and_1(stroke, width):
    ink = rasterise([stroke], width, canvas=(30, 40))
    assert ink.min() >= 0
    assert 0 < ink.max() <= 1
    rows, columns = np.nonzero(ink)
    reach = width / 2 + 0.5
    x, y = np.array(stroke).T
    assert columns.min() + 0.5 >= x.min() - reach
    assert columns.max() + 0.5 <= x.max() + reach
    assert rows.min() + 0.5 >= y.min() - reach
    assert rows.max() + 0.5 <= y.max() + reach


@given(points, st.floats(1, 9))
def test_direction_and_repetition_do_not_matter(stroke, width):
    once = rasterise([stroke], width, canvas=(30, 40))
    again = rasterise([stroke, stroke[::-1]], width, canvas=(30, 40))
    np.testing.assert_allclose(once, again, atol=1e-5)


def test_ink_outside_the_canvas_is_lost():
    assert not rasterise([[(-50, -50), (-20, 90)], [(400, 5)]], 8, canvas=(30, 40)).any()
    assert not rasterise([], 8, canvas=(30, 40)).any()


@pytest.mark.parametrize("bad", [[], [1, 2], [(1, 2, 3)], [(1, "x")], [(1, float("nan"))], None])
def test_not_a_stroke(bad):
    with pytest.raises(DataError) as caught:
        rasterise([[(1, 2)], bad], 8)
    text = f"[strokes] got stroke 1 = {bad!r}, needs a list of points (x, y), each a finite number."
    assert str(caught.value) == text


def test_the_drawings_are_thirty_on_their_canvas_and_never_change():
    content = DRAWINGS.read_text(encoding="utf-8")
    assert (
        hashlib.sha256(content.encode()).hexdigest()
        == "25a767c78ff9106dca7a45b5a670efd0388232a7731759f1d7d4787ddb88106e"
    )
    file = json.loads(content)
    assert file["drawn_by"].startswith("program")
    assert file["canvas"] == [280, 280]
    assert Counter(d["style"] for d in file["drawings"]) == dict.fromkeys(
        ["plain", "off-centre", "small"], 10
    )
    assert sorted(d["label"] for d in file["drawings"]) == sorted([*range(10)] * 3)
    for drawing in file["drawings"]:
        ink = rasterise(drawing["strokes"], drawing["width"], tuple(file["canvas"]))
        border = np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]])
        assert not border.any(), "a digit touches the edge"
        assert 200 < ink.sum() < 15_000
