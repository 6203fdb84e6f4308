"""Derivatives of functions: nesting, captured variables, shapes."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import func


def test_derivatives_nest_to_any_order():
    f, x = lambda x: x**5, cr.tensor(2.0, dtype=cr.float64)
    values = [80, 160, 240, 240, 120]
    for expected in values:
        f = func.grad(f)
        assert f(x).item() == pytest.approx(expected)


def test_nothing_is_left_behind():
    x = cr.ones(3)
    g = func.grad(lambda v: (v * v).sum())(x)
    assert not x.requires_grad and x.grad is None and not g.requires_grad


def test_it_works_under_no_grad_and_returns_no_history():
    w = cr.ones(2, requires_grad=True)
    with cr.no_grad():
        g = func.grad(lambda v: (v * w).sum())(cr.ones(2))
    assert g.tolist() == [1, 1] and not g.requires_grad


def test_captured_variables_keep_their_way_back():
    w = cr.tensor([2.0, 3.0], requires_grad=True)
    func.grad(lambda v: (v * v * w).sum())(cr.ones(2)).sum().backward()
    assert w.grad.tolist() == [2, 2]


def test_jacobians_are_outputs_by_inputs():
    f = lambda x: cr.stack([x.sum(), (x * x).sum(), x[0]])  # noqa: E731
    for jacobian in (func.jacrev, func.jacfwd):
        j = jacobian(f)(cr.tensor([1.0, 2.0]))
        assert j.tolist() == [[1, 1], [2, 4], [1, 0]]
    assert func.jacrev(lambda x: x * 2)(cr.zeros(0)).shape == (0, 0)
    assert func.jacfwd(lambda x: x.sum() * 2)(cr.ones(2, 3)).shape == (2, 3)


def test_hessian_is_symmetric():
    f = lambda x: (x.sin() * x.flip(0)).sum() * x.prod()  # noqa: E731
    x = cr.tensor(np.random.default_rng(0).normal(size=4))
    h = func.hessian(f)(x).numpy()
    np.testing.assert_allclose(h, h.T, atol=1e-12)


def test_jvp_and_vjp_agree():
    rng = np.random.default_rng(0)
    x, t, r = (cr.tensor(rng.normal(size=4)) for _ in range(3))
    f = lambda v: v.tanh() * v.sum()  # noqa: E731
    y, tangent = func.jvp(f, (x,), (t,))
    again, back = func.vjp(f, x)
    assert (tangent * r).sum().item() == pytest.approx((back(r)[0] * t).sum().item())
    assert y.tolist() == again.tolist()


def test_constants_have_zero_derivatives():
    constant = lambda x: cr.ones(2) * 3  # noqa: E731
    assert func.jacrev(constant)(cr.ones(3)).tolist() == [[0, 0, 0]] * 2
    assert func.jvp(constant, (cr.ones(3),), (cr.ones(3),))[1].tolist() == [0, 0]
    assert func.jvp(lambda x: x * 2, (cr.ones(2),), (cr.ones(2),))[1].tolist() == [2, 2]


def test_grad_and_value():
    g, y = func.grad_and_value(lambda a, b: (a * b).sum(), argnums=(0, 1))(cr.ones(2), cr.zeros(2))
    assert [x.tolist() for x in g] == [[0, 0], [1, 1]] and y.item() == 0
