"""Indexing by data, against NumPy's own indexing; order, ties, ranges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import broadcastable_shapes

from chainrule.dtypes import bool_, float32, float64, int32, int64
from chainrule.errors import DtypeError, IndexRangeError, ShapeError
from chainrule.ops.index import gather, index, index_add, index_last, index_put, scatter_add
from chainrule.ops.windows import Type


@st.composite
def along(draw):
    """x, an index of as many axes, not longer than x but along the axis, and the axis."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    axis = draw(st.integers(0, len(shape) - 1))
    smaller = [draw(st.integers(0, 5 if a == axis else n)) for a, n in enumerate(shape)]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return rng.normal(size=shape), rng.integers(0, shape[axis], smaller), axis


@st.composite
def together(draw):
    """x and index arrays that broadcast, for its leading axes."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    count = draw(st.integers(1, len(shape)))
    result = draw(st.lists(st.integers(0, 3), max_size=3))
    parts = [
        draw(broadcastable_shapes(tuple(result), max_dims=len(result), max_side=3))
        for _ in range(count)
    ]
    try:
        np.broadcast_shapes(*parts)
    except ValueError:
        parts = parts[:1] * count
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    indices = [np.asarray(rng.integers(-n, n, p)) for n, p in zip(shape, parts, strict=False)]
    return rng.normal(size=shape), indices


@settings(deadline=None)
@given(along())
def test_gather_is_take_along_axis_of_the_corner_that_the_index_covers(case):
    x, where, axis = case
    y = gather.reference(x, where, axis=axis)
    corner = tuple(slice(None) if a == axis else slice(n) for a, n in enumerate(where.shape))
    np.testing.assert_array_equal(y, np.take_along_axis(x[corner], where, axis))
    assert y.flags.c_contiguous


@settings(deadline=None)
@given(along())
def test_scatter_add_adds_one_after_the_other(case):
    base, where, axis = case
    source = np.random.default_rng(0).normal(size=where.shape)
    expected = base.copy()
    for place in np.ndindex(*where.shape):
        expected[(*place[:axis], where[place], *place[axis + 1 :])] += source[place]
    before = base.copy()
    np.testing.assert_array_equal(scatter_add.reference(base, where, source, axis=axis), expected)
    np.testing.assert_array_equal(base, before)


@settings(deadline=None)
@given(together())
def test_index_is_numpy_s(case):
    x, indices = case
    y = index.reference(x, *indices)
    np.testing.assert_array_equal(y, x[tuple(indices)])
    types = [Type(i.shape, int64) for i in indices]
    assert index.infer(Type(x.shape, float64), *types) == (y.shape, float64)
    assert y.flags.c_contiguous


@settings(deadline=None)
@given(together())
def test_index_add_adds_one_after_the_other(case):
    base, indices = case
    value = np.random.default_rng(0).normal(size=index.reference(base, *indices).shape)
    expected = base.copy()
    np.add.at(expected, tuple(indices), value)
    np.testing.assert_array_equal(index_add.reference(base, value, *indices), expected)


@settings(deadline=None)
@given(together())
def test_of_several_writes_the_last_one_stays(case):
    base, indices = case
    value = np.random.default_rng(0).normal(size=index.reference(base, *indices).shape)
    expected = base.copy()
    spread = np.broadcast_arrays(*indices)
    for b in np.ndindex(*spread[0].shape):
        expected[tuple(i[b] for i in spread)] = value[b]
    y = index_put.reference(base, value, *indices)
    np.testing.assert_array_equal(y, expected)
    # What reads back is what was written, exactly where index_last says so.
    last = index_last.reference(*indices, sizes=base.shape[: len(indices)])
    back = index.reference(y, *indices)
    for b in np.ndindex(*last.shape):
        assert (back[b] == value[b]).all() == last[b]


def test_the_last_write_in_row_major_order():
    last = index_last.reference(np.array([[0, 2, 0], [-1, 1, 0]]), sizes=(3,))
    assert last.tolist() == [[False, False, False], [True, True, True]]


def test_all_number_types_move():
    where = np.array([2, 0])
    for kind in (np.float32, np.float64, np.int64, np.int32, np.uint8, bool):
        x = np.array([0, 1, 1]).astype(kind)
        for y in (
            gather.reference(x, where, axis=0),
            index.reference(x, where),
            index_put.reference(x, x[:2], where),
        ):
            assert y.dtype == kind


def test_an_empty_axis_reads_nothing():
    x, where = np.zeros((0, 3)), np.zeros((2,), np.int64)
    assert index.reference(x, where).tolist() == [[0, 0, 0]] * 2  # check() refuses it before
    assert gather.reference(x, np.zeros((2, 3), np.int64), axis=0).shape == (2, 3)
    assert index_put.reference(x, np.ones((2, 3)), where).shape == (0, 3)


# ---------------------------------------------------------------- ranges


def refuse(check, *arrays, **meta):
    with pytest.raises(IndexRangeError) as caught:
        check(*arrays, **meta)
    return str(caught.value)


def test_the_first_index_out_of_range_is_named():
    labels = np.array([3, 9, 0, 12, 11])
    assert refuse(gather.check, np.zeros((5, 10)), labels[:, None], axis=1) == (
        "[gather] got index 12 at position (3, 0), needs 0 to 9. "
        "It is out of range for axis 1 of size 10."
    )


def test_a_negative_label_is_not_the_last_class():
    text = refuse(gather.check, np.zeros((2, 10)), np.array([[3], [-1]]), axis=1)
    assert "got index -1 at position (1, 0), needs 0 to 9" in text
    text = refuse(scatter_add.check, np.zeros(4), np.array([-1]), np.zeros(1), axis=0)
    assert text.startswith("[scatter_add] got index -1 at position (0,), needs 0 to 3")


def test_negative_indices_count_from_the_end():
    x = np.zeros((4, 3))
    index.check(x, np.array([-4, 3]), np.array([-3]))
    assert "got index -5 at position (1,), needs -4 to 3. It is out of range for axis 0" in refuse(
        index.check, x, np.array([0, -5])
    )
    assert "got index 3 at position (), needs -3 to 2. It is out of range for axis 1" in refuse(
        index.check, x, np.array([0]), np.array(3)
    )
    assert "[index_add]" in refuse(index_add.check, x, x, np.array([4]))
    assert "[index_put]" in refuse(index_put.check, x, x, np.array([4]))
    assert "[index_last]" in refuse(index_last.check, np.array([4]), sizes=(4,))


def test_nothing_is_in_the_range_of_an_empty_axis():
    assert "needs none" in refuse(index.check, np.zeros((0, 3)), np.array([0]))
    index.check(np.zeros((0, 3)), np.zeros(0, np.int64))


def test_references_clamp_so_that_no_stray_read_happens():
    x = np.arange(6.0).reshape(2, 3)
    assert gather.reference(x, np.array([[99, -99]]), axis=1).tolist() == [[2, 0]]
    assert index.reference(x, np.array([99, -99]), np.array([1, 1])).tolist() == [4, 1]
    assert scatter_add.reference(np.zeros(2), np.array([7]), np.ones(1), axis=0).tolist() == [0, 1]
    assert index_add.reference(np.zeros(2), np.ones(1), np.array([-7])).tolist() == [1, 0]
    assert index_put.reference(np.zeros(2), np.ones(1), np.array([7])).tolist() == [0, 1]


# ---------------------------------------------------------------- shapes and types


def wrong(error, op, *types, **meta):
    with pytest.raises(error) as caught:
        op.infer(*types, **meta)
    return str(caught.value)


def test_an_index_must_be_int64():
    x = Type((3, 4), float32)
    for dtype in (float32, int32, bool_):
        for op, meta in ((gather, {"axis": 1}), (index, {})):
            assert wrong(DtypeError, op, x, Type((3, 4), dtype), **meta) == (
                f"[{op.name}] got {dtype.name}, needs an int64 index. .long() casts whole numbers."
            )


def test_shapes_that_do_not_fit():
    x, i64 = Type((3, 4), float32), int64
    assert "an index of 2 axes" in wrong(ShapeError, gather, x, Type((3,), i64), axis=1)
    assert "got f32[3,4] at i64[4,1]" in wrong(ShapeError, gather, x, Type((4, 1), i64), axis=1)
    assert "got a source of f32[3,2], needs the shape of the index, (3, 1)" in wrong(
        ShapeError, scatter_add, x, Type((3, 1), i64), Type((3, 2), float32), axis=1
    )
    assert "got 3 indices into f32[3,4], needs 1 to 2" in wrong(
        ShapeError, index, x, *[Type((2,), i64)] * 3
    )
    assert "got indices [2], [3], needs shapes that broadcast" in wrong(
        ShapeError, index, x, Type((2,), i64), Type((3,), i64)
    )
    assert "got a value f32[2,3], needs f32[2,4]" in wrong(
        ShapeError, index_put, x, Type((2, 3), float32), Type((2,), i64)
    )
    assert "got float64 into float32, needs one number type" in wrong(
        DtypeError, index_add, x, Type((2, 4), float64), Type((2,), i64)
    )


@pytest.mark.parametrize("op", [gather, scatter_add, index, index_add, index_put, index_last])
def test_samples_agree_with_the_shape_rule(op):
    for sample in op.samples(np.random.default_rng(0)):
        op.check(*sample.inputs, **sample.meta)
        types = [Type(a.shape, int64 if a.dtype.kind == "i" else float64) for a in sample.inputs]
        shape, dtype = op.infer(*types, **sample.meta)
        y = op.reference(*sample.inputs, **sample.meta)
        assert (y.shape, y.dtype) == (shape, dtype.numpy)
