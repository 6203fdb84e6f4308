"""Pooling against PyTorch: values, places, conditions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.dtypes import float64
from chainrule.errors import ChainruleError
from chainrule.ops.pool import (
    avg_pool,
    avg_pool_scatter,
    max_pool,
    max_pool_index,
    max_pool_scatter,
)
from chainrule.ops.windows import Type

pytestmark = pytest.mark.parity


@st.composite
def cases(draw):
    rank = draw(st.integers(1, 3))
    tuples = lambda low, high: st.tuples(*[st.integers(low, high)] * rank)  # noqa: E731
    kernel = draw(tuples(1, 4))
    meta = {
        "kernel": kernel,
        "stride": draw(tuples(1, 3)),
        "padding": draw(tuples(0, 2)),
        "ceil_mode": draw(st.booleans()),
    }
    shape = (draw(st.integers(0, 2)), draw(st.integers(1, 2)), *draw(tuples(1, 8)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return rng.integers(-3, 3, shape).astype(np.float64), meta


def both(ours, theirs):
    """Both results, or None when both refuse."""
    try:
        expected = theirs()
    except RuntimeError:
        with pytest.raises(ChainruleError):
            ours()
        return None
    return ours(), expected


@settings(deadline=None)
@given(cases(), st.booleans(), st.data())
def test_max_pool(case, with_infinities, data):
    import torch

    x, meta = case
    rank = x.ndim - 2
    dilation = data.draw(st.tuples(*[st.integers(1, 2)] * rank))
    if any(
        d > 1 and 2 * p > k
        for d, p, k in zip(dilation, meta["padding"], meta["kernel"], strict=True)
    ):
        return  # PyTorch measures half of the dilated kernel here, half of the kernel there
    if with_infinities:
        x[x < 0] = -np.inf

    def ours():
        max_pool.infer(Type(x.shape, float64), dilation=dilation, **meta)
        return [op.reference(x, dilation=dilation, **meta) for op in (max_pool, max_pool_index)]

    def theirs():
        function = getattr(torch.nn.functional, f"max_pool{rank}d")
        return function(
            torch.tensor(x),
            meta["kernel"],
            meta["stride"],
            meta["padding"],
            dilation,
            ceil_mode=meta["ceil_mode"],
            return_indices=True,
        )

    results = both(ours, theirs)
    if results:
        (y, index), (expected, places) = results
        np.testing.assert_array_equal(y, expected.numpy())
        inside = (places.numpy() >= 0) & (places.numpy() < np.prod(x.shape[2:]))
        # A dilated window may see nothing but padding; PyTorch's place is then out of the plane.
        empty = (y == -np.inf) & (max(dilation) > 1)
        np.testing.assert_array_equal((index == places.numpy()) | ~inside | empty, True)


@settings(deadline=None)
@given(cases(), st.booleans())
def test_avg_pool(case, include_pad):
    import torch

    x, meta = case
    meta["count_include_pad"] = include_pad
    rank = x.ndim - 2
    source = torch.tensor(x, requires_grad=True)

    def ours():
        avg_pool.infer(Type(x.shape, float64), **meta)
        return avg_pool.reference(x, **meta)

    def theirs():
        function = getattr(torch.nn.functional, f"avg_pool{rank}d")
        return function(
            source,
            meta["kernel"],
            meta["stride"],
            meta["padding"],
            ceil_mode=meta["ceil_mode"],
            count_include_pad=include_pad,
        )

    too_small = any(size < k for size, k in zip(x.shape[2:], meta["kernel"], strict=True))
    if rank == 3 and too_small:
        return  # avg_pool3d alone refuses a kernel that fits with its padding
    results = both(ours, theirs)
    if results:
        y, expected = results
        np.testing.assert_allclose(y, expected.detach().numpy(), atol=1e-14)
        g = np.random.default_rng(0).normal(size=y.shape)
        (x_bar,) = torch.autograd.grad(expected, source, torch.tensor(g))
        back = avg_pool_scatter.reference(g, input_shape=x.shape, **meta)
        np.testing.assert_allclose(back, x_bar.numpy(), atol=1e-13)


def test_max_pool_s_gradient_goes_where_pytorch_s_goes():
    import torch

    x = np.random.default_rng(0).integers(0, 3, (2, 3, 8, 8)).astype(np.float64)
    source = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.max_pool2d(source, 3, 2, 1)
    (x_bar,) = torch.autograd.grad(expected.sum(), source)
    meta = {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1)}
    index = max_pool_index.reference(x, **meta)
    back = max_pool_scatter.reference(np.ones(index.shape), index, input_shape=x.shape)
    np.testing.assert_array_equal(back, x_bar.numpy())
