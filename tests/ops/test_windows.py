"""How many windows fit, and what is said when none does."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chainrule.dtypes import float32
from chainrule.errors import ShapeError, UsageError
from chainrule.ops.windows import Type, Windows


@settings(deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 2),
    st.integers(1, 3),
    st.booleans(),
)
def test_windows_are_counted_by_starting_one_after_the_other(size, k, s, p, d, ceil_mode):
    windows = Windows((k,), (s,), (p,), (d,), ceil_mode)
    (span,) = windows.spans
    assume(not ceil_mode or 2 * p <= span)  # else pooling refuses
    end = size + 2 * p  # of the padded input
    expected = 0
    for start in range(0, end, s):
        fits = start + span <= end
        before_it_something_is_left = start - s + span < end
        reaches_over = start < size + p and before_it_something_is_left
        expected += fits or (ceil_mode and reaches_over)
    (count,) = windows.counts((size,))
    assert max(count, 0) == expected


def test_taps_are_strided_slices_within_reach():
    windows = Windows((3, 2), (2, 1), (0, 0), (2, 3))
    assert windows.spans == (5, 4)
    assert windows.reach((4, 5)) == (11, 8)
    assert windows.at((2, 1), (4, 5)) == (slice(4, 11, 2), slice(3, 8, 1))


@pytest.mark.parametrize(
    ("windows", "text"),
    [
        (
            Windows((3, 3), (0, 1), (0, 0), (1, 1)),
            "stride=(0, 1), needs 2 numbers, each at least 1",
        ),
        (Windows((3, 3), (1,), (0, 0), (1, 1)), "stride=(1,), needs 2 numbers, each at least 1"),
        (Windows((3, 3), (1, 1), (-1, 0), (1, 1)), "padding=(-1, 0), needs 2 numbers, each"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(windows, text):
    with pytest.raises(UsageError) as caught:
        windows.check("conv", Type((1, 1, 9, 9), float32))
    assert text in str(caught.value)


def test_a_picture_without_a_batch_axis_is_recognised():
    windows = Windows((3, 3), (1, 1), (0, 0), (1, 1))
    with pytest.raises(ShapeError) as caught:
        windows.check("conv", Type((1, 28, 28), float32))
    assert str(caught.value) == (
        "[conv] got f32[1,28,28], needs f32[N,C,H,W]. unsqueeze(0) adds the batch axis."
    )


def test_the_least_legal_input_is_named():
    windows = Windows((5, 3), (1, 1), (1, 0), (2, 1))
    with pytest.raises(ShapeError) as caught:
        windows.check_fit("conv", Type((64, 16, 6, 9), float32))
    assert str(caught.value) == (
        "[conv] got f32[64,16,6,9], needs H ≥ 7 and W ≥ 3. The kernel 5×3 with dilation 2×1 and "
        "padding 1×0 does not fit into the input. A larger input, more padding, or fewer layers "
        "that shrink it."
    )
    windows.check_fit("conv", Type((64, 16, 7, 3), float32))
