"""Small names of PyTorch's that scripts ask for."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import autograd
from chainrule.tensor.tensor import PRINTED


def test_constructors_of_old():
    assert cr.LongTensor([1, 2]).dtype is cr.int64 and cr.FloatTensor(2, 3).shape == (2, 3)
    assert cr.DoubleTensor(np.array([1, 2])).dtype is cr.float64
    assert cr.tensor([1.5]).type(cr.LongTensor).tolist() == [1]
    assert cr.BoolTensor([0, 2]).tolist() == [False, True]
    assert cr.FloatTensor().shape == (0,)


def test_types_and_limits():
    assert cr.is_tensor(cr.ones(1)) and not cr.is_tensor(1.0)
    assert cr.ones(2, 3).shape == cr.Size([2, 3])
    assert cr.finfo(cr.float64).eps == 2**-52 and cr.iinfo(cr.uint8).max == 255
    assert cr.get_default_dtype() is cr.float32
    with pytest.raises(cr.DtypeError, match=r"float64, needs float32. model.double\(\)"):
        cr.set_default_dtype(cr.float64)


def test_no_other_devices():
    assert not cr.accelerator.is_available() and not cr.backends.mps.is_available()
    assert cr.cuda.device_count() == 0
    cr.cuda.manual_seed_all(5)
    assert cr.initial_seed() == 5


def test_printed_as_wanted(monkeypatch):
    monkeypatch.setattr("chainrule.names.PRINTED", kept := {})
    cr.set_printoptions(precision=2, sci_mode=False)
    assert kept == {"precision": 2, "suppress_small": True}
    monkeypatch.setitem(PRINTED, "precision", 2)
    assert repr(cr.tensor([1 / 3])) == "tensor([0.33])"


def test_made_on_a_device_and_by_a_generator():
    source = cr.Generator(3)
    first = cr.rand(3, generator=source)
    cr.manual_seed(3)
    assert cr.rand(3, device="cpu").tolist() == first.tolist()
    assert cr.randperm(4, generator=source).numpy().tolist() != [0, 1, 2, 3]
    assert cr.randint(5, (2, 3)).shape == (2, 3)
    assert cr.randint(0, 5, (2,), dtype=cr.float32).dtype is cr.float32
    assert cr.rand_like(cr.tensor([1, 2]), dtype=cr.float64).dtype is cr.float64
    assert cr.linspace(0, 1, 2, requires_grad=True).requires_grad
    assert cr.ones(1).to("cpu", non_blocking=True).tolist() == [1]
    for make in (cr.eye, cr.rand, cr.randn, cr.randperm):
        with pytest.raises(cr.DeviceError):
            make(2, device="cuda")


def test_draws_by_weight():
    cr.manual_seed(0)
    drawn = cr.multinomial(cr.tensor([1.0, 0.0, 3.0]), 20_000, replacement=True)
    counts = cr.bincount(drawn, minlength=3).tolist()
    assert counts[1] == 0 and abs(counts[2] / 20_000 - 0.75) < 0.02
    rows = cr.multinomial(cr.tensor([[1.0, 0.0, 3.0], [1.0, 1.0, 1.0]]), 2).tolist()
    assert sorted(rows[0]) == [0, 2] and len(set(rows[1])) == 2
    first = cr.multinomial(cr.tensor([[1.0, 3.0]] * 20_000), 2)[:, 0].tolist()
    assert abs(np.mean(first) - 0.75) < 0.02
    for weights, n in (([1.0, 0.0], 2), ([-1.0, 1.0], 1), ([float("nan")], 1), ([0.0, 0.0], 1)):
        with pytest.raises(cr.UsageError, match=r"\[multinomial\] got f32"):
            cr.multinomial(cr.tensor(weights), n)
    ones = cr.bernoulli(cr.tensor([0.0, 1.0, 0.25]).expand(20_000, 3)).mean(0).tolist()
    assert ones[:2] == [0, 1] and abs(ones[2] - 0.25) < 0.02
    y = cr.normal(cr.tensor([0.0, 100.0]), 0.1)
    assert y.shape == (2,) and abs(y[1].item() - 100) < 1
    assert cr.normal(0.0, 1.0, (2, 3)).shape == (2, 3)


def test_functions():
    x = cr.tensor([3, 1, 3])
    assert cr.unique(x).tolist() == [1, 3]
    assert [t.tolist() for t in cr.unique(x, return_counts=True)] == [[1, 3], [1, 2]]
    a, b = cr.tensor([[0.0, 0.0]]), cr.tensor([[3.0, 4.0], [0.0, 1.0]])
    assert cr.cdist(a, b).tolist() == [[5.0, 1.0]]
    assert cr.linalg.norm(cr.tensor([[3.0, 4.0]])).item() == 5.0
    with pytest.raises(cr.UsageError, match="norms of matrices are not in Chainrule"):
        cr.linalg.norm(cr.ones(2, 2), ord=2)


def test_backward_of_several():
    x = autograd.Variable(cr.ones(2), requires_grad=True)
    autograd.backward([x.sum(), (x * x).sum()])
    assert x.grad.tolist() == [3.0, 3.0]
    y = x * 2
    x.grad = None
    autograd.backward([y.sum(), y.sum()])
    assert x.grad.tolist() == [4.0, 4.0]
