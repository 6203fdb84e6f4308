"""NumPy's operators and functions that meet a tensor; names that are not there."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DtypeError, NameNotFoundError

A = np.array([1.0, -2.0, 3.0])
B = np.array([2.0, 4.0, -1.0])
ARITHMETIC = ["add", "sub", "mul", "truediv", "floordiv", "mod", "eq", "ne", "lt", "le", "gt", "ge"]


@pytest.mark.parametrize("name", ARITHMETIC)
def test_an_array_on_the_left(name):
    operation = getattr(operator, name)
    x = cr.tensor(B, requires_grad=True)
    for left in (A, A[0], np.float64(2.5), np.array(2.5)):
        y = operation(left, x)
        assert isinstance(y, cr.Tensor)
        np.testing.assert_array_equal(y.detach().numpy(), operation(left, B))


def test_powers_products_and_bits():
    x = cr.tensor(B)
    np.testing.assert_allclose((np.abs(A) ** x).numpy(), np.abs(A) ** B)
    assert (A @ x).item() == A @ B
    mask = cr.tensor([True, False, True])
    assert (np.array([True, True, False]) & mask).tolist() == [True, False, False]
    assert (np.array([True, True, False]) ^ mask).tolist() == [False, True, True]


@pytest.mark.parametrize("function", [np.less, np.greater_equal, np.subtract, np.power, np.equal])
def test_numpys_operators_called_by_name(function):
    for a, b in ((2.0, np.abs(B)), (np.abs(B), 2.0)):
        ours = (cr.tensor(v) if isinstance(v, np.ndarray) else v for v in (a, b))
        np.testing.assert_allclose(function(*ours).numpy(), function(a, b))


def test_the_history_of_an_array_times_a_tensor():
    x = cr.tensor(B, requires_grad=True)
    (A * x).sum().backward()
    assert x.grad.tolist() == A.tolist()


@pytest.mark.parametrize(
    ("calculate", "text"),
    [
        (
            np.exp,
            r"\[np\.exp\] got a Tensor, needs an array\. x\.exp\(\) keeps the history, np\.exp",
        ),
        (np.absolute, r"x\.abs\(\) keeps the history"),
        (np.arctan, r"needs an array\. np\.arctan\(x\.detach\(\)\.numpy\(\)\) leaves it"),
        (lambda x: np.add(A, x, out=np.zeros(3)), r"\[np\.add\] got a Tensor"),
        (np.add.reduce, r"\[np\.add\] got a Tensor"),
    ],
)
def test_numpys_functions_say_what_to_use(calculate, text):
    with pytest.raises(DtypeError, match=text):
        calculate(cr.tensor(B))


def test_an_array_is_not_written_to():
    array = A.copy()
    with pytest.raises(DtypeError, match=r"\[np\.add\]"):
        array += cr.tensor(B)
    assert array.tolist() == A.tolist()


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda: cr.ones(2).unsqeeze(0), "Tensor has no unsqeeze; nearest unsqueeze"),
        (lambda: cr.ones(2).requires_gradient, "Tensor has no requires_gradient; nearest requires"),
        (lambda: cr.func.jacrevs, "chainrule.func has no jacrevs; nearest jacrev"),
        (lambda: cr.autograd.Functoin, "chainrule.autograd has no Functoin; nearest Function"),
    ],
)
def test_nearest_names(ask, text):
    with pytest.raises(NameNotFoundError, match=text):
        ask()


def test_what_notebooks_ask_for_is_simply_not_there():
    assert not hasattr(cr.ones(2), "_repr_png_")
    assert not hasattr(cr.ones(2), "unsqeeze")


def test_numpys_words_for_axes():
    x = cr.tensor([[1.0, 2.0], [3.0, 5.0]])
    assert x.sum(axis=0, keepdims=True).tolist() == [[4, 7]]
    assert x.max(axis=1).indices.tolist() == [1, 1]
    assert cr.softmax(x, axis=1).sum(axis=1).tolist() == pytest.approx([1, 1])
    assert cr.cat([x, x], axis=1).shape == cr.stack([x[0]] * 4, axis=1).shape == (2, 4)
    assert x.unsqueeze(axis=0).squeeze(axis=0).mean(axis=1).tolist() == [1.5, 4]


@pytest.mark.parametrize("name", ["sum", "mean", "max", "std"])
def test_numpys_reductions_say_what_to_use(name):
    remedy = rf"\[{name}\] got NumPy's out=.*x\.{name}\(\) keeps the history, np\.{name}\(x"
    with pytest.raises(DtypeError, match=remedy):
        getattr(np, name)(cr.tensor(B))
