"""Derivatives as graphs on stand-ins, also those that a user has written."""

import chainrule as cr
from chainrule.inspect.element import Elements


def test_a_function_of_a_users_own_is_opened_through_what_it_saved():
    class Square(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, signal):
            return signal * 2 * ctx.saved_tensors[0]

    w = cr.tensor([1.0, 2.0], requires_grad=True)
    with cr.record() as tape:
        z = w * 3.0
        z.name = "z"
        y = Square.apply(z)
        y.name = "y"
        y.sum().backward()
    elements = Elements(tape)
    signal = elements.at(tape["z"].node, "bar", (1,))
    assert (signal.formula, signal.numbers) == ("x̄₁ = ȳ·2·z", "2·1·6")
    assert (elements.number(tape["z"].node), "value", (1,), None) in signal.links
    assert elements.at(tape["y"].node, "value", (1,)).part.value == 36
