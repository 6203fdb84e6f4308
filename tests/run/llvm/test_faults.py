"""What goes wrong in a step, or around it: nothing is half done, nothing hangs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.data import DataLoader, TensorDataset
from chainrule.errors import IndexRangeError
from chainrule.train import Trainer

TINY = np.float32(1e-40)  # a denormal


def network():
    conv = (nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
    return nn.Sequential(*conv, nn.Flatten(), nn.Dropout(0.2), nn.Linear(36, 5))


def batch(seed=0, n=16):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 1, 6, 6)).astype(np.float32)
    return cr.tensor(x), cr.tensor(rng.integers(0, 5, n))


def step_of(net, optimizer):
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def bits(net, optimizer):
    found = [x.numpy().tobytes() for x in (*net.parameters(), *net.buffers())]
    for held in optimizer.state_dict()["state"].values():
        found += [x.numpy().tobytes() if isinstance(x, cr.Tensor) else x for x in held.values()]
    return found


# ---------------------------------------------------------------- a bad label

WAYS = {"compiled": cr.compile, "plain": lambda step: step}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_a_label_out_of_range_changes_nothing(kind, way):
    cr.manual_seed(0)
    net = network()
    made = {"SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9), "Adam": optim.Adam}[kind]
    optimizer = made(net.parameters())
    step, (x, y) = WAYS[way](step_of(net, optimizer)), batch()
    bad = y.clone()
    bad[11] = 7
    for _ in range(3):
        step(x, y).item()
        before = [p.numpy().tobytes() for p in net.parameters()]
        state = bits(net, optimizer)
        with pytest.raises(IndexRangeError, match=r"11.*7|7.*11"):
            step(x, bad).item()
        assert [p.numpy().tobytes() for p in net.parameters()] == before
        if way == "compiled":  # averages of a plain forward pass do not depend on the label
            assert bits(net, optimizer) == state


def test_a_label_out_of_range_in_the_trainer():
    cr.manual_seed(0)
    net = network()
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    trainer = Trainer(net, nn.CrossEntropyLoss(), optimizer)
    x, y = batch()
    trainer.fit([(x, y)], epochs=2, verbose=False)
    before = [p.numpy().tobytes() for p in net.parameters()]
    y[3] = -5
    with pytest.raises(IndexRangeError, match=r"-5"):
        trainer.fit([(x, y)], epochs=1, verbose=False)
    assert [p.numpy().tobytes() for p in net.parameters()] == before


# ---------------------------------------------------------------- denormals


def flushed(array):
    small = np.abs(array) < np.finfo(np.float32).tiny
    return np.where(small, np.copysign(np.float32(0), array), array)


@pytest.mark.parametrize("way", WAYS)
def test_denormals_are_flushed_as_inputs_and_as_results(way):
    x = np.array([TINY, -TINY, 1e-30, 1, 2e-38, 0] * 8, np.float32)
    double = WAYS[way](lambda a: (a * 4, a * 1e-10, a + 0, a / 2, a.exp() * 1e-40))
    found = [y.numpy() for y in double(cr.tensor(x))]
    seen = flushed(x)
    with np.errstate(under="ignore"):
        wanted = [seen * np.float32(4), seen * np.float32(1e-10), seen, seen / np.float32(2)]
    for mine, right in zip(found, wanted, strict=False):
        assert mine.tolist() == flushed(right).tolist()
    assert not found[-1].any()
    a, b = x.reshape(6, 8), np.full((8, 3), 1e-30, np.float32)
    product = WAYS[way](lambda a, b: a @ b)(cr.tensor(a), cr.tensor(b)).numpy()
    assert ((product == 0) | (np.abs(product) >= np.finfo(np.float32).tiny)).all()


def test_momentum_that_dies_out_becomes_zero():
    w = nn.Parameter(cr.ones(64))
    optimizer = optim.SGD([w], lr=0.1, momentum=0.5)

    @cr.compile
    def step(factor):
        optimizer.zero_grad()
        (w * factor).sum().backward()
        optimizer.step()

    step(cr.ones(1))
    for _ in range(160):
        step(cr.zeros(1))
    (held,) = optimizer.state_dict()["state"].values()
    assert not held["momentum_buffer"].numpy().any()


# ---------------------------------------------------------------- threads, workers


def trained(seed, steps=12):
    rng = np.random.default_rng(seed)
    net = nn.Sequential(nn.Linear(20, 16 + seed), nn.Tanh(), nn.Linear(16 + seed, 3))
    with cr.no_grad():
        for p in net.parameters():
            p.copy_(cr.tensor(rng.normal(size=p.shape).astype(np.float32)))
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    step = cr.compile(step_of(net, optimizer))
    for _ in range(steps):
        x = cr.tensor(rng.normal(size=(64, 20)).astype(np.float32))
        step(x, cr.tensor(rng.integers(0, 3, 64)))
    return bits(net, optimizer)


def test_python_threads_that_train_different_models_at_once():
    found = {}

    def one(seed):
        found[seed] = trained(seed)

    threads = [threading.Thread(target=one, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert found == {seed: trained(seed) for seed in range(4)}


@pytest.mark.parametrize("mode", ["processes", "threads"])
def test_workers_of_a_loader_beside_a_compiled_step(mode):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(96, 1, 6, 6)).astype(np.float32), rng.integers(0, 5, 96)

    def run(**settings):
        cr.manual_seed(1)
        net = network()
        optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        step = cr.compile(step_of(net, optimizer))
        data = TensorDataset(x, y)
        for _ in range(2):
            for inputs, labels in DataLoader(data, batch_size=16, shuffle=True, **settings):
                step(inputs, labels)
        return bits(net, optimizer)

    assert run(num_workers=2, worker_kind=mode) == run()


# ---------------------------------------------------------------- the ends of processes

TRAIN = """
import os, sys, time, threading
import numpy as np
import chainrule as cr
from chainrule import nn, optim
import chainrule.nn.functional as F
from chainrule.compile import schedule
schedule.CHUNK_WORK = 500  # so that workers help
from chainrule.run.llvm import workers
workers.set_num_threads(3)
x, y = cr.tensor(np.eye(64, 20, dtype=np.float32)), cr.tensor(np.arange(64) % 3)
def begin():
    cr.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 33), nn.Tanh(), nn.Linear(33, 3))
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss
    return net, optimizer, cr.compile(step)
net, optimizer, step = begin()
def go(n=5, step=step):
    for _ in range(n):
        step(x, y)
def bits(net=net):
    return b"".join(p.numpy().tobytes() for p in net.parameters())
go()
"""

FORK = """
child = os.fork()
go(20)
mine = bits()
if not child:
    open("child", "wb").write(mine)
else:
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    net, optimizer, step = begin()
    go(25, step)
    sys.exit(code or int(not mine == open("child", "rb").read() == bits(net)))
"""

ENDS = {
    "right after a step": ("", 0),
    "in an exception": ("raise ValueError", 1),
    "in an exception of a step": ("step(x, cr.tensor(np.full(64, 3)))", 1),
    "beside a thread that trains": (
        "threading.Thread(target=go, args=(10**9,), daemon=True).start(); time.sleep(0.05)",
        0,
    ),
    "fork, parent and child train on": (FORK, 0),
    "fork, then a new model in both": (
        "child = os.fork()\nnet, optimizer, step = begin()\ngo(9, step)\n"
        "if child: sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))",
        0,
    ),
    "fork, the child fails": (
        "child = os.fork()\ngo()\nif not child: raise ValueError\n"
        "sys.exit(4 + os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))",
        5,
    ),
}
ROUNDS = 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no POSIX threads, no workers")
@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_a_process_that_trains(end, tmp_path):
    program, code = ENDS[end]
    for _ in range(ROUNDS):
        done = subprocess.run(
            [sys.executable, "-c", TRAIN + program], cwd=tmp_path, capture_output=True, timeout=60
        )
        assert done.returncode == code, done.stderr.decode()


# A warm process forks; each child ends by itself, and says when its last step was over.
CHILDREN = """
import atexit, functools, gc, json
_, _, compiled = begin()
plain = compiled.function
go(5, plain)
bad = cr.tensor(np.full(64, 3))
gc.collect()
gc.freeze()  # a child copies less
def seconds_to_end(child, pipe):
    late = time.monotonic() + 5
    while not (done := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > late:
            os.kill(child, 9)
        time.sleep(0.002)
    ended = time.monotonic()
    said = os.read(pipe, 99)
    os.close(pipe)
    return os.waitstatus_to_exitcode(done[1]), ended - float(said or -99)
def told():
    os.write(says, str(time.monotonic()).encode())
found = []
for way, end in json.loads(sys.argv[1]):
    step(x, y)
    hears, says = os.pipe()
    child = os.fork()
    if not child:
        break
    os.close(says)
    found.append(seconds_to_end(child, hears))
else:
    print(json.dumps(found))
    sys.exit()
if way == "plain":
    step, go = plain, functools.partial(go, step=plain)
go(2)
exec(end)
"""

WAIT = "sys.exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))"
ENDS_OF_CHILDREN = {
    "right after a step": ("told()", 0),
    "when the workers sleep": ("time.sleep(0.01); told()", 0),
    "with work that nobody has asked for": ("rest = step(x, y) * 2 + x; told()", 0),
    "in an exception": ("told(); raise ValueError", 1),
    "in an exception of a step": ("told(); step(x, bad).item()", 1),
    "by sys.exit": ("told(); sys.exit(1)", 1),
    "beside a thread that trains": (
        "threading.Thread(target=go, args=(10**9,), daemon=True).start()\ntime.sleep(0.02); told()",
        0,
    ),
    "beside a thread that ends": ("threading.Thread(target=go, args=(9,)).start(); told()", 0),
    "with a step at exit": ("atexit.register(go, 3); told()", 0),
    "with another number of threads": ("workers.set_num_threads(2); go(2); told()", 0),
    "in a child of the child": (
        f"grandchild = os.fork()\ngo(2)\nif grandchild: {WAIT}\ntold()",
        0,
    ),
    "in a child of the child that fails": (
        f"grandchild = os.fork()\ngo(2)\nif grandchild: {WAIT}\ntold(); raise ValueError",
        1,
    ),
}
WAYS_TO_TRAIN = ("compiled", "plain")
TIMES = 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
def test_a_hundred_ends_take_less_than_a_second():
    cases = [
        (way, end, *ENDS_OF_CHILDREN[end])
        for _ in range(TIMES)
        for end in ENDS_OF_CHILDREN
        for way in WAYS_TO_TRAIN
    ]
    given = json.dumps([(way, program) for way, _, program, _ in cases])
    command = [sys.executable, "-c", TRAIN + CHILDREN, given]
    done = subprocess.run(command, capture_output=True, timeout=240)
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    wrong = [
        (way, end, code, seconds)
        for (way, end, _, right), (code, seconds) in zip(cases, found, strict=True)
        if code != right or not seconds < 1
    ]
    assert not wrong, done.stderr.decode()
    assert len(found) + ROUNDS * len(ENDS) >= 100


# Two models with one plan, and forks while a thread trains the other one.
BESIDE = """
_, _, other = begin()
other(x, y)
threading.Thread(target=go, args=(10**9, other), daemon=True).start()
for _ in range(20):
    time.sleep(0.003)
    child = os.fork()
    if not child:
        go(3)
        os._exit(0)
    late = time.monotonic() + 5
    while not (done := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > late:
            os.kill(child, 9)
        time.sleep(0.002)
    assert not done[1]
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
def test_a_fork_beside_a_thread_that_runs_the_same_plan():
    command = [sys.executable, "-c", TRAIN + BESIDE]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()


INTERRUPTED = """
from chainrule.train import Callback, Trainer
class Told(Callback):
    def on_batch_end(self, *args):
        global ends
        ends = time.perf_counter()
        if trainer.place.step == 3:
            print("running", flush=True)
net, optimizer, _ = begin()
trainer = Trainer(net, nn.CrossEntropyLoss(), optimizer, callbacks=[Told()])
try:
    trainer.fit([(x, y)] * 1000, epochs=100000, verbose=False)
except KeyboardInterrupt:
    late = time.perf_counter() - ends
steps = {int(held["step"]) for held in optimizer.state.values()}
print(steps, trainer.place.step, flush=True)
again, optimizer, step = begin()
go(max(steps), step)
print(late < 1, bits(net) == bits(again))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_ctrl_c_in_a_long_fit():
    command = [sys.executable, "-c", TRAIN + INTERRUPTED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"running\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error.decode()
    found = re.fullmatch(r"\{(\d+)\} (\d+)\nTrue True\n", out.decode())
    assert found, out.decode()
    assert found[1] == found[2]
