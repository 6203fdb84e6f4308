"""Pooling against naive loops; ties, NaN and padding by hand."""

from math import prod

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chainrule.dtypes import bool_, float32, float64, int64
from chainrule.errors import DtypeError, IndexRangeError, ShapeError, UsageError
from chainrule.ops.pool import (
    avg_pool,
    avg_pool_scatter,
    avg_windows,
    max_pool,
    max_pool_index,
    max_pool_scatter,
    max_windows,
)
from chainrule.ops.windows import Type

HALVES = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0)}


@st.composite
def cases(draw, dilated):
    """x and metadata: 1 to 3 axes, odd sizes, size 1, overlap, remainders, empty batches."""
    rank = draw(st.integers(1, 3))
    tuples = lambda low, high: st.tuples(*[st.integers(low, high)] * rank)  # noqa: E731
    kernel, stride = draw(tuples(1, 3)), draw(tuples(1, 3))
    meta = {
        "kernel": kernel,
        "stride": stride,
        "padding": tuple(draw(st.integers(0, k // 2)) for k in kernel),
        "ceil_mode": draw(st.booleans()),
    }
    if dilated:
        meta["dilation"] = draw(tuples(1, 2))
    shape = (draw(st.integers(0, 2)), draw(st.integers(1, 2)), *draw(tuples(1, 7)))
    windows = (max_windows if dilated else avg_windows)(**meta)
    assume(min(windows.counts(shape[2:])) > 0)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return rng.integers(-3, 3, shape).astype(np.float64), meta  # whole numbers: many ties


def flat(x):
    """x with its planes flattened, empty ones too."""
    return x.reshape(*x.shape[:2], prod(x.shape[2:]))


def seen(x, windows, place):
    """The positions in the plane that a window sees, row-major, without those in the padding."""
    axes = []
    for p, s, pad, d, k, size in zip(
        place,
        windows.stride,
        windows.padding,
        windows.dilation,
        windows.kernel,
        x.shape[2:],
        strict=True,
    ):
        axes.append([i for i in (p * s - pad + t * d for t in range(k)) if 0 <= i < size])
    grid = np.meshgrid(*(np.array(axis, int) for axis in axes), indexing="ij")
    return np.ravel_multi_index([g.ravel() for g in grid], x.shape[2:])


@settings(deadline=None)
@given(cases(dilated=True))
def test_max_pool_is_the_first_maximum_of_each_window(case):
    x, meta = case
    windows = max_windows(**meta)
    y, index = max_pool.reference(x, **meta), max_pool_index.reference(x, **meta)
    assert y.flags.c_contiguous
    assert y.dtype == x.dtype
    assert index.dtype == np.int64
    assert y.shape == max_pool.infer(Type(x.shape, float64), **meta)[0] == index.shape
    planes = flat(x)
    for n, c, *place in np.ndindex(*y.shape):
        positions = seen(x, windows, place)
        if not positions.size:  # a dilated window may see nothing but padding
            assert y[(n, c, *place)] == -np.inf
            assert 0 <= index[(n, c, *place)] < planes.shape[2]
            continue
        values = planes[n, c, positions]
        assert y[(n, c, *place)] == values.max()
        assert index[(n, c, *place)] == positions[np.argmax(values)]


@settings(deadline=None)
@given(cases(dilated=True), st.integers(0, 99))
def test_scatter_is_the_adjoint_of_reading_at_the_index(case, seed):
    x, meta = case
    index = max_pool_index.reference(x, **meta)
    rng = np.random.default_rng(seed)
    g, value = rng.normal(size=index.shape), rng.normal(size=x.shape)
    back = max_pool_scatter.reference(g, index, input_shape=x.shape)
    read = np.take_along_axis(flat(value), flat(index), 2).reshape(index.shape)
    np.testing.assert_allclose(np.sum(back * value), np.sum(g * read), atol=1e-12)


def test_a_tie_goes_to_the_first_maximum_in_row_major_order():
    x = np.array([[0.0, 2, 2, 0], [2, 2, 0, 2], [1, 1, 0, 0], [1, 1, 0, 0]]).reshape(1, 1, 4, 4)
    index = max_pool_index.reference(x, **HALVES)
    assert index[0, 0].tolist() == [[1, 2], [8, 10]]


def test_nan_propagates_and_the_first_one_is_the_place():
    x = np.array([[1.0, np.nan, 0, 5], [np.nan, 3, 9, 2]]).reshape(1, 1, 2, 4)
    y = max_pool.reference(x, **HALVES)
    assert np.isnan(y[0, 0, 0, 0])
    assert y[0, 0, 0, 1] == 9
    assert max_pool_index.reference(x, **HALVES)[0, 0].tolist() == [[1, 6]]


def test_padding_never_wins():
    x = np.full((1, 1, 3, 3), -np.inf)
    meta = {"kernel": (2, 2), "stride": (2, 2), "padding": (1, 1)}
    assert (max_pool.reference(x, **meta) == -np.inf).all()
    assert max_pool_index.reference(x, **meta)[0, 0].tolist() == [[0, 1], [3, 4]]


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64])
def test_whole_numbers(kind):
    x = np.array([[0, 0], [0, 0]], kind).reshape(1, 1, 2, 2)
    y = max_pool.reference(x, kernel=(3, 3), stride=(1, 1), padding=(1, 1))
    assert y.dtype == kind
    assert (y == 0).all()


@settings(deadline=None)
@given(cases(dilated=False), st.booleans())
def test_avg_pool_is_the_mean_of_each_window(case, include_pad):
    x, meta = case
    windows = avg_windows(**meta)
    y = avg_pool.reference(x, count_include_pad=include_pad, **meta)
    assert y.flags.c_contiguous
    assert y.dtype == x.dtype
    planes = flat(x)
    for n, c, *place in np.ndindex(*y.shape):
        positions = seen(x, windows, place)
        count = positions.size
        if include_pad:  # what lies beyond the padding never counts
            starts = (
                p * s - pad
                for p, s, pad in zip(place, windows.stride, windows.padding, strict=True)
            )
            ends = (size + pad for size, pad in zip(x.shape[2:], windows.padding, strict=True))
            count = np.prod(
                [min(a + k, e) - a for a, k, e in zip(starts, windows.kernel, ends, strict=True)]
            )
        np.testing.assert_allclose(y[(n, c, *place)], planes[n, c, positions].sum() / count)


@settings(deadline=None)
@given(cases(dilated=False), st.booleans(), st.integers(0, 99))
def test_avg_pool_scatter_is_the_adjoint(case, include_pad, seed):
    x, meta = case
    meta["count_include_pad"] = include_pad
    y = avg_pool.reference(x, **meta)
    g = np.random.default_rng(seed).normal(size=y.shape)
    back = avg_pool_scatter.reference(g, input_shape=x.shape, **meta)
    assert back.shape == x.shape
    assert back.flags.c_contiguous
    np.testing.assert_allclose(np.sum(back * x), np.sum(g * y), atol=1e-12)


def test_float32_stays_float32():
    x = np.ones((1, 2, 5, 5), np.float32)
    y = avg_pool.reference(x, kernel=(3, 3), stride=(2, 2), padding=(1, 1))
    back = avg_pool_scatter.reference(
        y, input_shape=x.shape, kernel=(3, 3), stride=(2, 2), padding=(1, 1)
    )
    index = max_pool_index.reference(x, **HALVES)
    scattered = max_pool_scatter.reference(x[..., :2, :2], index, input_shape=x.shape)
    assert y.dtype == back.dtype == scattered.dtype == np.float32


# ---------------------------------------------------------------- what is said


def refuse(error, op, *types, **meta):
    with pytest.raises(error) as caught:
        op.infer(*types, **meta)
    return str(caught.value)


def test_a_kernel_larger_than_its_input():
    text = refuse(ShapeError, max_pool, Type((1, 16, 1, 4), float32), **HALVES)
    assert text.startswith(
        "[max_pool] got f32[1,16,1,4], needs H ≥ 2 and W ≥ 2. The kernel 2×2 does not fit"
    )


def test_ceil_mode_lets_a_larger_kernel_in_as_long_as_it_starts_inside():
    meta = {"kernel": (3,), "stride": (3,), "padding": (0,), "ceil_mode": True}
    assert avg_pool.infer(Type((1, 1, 1), float32), **meta)[0] == (1, 1, 1)
    assert avg_pool.reference(np.full((1, 1, 1), 4.0), **meta).item() == 4
    assert "needs L ≥ 2" in refuse(
        ShapeError, avg_pool, Type((1, 1, 1), float32), **meta | {"kernel": (4,)}
    )


def test_padding_of_more_than_half_the_kernel():
    meta = {"kernel": (3, 3), "stride": (1, 1), "padding": (2, 0)}
    for op in (max_pool, max_pool_index, avg_pool):
        assert refuse(UsageError, op, Type((1, 1, 9, 9), float32), **meta) == (
            f"[{op.name}] got padding=(2, 0), needs at most 1, half of the kernel. "
            "A window could hold nothing but padding."
        )


def test_types_that_cannot_be_pooled():
    assert "got bool, needs numbers" in refuse(
        DtypeError, max_pool, Type((1, 1, 4, 4), bool_), **HALVES
    )
    assert "got int64, needs a floating-point tensor" in refuse(
        DtypeError, avg_pool, Type((1, 1, 4, 4), int64), **HALVES
    )


def test_an_index_beyond_its_plane():
    index = np.array([0, 3, 4]).reshape(1, 1, 3)
    with pytest.raises(IndexRangeError) as caught:
        max_pool_scatter.check(np.ones((1, 1, 3)), index, input_shape=(1, 1, 2, 2))
    assert "got index 4 at position (0, 0, 2), needs 0 to 3." in str(caught.value)
    clamped = max_pool_scatter.reference(np.ones((1, 1, 3)), index, input_shape=(1, 1, 2, 2))
    assert clamped.ravel().tolist() == [1, 0, 0, 2]


def test_error_signals_of_the_wrong_shape():
    index, g = Type((1, 1, 3), int64), Type((1, 1, 2), float32)
    assert "two of one shape" in refuse(
        ShapeError, max_pool_scatter, g, index, input_shape=(1, 1, 4)
    )
    assert "got f32[1,1,3,3] as the error signal, needs f32[1,1,2,2]" in refuse(
        ShapeError,
        avg_pool_scatter,
        Type((1, 1, 3, 3), float32),
        input_shape=(1, 1, 4, 4),
        **HALVES,
    )


@pytest.mark.parametrize(
    "op", [max_pool, max_pool_index, max_pool_scatter, avg_pool, avg_pool_scatter]
)
def test_samples_agree_with_the_shape_rule(op):
    for sample in op.samples(np.random.default_rng(0)):
        types = [Type(a.shape, int64 if a.dtype.kind == "i" else float64) for a in sample.inputs]
        shape, dtype = op.infer(*types, **sample.meta)
        y = op.reference(*sample.inputs, **sample.meta)
        assert (y.shape, y.dtype) == (shape, dtype.numpy)
