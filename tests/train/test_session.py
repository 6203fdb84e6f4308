"""A run that is killed anywhere and resumed is the run that was never interrupted."""

import os
import random as dice
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from chainrule import nn, optim
from chainrule.data import DataLoader, TensorDataset
from chainrule.errors import CheckpointError, DataError, UsageError
from chainrule.systems import Parts, Recipe
from chainrule.train.callbacks import Callback
from chainrule.train.checkpoint import load
from chainrule.train.metrics import accuracy
from chainrule.train.runs import Run
from chainrule.train.session import Choices, Session

X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Toy(Recipe):
    """A small network on 40 points: shuffled, with momentum and a schedule over the training."""

    data: str = "points"
    shift: float = 0.0

    def parts(self, data_dir: str | None = None) -> Parts:
        data = TensorDataset(X + np.float32(self.shift), (X[:, 0] > 0).astype(np.int64))
        loader = DataLoader(data, self.batch_size, shuffle=True)
        return Parts(loader, validation=DataLoader(data, 40, shuffle=True))


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
    metrics=(accuracy,),
)
CHOICES = Choices("toy", "points", seed=3, every=2)


class Slow(Callback):
    """A pause after each step, so that a kill meets every place."""

    def on_batch_end(self, trainer: Any, batch: int, batches: int | None) -> None:
        time.sleep(0.003)


def everything(run: Run) -> dict[str, Any]:
    """All that a run came to, but the time that it took."""
    kept = load(run.checkpoint)
    training = kept["training"]
    training["callbacks"] = [kept for kept in training["callbacks"] if kept[1]]  # not a test's own
    for logs in training["history"]:
        logs.pop("seconds")
    figures = run.figures()
    for logs in figures:
        logs.pop("seconds")
    bits = {name: x.numpy().tobytes() for name, x in kept.pop("model").items()}
    return {"model": bits, "kept": repr(kept), "figures": figures}


@pytest.fixture
def whole(tmp_path):
    """An uninterrupted run."""
    session = Session.begin(TOY, CHOICES, str(tmp_path / "whole"))
    session.fit()
    session.run.release()
    return session.run


def killed_and_resumed(folder: str, kills: int) -> int:
    """Train in forked children, each killed at a random moment, until one comes to the end."""
    Session.begin(TOY, CHOICES, folder).run.release()
    chance = dice.Random(1)
    for kill in range(kills + 1):
        child = os.fork()
        if not child:
            Session.resume(Run(folder), TOY).fit([Slow()])
            os._exit(0)
        if kill < kills:
            time.sleep(chance.uniform(0.001, 0.05))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            return kill
    return kills


def test_an_extended_run_has_no_result_any_more_until_it_ends(whole):
    whole.write_config(whole.config | {"result": {"figures": []}})
    Session.resume(whole, TOY).run.release()
    assert "result" in whole.config
    session = Session.resume(whole, TOY, epochs=TOY.epochs + 1)
    assert "result" not in whole.config and whole.config["epochs"] == TOY.epochs + 1
    session.run.release()


@pytest.mark.skipif(sys.platform == "win32", reason="fork and kill -9 are POSIX")
def test_twenty_random_kills_change_no_bit(tmp_path, whole):
    """Several runs, each killed and resumed until it is over, until there were twenty kills."""
    command = [sys.executable, __file__, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    runs = sorted(tmp_path.glob("killed-*"))
    assert int(done.stdout) >= 20
    wanted = everything(whole)
    for run in runs:
        assert everything(Run(run)) == wanted


class StopsAt(Callback):
    """Ends the process of thought after so many steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_batch_end(self, trainer: Any, batch: int, batches: int | None) -> None:
        if trainer.place.step == self.step:
            raise InterruptedError


@pytest.mark.parametrize("step", [1, 2, 4, 5, 6, 13, 20])
def test_an_error_after_any_step(tmp_path, whole, step):
    session = Session.begin(TOY, CHOICES, str(tmp_path / "broken"))
    with pytest.raises(InterruptedError):
        session.fit([StopsAt(step)])
    session.run.release()
    resumed = Session.resume(Run(session.run.folder), TOY)
    assert resumed.notes == []
    resumed.fit()
    assert resumed.finished
    assert everything(resumed.run) == everything(whole)


class Interrupts(Callback):
    """Ctrl-C in a step, or in the evaluation of an epoch."""

    def __init__(self, moment: str, at: int, times: int = 1) -> None:
        self.moment, self.at, self.times = moment, at, times

    def on_step_begin(self, trainer: Any) -> None:
        if self.moment == "step" and trainer.place.step == self.at:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)

    def on_batch_end(self, trainer: Any, batch: int, batches: int | None) -> None:
        if self.moment == "evaluation" and trainer.place.step == self.at:
            loss = trainer.loss

            def interrupted(outputs: Any, targets: Any) -> Any:
                trainer.loss = loss
                if trainer.evaluating:
                    signal.raise_signal(signal.SIGINT)
                return loss(outputs, targets)

            trainer.loss = interrupted


@pytest.mark.parametrize(("moment", "at"), [("step", 7), ("evaluation", 10), ("evaluation", 20)])
def test_ctrl_c_keeps_the_step_that_ran(tmp_path, whole, moment, at):
    choices = replace(CHOICES, every=1000)
    session = Session.begin(TOY, choices, str(tmp_path / "stopped"))
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        session.fit([Interrupts(moment, at)])
    assert signal.getsignal(signal.SIGINT) is before
    assert load(session.run.checkpoint)["step"] == (at + 1 if moment == "step" else at)
    session.run.release()
    resumed = Session.resume(Run(session.run.folder), TOY, every=2)
    resumed.fit()
    assert everything(resumed.run) == everything(whole)


def test_the_second_ctrl_c_ends_at_once_with_the_checkpoint_before(tmp_path, whole):
    session = Session.begin(TOY, CHOICES, str(tmp_path / "stopped"))
    with pytest.raises(KeyboardInterrupt):
        session.fit([Interrupts("step", 7, times=2)])
    assert load(session.run.checkpoint)["step"] == 6
    session.run.release()
    resumed = Session.resume(Run(session.run.folder), TOY)
    resumed.fit()
    assert everything(resumed.run) == everything(whole)


def test_a_full_disk_in_the_middle_of_an_epoch(tmp_path, whole, monkeypatch):
    session = Session.begin(TOY, CHOICES, str(tmp_path / "full"))
    written = []

    def no_space(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) > 9:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(CheckpointError, match=r"No space left.*What was there before is whole"):
        session.fit()
    monkeypatch.undo()
    session.run.release()
    assert 0 < load(session.run.checkpoint)["step"] < 20
    resumed = Session.resume(Run(session.run.folder), TOY)
    resumed.fit()
    assert everything(resumed.run) == everything(whole)


def test_a_run_in_use_is_not_resumed(whole):
    whole.claim()
    with pytest.raises(UsageError, match="in use by process"):
        Session.resume(Run(whole.folder), TOY)


def test_more_epochs_and_never_fewer(whole):
    session = Session.resume(Run(whole.folder), TOY, epochs=6)
    session.fit()
    session.run.release()
    assert len(session.run.figures()) == 6 and Run(whole.folder).config["epochs"] == 6
    with pytest.raises(UsageError, match=r"--epochs 5, of a run of 6, needs as many or more"):
        Session.resume(Run(whole.folder), TOY, epochs=5)


def test_figures_of_another_release_are_told_before_any_step(whole):
    with closing(sqlite3.connect(whole.metrics_file)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(DataError, match=r"metrics\.sqlite of version 99, needs version 1"):
        Session.resume(Run(whole.folder), TOY, epochs=6)
    assert whole.config["epochs"] == 4


def test_what_has_changed_since_is_told(whole):
    config = whole.config
    config["versions"]["chainrule"] = "0.0.1"
    whole.write_config(config)
    changed = replace(TOY, shift=1.0, loss=nn.MSELoss())
    notes = Session.resume(Run(whole.folder), changed).notes
    assert notes[0].startswith("the run began with chainrule 0.0.1, now ")
    assert "the train data are not those the run began with (40 samples then)" in notes
    assert "the recipe's loss has changed since the run began" in notes


if __name__ == "__main__":
    total = number = 0
    while total < 20:
        number += 1
        total += killed_and_resumed(f"{sys.argv[1]}/killed-{number:02}", 20 - total)
    print(total)
