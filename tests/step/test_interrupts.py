"""Ctrl-C in an own loop over a compiled step: after it the state is that of whole steps."""

import gc
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.step import bound, later, trace, traced


def sgd(p):
    return optim.SGD(p, lr=1e-3, momentum=0.9)


def adam(p):
    return optim.Adam(p, lr=1e-3)


@dataclass
class Case:
    """A training with two batches in turn, and all that its steps change."""

    made: Callable[..., Any] = sgd
    random: bool = False  # dropout, and averages of a normalisation
    keeps: bool = False  # somebody holds the first weight as it was
    grads: bool = False
    views: bool = False  # and looks at it through a view
    host: bool = False  # NumPy computes one of the nodes
    held: list[Any] = field(default_factory=list)
    done: int = 0

    def begin(self):
        cr.manual_seed(3)
        more = [nn.BatchNorm1d(3), nn.Dropout(0.3)] if self.random else []
        self.net = nn.Sequential(nn.Linear(2, 3), *more, nn.Tanh(), nn.Linear(3, 2))
        self.optimizer = self.made(self.net.parameters())
        x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2)
        self.batches = cr.tensor(x), cr.tensor(x[::-1] * 2)
        self.y = cr.tensor(np.array([0, 1, 1, 0]))
        self.view = self.net[0].weight.detach()[1:] if self.views else None
        self.step = cr.compile(self._step, keep_grads=self.grads)
        self.done = 0
        return self

    def _step(self, x, y):
        self.optimizer.zero_grad()
        outputs = self.net(x)
        loss = F.cross_entropy(outputs.cumsum(1) if self.host else outputs, y)
        loss.backward()
        self.optimizer.step()
        return loss

    def call(self):
        if self.keeps:
            self.held = [self.net[0].weight.detach(), self.net[0].weight.numpy()]
        self.step(self.batches[self.done % 2], self.y)
        self.done += 1

    def state(self):
        found = [x.numpy().tobytes() for x in (*self.net.parameters(), *self.net.buffers())]
        for held in self.optimizer.state_dict()["state"].values():
            found += [x.numpy().tobytes() if isinstance(x, cr.Tensor) else x for x in held.values()]
        if self.grads:
            grads = [p.grad for p in self.net.parameters()]
            found += [None if g is None else g.numpy().tobytes() for g in grads]
        if self.view is not None:
            found.append(self.view.numpy().tobytes())
        return repr((found, cr.random.get_state()))


CASES = {
    "SGD": Case(),
    "Adam": Case(adam),
    "a weight that somebody sees": Case(sgd, views=True),
    "dropout and averages": Case(sgd, random=True),
    "a weight that somebody holds": Case(adam, keeps=True),
    "a node of the host": Case(adam, host=True),
    "gradients that are kept": Case(sgd, random=True, grads=True),
}


def whole_steps(case, many):
    """The number of whole steps by the state that they leave."""
    case.begin()
    found = {}
    for k in range(many):
        found[case.state()] = k
        case.call()
    assert len(found) == many
    return found


FILES = {module.__file__ for module in (traced, bound, later)}


def of_a_call(code):
    return code.co_filename in FILES


def of_a_trace(code):
    """Where it begins and ends."""
    ours = code.co_filename == trace.__file__
    return ours and code.co_name in ("__enter__", "__exit__", "_leave", "_put_back")


def interrupted(call, line, where=of_a_call):
    """Call; KeyboardInterrupt comes before this line of those that run there. Did it?"""
    left = line

    def local(frame, event, argument):
        nonlocal left
        if event == "line":
            left -= 1
            if not left:
                raise KeyboardInterrupt
        return local

    def enter(frame, event, argument):
        return local if left > 0 and where(frame.f_code) else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("calls", [0, 2])  # since somebody has looked
@pytest.mark.parametrize("name", CASES)
def test_before_any_line_of_a_step(name, calls):
    case = CASES[name]
    steps = whole_steps(case, 3000)
    case.begin()
    for _ in range(3):
        case.call()
    line, came = 0, True
    while came:
        line += 1
        for _ in range(calls):
            case.call()
        before = case.done
        came = interrupted(case.call, line)
        case.done = steps.get(case.state())
        assert case.done in (before, before + 1), f"before line {line}"
        case.call()
        assert steps.get(case.state()) == case.done, f"before line {line}, a step later"
    assert line > 80


def test_the_next_call_sees_its_own_arguments():
    total = cr.compile(lambda x: (x * 2).sum())
    for k in range(3):
        total(cr.tensor([k, 1.0]))
    line, came = 0, True
    while came:
        line += 1
        x = cr.tensor([line, 1.0])
        came = interrupted(lambda x=x: total(x), line)
        assert total(x).item() == 2 * line + 2
    assert line > 30


@pytest.mark.parametrize("first", [0, 1])  # it begins the optimizer's state, it is built
def test_while_it_is_traced(first):
    case = CASES["gradients that are kept"]
    steps = whole_steps(case, 20)
    line, came = 1, True
    while came:
        case.begin()
        for _ in range(first):
            case.call()
        case.state()  # initial values are computed now
        came = interrupted(case.call, line, of_a_trace)
        assert steps.get(case.state()) == first + (not came), f"before line {line}"
        for _ in range(3):
            case.call()
        assert steps.get(case.state()) == case.done, f"before line {line}, later"
        line += 7
    assert line > 100


def swallowed(frame):
    """Whether Python would only print an exception, as ``__del__`` and a callback of gc."""
    callbacks = [getattr(callback, "__code__", None) for callback in gc.callbacks]
    while frame is not None:
        if frame.f_code.co_name == "__del__" or frame.f_code in callbacks:
            return True
        frame = frame.f_back
    return False


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="timers are POSIX")
@pytest.mark.parametrize("name", CASES)
def test_at_any_moment(name):
    rng, case = random.Random(0), CASES[name]
    steps = whole_steps(case, 6000)
    case.begin()
    armed = False

    def ctrl_c(number, frame):
        nonlocal armed
        if swallowed(frame):
            signal.setitimer(signal.ITIMER_REAL, 1e-4)
        elif armed:
            armed = False
            raise KeyboardInterrupt

    def train():
        nonlocal armed
        armed = True
        try:
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-6, 3e-4))
            while armed:
                case.call()
        except KeyboardInterrupt:
            times.append(case.done)

    for _ in range(3):
        case.call()
    times = []
    before = signal.signal(signal.SIGALRM, ctrl_c)
    try:
        while len(times) < 150:
            train()
            now = steps.get(case.state())
            assert now in (case.done, case.done + 1), f"after {len(times)} interrupts"
            case.done = now
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
