"""Transforms: geometry against SciPy and by hand, spec round trips, equal bits for equal draws."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from chainrule.data import (
    CentreByMass,
    Compose,
    RandomAffine,
    RandomElastic,
    RandomStrokeWidth,
    Scale,
    Upsample,
    digits,
    from_spec,
)
from chainrule.data.transforms import Transform, bilinear
from chainrule.errors import DataError, ShapeError, UsageError

factors = st.tuples(st.floats(0.5, 1), st.floats(1, 2))
one_transform = st.one_of(
    st.builds(Scale, st.floats(0.1, 300)),
    st.builds(Upsample, st.integers(20, 40), st.integers(0, 9)),
    st.builds(CentreByMass),
    st.builds(RandomAffine, st.floats(0, 30), st.floats(0, 4), factors, factors, st.floats(0, 30)),
    st.builds(RandomElastic, st.floats(0, 5), st.integers(2, 6)),
    st.builds(RandomStrokeWidth, st.floats(0, 1), st.floats(0, 1)),
)
composed = st.lists(one_transform, max_size=4).map(lambda some: Compose(tuple(some)))
any_transform = one_transform | composed | composed.map(lambda inner: Compose((inner, inner)))


class Always:
    """An rng whose every draw lies at one place between low and high."""

    def __init__(self, place: float) -> None:
        self.place = place

    def uniform(self, low: float, high: float, size: int) -> np.ndarray:
        return np.full(size, low + self.place * (high - low))


@pytest.fixture(scope="module")
def images():
    return Upsample(28)(digits("train")[0][:40, None]) / np.float32(16)


# --- all transforms -----------------------------------------------------------------------------


@given(any_transform)
def test_spec_survives_json(transform):
    assert from_spec(json.loads(json.dumps(transform.spec()))) == transform


@given(any_transform, st.integers(0, 3), st.integers(1, 2), st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_equal_draws_give_equal_bits_and_leave_the_input_alone(transform, n, channels, seed):
    images = np.random.default_rng(1).random((n, channels, 9, 7), np.float32)
    before = images.copy()
    first = transform(images, np.random.default_rng(seed))
    again = transform(images, np.random.default_rng(seed))
    assert first.dtype == np.float32
    assert first.shape[:2] == (n, channels)
    assert np.isfinite(first).all()
    assert first.tobytes() == again.tobytes()
    assert np.array_equal(images, before)


@given(any_transform)
@settings(max_examples=50)
def test_deterministic_part_needs_no_rng_and_keeps_the_rest(transform):
    part = Compose((transform,)).deterministic()
    assert "Random" not in json.dumps(part.spec())
    part(np.zeros((2, 1, 8, 8)))


@pytest.mark.parametrize(
    "transform", [RandomAffine(20, 3, (0.7, 1.3), (0.7, 1.3), 20), RandomElastic(4)]
)
def test_channels_of_an_image_move_together_and_images_by_themselves(images, transform):
    one = np.repeat(images[:1], 5, axis=0)
    moved = transform(np.repeat(one, 2, axis=1), np.random.default_rng(0))
    assert np.array_equal(moved[:, 0], moved[:, 1])
    assert abs(moved[1:, 0] - moved[:-1, 0]).max() > 0.1


@pytest.mark.parametrize("transform", [RandomAffine(), RandomElastic(0), RandomStrokeWidth()])
def test_no_variation_is_no_change(images, transform):
    np.testing.assert_allclose(transform(images, np.random.default_rng(0)), images, atol=1e-5)


def test_whole_numbers_are_accepted():
    picture = np.full((1, 1, 2, 2), 16, np.uint8)
    assert np.array_equal(Scale(16)(picture), np.ones((1, 1, 2, 2), np.float32))


# --- errors -------------------------------------------------------------------------------------


def test_a_batch_has_four_axes():
    with pytest.raises(ShapeError) as caught:
        Scale(16)(np.zeros((64, 8, 8)))
    assert str(caught.value) == (
        "[Scale] got images of shape [64, 8, 8], needs [N,C,H,W]. "
        "Grey images [N,H,W]? images[:, None] adds C = 1."
    )


def test_a_random_transform_needs_an_rng():
    with pytest.raises(UsageError) as caught:
        Compose((Scale(16), RandomElastic()))(np.zeros((1, 1, 8, 8)))
    assert str(caught.value) == (
        "[RandomElastic] got no rng, needs a source of random numbers. "
        "For validation and test, call transform.deterministic()(images)."
    )


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Scale(0), "[Scale] got peak = 0, needs a number above 0."),
        (lambda: Upsample(4, 2), "[Upsample] got size = 4, needs more than 2 * border = 4."),
        (
            lambda: RandomAffine(scale=(1.2, 0.8)),
            "[RandomAffine] got scale = (1.2, 0.8), needs (low, high), two factors above 0.",
        ),
        (lambda: RandomElastic(1, 1), "[RandomElastic] got knots = 1, needs at least 2."),
        (
            lambda: RandomStrokeWidth(thin=2),
            "[RandomStrokeWidth] got thin = 2, needs between 0 and 1.",
        ),
    ],
)
def test_fields_that_make_no_sense(make, text):
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "Blur"},
        {"size": 28},
        {"name": "Upsample", "sigma": 2},
        {"name": "Compose", "transforms": [{"name": "Scale"}]},
        ["Scale"],
        "Scale",
        7,
        {"name": "RandomAffine", "scale": 3},
        {"name": "Upsample", "size": "large"},
    ],
)
def test_spec_of_no_transform(spec):
    with pytest.raises(DataError, match=r"^\[transforms\] got the spec .*, needs a name, one of "):
        from_spec(spec)


def test_spec_with_a_field_that_makes_no_sense_says_which():
    with pytest.raises(UsageError, match=r"^\[Scale\] got peak = -1, needs a number above 0"):
        from_spec({"name": "Compose", "transforms": [{"name": "Scale", "peak": -1}]})


# --- geometry -----------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_bilinear_agrees_with_scipy(seed):
    rng = np.random.default_rng(seed)
    images = rng.random((3, 2, 6, 5), np.float32)
    x = rng.uniform(-3, 8, (3, 4, 7)).astype(np.float32)
    y = rng.uniform(-3, 9, (3, 4, 7)).astype(np.float32)
    ours = bilinear(images, x, y)
    for n in range(3):
        for c in range(2):
            paper = np.pad(images[n, c], 1)  # SciPy's own border fades differently
            theirs = ndimage.map_coordinates(paper, [y[n] + 1, x[n] + 1], order=1, mode="constant")
            inside = (x[n] > -1) & (x[n] < 5) & (y[n] > -1) & (y[n] < 6)
            np.testing.assert_allclose(ours[n, c], np.where(inside, theirs, 0), atol=1e-6)


def test_upsample_keeps_paper_around_and_values_within():
    large = Upsample(28, border=2)(np.full((1, 1, 8, 8), 16, np.uint8))[0, 0]
    assert large.shape == (28, 28)
    assert (large[4:-4, 4:-4] == 16).all()
    assert 0 < large[1, 14] < large[2, 14] < large[3, 14] <= 16
    assert large[0, 14] == 0
    np.testing.assert_allclose(large, large[::-1], atol=1e-4)
    np.testing.assert_allclose(large, large.T, atol=1e-4)


def test_upsample_puts_each_pixel_where_it_was():
    small = np.zeros((1, 1, 8, 8), np.float32)
    small[0, 0, 2, 5] = 1
    large = Upsample(24, border=0)(small)[0, 0]
    assert np.unravel_index(large.argmax(), large.shape) == (7, 16)  # middle of rows 6..8, 15..17
    assert large.sum() == pytest.approx(9)


def test_centre_by_mass_moves_the_mass_to_the_middle():
    small = Upsample(28, border=8)(digits("train")[0][:40, None])
    moved = CentreByMass()(np.roll(small, (5, -6), axis=(2, 3)))
    for image in moved[:, 0]:
        assert abs(np.array(ndimage.center_of_mass(image)) - 13.5).max() <= 0.5 + 1e-3
    np.testing.assert_allclose(moved.sum((1, 2, 3)), small.sum((1, 2, 3)), rtol=1e-5)


def test_centre_by_mass_leaves_a_blank_image_blank():
    blank = np.zeros((2, 1, 8, 8), np.float32)
    assert np.array_equal(CentreByMass()(blank), blank)


@pytest.fixture
def blob():
    """A batch of two images with one Gaussian blob right of the middle and above it."""
    y, x = np.mgrid[0:41, 0:41] - 20
    image = np.exp(-((x - 8) ** 2 + (y + 6) ** 2) / 8).astype(np.float32)
    return np.stack([image, image])[:, None]


def centre(images):
    """(x, y) of the centre of mass, from the middle of 41×41."""
    y, x = ndimage.center_of_mass(images[0, 0])
    return x - 20, y - 20


def test_positive_shift_moves_right_and_down(blob):
    moved = RandomAffine(shift=3)(blob, Always(1))
    assert centre(moved) == pytest.approx((11, -3), abs=0.02)
    moved = RandomAffine(shift=3)(blob, Always(0))
    assert centre(moved) == pytest.approx((5, -9), abs=0.02)


def test_positive_degrees_turn_clockwise(blob):
    moved = RandomAffine(degrees=90)(blob, Always(1))
    assert centre(moved) == pytest.approx((6, 8), abs=0.02)


def test_scale_and_stretch(blob):
    bigger = RandomAffine(scale=(1.5, 1.5))(blob, Always(0.5))
    assert centre(bigger) == pytest.approx((12, -9), abs=0.05)
    assert bigger.sum() == pytest.approx(blob.sum() * 1.5**2, rel=0.01)
    wider = RandomAffine(stretch=(1.5, 1.5))(blob, Always(0.5))
    assert centre(wider) == pytest.approx((12, -6), abs=0.05)


def test_shear_moves_rows_sideways_in_proportion_to_their_height(blob):
    moved = RandomAffine(shear=45)(blob, Always(1))
    assert centre(moved) == pytest.approx((2, -6), abs=0.02)


def test_all_together_slant_resize_turn_move(blob):
    transform = RandomAffine(30, 2, (1.2, 1.2), (1.1, 1.1), 20)
    angle, slant = np.radians(30), np.tan(np.radians(20))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    expected = turn @ np.diag([1.2 * 1.1, 1.2]) @ [[1, slant], [0, 1]] @ [8, -6] + 2
    assert centre(transform(blob, Always(1))) == pytest.approx(expected, abs=0.05)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_affine_stays_within_its_ranges(seed):
    y, x = np.mgrid[0:41, 0:41] - 20
    image = np.exp(-((x - 5) ** 2 + y**2) / 8).astype(np.float32)[None, None]
    moved = RandomAffine(degrees=20, scale=(0.8, 1.25))(image, np.random.default_rng(seed))
    right, down = centre(moved)
    assert 5 * 0.8 - 0.1 <= np.hypot(right, down) <= 5 * 1.25 + 0.1
    assert abs(np.degrees(np.arctan2(down, right))) <= 20.5


def test_elastic_is_smooth_and_bounded():
    net = RandomElastic(shift=3, knots=4)
    pull = net._pull(200, 28, 28, np.random.default_rng(0))
    assert 1 < abs(pull).max() <= 3
    slope = max(abs(np.diff(pull, axis=1)).max(), abs(np.diff(pull, axis=2)).max())
    assert slope < 0.7, "pixels never change places"


def test_elastic_moves_all_one_way_when_all_knots_do(blob):
    moved = RandomElastic(shift=2)(blob, Always(1))
    assert centre(moved) == pytest.approx((6, -8), abs=0.02)  # read 2 to the right and below


def test_stroke_width_by_whole_pixels_is_grey_morphology(images):
    thick = RandomStrokeWidth(thick=1)(images, Always(1))
    thin = RandomStrokeWidth(thin=1)(images, Always(0))
    for n, image in enumerate(images[:, 0]):
        dilated = ndimage.grey_dilation(image, (3, 3), mode="nearest")
        eroded = ndimage.grey_erosion(image, (3, 3), mode="nearest")
        np.testing.assert_allclose(thick[n, 0], dilated, atol=1e-6)
        np.testing.assert_allclose(thin[n, 0], eroded, atol=1e-6)


def test_stroke_width_ink_grows_with_the_draw(images):
    transform = RandomStrokeWidth(thin=0.8, thick=0.8)
    ink = [transform(images, Always(place)).sum() for place in (0, 0.25, 0.5, 0.75, 1)]
    assert ink == sorted(ink)
    assert ink[2] == pytest.approx(images.sum(), rel=1e-5)


def test_a_transform_is_a_record():
    assert Upsample(28) == Upsample(28, border=2) != Upsample(28, border=3)
    assert isinstance(Upsample(), Transform)
    with pytest.raises(AttributeError):
        Upsample().size = 3
