"""The bytes that the engine holds: as planned, counted, and flat."""

import gc
import resource
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.bench.networks import NETWORKS
from chainrule.bench.with_chainrule import Chainrule
from chainrule.compile.memory import most
from chainrule.compile.pipeline import compile_work
from chainrule.run.llvm.memory import Counter, counter

MB = 1 << 20


# ---------------------------------------------------------------- planned and counted


def begun(name):
    """A training step of the race, and what the engine held before it was compiled."""
    contestant = Chainrule(NETWORKS[name](), "compiled", cr.get_num_threads())
    contestant.step()  # begins the momentum buffers, node by node
    gc.collect()
    return contestant, counter.reset()


@pytest.mark.parametrize("name", ["xor", "mlp", "lenet"])
def test_a_plan_knows_how_many_bytes_its_step_takes(name):
    contestant, before = begun(name)
    for _ in range(3):
        contestant.step()
    planned = most(compile_work(contestant._step._newest.work))
    assert counter.most - before == pytest.approx(planned, rel=0.1)


@pytest.mark.parametrize("name", ["xor", "mlp", "lenet"])
def test_a_plan_knows_how_many_bytes_its_results_take(name):
    contestant, _ = begun(name)
    x = cr.tensor(contestant.network.data(64)[0])
    model = contestant.model
    forward = cr.compile(lambda x: (model(x), model(x) * 2))
    before = counter.reset()
    with cr.no_grad():
        held = [forward(x) for _ in range(3)]
    planned = most(compile_work(forward._newest.work))
    assert counter.most - before == pytest.approx(planned, rel=0.1)
    assert len(held) == 3  # and whoever keeps results: they are theirs, not the engine's


def test_the_counter_misses_no_array():
    """NumPy tells tracemalloc of every array it allocates."""
    contestant, before = begun("lenet")
    tracemalloc.start()
    try:
        for _ in range(3):
            contestant.step()
        found = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    filters = [
        tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain),
        tracemalloc.Filter(True, "*/chainrule/run/llvm/*"),
    ]
    for each in filters:
        found = found.filter_traces([each])
    assert counter.held - before == sum(trace.size for trace in found.traces) > 3 * MB


def test_bytes_are_counted_until_they_are_freed():
    own = Counter()
    a = own.counted(np.empty(1000, np.uint8))
    b = own.counted(np.empty(24, np.uint8))
    view = a[10:]
    del a
    assert (own.held, own.most) == (1024, 1024)
    own.passing(100)
    assert (own.held, own.most) == (1024, 1124)
    del view
    assert own.reset() == own.most == 24
    own.passing(6)
    assert (own.held, own.most) == (24, 30)
    assert b.size == 24


# ---------------------------------------------------------------- flat


def resident():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the resident bytes")
def test_two_thousand_steps():
    net = nn.Sequential(nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 5))
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    loss_of = nn.CrossEntropyLoss()

    @cr.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = loss_of(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    x, y = cr.ones((64, 300)), cr.tensor(np.arange(64) % 5)
    for _ in range(50):
        step(x, y)
    tracemalloc.start()
    begin, before = tracemalloc.get_traced_memory()[0], resident()
    for _ in range(2000):
        step(x, y)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - begin
    tracemalloc.stop()
    assert grown < 100_000
    assert resident() - before < 8 * MB


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the resident bytes")
def test_two_hundred_compilations_of_different_shapes():
    f = cr.compile(lambda x: x * 2 + 1)
    sizes = iter(range(100_000, 200_000))

    def compile_some(n):
        for _ in range(n):
            f(cr.ones(next(sizes)))

    with pytest.warns(UserWarning, match="traces of"):
        compile_some(70)  # as many signatures as are kept
    before = resident()
    compile_some(200)
    assert len(f._traces) <= 64
    assert resident() - before < 24 * MB  # code is never unloaded: some KB a kernel
