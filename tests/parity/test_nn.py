"""Every function, loss and layer against PyTorch: values and gradients, in float64."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn

pytestmark = pytest.mark.parity
TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}


def compare(ours, theirs, *arrays):
    """The same calculation in both, value and gradients of all floating inputs."""
    import torch

    x = [cr.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    t = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    y, expected = ours(*x), theirs(*t)
    assert tuple(y.shape) == tuple(expected.shape)
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), **TOLERANCE)
    if not expected.requires_grad:
        return
    g = np.random.default_rng(1).normal(size=expected.shape)
    y.backward(cr.tensor(g))
    expected.backward(torch.tensor(g))
    for mine, their in zip(x, t, strict=True):
        if their.grad is not None:
            np.testing.assert_allclose(mine.grad.numpy(), their.grad.numpy(), **TOLERANCE)


def rng():
    return np.random.default_rng(0)


SHAPES = [(7,), (3, 5), (1, 1), (2, 3, 4), (0, 3), ()]
ELEMENTWISE = {
    "relu": {}, "leaky_relu": {"negative_slope": 0.1}, "elu": {"alpha": 1.3}, "silu": {},
    "gelu": {}, "softplus": {"beta": 2.0, "threshold": 3.0}, "logsigmoid": {}, "hardtanh": {},
    "relu6": {}, "hardswish": {}, "sigmoid": {}, "tanh": {},
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.filterwarnings("ignore:nn.functional:UserWarning")
def test_activation(name, shape):
    import torch.nn.functional as T

    settings = ELEMENTWISE[name]
    x = rng().normal(size=shape) * 4
    compare(lambda x: getattr(F, name)(x, **settings), lambda x: getattr(T, name)(x, **settings), x)


@pytest.mark.parametrize("name", ["relu", "hardtanh", "elu", "softplus", "relu6"])
def test_activation_at_its_kinks_and_far_out(name):
    import torch.nn.functional as T

    x = np.array([0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 6.0, 800.0, -800.0])
    compare(getattr(F, name), getattr(T, name), x)


def test_hardsigmoid():
    import torch

    x = np.array([-4.0, -3.0, -1.0, 0.0, 2.5, 3.0, 5.0])
    mine, their = cr.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, expected = F.hardsigmoid(mine), torch.nn.functional.hardsigmoid(their)
    y.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), **TOLERANCE)
    # PyTorch multiplies by 1/6 in float32 here, whatever the dtype.
    np.testing.assert_allclose(mine.grad.numpy(), their.grad.numpy(), rtol=1e-7)


def test_gelu_by_tanh():
    import torch.nn.functional as T

    x = rng().normal(size=(3, 5))
    compare(lambda x: F.gelu(x, "tanh"), lambda x: T.gelu(x, approximate="tanh"), x)


@pytest.mark.parametrize(("shape", "dim"), [((3, 5), 1), ((3, 5), 0), ((2, 1, 4), -1), ((0, 3), 1)])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(name, shape, dim):
    import torch.nn.functional as T

    x = rng().normal(size=shape) * 50
    compare(lambda x: getattr(F, name)(x, dim), lambda x: getattr(T, name)(x, dim), x)


@pytest.mark.parametrize("shape", [(4, 3), (3,), (2, 5, 3), (0, 3), (1, 3), (2, 1, 2, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(shape, bias):
    import torch.nn.functional as T

    arrays = [rng().normal(size=s) for s in (shape, (2, 3), (2,))][: 2 + bias]
    compare(F.linear, T.linear, *arrays)


CONVOLUTIONS = [
    (1, (2, 3, 7), (4, 3, 3), {"stride": 2, "padding": 1}),
    (1, (3, 7), (4, 3, 3), {"padding": "same", "dilation": 2}),
    (2, (2, 3, 7, 6), (4, 3, 3, 2), {"padding": (1, 0), "stride": (2, 1)}),
    (2, (2, 4, 5, 5), (6, 2, 3, 3), {"groups": 2, "dilation": 2}),
    (2, (1, 1, 1, 1), (1, 1, 1, 1), {}),
    (2, (0, 3, 5, 5), (2, 3, 3, 3), {}),
    (2, (2, 3, 5, 6), (2, 3, 4, 2), {"padding": "same"}),
    (2, (3, 5, 6), (2, 3, 4, 2), {"padding": "valid"}),
    (3, (1, 2, 4, 3, 5), (3, 2, 2, 3, 1), {"padding": (1, 0, 2)}),
]


@pytest.mark.parametrize(("rank", "x", "w", "settings"), CONVOLUTIONS)
@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
def test_conv(rank, x, w, settings):
    import torch.nn.functional as T

    arrays = [rng().normal(size=s) for s in (x, w, w[:1])]
    ours, theirs = (getattr(module, f"conv{rank}d") for module in (F, T))
    compare(lambda *a: ours(*a, **settings), lambda *a: theirs(*a, **settings), *arrays)


POOLS = [
    (1, (2, 3, 7), (3,), {"stride": 2, "padding": 1}),
    (2, (2, 3, 7, 6), (2,), {}),
    (2, (2, 3, 7, 6), ((3, 2),), {"stride": (2, 1), "padding": (1, 0), "ceil_mode": True}),
    (2, (3, 4, 4), (2,), {}),
    (2, (0, 3, 4, 4), (2,), {}),
    (3, (1, 2, 4, 5, 3), (2,), {"stride": 1}),
]


@pytest.mark.parametrize(("rank", "shape", "args", "settings"), POOLS)
@pytest.mark.parametrize("kind", ["max", "avg"])
def test_pool(kind, rank, shape, args, settings):
    import torch.nn.functional as T

    ours, theirs = (getattr(module, f"{kind}_pool{rank}d") for module in (F, T))
    x = rng().normal(size=shape)
    compare(lambda x: ours(x, *args, **settings), lambda x: theirs(x, *args, **settings), x)


def test_max_pool_with_indices():
    import torch

    x = rng().normal(size=(2, 3, 6, 5))
    _, index = F.max_pool2d(cr.tensor(x), 2, return_indices=True)
    expected = torch.nn.functional.max_pool2d(torch.tensor(x), 2, return_indices=True)[1]
    assert index.tolist() == expected.tolist()


@pytest.mark.parametrize("size", [1, 2, (3, 4), (None, 2), 7])
@pytest.mark.parametrize("shape", [(2, 3, 6, 8), (1, 1, 7, 5), (3, 4, 4)])
def test_adaptive_avg_pool2d(shape, size):
    import torch.nn.functional as T

    x = rng().normal(size=shape)
    both = (lambda x, f=f: f.adaptive_avg_pool2d(x, size) for f in (F, T))
    compare(*both, x)


# ---------------------------------------------------------------- losses


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("shape", [(5, 3), (1, 1), (2, 3, 4), (3,), (2, 4, 2, 3), (3, 7)])
def test_cross_entropy(shape, smoothing, weighted, reduction):
    import torch
    import torch.nn.functional as T

    axis = 0 if len(shape) == 1 else 1
    classes = shape[axis]
    x = rng().normal(size=shape) * 10
    labels = rng().integers(0, classes, shape[:axis] + shape[axis + 1 :])
    if labels.size > 3:
        labels.reshape(-1)[2] = -100
    w = rng().uniform(0.5, 2, classes)
    settings = {"reduction": reduction, "label_smoothing": smoothing}
    compare(
        lambda x, y: F.cross_entropy(x, y, cr.tensor(w) if weighted else None, **settings),
        lambda x, y: T.cross_entropy(x, y, torch.tensor(w) if weighted else None, **settings),
        x,
        labels,
    )
    soft = rng().dirichlet(np.ones(classes), labels.shape)
    soft = np.moveaxis(soft, -1, axis)
    compare(
        lambda x, y: F.cross_entropy(x, y, cr.tensor(w) if weighted else None, **settings),
        lambda x, y: T.cross_entropy(x, y, torch.tensor(w) if weighted else None, **settings),
        x,
        soft,
    )


def test_losses_of_nothing_are_nan_or_0():
    import torch.nn.functional as T

    x, y = np.zeros((0, 3)), np.zeros(0, np.int64)
    for reduction in ("mean", "sum", "none"):
        for name in ("cross_entropy", "nll_loss"):
            compare(
                lambda x, y, n=name, r=reduction: getattr(F, n)(x, y, reduction=r),
                lambda x, y, n=name, r=reduction: getattr(T, n)(x, y, reduction=r),
                x,
                y,
            )


def test_cross_entropy_of_large_logits_and_all_ignored():
    import torch.nn.functional as T

    x = np.array([[1e4, -1e4, 0.0], [-800.0, -801.0, -802.0]])
    compare(F.cross_entropy, T.cross_entropy, x, np.array([1, 2]))
    compare(F.cross_entropy, T.cross_entropy, x, np.array([-100, -100]))


def large_logits(far, spread, masked):
    """f32[6,5]: numbers near ``far``, which float32 holds exactly there; a label for each row."""
    x = np.round(rng().normal(size=(6, 5)) * spread).astype(np.float32) + np.float32(far)
    if masked:
        x[np.arange(6), np.arange(6) % 5] = -np.inf
    return x, (np.arange(6) + 1) % 5  # no label is masked


CROSS_ENTROPIES = {
    "mean": {}, "sum": {"reduction": "sum"}, "none": {"reduction": "none"},
    "smooth": {"label_smoothing": 0.1}, "weighted": {"weight": [1.0, 2.0, 0.5, 1.5, 3.0]},
}  # fmt: skip


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("spread", [3, 1e3])
@pytest.mark.parametrize("far", [0, 1e3, 1e4, 1e7, -1e7])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", *CROSS_ENTROPIES, "soft"])
def test_large_logits_in_float32(name, far, spread, masked):
    import torch

    x, labels = large_logits(far, spread, masked)
    if name == "soft":
        labels = rng().dirichlet(np.ones(5), 6).astype(np.float32)

    def values_and_gradient(T):
        logits = T.tensor(x, requires_grad=True)
        settings = {
            key: T.tensor(value) if key == "weight" else value
            for key, value in CROSS_ENTROPIES.get(name, {}).items()
        }
        if name in ("softmax", "log_softmax"):
            y = getattr(T.nn.functional, name)(logits, dim=1)
        else:
            y = T.nn.functional.cross_entropy(logits, T.tensor(labels), **settings)
        y.backward(T.tensor(rng().normal(size=tuple(y.shape)), dtype=T.float32))
        return y.detach().numpy(), logits.grad.numpy()

    for mine, theirs in zip(values_and_gradient(cr), values_and_gradient(torch), strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, theirs, rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4), (3,)])
def test_nll(shape, reduction):
    import torch.nn.functional as T

    axis = 0 if len(shape) == 1 else 1
    x = rng().normal(size=shape)
    labels = rng().integers(0, shape[axis], shape[:axis] + shape[axis + 1 :])
    compare(
        lambda x, y: F.nll_loss(x, y, reduction=reduction),
        lambda x, y: T.nll_loss(x, y, reduction=reduction),
        x,
        labels,
    )


PAIRS = {
    "mse_loss": {}, "l1_loss": {}, "smooth_l1_loss": {"beta": 0.7},
    "binary_cross_entropy_with_logits": {}, "binary_cross_entropy": {}, "kl_div": {},
}  # fmt: skip


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(4, 3), (1,), (), (0, 2)], ids=str)
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
def test_loss_of_pairs(name, shape, reduction):
    import torch.nn.functional as T

    settings = {**PAIRS[name], "reduction": reduction}
    random = rng()
    x, t = random.normal(size=shape) * 3, random.uniform(0.1, 0.9, shape)
    if name == "binary_cross_entropy":
        x = 1 / (1 + np.exp(-x))
    x, t = np.asarray(x), np.asarray(t)
    with_target = name not in ("binary_cross_entropy",)
    ours, theirs = (getattr(module, name) for module in (F, T))
    if with_target:
        compare(lambda a, b: ours(a, b, **settings), lambda a, b: theirs(a, b, **settings), x, t)
    else:
        import torch

        compare(
            lambda a: ours(a, cr.tensor(t), **settings),
            lambda a: theirs(a, torch.tensor(t), **settings),
            x,
        )


def test_bce_with_logits_far_out_and_weighted():
    import torch
    import torch.nn.functional as T

    x, t = np.array([[0.0, 800.0], [-800.0, 2.0]]), np.array([[1.0, 0.0], [1.0, 0.3]])
    w = np.array([2.0, 0.5])
    compare(
        lambda x: F.binary_cross_entropy_with_logits(x, cr.tensor(t), pos_weight=cr.tensor(w)),
        lambda x: T.binary_cross_entropy_with_logits(
            x, torch.tensor(t), pos_weight=torch.tensor(w)
        ),
        x,
    )
    p = np.array([0.0, 1.0, 0.5])
    y = np.array([1.0, 0.0, 1.0])
    expected = T.binary_cross_entropy(torch.tensor(p), torch.tensor(y))
    assert F.binary_cross_entropy(cr.tensor(p), cr.tensor(y)).item() == expected.item()


# ---------------------------------------------------------------- layers


def both_layers(name, *args, **kwargs):
    """A layer of ours and PyTorch's with the same float64 weights."""
    import torch

    ours = getattr(nn, name)(*args, **kwargs).double()
    theirs = getattr(torch.nn, name)(*args, **kwargs).double()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


LAYERS = [
    ("Linear", (3, 2), {}, (5, 3)),
    ("Linear", (3, 2), {"bias": False}, (5, 3)),
    ("Conv1d", (2, 4, 3), {"padding": 1}, (3, 2, 6)),
    ("Conv2d", (2, 4, 3), {"stride": 2, "groups": 2}, (3, 2, 6, 7)),
    ("Conv2d", (2, 4, (3, 2)), {"padding": "same", "bias": False}, (3, 2, 6, 7)),
    ("Conv3d", (2, 4, 2), {"dilation": 2}, (1, 2, 4, 5, 6)),
    ("MaxPool2d", (2,), {}, (2, 3, 5, 4)),
    ("AvgPool2d", (3, 2), {"padding": 1, "count_include_pad": False}, (2, 3, 5, 4)),
    ("AdaptiveAvgPool2d", (2,), {}, (2, 3, 5, 4)),
    ("BatchNorm1d", (3,), {}, (5, 3)),
    ("BatchNorm1d", (3,), {"affine": False}, (5, 3, 2)),
    ("BatchNorm2d", (3,), {"momentum": None}, (5, 3, 2, 1)),
    ("BatchNorm2d", (3,), {"track_running_stats": False}, (5, 3, 2, 1)),
    ("LayerNorm", (4,), {}, (5, 3, 4)),
    ("LayerNorm", ((3, 4),), {"bias": False}, (5, 3, 4)),
    ("Flatten", (), {}, (2, 3, 4)),
    ("Unflatten", (1, (3, 2)), {}, (2, 6)),
    ("Identity", (), {}, (2, 6)),
    ("ReLU", (), {}, (2, 6)),
    ("LeakyReLU", (0.2,), {}, (2, 6)),
    ("ELU", (), {"alpha": 0.5}, (2, 6)),
    ("GELU", (), {"approximate": "tanh"}, (2, 6)),
    ("SiLU", (), {}, (2, 6)),
    ("Softplus", (2.0,), {}, (2, 6)),
    ("Softmax", (1,), {}, (2, 6)),
    ("LogSoftmax", (), {"dim": 0}, (2, 6)),
    ("Hardtanh", (-2.0, 0.5), {}, (2, 6)),
    ("Dropout", (0.0,), {}, (2, 6)),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
def test_layer(name, args, kwargs, shape, train):
    ours, theirs = both_layers(name, *args, **kwargs)
    assert repr(ours) == repr(theirs)
    ours.train(train)
    theirs.train(train)
    for seed in range(3):  # running statistics move
        x = np.random.default_rng(seed).normal(size=shape)
        compare(ours, theirs, x)
    for mine, their in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(mine.grad.numpy(), their.grad.numpy(), **TOLERANCE)
    mine, their = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(their)
    for key, value in their.items():
        np.testing.assert_allclose(mine[key].numpy(), value.numpy(), **TOLERANCE)


def test_embedding():
    ours, theirs = both_layers("Embedding", 7, 3, padding_idx=2)
    compare(ours, theirs, np.array([[1, 2], [6, 2]]))
    np.testing.assert_allclose(ours.weight.grad.numpy(), theirs.weight.grad.numpy(), **TOLERANCE)


@pytest.mark.parametrize(("widths", "value"), [((1, 2), 0), ((0, 1, 2, 0), 3.5), ((-1, 1), 0)])
def test_pad(widths, value):
    import torch.nn.functional as T

    both = (lambda x, f=f: f.pad(x, widths, value=value) for f in (F, T))
    compare(*both, rng().normal(size=(2, 3, 4)))


@pytest.mark.parametrize("p", [1, 2, 3.0, float("inf")])
def test_normalize(p):
    import torch.nn.functional as T

    both = (lambda x, f=f: f.normalize(x, p, dim=1) for f in (F, T))
    compare(*both, rng().normal(size=(4, 3)))


def test_hand_back_the_state_dict():
    import torch

    ours = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Flatten(), torch.nn.Linear(8, 2)
    )
    state = {k: torch.tensor(v.numpy().copy()) for k, v in ours.state_dict().items()}
    theirs.load_state_dict(state)
    x = rng().normal(size=(3, 1, 4, 4)).astype(np.float32)
    expected = theirs(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ours(cr.tensor(x)).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_full_backward_hook():
    import torch

    ours, theirs = both_layers("Linear", 3, 2)
    seen = {}
    for which, layer in (("ours", ours), ("theirs", theirs)):
        layer.register_full_backward_hook(
            lambda m, i, o, w=which: seen.update({w: (i[0].tolist(), o[0].tolist())})
        )
    x = rng().normal(size=(4, 3))
    a, b = cr.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    (ours(a) ** 2).sum().backward()
    (theirs(b) ** 2).sum().backward()
    for mine, their in zip(seen["ours"], seen["theirs"], strict=True):
        np.testing.assert_allclose(mine, their, **TOLERANCE)


@pytest.mark.parametrize("target", [0.0, 1.0, 0.3])
@pytest.mark.parametrize("logit", [-200.0, -40.0, -3.0, 0.0, 3.0, 17.0, 40.0, 200.0])
def test_binary_cross_entropy_of_a_saturated_sigmoid(logit, target):
    import torch

    x = cr.tensor([logit], requires_grad=True)
    x_torch = torch.tensor([logit], requires_grad=True)
    loss = F.binary_cross_entropy(x.sigmoid(), cr.tensor([target]))
    expected = torch.nn.functional.binary_cross_entropy(x_torch.sigmoid(), torch.tensor([target]))
    loss.backward()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6, abs=1e-7)
    assert x.grad.item() == pytest.approx(x_torch.grad.item(), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize(("p", "target"), [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)])
def test_binary_cross_entropy_at_0_and_1(p, target):
    import torch

    x = cr.tensor([p], requires_grad=True)
    x_torch = torch.tensor([p], requires_grad=True)
    F.binary_cross_entropy(x, cr.tensor([target])).backward()
    torch.nn.functional.binary_cross_entropy(x_torch, torch.tensor([target])).backward()
    assert x.grad.item() == pytest.approx(x_torch.grad.item())
