"""Padding against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import ShapeError, UsageError

NUMPY = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@given(
    mode=st.sampled_from(sorted(NUMPY)),
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    widths=st.tuples(*[st.integers(0, 4)] * 4),
)
def test_modes_are_numpys(mode, sizes, widths):
    left, right, top, bottom = widths
    x = np.arange(float(np.prod(sizes))).reshape(1, 1, *sizes)
    most = {"reflect": -1, "circular": 0}.get(mode)
    pairs = list(zip(sizes, ((top, bottom), (left, right)), strict=True))
    if most is not None and any(max(pair) > size + most for size, pair in pairs):
        with pytest.raises(ShapeError, match=rf"at most \d along axis \d to {mode}"):
            F.pad(cr.tensor(x), widths, mode=mode)
        return
    expected = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), NUMPY[mode])
    assert F.pad(cr.tensor(x), widths, mode=mode).tolist() == expected.tolist()


def test_the_error_signal_of_a_number_that_is_repeated_is_the_sum():
    x = cr.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    F.pad(x, (2, 1), mode="replicate").sum().backward()
    assert x.grad.tolist() == [[3, 1, 2]]
    x.grad = None
    F.pad(x, (2, 1), mode="reflect").sum().backward()
    assert x.grad.tolist() == [[1, 3, 2]]


def test_wrong_padding():
    x = cr.zeros(1, 3)
    with pytest.raises(UsageError, match="needs one of 'constant', 'reflect', 'replicate'"):
        F.pad(x, (1, 1), mode="mirror")
    with pytest.raises(UsageError, match=r"value=2\.0 with mode='reflect', needs no value"):
        F.pad(x, (1, 1), mode="reflect", value=2.0)
    with pytest.raises(ShapeError, match="needs at least one number along axis 1 to replicate"):
        F.pad(cr.zeros(1, 0), (1, 1), mode="replicate")
    with pytest.raises(UsageError, match="4 of them"):
        nn.ZeroPad2d((1, 2, 3))


def test_layers_are_the_function():
    x = cr.tensor(np.arange(12.0).reshape(1, 1, 3, 4))
    for layer, mode in ((nn.ReflectionPad2d, "reflect"), (nn.ReplicationPad2d, "replicate")):
        assert layer(2)(x).tolist() == F.pad(x, (2, 2, 2, 2), mode=mode).tolist()
    assert nn.ConstantPad2d((1, 0, 0, 0), 7)(x)[0, 0, :, 0].tolist() == [7, 7, 7]
