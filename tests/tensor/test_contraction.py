"""einsum and tensordot against NumPy's; what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ShapeError, UsageError

A, B = (np.random.default_rng(k).normal(size=s) for k, s in enumerate(((2, 3, 4), (2, 4, 5))))


@pytest.mark.parametrize("equation", ["bij,bjk->bik", "...ij,...jk->...ki", "bij,bjk->", "bij,cjk"])
def test_einsum_is_numpys(equation):
    y = cr.einsum(equation, cr.tensor(A), cr.tensor(B))
    np.testing.assert_allclose(y.numpy(), np.einsum(equation, A, B), atol=1e-12)


def test_dots_are_counted_from_the_last_axis():
    x = np.random.default_rng(2).normal(size=(3, 3, 4))
    y = cr.einsum("...i,...i->...", cr.tensor(x), cr.tensor(x[0]))
    np.testing.assert_allclose(y.numpy(), np.einsum("...i,...i->...", x, x[0]), atol=1e-12)


def test_gradients():
    a, b = cr.tensor(A), cr.tensor(B)
    assert cr.gradcheck(lambda a, b: cr.einsum("...ij,...jk->...ik", a, b), [a, b])
    assert cr.gradcheck(lambda a: cr.einsum("iij->ij", a), [cr.randn(3, 3, 2, dtype=cr.float64)])
    assert cr.gradcheck(lambda a, b: cr.tensordot(a, b, ([2], [1])), [a, b])


def test_a_diagonal_does_not_spread_infinity():
    x = cr.tensor([[1.0, np.inf], [2.0, 3.0]])
    assert cr.einsum("ii->i", x).tolist() == [1, 3]


def test_tensordot_is_numpys():
    y = cr.tensordot(cr.tensor(A), cr.tensor(B), ([0, 2], [0, 1]))
    np.testing.assert_allclose(y.numpy(), np.tensordot(A, B, ([0, 2], [0, 1])), atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "equation", "text"),
    [
        (
            UsageError,
            "ij",
            r"\[einsum\] got 'ij', needs one group of letters for each of 2 operands",
        ),
        (UsageError, "bij,bjk->bz", "each letter on the right once, and known on the left"),
        (UsageError, "bij,bjk->bb", "each letter on the right once"),
        (UsageError, "b1j,bjk->b", "letters, commas"),
        (ShapeError, "ij,bjk->ik", "3 axes for 'ij'"),
        (ShapeError, "bij,bik->bk", "3 and 4 for 'i' in 'bij,bik->bk', needs one size, or 1"),
    ],
)
def test_refused(kind, equation, text):
    with pytest.raises(kind, match=text):
        cr.einsum(equation, cr.tensor(A), cr.tensor(B))


def test_tensordot_refused():
    with pytest.raises(
        ShapeError, match=r"f64\[2,3,4\] and f64\[2,4,5\] over \[1, 2\] and \[0, 1\]"
    ):
        cr.tensordot(cr.tensor(A), cr.tensor(B), 2)
    with pytest.raises(ShapeError, match="dims=4, needs 0 to 3"):
        cr.tensordot(cr.tensor(A), cr.tensor(B), 4)
