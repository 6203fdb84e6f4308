"""Operations with a forward and a backward of one's own."""

from __future__ import annotations

import pytest

import chainrule as cr
from chainrule.autograd import Function
from chainrule.errors import GradientError


class Polar(Function):
    """(√(x² + y²), x·y) with both derivatives by hand; counts its backward calls."""

    calls = 0

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return (x * x + y * y).sqrt(), (x * y).to(cr.float64)

    @staticmethod
    def backward(ctx, r_bar, p_bar):
        Polar.calls += 1
        x, y = ctx.saved_tensors
        r, p_bar = (x * x + y * y).sqrt(), p_bar.to(x.dtype)
        return r_bar * x / r + p_bar * y, r_bar * y / r + p_bar * x


def plain(x, y):
    return (x * x + y * y).sqrt(), (x * y).to(cr.float64)


def inputs():
    return (cr.tensor([3.0, 1.0], requires_grad=True), cr.tensor([4.0, 2.0], requires_grad=True))


@pytest.mark.parametrize("use", [(0,), (1,), (0, 1)])
def test_several_outputs(use):
    Polar.calls = 0
    gradients = []
    for function in (Polar.apply, plain):
        x, y = inputs()
        results = function(x, y)
        assert [r.dtype for r in results] == [cr.float32, cr.float64]
        sum((results[k] * (k + 2)).sum() for k in use).backward()
        gradients.append([x.grad.tolist(), y.grad.tolist()])
    for mine, expected in zip(*gradients, strict=True):
        assert mine == pytest.approx(expected, rel=1e-6)
    assert Polar.calls == 1


def test_several_outputs_without_anything_to_learn():
    r, p = Polar.apply(cr.tensor([3.0]), cr.tensor([4.0]))
    assert (r.item(), p.item()) == (5, 12) and not r.requires_grad


def test_an_output_written_in_place_leaves_the_other():
    x, y = inputs()
    r, p = Polar.apply(x, y)
    r.mul_(2)
    p.sum().backward()
    assert p.tolist() == [12, 2] and x.grad.tolist() == y.tolist()


def test_gradients_of_several_outputs():
    class Pair(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.exp(), x**2

        @staticmethod
        def backward(ctx, a_bar, b_bar):
            (x,) = ctx.saved_tensors
            return a_bar * x.exp() + 2 * x * b_bar

    def together(x):
        a, b = Pair.apply(x)
        return a * b

    assert cr.gradcheck(together, [cr.randn(3, dtype=cr.float64)])
    x = cr.tensor(1.5, dtype=cr.float64, requires_grad=True)
    (first,) = cr.autograd.grad(together(x), x, create_graph=True)
    (second,) = cr.autograd.grad(first, x)
    e = cr.tensor(1.5, dtype=cr.float64).exp().item()
    assert second.item() == pytest.approx(e * (1.5**2 + 4 * 1.5 + 2))


def test_outputs_that_are_no_floating_point_numbers_or_marked():
    class Largest(Function):
        @staticmethod
        def forward(ctx, x):
            values, places = x.max(0)
            doubled = values * 2
            ctx.mark_non_differentiable(doubled)
            ctx.save_for_backward(x, places)
            return values, places, doubled, "largest"

        @staticmethod
        def backward(ctx, y_bar, *rest):
            x, places = ctx.saved_tensors
            assert [r is None or (r == 0).all().item() for r in rest] == [True] * 3
            return cr.zeros_like(x).scatter_(0, places.unsqueeze(0), y_bar.unsqueeze(0))

    x = cr.tensor([[1.0, 5.0], [2.0, 3.0]], requires_grad=True)
    values, places, doubled, word = Largest.apply(x)
    assert places.tolist() == [1, 0] and word == "largest"
    assert (values.requires_grad, places.requires_grad, doubled.requires_grad) == (
        True,
        False,
        False,
    )
    values.sum().backward()
    assert x.grad.tolist() == [[0, 1], [1, 0]]


def test_setup_context():
    class Cube(Function):
        @staticmethod
        def forward(x):
            return x**3

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, y_bar):
            (x,) = ctx.saved_tensors
            return y_bar * 3 * x**2

    x = cr.tensor(2.0, requires_grad=True)
    Cube.apply(x).backward()
    assert x.grad.item() == 12


def test_refused():
    class Nothing(Function):
        @staticmethod
        def forward(ctx, x):
            return ["no tensor"]

    with pytest.raises(GradientError, match=r"got list from forward, needs one tensor, or a tuple"):
        Nothing.apply(cr.ones(1))

    class Short(Function):
        @staticmethod
        def forward(ctx, x, y):
            return x * 1, y * 1

        @staticmethod
        def backward(ctx, a_bar, b_bar):
            return a_bar

    x, y = inputs()
    with pytest.raises(GradientError, match="1 error signals from backward, needs one for each of"):
        Short.apply(x, y)[0].sum().backward()


def test_arguments_left_to_their_defaults_need_no_error_signal():
    class Affine(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x, w, b=None):
            ctx.save_for_backward(x, w)
            return x @ w if b is None else x @ w + b

        @staticmethod
        def backward(ctx, y_bar):
            x, w = ctx.saved_tensors
            b_bar = y_bar.sum(0) if len(ctx.needs_input_grad) > 2 else None
            return y_bar @ w.t(), x.t() @ y_bar, b_bar

    x, w, b = (cr.randn(2, 2, dtype=cr.float64, requires_grad=True) for _ in range(3))
    assert cr.gradcheck(Affine.apply, (x, w))
    assert cr.gradcheck(lambda x, w, b: Affine.apply(x, w, b), (x, w, b[0].detach()))
