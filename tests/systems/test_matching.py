import numpy as np
import pytest

from chainrule.inspect.template import find_template
from chainrule.random import Stream
from chainrule.systems.filtering import picture_of
from chainrule.systems.matching import SIDE, SIZE, _exact, scenes, template


def test_the_four_is_where_the_scene_says():
    found = scenes(12, Stream(3, 0))
    assert found.pictures.shape == (12, 1, 32, 32) and found.pictures.dtype == np.float32
    assert found.pictures.min() >= 0 and found.pictures.max() <= 1
    for picture, place in zip(found.pictures, found.places, strict=True):
        match = find_template(picture[0], template())
        assert (match.row + SIZE // 2) * SIDE + match.column + SIZE // 2 == place
        assert match.score > 0.95


def test_a_turned_four_is_no_longer_like_the_template():
    upright, turned = (scenes(12, Stream(3, 0), turned=(a, a)) for a in (0, 60))
    assert np.array_equal(upright.places, turned.places)
    scores = [find_template(p[0], template()).score for p in turned.pictures]
    assert max(scores) < 0.85


@pytest.mark.parametrize("size", [(40, 33), (96, 96)])
def test_what_holds_exactly_holds_on_any_picture(size):
    rng = np.random.default_rng(0)
    picture = np.cumsum(np.cumsum(rng.normal(size=size), 0), 1)
    assert all(_exact(picture / np.abs(picture).max()))


def test_it_holds_on_the_drawn_picture(monkeypatch):
    monkeypatch.delenv("CHAINRULE_DATA", raising=False)
    assert all(_exact(picture_of(None)[0]))
