"""Layers: what they refuse, how they start, what is random in them."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import (
    DeviceError,
    DtypeError,
    IndexRangeError,
    NameNotFoundError,
    ShapeError,
    UsageError,
)


@pytest.mark.parametrize(
    "make",
    [
        lambda **k: nn.Linear(2, 2, **k),
        lambda **k: nn.Conv2d(None, 2, 3, **k),
        lambda **k: nn.BatchNorm1d(2, **k),
        lambda **k: nn.GroupNorm(1, 2, **k),
        lambda **k: nn.LayerNorm(2, **k),
        lambda **k: nn.PReLU(**k),
        lambda **k: nn.Embedding(2, 2, **k),
        lambda **k: nn.LocallyConnected2d(1, 1, 4, 3, **k),
    ],
)
def test_a_device_that_is_not_here_is_refused(make):
    with pytest.raises(DeviceError):
        make(device="cuda")
    layer = make(device="cpu", dtype=cr.float64)
    assert layer._open or layer.weight.dtype is cr.float64


def test_forgot_flatten():
    with pytest.raises(ShapeError, match=r"last axis 5, needs 400: flatten\(1\) first \(test_lay"):
        nn.Linear(400, 10)(cr.zeros(2, 16, 5, 5))


def test_wrong_number_of_features():
    with pytest.raises(ShapeError, match=r"\[Linear\] got f32\[1,400\], needs 576 features"):
        nn.Linear(576, 120)(cr.zeros(1, 400))


def test_wrong_type():
    with pytest.raises(DtypeError, match=r"float64 with a float32 weight|f64"):
        nn.Linear(2, 2)(cr.zeros(1, 2, dtype=cr.float64))


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((1, 3, 8, 8), r"\[Conv2d\] got f32\[1,3,8,8\], needs C=1 .*RGB image into a grey-scale"),
        ((1, 8, 8, 1), r"are the channels the last axis"),
        ((1, 1, 3, 3), r"kernel 5×5 does not fit into the input"),
    ],
)
def test_wrong_input_of_a_convolution(shape, text):
    with pytest.raises(ShapeError, match=text):
        nn.Conv2d(1, 2, 5)(cr.zeros(shape))


def test_true_convolution_flips_the_kernel():
    x = cr.tensor([[[1.0, 2.0, 4.0]]])
    w = cr.tensor([[[1.0, 10.0]]])
    assert F.conv1d(x, w).tolist() == [[[21, 42]]]
    assert F.conv1d(x, w, mode="convolution").tolist() == [[[12, 24]]]
    layer = nn.Conv2d(1, 1, 3, mode="convolution")
    assert "mode='convolution'" in repr(layer)


@pytest.mark.parametrize("wrong", [{"padding": "full"}, {"padding": "same", "stride": 2}])
def test_named_padding(wrong):
    with pytest.raises(UsageError):
        nn.Conv2d(1, 1, 3, **wrong)


def test_batch_norm_of_one_value_per_channel():
    layer = nn.BatchNorm1d(3)
    with pytest.raises(ShapeError, match=r"\[BatchNorm1d\] got f32\[1,3\] in train mode.*eval\(\)"):
        layer(cr.zeros(1, 3))
    assert layer.eval()(cr.zeros(1, 3)).shape == (1, 3)


def test_softmax_needs_dim():
    for call in (F.softmax, F.log_softmax, nn.Softmax()):
        with pytest.raises(UsageError, match="no dim"):
            call(cr.zeros(2, 3))


def test_dropout_has_its_own_stream():
    x = cr.ones(1000)
    cr.manual_seed(0)
    first = F.dropout(x, 0.3).numpy()
    cr.manual_seed(0)
    cr.rand(5).numpy()
    assert (F.dropout(x, 0.3).numpy() == first).all()
    assert set(np.unique(first)) == {0, np.float32(1 / 0.7)}
    assert 0.6 < (first > 0).mean() < 0.8
    assert F.dropout(x, 1.0).sum().item() == 0
    channels = F.dropout2d(cr.ones(4, 8, 2, 2)).numpy().reshape(32, 4)
    assert (channels == channels[:, :1]).all()


def test_initial_values():
    cr.manual_seed(3)
    layer = nn.Linear(400, 50)
    w = layer.weight.numpy()
    assert abs(w).max() <= 0.05 and w.std() == pytest.approx(0.05 / 3**0.5, rel=0.02)
    cr.manual_seed(3)
    assert (nn.Linear(400, 50).weight.numpy() == w).all()
    for name, std in [
        ("xavier_uniform_", (2 / 450) ** 0.5),
        ("xavier_normal_", (2 / 450) ** 0.5),
        ("kaiming_uniform_", (2 / 400) ** 0.5),
        ("kaiming_normal_", (2 / 400) ** 0.5),
    ]:
        getattr(nn.init, name)(layer.weight)
        assert layer.weight.detach().numpy().std() == pytest.approx(std, rel=0.03)
    nn.init.trunc_normal_(layer.weight, std=1.0, a=-1, b=1)
    assert abs(layer.weight.numpy()).max() <= 1
    nn.init.orthogonal_(layer.weight)
    w = layer.weight.numpy()
    np.testing.assert_allclose(w @ w.T, np.eye(50), atol=1e-5)
    nn.init.constant_(layer.bias, 2)
    assert layer.bias.sum().item() == 100


def test_initial_values_are_not_computed_before_somebody_reads():
    before = cr.stats().executed
    layer = nn.Linear(10**6, 10**6)
    assert layer.weight.shape == (10**6, 10**6) and cr.stats().executed == before


def test_embedding_out_of_range():
    with pytest.raises(IndexRangeError, match=r"row\] got 7 at index.*There are 7 rows"):
        nn.Embedding(7, 2)(cr.tensor([0, 7])).numpy()
    with pytest.raises(DtypeError, match="whole numbers"):
        nn.Embedding(7, 2)(cr.tensor([0.0]))


def test_embedding_of_given_rows():
    rows = cr.tensor([[1.0, 2.0], [3.0, 4.0]])
    layer = nn.Embedding.from_pretrained(rows)
    assert layer(cr.tensor([1])).tolist() == [[3, 4]] and not layer.weight.requires_grad
    assert nn.Embedding.from_pretrained(rows, freeze=False).weight.requires_grad
    with pytest.raises(ShapeError, match=r"got f32\[2\], needs f\[V,D\]"):
        nn.Embedding.from_pretrained(rows[0])


def test_one_hot():
    assert F.one_hot(cr.tensor([1, 0])).tolist() == [[0, 1], [1, 0]]
    with pytest.raises(IndexRangeError):
        F.one_hot(cr.tensor([3]), 2).tolist()


def test_names_that_are_not_there():
    with pytest.raises(NameNotFoundError, match="nearest Conv2d"):
        _ = nn.Conv2D
