"""What a training does with commands, and that no bit is lost by them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from chainrule import nn, optim
from chainrule.data import DataLoader, TensorDataset
from chainrule.errors import DataError, UsageError
from chainrule.systems import Parts, Recipe
from chainrule.train import control as module
from chainrule.train.callbacks import Callback
from chainrule.train.control import RateChange, ask, rate_changes, read_place
from chainrule.train.runs import Run
from chainrule.train.session import Choices, Session

X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Toy(Recipe):
    data: str = "points"

    def parts(self, data_dir=None):
        data = TensorDataset(X, (X[:, 0] > 0).astype(np.int64))
        return Parts(DataLoader(data, self.batch_size, shuffle=True))


TOY = Toy(
    model="mlp",
    config={"sizes": [4, 8, 2]},
    loss=nn.CrossEntropyLoss(),
    optimizer=lambda parameters, lr: optim.Adam(parameters, lr=lr),
    lr=0.05,
    schedule=lambda progress: 1 - progress / 2,
    epochs=4,
    batch_size=8,
    parameters=58,
    time="",
)
CHOICES = Choices("toy", "points", seed=3)
STEPS = TOY.epochs * 5


@pytest.fixture(autouse=True)
def every_step(monkeypatch):
    """Look after each step, and say each time what there is to say."""
    monkeypatch.setattr(module, "LOOK", 0.0)
    monkeypatch.setattr(module, "TELL", 0.0)
    monkeypatch.setattr(module, "WAIT", 0.005)


@pytest.fixture
def begin(tmp_path):
    """begin(name): a session in a new folder."""

    def begin(name="run", recipe=TOY, **choices):
        return Session.begin(recipe, replace(CHOICES, **choices), str(tmp_path / name))

    return begin


class At(Callback):
    """Does something after a step, before the training looks for commands."""

    def __init__(self, **doing):
        self.doing = {int(step.removeprefix("step")): do for step, do in doing.items()}
        self.seen, self.paused, self.singles = [], [], []

    def on_step_begin(self, trainer):
        self.seen.append((trainer.place.step, trainer.optimizer.param_groups[0]["lr"]))
        self.singles.append(trainer.single)

    def on_batch_end(self, trainer, batch, batches):
        self.doing.get(trainer.place.step, lambda: None)()

    def on_pause(self, trainer):
        self.paused.append(trainer.place.step)


def bits(session):
    """What the training came to."""
    return [p.numpy().tobytes() for p in session.model.state_dict().values()]


def command(session, do, rate=None):
    return lambda: ask(session.run.folder, session.control.session, do, rate)


def paused(session):
    """Wait until it says that it is paused; where."""
    for _ in range(2000):
        place = read_place(session.run.folder)
        if place and place["state"] == "paused":
            return place["step"]
        time.sleep(0.005)
    raise AssertionError("ten seconds were not enough")


@contextmanager
def beside(session, person):
    """What a person does meanwhile; if it goes wrong the training ends, and so does the test."""
    wrong = []

    def act():
        try:
            person()
        except BaseException as error:
            wrong.append(error)
            session.control.ended = True

    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        if wrong:
            raise wrong[0]


def test_nothing_asked_nothing_changed(begin):
    one = begin("one")
    one.fit()
    place = read_place(one.run.folder)
    assert (place["step"], place["steps"], place["state"]) == (STEPS, STEPS, "ended")
    assert place["process"] == os.getpid() and place["base_rate"] == TOY.lr
    assert rate_changes(one.run.folder) == [] and not (one.run.folder / "rates.json").exists()


def test_pause_single_steps_resume(begin):
    session = begin(record="steps=0")
    at = At()
    at.doing[3] = command(session, "pause")

    def person():
        assert paused(session) == 3
        command(session, "step")()
        kept = session.run  # its checkpoint: a kill would lose nothing
        while not (kept.checkpoint.exists() and kept.read_checkpoint()["step"] == 4):
            time.sleep(0.005)
        assert paused(session) == 4
        command(session, "resume")()

    with beside(session, person):
        session.fit([at])
    assert at.paused == [3, 4]
    assert [step for step, (single) in enumerate(at.singles) if single] == [3]
    assert [step for step, _ in at.seen] == list(range(STEPS))
    assert session.run.records.steps() == [0, 3]  # the single step was kept, to be looked at


def test_a_pause_moves_no_bit_and_no_second(begin):
    whole = begin("whole")
    whole.fit()
    session = begin("paused")
    at = At()
    at.doing[7] = command(session, "pause")

    def person():
        paused(session)
        time.sleep(0.5)
        command(session, "resume")()

    begun = time.monotonic()
    with beside(session, person):
        session.fit([at])
    counted = sum(logs["seconds"] for logs in session.run.figures())
    assert counted < time.monotonic() - begun - 0.5  # the pause is in no epoch's time
    assert bits(session) == bits(whole)


@pytest.mark.parametrize("schedule", [None, TOY.schedule])
def test_a_rate_acts_from_the_next_step_on_and_is_recorded(begin, schedule):
    session = begin(recipe=replace(TOY, schedule=schedule))
    at = At()
    at.doing[6] = command(session, "rate", 0.01)
    session.fit([at])
    factor = schedule or (lambda progress: 1)
    wanted = [(0.05 if step < 6 else 0.01) * factor(step / STEPS) for step in range(STEPS)]
    assert [rate for _, rate in at.seen] == wanted
    (change,) = rate_changes(session.run.folder)
    assert (change.step, change.rates, change.before) == (6, [0.01], [0.05])


@pytest.mark.parametrize("schedule", [None, TOY.schedule])
@pytest.mark.parametrize("kept", [5, 6, 8])
def test_a_resumed_training_comes_to_the_change_again(begin, schedule, kept):
    """Whether its checkpoint is older than the change, of the same step, or younger."""
    recipe = replace(TOY, schedule=schedule)

    def fit(session, more):
        at = At(**more)
        at.doing[6] = command(session, "rate", 0.01)
        return session.fit([at])

    whole = begin("whole", recipe)
    fit(whole, {})
    session = begin("killed", recipe, every=kept)

    def end():
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fit(session, {"step9": end})
    session.run.release()
    assert session.run.read_checkpoint()["step"] == kept
    resumed = Session.resume(session.run, recipe)
    resumed.fit()
    assert bits(resumed) == bits(whole)


def test_a_new_change_replaces_those_of_a_future_that_is_given_up(begin):
    session = begin()
    text = json.dumps([asdict(RateChange(9, [0.5], [0.05], ""))])
    (session.run.folder / "rates.json").write_text(text)
    at = At()
    at.doing[4] = command(session, "rate", 0.01)
    session.fit([at])
    assert [change.step for change in rate_changes(session.run.folder)] == [4]
    assert {rate for step, rate in at.seen if step == 10} == {0.01 * TOY.schedule(10 / STEPS)}


def test_stop_keeps_the_step_and_the_run_goes_on_to_the_same_bits(begin):
    whole = begin("whole")
    whole.fit()
    session = begin("stopped", every=1000)
    at = At()
    at.doing[8] = command(session, "stop")
    with pytest.raises(KeyboardInterrupt):
        session.fit([at])
    session.run.release()
    assert session.run.read_checkpoint()["step"] == 8
    again = Session.resume(session.run, TOY)
    again.fit()
    assert bits(again) == bits(whole)


def test_what_was_meant_for_another_process_is_not_obeyed(begin):
    session = begin()
    folder = session.run.folder
    (folder / "control").mkdir()
    ask(folder, "of before", "stop")
    at = At(step3=lambda: ask(folder, "of another", "stop"))
    session.fit([at])  # to its end
    assert len(at.seen) == STEPS and list((folder / "control").iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, '"stop"', "null", '{"do": "stop"}', "\xff", "1e999"]
)
def test_a_damaged_command_is_removed(begin, text):
    session = begin()
    path = session.run.folder / "control" / "0.json"
    session.fit([At(step3=lambda: path.write_text(text, encoding="latin-1"))])
    assert not path.exists()


@pytest.mark.parametrize("rate", [0, -1, "0.1", True, None, float("nan"), 10**400, [1]])
def test_a_rate_that_is_none_is_refused(begin, rate):
    session = begin()

    def write():
        command = {"session": session.control.session, "do": "rate", "rate": rate}
        (session.run.folder / "control" / "0.json").write_text(json.dumps(command))

    at = At(step3=write)
    session.fit([at])
    assert at.seen[5][1] == 0.05 * TOY.schedule(5 / STEPS)
    with pytest.raises(UsageError, match="needs a number above 0"):
        ask(session.run.folder, "a", "rate", rate)


def test_the_folder_may_go(begin):
    session = begin()
    session.fit([At(step3=lambda: (session.run.folder / "control").rmdir())])
    assert read_place(session.run.folder)["step"] == STEPS


@pytest.mark.parametrize("text", ["{", "[]", "[1]", '{"step": 1}', "\xff"])
def test_a_damaged_place_is_none(tmp_path, text):
    (tmp_path / "place.json").write_text(text, encoding="latin-1")
    assert read_place(tmp_path) is None
    assert read_place(tmp_path / "nowhere") is None


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '[{"step": 1}]'])
def test_damaged_changes_are_an_error(begin, text):
    session = begin()
    (session.run.folder / "rates.json").write_text(text)
    if text == "{}":
        assert rate_changes(session.run.folder) == []
        return
    with pytest.raises(DataError, match=r"rates\.json, which is damaged"):
        session.fit()


@pytest.fixture
def waiting(tmp_path):
    """(process, its run), paused after step 3."""
    folder = tmp_path / "waiting"
    words = [sys.executable, __file__, str(folder)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        run = Run(folder)
        for _ in range(2000):
            place = read_place(folder)
            if place and place["state"] == "paused":
                break
            time.sleep(0.01)
        yield process, run
        process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_ctrl_c_ends_a_pause(waiting):
    process, run = waiting
    step = read_place(run.folder)["step"]
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=20)[1]
    assert run.read_checkpoint()["step"] == step


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc counts")
def test_a_pause_takes_no_time_of_the_processor_and_a_kill_loses_nothing(waiting):
    process, run = waiting

    def ticks():
        text = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii")
        return sum(map(int, text.rpartition(")")[2].split()[11:13]))

    before = ticks()
    time.sleep(1)
    assert ticks() - before <= 5  # of a hundred
    process.kill()
    process.wait(20)
    asked = run.folder / "control" / "0.json"
    asked.write_text(json.dumps({"session": read_place(run.folder)["session"], "do": "stop"}))
    session = Session.resume(run, TOY)
    trainer = session.fit()
    assert trainer.place.step == STEPS and not asked.exists()


if __name__ == "__main__":  # a training that pauses itself after three steps
    waits = Session.begin(TOY, CHOICES, sys.argv[1])
    at = At()
    at.doing[3] = command(waits, "pause")
    waits.fit([at])
