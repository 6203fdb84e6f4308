"""Small works, and what is compiled kept in a folder of its own."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.compile.pipeline import compile_work
from chainrule.run.llvm import cache


@pytest.fixture(autouse=True, scope="session")
def folder_of_objects(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAINRULE_CACHE", str(tmp_path_factory.mktemp("objects")))
        cache.default_cache.cache_clear()
        yield
    cache.default_cache.cache_clear()


@pytest.fixture(scope="session")
def work():
    """One step of Linear and ReLU with cross-entropy and SGD."""
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    optimizer = cr.optim.SGD(model.parameters(), lr=0.5)
    loss = nn.MSELoss(reduction="sum")

    @cr.compile
    def step(x, y):
        optimizer.zero_grad()
        found = loss(model(x), y)
        found.backward()
        optimizer.step()
        return found

    step(cr.tensor(np.ones((4, 3), np.float32)), cr.zeros(4, 2))
    return step._newest.work


@pytest.fixture
def plan(work):
    """Its plan, a new one for each test."""
    return compile_work(work)
