"""Results of compiled calls before anybody has touched them."""

import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ReadOnlyError, ShapeError
from chainrule.run.llvm import plain
from chainrule.step.trace import LookError


@pytest.fixture
def step():
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    optimizer = cr.optim.SGD([w], lr=0.0)

    @cr.compile
    def step(x):
        optimizer.zero_grad()
        loss = (w * x).sum()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(4):
        step(cr.ones(2))
    return step


@pytest.mark.parametrize(
    "touch",
    [
        lambda y: y.item(),
        lambda y: float(y + 0),
        lambda y: y.numpy().item(),
        lambda y: pickle.loads(pickle.dumps(y)).item(),
        lambda y: np.asarray(y).item(),
        lambda y: cr.stack([y, y])[1].item(),
    ],
)
def test_a_result_is_what_it_would_be_at_once(step, touch):
    y = step(cr.ones(2))
    assert isinstance(y, cr.Tensor)
    assert touch(y) == 3
    assert touch(y) == 3
    assert (y * 2).item() == 6 and type(y) is cr.Tensor
    assert touch(y) == 3


def test_what_is_set_first_stays(step):
    y = step(cr.ones(2))
    y.name = "loss"
    assert y.item() == 3
    assert y.name == "loss"
    with pytest.raises(AttributeError):
        _ = step(cr.ones(2)).no_such_thing


def test_a_result_that_is_read_is_a_snapshot():
    w = cr.ones(2)
    f = cr.compile(lambda x: x * w)
    for _ in range(4):
        y = f(cr.tensor([1.0, 2.0]))
    seen = y.numpy()
    with pytest.raises(ReadOnlyError):
        seen[0] = 7
    y += 1
    assert seen.tolist() == [1, 2] and y.tolist() == y.numpy().tolist() == [2, 3]
    with pytest.raises(ShapeError, match="one element"):
        f(cr.tensor([1.0, 2.0])).item()


def test_a_trace_hears_of_a_result_that_is_read():
    f = cr.compile(lambda x: x * 2)
    for _ in range(4):
        y = f(cr.ones(1))
    with pytest.raises(LookError):
        cr.compile(lambda x: x * y.item())(cr.ones(1))


def test_a_result_belongs_to_its_own_call(step):
    a, b = cr.tensor([1.0, 1.0]), cr.tensor([10.0, 1.0])
    results = [step(x) for x in (a, a, b, a, a, b, b, a)]
    assert [y.item() for y in results] == [3, 3, 12, 3, 3, 12, 12, 3]


def test_arguments_that_were_written_to_are_read_anew(step):
    x = cr.tensor([1.0, 1.0])
    assert [step(x).item() for _ in range(3)] == [3, 3, 3]
    x += 1
    assert step(x).item() == 6
    x[0] = 5.0
    assert step(x).item() == 9
    grid = cr.tensor([[1.0, 1.0], [10.0, 1.0]])
    found = [step(view).item() for view in (x, grid[0], x, grid[1], x)]
    assert found == [9, 3, 9, 12, 9]


def test_a_result_as_an_argument(step):
    w = cr.tensor([1.0, 2.0])
    f = cr.compile(lambda x: (x * w).sum())
    y = f(w)
    for _ in range(4):
        y = f(y.expand(2))
    assert y.item() == 5 * 3**4


def test_a_view_sees_what_was_written_in_place(monkeypatch):
    monkeypatch.setattr(plain, "PATIENCE", -1.0)  # then the view's value is an array of its own
    w = cr.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    optimizer = cr.optim.SGD([w], lr=1.0)

    @cr.compile
    def step(x):
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()
        return w.detach().sum()

    x, view = cr.ones(2, 3), w.detach().t()
    found = []
    for _ in range(8):
        step(x)
        step(x)
        found.append((view * 2 + 1).sum().item())
    assert found == [48 - 24 * (k + 1) for k in range(8)]
