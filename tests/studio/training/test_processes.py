import sys
import time

import pytest

from chainrule.errors import UsageError
from chainrule.studio.training import processes as module
from chainrule.studio.training.processes import BusyError, Training, systems
from chainrule.systems import SYSTEMS

WAITS = "import time\nprint('begun', file=sys.stderr, flush=True)\ntime.sleep(60)"


@pytest.fixture
def training():
    training = Training()
    yield training
    training.stop()


@pytest.fixture
def pretend(monkeypatch):
    """pretend(program): a training runs this instead."""

    def pretend(program):
        program = f"import sys\n{program}"
        monkeypatch.setattr(module, "COMMAND", (sys.executable, "-c", program))

    return pretend


def wait_until(true):
    for _ in range(1000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("ten seconds were not enough")


def has_begun(training):
    wait_until(lambda: training.state([])["lines"])


def has_ended(training):
    wait_until(lambda: training.state([])["state"] != "running")


def test_systems_are_those_of_the_command_line():
    found = {system["name"]: system for system in systems()}
    assert list(found) == list(SYSTEMS)
    assert found["lenet"]["parameters"] == 61706 and found["lenet"]["data"] == ["digits", "mnist"]
    assert found["logistic"]["data"] == [] and found["logistic"]["time"] is None


def test_at_first_nothing_is_trained(training):
    state = training.state([])
    assert (state["state"], state["run"], state["lines"]) == ("idle", None, [])


def test_a_system_is_computed_as_the_command_line_does(training):
    training.start("logistic")
    has_ended(training)
    state = training.state([])
    assert (state["state"], state["system"], state["run"]) == ("finished", "logistic", None)
    assert state["result"]["figures"] and all(f["holds"] for f in state["result"]["figures"])


def test_an_unknown_system_is_told_the_nearest(training):
    with pytest.raises(UsageError, match="Did you mean lenet"):
        training.start("lent")
    assert training.state([])["state"] == "idle"


def test_one_at_a_time(training, pretend):
    pretend(WAITS)
    training.start("xor")
    with pytest.raises(BusyError, match="xor runs, and one thing runs at a time"):
        training.start("lenet")


def test_its_run_is_found_by_its_process(training, pretend):
    pretend(WAITS)
    training.start("xor")
    own = training._process.pid
    runs = [{"name": "mlp-001", "process": None}, {"name": "xor-007", "process": own}]
    assert training.state(runs)["run"] == "xor-007"
    assert training.state(runs[:1])["run"] is None


def test_its_result_names_its_run(training, pretend):
    pretend("import json; print(json.dumps({'run': 'runs/xor-003', 'seconds': 2, 'table': [1]}))")
    training.start("xor")
    has_ended(training)
    state = training.state([])
    assert (state["run"], state["result"]) == ("xor-003", {"run": "runs/xor-003", "seconds": 2})


def test_an_error_is_told_with_its_last_lines(training, pretend):
    pretend("for n in range(50): print('line', n, file=sys.stderr)\nsys.exit('[data] got none.')")
    training.start("xor")
    has_ended(training)
    state = training.state([])
    assert state["state"] == "failed"
    assert state["lines"][-2:] == ["line 49", "[data] got none."]
    assert len(state["lines"]) == module.LINES


def test_it_reads_nothing_of_the_terminal(training, pretend):
    pretend("sys.exit(repr(sys.stdin.read()))")
    training.start("xor")
    has_ended(training)
    assert training.state([])["lines"] == ["''"]


def test_the_end_is_that_of_ctrl_c(training, pretend):
    pretend(
        "import time\nprint('begun', file=sys.stderr, flush=True)\n"
        "try: time.sleep(60)\n"
        "except KeyboardInterrupt: print('kept', file=sys.stderr); sys.exit(130)"
    )
    training.start("xor")
    has_begun(training)
    training.stop()
    state = training.state([])
    assert (state["state"], state["lines"]) == ("interrupted", ["begun", "kept"])
    with pytest.raises(BusyError, match="ending"):
        training.start("xor")


def test_who_does_not_end_is_killed(training, pretend, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    pretend(f"import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{WAITS}")
    training.start("xor")
    has_begun(training)
    training.stop()
    assert training.state([])["state"] == "failed"
