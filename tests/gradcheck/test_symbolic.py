"""The symbolic column: SymPy's derivative of the recorded forward formulas."""

import builtins

import numpy as np
import pytest

import chainrule as cr
from chainrule import backprop, nn
from chainrule.gradcheck.symbolic import NotSymbolicError, derivatives
from chainrule.gradcheck.trace import Trace
from chainrule.ops.elementwise import Tanh
from chainrule.ops.op import REGISTRY, Elementwise, Op
from chainrule.tensor import tensor

F = nn.functional

WITHOUT = {  # no formula of expressions: where numbers go back to, and what is no derivative
    "assign", "scatter_add", "index_add", "max_pool_scatter", "avg_pool_scatter",
}  # fmt: skip


def columns(f, arrays):
    """(symbolic, automatic) derivatives of Σ w·f by each input."""
    xs = [cr.tensor(a, dtype=cr.float64, requires_grad=True) for a in arrays]
    y = f(*xs)
    weights = np.random.default_rng(0).uniform(0.5, 1.5, y.shape)
    trace = Trace([y])
    found = derivatives(trace, {y._node: weights}, {f"x{i}": x._node for i, x in enumerate(xs)})
    bars = backprop.grad((y * tensor(weights)).sum(), xs, allow_unused=True)
    automatic = [
        np.zeros(x.shape) if b is None else b.numpy() for x, b in zip(xs, bars, strict=True)
    ]
    return [found[f"x{i}"] for i in range(len(xs))], automatic


def compare(f, *arrays):
    for symbolic, automatic in zip(*columns(f, arrays), strict=True):
        np.testing.assert_allclose(automatic, symbolic, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", [n for n, op in REGISTRY.items() if op.differentiable])
def test_every_op_that_has_a_formula(name):
    op = REGISTRY[name]
    samples = list(op.samples(np.random.default_rng(1)))
    samples.sort(key=lambda s: sum(x.size for x in s.inputs))
    compared = 0
    for sample in samples[:5]:
        chosen = [i for i, x in enumerate(sample.inputs) if x.dtype == np.float64 and x.size]
        if not chosen or sample.differentiable == ():
            continue

        def f(*variables, sample=sample, chosen=chosen):
            inputs = [tensor(x) for x in sample.inputs]
            for i, variable in zip(chosen, variables, strict=True):
                inputs[i] = variable
            return op(*inputs, **sample.meta)

        if name in WITHOUT:
            with pytest.raises(NotSymbolicError, match="no formula"):
                columns(f, [sample.inputs[i] for i in chosen])
            continue
        compare(f, *(sample.inputs[i] for i in chosen))
        compared += 1
    assert name in WITHOUT or compared
    assert name == "assign" or not (name in WITHOUT and isinstance(op, Elementwise))


def test_layers_losses_and_small_nets():
    rng = np.random.default_rng(2)
    x, w, b = rng.normal(size=(2, 3)), rng.normal(size=(4, 3)), rng.normal(size=4)
    compare(F.linear, x, w, b)
    compare(lambda x: F.softmax(x, 1), x)
    compare(lambda x: F.log_softmax(x, 1), x)
    compare(lambda x: F.cross_entropy(x, cr.tensor([0, 2])), x)
    compare(lambda x: F.cross_entropy(x, cr.tensor([0, 2]), label_smoothing=0.1), x)
    compare(F.conv2d, rng.normal(size=(1, 1, 4, 4)), rng.normal(size=(1, 1, 3, 3)))
    compare(lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), x, b[:3], w[0])
    compare(F.gelu, x)
    compare(lambda x: F.max_pool2d(x, 2), rng.normal(size=(1, 1, 4, 4)))


def test_it_uses_no_vjp(monkeypatch):
    def f(x, w):
        return F.log_softmax((x @ w).tanh().sigmoid(), 1)

    xs = [
        cr.tensor(np.full(shape, 0.3), dtype=cr.float64, requires_grad=True)
        for shape in ((2, 3), (3, 2))
    ]
    y = f(*xs)
    trace = Trace([y])

    def forbidden(*inputs, **meta):
        raise AssertionError("a vjp was used")

    for op in REGISTRY.values():
        if type(op).vjp is not Op.vjp:
            monkeypatch.setattr(type(op), "vjp", forbidden)
    found = derivatives(trace, {y._node: np.ones(y.shape)}, {"x": xs[0]._node, "w": xs[1]._node})
    assert found["w"].shape == (3, 2)


def test_a_wrong_vjp_shows_in_the_column(monkeypatch):
    monkeypatch.setattr(Tanh, "vjp", lambda self, y, y_bar, x: (y_bar * (1 - y),))
    report = cr.gradcheck(lambda x: x.tanh(), np.array([0.5]))
    (row,) = report.worst
    assert not report
    assert row.symbolic == pytest.approx(1 - np.tanh(0.5) ** 2, rel=1e-14)
    assert row.numeric == pytest.approx(row.symbolic, rel=1e-8)
    assert row.automatic == pytest.approx(1 - np.tanh(0.5))
    assert "a wrong backward" in row.why


def test_an_error_that_differences_cannot_see(monkeypatch):
    """Relative 1e-6: within the tolerance of a numeric check, not of a symbolic one."""
    right = Tanh.vjp
    monkeypatch.setattr(
        Tanh, "vjp", lambda self, y, y_bar, x: (right(self, y, y_bar, x)[0] * (1 + 1e-6),)
    )
    assert cr.gradcheck(lambda x: x.tanh(), np.array([0.5]), symbolic=False)
    report = cr.gradcheck(lambda x: x.tanh(), np.array([0.5]))
    assert "a wrong backward, by less than differences alone could tell" in str(report)


def test_a_formula_that_says_something_else(monkeypatch):
    monkeypatch.setattr(Tanh, "scalar", lambda self, s, x: s.tanh(x * 2) if s is not None else x)
    monkeypatch.setattr(Tanh, "reference", lambda self, x: np.tanh(x))
    report = cr.gradcheck(lambda x: x.tanh(), np.array([0.5]))
    assert "an op's formula says something else" in str(report)


def test_a_cut_history_is_told():
    text = str(cr.gradcheck(lambda x: x.detach() * x, np.array([1.5])))
    assert "has detach() or no_grad() cut something?" in text


def test_without_sympy_the_column_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.partition(".")[0] in ("sympy", "mpmath"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    report = cr.gradcheck(lambda x: x.exp(), np.array([1.0]))
    assert report
    assert report.worst[0].symbolic is None
    assert "no symbolic column: pip install chainrule[symbolic]" in str(report)


def test_what_is_too_large_says_so():
    report = cr.gradcheck(nn.Linear(100, 20), np.ones((1, 100)))
    assert report
    assert "too many for SymPy" in str(report)
    deep = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(5)))
    assert "too large for SymPy" in str(cr.gradcheck(deep, np.ones((2, 4))))


def test_at_a_pole_there_is_no_symbolic_derivative():
    report = cr.gradcheck(lambda x: x.log().sum(), np.array([0.0]))
    assert not report
    assert "not finite here" in str(report)
