"""A convolution and all that it is made of, against SciPy and the lectures' numbers."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import signal

import chainrule as cr
import chainrule.nn.functional as F
from chainrule.inspect.sliding import fits, pooled, slide, weight_counts, windows_of

A06 = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
CROSS = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


def near(got, wanted):
    np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), rtol=1e-12, atol=1e-12)


@st.composite
def cases(draw):
    """(x, w, settings) of a convolution in which at least one window fits."""
    rank = draw(st.sampled_from([1, 2]))
    channels, kernels = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    sizes = [draw(st.integers(1, 9)) for _ in range(rank)]
    dilation, stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    padding = draw(st.sampled_from(["full", "same", "valid", 0, 1, 2]))
    stride = 1 if padding == "same" else stride
    taps = []
    for size in sizes:
        room = size + 2 * padding if isinstance(padding, int) else size
        taps.append(draw(st.integers(1, max(1, min(4, (room - 1) // dilation + 1)))))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.normal(size=(channels, *sizes))
    w = rng.normal(size=(kernels, channels, *taps))
    mode = draw(st.sampled_from(["correlation", "convolution"]))
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "mode": mode}
    return x, w, settings


def by_scipy(x, w, *, stride, padding, dilation, mode):
    """The same in float64 by SciPy: the input is padded and the kernel spread by hand."""
    spread = np.zeros((*w.shape[:2], *(dilation * (t - 1) + 1 for t in w.shape[2:])))
    spread[(..., *(slice(None, None, dilation),) * (w.ndim - 2))] = w
    flip = mode == "convolution"
    if isinstance(padding, int):
        x = np.pad(x, [(0, 0), *[(padding, padding)] * (x.ndim - 1)])
    way = "valid" if isinstance(padding, int) else padding
    if way == "same":  # where the odd one goes: SciPy's convolution, mirrored for a correlation
        total = [s - 1 for s in spread.shape[2:]]
        first = [t - t // 2 if flip else t // 2 for t in total]
        pads = [(a, t - a) for a, t in zip(first, total, strict=True)]
        x, way = np.pad(x, [(0, 0), *pads]), "valid"
    of = signal.convolve if flip else signal.correlate
    y = [sum(of(x[c], k[c], way, method="direct") for c in range(len(x))) for k in spread]
    return np.stack(y)[(..., *(slice(None, None, stride),) * (x.ndim - 1))]


@settings(max_examples=60, deadline=None)
@given(cases())
def test_slide_against_scipy_and_its_own_parts(case):
    x, w, options = case
    found = slide(x, w, **options)
    wanted = by_scipy(x, w, **options)
    near(found.y, wanted)
    near(found.sums.reshape(*wanted.shape), wanted)
    near(found.products.numpy().sum((2, 3)), wanted.reshape(len(w), -1))
    near(found.partial_sums()[:, -1], wanted[0].reshape(-1))
    assert found.counts == wanted.shape[1:]
    assert found.used.sum() == (found.places >= 0).sum()
    if len(x) == 1:
        near(found.copies_by_input().sum(0), wanted[0].reshape(-1))
        near(found.matrix() @ cr.tensor(x.reshape(-1)), wanted[0].reshape(-1))
        near(found.seen[0].flatten() @ found.columns(), wanted[0].reshape(-1))


@settings(max_examples=40, deadline=None)
@given(cases())
def test_error_signals_are_what_the_windows_sent(case):
    x, w, options = case
    y_bar = np.random.default_rng(1).normal(size=slide(x, w, **options).y.shape)
    found = slide(x, w, upstream=y_bar, **options)
    near(found.x_sums, found.x_bar)
    flip = tuple(range(2, w.ndim)) if options["mode"] == "convolution" else ()
    near(np.flip(found.w_sums.numpy(), flip), found.w_bar)
    near(found.b_bar, y_bar.reshape(len(w), -1).sum(1))
    # <ȳ, conv(dx)> = <x̄, dx>: y is linear in x, and in w
    for name, of in (("x", lambda v: by_scipy(v, w, **options)),
                     ("w", lambda v: by_scipy(x, v, **options))):  # fmt: skip
        change = np.random.default_rng(2).normal(size=(x if name == "x" else w).shape)
        bar = (found.x_bar if name == "x" else found.w_bar).numpy()
        near((bar * change).sum(), (y_bar * of(change)).sum())


def test_the_result_is_the_op_s_own():
    x, w = (np.random.default_rng(3).normal(size=s) for s in ((2, 6, 5), (3, 2, 3, 2)))
    found = slide(x, w, [1.0, 2.0, 3.0], padding="same")
    bias = cr.tensor([1.0, 2.0, 3.0], dtype=cr.float64)
    y = F.conv2d(cr.tensor(x)[None], cr.tensor(w), bias, padding="same")
    assert found.y.numpy().tobytes() == y[0].detach().numpy().tobytes()


def test_the_lectures_numbers():
    one = slide([2, -1, 1], [1, 1, 2], padding="full", mode="convolution")
    assert one.y.tolist() == [[2, 1, 4, -1, 2]]
    x, w = [[1, 3, 1], [0, -1, 1], [2, 2, -1]], [[1, 2], [0, -1]]
    two = slide(x, w, padding="full", mode="convolution")
    assert two.y[0].tolist() == [[1, 5, 7, 2], [0, -2, -4, 1], [2, 6, 4, -3], [0, -2, -2, 1]]
    assert slide([1, 1, 1, 0, 0], [1, 0, 1]).y.tolist() == [[2, 1, 1]]
    band = slide([1, -2, 3, 0, 4], [2, 3, 5], padding="same", upstream=[[1, 2, 0, -1, 0.5]])
    assert band.y.tolist() == [[-7, 11, 5, 26, 12]]
    assert band.matrix()[0].tolist() == [3, 5, 0, 0, 0]
    assert band.w_bar.tolist() == [[[-1, -1, 0]]]


def test_the_lectures_image_forward_and_backward():
    found = slide(A06, CROSS, upstream=[[[1, 0, 0], [0, 2, 0], [0, 0, -1]]])
    assert found.y[0].tolist() == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]
    assert found.w_bar[0, 0].tolist() == [[2, 2, 2], [-1, 2, 3], [-1, 2, 3]]
    assert found.x_bar[0].tolist() == [
        [1, 0, 1, 0, 0], [0, 3, 0, 2, 0], [1, 0, 2, 0, -1], [0, 2, 0, 1, 0], [0, 0, -1, 0, -1]
    ]  # fmt: skip


def test_unused_numbers_and_padding():
    found = slide(np.ones((1, 6)), np.ones((1, 1, 3)), stride=2)
    assert found.used.tolist() == [1, 1, 2, 1, 1, 0]  # 6 − 3 is odd: the last one is left over
    places, counts, widths = windows_of((2, 2), (2, 2), padding="same")
    assert (counts, widths) == ((2, 2), ((0, 1), (0, 1)))
    assert places.tolist() == [[0, 1, 2, 3], [1, -1, 3, -1], [2, 3, -1, -1], [3, -1, -1, -1]]


def test_which_kernel_stride_and_padding_give_a_size():
    exact = [(1, 3, 0), (3, 2, 0), (3, 3, 1), (5, 1, 0), (5, 2, 1), (5, 3, 2), (7, 1, 1),
             (7, 2, 2), (7, 3, 3)]  # fmt: skip
    assert fits(7, 3) == exact
    assert fits(3, 1) == [(3, 1, 0)] and fits(4, 9) == []
    for kernel, stride, padding in fits(12, 4):
        assert windows_of((12,), (kernel,), stride, padding)[1] == (4,)


def test_weights_with_and_without_sharing():
    for mode, m in (("same", 3), ("same", 5)):
        places, _, _ = windows_of((9,), (m,), padding=mode)
        counts = weight_counts(9, 9, int((places >= 0).sum()), m)
        assert counts == {"full": 81, "local": 9 * m - (m * m - 1) // 4, "shared": m}


def test_max_pooling_of_the_lecture():
    x = [[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]
    found = pooled(x, 2, 2, upstream=[[1, 2], [3, 4]])
    assert found.y.tolist() == [[6, 8], [3, 4]]
    assert found.winner.tolist() == [5, 7, 8, 15]
    bar = np.zeros((4, 4))
    bar[[1, 1, 2, 3], [1, 3, 0, 3]] = [1, 2, 3, 4]
    assert found.x_bar.tolist() == bar.tolist()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 7), st.integers(1, 4), st.integers(1, 4), st.sampled_from(["max", "mean"]))
def test_pooling_against_numpy(side, size, stride, kind):
    size = min(size, side)
    x = np.random.default_rng(side).integers(0, 4, (side, side + 1)).astype(float)  # with ties
    found = pooled(x, size, stride, kind)
    views = np.lib.stride_tricks.sliding_window_view(x, (size, size))[::stride, ::stride]
    wanted = views.max((2, 3)) if kind == "max" else views.mean((2, 3))
    near(found.y, wanted)
    assert found.ties.tolist() == (views == wanted[..., None, None]).sum((2, 3)).ravel().tolist()
    sent = np.zeros(x.size)
    np.add.at(sent, found.places.ravel(), found.to_x.numpy().ravel())
    near(found.x_bar.flatten(), sent)
    near(found.to_x.sum(1), np.ones(wanted.size))
    if kind == "max":
        first = [row.argmax() for row in views.reshape(-1, size * size)]
        assert [found.places[k, f] for k, f in enumerate(first)] == found.winner.tolist()


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 8), st.integers(2, 4), st.integers(1, 3), st.integers(1, 2), st.data())
def test_pooling_with_padding_and_dilation_against_numpy(side, size, stride, dilation, data):
    kind = data.draw(st.sampled_from(["max", "mean"] if dilation == 1 else ["max"]))
    padding = data.draw(st.integers(0, size // 2))
    assume(dilation * (size - 1) < side + 2 * padding)
    x = np.random.default_rng(side).integers(-4, 0, (side, side)).astype(float)  # all below zero
    found = pooled(x, size, stride, kind, padding=padding, dilation=dilation)
    wide = np.pad(x, padding, constant_values=-np.inf if kind == "max" else 0)
    span = dilation * (size - 1) + 1
    views = np.lib.stride_tricks.sliding_window_view(wide, (span, span))
    views = views[::stride, ::stride, ::dilation, ::dilation]
    near(found.y, views.max((2, 3)) if kind == "max" else views.mean((2, 3)))
    sent = np.zeros(x.size + 1)  # the last one is the padding
    np.add.at(sent, found.places.ravel(), found.to_x.numpy().ravel())
    near(found.x_bar.flatten(), sent[:-1])
    if kind == "max":
        same = views == found.y.numpy()[..., None, None]
        assert found.ties.tolist() == same.sum((2, 3)).ravel().tolist()


@settings(max_examples=30, deadline=None)
@given(cases())
def test_what_is_sent_back_is_two_sums_of_copies(case):
    x, w, options = case
    y_bar = np.random.default_rng(1).normal(size=slide(x, w, **options).y.shape)
    found = slide(x, w, upstream=y_bar, **options)
    near(found.sent_by_tap().sum(2).sum(0), found.x_bar.flatten(1))
    alone = slide(x[:1], w[:1, :1], upstream=y_bar[:1], **options)
    near(alone.sent_by_output().sum(0), alone.x_bar.flatten())
    near(alone.matrix().t() @ alone.y_bar.flatten(), alone.x_bar.flatten())


def test_wrong_use():
    with pytest.raises(cr.UsageError, match="dilation=2, needs 1 for a mean"):
        pooled([[1.0, 2.0]], 1, 1, "mean", dilation=2)
    with pytest.raises(cr.ShapeError, match=r"f64\[2,2\] with f64\[2\], needs f\[C,L\] with"):
        slide(np.ones((2, 2)), np.ones(2))
    with pytest.raises(cr.ShapeError, match=r"\[upstream\] got f64\[2,2\], needs f64\[1,3,3\]"):
        slide(A06, CROSS, upstream=np.ones((2, 2)))
    with pytest.raises(cr.UsageError, match="needs stride 1"):
        slide(A06, CROSS, padding="same", stride=2)
    with pytest.raises(cr.UsageError, match="'max' or 'mean'"):
        pooled(A06, 2, 2, "median")
    with pytest.raises(cr.ShapeError, match=r"needs f\[H,W\]"):
        pooled([1.0], 1, 1)
