"""The lectures' worked examples of filtering and pooling: golden.md, A05 to A09, A25, A47."""

import numpy as np

from chainrule.ops.conv import conv, conv_input_grad, conv_weight_grad
from chainrule.ops.pool import max_pool, max_pool_index, max_pool_scatter

PLAIN = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
HALVES = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0)}

A06_IMAGE = np.array(
    [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]], float
)
A06_KERNEL = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], float)


def image(rows):
    """One image of one channel: [H,W] -> [1,1,H,W]."""
    return np.asarray(rows, float)[None, None]


def filtered(x, kernel):
    return conv.reference(image(x), image(kernel), **PLAIN)[0, 0]


def test_a05_one_dimension():
    meta = {"stride": (1,), "padding": (0,), "dilation": (1,), "groups": 1}
    x, theta = np.array([[[1.0, 1, 1, 0, 0]]]), np.array([[[1.0, 0, 1]]])
    assert conv.reference(x, theta, **meta).tolist() == [[[2, 1, 1]]]


def test_a06_five_by_five():
    assert filtered(A06_IMAGE, A06_KERNEL).tolist() == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]


def test_a07_correlation_and_true_convolution():
    rows = ("0000000", "0111110", "0100100", "0101000", "0110000", "0100000", "0000000")
    x = np.array([[int(digit) for digit in row] for row in rows])
    kernel = np.array([[0, 0, 0], [0, 1, 1], [0, 1, 0]])
    assert filtered(x, kernel).tolist() == [
        [3, 2, 2, 3, 1],
        [2, 0, 2, 1, 0],
        [2, 2, 1, 0, 0],
        [3, 1, 0, 0, 0],
        [1, 0, 0, 0, 0],
    ]
    assert filtered(x, np.flip(kernel)).tolist() == [
        [1, 2, 2, 2, 2],
        [2, 2, 1, 2, 2],
        [2, 1, 1, 2, 0],
        [2, 2, 2, 0, 0],
        [2, 2, 0, 0, 0],
    ]


def test_a09_the_mean_filter():
    x = np.zeros((10, 10))
    x[2:7, 3:8] = 90
    x[5, 4] = 0
    x[8, 2] = 90
    expected = [
        [0, 10, 20, 30, 30, 30, 20, 10],
        [0, 20, 40, 60, 60, 60, 40, 20],
        [0, 30, 60, 90, 90, 90, 60, 30],
        [0, 30, 50, 80, 80, 90, 60, 30],
        [0, 30, 50, 80, 80, 90, 60, 30],
        [0, 20, 30, 50, 50, 60, 40, 20],
        [10, 20, 30, 30, 30, 30, 20, 10],
        [10, 10, 10, 0, 0, 0, 0, 0],
    ]
    y = filtered(x, np.full((3, 3), 1 / 9))
    np.testing.assert_allclose(y, expected, atol=1e-12)
    # A09b: the 50 of the partial slide is output pixel (6, 5) in image coordinates; (2, 5) is 60.
    np.testing.assert_allclose([y[6 - 1, 5 - 1], y[2 - 1, 5 - 1]], [50, 60])


def test_a25_max_pool_and_where_the_error_signal_goes():
    x = image([[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]])
    assert max_pool.reference(x, **HALVES)[0, 0].tolist() == [[6, 8], [3, 4]]
    index = max_pool_index.reference(x, **HALVES)
    back = max_pool_scatter.reference(image([[1, 2], [3, 4]]), index, input_shape=x.shape)
    expected = np.zeros((4, 4))
    expected[1, 1], expected[1, 3], expected[2, 0], expected[3, 3] = 1, 2, 3, 4
    assert back[0, 0].tolist() == expected.tolist()


def test_a47_the_gradients_of_a_convolution():
    x, w, g = image(A06_IMAGE), image(A06_KERNEL), image([[1, 0, 0], [0, 2, 0], [0, 0, -1]])
    w_bar = conv_weight_grad.reference(x, g, weight_shape=w.shape, **PLAIN)
    assert w_bar[0, 0].tolist() == [[2, 2, 2], [-1, 2, 3], [-1, 2, 3]]
    x_bar = conv_input_grad.reference(g, w, input_shape=x.shape, **PLAIN)
    assert x_bar[0, 0].tolist() == [
        [1, 0, 1, 0, 0],
        [0, 3, 0, 2, 0],
        [1, 0, 2, 0, -1],
        [0, 2, 0, 1, 0],
        [0, 0, -1, 0, -1],
    ]
