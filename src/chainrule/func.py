"""grad, vjp, jvp, jacrev, jacfwd, hessian: derivatives of functions, named as in ``torch.func``.

All of them call ``backprop.grad`` with ``create_graph``, so they nest to any order.  Jacobians are
outputs × inputs: the shape is ``(*output.shape, *input.shape)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from chainrule import backprop
from chainrule.creation import stack, zeros_like
from chainrule.errors import ShapeError, message, not_found
from chainrule.graph import type_text
from chainrule.recording import enable_grad, is_grad_enabled
from chainrule.tensor import Tensor

__all__ = ["grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "vjp"]


def _input(x: Tensor) -> Tensor:
    """A fresh variable with the value of ``x``; outer derivatives still pass to ``x``."""
    return x.clone() if x.requires_grad else x.detach().requires_grad_()


def _derivatives(y: Tensor, x: Tensor, seed: Tensor | None = None) -> Tensor:
    if not y.requires_grad:
        return zeros_like(x)
    (x_bar,) = backprop.grad(y, x, seed, create_graph=True, allow_unused=True)
    return zeros_like(x) if x_bar is None else x_bar


def _scalar(y: Tensor, where: str) -> None:
    if y.numel() != 1:
        got = f"a function with output {type_text(y.shape, y.dtype)}"
        raise ShapeError(message(where, got, "a scalar output", remedy="jacrev takes any output"))


def grad(function: Callable[..., Tensor], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """The function that returns ∂f/∂x of a scalar f, with respect to the arguments ``argnums``.

    >>> import chainrule as cr
    >>> grad(grad(lambda x: x**3))(cr.tensor(2.0))
    tensor(12.)
    """
    both = grad_and_value(function, argnums)
    return lambda *args: both(*args)[0]


def grad_and_value(
    function: Callable[..., Tensor], argnums: int | tuple[int, ...] = 0
) -> Callable[..., tuple[Any, Tensor]]:
    """The function that returns (∂f/∂x, f(x)) of a scalar f."""
    wanted = (argnums,) if isinstance(argnums, int) else argnums

    def derivative(*args: Any) -> tuple[Any, Tensor]:
        with enable_grad():
            inner = [_input(x) if index in wanted else x for index, x in enumerate(args)]
            y = function(*inner)
            _scalar(y, "grad")
            found = [_derivatives(y, inner[index]) for index in wanted]
        fresh = [inner[index] for index in wanted]
        outer = [_as_outside(d, fresh) for d in found]
        return (outer[0] if isinstance(argnums, int) else tuple(outer)), _as_outside(y, fresh)

    return derivative


def _as_outside(x: Tensor, fresh: Sequence[Tensor]) -> Tensor:
    """A result keeps its history only where that leads further than to our fresh variables."""
    ours = {variable._node for variable in fresh}
    leaves = (node for node in backprop.history([x._node]) if node.leaf is not None)
    return x if is_grad_enabled() and any(leaf not in ours for leaf in leaves) else x.detach()


def vjp(function: Callable[..., Tensor], *inputs: Tensor) -> tuple[Tensor, Callable[[Tensor], Any]]:
    """(f(inputs), the function ȳ -> x̄ = ȳ ∂f/∂x): one pass backwards.

    >>> import chainrule as cr
    >>> y, back = vjp(lambda x: x * x, cr.tensor([1.0, 2.0]))
    >>> back(cr.tensor([1.0, 10.0]))
    (tensor([ 2., 40.]),)
    """
    with enable_grad():
        inner = [_input(x) for x in inputs]
        y = function(*inner)

    def back(y_bar: Tensor) -> tuple[Tensor, ...]:
        with enable_grad():
            found = tuple(_derivatives(y, x, y_bar) for x in inner)
        return tuple(_as_outside(x_bar, inner) for x_bar in found)

    return _as_outside(y, inner), back


def jvp(
    function: Callable[..., Tensor], inputs: tuple[Tensor, ...], tangents: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor]:
    """(f(inputs), ∂f/∂x · tangents): forward mode, by applying reverse mode twice.

    x̄ = Jᵀ ȳ is linear in ȳ, so its own vjp with respect to ȳ is J.

    >>> import chainrule as cr
    >>> jvp(lambda x: x * x, (cr.tensor([1.0, 2.0]),), (cr.tensor([1.0, 10.0]),))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with enable_grad():
        inner = [_input(x) for x in inputs]
        y = function(*inner)
        if not y.requires_grad:
            return _as_outside(y, inner), zeros_like(y)
        y_bar = zeros_like(y).requires_grad_()
        found = backprop.grad(y, inner, y_bar, create_graph=True, allow_unused=True)
        pairs = [
            (b, t)
            for b, t in zip(found, tangents, strict=True)
            if b is not None and b.requires_grad
        ]
        if not pairs:
            return _as_outside(y, inner), zeros_like(y)
        total = sum((b * t).sum() for b, t in pairs)
        (tangent,) = backprop.grad(total, y_bar, create_graph=True, allow_unused=True)  # type: ignore[arg-type]
    tangent = zeros_like(y) if tangent is None else tangent
    return _as_outside(y, inner), _as_outside(tangent, [*inner, y_bar])


def jacrev(function: Callable[..., Tensor], argnum: int = 0) -> Callable[..., Tensor]:
    """The Jacobian ∂f/∂x row by row: one pass backwards per output element.

    >>> import chainrule as cr
    >>> jacrev(lambda x: x * x)(cr.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    def jacobian(*args: Any) -> Tensor:
        with enable_grad():
            inner = _input(args[argnum])
            y = function(*args[:argnum], inner, *args[argnum + 1 :])
            rows = [_derivatives(y, inner, _unit(y, index)) for index in range(y.numel())]
            shape = (*y.shape, *inner.shape)
            full = stack(rows).reshape(shape) if rows else y.new_zeros(shape)
        return _as_outside(full, [inner])

    return jacobian


def jacfwd(function: Callable[..., Tensor], argnum: int = 0) -> Callable[..., Tensor]:
    """The Jacobian ∂f/∂x column by column: one pass forwards per input element."""

    def jacobian(*args: Any) -> Tensor:
        x = args[argnum]

        def of_x(value: Tensor) -> Tensor:
            return function(*args[:argnum], value, *args[argnum + 1 :])

        columns = [jvp(of_x, (x,), (_unit(x, index),))[1] for index in range(x.numel())]
        if not columns:
            return x.new_zeros((*of_x(x).shape, *x.shape))
        y_shape = columns[0].shape
        return stack(columns, len(y_shape)).reshape((*y_shape, *x.shape))

    return jacobian


def hessian(function: Callable[..., Tensor], argnum: int = 0) -> Callable[..., Tensor]:
    """The matrix of second derivatives of a scalar f: ``jacrev`` of ``grad``.

    >>> import chainrule as cr
    >>> hessian(lambda x: x[0] ** 2 * x[1])(cr.tensor([1.0, 2.0]))
    tensor([[4., 2.],
            [2., 0.]])
    """
    return jacrev(grad(function, argnum), argnum)


def _unit(x: Tensor, index: int) -> Tensor:
    """1 at one place, 0 elsewhere, in the shape of ``x``."""
    unit = zeros_like(x).reshape(prod(x.shape))
    unit[index] = 1
    return unit.reshape(x.shape)


def __getattr__(name: str) -> Any:
    raise not_found("chainrule.func", name, __all__)
