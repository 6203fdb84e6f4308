"""Both modes of convolution and their paddings against SciPy; ways to fill the border."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import CheckpointError, UsageError

ODD = st.sampled_from([1, 3])
ANY = st.integers(1, 4)


@given(padding=st.sampled_from(["full", "valid", "same"]), sizes=st.tuples(ANY, ANY))
def test_convolution_is_scipys(padding, sizes):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(5, 6)), rng.normal(size=sizes)
    y = F.conv2d(
        cr.tensor(x)[None, None], cr.tensor(w)[None, None], padding=padding, mode="convolution"
    )
    expected = signal.convolve2d(x, w, padding)
    np.testing.assert_allclose(y.numpy()[0, 0], expected, atol=1e-12)


@given(padding=st.sampled_from(["full", "valid", "same"]), sizes=st.tuples(ODD, ODD))
def test_correlation_is_scipys_for_odd_kernels(padding, sizes):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(5, 6)), rng.normal(size=sizes)
    y = F.conv2d(cr.tensor(x)[None, None], cr.tensor(w)[None, None], padding=padding)
    np.testing.assert_allclose(y.numpy()[0, 0], signal.correlate2d(x, w, padding), atol=1e-12)


def test_full_in_one_dimension_is_the_lectures():
    x, w = cr.tensor([[[1.0, 2.0, 4.0]]]), cr.tensor([[[2.0, -1.0, 1.0]]])
    y = F.conv1d(x, w, padding="full", mode="convolution")
    assert y.tolist() == [[np.convolve([1, 2, 4], [2, -1, 1]).tolist()]]


def test_full_with_dilation_keeps_every_product():
    x, w = cr.ones(1, 1, 4), cr.ones(1, 1, 3)
    y = F.conv1d(x, w, padding="full", dilation=2)
    assert y.shape == (1, 1, 8) and y.sum().item() == 12


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [2, "same"])
def test_padding_mode(mode, padding):
    layer = nn.Conv2d(2, 3, 4, padding=padding, padding_mode=mode)
    x = cr.randn(2, 2, 6, 5)
    widths = (2, 2, 2, 2) if padding == 2 else (1, 2, 1, 2)
    expected = F.conv2d(F.pad(x, widths, mode=mode), layer.weight, layer.bias)
    assert layer(x).tolist() == expected.tolist()
    assert f"padding_mode={mode}" in repr(layer)


def test_an_unknown_padding_mode():
    with pytest.raises(UsageError, match="needs one of 'zeros', 'reflect', 'replicate', 'circular"):
        nn.Conv1d(1, 1, 3, padding_mode="mirror")


def test_the_mode_is_kept_by_copies():
    import copy

    layer = nn.Conv1d(1, 1, 3, mode="convolution")
    x = cr.randn(1, 1, 8)
    assert copy.deepcopy(layer)(x).tolist() == layer(x).tolist()
    assert copy.deepcopy(layer).mode == "convolution"


def test_the_mode_is_told_by_the_state_dict_and_by_files(tmp_path):
    flipped, plain = nn.Conv1d(1, 1, 3, mode="convolution"), nn.Conv1d(1, 1, 3)
    assert list(flipped.state_dict()) == ["weight", "bias", "flipped"]
    cr.save(flipped.state_dict(), tmp_path / "layer.safetensors")
    state = cr.load(tmp_path / "layer.safetensors")
    nn.Conv1d(1, 1, 3, mode="convolution").load_state_dict(state)
    with pytest.raises(CheckpointError, match=r"unexpected +flipped"):
        plain.load_state_dict(state)
    with pytest.raises(CheckpointError, match=r"missing +flipped"):
        flipped.load_state_dict(plain.state_dict())
