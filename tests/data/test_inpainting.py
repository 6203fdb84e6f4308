import numpy as np
import pytest

from chainrule import random
from chainrule.data import DataLoader, Inpainting, random_masks
from chainrule.errors import ShapeError, UsageError
from chainrule.random import Stream

IMAGES = np.random.default_rng(0).integers(1, 256, (20, 1, 12, 10)).astype(np.uint8)


def test_masks():
    rng = Stream(1, 3)
    squares = random_masks("square", (200, 12, 10), rng, part=0.3)
    assert squares.shape == (200, 1, 12, 10) and (squares.sum(axis=(1, 2, 3)) == 36).all()
    assert len({mask.tobytes() for mask in squares}) == 7 * 5
    halves = random_masks("half", (100, 12, 10), rng)
    assert (halves.mean(axis=(1, 2, 3)) == 0.5).all()
    assert len({mask.tobytes() for mask in halves}) == 4
    pixels = random_masks("pixels", (100, 12, 10), rng, part=0.3)
    assert abs(pixels.mean() - 0.3) < 0.02


def test_masked_mask_and_whole():
    dataset = Inpainting(IMAGES)
    masked, mask, whole = next(iter(DataLoader(dataset, 20)))
    assert np.array_equal(whole.numpy(), IMAGES / np.float32(255))
    assert np.array_equal(masked.numpy(), np.where(mask.numpy(), 0, whole.numpy()))


def test_training_masks_change_and_fixed_ones_belong_to_the_sample():
    def masks(dataset, batch_size, **options):
        loader = DataLoader(dataset, batch_size, **options)
        return np.concatenate([mask.numpy() for _, mask, _ in loader])

    random.manual_seed(1)
    training = Inpainting(IMAGES)
    first, second = masks(training, 6), masks(training, 6)
    assert not np.array_equal(first, second)
    random.manual_seed(1)
    assert np.array_equal(masks(training, 6, num_workers=2), first)
    before = random.get_state()
    fixed = Inpainting(IMAGES, "pixels", fixed=True)
    assert np.array_equal(masks(fixed, 6), masks(fixed, 20))
    assert np.array_equal(fixed[-1][1], fixed[19][1])
    assert len({mask.tobytes() for mask in masks(fixed, 20)}) == 20
    assert random.get_state() == before


def test_wrong_use():
    with pytest.raises(UsageError, match="kind = 'circle', needs one of square, half, pixels"):
        Inpainting(IMAGES, "circle")
    with pytest.raises(UsageError, match="part = 0"):
        Inpainting(IMAGES, part=0)
    with pytest.raises(ShapeError, match=r"\[20, 12, 10\], needs \[N,C,H,W\]"):
        Inpainting(IMAGES[:, 0])
