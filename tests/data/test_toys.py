import numpy as np
import pytest

import chainrule as cr
from chainrule.data import DataLoader, blobs, checkerboard, circles, friedman, line, sine, two_moons
from chainrule.data.toys import TOYS
from chainrule.errors import UsageError


@pytest.mark.parametrize("name", TOYS)
def test_the_seed_decides_and_types_fit_a_network(name):
    made = []
    for seed in (1, 1, 2):
        cr.manual_seed(seed)
        made.append(TOYS[name](60).arrays)
    (x, y), again, other = made
    assert np.array_equal(x, again[0]) and np.array_equal(y, again[1])
    assert not np.array_equal(x, other[0])
    assert x.dtype == np.float32 and len(x) == len(y) == 60
    assert y.dtype == (np.float32 if y.ndim == 2 else np.int64)
    assert next(iter(DataLoader(TOYS[name](60), 32)))[0].shape[0] == 32


@pytest.mark.parametrize("name", ["two-moons", "circles", "spirals", "blobs"])
def test_classes_are_equal_in_size_and_mixed(name):
    labels = TOYS[name](120).arrays[1]
    counts = np.bincount(labels)
    assert counts.min() == counts.max()
    assert 0 < (np.diff(labels) == 0).sum() < 118


def test_shapes_without_noise():
    x, y = two_moons(400, noise=0).arrays
    upper = x[y == 0]
    assert np.allclose(np.hypot(*upper.T), 1, atol=1e-6) and (upper[:, 1] >= -1e-6).all()
    lower = x[y == 1] - [1, 0.5]
    assert np.allclose(np.hypot(*lower.T), 1, atol=1e-6) and (lower[:, 1] <= 1e-6).all()
    x, y = circles(100, noise=0, factor=0.3).arrays
    assert np.allclose(np.hypot(*x.T), np.where(y, 0.3, 1), atol=1e-6)
    x, y = blobs(30, noise=0, classes=3).arrays
    assert len(np.unique(x.round(5), axis=0)) == 3
    x, y = checkerboard(500).arrays
    fields = np.floor((x + 1) * 2).astype(int)
    assert np.array_equal(fields.sum(axis=1) % 2, y) and abs(x).max() <= 1


def test_curves_without_noise():
    x, y = line(20, noise=0, slope=-3, intercept=2).arrays
    assert np.allclose(y, 2 - 3 * x, atol=1e-6)
    x, y = sine(20, noise=0).arrays
    assert np.allclose(y, np.sin(np.pi * x), atol=1e-6)
    x, y = friedman(20, noise=0).arrays
    a, b, c, d, e = x[:, :5].T
    wanted = 10 * np.sin(np.pi * a * b) + 20 * (c - 0.5) ** 2 + 10 * d + 5 * e
    assert np.allclose(y[:, 0], wanted, atol=1e-4)


def test_noise_has_the_standard_deviation_that_was_asked_for():
    x, y = line(4000, noise=0.5).arrays
    assert abs(np.std(y - 2 * x - 1) - 0.5) < 0.03


def test_too_few_samples():
    with pytest.raises(UsageError, match="n = 2, 3 classes"):
        blobs(2)
    with pytest.raises(UsageError, match="n = 0"):
        two_moons(0)
