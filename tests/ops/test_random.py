"""Random bits against the published vectors, and what is made of them."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import chainrule as cr
from chainrule.dtypes import float32, float64, int64
from chainrule.errors import DtypeError, ShapeError, UsageError
from chainrule.ops.random import (
    FEW,
    bernoulli,
    integers,
    ndtri,
    normal,
    permutation,
    philox,
    random_bits,
    random_words,
    uniform,
)
from chainrule.ops.windows import Type
from chainrule.random import Stream

ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((ONES,) * 4, (ONES,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_the_known_answers_of_random123(counter, key, expected):
    assert " ".join(f"{word:08x}" for word in philox(counter, key)) == expected
    arrays = tuple(np.full(3, word, np.uint64) for word in counter)
    for lane, word in zip(philox(arrays, key), expected.split(), strict=True):
        assert lane.dtype == np.uint64
        assert [f"{n:08x}" for n in lane] == [word] * 3


@settings(deadline=None)
@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 9), st.integers(0, 2**63 - 1))
def test_words_do_not_depend_on_how_many_are_asked_for(seed, stream, draw):
    many = random_words(seed, stream, draw, 4 * FEW + 9)  # computed as arrays
    assert many.dtype == np.int64
    assert many.min() >= 0
    assert many.max() <= ONES
    for count in (0, 1, 5, 4 * FEW):  # computed as Python numbers
        assert random_words(seed, stream, draw, count).tolist() == many[:count].tolist()


def test_words_do_not_depend_on_the_blocks(monkeypatch):
    whole = random_words(3, 1, 4, 1000)
    monkeypatch.setattr("chainrule.ops.random.BLOCK", 7)
    assert (random_words(3, 1, 4, 1000) == whole).all()


def test_seed_stream_and_draw_all_matter():
    places = [
        (0, 0, 0),
        (1, 0, 0),
        (1 << 32, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
        (0, 0, 1 << 32),
        (-1, 0, 0),
    ]
    assert len({tuple(random_words(*place, 4).tolist()) for place in places}) == len(places)


def test_bits_are_even():
    words = random_words(12, 0, 0, 100_000)
    counts = np.bincount(words >> 26, minlength=64)
    assert stats.chisquare(counts).pvalue > 0.001
    set_bits = (words[:, None] >> np.arange(32) & 1).mean(0)
    assert np.abs(set_bits - 0.5).max() < 5 * 0.5 / np.sqrt(words.size)


def test_the_op_asks_for_three_numbers():
    numbers = (np.asarray(5), np.asarray(1), np.asarray(7))
    y = random_bits.reference(*numbers, shape=(2, 3))
    assert y.ravel().tolist() == random_words(5, 1, 7, 6).tolist()
    number = Type((), int64)
    assert random_bits.infer(number, number, number, shape=(2, 3)) == ((2, 3), int64)
    with pytest.raises(ShapeError, match=r"got f64\[\], needs i64\[\] three times"):
        random_bits.infer(Type((), float64), number, number, shape=(2,))


def test_the_bits_are_those_of_every_machine():
    words = random_words(2026, 4, 1, 10_000).astype("<i8")
    assert hashlib.sha256(words.tobytes()).hexdigest() == (
        "fd05496268b6380fb9a1c45f65a0b03b81fe08e368a1c476de8c0f67fcd0ed97"
    )
    normal = ndtri.reference((words + 0.5) * 2.0**-32).astype("<f8")
    assert hashlib.sha256(normal.tobytes()).hexdigest() == (
        "7f4935cff3d4e7e36195d75bd79c26e3c8ae979ba8ee0f89f1471e67b4d1a9f4"
    )


def test_normal_numbers_are_normal():
    normal = ndtri.reference((random_words(1, 0, 0, 100_000) + 0.5) * 2.0**-32)
    assert stats.kstest(normal, "norm").pvalue > 0.001


# ---------------------------------------------------------------- tensors


def numbers(draw=9):
    """seed, stream and draw as tensors."""
    return tuple(cr.tensor(n) for n in (5, 2, draw))


def host(draw=9):
    return Stream(5, 2, draw)


def test_tensors_hold_the_numbers_of_the_host_s_streams():
    for shape in ((), (7,), (3, 4, 50)):
        u = uniform(*numbers(), shape=shape, dtype=float64).numpy()
        np.testing.assert_array_equal(u, host().uniform(size=shape))
        z = normal(*numbers(), shape=shape, dtype=float64).numpy()
        np.testing.assert_array_equal(z, host().normal(shape))
        i = integers(*numbers(), shape=shape, low=-3, high=4).numpy()
        np.testing.assert_array_equal(i, host().integers(-3, 4, shape))
    np.testing.assert_array_equal(permutation(*numbers(), n=50).numpy(), host().permutation(50))


def test_float32_numbers_have_24_and_32_bits():
    u = uniform(*numbers(), shape=(10_000,), dtype=float32).numpy()
    assert u.dtype == np.float32
    words = random_words(5, 2, 9, 10_000)
    np.testing.assert_array_equal(u * 2**24, words >> 8)
    z = normal(*numbers(), shape=(10_000,), dtype=float32).numpy()
    assert z.dtype == np.float32
    np.testing.assert_array_equal(z, ndtri.reference((words + 0.5) * 2.0**-32).astype(np.float32))


def test_a_mask_is_true_with_its_probability():
    for p in (0.0, 0.3, 1.0):
        mask = bernoulli(*numbers(), shape=(100_000,), p=p).numpy()
        assert mask.dtype == bool
        assert abs(mask.mean() - p) <= 5 * np.sqrt(p * (1 - p) / mask.size)


def test_another_draw_is_another_number_of_the_same_program():
    first, second = (uniform(*numbers(d), shape=(4,), dtype=float32).numpy() for d in (0, 1))
    assert (first != second).all()


def test_uniform_and_normal_numbers_are_floating():
    for function in (uniform, normal):
        with pytest.raises(DtypeError, match="got int64, needs float32 or float64"):
            function(*numbers(), shape=(2,), dtype=int64)


def test_integers_need_a_range():
    with pytest.raises(UsageError, match="got low=3, high=3, needs low < high"):
        integers(*numbers(), shape=(2,), low=3, high=3)
