"""A trace: nothing is computed, the graph is pure, and all outside is as it was."""

from __future__ import annotations

import gc
import weakref

import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.compile.work import difference, key
from chainrule.errors import UsageError
from chainrule.ops import leaf
from chainrule.run import reference
from chainrule.step.trace import Trace
from chainrule.tracing import TRACES


def works_of(function, *calls, monkeypatch):
    """The works that are built when a compiled function is called."""
    import chainrule.step as step

    works = []

    def build(work):
        works.append(work)
        return reference.build(work)

    with monkeypatch.context() as patched:
        patched.setattr(step.backend, "build", build)
        compiled = cr.compile(function)
        for call in calls:
            compiled(*call)
    return works


def step_of(net, optimizer):
    def step(x):
        optimizer.zero_grad()
        loss = net(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    return step


def test_a_step_as_a_pure_graph(monkeypatch):
    net = nn.Linear(3, 2)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    (work,) = works_of(step_of(net, optimizer), (cr.ones(4, 3),), monkeypatch=monkeypatch)
    names = [node.name for node in work.inputs]
    assert [work.inputs[j].name for j in work.updates.values()] == ["weight", "bias"]
    assert {"weight", "bias"} <= set(names) and len(work.outputs) == 3
    assert work.inputs[0].op is leaf.data and work.inputs[1].op is leaf.parameter
    placed = set(work.inputs)
    for node in work.nodes:  # in order, no leaf among them, no history either
        assert node.inputs and placed.issuperset(node.inputs)
        assert node.op.name not in ("detach", "assign")
        placed.add(node)
    assert placed.issuperset(work.outputs)
    scopes = {node.scope.split("/")[0] for node in work.nodes}
    assert {"Linear", "SGD"} <= scopes
    assert all(node.where.startswith("test_trace.py:") for node in work.nodes)


def test_the_rate_is_one_input_and_no_structure(monkeypatch):
    def work(rate, size):
        net = nn.Linear(3, 2)
        optimizer = optim.SGD(net.parameters(), lr=rate)
        return works_of(step_of(net, optimizer), (cr.ones(size, 3),), monkeypatch=monkeypatch)[0]

    a, b, c = work(0.1, 4), work(0.2, 4), work(0.1, 5)
    assert key(a) == key(b) != key(c)
    assert difference(a, b) is None and difference(a, c) is c.inputs[0]


def test_a_graph_that_only_reads_writes_nothing(monkeypatch):
    net = nn.BatchNorm1d(3).eval()
    works = works_of(lambda x: net(x), (cr.ones(4, 3),), monkeypatch=monkeypatch)
    assert works[0].updates == {}
    net.train()
    works = works_of(lambda x: net(x), (cr.rand(4, 3),), monkeypatch=monkeypatch)
    assert len(works[0].updates) == 3


def test_all_is_as_it_was_after_a_trace():
    net = nn.Linear(3, 2)
    optimizer = optim.Adam(net.parameters(), lr=0.1)
    optimizer.zero_grad()
    net(cr.ones(1, 3)).sum().backward()
    optimizer.step()
    state = {p: dict(held) for p, held in optimizer.state.items()}
    nodes = [p._storage.node for p in net.parameters()]
    versions = [p._storage.version for p in net.parameters()]
    grads, streams = [p.grad for p in net.parameters()], cr.random.get_state()
    executed = cr.stats().executed
    with Trace() as trace:
        assert trace in TRACES
        optimizer.zero_grad()
        (net(cr.ones(1, 3)) * cr.rand(2)).sum().backward()
        optimizer.step()
        assert all(p.grad is not g for p, g in zip(net.parameters(), grads, strict=True))
    trace.end()
    assert not TRACES and cr.stats().executed == executed
    assert optimizer.state == state and cr.random.get_state() == streams
    assert [p._storage.node for p in net.parameters()] == nodes
    assert [p._storage.version for p in net.parameters()] == versions
    assert all(p.grad is g for p, g in zip(net.parameters(), grads, strict=True))


def test_a_trace_that_breaks_off():
    w = cr.ones(2)

    def broken():
        with Trace():
            w.mul_(3.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert w.tolist() == [1, 1] and not TRACES and (w + 1).tolist() == [2, 2]


def test_a_trace_is_freed():
    w = cr.ones(2)
    with Trace() as trace:
        w.mul_(3.0)
    trace.end()
    gone = weakref.ref(trace)
    gc.collect()
    gc.disable()
    try:
        del trace
        assert gone() is None or gc.collect() >= 0
    finally:
        gc.enable()
    assert gone() is None


def test_numbers_of_the_optimizer_never_escape():
    for kind in (optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad, optim.LAMB):
        net = nn.Linear(3, 2)
        optimizer = kind(net.parameters(), lr=0.1)
        step = cr.compile(step_of(net, optimizer))
        for _ in range(3):
            step(cr.ones(4, 3))
        traced = cr.stats().traced
        for k in range(4):
            optimizer.param_groups[0]["lr"] = 0.1 / (k + 1)
            step(cr.ones(4, 3))
        assert cr.stats().traced == traced, kind


def test_a_number_that_an_optimizer_of_somebody_takes_out_is_right():
    class Slowing(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def update(self, p, grad, state, group):
            return p - grad * (float(group["lr"]) / self.count(state))

    def run(compiled):
        cr.manual_seed(0)
        net = nn.Linear(3, 2)
        optimizer = Slowing(net.parameters(), lr=0.5)
        step = step_of(net, optimizer)
        step = cr.compile(step) if compiled else step
        for k in range(6):
            optimizer.param_groups[0]["lr"] = 0.5 - 0.05 * k
            step(cr.ones(4, 3))
        return net.weight.tolist()

    assert run(False) == run(True)


def test_another_thread_waits_for_the_end_of_a_trace():
    import threading

    w = cr.ones(2)
    found = []
    with Trace() as trace:
        w.mul_(3.0)
        reader = threading.Thread(target=lambda: found.append((w + 1).tolist()))
        reader.start()
        reader.join(0.05)
        assert not found
    trace.end()
    reader.join()
    assert found == [[2, 2]]


def test_the_line_of_a_look_is_told():
    with pytest.raises(UsageError, match=r"\[mul\] got a look at the value of f32\[2\] inside"):
        cr.compile(lambda x: (x * 2).tolist())(cr.ones(2))
