"""Plain loops on the engine: node by node, as one plan, and what a failure leaves behind."""

import signal

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import NonFiniteError
from chainrule.ops import elementwise
from chainrule.run.llvm import plain


@pytest.fixture(params=["node by node", "as one"])
def patience(request, monkeypatch):
    """Programs are compiled when they come again, or never."""
    monkeypatch.setattr(plain, "PATIENCE", 0.0 if request.param == "as one" else 1e9)


@pytest.fixture
def built(monkeypatch):
    """How many programs were compiled as one."""
    found = []
    build = plain.build
    monkeypatch.setattr(plain, "_programs", type(plain._programs)())
    monkeypatch.setattr(plain, "build", lambda work: found.append(work) or build(work))
    return found


def flushes() -> bool:
    """Whether NumPy's denormals are 0 here."""
    return not np.full(4, 1e-39, np.float32).sum()


def steps(count):
    """A small network's losses, as bits."""
    rng = np.random.default_rng(0)
    x, y = (cr.tensor(rng.normal(size=size), dtype=cr.float32) for size in ((40, 5), (40, 2)))
    w = cr.tensor(rng.normal(size=(5, 2)), dtype=cr.float32, requires_grad=True)
    losses = []
    for _ in range(count):
        loss = (((x @ w).tanh() - y) ** 2).mean()
        w.grad = None
        loss.backward()
        with cr.no_grad():
            w -= 0.1 * w.grad
        losses.append(loss.numpy().tobytes())
    return losses


def test_where_work_is_computed_changes_no_bit(monkeypatch):
    found = {}
    for patience in (0.0, 1e9):
        monkeypatch.setattr(plain, "PATIENCE", patience)
        found[patience] = steps(6)
    assert found[0.0] == found[1e9]


def test_a_program_that_comes_again_is_compiled_once(built, monkeypatch):
    monkeypatch.setattr(plain, "PATIENCE", 0.0)
    steps(6)
    many = [work for work in built if len(work.nodes) > 1]
    assert len(many) == 1


def test_what_does_not_depend_on_a_failure_is_computed(patience):
    for _ in range(4):
        x, rows = cr.tensor([1.0, 2.0, 3.0]), cr.tensor([0, 7])
        wrong, well = (x[rows] * 2).exp(), (x * 2).exp()
        with pytest.raises(cr.IndexRangeError):
            wrong.sum().item()
        np.testing.assert_allclose(well.numpy(), np.exp([2, 4, 6]), rtol=1e-6)
        with pytest.raises(cr.FailedError):
            wrong.tolist()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_leaves_denormals_as_they_were(error, monkeypatch):
    assert not flushes()

    def wrong(*values, **meta):
        raise error

    y = (cr.ones(3) * 3).exp() + 1
    with monkeypatch.context() as patched:
        patched.setattr(elementwise.exp, "check", wrong)
        with pytest.raises(error):
            y.tolist()
    assert not flushes()


def test_denormals_are_zero_however_it_is_computed(patience):
    for _ in range(4):
        x = cr.tensor([1e-30, 1.0])
        found = (x * 1e-10 * 1e10 + 0).tolist()
        assert found == [0, 1]
        assert not flushes()


def test_an_anomaly_is_found_in_a_program_that_was_compiled(patience):
    def loss(value):
        x = cr.tensor([value, 2.0], requires_grad=True)
        total = (x.log() * 0 + 1).sum()
        total.backward()
        return total.item()

    for _ in range(4):
        assert loss(1.0) == 2
    with pytest.raises(NonFiniteError, match="log"), cr.detect_anomaly():
        loss(0.0)


def test_zero_and_minus_zero_are_two_numbers_of_a_structure(patience):
    for fill in (0.0, -0.0, 0.0, -0.0, 0.0, -0.0):
        x = cr.nn.functional.pad(cr.ones(2) + 1, (1, 1), value=fill).exp().log() * 1
        padded = cr.nn.functional.pad(cr.ones(2), (1, 1), value=fill) * 1
        assert np.signbit(padded.numpy()[0]) == np.signbit(fill)
        assert x.shape == (4,)


def test_a_write_in_place_of_a_loop_copies_no_base(built, monkeypatch):
    monkeypatch.setattr(plain, "PATIENCE", 0.0)
    x = cr.zeros(6, 2)
    for row in range(6):
        x[row] = (x[row] + row) * 2
        cr.synchronize()
    assert x.tolist() == [[2 * row] * 2 for row in range(6)]
    assert not any(node.op.name == "put" for work in built for node in work.nodes)


def test_what_has_piled_up_is_not_compiled_and_not_remembered(built, monkeypatch):
    """Programs of an unrolled loop: thousands of nodes, that take minutes to compile."""
    monkeypatch.setattr(plain, "PATIENCE", 0.0)
    monkeypatch.setattr(plain, "MOST_NODES", 50)
    for _ in range(4):
        x = cr.ones(3)
        for _ in range(40):
            x = (x * 0.5).exp()
        x.sum().item()
    assert all(len(work.nodes) == 1 for work in built)
    assert not any(len(rows) > 50 for rows in plain._programs)


def test_programs_that_are_remembered_take_little_memory(built, monkeypatch):
    monkeypatch.setattr(plain, "MOST_ROWS", 100)
    for length in range(5, 40):
        x = cr.ones(3)
        for _ in range(length):
            x = x * 2
        x.sum().item()
    assert 0 < sum(map(len, plain._programs)) <= 100


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such timer")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_at_any_moment_leaves_denormals_as_they_were(patience):
    def interrupted(number, frame):
        raise KeyboardInterrupt

    def work_until(moment):
        try:
            signal.setitimer(signal.ITIMER_REAL, moment, 0.2)  # again, if a __del__ swallowed it
            while True:
                (cr.ones(3) * 2).exp().sum().item()
        except KeyboardInterrupt:
            signal.setitimer(signal.ITIMER_REAL, 0)

    before = signal.signal(signal.SIGALRM, interrupted)
    try:
        for moment in np.random.default_rng(0).uniform(0.0001, 0.003, 60):
            work_until(moment)
            assert not flushes()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert (cr.ones(3) * 2).sum().item() == 6


def test_a_backward_of_what_was_computed_before_it(patience):
    """A loss that was looked at: the plan of its backward begins with an index that was moved."""
    found = []
    for _ in range(3):
        x = cr.tensor(np.arange(12.0, dtype=np.float32).reshape(4, 3), requires_grad=True)
        loss = cr.nn.functional.cross_entropy(x, cr.tensor([0, 2, 1, 1]))
        loss.item()
        loss.backward()
        found.append(x.grad.numpy().tobytes())
    assert found[0] == found[1] == found[2]
    assert abs(np.frombuffer(found[0], np.float32)).sum() > 0.1
