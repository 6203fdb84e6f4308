"""Tensors beyond PyTorch: how they look, travel and are named; golden numbers."""

import copy
import pickle

import numpy as np
import pytest

import chainrule as cr

# ---------------------------------------------------------------- looks


def test_repr():
    assert repr(cr.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert repr(cr.tensor([1, 2])) == "tensor([1, 2])"
    assert repr(cr.tensor(1.5, dtype=cr.float64)) == "tensor(1.5, dtype=chainrule.float64)"
    w = cr.ones(2, requires_grad=True)
    assert repr(w) == "tensor([1., 1.], requires_grad=True)"
    assert repr(w * 2) == "tensor([2., 2.], op=mul)"
    assert repr(cr.zeros(0)).startswith("tensor([], ")
    assert "..." in repr(cr.zeros(100, 100))
    assert f"{cr.tensor(0.123456):.3f}" == "0.123" and f"{cr.tensor([1.0])}" == "tensor([1.])"


def test_html():
    assert "<table>" in cr.tensor([[1.0, 2.0]])._repr_html_()
    assert "mean" in cr.ones(100, 100)._repr_html_()
    named = cr.ones(2, requires_grad=True)
    named.name = "<w>"
    assert "&lt;w&gt;" in named._repr_html_() and "mul" in (named * 2)._repr_html_()
    for odd in (cr.zeros(0), cr.tensor(True), cr.tensor([True, False]), cr.zeros(2, 2, 2)):
        assert odd._repr_html_()


def test_looking_makes_no_history_and_no_change():
    w = cr.ones(2, requires_grad=True)
    y = w * 3
    before = y._node
    repr(y), y._repr_html_(), y.tolist(), np.asarray(y), y.shape, list(y)
    assert y._node is before


# ---------------------------------------------------------------- copies


def test_deepcopy_and_pickle():
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    w.name = "weight"
    (w * w).sum().backward()
    for twin in (copy.deepcopy(w), pickle.loads(pickle.dumps(w))):
        assert twin.requires_grad and twin.is_leaf and twin.name == "weight"
        with cr.no_grad():
            twin.add_(1)
        assert w.tolist() == [1, 2] and twin.tolist() == [2, 3]
    assert copy.deepcopy(w).grad.tolist() == [2, 4]
    with pytest.raises(cr.GradientError, match=r"detach\(\)\.clone\(\)"):
        copy.deepcopy(w * 2)
    for dtype in (cr.float64, cr.bool, cr.uint8):
        assert pickle.loads(pickle.dumps(dtype)) is dtype
    shared = [w, w]
    first, second = copy.deepcopy(shared)
    assert first is second


def test_pickled_views_hold_their_part_alone():
    x = cr.arange(1000)
    assert len(pickle.dumps(x[:2])) < 1000
    assert pickle.loads(pickle.dumps(x[:2])).tolist() == [0, 1]


# ---------------------------------------------------------------- NumPy and others


def test_numpy_s_functions_and_arrays():
    x = cr.tensor([1.0, 4.0])
    assert np.sqrt(x.numpy()).tolist() == [1, 2]
    y = np.array([1.0, 2.0], np.float32) * x
    assert isinstance(y, cr.Tensor) and y.tolist() == [1, 8]
    assert (np.float32(2) * x).tolist() == [2, 8]
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert np.array(x).flags.writeable


def test_dlpack():
    x = cr.tensor([[1.0, 2.0]])
    assert np.from_dlpack(x).tolist() == [[1, 2]]
    assert x.__dlpack_device__() == (1, 0)


def test_a_tensor_copies_what_it_is_made_of():
    a = np.zeros(2)
    tensors = [cr.tensor(a), cr.from_numpy(a), cr.Tensor(a), cr.as_tensor(a)]
    a[0] = 1
    assert all(t.tolist() == [0, 0] for t in tensors)


def test_iteration_and_membership():
    x = cr.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert [row.tolist() for row in x] == [[1, 2], [3, 4]]
    assert 3 in x and 7 not in x
    a, b = x
    a.zero_()
    assert x.tolist() == [[0, 0], [3, 4]]
    with pytest.raises(TypeError):
        len(cr.tensor(1.0))
    assert len({x, a, b, x}) == 3


# ---------------------------------------------------------------- names


def test_names_ops_and_parents():
    w = cr.tensor([2.0], requires_grad=True)
    w.name = "w"
    h = (w * 3).relu()
    h.name = "h"
    assert h.op == "relu" and [p.op for p in h.parents] == ["mul"]
    h.sum().backward()
    assert h.bar.tolist() == [1] and h.grad is h.bar
    assert w.bar.tolist() == [3]
    assert w.grad_fn is None


def test_a_number_is_no_structure():
    """The same graph for another learning rate: numbers are leaves of their own."""
    graphs = [str(cr.graph(cr.ones(2) * rate)).split("\n") for rate in (0.1, 0.2)]
    strip = lambda g: [line.rsplit("  ", 1)[0] for line in g]  # noqa: E731
    assert strip(graphs[0]) == strip(graphs[1])


# ---------------------------------------------------------------- golden numbers


def test_one_neuron():
    w = cr.tensor([2.0, -3.0], dtype=cr.float64, requires_grad=True)
    b = cr.tensor(-3.0, dtype=cr.float64, requires_grad=True)
    x = cr.tensor([-1.0, -2.0], dtype=cr.float64)
    y = ((w * x).sum() + b).sigmoid()
    y.backward()
    s = 1 / (1 + np.exp(-1))
    assert y.item() == pytest.approx(s)
    np.testing.assert_allclose(w.grad.numpy(), [-s * (1 - s), -2 * s * (1 - s)])
    assert b.grad.item() == pytest.approx(0.19661193)


def test_b_is_a_plus_a_and_c_is_b_plus_a():
    a = cr.tensor(3.0, requires_grad=True)
    b = a + a
    c = b * a + b
    c.backward()
    assert c.item() == 24 and a.grad.item() == 14
