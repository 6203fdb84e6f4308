"""Parameters as a vector and back; the names of nn.utils."""

from __future__ import annotations

import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import NameNotFoundError, ShapeError, UsageError


def test_there_and_back():
    a, b = nn.Linear(3, 2), nn.Linear(3, 2)
    vector = nn.utils.parameters_to_vector(a.parameters())
    assert vector.requires_grad and vector.shape == (8,)
    nn.utils.vector_to_parameters(vector, b.parameters())
    assert b.weight.tolist() == a.weight.tolist() and b.bias.tolist() == a.bias.tolist()
    assert b.weight.is_leaf and b.weight.requires_grad


def test_refused():
    net = nn.Linear(3, 2)
    with pytest.raises(ShapeError, match=r"got f32\[7\], needs 8 numbers in one axis"):
        nn.utils.vector_to_parameters(cr.zeros(7), net.parameters())
    with pytest.raises(UsageError, match="no parameters"):
        nn.utils.parameters_to_vector([])


@pytest.mark.parametrize(
    ("room", "name", "nearest"),
    [
        (nn.utils, "clip_grad_norm", "clip_grad_norm_"),
        (nn.functional, "cross_entrpy", "cross_entropy"),
        (nn, "Conv2D", "Conv2d"),
    ],
)
def test_nearest_names(room, name, nearest):
    with pytest.raises(NameNotFoundError, match=f"has no {name}; nearest {nearest}"):
        getattr(room, name)
