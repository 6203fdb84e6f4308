"""Memory stays flat: in compiled steps, and in compilations of ever other shapes."""

import gc
import resource
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim

MB = 1 << 20


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
