"""One training, many executions: every one of them leaves the same bits."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim, step
from chainrule.compile import schedule
from chainrule.run.llvm import contract, lanes, plain, workers
from chainrule.run.llvm.backend import Machinery, Tape
from chainrule.run.llvm.cache import default_cache
from chainrule.run.llvm.engine import engine
from chainrule.train import Trainer, notices

NETS = {
    "mlp": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(144, 37), nn.ReLU(), nn.Linear(37, 20), nn.ReLU(), nn.Linear(20, 5)
    ),
    "lenet": lambda: nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 9, 3), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(36, 20), nn.ReLU(), nn.Linear(20, 5)),
    ),
    "norms": lambda: nn.Sequential(
        *(nn.Conv2d(1, 5, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(5), nn.ReLU()),
        *(nn.Dropout(0.3), nn.Conv2d(5, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)),
        *(nn.Sigmoid(), nn.AvgPool2d(3), nn.Flatten(), nn.Dropout(0.2), nn.Linear(32, 5)),
    ),
}
KINDS = {
    "SGD": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-3),
    "Adam": lambda p: optim.Adam(p, lr=0.01),
}
BOTH = [(net, kind) for net in NETS for kind in KINDS]
STEPS = 50


@cache
def data():
    """Two whole batches of 16 and one of 7; a few numbers are denormal."""
    rng = np.random.default_rng(0)
    found = []
    for n in (16, 16, 7):
        x = rng.normal(size=(n, 1, 12, 12)).astype(np.float32)
        x[:, :, 3] *= np.float32(1e-40)
        found.append((x, rng.integers(0, 5, n)))
    return found


def batches():
    return [(cr.tensor(x), cr.tensor(y)) for x, y in data()]


def bits(net, optimizer):
    """A digest of everything that a training leaves."""
    found = hashlib.sha256(repr(cr.random.get_state()).encode())
    for x in (*net.parameters(), *net.buffers()):
        found.update(x.numpy().tobytes())
    for held in optimizer.state_dict()["state"].values():
        for name, value in held.items():
            whole = value.numpy().tobytes() if isinstance(value, cr.Tensor) else repr(value)
            found.update(repr((name, whole)).encode())
    return found.hexdigest()


def train(name, kind, how="compiled", steps=STEPS, between=lambda k, net, step, *batch: False):
    """The digest after so many steps; ``between`` may look at things, or do a step itself."""
    cr.manual_seed(3)
    net, loss_of = NETS[name](), nn.CrossEntropyLoss()
    optimizer, batch = KINDS[kind](net.parameters()), batches()
    if how == "trainer":
        whole = Trainer(net, loss_of, optimizer)
        whole.fit([batch[k % 3] for k in range(steps)], epochs=1, verbose=False)
        return bits(net, optimizer)

    def step(x, y):
        optimizer.zero_grad()
        loss = loss_of(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    step = cr.compile(step) if how == "compiled" else step
    for k in range(steps):
        if not between(k, net, step, *batch[k % 3]):
            step(*batch[k % 3])
    return bits(net, optimizer)


@cache
def wanted(name, kind, steps=STEPS):
    return train(name, kind, steps=steps)


@pytest.fixture
def anew(monkeypatch, tmp_path):
    """A function that forgets what was built and kept, so that all is built anew."""

    def forget(kept=True):
        step._built.clear()
        plain._singles.clear()
        plain._programs.clear()
        if kept:
            default_cache().clear()

    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    default_cache.cache_clear()
    yield forget
    forget()
    default_cache.cache_clear()


@pytest.fixture
def made(monkeypatch):
    """What is built, to count chunks."""
    found, begin = [], Machinery.__init__

    def noted(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        found.append(self)

    monkeypatch.setattr(Machinery, "__init__", noted)
    return found


def chunks(made):
    tapes = [x for each in made for x in each.segments if isinstance(x, Tape)]
    return [int(x) for tape in tapes for x in tape.rows[:, 1]]


# ---------------------------------------------------------------- who runs it


@pytest.mark.parametrize(("name", "kind"), BOTH)
def test_plain_is_compiled_is_the_trainer(name, kind, monkeypatch):
    assert train(name, kind, "plain") == wanted(name, kind)
    for looked_at in (True, False):  # ReLUs are looked at now and then, in steps that run plainly
        monkeypatch.setattr(notices, "_sampled", lambda trainer, at=looked_at: at)
        before = cr.stats().traced
        assert train(name, kind, "trainer") == wanted(name, kind)
        assert (cr.stats().traced > before) != looked_at


@pytest.mark.parametrize("patience", [0, float("inf")])
@pytest.mark.parametrize("name", NETS)
def test_plain_loops_node_by_node_and_as_one(name, patience, monkeypatch, anew, made):
    right = wanted(name, "SGD")
    monkeypatch.setattr(plain, "PATIENCE", patience)
    made.clear()
    anew()
    assert train(name, "SGD", "plain") == right
    assert any(len(each.work.nodes) > 20 for each in made) == (patience == 0)


def recorded(k, net, step, *batch):
    """Every third step but one has a tape."""
    if k % 3:
        with cr.record() as tape:
            step(*batch)
        assert tape.names()
    return k % 3 > 0


def looking(k, net, step, *batch):
    """A look at parameters, at a forward pass, and at its gradients, now and then."""
    if k % 4 == 0:
        assert all(p.numpy().size for p in net.parameters())
    if k % 7 == 0:
        state = cr.random.get_state()
        net.eval()
        with cr.no_grad():
            net(batch[0]).numpy()
        net.train()
        cr.random.set_state(state)
    return False


@pytest.mark.parametrize("how", ["plain", "compiled"])
@pytest.mark.parametrize("between", [recorded, looking])
@pytest.mark.parametrize(("name", "kind"), [("lenet", "Adam"), ("norms", "SGD")])
def test_with_and_without_looks(name, kind, between, how):
    assert train(name, kind, how, between=between) == wanted(name, kind)


# ---------------------------------------------------------------- how it runs


@pytest.fixture
def threads():
    yield workers.set_num_threads
    workers.set_num_threads(2)


@pytest.mark.parametrize(("name", "kind"), [("mlp", "Adam"), ("lenet", "SGD"), ("norms", "Adam")])
def test_any_number_of_threads(name, kind, monkeypatch, anew, made, threads):
    right = wanted(name, kind, 9)
    monkeypatch.setattr(schedule, "CHUNK_WORK", 500)  # else it is too small to be shared
    anew()
    for many in (1, 2, 3, 4, 64):
        threads(many)
        anew(kept=False)
        made.clear()
        assert train(name, kind, steps=9) == right
        assert sum(chunks(made)) > 2 * len(chunks(made))


@pytest.mark.parametrize("work", [1, 1 << 40])
def test_any_size_of_chunks(work, monkeypatch, anew, made):
    right = {name: wanted(name, "SGD", 6) for name in NETS}
    monkeypatch.setattr(schedule, "CHUNK_WORK", work)
    for name in NETS:
        made.clear()
        anew()
        assert train(name, "SGD", steps=6) == right[name]
        assert (max(chunks(made)) == 1) == (work == 1 << 40)


TILES = [(1, 1), (3, 2), (4, 3), (5, 1), (12, 1)]


@pytest.mark.parametrize("tile", TILES, ids=str)
def test_any_tile(tile, monkeypatch, anew):
    right = {name: wanted(name, "SGD", 3) for name in ("lenet", "norms")}

    def chain(self):
        self.tt, self.tv = tile

    def partial(self):
        self.ti, self.tj = tile

    monkeypatch.setattr(contract.ChainWriter, "_choose_tile", chain)
    monkeypatch.setattr(lanes.LanesWriter, "_choose_tile", partial)
    before = engine().stats().compiled
    for name in right:
        anew()
        assert train(name, "SGD", steps=3) == right[name]
    assert engine().stats().compiled > before + 10


@pytest.mark.parametrize("how", ["plain", "compiled"])
@pytest.mark.parametrize("name", NETS)
def test_denormals_flushed_on_the_main_thread_or_not(name, how):
    found = workers.denormals_flushed(lambda: train(name, "Adam", how))
    assert found == wanted(name, "Adam")


# ---------------------------------------------------------------- where it runs

ELSEWHERE = """
import os, sys
sys.path.insert(0, {folder!r})
{before}
import test_bits
from chainrule.run.llvm.engine import engine
print(*[test_bits.train(name, "Adam", steps={steps}) for name in {names}])
print(engine().machine.vector)
"""


def elsewhere(names, steps, before="", **variables):
    """The digests of nets in another process, and the bytes of its vectors."""
    folder = str(Path(__file__).parent)
    text = ELSEWHERE.format(folder=folder, before=before, names=names, steps=steps)
    environment = {**os.environ, **variables}
    done = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    digests, vector = done.stdout.decode().splitlines()
    return digests.split(), int(vector)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no way to choose a core")
@pytest.mark.parametrize("many", [1, 4])
def test_pinned_on_one_core(many):
    pin = (
        "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from chainrule.compile import schedule\nschedule.CHUNK_WORK = 500"
    )
    names = ["mlp", "norms"]
    found, _ = elsewhere(names, 9, pin, CHAINRULE_THREADS=str(many))
    assert found == [wanted(name, "Adam", 9) for name in names]


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="x86's features")
@pytest.mark.parametrize(("target", "vector"), [("sse2", 16), ("avx2", 32)])
def test_a_lesser_target(target, vector):
    if engine().machine.vector < vector:
        return
    names = ["norms"] if target == "sse2" else ["lenet", "norms"]  # fma is a call there
    found, has = elsewhere(names, 5, CHAINRULE_TARGET=target)
    assert has == vector
    assert found == [wanted(name, "Adam", 5) for name in names]
