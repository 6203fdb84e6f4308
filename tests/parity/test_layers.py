"""Layers and their functions against PyTorch, over shapes and settings: values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn

pytestmark = pytest.mark.parity
TOLERANCE = {"rtol": 1e-9, "atol": 1e-10}
SMALL = st.integers(1, 4)
PLANE = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 7), st.integers(1, 7))


def strided(x: np.ndarray, T) -> tuple:
    """The same numbers with other strides in both: the transposed one, transposed."""
    return (
        cr.tensor(x.T.copy(), requires_grad=True),
        T.tensor(x.T.copy(), requires_grad=True),
    )


def compare(ours, theirs, *arrays, transposed=False):
    """The same calculation in both: value, and gradients of all floating inputs."""
    import torch

    leaves = [(cr.tensor(a, requires_grad=a.dtype.kind == "f"), torch.tensor(a)) for a in arrays]
    if transposed:
        leaves[0] = strided(arrays[0], torch)
    for _, theirs_leaf in leaves:
        theirs_leaf.requires_grad_(theirs_leaf.is_floating_point())
    inputs = [[leaf for leaf, _ in leaves], [leaf for _, leaf in leaves]]
    if transposed:
        order = tuple(reversed(range(arrays[0].ndim)))
        inputs = [[row[0].permute(order), *row[1:]] for row in inputs]
    y, expected = ours(*inputs[0]), theirs(*inputs[1])
    assert tuple(y.shape) == tuple(expected.shape)
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), **TOLERANCE)
    if not expected.requires_grad:
        return
    g = np.random.default_rng(1).normal(size=expected.shape)
    y.backward(cr.tensor(g))
    expected.backward(torch.tensor(g))
    for mine, their in leaves:
        if their.grad is not None:
            np.testing.assert_allclose(mine.grad.numpy(), their.grad.numpy(), **TOLERANCE)


def numbers(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def functional(name, *args, **settings):
    import torch.nn.functional as T

    return (lambda *x, f=f: getattr(f, name)(*x, *args, **settings) for f in (F, T))


# ---------------------------------------------------------------- padding


@given(
    shape=PLANE,
    mode=st.sampled_from(["constant", "reflect", "replicate", "circular"]),
    widths=st.tuples(*[st.integers(-1, 3)] * 4),
    transposed=st.booleans(),
)
def test_pad(shape, mode, widths, transposed):
    if mode != "constant":
        assume(min(widths) >= 0)
        sizes = (shape[3], shape[3], shape[2], shape[2])
        most = {"reflect": -1, "circular": 0, "replicate": 99}[mode]
        assume(all(w <= n + most for w, n in zip(widths, sizes, strict=True)))
    else:
        assume(shape[3] + min(widths[0], 0) + min(widths[1], 0) > 0)
        assume(shape[2] + min(widths[2], 0) + min(widths[3], 0) > 0)
    compare(*functional("pad", widths, mode=mode), numbers(shape), transposed=transposed)


# ---------------------------------------------------------------- pictures in another size


@given(
    rank=st.integers(1, 3),
    sizes=st.tuples(*[st.integers(1, 5)] * 3),
    new=st.tuples(*[st.integers(1, 9)] * 3),
    line=st.booleans(),
    align=st.sampled_from([None, False, True]),
)
def test_interpolate_to_a_size(rank, sizes, new, line, align):
    mode = ("linear", "bilinear", "trilinear")[rank - 1] if line else "nearest"
    align = align if line else None
    settings = {"size": new[:rank], "mode": mode, "align_corners": align}
    compare(*functional("interpolate", **settings), numbers((2, 2, *sizes[:rank])))


@given(
    sizes=st.tuples(st.integers(2, 7), st.integers(2, 7)),
    scale=st.sampled_from([0.5, 0.7, 1.0, 1.5, 2, 2.3, (3, 0.6), (1.3, 2.0)]),
    mode=st.sampled_from(["nearest", "bilinear"]),
    recompute=st.sampled_from([None, True]),
)
def test_interpolate_by_a_factor(sizes, scale, mode, recompute):
    settings = {"scale_factor": scale, "mode": mode, "recompute_scale_factor": recompute}
    compare(*functional("interpolate", **settings), numbers((1, 2, *sizes)))


@given(r=SMALL, batch=st.sampled_from([(), (2,), (2, 3)]), c=SMALL, h=SMALL, w=SMALL)
def test_pixel_shuffle(r, batch, c, h, w):
    compare(*functional("pixel_shuffle", r), numbers((*batch, c * r * r, h, w)))
    compare(*functional("pixel_unshuffle", r), numbers((*batch, c, h * r, w * r)))


# ---------------------------------------------------------------- windows as columns


@given(
    shape=PLANE,
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.integers(1, 2),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    batched=st.booleans(),
)
def test_unfold_and_fold(shape, kernel, dilation, padding, stride, batched):
    for size, k, p in zip(shape[2:], kernel, padding, strict=True):
        assume(size + 2 * p >= dilation * (k - 1) + 1)
    shape = shape if batched else shape[1:]
    settings = {"dilation": dilation, "padding": padding, "stride": stride}
    x = numbers(shape)
    compare(*functional("unfold", kernel, **settings), x)
    columns = F.unfold(cr.tensor(x), kernel, **settings).shape
    compare(*functional("fold", shape[-2:], kernel, **settings), numbers(columns))


# ---------------------------------------------------------------- pooling to a size


@given(shape=PLANE, size=st.tuples(st.integers(1, 8), st.integers(1, 8)), batched=st.booleans())
@pytest.mark.parametrize("kind", ["avg", "max"])
def test_adaptive_pool2d(kind, shape, size, batched):
    x = numbers(shape if batched else shape[1:])
    compare(*functional(f"adaptive_{kind}_pool2d", size), x)


@given(length=st.integers(1, 9), size=st.integers(1, 9))
@pytest.mark.parametrize("kind", ["avg", "max"])
def test_adaptive_pool1d(kind, length, size):
    compare(*functional(f"adaptive_{kind}_pool1d", size), numbers((2, 3, length)))


@pytest.mark.parametrize("size", [(2, 3), (4, 3), 6, (None, 2)])
def test_places_of_adaptive_max_pool(size):
    import torch

    x = np.random.default_rng(0).integers(0, 3, (2, 3, 6, 6)).astype(float)  # many ties
    mine = F.adaptive_max_pool2d(cr.tensor(x), size, return_indices=True)
    their = torch.nn.functional.adaptive_max_pool2d(torch.tensor(x), size, return_indices=True)
    assert [y.tolist() for y in mine] == [y.tolist() for y in their]


# ---------------------------------------------------------------- normalisation


@given(
    groups=SMALL, per_group=SMALL, rest=st.sampled_from([(), (3,), (2, 3)]), affine=st.booleans()
)
def test_group_norm(groups, per_group, rest, affine):
    assume(per_group * int(np.prod(rest)) > 1)  # PyTorch refuses groups of one number
    c = groups * per_group
    arrays = [numbers((2, c, *rest)), numbers(c, 1), numbers(c, 2)][: 3 if affine else 1]
    import torch.nn.functional as T

    compare(
        lambda x, *wb: F.group_norm(x, groups, *wb),
        lambda x, *wb: T.group_norm(x, groups, *wb),
        *arrays,
    )


@given(size=st.integers(1, 6), channels=st.integers(1, 6), rest=st.sampled_from([(4,), (2, 3)]))
def test_local_response_norm(size, channels, rest):
    settings = {"alpha": 0.3, "beta": 0.6, "k": 1.5}
    x = numbers((2, channels, *rest))
    compare(*functional("local_response_norm", size, **settings), x)


@given(sizes=st.sampled_from([(4,), (3, 4)]), eps=st.sampled_from([None, 0.1]))
def test_rms_norm(sizes, eps):
    import torch.nn.functional as T

    compare(
        lambda x, w: F.rms_norm(x, sizes, w, eps),
        lambda x, w: T.rms_norm(x, sizes, w, eps),
        numbers((2, 3, 4)),
        numbers(sizes, 1),
    )


# ---------------------------------------------------------------- the rest


@given(n=SMALL, i=SMALL, j=SMALL, k=SMALL, bias=st.booleans())
def test_bilinear(n, i, j, k, bias):
    shapes = ((n, i), (n, j), (k, i, j), (k,))[: 3 + bias]
    compare(*functional("bilinear"), *(numbers(s, seed) for seed, s in enumerate(shapes)))


LAYERS = [
    ("Conv1d", (2, 4, 3), {"padding": 2, "padding_mode": "circular"}, (3, 2, 6)),
    ("Conv2d", (2, 4, 3), {"padding": "same", "padding_mode": "reflect"}, (3, 2, 6, 7)),
    ("Conv2d", (2, 4, (4, 3)), {"padding": (1, 0), "padding_mode": "replicate"}, (3, 2, 6, 7)),
    ("BatchNorm1d", (3,), {"momentum": None, "bias": False}, (5, 3)),
    ("BatchNorm2d", (3,), {"affine": False, "track_running_stats": False}, (2, 3, 2, 2)),
    ("GroupNorm", (2, 4), {}, (3, 4, 5)),
    ("GroupNorm", (2, 4), {"bias": False}, (3, 4, 5)),
    ("GroupNorm", (1, 4), {"affine": False, "eps": 0.1}, (3, 4, 5, 2)),
    ("LocalResponseNorm", (3,), {"alpha": 0.2}, (2, 5, 3, 3)),
    ("RMSNorm", (4,), {}, (2, 3, 4)),
    ("RMSNorm", ((3, 4),), {"eps": 0.1, "elementwise_affine": False}, (2, 3, 4)),
    ("AdaptiveAvgPool1d", (3,), {}, (2, 3, 7)),
    ("AdaptiveMaxPool1d", (3,), {}, (2, 3, 7)),
    ("AdaptiveMaxPool2d", ((None, 2),), {}, (2, 3, 5, 5)),
    ("Dropout1d", (0.0,), {}, (2, 3, 4)),
    ("Dropout2d", (0.5, True), {}, None),
    ("Unflatten", (1, (2, -1)), {}, (3, 6)),
    ("Upsample", ((5, 3),), {}, (1, 2, 2, 3)),
    ("Upsample", (), {"scale_factor": 2, "mode": "bilinear"}, (1, 2, 2, 3)),
    ("Upsample", (), {"scale_factor": (2, 1.5)}, (1, 2, 2, 3)),
    ("PixelShuffle", (2,), {}, (1, 8, 2, 3)),
    ("PixelUnshuffle", (2,), {}, (1, 2, 2, 4)),
    ("Unfold", (2,), {"padding": 1}, (2, 3, 4, 4)),
    ("Fold", ((4, 4), 2), {"stride": 2}, (2, 8, 4)),
    ("ZeroPad1d", (1,), {}, (2, 3, 4)),
    ("ZeroPad2d", ((1, 2, 0, -1),), {}, (2, 3, 4, 4)),
    ("ConstantPad1d", ((1, 2), 3.5), {}, (2, 3, 4)),
    ("ConstantPad2d", (1, 3.5), {}, (2, 3, 4, 4)),
    ("ReflectionPad1d", ((1, 2),), {}, (2, 3, 4)),
    ("ReflectionPad2d", (2,), {}, (2, 3, 4, 4)),
    ("ReplicationPad1d", (2,), {}, (2, 3, 4)),
    ("ReplicationPad2d", ((1, 2, 3, 4),), {}, (2, 3, 4, 4)),
    ("Bilinear", (2, 3, 4), {}, None),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)
@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
def test_layer(name, args, kwargs, shape):
    """repr, state-dict keys, shapes, values, gradients, running statistics."""
    import torch

    ours = getattr(nn, name)(*args, **kwargs).double()
    theirs = getattr(torch.nn, name)(*args, **kwargs).double()
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    if shape is None:
        return
    for train in (True, True, False):
        ours.train(train)
        theirs.train(train)
        compare(ours, theirs, numbers(shape, seed=train))
    for mine, their in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(mine.grad.numpy(), their.grad.numpy(), **TOLERANCE)
    mine, their = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(their)
    for key, value in their.items():
        np.testing.assert_allclose(mine[key].numpy(), value.numpy(), **TOLERANCE)


@settings(max_examples=15)
@given(seed=st.integers(0, 99), momentum=st.sampled_from([0.3, None]))
def test_batch_norm_over_many_batches_of_other_sizes(seed, momentum):
    import torch

    ours = nn.BatchNorm1d(3, momentum=momentum).double()
    theirs = torch.nn.BatchNorm1d(3, momentum=momentum).double()
    rng = np.random.default_rng(seed)
    for _ in range(3):
        compare(ours, theirs, rng.normal(size=(int(rng.integers(2, 6)), 3)) * 5 + 2)
    ours.eval()
    theirs.eval()
    compare(ours, theirs, rng.normal(size=(1, 3)))
