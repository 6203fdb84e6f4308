"""The locally connected layer: by loops, against a convolution, and as a matrix."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import DtypeError, ShapeError

SETTINGS = [((1, 1), (0, 0), (1, 1)), ((2, 1), (1, 2), (1, 1)), ((1, 2), (1, 0), (2, 1))]


def layer(stride, padding, dilation):
    made = nn.LocallyConnected2d(2, 3, (5, 6), (3, 2), stride, padding, dilation).double()
    return made, cr.randn(2, 2, 5, 6, dtype=cr.float64)


@pytest.mark.parametrize(("stride", "padding", "dilation"), SETTINGS)
def test_each_place_is_what_conv2d_has_there_with_that_kernel(stride, padding, dilation):
    local, x = layer(stride, padding, dilation)
    y = local(x)
    p, q = local.weight.shape[:2]
    assert y.shape == (2, 3, p, q)
    for i, j in np.ndindex(p, q):
        w, b = local.weight[i, j], local.bias[i, j]
        full = F.conv2d(x, w, b, stride, padding, dilation)
        np.testing.assert_allclose(y[:, :, i, j].numpy(), full[:, :, i, j].numpy(), atol=1e-12)


@pytest.mark.parametrize(("stride", "padding", "dilation"), SETTINGS)
def test_gradients(stride, padding, dilation):
    local, x = layer(stride, padding, dilation)

    def function(x, w, b):
        return F.locally_connected2d(x, w, b, stride, padding, dilation)

    assert cr.gradcheck(function, [x, local.weight.detach(), local.bias.detach()])


def test_one_sample_without_a_batch_axis():
    local, x = layer((1, 1), (0, 0), (1, 1))
    np.testing.assert_allclose(local(x[0]).numpy(), local(x)[0].numpy(), atol=1e-12)


def test_n_units_to_n_units_needs_3n_weights_of_which_2_see_only_padding():
    local = nn.LocallyConnected2d(1, 1, (1, 5), (1, 3), padding=(0, 1), bias=False)
    x = cr.eye(5).reshape(5, 1, 1, 5)
    matrix = local(x).reshape(5, 5).T  # column i is the answer to a 1 at place i
    assert int((matrix != 0).sum()) == 3 * 5 - 2
    assert sum(w.numel() for w in local.parameters()) == 15
    assert nn.Linear(5, 5, bias=False).weight.numel() == 25
    assert nn.Conv2d(1, 1, (1, 3), padding=(0, 1), bias=False).weight.numel() == 3


def test_the_lectures_count_of_local_connections():
    assert nn.LocallyConnected2d(1, 1, (209, 209), 10, bias=False).weight.numel() == 4_000_000


def test_sizes_are_inferred(capsys):
    local = nn.LocallyConnected2d(None, 2, None, 3)
    assert local(cr.zeros(1, 4, 6, 5)).shape == (1, 2, 4, 3)
    told = "[LocallyConnected2d] in_channels=4, input_size=(6, 5), inferred from the input f32"
    assert capsys.readouterr().err.startswith(told)
    assert repr(local) == (
        "LocallyConnected2d(4, 2, input_size=(6, 5), kernel_size=(3, 3), stride=(1, 1))"
    )
    half = nn.LocallyConnected2d(1, 2, None, 3)
    assert half(cr.zeros(1, 1, 4, 4)).shape == (1, 2, 2, 2)


def test_a_picture_of_another_size():
    local = nn.LocallyConnected2d(1, 1, 6, 3)
    words = r"\[LocallyConnected2d\] got f32\[1,1,7,7\] with 5×5 places, needs C=1 and 4×4 places"
    with pytest.raises(ShapeError, match=words):
        local(cr.zeros(1, 1, 7, 7))
    with pytest.raises(ShapeError, match=r"needs f\[P,Q,K,C,F,G\]"):
        F.locally_connected2d(cr.zeros(1, 1, 3, 3), cr.zeros(1, 1, 3, 3))
    with pytest.raises(DtypeError, match="float32 weight"):
        local(cr.zeros(1, 1, 6, 6, dtype=cr.float64))
    with pytest.raises(ShapeError, match="does not fit"):
        nn.LocallyConnected2d(1, 1, 2, 3)
