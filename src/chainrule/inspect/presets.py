"""The lectures' worked examples, ready for the board: ``explain_preset("logistic")``.

Each function builds its graph of float64 tensors with the lecture's letters.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from chainrule.dtypes import float64
from chainrule.errors import NameNotFoundError, message
from chainrule.inspect.explain import Explanation, board
from chainrule.tensor import Tensor, tensor

__all__ = ["PRESETS", "explain_preset", "preset"]


def _variable(name: str, value: Any) -> Tensor:
    return _named(name, tensor(value, dtype=float64, requires_grad=True))


def _data(name: str, value: Any) -> Tensor:
    return _named(name, tensor(value, dtype=float64))


def _named(name: str, value: Tensor) -> Tensor:
    value.name = name
    return value


def neuron() -> tuple[Tensor, str]:
    """A neuron node by node: f = 1/(1 + exp(−(w₀ + w₁x₁ + w₂x₂)))"""
    w0, w1, x1 = _variable("w0", -3), _variable("w1", 2), _variable("x1", -1)
    w2, x2 = _variable("w2", -3), _variable("x2", -2)
    z = _named("z", w0 + w1 * x1 + w2 * x2)
    n = _named("n", -z)
    e = _named("e", n.exp())
    d = _named("d", 1 + e)
    return _named("f", 1 / d), "z̄ is also f·(1 − f): the four nodes after z are one sigmoid."


def multivariate() -> tuple[Tensor, str]:
    """The chain rule with two paths: f = y + exp(x·y), x = cos t, y = t²"""
    t = _variable("t", 1)
    x, y = _named("x", t.cos()), _named("y", t**2)
    f = _named("f", y + (x * y).exp())
    return f, "df/dt = (y·exp(xy))·(−sin t) + (1 + x·exp(xy))·2t: one addend per path."


def logistic() -> tuple[Tensor, str]:
    """Regularised logistic least squares: L = ½(σ(wx + b) − t)², Lreg = L + λ·½w²"""
    x, t, rate = _data("x", 1.5), _data("t", 1), _data("λ", 0.1)
    w, b = _variable("w", 0.8), _variable("b", -0.3)
    z = _named("z", w * x + b)
    y = _named("y", z.sigmoid())
    L = _named("L", 0.5 * (y - t) ** 2)
    R = _named("R", 0.5 * w**2)
    return _named("Lreg", L + rate * R), "w has two readers, z and R: its error signal is a sum."


def two_layer() -> tuple[Tensor, str]:
    """A two-layer network in vectorised form: y = W₂σ(W₁x + b₁) + b₂, L = ½‖y − t‖²"""
    x, t = _data("x", [1, 2]), _data("t", [0, 1])
    W1, b1 = _variable("W1", [[0.1, 0.2], [0.3, 0.4]]), _variable("b1", [0.1, -0.1])
    W2, b2 = _variable("W2", [[0.5, -0.6], [0.7, 0.8]]), _variable("b2", [0.2, 0])
    z = _named("z", W1 @ x + b1)
    h = _named("h", z.sigmoid())
    y = _named("y", W2 @ h + b2)
    L = _named("L", 0.5 * ((y - t) ** 2).sum())
    return L, "Forward one multiply-add per weight; backward two: one for W̄, one for h̄."


def xor() -> tuple[Tensor, str]:
    """The 2-2-1 network for XOR: gradients at x = (1, 0), and a solution's truth table"""
    x1, x2, y = _data("x1", 1), _data("x2", 0), _data("y", 1)
    w = [_variable(f"w{i + 1}", value) for i, value in enumerate((0.5, -0.4, 0.3, 0.2, 0.6, -0.7))]
    b = [_variable(f"b{i + 1}", value) for i, value in enumerate((0.1, -0.2, 0.05))]
    h1 = _named("h1", (w[0] * x1 + w[2] * x2 + b[0]).sigmoid())
    h2 = _named("h2", (w[1] * x1 + w[3] * x2 + b[1]).sigmoid())
    out = _named("ŷ", (w[4] * h1 + w[5] * h2 + b[2]).sigmoid())
    table = "   ".join(
        f"{p} xor {q} = {xor_output(p, q).item():.6g}" for p in (0, 1) for q in (0, 1)
    )
    return _named(
        "L", (y - out) ** 2
    ), f"With w = (20, −20, 20, −20, 20, 20), b = (−10, 30, −30):\n{table}"


def xor_output(x1: float, x2: float) -> Tensor:
    """The solved network: an OR and a NAND, joined by an AND."""
    x1, x2 = tensor(x1, dtype=float64), tensor(x2, dtype=float64)  # type: ignore[assignment]
    either = (20 * x1 + 20 * x2 - 10).sigmoid()  # type: ignore[attr-defined]
    not_both = (-20 * x1 - 20 * x2 + 30).sigmoid()  # type: ignore[attr-defined]
    return (20 * either + 20 * not_both - 30).sigmoid()


def bce() -> tuple[Tensor, str]:
    """Sigmoid and cross-entropy: L = −(y·ln a + (1 − y)·ln(1 − a)), δ = z̄ = a − y"""
    z, y = _variable("z", 0.7), _data("y", 1)
    a = _named("a", z.sigmoid())
    L = _named("L", -(y * a.log() + (1 - y) * (1 - a).log()))
    return (
        L,
        "δ = z̄ = a − y = 0.6682 − 1: the sigmoid's slope cancels. (The slide has its sign wrong.)",
    )


_BUILDERS: dict[str, Callable[[], tuple[Tensor, str]]] = {
    "neuron": neuron,
    "multivariate": multivariate,
    "logistic": logistic,
    "two-layer": two_layer,
    "xor": xor,
    "bce": bce,
}
PRESETS = {name: (build.__doc__ or "").splitlines()[0] for name, build in _BUILDERS.items()}


def preset(name: str) -> tuple[Tensor, str]:
    """(loss, notes) of a preset, its graph pending; values have the lecture's names."""
    build = _BUILDERS.get(name.replace("_", "-"))
    if build is None:
        nearest = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.4)
        remedy = f"Nearest: {nearest[0]}" if nearest else ""
        got, needs = f"preset {name!r}", f"one of {', '.join(PRESETS)}"
        raise NameNotFoundError(message("explain", got, needs, remedy=remedy))
    return build()


def explain_preset(name: str, digits: int = 4) -> Explanation:
    """The board of one of the lectures' examples; ``PRESETS`` lists them.

    >>> print(str(explain_preset("logistic")).splitlines()[0])
    Regularised logistic least squares: L = ½(σ(wx + b) − t)², Lreg = L + λ·½w²
    """
    loss, notes = preset(name)
    return board(loss, digits, title=PRESETS[name.replace("_", "-")], notes=notes)
