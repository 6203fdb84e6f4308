"""A child that is forked beside a working thread has open locks, and works on."""

import gc
import os
import signal
import threading
import time
from weakref import ref

import pytest

import chainrule as cr
from chainrule import forks, nn

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")


def ends_well(work):
    """Whether a child that does this work ends in five seconds without an error."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    until = time.monotonic() + 5
    while time.monotonic() < until:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def trainer():
    """A plain step of a small network."""
    net = nn.Sequential(nn.Linear(64, 128), nn.Tanh(), nn.Linear(128, 4))
    optimizer = cr.optim.SGD(net.parameters(), lr=0.01)
    x, y = cr.randn(256, 64), cr.zeros(256).long()

    def step():
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()

    return step


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
def test_a_child_beside_a_thread_that_trains(compiled):
    own, others = trainer(), trainer()
    if compiled:
        own, others = cr.compile(own), cr.compile(others)
    own()
    over = threading.Event()

    def go():
        while not over.is_set():
            others()

    thread = threading.Thread(target=go)
    thread.start()
    try:
        time.sleep(0.05)
        assert all(ends_well(own) for _ in range(8))
    finally:
        over.set()
        thread.join()


def test_an_owner_gets_new_locks_as_long_as_it_lives():
    class Owner:
        unlocked = 0

        def unlock(self):
            self.unlocked += 1

    owner = Owner()
    forks.unlocked_in_children(owner)

    def look(owner=owner):
        assert owner.unlocked == 1

    assert ends_well(look) and owner.unlocked == 0
    living = ref(owner)
    del owner, look
    gc.collect()
    assert living() is None


def test_a_fork_waits_for_who_has_the_lock():
    lock, held, go = forks.awaited_by_forks(), threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            go.wait(0.2)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    assert ends_well(lock.acquire)
    thread.join()
