"""What is said when something is wrong: where, got, needs, line, why, remedy."""

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import errors
from chainrule.errors import message

NEXT_LINE = r"test_errors\.py:\d+"


def says(error, function, *words):
    with pytest.raises(error) as caught:
        function()
    text = str(caught.value)
    for word in words:
        assert re.search(word, text), f"{word!r} is not in {text!r}"
    return text


def test_the_one_form():
    text = message("conv1", "f32[1]", "C=1", line="net.py:3", why="Because", remedy="Do this")
    assert text == "[conv1] got f32[1], needs C=1 (net.py:3). Because. Do this."
    assert message("x", "y") == "[x] got y."
    assert message("x", "y", remedy="Why?") == "[x] got y. Why?"


def test_each_exception_is_documented_and_the_builtin_one_would_expect():
    for name in errors.__all__:
        thing = getattr(errors, name)
        if isinstance(thing, type):
            assert issubclass(thing, cr.ChainruleError) and thing.__doc__
            assert getattr(cr, name) is thing
    assert issubclass(cr.ShapeError, ValueError)
    assert issubclass(cr.DtypeError, TypeError)
    assert issubclass(cr.IndexRangeError, IndexError)
    assert issubclass(cr.GradientError, RuntimeError)
    assert issubclass(cr.NameNotFoundError, AttributeError)


# ---------------------------------------------------------------- gradients


def test_backward_twice_names_both_lines():
    x = cr.ones(2, requires_grad=True)
    loss = (x * x).sum()
    loss.backward()
    text = says(cr.GradientError, loss.backward, "used up", "retain_graph=True")
    first, second = re.findall(r"test_errors\.py:(\d+)", text)
    assert first != second


def test_backward_of_more_than_one_number():
    x = cr.ones(2, 3, requires_grad=True)
    y = x * 2
    y.name = "scores"
    says(cr.GradientError, y.backward, "scores", r"f32\[2,3\]", "needs a scalar", r"mean\(\)")
    says(cr.ShapeError, lambda: y.backward(cr.ones(3)), r"gradient f32\[3\]", r"f32\[2,3\]")


def test_backward_without_a_history():
    says(cr.GradientError, cr.ones(()).backward, "no history", "no_grad")
    x = cr.ones((), requires_grad=True)
    with cr.no_grad():
        says(cr.GradientError, (x * 2).backward, "leave the no_grad")


def test_writing_to_a_leaf():
    w = cr.ones(3, requires_grad=True)
    w.name = "weight"
    words = ("weight", "leaf that requires grad", NEXT_LINE, "no_grad")
    says(cr.GradientError, lambda: w.add_(1), *words)
    says(cr.GradientError, lambda: w.__setitem__(0, 1.0), "view of a leaf|leaf", "no_grad")
    says(cr.GradientError, w.t().zero_, "leaf", NEXT_LINE)


def test_a_stale_leaf_names_both_lines():
    w = cr.ones(3, requires_grad=True)
    w.name = "weight"
    loss = (w * w).sum()
    with cr.no_grad():
        w.mul_(2)
    text = says(cr.GradientError, loss.backward, "weight", "changed in place", "mul", "copy")
    assert len(re.findall(r"test_errors\.py:\d+", text)) == 2


def test_the_gradient_of_an_intermediate_that_nobody_kept():
    x = cr.ones(3, requires_grad=True)
    h = x * 2
    h.sum().backward()
    says(cr.GradientError, lambda: h.grad, r"retain_grad\(\)", r"cr\.record\(\)", NEXT_LINE)


def test_gradients_of_whole_numbers():
    says(cr.DtypeError, lambda: cr.tensor([1], requires_grad=True), "int64", r"\.float\(\)")
    says(cr.GradientError, cr.ones(2).retain_grad, "history")
    says(cr.GradientError, lambda: cr.autograd.grad(cr.ones(()), cr.ones(())), "history")


def test_an_unused_input_of_grad():
    x, z = cr.ones((), requires_grad=True), cr.ones((), requires_grad=True)
    says(cr.GradientError, lambda: cr.autograd.grad(x * 2, z), "do not depend", "allow_unused")


def test_a_custom_backward_of_the_wrong_shape():
    class Wrong(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x, k):
            return x * k

        @staticmethod
        def backward(ctx, y_bar):
            return y_bar[:1], None

    class TooFew(Wrong):
        @staticmethod
        def backward(ctx, y_bar):
            return y_bar

    x = cr.ones(3, requires_grad=True)
    says(cr.GradientError, Wrong.apply(x, 2).sum().backward, r"\[Wrong\]", r"\[1\]", r"\[3\]")
    says(cr.GradientError, TooFew.apply(x, 2).sum().backward, "2 arguments", "None")


def test_func_grad_wants_a_scalar():
    says(cr.ShapeError, lambda: cr.func.grad(lambda x: x * 2)(cr.ones(3)), "jacrev")


# ---------------------------------------------------------------- shapes, types, keys


def test_shapes():
    a = cr.ones(2, 3)
    says(cr.ShapeError, lambda: a @ a, r"f32\[2,3\] @ f32\[2,3\]", "Transpose")
    says(cr.ShapeError, lambda: a + cr.ones(2), r"\[2,3\] and \[2\]")
    says(cr.ShapeError, lambda: a.reshape(4, 2), r"\[2, 3\] as \[4, 2\]", "product is 6")
    says(cr.ShapeError, lambda: a.t().view(6), "strides", r"reshape\(\)")
    says(cr.ShapeError, lambda: a.sum(2), "axis 2", "-2 to 1")
    says(cr.ShapeError, lambda: a.sum((0, 0)), "each axis once")
    says(cr.ShapeError, lambda: cr.zeros(0).amax(), "non-empty")
    says(cr.ShapeError, a.item, r"f32\[2,3\]", "one element", "tolist")
    says(cr.ShapeError, lambda: bool(a), "ambiguous", r"\.any\(\)")
    says(cr.ShapeError, lambda: cr.zeros(-1), "sizes of 0 or more")
    says(cr.ShapeError, lambda: cr.tensor([[1], [2, 3]]), "unequal length")
    says(cr.ShapeError, lambda: cr.cat([a, cr.ones(3, 2)]), r"f32\[2,3\], f32\[3,2\]")
    says(cr.UsageError, lambda: cr.cat([]), "no tensors")
    says(cr.ShapeError, lambda: a.__setitem__(0, cr.ones(5)), r"f32\[5\]", r"\[3\]")
    says(cr.ShapeError, lambda: cr.ones(()) @ a, r"\* multiplies")


def test_types():
    says(cr.DtypeError, lambda: cr.tensor(np.ones(2, np.complex64)), "complex64", "float32")
    says(cr.DtypeError, lambda: cr.tensor(np.ones(2, np.int16)), "int16", r"\.astype\('int64'\)")
    says(cr.DtypeError, lambda: cr.ones(2, dtype="float16"), "float16", r"\.astype\('float32'\)")
    says(cr.DtypeError, lambda: cr.ones(2, dtype="strange"), "strange", "one of bool")
    says(cr.DtypeError, lambda: cr.arange(3).mean(), "int64", r"\.float\(\)")
    says(cr.DtypeError, lambda: cr.ones(2) @ cr.ones(2, dtype=cr.float64), "float32 @ float64")
    says(cr.DtypeError, lambda: -cr.tensor([True]), "bool", "~x")
    says(cr.DtypeError, lambda: ~cr.ones(2), "float32", "bool")
    says(cr.DtypeError, lambda: cr.arange(3).copy_(cr.ones(3)), "float32 into int64")
    says(cr.DtypeError, lambda: cr.ones(3)[cr.tensor([0.5])], "float32 as an index")
    says(cr.DtypeError, lambda: [1, 2][cr.tensor(1.0)], "whole number")


def test_keys():
    a = cr.ones(2, 3)
    says(cr.IndexRangeError, lambda: a[2], "index 2", "-2 to 1", "axis 0 of size 2")
    says(cr.IndexRangeError, lambda: a[0, 0, 0], "3 indices", "at most 2", r"f32\[2,3\]")
    says(cr.IndexRangeError, lambda: a[..., ...], "ellips")
    says(cr.IndexRangeError, lambda: a[cr.tensor([True])], "mask of shape", r"\[2\]")
    says(cr.UsageError, lambda: a[::-1], "flip")
    says(cr.UsageError, lambda: a[True], "truth value")
    says(cr.IndexRangeError, a[cr.tensor([5])].numpy, "index 5", NEXT_LINE)


def test_writes_to_repeated_memory():
    expanded = cr.ones(3, 1).expand(3, 4)
    says(cr.UsageError, lambda: expanded.add_(1), "expanded view", r"clone\(\)")


def test_a_snapshot_is_read_only():
    x = cr.ones(3)
    snapshot = x.numpy()
    says(cr.ReadOnlyError, lambda: snapshot.__setitem__(0, 1), r"\.copy\(\)", "snapshot")
    says(cr.ReadOnlyError, lambda: np.add(snapshot, 1, out=snapshot), r"\.copy\(\)")
    own = snapshot.copy()
    own[0] = 5
    assert x.tolist() == [1, 1, 1] and type(snapshot + 1) is np.ndarray
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(x)[0] = 1


# ---------------------------------------------------------------- names and devices


@pytest.mark.parametrize(
    ("wrong", "nearest"), [("Tensro", "Tensor"), ("zeroes", "zeros"), ("manual_sed", "manual_seed")]
)
def test_an_unknown_name_has_a_nearest_one(wrong, nearest):
    says(
        cr.NameNotFoundError,
        lambda: getattr(cr, wrong),
        f"chainrule has no {wrong}; nearest {nearest}",
    )
    assert not hasattr(cr, "__path_of_nothing__")


def test_devices():
    assert cr.device("cpu") == "cpu" and str(cr.ones(1).device) == "cpu"
    assert not cr.cuda.is_available()
    says(cr.DeviceError, lambda: cr.device("cuda"), "cuda", "no GPU backend")
    says(cr.DeviceError, lambda: cr.ones(1).cuda(), "'cpu'")
    says(cr.DeviceError, lambda: cr.zeros(1, device="tpu"), "No such device")


def test_no_grad_without_brackets():
    says(cr.UsageError, lambda: cr.no_grad(lambda x: x), r"@no_grad\(\)")
