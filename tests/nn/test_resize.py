"""Pictures larger and smaller, by hand."""

from __future__ import annotations

import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import ShapeError, UsageError


def test_nearest_repeats():
    x = cr.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    expected = [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    assert nn.Upsample(scale_factor=2)(x).tolist() == [[expected]]
    assert F.interpolate(x, (1, 2)).tolist() == [[[[1, 2]]]]


def test_lines_with_corners_kept_or_not():
    x = cr.tensor([[[0.0, 4.0]]])
    kept = F.interpolate(x, 5, mode="linear", align_corners=True)
    assert kept.tolist() == [[[0, 1, 2, 3, 4]]]
    assert F.interpolate(x, 4, mode="linear").tolist() == [[[0, 1, 3, 4]]]


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_gradients(mode):
    x = cr.randn(1, 2, 3, 4, dtype=cr.float64)
    assert cr.gradcheck(lambda x: F.interpolate(x, (5, 3), mode=mode), [x])


def test_shuffle_and_back():
    x = cr.arange(2 * 8 * 3 * 2).reshape(2, 8, 3, 2)
    y = nn.PixelShuffle(2)(x)
    assert y.shape == (2, 2, 6, 4)
    assert y[0, 0, :2, :2].tolist() == [[0, 6], [12, 18]]  # the four channels at place (0, 0)
    assert nn.PixelUnshuffle(2)(y).tolist() == x.tolist()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, r"neither size nor scale_factor, needs one"),
        ({"size": 3, "scale_factor": 2}, r"size and scale_factor, needs one"),
        (
            {"size": 3, "mode": "linear"},
            r"mode='linear' for f32\[1,1,4,4\], needs 'nearest' or 'bi",
        ),
        ({"size": 3, "align_corners": True}, r"align_corners=True with mode='nearest'"),
        ({"size": (1, 2, 3)}, r"a number, or 2 of them"),
    ],
)
def test_wrong_arguments(arguments, text):
    with pytest.raises(UsageError, match=text):
        F.interpolate(cr.zeros(1, 1, 4, 4), **arguments)


def test_wrong_shapes():
    with pytest.raises(ShapeError, match=r"\[interpolate\] got f32\[4,4\], needs f\[N,C,L\]"):
        F.interpolate(cr.zeros(4, 4), 2)
    with pytest.raises(ShapeError, match="at least one number along each axis"):
        F.interpolate(cr.zeros(1, 1, 4, 4), scale_factor=0.1)
    with pytest.raises(ShapeError, match="a multiple of 4 channels"):
        F.pixel_shuffle(cr.zeros(1, 3, 2, 2), 2)
    with pytest.raises(ShapeError, match="sides that are multiples of 2"):
        F.pixel_unshuffle(cr.zeros(1, 3, 2, 3), 2)
