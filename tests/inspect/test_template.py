"""Template matching against scikit-image, its invariances, and its gradients."""

import numpy as np
import pytest
from skimage.feature import match_template as skimage_match

import chainrule as cr
from chainrule.inspect.template import find_template, match_template


def scene(height=20, width=23, seed=0):
    """A smooth random picture f64[H,W], and a piece of it f64[5,6] cut out at (7, 11)."""
    rng = np.random.default_rng(seed)
    picture = np.cumsum(np.cumsum(rng.normal(size=(height, width)), 0), 1)
    picture = (picture - picture.min()) / np.ptp(picture)
    return picture, picture[7:12, 11:17].copy()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("offset", [0, 50])
def test_equal_to_scikit_image(dtype, offset):
    picture, template = scene()
    rng = np.random.default_rng(1)
    for t in (template, rng.normal(size=(4, 4)), rng.normal(size=(20, 1))):
        expected = skimage_match(picture, t)
        got = match_template((picture + offset).astype(dtype), t.astype(dtype)).numpy()
        tolerance = 1e-10 if dtype == np.float64 else (1e-5 if offset == 0 else 2e-3)
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("gain", "offset"), [(1, 0), (0.1, 3), (40, -7)])
def test_the_planted_template_scores_one_at_any_gain_and_offset(gain, offset):
    picture, template = scene()
    found = find_template(gain * picture + offset, template)
    assert (found.row, found.column) == (7, 11)
    assert found.score == pytest.approx(1, abs=1e-9)
    plain = match_template(picture, template).numpy()
    moved = match_template(gain * picture + offset, template).numpy()
    np.testing.assert_allclose(moved, plain, rtol=0, atol=1e-9)
    assert np.abs(plain).max() <= 1 + 1e-9
    against = match_template(-picture, template).numpy()
    np.testing.assert_allclose(against, -plain, rtol=0, atol=1e-9)


def test_windows_without_a_pattern_score_nothing():
    picture = np.zeros((6, 8))
    picture[2:4, 5:7] = [[1, 2], [3, 4]]
    scores = match_template(picture, [[1, 2], [3, 4]]).numpy()
    assert np.isfinite(scores).all() and (scores[:, :3] == 0).all()
    assert scores[2, 5] == pytest.approx(1)
    assert match_template(np.full((3, 3), 0.3), [[1.0, 2.0]]).tolist() == [[0, 0]] * 3


def test_gradients_reach_picture_and_template():
    rng = np.random.default_rng(3)
    x, t = (cr.tensor(rng.normal(size=size), requires_grad=True) for size in ((6, 7), (3, 3)))
    assert cr.gradcheck(match_template, (x, t))
    flat = cr.tensor(np.zeros((4, 4)), requires_grad=True)
    match_template(flat, t).sum().backward()
    assert flat.grad is not None and np.isfinite(flat.grad.numpy()).all()


def test_climbing_the_score_makes_a_template_like_the_place():
    """Gradient ascent on the score at one place: what no lookup could do."""
    picture, wanted = scene()
    t = cr.tensor(np.random.default_rng(2).normal(size=wanted.shape), requires_grad=True)
    optimizer = cr.optim.Adam([t], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        (-match_template(picture, t)[7, 11]).backward()
        optimizer.step()
    assert np.corrcoef(t.detach().numpy().ravel(), wanted.ravel())[0, 1] > 0.99


def test_wrong_use():
    with pytest.raises(cr.ShapeError, match="at most the picture's 2×3"):
        match_template(np.eye(2, 3), np.eye(3))
    with pytest.raises(cr.ShapeError, match="a template of one brightness, needs a pattern"):
        match_template(np.eye(3), np.ones((2, 2)))
    with pytest.raises(cr.ShapeError, match=r"f64\[3\], needs f\[H,W\]"):
        match_template(np.ones(3), np.eye(2))
