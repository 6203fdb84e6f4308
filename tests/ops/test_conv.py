"""The convolution family against naive loops, SciPy, and each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate

import chainrule.ops.conv as module
from chainrule.dtypes import float32, float64, uint8
from chainrule.errors import DtypeError, ShapeError
from chainrule.ops.conv import conv, conv_input_grad, conv_weight_grad
from chainrule.ops.windows import Type

PLAIN = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}


def naive(x, w, *, stride, padding, dilation, groups):
    """The definition, one output number after the other."""
    widths = [(0, 0), (0, 0), *((p, p) for p in padding)]
    padded = np.pad(x, widths)
    outputs, channels = w.shape[0] // groups, w.shape[1]
    shape = conv.infer(Type(x.shape, float64), Type(w.shape, float64), stride=stride,
                       padding=padding, dilation=dilation, groups=groups)[0]  # fmt: skip
    y = np.zeros(shape)
    for n, k, *place in np.ndindex(*shape):
        first = k // outputs * channels
        for c, *tap in np.ndindex(*w.shape[1:]):
            at = tuple(
                p * s + f * d for p, s, f, d in zip(place, stride, tap, dilation, strict=True)
            )
            y[(n, k, *place)] += padded[(n, first + c, *at)] * w[(k, c, *tap)]
    return y


@st.composite
def cases(draw):
    """x, w and metadata: 1 to 3 spatial axes, odd sizes, size 1, empty batches, remainders."""
    rank = draw(st.integers(1, 3))
    tuples = lambda low, high: st.tuples(*[st.integers(low, high)] * rank)  # noqa: E731
    kernel, stride, padding = draw(tuples(1, 3)), draw(tuples(1, 3)), draw(tuples(0, 2))
    dilation, extra = draw(tuples(1, 2)), draw(tuples(0, 3))
    groups = draw(st.integers(1, 3))
    channels, outputs = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    sizes = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + e
        for k, p, d, e in zip(kernel, padding, dilation, extra, strict=True)
    )
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.normal(size=(draw(st.integers(0, 3)), groups * channels, *sizes))
    w = rng.normal(size=(groups * outputs, channels, *kernel))
    return x, w, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


@settings(deadline=None)
@given(cases())
def test_forward_is_the_definition(case):
    x, w, meta = case
    y = conv.reference(x, w, **meta)
    assert y.dtype == x.dtype
    assert y.flags.c_contiguous
    np.testing.assert_allclose(y, naive(x, w, **meta), atol=1e-12)


@settings(deadline=None)
@given(cases())
def test_the_two_gradients_are_adjoint_to_forward(case):
    """conv is linear in x and in w, so <g, conv(x, w)> = <x̄(g, w), x> = <w̄(x, g), w>."""
    x, w, meta = case
    y = conv.reference(x, w, **meta)
    g = np.random.default_rng(0).normal(size=y.shape)
    x_bar = conv_input_grad.reference(g, w, input_shape=x.shape, **meta)
    w_bar = conv_weight_grad.reference(x, g, weight_shape=w.shape, **meta)
    for bar, value in ((x_bar, x), (w_bar, w)):
        assert bar.shape == value.shape
        assert bar.dtype == value.dtype
        assert bar.flags.c_contiguous
        np.testing.assert_allclose(np.sum(g * y), np.sum(bar * value), atol=1e-10)


@settings(deadline=None)
@given(cases(), st.sampled_from([1, 300, 1000]))
def test_working_in_blocks_changes_nothing_but_rounding(case, block):
    x, w, meta = case
    y = conv.reference(x, w, **meta)
    whole = (
        y,
        conv_input_grad.reference(y, w, input_shape=x.shape, **meta),
        conv_weight_grad.reference(x, y, weight_shape=w.shape, **meta),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        pieces = (
            conv.reference(x, w, **meta),
            conv_input_grad.reference(y, w, input_shape=x.shape, **meta),
            conv_weight_grad.reference(x, y, weight_shape=w.shape, **meta),
        )
    for one, other in zip(whole, pieces, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-11)


def test_against_scipy():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(1, 1, 9, 7)), rng.normal(size=(1, 1, 3, 4))
    expected = correlate(x[0, 0], w[0, 0], "valid")
    np.testing.assert_allclose(conv.reference(x, w, **PLAIN)[0, 0], expected, atol=1e-12)


def test_float32_stays_float32():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 3, 8, 8)), rng.normal(size=(4, 3, 3, 3))
    meta = PLAIN | {"padding": (1, 1)}
    y = conv.reference(x.astype(np.float32), w.astype(np.float32), **meta)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, conv.reference(x, w, **meta), rtol=1e-4, atol=1e-5)


def test_strides_of_the_input_do_not_matter():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(8, 8, 3, 2)).T, rng.normal(size=(3, 4, 3, 3))[:, ::-1][:, :3]
    expected = conv.reference(np.ascontiguousarray(x), np.ascontiguousarray(w), **PLAIN)
    np.testing.assert_allclose(conv.reference(x, w, **PLAIN), expected, atol=1e-12)


def test_an_empty_batch_has_a_zero_weight_gradient():
    x, g = np.zeros((0, 2, 4, 4)), np.zeros((0, 3, 2, 2))
    w_bar = conv_weight_grad.reference(x, g, weight_shape=(3, 2, 3, 3), **PLAIN)
    assert w_bar.shape == (3, 2, 3, 3)
    assert not w_bar.any()


def test_depthwise_is_one_convolution_per_channel():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 3, 6, 6)), rng.normal(size=(3, 1, 3, 3))
    y = conv.reference(x, w, **PLAIN | {"groups": 3})
    for c in range(3):
        alone = conv.reference(x[:, c : c + 1], w[c : c + 1], **PLAIN)
        np.testing.assert_allclose(y[:, c : c + 1], alone, atol=1e-12)


def test_a_transposed_convolution_spreads_the_kernel():
    g = np.zeros((1, 1, 3, 3))
    g[0, 0, 1, 1] = 2.0
    w = np.arange(9.0).reshape(1, 1, 3, 3)
    x = conv_input_grad.reference(g, w, input_shape=(1, 1, 7, 7), **PLAIN | {"stride": (2, 2)})
    expected = np.zeros((7, 7))
    expected[2:5, 2:5] = 2 * w[0, 0]
    np.testing.assert_array_equal(x[0, 0], expected)


# ---------------------------------------------------------------- what is said


def refuse(x, w, error=ShapeError, **meta):
    with pytest.raises(error) as caught:
        conv.infer(x, w, **PLAIN | meta)
    return str(caught.value)


def f32(*shape):
    return Type(shape, float32)


def test_an_rgb_image_into_a_grey_network():
    assert refuse(f32(64, 3, 28, 28), f32(6, 1, 5, 5)) == (
        "[conv] got f32[64,3,28,28], needs C=1. weight is f32[6,1,5,5]: an RGB image into a "
        "grey-scale network? Grayscale(), or in_channels=3."
    )


def test_a_grey_image_into_an_rgb_network():
    text = refuse(f32(64, 1, 28, 28), f32(6, 3, 5, 5))
    assert "needs C=3" in text
    assert "a grey-scale image into an RGB network?" in text


def test_channels_last_are_recognised():
    assert refuse(f32(64, 28, 28, 3), f32(6, 3, 5, 5)).endswith(
        "weight is f32[6,3,5,5]: are the channels the last axis of the input? permute(0, 3, 1, 2)."
    )


def test_wrong_channels_in_groups():
    text = refuse(f32(1, 16, 9, 9), f32(6, 8, 3, 3), groups=3)
    assert text == "[conv] got f32[1,16,9,9], needs C=24. weight is f32[6,8,3,3] in 3 groups."


def test_outputs_that_groups_do_not_divide():
    assert "got 5 output channels, needs a multiple of groups=2" in refuse(
        f32(1, 4, 9, 9), f32(5, 2, 3, 3), groups=2
    )


def test_a_kernel_larger_than_its_input():
    assert refuse(f32(64, 16, 3, 3), f32(6, 16, 5, 5)).startswith(
        "[conv] got f32[64,16,3,3], needs H ≥ 5 and W ≥ 5. The kernel 5×5 does not fit"
    )


def test_a_picture_of_bytes():
    text = refuse(Type((1, 1, 8, 8), uint8), f32(1, 1, 3, 3), DtypeError)
    assert text.startswith("[conv] got uint8 with a float32 weight, needs one floating-point type.")
    refuse(Type((1, 1, 8, 8), float64), f32(1, 1, 3, 3), DtypeError)


def test_an_error_signal_of_the_wrong_shape():
    meta = PLAIN | {"input_shape": (1, 1, 8, 8)}
    with pytest.raises(ShapeError) as caught:
        conv_input_grad.infer(f32(1, 6, 5, 5), f32(6, 1, 3, 3), **meta)
    assert str(caught.value) == (
        "[conv_input_grad] got f32[1,6,5,5] as the error signal, needs f32[1,6,6,6]."
    )


@pytest.mark.parametrize("op", [conv, conv_input_grad, conv_weight_grad])
def test_samples_agree_with_the_shape_rule(op):
    seen = set()
    for sample in op.samples(np.random.default_rng(0)):
        for kind, dtype in ((np.float32, float32), (np.float64, float64)):
            inputs = [a.astype(kind) for a in sample.inputs]
            shape, result = op.infer(*(Type(a.shape, dtype) for a in inputs), **sample.meta)
            y = op.reference(*inputs, **sample.meta)
            assert (y.shape, y.dtype) == (shape, kind)
            assert result is dtype
        batch = len(sample.inputs[0])
        seen.add(
            (len(shape), sample.meta["groups"] > 1, max(sample.meta["dilation"]) > 1, batch > 0)
        )
    assert {s[0] for s in seen} == {3, 4, 5}
    for flag in (1, 2, 3):
        assert {s[flag] for s in seen} == {False, True}
