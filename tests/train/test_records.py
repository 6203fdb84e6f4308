"""The folder of a recorded training: read while it is written, damaged, of another release."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import CheckpointError, DataError, IndexRangeError
from chainrule.tape import kept_step
from chainrule.train.records import Records, Writer

NAMES = [("w", "value"), ("w", "gradient")]


def step():
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    w.name = "w"
    with cr.record() as tape:
        (w * w).sum().backward()
    return kept_step(tape)


def test_what_is_written_is_read(tmp_path):
    writer, records = Writer(tmp_path / "record", 0), Records(tmp_path / "record")
    for k in range(5):
        writer.add_row(k, k // 2, 0.5 * k, [NAMES], [np.array([k, -k], np.float32)])
        writer.keep(k, "batch", step())
    writer.keep(3, "probe", step())
    writer.give_up(2)
    writer.close()
    assert writer.failure is None
    assert (records.steps(), records.steps("probe")) == ([0, 1, 3, 4], [3])
    assert writer.sizes.keys() == {0, 1, 3, 4}
    rows = records.statistics()
    assert rows.names == NAMES and rows.values.tolist() == [[k, -k] for k in range(5)]
    assert rows.losses.tolist() == [0, 0.5, 1, 1.5, 2] and rows.epochs.tolist() == [0, 0, 1, 1, 2]
    assert records.statistics(since=3).steps.tolist() == [3, 4]
    assert records.tape(3, "probe")["w"].bar.tolist() == [2, 4]


def test_it_is_read_while_it_is_written(tmp_path):
    writer, records = Writer(tmp_path / "record", 0), Records(tmp_path / "record")
    assert len(records.statistics()) == 0
    writer.add_row(0, 0, 1.0, [NAMES], [np.zeros(2, np.float32)])
    writer.flush()
    writer.keep(0, "batch", step())
    writer._jobs.put(("remove", 99))
    while not writer._jobs.empty() or not records.steps():
        assert writer.failure is None
    assert records.tape(0)["w"].value.tolist() == [1, 2]
    assert len(records.statistics()) == 1
    writer.close()


def test_nothing_recorded(tmp_path):
    records = Records(tmp_path / "record")
    assert not records and records.steps() == [] and len(records.statistics()) == 0
    with pytest.raises(IndexRangeError, match="batch of step 0, needs one of none"):
        records.tape(0)


def test_damaged_files(tmp_path):
    writer, records = Writer(tmp_path / "record", 0), Records(tmp_path / "record")
    writer.keep(0, "batch", step())
    writer.keep(1, "batch", step())
    writer.close()
    content = bytearray(records.path(0).read_bytes())
    content[-3] ^= 1
    records.path(0).write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        records.tape(0)
    cr.save({"format": 99}, records.path(1))
    with pytest.raises(CheckpointError, match="needs a record of format 1"):
        records.tape(1)
    with closing(sqlite3.connect(tmp_path / "record" / "statistics.sqlite")) as database:
        database.execute("PRAGMA user_version=7")
    with pytest.raises(DataError, match="of format 7, needs format 1"):
        records.statistics()
    with pytest.raises(DataError, match="of format 7"):
        Writer(tmp_path / "record", 0)
    (tmp_path / "record" / "statistics.sqlite").write_bytes(b"no database at all" * 99)
    with pytest.raises(DataError, match="can't be used"):
        records.statistics()


def test_a_folder_that_can_t_be_made(tmp_path):
    (tmp_path / "record").write_text("a file")
    with pytest.raises(DataError, match="can't be used"):
        Writer(tmp_path / "record", 0)


def test_a_writer_that_has_failed_can_be_closed(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise DataError("no room")

    monkeypatch.setattr("chainrule.train.records.write_atomically", full)
    writer = Writer(tmp_path / "record", 0)
    for k in range(9):  # more than may wait
        writer.keep(k, "batch", step())
    writer.close()
    assert "no room" in str(writer.failure) and not writer._thread.is_alive()


def test_what_came_after_the_place_is_given_up(tmp_path):
    writer = Writer(tmp_path / "record", 0)
    for k in range(4):
        writer.add_row(k, 0, 0.0, [NAMES], [np.zeros(2, np.float32)])
        writer.keep(k, "batch", step())
    writer.close()
    again, records = Writer(tmp_path / "record", 2), Records(tmp_path / "record")
    again.close()
    assert records.steps() == records.statistics().steps.tolist() == [0, 1]
    assert again.sizes.keys() == {0, 1}
