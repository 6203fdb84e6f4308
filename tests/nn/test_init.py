"""Initialisers: moments and bounds, exact patterns, equal bits, what they refuse."""

from __future__ import annotations

import os
import subprocess
import sys
from math import sqrt

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import ShapeError, UsageError
from chainrule.nn import init

TRUNCATED = ["0x1.6ac02039cf848p+0", "-0x1.3d636f15c6614p-1", "-0x1.80f4b1f9878f8p-3"]
SHAPE = (60, 30, 5, 3)  # fan-in 450, fan-out 900; 27,000 numbers
KINDS = {  # name -> (fill, standard deviation, largest |x - mean|, mean)
    "uniform": (lambda x: init.uniform_(x, -1, 3), 4 / sqrt(12), 2, 1),
    "normal": (lambda x: init.normal_(x, 2, 0.5), 0.5, np.inf, 2),
    "xavier uniform": (lambda x: init.xavier_uniform_(x, 2), 2 * sqrt(2 / 1350), 0.1333334, 0),
    "xavier normal": (lambda x: init.xavier_normal_(x, 2), 2 * sqrt(2 / 1350), np.inf, 0),
    "He uniform": (
        lambda x: init.kaiming_uniform_(x, nonlinearity="relu"),
        sqrt(2 / 450),
        sqrt(6 / 450) + 1e-7,
        0,
    ),
    "He normal, fan out": (
        lambda x: init.kaiming_normal_(x, a=0.5, mode="fan_out"),
        sqrt(2 / 1.25 / 900),
        np.inf,
        0,
    ),
    "truncated": (lambda x: init.trunc_normal_(x, 0, 0.02, -0.04, 0.04), 0.0175925, 0.04, 0),
    "one side": (lambda x: init.trunc_normal_(x, 0, 1, 0, 50), 0.6028103, np.inf, sqrt(2 / np.pi)),
}


@pytest.fixture(autouse=True)
def seed():
    cr.manual_seed(5)


@pytest.mark.parametrize("dtype", [cr.float32, cr.float64])
@pytest.mark.parametrize("name", KINDS)
def test_moments_and_bounds(name, dtype):
    """Within five standard errors; the fourth moment of all these is below that of Laplace's."""
    fill, std, bound, mean = KINDS[name]
    x = cr.zeros(SHAPE, dtype=dtype)
    assert fill(x) is x and x.dtype is dtype
    array = x.numpy().astype(np.float64)
    n = array.size
    assert abs(array.mean() - mean) < 5 * std / sqrt(n)
    assert abs(array.std() / std - 1) < 5 / sqrt(n)
    assert np.abs(array - mean).max() <= bound
    if np.isfinite(bound):
        assert np.abs(array - mean).max() > 0.99 * bound
    halves = array.reshape(2, -1)
    assert abs(np.corrcoef(halves)[0, 1]) < 5 / sqrt(n / 2)


def test_normal_numbers_have_the_shape_of_the_bell():
    x = np.sort(init.normal_(cr.zeros(10_000)).numpy())
    from scipy.stats import kstest

    assert kstest(x, "norm").pvalue > 0.01


def test_constants_and_patterns():
    x = cr.ones(2, 3)
    assert init.zeros_(x).tolist() == [[0] * 3] * 2
    assert init.ones_(x).tolist() == [[1] * 3] * 2
    assert init.constant_(x, 0.25).tolist() == [[0.25] * 3] * 2
    assert init.eye_(x).tolist() == [[1, 0, 0], [0, 1, 0]]


def test_dirac_keeps_the_channels():
    conv = nn.Conv2d(3, 6, 3, padding=1, bias=False)
    init.dirac_(conv.weight, groups=2)
    x = cr.randn(2, 3, 5, 5)
    y = conv(x)
    assert y[:, :3].tolist() == y[:, 3:].tolist() == x.tolist()


def test_sparse_columns():
    x = init.sparse_(cr.ones(50, 40), sparsity=0.33, std=2.0).numpy()
    assert ((x == 0).sum(axis=0) == 17).all()
    assert abs(x[x != 0].std() / 2 - 1) < 0.1
    assert len({tuple(column) for column in (x == 0).T}) > 30


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (4, 2, 3, 3), (32, 3, 2)])
def test_orthogonal(shape):
    x = init.orthogonal_(cr.zeros(shape, dtype=cr.float64), gain=2).numpy().reshape(shape[0], -1)
    rows, columns = x.shape
    gram = x @ x.T if rows <= columns else x.T @ x
    np.testing.assert_allclose(gram, 4 * np.eye(min(rows, columns)), atol=1e-12)


def test_orthogonal_is_not_biased_to_one_side():
    """Without the sign of R's diagonal, Q's own would be mostly negative."""
    first = [init.orthogonal_(cr.zeros(2, 2))[0, 0].item() for _ in range(200)]
    assert abs(np.mean(first)) < 5 * sqrt(0.5 / 200)


BITS = """
import hashlib, chainrule as cr
from chainrule.nn import init
cr.manual_seed(3)
fills = [init.uniform_, init.normal_, init.trunc_normal_, init.xavier_uniform_,
         init.kaiming_normal_, init.orthogonal_, lambda x: init.sparse_(x, 0.5)]
for fill in fills:
    print(hashlib.sha256(fill(cr.zeros(200, 150)).numpy().tobytes()).hexdigest()[:8])
"""


def test_the_same_bits_for_any_number_of_threads():
    outputs = [
        subprocess.run(
            [sys.executable, "-c", BITS],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    ]
    assert outputs[0] == outputs[1] and len(set(outputs[0].split())) == 7


def test_numbers_come_from_the_init_stream_alone():
    x = cr.zeros(3, 4)
    before = cr.random.get_state()["draws"]
    for fill in (init.normal_, init.orthogonal_, init.trunc_normal_):
        fill(x)
    init.sparse_(x, 0.5)
    after = cr.random.get_state()["draws"]
    assert {k for k in after if after[k] != before[k]} == {"init"}


def test_a_known_seed_gives_known_numbers():
    """Equal on every machine: exactly rounded operations, our own logarithm, no library's erf."""
    x = init.trunc_normal_(cr.zeros(3, dtype=cr.float64), 0, 1, -1, 2)
    assert [v.hex() for v in x.tolist()] == TRUNCATED


def test_leaves_may_be_filled_and_stay_leaves():
    weight = nn.Linear(3, 2).weight
    init.kaiming_uniform_(weight)
    assert weight.is_leaf and weight.requires_grad


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: init.uniform_(x, 1, 0), r"\[uniform_\] got a=1, b=0, needs a ≤ b"),
        (lambda x: init.normal_(x, 0, -1), r"\[normal_\] got std=-1"),
        (lambda x: init.trunc_normal_(x, a=2, b=1), r"\[trunc_normal_\] got a=2, b=1, needs a < b"),
        (lambda x: init.trunc_normal_(x, std=0), r"\[trunc_normal_\] got std=0"),
        (lambda x: init.eye_(x[0]), r"\[eye_\] got f32\[3\], needs a matrix"),
        (lambda x: init.dirac_(x), r"\[dirac_\] got f32\[2,3\], needs f\[K,C,\*F\]"),
        (lambda x: init.dirac_(cr.zeros(3, 1, 1), 2), "groups=2, needs a divisor of 3"),
        (lambda x: init.sparse_(x, 2), r"\[sparse_\] got sparsity=2"),
        (lambda x: init.kaiming_normal_(x, mode="fan"), "got mode='fan', needs 'fan_in' or"),
        (lambda x: init.calculate_gain("gelu"), "got 'gelu', needs one of linear, sigmoid, conv1d"),
    ],
)
def test_refused(call, words):
    with pytest.raises(UsageError, match=words):
        call(cr.zeros(2, 3))


@pytest.mark.parametrize("fill", [init.xavier_normal_, init.kaiming_uniform_, init.orthogonal_])
def test_a_bias_has_no_fans(fill):
    with pytest.raises(ShapeError, match=r"got f32\[3\], needs a weight of 2 or more axes"):
        fill(cr.zeros(3))
