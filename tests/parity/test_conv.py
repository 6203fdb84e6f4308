"""The convolution family against PyTorch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.ops.conv import conv, conv_input_grad, conv_weight_grad

pytestmark = pytest.mark.parity


@st.composite
def cases(draw):
    rank = draw(st.integers(1, 3))
    tuples = lambda low, high: st.tuples(*[st.integers(low, high)] * rank)  # noqa: E731
    kernel, stride, padding = draw(tuples(1, 4)), draw(tuples(1, 3)), draw(tuples(0, 2))
    dilation, extra = draw(tuples(1, 3)), draw(tuples(0, 4))
    groups = draw(st.integers(1, 3))
    sizes = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + e
        for k, p, d, e in zip(kernel, padding, dilation, extra, strict=True)
    )
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.normal(size=(draw(st.integers(0, 3)), groups * draw(st.integers(1, 2)), *sizes))
    w = rng.normal(size=(groups * draw(st.integers(1, 2)), x.shape[1] // groups, *kernel))
    return x, w, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


@settings(deadline=None)
@given(cases(), st.sampled_from([np.float32, np.float64]))
def test_conv_and_its_gradients(case, kind):
    import torch

    x, w, meta = case
    x, w = x.astype(kind), w.astype(kind)
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if kind is np.float32 else {"atol": 1e-11}
    theirs = [torch.tensor(a, requires_grad=True) for a in (x, w)]
    function = getattr(torch.nn.functional, f"conv{x.ndim - 2}d")
    expected = function(*theirs, **meta)
    y = conv.reference(x, w, **meta)
    np.testing.assert_allclose(y, expected.detach().numpy(), **tolerance)
    g = np.random.default_rng(0).normal(size=y.shape).astype(kind)
    x_bar, w_bar = torch.autograd.grad(expected, theirs, torch.tensor(g))
    ours = (
        conv_input_grad.reference(g, w, input_shape=x.shape, **meta),
        conv_weight_grad.reference(x, g, weight_shape=w.shape, **meta),
    )
    for bar, wanted in zip(ours, (x_bar, w_bar), strict=True):
        np.testing.assert_allclose(bar, wanted.numpy(), **tolerance)
