"""Filters against SciPy, against each other, and their gradients."""

import numpy as np
import pytest
from scipy import ndimage, signal

import chainrule as cr
from chainrule.inspect.filters import (
    KERNELS,
    convolve,
    copies,
    correlate,
    filter_picture,
    im2col,
    kernel,
    matrix,
)

SIZES = [((7,), (3,)), ((7,), (4,)), ((3,), (3,)), ((5, 6), (3, 2)), ((6, 6), (4, 3))]


def arrays(*shapes):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) for shape in shapes]


def near(got, wanted):
    np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), rtol=0, atol=1e-12)


@pytest.mark.parametrize("padding", ["full", "valid", "same"])
@pytest.mark.parametrize(("size", "taps"), SIZES, ids=str)
def test_convolve_correlate_and_their_matrices(size, taps, padding):
    x, w = arrays(size, taps)
    expected = signal.convolve(x, w, padding, method="direct")
    near(convolve(x, w, padding), expected)
    near(matrix(w, size, padding) @ cr.tensor(x.ravel()), expected.ravel())
    y = correlate(x, w, padding)
    near(matrix(w, size, padding, "correlation") @ cr.tensor(x.ravel()), y.flatten())
    if padding != "same" or all(t % 2 for t in taps):  # where the odd one goes is PyTorch's habit
        near(y, signal.correlate(x, w, padding, method="direct"))


@pytest.mark.parametrize(("size", "taps"), SIZES, ids=str)
def test_translate_and_scale_and_im2col(size, taps):
    x, w = arrays(size, taps)
    near(copies(x, w).sum(0), convolve(x, w))
    if len(size) == 2:
        near(cr.tensor(w.ravel()) @ im2col(x, taps), correlate(x, w).flatten())


def test_integers_are_numbers():
    assert convolve([1, 2], [1, 1]).tolist() == [1.0, 3.0, 2.0]
    assert convolve(cr.tensor([1.0, 2.0]), [1, 1]).dtype is cr.float32


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_on_a_picture(name):
    (x,) = arrays((6, 7))
    near(filter_picture(x, name), ndimage.convolve(x, kernel(name).numpy(), mode="nearest"))
    total = kernel(name).sum().item()
    assert total == pytest.approx(0) or total == pytest.approx(1)


def test_there_are_twenty_different_kernels():
    assert len({kernel(name).numpy().tobytes() for name in KERNELS}) == len(KERNELS) == 20
    assert kernel("box").tolist() == (np.ones((3, 3)) / 9).tolist()


def test_shifts_go_where_their_names_say():
    x = np.zeros((5, 5))
    x[2, 2] = 1
    for name, place in (("right", (2, 3)), ("left", (2, 1)), ("down", (3, 2)), ("up", (1, 2))):
        assert filter_picture(x, f"shift-{name}").numpy()[place] == 1


def test_colour_is_filtered_channel_by_channel():
    (x,) = arrays((3, 5, 5))
    y = filter_picture(x, "gaussian-5")
    for channel in range(3):
        near(y[channel], filter_picture(x[channel], "gaussian-5"))


def test_gradients_flow_through_all_of_it():
    x, w = (cr.tensor(a, requires_grad=True) for a in arrays((4, 5), (3, 3)))
    assert cr.gradcheck(lambda x, w: convolve(x, w, "same"), (x, w))
    assert cr.gradcheck(lambda w: matrix(w, (4, 5), "valid"), (w,))
    assert cr.gradcheck(lambda x, w: copies(x, w).sum(0), (x[0], w[0]))
    assert cr.gradcheck(lambda x, w: filter_picture(x, w), (x, w))


def test_wrong_use():
    with pytest.raises(cr.NameNotFoundError, match="Did you mean sharpen"):
        kernel("sharpn")
    with pytest.raises(cr.ShapeError, match=r"f64\[3\] with f64\[2,2\], needs one axis each"):
        convolve([1.0, 2.0, 3.0], np.ones((2, 2)))
    with pytest.raises(cr.UsageError, match="'full', 'same' or 'valid'"):
        matrix([1.0], (3,), "half")
    with pytest.raises(cr.ShapeError, match=r"needs f\[H,W\] or f\[C,H,W\]"):
        filter_picture([1.0], "box")
