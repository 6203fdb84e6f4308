import inspect

import numpy as np
import pytest

import chainrule as cr
from chainrule import functions
from chainrule.run.llvm import workers


@pytest.mark.parametrize("name", functions.__all__)
def test_every_function_is_a_method_of_tensor(name):
    assert getattr(functions, name).__doc__ == getattr(cr.Tensor, name).__doc__
    assert getattr(cr, name) is getattr(functions, name)


def test_functions_pass_their_arguments_on():
    x = cr.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert cr.sum(x, 0).tolist() == [4.0, 6.0]
    assert cr.softmax(x, dim=1).sum().item() == pytest.approx(2.0)
    values, places = cr.max(x, 1)
    assert (values.tolist(), places.tolist()) == ([2.0, 4.0], [1, 1])


def test_numbers_and_arrays_become_tensors():
    assert cr.exp(0.0).item() == 1.0
    assert cr.sqrt(np.array([4.0])).tolist() == [2.0]


def test_equal_and_allclose():
    a = cr.tensor([1.0, 2.0])
    assert cr.equal(a, a.clone())
    assert not cr.equal(a, cr.tensor([1.0, 2.5]))
    assert not cr.equal(a, a[:1])
    assert cr.allclose(a, a + 1e-7)
    assert not cr.allclose(a, a + 1e-2)


def test_a_number_of_threads_reaches_the_workers():
    before = cr.get_num_threads()
    try:
        cr.set_num_threads(3)
        assert cr.get_num_threads() == workers.get_num_threads() == 3
        with pytest.raises(cr.UsageError, match="from 1 to 64"):
            cr.set_num_threads(0)
        assert cr.get_num_threads() == 3
    finally:
        cr.set_num_threads(before)


def test_results_into_a_tensor_that_is_there():
    there = cr.zeros(2)
    assert cr.mul(cr.tensor([1.0, 2.0]), 3, out=there) is there
    assert there.tolist() == [3.0, 6.0]
    with pytest.raises(cr.ShapeError):
        cr.mul(cr.ones(3), 3, out=there)


def test_help_shows_the_arguments_of_the_method():
    assert list(inspect.signature(cr.sum).parameters)[1:] == ["dim", "keepdim", "dtype"]
