import json
import subprocess
import sys

import pytest

from chainrule.bench import worker as module
from chainrule.bench.worker import Worker, peak_memory


class Clock:
    """Time that passes when a contestant works."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    process_time = perf_counter


class Pretended:
    """A contestant whose steps last what they are told to."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds, self.steps, self.lr = clock, seconds, 0, 0.01

    def step(self):
        self.clock.now += self.seconds
        self.steps += 1

    def loss(self):
        return 1 / self.steps

    def wait(self):
        pass

    def learning_rate(self, lr):
        self.lr = lr


@pytest.fixture
def worker_of(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)

    def make(seconds):
        worker = Worker.__new__(Worker)
        worker.contestant, worker.calls, worker.busy = Pretended(clock, seconds), {}, 0.0
        return worker

    return make


def test_twenty_losses_and_then_a_small_learning_rate(worker_of):
    worker = worker_of(0.001)
    assert worker.first() == {"seconds": pytest.approx(0.001), "loss": 1.0}
    assert worker.losses(60)["losses"] == [1 / n for n in range(2, 21)]
    assert worker.contestant.lr == 1e-6


def test_a_slow_contestant_shows_fewer_losses_but_five(worker_of):
    worker = worker_of(10.0)
    worker.first()
    assert len(worker.losses(25)["losses"]) == 4


@pytest.mark.parametrize(("seconds", "least"), [(2e-6, 5_000), (0.003, 4), (1.0, 1)])
def test_a_group_of_calls_lasts_ten_milliseconds(worker_of, seconds, least):
    worker = worker_of(seconds)
    worker._prepare("train", worker.contestant.step)
    calls = worker.calls["train"][1]
    assert least <= calls <= 4 * least


def test_a_burst_leaves_out_the_time_to_get_warm(worker_of):
    worker = worker_of(0.01)
    worker._prepare("train", worker.contestant.step)
    times = worker.burst("train", 0.6)["times"]
    assert times == pytest.approx([0.01] * len(times)) and 48 <= len(times) <= 51


def test_a_call_that_lasts_longer_than_the_burst_counts_once(worker_of):
    worker = worker_of(7.0)
    worker.calls["train"] = worker.contestant.step, 1
    assert worker.burst("train", 0.5)["times"] == [pytest.approx(7.0)]


def test_peak_memory_of_a_program_is_its_own():
    hog = bytearray(100 << 20)
    program = "from chainrule.bench.worker import peak_memory; print(peak_memory())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert 10 << 20 < int(done.stdout) < len(hog) <= (peak_memory() or 0)


def test_orders_and_answers():
    orders = [
        {"order": "build", "contestant": "plain", "network": "xor", "scale": {}, "threads": 2},
        {"order": "memory"},
        {"order": "first"},
        {"order": "burst", "what": "nothing", "seconds": 1},
    ]
    text = "".join(json.dumps(order) + "\n" for order in orders)
    program = (
        "from chainrule.bench import worker; "
        "worker.Worker.memory = lambda self: print('noise') or {}; worker.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=text, capture_output=True, text=True
    )
    built, memory, first, failed = done.stdout.splitlines()
    assert (built, memory) == ("{}", "{}") and "noise" in done.stderr
    assert 0 < json.loads(first)["loss"] < 2
    assert json.loads(failed) == {"error": "KeyError: 'nothing'"}
