"""Activations, losses and initialisers against PyTorch: values, gradients, in place, layers."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn

pytestmark = pytest.mark.parity
TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}


def rng():
    return np.random.default_rng(0)


def compare(ours, theirs, *arrays):
    """The same calculation in both: value, and gradients of all floating inputs."""
    import torch

    x = [cr.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    t = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    y, expected = ours(*x), theirs(*t)
    assert tuple(y.shape) == tuple(expected.shape)
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), **TOLERANCE)
    g = np.random.default_rng(1).normal(size=expected.shape)
    y.backward(cr.tensor(g))
    expected.backward(torch.tensor(g))
    for mine, their in zip(x, t, strict=True):
        if their.grad is not None:
            np.testing.assert_allclose(mine.grad.numpy(), their.grad.numpy(), **TOLERANCE)


def torch_functional():
    import torch

    return torch.nn.functional


# ---------------------------------------------------------------- activations

# PyTorch rounds celu's 1 / alpha to float32, whatever the dtype: here it is exact.
ACTIVATIONS = {
    "selu": {}, "celu": {"alpha": 0.5}, "mish": {}, "softsign": {}, "softmin": {"dim": -1},
    "hardshrink": {"lambd": 0.8}, "softshrink": {"lambd": 0.8}, "tanhshrink": {},
    "threshold": {"threshold": 0.1, "value": 20.0}, "glu": {"dim": 0}, "logsigmoid": {},
}  # fmt: skip
AT_KINKS = [0.0, -0.0, 0.5, -0.5, 0.1, 1.0, -1.0, 30.0, 800.0, -800.0]


@pytest.mark.parametrize("shape", [(4,), (2, 5), (2, 3, 4), (0, 3)], ids=str)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name, shape):
    settings, T = ACTIVATIONS[name], torch_functional()
    x = rng().normal(size=shape) * 4
    compare(lambda x: getattr(F, name)(x, **settings), lambda x: getattr(T, name)(x, **settings), x)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "softmin"])
def test_activation_at_its_kinks_and_far_out(name):
    settings = {k: v for k, v in ACTIVATIONS[name].items() if k not in ("lambd", "alpha")}
    T = torch_functional()
    both = (lambda x, f=f: getattr(f, name)(x, **settings) for f in (F, T))
    compare(*both, np.array(AT_KINKS))


IN_PLACE = {
    "relu": {}, "leaky_relu": {"negative_slope": 0.2}, "elu": {}, "selu": {}, "celu": {},
    "silu": {}, "mish": {}, "hardtanh": {}, "relu6": {}, "hardswish": {},
    "threshold": {"threshold": 0.1, "value": 2.0},
}  # fmt: skip


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_on_an_intermediate(name):
    """Same numbers and gradients as out of place (PyTorch refuses some: it has lost a value)."""
    T, settings = torch_functional(), IN_PLACE[name]

    def ours(x):
        y = x * 2
        z = getattr(F, name)(y, **settings, inplace=True)
        assert z is y
        return y * 1

    compare(ours, lambda x: getattr(T, name)(x * 2, **settings) * 1, rng().normal(size=(3, 4)) * 3)


@pytest.mark.parametrize("weights", [(), (1,), (3,)])
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (5, 3, 2, 2)])
def test_prelu(shape, weights):
    T = torch_functional()
    x, w = rng().normal(size=shape), np.asarray(rng().uniform(0.1, 0.5, weights))
    compare(F.prelu, T.prelu, x, w)


# ---------------------------------------------------------------- losses

REDUCTIONS = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])


def both(name, **settings):
    T = torch_functional()
    return tuple(lambda *a, f=f: getattr(f, name)(*a, **settings) for f in (F, T))


@REDUCTIONS
@pytest.mark.parametrize("delta", [1.0, 0.3])
@pytest.mark.parametrize("shape", [(4, 3), (), (0, 2)], ids=str)
def test_huber(shape, delta, reduction):
    x, t = np.asarray(rng().normal(size=shape)), np.asarray(rng().uniform(size=shape))
    compare(*both("huber_loss", delta=delta, reduction=reduction), x, t)


@REDUCTIONS
@pytest.mark.parametrize("shape", [(4, 3), (5,), (2, 3, 4)], ids=str)
def test_soft_margin(shape, reduction):
    x, t = rng().normal(size=shape) * 20, rng().choice([-1, 1], shape)
    compare(*both("soft_margin_loss", reduction=reduction), x, t)
    compare(*both("hinge_embedding_loss", reduction=reduction, margin=0.7), x, t)


def test_soft_margin_far_out():
    """PyTorch's overflows here: the oracle is its stable cross-entropy of the same logits."""
    T = torch_functional()
    x, t = np.array([800.0, -800.0, 800.0, 0.0]), np.array([1.0, 1.0, -1.0, -1.0])

    def ours(x):
        return F.soft_margin_loss(x, cr.tensor(t), reduction="none")

    def theirs(x):
        target = x.new_tensor((t + 1) / 2)
        return T.binary_cross_entropy_with_logits(x, target, reduction="none")

    compare(ours, theirs, x)


@REDUCTIONS
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("shape", [(5, 4), (1, 1), (4,)], ids=str)
def test_multi_margin(shape, p, weighted, reduction):
    import torch

    x, t = rng().normal(size=shape), np.asarray(rng().integers(0, shape[-1], shape[:-1]))
    w = rng().uniform(0.5, 2, shape[-1]) if weighted else None
    settings = {"p": p, "margin": 0.8, "reduction": reduction}
    T = torch.nn.functional
    compare(
        lambda x, t: F.multi_margin_loss(x, t, weight=w if w is None else cr.tensor(w), **settings),
        lambda x, t: T.multi_margin_loss(
            x, t, weight=w if w is None else torch.tensor(w), **settings
        ),
        x,
        t,
    )


@REDUCTIONS
def test_multiclass_svm_is_multi_margin_times_the_classes(reduction):
    T = torch_functional()
    x, t = rng().normal(size=(6, 4)), rng().integers(0, 4, 6)
    compare(
        lambda x, t: F.multiclass_svm_loss(x, t, reduction=reduction),
        lambda x, t: T.multi_margin_loss(x, t, reduction=reduction) * 4,
        x,
        t,
    )


@REDUCTIONS
@pytest.mark.parametrize("margin", [0.0, 0.3])
@pytest.mark.parametrize("shape", [(6, 4), (4,)], ids=str)
def test_cosine_embedding(shape, margin, reduction):
    a, b = rng().normal(size=shape), np.random.default_rng(5).normal(size=shape)
    t = np.asarray(rng().choice([-1, 1], shape[:-1]))
    compare(*both("cosine_embedding_loss", margin=margin, reduction=reduction), a, b, t)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_cosine_similarity(dim):
    a, b = rng().normal(size=(3, 4, 2)), np.random.default_rng(5).normal(size=(3, 4, 2))
    a[0] = 0
    compare(*both("cosine_similarity", dim=dim), a, b)


@REDUCTIONS
@pytest.mark.parametrize("settings", [{}, {"swap": True, "margin": 2.5}, {"p": 1.0}])
def test_triplet_margin(settings, reduction):
    arrays = [np.random.default_rng(k).normal(size=(5, 3)) for k in range(3)]
    compare(*both("triplet_margin_loss", reduction=reduction, **settings), *arrays)


@pytest.mark.parametrize("weighted", [False, True])
@REDUCTIONS
def test_binary_losses_with_weight_and_pos_weight(weighted, reduction):
    import torch

    T = torch.nn.functional
    x, t = rng().normal(size=(4, 3)), rng().uniform(size=(4, 3))
    w, pos = rng().uniform(0.5, 2, (4, 3)), rng().uniform(0.5, 3, 3)

    def settings(make):
        return {"weight": make(w) if weighted else None, "reduction": reduction}

    compare(
        lambda x: F.binary_cross_entropy_with_logits(
            x, cr.tensor(t), pos_weight=cr.tensor(pos), **settings(cr.tensor)
        ),
        lambda x: T.binary_cross_entropy_with_logits(
            x, torch.tensor(t), pos_weight=torch.tensor(pos), **settings(torch.tensor)
        ),
        x,
    )
    compare(
        lambda p: F.binary_cross_entropy(p, cr.tensor(t), **settings(cr.tensor)),
        lambda p: T.binary_cross_entropy(p, torch.tensor(t), **settings(torch.tensor)),
        1 / (1 + np.exp(-x)),
    )


# ---------------------------------------------------------------- layers

LAYERS = [
    ("SELU", (), {}, [(2, 6)]),
    ("CELU", (0.5,), {}, [(2, 6)]),
    ("Mish", (), {}, [(2, 6)]),
    ("Softsign", (), {}, [(2, 6)]),
    ("LogSigmoid", (), {}, [(2, 6)]),
    ("Hardshrink", (0.3,), {}, [(2, 6)]),
    ("Softshrink", (), {"lambd": 0.3}, [(2, 6)]),
    ("Tanhshrink", (), {}, [(2, 6)]),
    ("Threshold", (0.1, 20.0), {}, [(2, 6)]),
    ("GLU", (), {}, [(2, 6)]),
    ("Softmin", (), {"dim": 1}, [(2, 6)]),
    ("PReLU", (), {}, [(2, 6)]),
    ("PReLU", (3, 0.1), {}, [(2, 3, 4)]),
    ("ReLU", (True,), {}, [(2, 6)]),
    ("HuberLoss", (), {"delta": 0.4}, [(2, 6), (2, 6)]),
    ("SmoothL1Loss", (), {"beta": 0.4}, [(2, 6), (2, 6)]),
    ("TripletMarginLoss", (0.5,), {"swap": True}, [(3, 4), (3, 4), (3, 4)]),
    ("MSELoss", ("sum",), {}, [(2, 6), (2, 6)]),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "shapes"), LAYERS)
def test_layer(name, args, kwargs, shapes):
    import torch

    kwargs = {"reduction": "sum"} if args == ("sum",) else kwargs
    args = () if args == ("sum",) else args
    ours = getattr(nn, name)(*args, **kwargs).double()
    theirs = getattr(torch.nn, name)(*args, **kwargs).double()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    arrays = [np.random.default_rng(k).normal(size=shape) for k, shape in enumerate(shapes)]
    if args == (True,):  # in place: on what is no leaf
        compare(lambda x: ours(x * 1), lambda x: theirs(x * 1), *arrays)
    else:
        compare(ours, theirs, *arrays)
    for mine, their in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(mine.grad.numpy(), their.grad.numpy(), **TOLERANCE)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("MultiMarginLoss", {"p": 2, "margin": 0.5, "reduction": "sum"}),
        ("CrossEntropyLoss", {"label_smoothing": 0.1, "ignore_index": 2}),
        ("NLLLoss", {"ignore_index": 1, "reduction": "sum"}),
    ],
)
def test_layer_of_labels(name, settings):
    import torch

    w = rng().uniform(0.5, 2, 4)
    ours = getattr(nn, name)(weight=cr.tensor(w), **settings)
    theirs = getattr(torch.nn, name)(weight=torch.tensor(w), **settings)
    assert list(ours.state_dict()) == list(theirs.state_dict()) == ["weight"]
    compare(ours, theirs, rng().normal(size=(6, 4)), rng().integers(0, 4, 6))


@pytest.mark.parametrize(
    ("name", "settings"),
    [("SoftMarginLoss", {}), ("HingeEmbeddingLoss", {"margin": 0.5}), ("CosineEmbeddingLoss", {})],
)
def test_layer_of_signs(name, settings):
    import torch

    ours, theirs = (getattr(m, name)(reduction="sum", **settings) for m in (nn, torch.nn))
    cosine = name == "CosineEmbeddingLoss"
    x = [np.random.default_rng(k).normal(size=(3, 4)) for k in range(1 + cosine)]
    compare(ours, theirs, *x, rng().choice([-1, 1], (3,) if cosine else (3, 4)))


# ---------------------------------------------------------------- initialisers

SPREADS = [
    ("uniform_", (-1, 3)), ("normal_", (0.5, 2.0)), ("trunc_normal_", (0.1, 0.5, -0.3, 1.0)),
    ("xavier_uniform_", (2.0,)), ("xavier_normal_", ()), ("orthogonal_", (3.0,)),
    ("kaiming_uniform_", (0.3,)), ("kaiming_uniform_", (0, "fan_out", "relu")),
    ("kaiming_normal_", (0, "fan_in", "tanh")), ("kaiming_normal_", (0.2, "fan_out")),
    ("sparse_", (0.4, 0.2)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args"), SPREADS)
@pytest.mark.parametrize("shape", [(200, 100), (60, 30, 3, 3)])
def test_initialisers_have_pytorchs_moments_and_bounds(name, args, shape):
    import torch

    if name == "sparse_" and len(shape) > 2:
        shape = (100, 200)
    cr.manual_seed(1)
    torch.manual_seed(1)
    mine = getattr(nn.init, name)(cr.zeros(shape), *args).numpy()
    theirs = getattr(torch.nn.init, name)(torch.zeros(shape), *args).numpy()
    assert mine.std() == pytest.approx(theirs.std(), rel=0.04)
    assert mine.mean() == pytest.approx(theirs.mean(), abs=0.04 * float(theirs.std()))
    assert (mine == 0).sum() == (theirs == 0).sum()
    if name.endswith("uniform_") or name == "trunc_normal_":
        assert mine.max() == pytest.approx(theirs.max(), rel=0.01)
        assert mine.min() == pytest.approx(theirs.min(), rel=0.01)


GAINS = ["linear", "conv2d", "conv_transpose2d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"]


def test_gains_and_patterns():
    import torch

    for name in GAINS:
        assert nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert nn.init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain(
        "leaky_relu", 0.3
    )
    for shape, groups in (((4, 3, 3), 1), ((6, 2, 3, 2), 3), ((2, 4, 1, 2, 3), 2)):
        mine = nn.init.dirac_(cr.ones(shape), groups)
        assert mine.tolist() == torch.nn.init.dirac_(torch.ones(shape), groups).tolist()
    assert nn.init.eye_(cr.ones(3, 5)).tolist() == torch.nn.init.eye_(torch.ones(3, 5)).tolist()
