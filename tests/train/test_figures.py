import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from chainrule.errors import DataError
from chainrule.train.figures import Figures
from chainrule.train.runs import Run


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_figures_come_back_epoch_by_epoch():
    run = Run.create("lenet", {})
    run.add_figures(1, {"loss": 2.5, "accuracy": 0.5})
    run.add_figures(2, {"loss": 1.5, "accuracy": 0.75})
    assert run.figures() == [{"loss": 2.5, "accuracy": 0.5}, {"loss": 1.5, "accuracy": 0.75}]
    run.add_figures(2, {"loss": 1.25, "accuracy": 1.0})  # an epoch that was trained again
    assert run.figures()[1] == {"loss": 1.25, "accuracy": 1.0}


def test_the_file_is_opened_once_while_a_run_is_trained(monkeypatch):
    run, opened, connect = Run.create("lenet", {}), [], sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: opened.append(a) or connect(*a, **k))
    for epoch in range(1, 6):
        run.add_figures(epoch, {"loss": 1 / epoch})
    assert len(opened) == 1
    run.release()
    assert not list(run.folder.glob("metrics.sqlite-*"))  # closed: all is in the one file
    run.add_figures(6, {"loss": 0.0})
    assert len(opened) == 2 and len(run.figures()) == 6


def test_figures_are_readable_while_they_are_written():
    run = Run.create("lenet", {})
    run.add_figures(1, {"loss": 1.0})
    with closing(sqlite3.connect(run.metrics_file)) as other, other:
        other.execute("INSERT INTO figures VALUES (2, 'loss', 0.5)")
        assert Run(run.folder).figures() == [{"loss": 1.0}]
    assert len(Run(run.folder).figures()) == 2


def test_an_epoch_is_added_whole_or_not_at_all():
    run = Run.create("lenet", {})
    with pytest.raises(DataError, match=r"metrics\.sqlite, which can't be used"):
        run.add_figures(1, {"loss": 1.0, "accuracy": object()})  # type: ignore[dict-item]
    assert run.figures() == []
    run.add_figures(1, {"loss": 1.0})
    assert run.figures() == [{"loss": 1.0}]


KILLED = """
import os, signal
from chainrule.train.runs import Run
run = Run.create("lenet", {})
for epoch in range(1, 4):
    run.add_figures(epoch, {"loss": 1 / epoch})
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
def test_what_was_added_outlives_kill_9():
    done = subprocess.run([sys.executable, "-c", KILLED], check=False)
    assert done.returncode == -signal.SIGKILL
    run = Run("runs/lenet-001")
    assert run.figures() == [{"loss": 1.0}, {"loss": 1 / 2}, {"loss": 1 / 3}]
    run.add_figures(4, {"loss": 0.25})
    assert len(run.figures()) == 4


def test_damaged_figures():
    run = Run.create("lenet", {})
    run.metrics_file.write_bytes(b"no database " * 100)
    with pytest.raises(DataError, match=r"metrics\.sqlite, which can't be used"):
        run.add_figures(1, {"loss": 1.0})


def test_figures_of_another_version_are_refused_and_left_alone():
    run = Run.create("lenet", {})
    for version, why in ((7, "Another release"), (0, "It is no metrics database")):
        with closing(sqlite3.connect(run.metrics_file)) as database:
            database.execute(f"PRAGMA user_version={version}")
        with pytest.raises(DataError, match=rf"of version {version}, needs version 1\. {why}"):
            run.figures()
        with pytest.raises(DataError, match=f"of version {version}"):
            run.add_figures(1, {"loss": 1.0})


def test_missing_figures_are_an_error_and_no_new_file(tmp_path):
    with pytest.raises(DataError, match="unable to open"):
        Figures(tmp_path / "metrics.sqlite")
    assert list(tmp_path.iterdir()) == []
