import colorsys
import json

import numpy as np
import pytest

from chainrule.data import (
    CenterCrop,
    ColorJitter,
    Compose,
    DataLoader,
    Grayscale,
    MixUp,
    Normalize,
    Pad,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
    SubtractMean,
    TenCrop,
    TensorDataset,
    from_spec,
)
from chainrule.errors import ShapeError, UsageError
from chainrule.random import Stream

NOISE = np.random.default_rng(1).random((6, 3, 12, 10)).astype(np.float32)
ALL = [
    Resize(5),
    Resize((7, 20)),
    Pad(2, value=0.5),
    CenterCrop((8, 6)),
    TenCrop(4),
    RandomCrop(8, padding=1),
    RandomHorizontalFlip(),
    RandomVerticalFlip(0.3),
    RandomRotation(20),
    RandomErasing(),
    Grayscale(3),
    ColorJitter(0.4, 0.4, 0.4, 0.1),
    Normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.1)),
    SubtractMean.learn(NOISE),
    SubtractMean.learn(NOISE, whole_image=True),
    MixUp(10),
]


def rng(draw=0):
    return Stream(5, 3, draw << 32)


@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
def test_each_can_be_written_down_and_keeps_the_rules(transform):
    assert from_spec(json.loads(json.dumps(transform.spec()))) == transform
    before, labels = NOISE.copy(), np.arange(6)
    images, targets = transform.together(before, labels, rng())
    assert np.array_equal(before, NOISE)  # a new array
    assert images.dtype == np.float32 and len(images) == len(targets)
    again, _ = transform.together(before, labels, rng())
    assert np.array_equal(images, again)
    if transform.random:
        other, _ = transform.together(before, labels, rng(9))
        assert not np.array_equal(images, other)
        with pytest.raises(UsageError):
            transform(before)


@pytest.mark.parametrize("transform", [t for t in ALL if t.random], ids=lambda t: type(t).__name__)
def test_the_random_ones_work_in_a_loader(transform):
    loader = DataLoader(TensorDataset(NOISE, np.arange(6)), 4, transform=transform)
    assert [len(images) for images, _ in loader] == [4, 2]


# ------------------------------------------------------------ sizes


def test_resize_keeps_what_is_linear_and_averages():
    ramp = np.arange(12.0)[None, None, None].repeat(4, axis=2)
    assert np.allclose(Resize((4, 24))(ramp)[0, 0, 0, 1:-1], np.arange(1, 23) / 2 - 0.25)
    blocks = np.kron(np.array([[1.0, 3.0], [5.0, 7.0]]), np.ones((8, 8)))
    small = Resize(2)(blocks[None, None])[0, 0]
    assert np.allclose(small.mean(), 4) and small[0, 0] < small[0, 1] < small[1, 0] < small[1, 1]
    assert Resize(5)(NOISE).shape == (6, 3, 6, 5)  # the shorter side, as torchvision
    assert np.array_equal(Resize((12, 10))(NOISE), NOISE)


def test_crops():
    numbers = np.arange(25.0).reshape(1, 1, 5, 5)
    assert CenterCrop(3)(numbers)[0, 0].tolist() == [[6, 7, 8], [11, 12, 13], [16, 17, 18]]
    crops = TenCrop(2)(numbers)[:, 0]
    assert crops[:, 0, 0].tolist() == [0, 3, 15, 18, 12, 1, 4, 16, 19, 13]
    places = {int(RandomCrop(3)(numbers, rng(i))[0, 0, 0, 0]) for i in range(60)}
    assert places == {0, 1, 2, 5, 6, 7, 10, 11, 12}
    padded = [RandomCrop(5, padding=4)(numbers + 1, rng(i)) for i in range(20)]
    assert any((crop == 0).any() for crop in padded)


def test_each_image_of_a_batch_is_cut_elsewhere():
    same = np.arange(144.0).reshape(1, 1, 12, 12).repeat(40, axis=0)
    assert len(np.unique(RandomCrop(4)(same, rng())[:, 0, 0, 0])) > 10


def test_validation_sees_the_middle():
    train = Compose((RandomCrop(8, padding=2), RandomHorizontalFlip(), Normalize((0,), (2,))))
    fixed = train.deterministic()
    assert not fixed.random
    numbers = np.arange(100.0).reshape(1, 1, 10, 10)
    assert np.array_equal(fixed(numbers), numbers[:, :, 1:9, 1:9].astype(np.float32) / 2)


def test_images_that_are_too_small():
    for transform in (CenterCrop(13), RandomCrop(13), TenCrop((12, 11))):
        with pytest.raises(ShapeError, match=r"images of 12×10, needs at least 1[23]×1[13]"):
            transform(NOISE, rng())
    assert RandomCrop(13, padding=2)(NOISE, rng()).shape == (6, 3, 13, 13)


# ------------------------------------------------------------ places


def test_flips_exchange_whole_images():
    for kind, axis in ((RandomHorizontalFlip, 3), (RandomVerticalFlip, 2)):
        flipped = kind()(NOISE.repeat(10, axis=0), rng())
        was = NOISE.repeat(10, axis=0)
        kept = (flipped == was).all(axis=(1, 2, 3))
        turned = (flipped == np.flip(was, axis)).all(axis=(1, 2, 3))
        assert (kept ^ turned).all() and 15 < turned.sum() < 45
        assert np.array_equal(kind(p=0)(NOISE, rng()), NOISE)


def test_a_turn_by_180_degrees_is_both_flips():
    turned = RandomRotation(180)(NOISE, Fixed(180.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    assert np.allclose(turned, NOISE[:, :, ::-1, ::-1], atol=1e-4)


def test_erasing_is_one_rectangle_of_the_wanted_area():
    images = np.ones((200, 2, 32, 32))
    erased = RandomErasing(p=1, scale=(0.1, 0.2), value=-1)(images, rng())
    assert set(np.unique(erased)) == {-1, 1}
    mask = erased[:, 0] == -1
    assert np.array_equal(mask, erased[:, 1] == -1)
    assert ((mask.mean(axis=(1, 2)) > 0.08) & (mask.mean(axis=(1, 2)) < 0.22)).all()
    for picture in mask:
        rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
        assert picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert 60 < (RandomErasing()(images, rng()) == 0).any(axis=(1, 2, 3)).sum() < 140


# ------------------------------------------------------------ colours


class Fixed:
    """Gives these numbers, one for each call."""

    def __init__(self, *numbers):
        self.numbers = iter(numbers)

    def uniform(self, low, high, size):
        number = next(self.numbers)
        assert low <= number <= high
        return np.full(size, number)


def test_hue_turns_as_colorsys_does():
    colours = np.random.default_rng(2).random((1, 3, 20, 20))
    colours[:, :, 0, :4] = [[0, 1, 0.5, 1], [0, 1, 0.5, 0], [0, 1, 0.5, 0]]
    turned = ColorJitter(hue=0.5)(colours, Fixed(0.3))
    for (_, y, x), red in np.ndenumerate(colours[:, 0]):
        hue, saturation, value = colorsys.rgb_to_hsv(red, *colours[0, 1:, y, x])
        wanted = colorsys.hsv_to_rgb((hue + 0.3) % 1, saturation, value)
        assert np.allclose(turned[0, :, y, x], wanted, atol=1e-5)


def test_brightness_contrast_and_saturation():
    image = np.float32([0.2, 0.4, 0.6]).reshape(1, 3, 1, 1) * np.ones((1, 3, 2, 2), np.float32)
    assert np.allclose(ColorJitter(brightness=0.5)(image, Fixed(1.5)), image * 1.5)
    assert ColorJitter(brightness=1)(image, Fixed(2.0)).max() == 1  # clipped
    grey = Grayscale()(image)
    assert np.allclose(grey, 0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6)
    assert np.allclose(ColorJitter(saturation=1)(image, Fixed(0.0)), grey, atol=1e-6)
    assert np.allclose(ColorJitter(contrast=1)(image, Fixed(0.0)), grey, atol=1e-6)
    assert ColorJitter(contrast=0.5)(image[:, :1], rng()).shape == (1, 1, 2, 2)
    with pytest.raises(ShapeError, match="C = 1, needs C = 3"):
        ColorJitter(hue=0.1)(image[:, :1], rng())


# ------------------------------------------------------------ means, mix-up


def test_means_are_those_of_the_training_set():
    removed = SubtractMean.learn(NOISE)(NOISE)
    assert np.allclose(removed.mean(axis=(0, 2, 3)), 0, atol=1e-6)
    removed = SubtractMean.learn(NOISE, whole_image=True)(NOISE)
    assert np.allclose(removed.mean(axis=0), 0, atol=1e-6)
    normal = Normalize.learn(NOISE)(NOISE)
    assert np.allclose(normal.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    assert np.allclose(normal.std(axis=(0, 2, 3)), 1, atol=1e-5)
    with pytest.raises(ShapeError, match="C = 1, needs C = 3"):
        SubtractMean.learn(NOISE)(NOISE[:, :1])
    with pytest.raises(ShapeError, match=r"needs \[N,3,12,10\]"):
        SubtractMean.learn(NOISE, whole_image=True)(NOISE[..., :5])


def test_mixup_blends_images_and_targets_alike():
    images = np.arange(5.0)[:, None, None, None] * np.ones((5, 1, 2, 2))
    mixed, targets = MixUp(5, alpha=1.0).together(images, np.arange(5), rng())
    weight = targets[np.arange(5), np.arange(5)]
    before = np.roll(np.arange(5), 1)
    assert np.allclose(targets[np.arange(5), before], 1 - weight)
    assert np.allclose(mixed[:, 0, 0, 0], weight * np.arange(5) + (1 - weight) * before, atol=1e-6)
    again, _ = MixUp(5).together(images, targets, rng())  # soft targets may be mixed again
    assert again.shape == images.shape
    with pytest.raises(ShapeError, match="label 4, needs 0 to 3"):
        MixUp(4).together(images, np.arange(5), rng())
    with pytest.raises(UsageError, match="float64 labels, needs whole numbers"):
        MixUp(4).together(images, np.ones(5), rng())
    with pytest.raises(UsageError, match="images alone"):
        MixUp(5)(images, rng())


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.7, 1.0])
def test_mixups_weights_come_from_the_beta_distribution(alpha):
    from scipy import stats

    images = np.zeros((20_000, 1, 1, 1))
    _, targets = MixUp(2, alpha).together(images, np.arange(20_000) % 2, rng())
    weights = targets[np.arange(20_000), np.arange(20_000) % 2].astype(float)
    # float32 rounds what is near 1; the distribution is compared away from the ends.
    for at in (0.01, 0.1, 0.3, 0.5, 0.9, 0.99):
        assert abs((weights <= at).mean() - stats.beta(alpha, alpha).cdf(at)) < 0.012


@pytest.mark.parametrize(
    "make",
    [
        lambda: Resize(0),
        lambda: Resize((3, 3, 3)),
        lambda: CenterCrop(2.5),
        lambda: TenCrop((0, 3)),
        lambda: RandomCrop("5"),
        lambda: Pad(-1),
        lambda: RandomCrop(3, padding=-1),
        lambda: RandomHorizontalFlip(1.5),
        lambda: RandomErasing(scale=(0.5, 0.2)),
        lambda: RandomErasing(ratio=(0, 1)),
        lambda: ColorJitter(hue=0.6),
        lambda: ColorJitter(contrast=-1),
        lambda: Grayscale(2),
        lambda: Normalize((0, 0), (1,)),
        lambda: Normalize((0,), (0,)),
        lambda: MixUp(3, alpha=2),
    ],
)
def test_fields_that_make_no_sense(make):
    with pytest.raises(UsageError, match=r"^\[\w+\] got \w+ = .*, needs "):
        make()
