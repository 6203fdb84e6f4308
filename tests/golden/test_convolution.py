"""The lectures' worked examples of filtering and pooling: A01 to A11, A25, A47, A48."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import func, nn
from chainrule.inspect.template import match_template
from chainrule.nn import functional as F

A06_IMAGE = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
A06_KERNEL = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


def data(value, requires_grad=False):
    return cr.tensor(np.asarray(value, float), requires_grad=requires_grad)


def row(x, w, **how):
    """One signal of one channel through one kernel: [L], [F] -> [P]."""
    return F.conv1d(data(x)[None, None], data(w)[None, None], **how)[0, 0]


def plane(x, w, **how):
    """One image of one channel through one kernel: [H,W], [F,G] -> [P,Q]."""
    return F.conv2d(data(x)[None, None], data(w)[None, None], **how)[0, 0]


FULL = {"padding": "full", "mode": "convolution"}

# ---------------------------------------------------------------- true convolution: A01 to A03

A01_X, A01_W = [2, -1, 1], [1, 1, 2]
A02_X, A02_W = [[1, 3, 1], [0, -1, 1], [2, 2, -1]], [[1, 2], [0, -1]]
A02_Y = [[1, 5, 7, 2], [0, -2, -4, 1], [2, 6, 4, -3], [0, -2, -2, 1]]


def test_a01_full_convolution_in_one_dimension():
    assert row(A01_X, A01_W, **FULL).tolist() == [2, 1, 4, -1, 2]


def test_a01b_translate_and_scale_and_flip_and_filter_are_the_same():
    copies = [row([x], A01_W, **FULL).tolist() for x in A01_X]
    assert copies == [[2, 2, 4], [-1, -1, -2], [1, 1, 2]]
    total = np.zeros(5)
    for offset, copy in enumerate(copies):
        total[offset : offset + 3] += copy
    flipped = data(A01_W).flip(0)
    assert flipped.tolist() == [2, 1, 1]
    slid = row(A01_X, flipped, padding=2)
    assert total.tolist() == slid.tolist() == [2, 1, 4, -1, 2]


def test_a02_full_convolution_in_two_dimensions():
    assert plane(A02_X, A02_W, **FULL).tolist() == A02_Y


def test_a02b_the_same_by_flip_and_filter():
    flipped = data(A02_W).flip(0, 1)
    assert flipped.tolist() == [[-1, 0], [2, 1]]
    assert plane(A02_X, flipped, padding=1).tolist() == A02_Y


def test_a02c_the_same_by_copies():
    copies = {v: plane([[v]], A02_W, **FULL).tolist() for v in (1, 3, -1, 2)}
    assert copies == {
        1: [[1, 2], [0, -1]],
        3: [[3, 6], [0, -3]],
        -1: [[-1, -2], [0, 1]],
        2: [[2, 4], [0, -2]],
    }
    total = np.zeros((4, 4))
    for (i, j), value in np.ndenumerate(A02_X):
        total[i : i + 2, j : j + 2] += plane([[value]], A02_W, **FULL).numpy()
    assert total.tolist() == A02_Y


def test_a03_blur_sharpen_and_sobel_on_a_step():
    blur = [[0, 1, 0], [1, 4, 1], [0, 1, 0]]
    sharpen = [[0, -1, 0], [-1, 8, -1], [0, -1, 0]]
    sobel = [[1, 0, -1], [2, 0, -2], [1, 0, -1]]
    assert [np.sum(kernel) for kernel in (blur, sharpen, sobel)] == [8, 4, 0]
    step = np.repeat([[0, 0, 0, 1, 1, 1]], 3, axis=0)
    for mode in ("correlation", "convolution"):  # both are point-symmetric
        assert plane(step, blur, mode=mode).tolist() == [[0, 1, 7, 8]]
        assert plane(step, sharpen, mode=mode).tolist() == [[0, -1, 5, 4]]
    assert plane(step, sobel, mode="convolution").tolist() == [[0, 4, 4, 0]]
    assert plane(step, sobel).tolist() == [[0, -4, -4, 0]]


# ---------------------------------------------------------------- correlation: A04 to A11

SIX_KERNELS = {
    "edge 1": ([[1, 0, -1], [0, 0, 0], [-1, 0, 1]], [[1, 2, 1], [0, 1, 0], [0, -2, -1]]),
    "edge 2": ([[0, 1, 0], [1, -4, 1], [0, 1, 0]], [[-2, 0, -2], [2, -1, 0], [2, -1, -2]]),
    "edge 3": ([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], [[3, 2, 3], [-4, 2, 2], [-4, 3, 3]]),
    "sharpen": ([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], [[3, 1, 3], [-2, 2, 1], [-2, 2, 3]]),
    "box": (np.full((3, 3), 1 / 9), np.array([[6, 7, 6], [4, 7, 7], [4, 6, 6]]) / 9),
    "Gaussian": (
        np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16,
        [[0.6875, 0.875, 0.6875], [0.375, 0.8125, 0.875], [0.375, 0.75, 0.6875]],
    ),
}


@pytest.mark.parametrize("mode", ["correlation", "convolution"])
@pytest.mark.parametrize("name", SIX_KERNELS)
def test_a04_six_kernels_made_by_hand(name, mode):
    kernel, expected = SIX_KERNELS[name]
    assert np.sum(kernel) == pytest.approx(0 if "edge" in name else 1)
    np.testing.assert_allclose(plane(A06_IMAGE, kernel, mode=mode).numpy(), expected, atol=1e-15)


def test_a05_one_dimension():
    y = row([1, 1, 1, 0, 0], [1, 0, 1])
    assert (y.tolist(), y.shape) == ([2, 1, 1], (5 - 3 + 1,))


def test_a06_five_by_five():
    assert plane(A06_IMAGE, A06_KERNEL).tolist() == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]


A07_ROWS = ("0000000", "0111110", "0100100", "0101000", "0110000", "0100000", "0000000")
A07_IMAGE = [[int(digit) for digit in digits] for digits in A07_ROWS]
A07_KERNEL = [[0, 0, 0], [0, 1, 1], [0, 1, 0]]


def test_a07_correlation():
    assert plane(A07_IMAGE, A07_KERNEL).tolist() == [
        [3, 2, 2, 3, 1],
        [2, 0, 2, 1, 0],
        [2, 2, 1, 0, 0],
        [3, 1, 0, 0, 0],
        [1, 0, 0, 0, 0],
    ]


def test_a07b_true_convolution():
    assert plane(A07_IMAGE, A07_KERNEL, mode="convolution").tolist() == [
        [1, 2, 2, 2, 2],
        [2, 2, 1, 2, 2],
        [2, 1, 1, 2, 0],
        [2, 2, 2, 0, 0],
        [2, 2, 0, 0, 0],
    ]


def test_a08_what_makes_7x7_into_3x3_is_not_unique():
    def exact(f, s, p):
        side = nn.Conv2d(1, 1, f, stride=s, padding=p)(cr.zeros(1, 1, 7, 7)).shape[-1]
        return side == 3 and (7 + 2 * p - f) % s == 0

    found = [
        (f, s, p)
        for f in (1, 3, 5, 7)
        for s in (1, 2, 3, 4, 5, 6)
        for p in range((f - 1) // 2 + 1)
        if exact(f, s, p)
    ]
    assert (3, 2, 0) in found
    assert found == [
        (1, 3, 0),
        (3, 2, 0),
        (3, 3, 1),
        (5, 1, 0),
        (5, 2, 1),
        (5, 3, 2),
        (7, 1, 1),
        (7, 2, 2),
        (7, 3, 3),
    ]


@pytest.fixture(scope="module")
def a09():
    """The mean filter on the lecture's 10×10 image (A09c: ten columns, not eleven)."""
    x = np.zeros((10, 10))
    x[2:7, 3:8] = 90
    x[5, 4] = 0
    x[8, 2] = 90
    return plane(x, np.full((3, 3), 1 / 9)).numpy()


def test_a09_the_mean_filter(a09):
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
    np.testing.assert_allclose(a09, expected, atol=1e-12)


def test_a09b_where_the_50_of_the_partial_slide_is(a09):
    np.testing.assert_allclose([a09[6 - 1, 5 - 1], a09[2 - 1, 5 - 1]], [50, 60])


def test_a10_the_identity():
    delta = [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert plane(A06_IMAGE, delta, padding="same").tolist() == A06_IMAGE


def test_a10b_a_shift_to_the_right_or_to_the_left():
    right_of_centre = [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
    x = np.array(A07_IMAGE)
    moved_right = np.pad(x, ((0, 0), (1, 0)))[:, :-1]
    moved_left = np.pad(x, ((0, 0), (0, 1)))[:, 1:]
    how = {"padding": "same"}
    convolved = plane(x, right_of_centre, mode="convolution", **how)
    assert convolved.tolist() == moved_right.tolist()
    assert plane(x, right_of_centre, **how).tolist() == moved_left.tolist()


def test_a11_an_impulse_shows_the_kernel():
    impulse = np.zeros((7, 7))
    impulse[3, 3] = 1
    kernel = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    shown = np.pad(kernel, 1).tolist()
    turned = np.pad(np.flip(kernel), 1).tolist()
    assert plane(impulse, kernel, mode="convolution").tolist() == shown
    assert plane(impulse, kernel).tolist() == turned
    assert plane(impulse, np.flip(kernel)).tolist() == shown


# ---------------------------------------------------------------- pooling and gradients


def test_a25_max_pool_and_where_the_error_signal_goes():
    x = data([[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]], requires_grad=True)
    y = F.max_pool2d(x[None, None], 2)
    assert y[0, 0].tolist() == [[6, 8], [3, 4]]
    y.backward(data([[[[1, 2], [3, 4]]]]))
    expected = np.zeros((4, 4))
    expected[1, 1], expected[1, 3], expected[2, 0], expected[3, 3] = 1, 2, 3, 4
    assert x.grad.tolist() == expected.tolist()


def test_a47_the_gradients_of_a_convolution():
    x, w = data([[A06_IMAGE]], requires_grad=True), data([[A06_KERNEL]], requires_grad=True)
    F.conv2d(x, w).backward(data([[[[1, 0, 0], [0, 2, 0], [0, 0, -1]]]]))
    assert w.grad[0, 0].tolist() == [[2, 2, 2], [-1, 2, 3], [-1, 2, 3]]
    assert x.grad[0, 0].tolist() == [
        [1, 0, 1, 0, 0],
        [0, 3, 0, 2, 0],
        [1, 0, 2, 0, -1],
        [0, 2, 0, 1, 0],
        [0, 0, -1, 0, -1],
    ]


def test_a47b_shared_weights_sum_the_dense_gradient_along_diagonals():
    a, z_bar = data([1, -2, 3, 0, 4]), data([1, 2, 0, -1, 0.5])
    theta = data([2, 3, 5], requires_grad=True)
    F.conv1d(a[None, None], theta[None, None], padding=1).backward(z_bar[None, None])
    dense = data(np.zeros((5, 5)), requires_grad=True)
    (dense @ a).backward(z_bar)
    diagonals = [np.trace(dense.grad.numpy(), k) for k in (-1, 0, 1)]
    assert theta.grad.tolist() == diagonals == [-1, -1, 0]


def test_a17_the_matrix_of_a_same_layer_is_tridiagonal_toeplitz():
    theta, a = data([2, 3, 5]), data([1, -2, 3, 0, 4])

    def layer(x):
        return F.conv1d(x[None, None], theta[None, None], padding="same")[0, 0]

    assert layer(a).tolist() == [-7, 11, 5, 26, 12]
    matrix = func.jacrev(layer)(a).numpy()
    expected = 2 * np.eye(5, k=-1) + 3 * np.eye(5) + 5 * np.eye(5, k=1)
    assert matrix.tolist() == expected.tolist()
    assert matrix[0].tolist() == [3, 5, 0, 0, 0]  # one copy of the slide has a third entry here


def test_a48_normalised_cross_correlation_finds_a_template():
    rng = np.random.default_rng(48)
    picture = rng.uniform(size=(24, 30))
    template = picture[6:13, 11:19]
    scores = match_template(data(picture), data(template)).numpy()
    assert np.unravel_index(scores.argmax(), scores.shape) == (6, 11)
    assert scores[6, 11] == pytest.approx(1, abs=1e-12)
    assert np.delete(scores.ravel(), scores.argmax()).max() < 0.9
    brighter = match_template(data(3 * picture + 20), data(template)).numpy()
    np.testing.assert_allclose(brighter, scores, atol=1e-9)
