"""erf and the normal quantile, against more digits than they have, and where NumPy would warn."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from scipy import special

from chainrule.ops.scalars import NUMPY_SCALARS, erf, ndtri

PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")


def exact_erf(x: float) -> Decimal:
    """erf x = 2/√π Σ (-1)ⁿ x²ⁿ⁺¹ / (n! (2n + 1)), with 50 digits left after cancellation."""
    with localcontext() as context:
        context.prec = 80
        square = Decimal(x) ** 2
        term = total = Decimal(x)
        n = 0
        while abs(term) > Decimal(10) ** -60 * abs(total):
            n += 1
            term *= -square / n
            total += term / (2 * n + 1)
        return 2 * total / PI.sqrt()


def ulps(y, exact) -> float:
    """The largest error in units of the last place."""
    errors = (
        abs(Decimal(float(a)) - b) / Decimal(float(np.spacing(abs(a))))
        for a, b in zip(y, exact, strict=True)
    )
    return float(max(errors))


def places(kind) -> np.ndarray:
    """The whole range, both signs, and the neighbours of 1, where the formula changes."""
    rng = np.random.default_rng(0)
    tiny = 10.0 ** rng.uniform(-30, -3, 100)
    one = kind(1)
    around = [one, np.nextafter(one, kind(0)), np.nextafter(one, kind(2))]
    x = np.concatenate([tiny, rng.uniform(0, 1.2, 600), rng.uniform(1, 6, 200), around])
    return (x * rng.choice([-1, 1], x.size)).astype(kind)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_erf_is_within_2_ulp(kind):
    x = places(kind)
    y = erf(x)
    assert y.dtype == kind
    assert ulps(y, [exact_erf(float(v)) for v in x]) <= 2


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_erf_against_scipy_densely(kind):
    x = np.linspace(-7, 7, 100_001, dtype=kind)
    expected = special.erf(x.astype(np.float64))
    # SciPy itself errs by up to 2.6 ulp in float64.
    assert np.max(np.abs(erf(x) - expected) / np.spacing(np.abs(expected).astype(kind))) <= 4


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_erf_of_special_values(kind):
    big, small = np.finfo(kind).max, np.finfo(kind).smallest_subnormal
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, big, -big, small], kind)
    y = erf(x)
    np.testing.assert_array_equal(y, np.array([0, -0.0, 1, -1, np.nan, 1, -1, small], kind))
    assert np.signbit(y).tolist() == [False, True, False, True, bool(np.signbit(y[4])), 0, 1, 0]


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), (3, 8192)])
def test_shapes_and_strides(shape):
    x = np.random.default_rng(0).uniform(0.1, 0.9, shape)
    for function, expected in ((erf, special.erf), (ndtri, special.ndtri)):
        y = function(x.T)
        assert y.shape == x.T.shape
        np.testing.assert_allclose(y, expected(x.T), rtol=2e-15)


def test_formulas_find_them():
    assert NUMPY_SCALARS.erf is erf
    assert NUMPY_SCALARS.ndtri is ndtri


def test_the_normal_quantile_against_scipy():
    rng = np.random.default_rng(0)
    u = np.concatenate([rng.uniform(0, 1, 20_000), 10.0 ** rng.uniform(-300, -1, 2_000)])
    np.testing.assert_allclose(ndtri(u), special.ndtri(u), rtol=4e-15, atol=1e-17)
    np.testing.assert_allclose(special.ndtr(ndtri(u)), u, rtol=1e-11)
    assert (ndtri(1 - u[:20_000]) == -ndtri(1 - (1 - u[:20_000]))).all()  # symmetric, bit by bit


def test_the_normal_quantile_of_special_values():
    u = np.array([0, 1, 0.5, -0.1, 1.1, np.nan, np.inf, -np.inf])
    expected = [-np.inf, np.inf, 0, np.nan, np.nan, np.nan, np.nan, np.nan]
    np.testing.assert_array_equal(ndtri(u), expected)
    assert ndtri(u.astype(np.float32)).dtype == np.float32


def test_the_bits_of_the_normal_quantile_are_those_of_every_machine():
    u = np.array([1e-300, 1e-12, 0.003, 0.07, 0.2, 0.4999, 0.7, 0.99999])
    assert [float(x).hex() for x in ndtri(u)] == [
        "-0x1.286074064c26ep+5",
        "-0x1.c234fba57a32ap+2",
        "-0x1.5fb74ce9859bcp+1",
        "-0x1.79cd70d9c27f0p+0",
        "-0x1.aee8fa73a1333p-1",
        "-0x1.06d6ca8553fc1p-12",
        "0x1.0c7e39582c5fap-1",
        "0x1.10f3f8843a850p+2",
    ]
