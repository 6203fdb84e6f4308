"""The lectures' worked examples, ready for the board: ``explain_preset("logistic")``.

Each function builds its graph of float64 tensors with the lecture's letters.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import sin
from typing import Any

import numpy as np

from chainrule import func
from chainrule.dtypes import float64
from chainrule.errors import NameNotFoundError, did_you_mean, message
from chainrule.inspect.explain.explanation import Explanation, board
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
    """Logistic least squares: L = ½(y − t)², y = σ(z), z = wx + b"""
    loss, _, _ = _logistic()
    return loss, "z̄ is computed once and used twice, for w̄ and for b̄."


def logistic_l2() -> tuple[Tensor, str]:
    """Regularised logistic least squares: L = ½(σ(wx + b) − t)², Lreg = L + λ·½w²"""
    L, w, rate = _logistic(rate=0.1)
    R = _named("R", 0.5 * w**2)
    return _named("Lreg", L + rate * R), "w has two readers, z and R: its error signal is a sum."


def _logistic(rate: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """(L, w, λ)"""
    x, t, decay = _data("x", 1.5), _data("t", 1), _data("λ", rate)
    w, b = _variable("w", 0.8), _variable("b", -0.3)
    z = _named("z", w * x + b)
    y = _named("y", z.sigmoid())
    return _named("L", 0.5 * (y - t) ** 2), w, decay


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


def softmax() -> tuple[Tensor, str]:
    """Softmax, then cross-entropy: y = softmax(x), L = −ln y[1], x̄ = y − t"""
    x = _variable("x", [1, 2, 0.5])
    y = _named("y", x.softmax(0))
    p = _named("p", y[1])
    loss = _named("L", -p.log())
    jacobian = func.jacrev(lambda v: v.softmax(0))(_data("x", [1, 2, 0.5])).numpy()
    return loss, (
        "With t = (0, 1, 0), the class as one-hot: x̄ = y − t. The Jacobian ∂y/∂x is "
        f"diag(y) − y yᵀ:\n{_rows(jacobian)}"
    )


def svm() -> tuple[Tensor, str]:
    """Multiclass SVM: L = Σ max(0, 1 + x_i − x_y) over the classes i ≠ y, the second being y"""
    x, m = _variable("x", [1, 0.5, 2, -1]), _data("m", [1, 0, 1, 1])
    h = _named("h", (1 + x - x[1]).relu())
    return _named("L", (h * m).sum()), (
        "m leaves out i = y. x̄ at y is minus the number of violated margins, here −2.\n"
        "(The slide sums over all i, which gives 5, and has 1 there.)"
    )


def relu() -> tuple[Tensor, str]:
    """ReLU: the error signal u passes where x > 0: L = Σ u·max(0, x)"""
    x, u = _variable("x", [-1, 0, 2]), _data("u", [0.1, 0.2, 0.3])
    y = _named("y", x.relu())
    return _named(
        "L", (y * u).sum()
    ), "ȳ = u. What passes is told by y alone: x may be overwritten."


def affine() -> tuple[Tensor, str]:
    """An affine map of one sample: y = W x, its error signal u: x̄ = Wᵀ u, W̄ = u xᵀ"""
    W, x = _variable("W", [[1, 2, 3], [4, 5, 6]]), _variable("x", [1, 0, -1])
    u = _data("u", [0.5, -1])
    y = _named("y", W @ x)
    return _named("L", (y * u).sum()), "L = uᵀ y, so that ȳ = u."


def affine_batch() -> tuple[Tensor, str]:
    """An affine map of a batch {x, 2x}: Y = X Wᵀ: X̄ has a row per sample, W̄ is a sum over them"""
    W, X = _variable("W", [[1, 2, 3], [4, 5, 6]]), _variable("X", [[1, 0, -1], [2, 0, -2]])
    U = _data("U", [[0.5, -1], [0.5, -1]])
    Y = _named("Y", X @ W.T)
    return _named("L", (Y * U).sum()), "Data go per sample, the model's error signals are summed."


def symbolic() -> tuple[Tensor, str]:
    """The symbolic route and its trap: L = ½(y − W₂ σ(W₁ x))², where a slide loses the target y"""
    weights, sample, target = np.array([[0.2, -0.1], [0.4, 0.3]]), np.array([1.0, 2.0]), 0.5
    W1, W2 = _variable("W1", weights), _data("W2", [1, -1])
    x, y = _data("x", sample), _data("y", target)
    z = _named("z", W1 @ x)
    h = _named("h", z.sigmoid())
    out = _named("ŷ", W2 @ h)
    loss = _named("L", 0.5 * (y - out) ** 2)
    a = 1 / (1 + np.exp(-weights @ sample))
    lost = np.outer((a[0] - a[1]) * a * (1 - a) * [1, -1], sample)
    return loss, (
        f"The slide's expression has no y in it; it would give for W₁\n{_rows(lost)}\n"
        "Differences tell at once which one is right: chainrule gradcheck."
    )


def _rows(matrix: np.ndarray) -> str:
    """A matrix to six places, for a note."""
    lines = ("  ".join(f"{entry:9.6f}" for entry in row) for row in matrix)
    return "\n".join(lines).replace("-", "−")


def delta() -> tuple[Tensor, str]:
    """The delta rule of a 3-4-3-1 sigmoid network with cross-entropy, y = 1"""
    sizes, thetas, start = (3, 4, 3, 1), [], 0
    for layer, (n, m) in enumerate(pairwise(sizes)):
        numbers = [round(sin(start + i + 1), 1) for i in range(n * m)]
        rows = [numbers[i * n : (i + 1) * n] for i in range(m)]
        thetas.append(_variable(f"Θ{layer + 1}", rows))
        start += n * m
    a, y = _data("a1", [0.5, -1, 2]), _data("y", [1])
    for layer, theta in enumerate(thetas):
        z = _named(f"z{layer + 2}", theta @ a)
        a = _named(f"a{layer + 2}", z.sigmoid())
    loss = -(y * a.log() + (1 - y) * (1 - a).log()).sum()
    return _named("L", loss), (
        "δ at the output is a₄ − y; below, δ = Θᵀ δ ∘ a(1 − a); each Θ's derivative is δ aᵀ.\n"
        "--notation delta writes it so."
    )


_BUILDERS: dict[str, Callable[[], tuple[Tensor, str]]] = {
    "logistic": logistic,
    "logistic-l2": logistic_l2,
    "multivariate": multivariate,
    "neuron": neuron,
    "two-layer": two_layer,
    "xor": xor,
    "bce": bce,
    "delta": delta,
    "softmax": softmax,
    "svm": svm,
    "relu": relu,
    "affine": affine,
    "affine-batch": affine_batch,
    "symbolic": symbolic,
}
PRESETS = {name: (build.__doc__ or "").splitlines()[0] for name, build in _BUILDERS.items()}


def preset(name: str) -> tuple[Tensor, str]:
    """(loss, notes) of a preset, its graph pending; values have the lecture's names."""
    build = _BUILDERS.get(name.replace("_", "-"))
    if build is None:
        got, needs = f"preset {name!r}", f"one of {', '.join(PRESETS)}"
        remedy = did_you_mean(name, PRESETS)
        raise NameNotFoundError(message("explain", got, needs, remedy=remedy))
    return build()


def explain_preset(
    name: str, digits: int = 4, *, notation: str = "bar", ascii: bool = False
) -> Explanation:
    """The board of one of the lectures' examples; ``PRESETS`` lists them.

    >>> print(str(explain_preset("logistic-l2")).splitlines()[0])
    Regularised logistic least squares: L = ½(σ(wx + b) − t)², Lreg = L + λ·½w²
    """
    loss, notes = preset(name)
    title = PRESETS[name.replace("_", "-")]
    return board(loss, digits, title=title, notes=notes, notation=notation, ascii=ascii)
