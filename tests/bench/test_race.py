import subprocess
import sys

import pytest

from chainrule.bench import race as module
from chainrule.bench.race import LeftOutError, Plan, _Course, compare, contestants_of, race, spread

FAST = {"threads": 1, "rounds": 2, "seconds": 0.2, "cold": False}


def losses(**of):
    return {name: {"losses": values} for name, values in of.items()}


def test_who_takes_part():
    assert contestants_of("xor") == ["plain", "compiled", "pytorch", "torch-compile", "jax"]
    assert "channels-last" in contestants_of("lenet")
    assert contestants_of("alexnet")[-1] == "tensorflow"
    assert contestants_of("lenet", ["jax", "plain"]) == ["plain", "jax"]


def test_median_and_quartiles():
    found = spread([5.0, 1.0, 2.0, 3.0, 4.0])
    assert found == {"low": 2.0, "median": 3.0, "high": 4.0, "least": 1.0, "groups": 5}


def test_losses_are_compared_with_pytorch():
    results = losses(plain=[1.0, 0.50004], jax=[1.0, 0.5], pytorch=[1.0, 0.5])
    compare(results)
    assert results["plain"]["compared_with"] == "pytorch"
    assert results["plain"]["loss_difference"] == pytest.approx((8e-5, 8e-5))
    assert not any("differs" in found for found in results.values())
    assert "loss_difference" not in results["pytorch"]


@pytest.mark.parametrize(
    ("ours", "says"),
    [
        ([1.0, 0.5002] + [0.4] * 18, "loss of step 2 differs by 4e-04"),
        ([1.0, 0.5] + [0.4] * 17 + [0.405], "loss of step 20 differs by 1e-02"),
        ([1.0, float("nan")] + [0.4] * 18, "loss of step 2 differs by nan"),
    ],
)
def test_losses_that_differ(ours, says):
    results = losses(plain=ours, jax=[1.0, 0.5] + [0.4] * 18)
    compare(results)
    assert results["plain"]["differs"] == says


def test_a_small_difference_late_is_none():
    results = losses(plain=[1.0] * 5 + [0.4035], jax=[1.0] * 5 + [0.4])
    compare(results)
    assert "differs" not in results["plain"]


def test_nobody_to_compare_with():
    results = losses(plain=[1.0]) | {"jax": {"left_out": "not installed"}}
    compare(results)
    assert results["plain"] == {"losses": [1.0], "compared_with": "plain"}


def test_each_round_begins_with_another():
    assert [module._turned(["a", "b", "c"], n) for n in (0, 1, 3)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["a", "b", "c"],
    ]


def test_a_race_of_one(monkeypatch):
    monkeypatch.setitem(module.LIBRARIES, "jax", ("no_such_library", "jax"))
    told = []
    found = race(Plan("xor", ["plain", "jax"], **FAST), told.append)
    assert (found["network"], found["batch"], found["flops"]) == ("xor", 4, 112)
    plain = found["contestants"]["plain"]
    assert len(plain["losses"]) == 20 and plain["losses"][-1] < plain["losses"][0]
    for what in ("train", "inference 1", "inference 4"):
        assert 0 < plain[what]["low"] <= plain[what]["median"] <= plain[what]["high"] < 1
    assert plain["bytes"] > 10 << 20 and "first_cold" not in plain
    assert found["contestants"]["jax"] == {"left_out": "not installed: pip install jax"}
    assert "Chainrule, plain loop: train, 2 of 2" in told


def test_cold_then_warm():
    plan = Plan("xor", ["plain"], **FAST | {"cold": True, "training": False, "inference": False})
    plain = race(plan)["contestants"]["plain"]
    assert plain["first_cold"] > 0 and plain["first_warm"] > 0


def test_a_process_that_ends_is_left_out_and_says_why(monkeypatch):
    monkeypatch.setitem(module.LIBRARIES, "pytorch", ("chainrule", "torch"))
    monkeypatch.setattr(module, "START", "raise SystemExit('no room for all of it')")
    found = race(Plan("xor", ["pytorch"], **FAST))
    reason = found["contestants"]["pytorch"]["left_out"]
    assert reason == "its process ended: no room for all of it"


class Pretended:
    """A process that answers until it breaks."""

    def __init__(self, breaks_at=99, idle=0.0):
        self.asked, self.breaks_at, self.idle = [], breaks_at, idle

    def ask(self, order, **settings):
        self.asked.append(order)
        if len(self.asked) == self.breaks_at:
            raise LeftOutError("MemoryError: gone")
        return {"times": [0.5, 1.5], "idle": self.idle}


def test_who_breaks_off_keeps_nobody_from_going_on():
    course = _Course(Plan("xor", ["plain", "jax"], rounds=3), lambda what: None)
    course.running = {"plain": Pretended(), "jax": Pretended(breaks_at=2)}
    course.results = {"plain": {}, "jax": {}}
    course.rounds("train", 1.0)
    assert course.results["jax"] == {"broke_off": "MemoryError: gone"}
    plain = course.results["plain"]["train"]
    assert (plain["median"], plain["groups"]) == (1.0, 6)
    assert list(course.running) == ["plain"]


def test_what_waiting_costs_is_told():
    course = _Course(Plan("xor", ["plain"], rounds=2), lambda what: None)
    course.running, course.results = {"plain": Pretended(idle=1.0)}, {"plain": {}}
    course.rounds("train", 1.0)
    assert course.results["plain"]["train"]["idle"] > 1


def test_a_peer_runs_without_our_memory():
    program = module.START.partition("from chainrule.bench")[0]
    program += "import chainrule.bench.worker; print('chainrule.tensor' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n"
