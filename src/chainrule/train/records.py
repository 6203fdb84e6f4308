"""The folder of a recorded training: written step by step, read while it grows.

    statistics.sqlite          a row of figures for each step
    batch-000012.safetensors   step 12 as it was trained: graph, values, error signals
    probe-000012.safetensors   before it, fixed validation samples, in evaluation mode

A file is whole or not there; what is read of a folder is what was complete at that moment.
"""

from __future__ import annotations

import json
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import CheckpointError, DataError, IndexRangeError, message
from chainrule.files import write_atomically
from chainrule.tape import Tape, tape_of
from chainrule.train.checkpoint import load, serialized

__all__ = ["KINDS", "Records", "Rows", "Writer"]

SCHEMA = 1  # of the files, kept in the database's user_version
KINDS = ("batch", "probe")
PAUSE = 0.5  # seconds between two writes of rows
BEHIND = 4  # files that wait to be written before the training waits for them


class Rows:
    """Figures of steps: ``steps``, ``epochs`` and ``losses`` i64/f64[n], ``values`` f32[n, names].

    ``names`` says what each column is: ("conv1.weight", "gradient").  A step without one is NaN.
    """

    def __init__(self, names: list[tuple[str, str]], rows: Sequence[tuple[Any, ...]]) -> None:
        self.names = names
        self.steps = np.array([row[0] for row in rows], np.int64)
        self.epochs = np.array([row[1] for row in rows], np.int64)
        self.losses = np.array([row[2] for row in rows], np.float64)
        self.values = np.full((len(rows), len(names)), np.nan, np.float32)
        for k, row in enumerate(rows):
            found = np.frombuffer(row[3], "<f4")
            self.values[k, : len(found)] = found

    def __len__(self) -> int:
        return len(self.steps)


class Records:
    """What was recorded of a training, in its run's folder: ``cr.open_run("last").records``.

    >>> Records("runs/lenet-001/record").steps()
    []
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = Path(folder)

    def __bool__(self) -> bool:
        return self._database.exists()

    @property
    def _database(self) -> Path:
        return self.folder / "statistics.sqlite"

    def steps(self, kind: str = "batch") -> list[int]:
        """The numbers of the steps that are kept, in order; kind: "batch" or "probe"."""
        return sorted(int(path.stem.rpartition("-")[2]) for path in self.folder.glob(f"{kind}-*"))

    def path(self, step: int, kind: str = "batch") -> Path:
        """The file of a step."""
        return self.folder / f"{kind}-{step:06}.safetensors"

    def read(self, step: int, kind: str = "batch") -> dict[str, Any]:
        """All that is kept of a step.

        Raises IndexRangeError where it is not kept, CheckpointError where its file is damaged.
        """
        path = self.path(step, kind)
        if not path.exists():
            kept = ", ".join(map(str, self.steps(kind))) or "none"
            raise IndexRangeError(message("record", f"{kind} of step {step}", f"one of {kept}"))
        found = load(path)
        if not isinstance(found, dict) or found.get("format") != SCHEMA:
            raise CheckpointError(message("record", str(path), f"a record of format {SCHEMA}"))
        return found

    def tape(self, step: int, kind: str = "batch") -> Tape:
        """The step as the tape that ``cr.record()`` gave."""
        return tape_of(self.read(step, kind))

    def begun(self) -> str:
        """A word for the training that wrote last; with another one, rows may have changed."""
        if not self:
            return ""
        with _opened(self._database, "ro") as database:
            return _meta(database, "begun") or ""

    def note(self, name: str) -> Any:
        """What was noted of the whole training under a name; ``None`` if nothing was."""
        if not self:
            return None
        with _opened(self._database, "ro") as database:
            return json.loads(_meta(database, name) or "null")

    def statistics(self, since: int = 0) -> Rows:
        """The figures of the steps from ``since`` on, as far as they are written."""
        if not self:
            return Rows([], [])
        with _opened(self._database, "ro") as database:
            names = [tuple(pair) for pair in json.loads(_meta(database, "names") or "[]")]
            query = "SELECT step, epoch, loss, figures FROM steps WHERE step >= ? ORDER BY step"
            return Rows(names, database.execute(query, (since,)).fetchall())


class Writer:
    """Writes a folder of records from a thread of its own.

    ``sizes`` has the bytes of each step that is kept; ``failure`` what went wrong, after which
    nothing more is written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        """``step``: where the training begins; what was recorded from there on is given up."""
        self.records, self.failure = Records(folder), None
        self.sizes: dict[int, int] = {}
        self.seconds = 0.0  # of work on kept steps; waiting for the disk or for a core is none
        self._rows: list[tuple[Any, ...]] = []
        self._names: Sequence[Sequence[tuple[str, str]]] = ()
        self._flushed = time.monotonic()
        self._jobs: queue.Queue[Any] = queue.Queue(BEHIND)
        with _named_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._begin(step)
        self._thread = threading.Thread(target=self._work, name="chainrule-record", daemon=True)
        self._thread.start()

    def _begin(self, step: int) -> None:
        records = self.records
        with _opened(records._database, "rwc") as database:
            database.execute("PRAGMA journal_mode=WAL")  # readers never wait, nor do they block
            with database:
                columns = "step INTEGER PRIMARY KEY, epoch INTEGER, loss REAL, figures BLOB"
                database.execute(f"CREATE TABLE IF NOT EXISTS steps ({columns})")
                pair = "name TEXT PRIMARY KEY, value TEXT"
                database.execute(f"CREATE TABLE IF NOT EXISTS meta ({pair})")
                database.execute("DELETE FROM steps WHERE step >= ?", (step,))
                # Rows may come again with other numbers from here on: who has read them sees it.
                begun = f"{step} {time.time_ns()}"
                database.execute("INSERT OR REPLACE INTO meta VALUES ('begun', ?)", (begun,))
                database.execute(f"PRAGMA user_version={SCHEMA}")
        for kind in KINDS:
            for kept in records.steps(kind):
                if kept >= step:
                    records.path(kept, kind).unlink()
                else:
                    self._count(kept, records.path(kept, kind))

    def _count(self, step: int, path: Path) -> None:
        self.sizes[step] = self.sizes.get(step, 0) + path.stat().st_size

    def add_row(
        self,
        step: int,
        epoch: int,
        loss: float,
        names: Sequence[Sequence[tuple[str, str]]],
        figures: Sequence[Sequence[float] | np.ndarray],
    ) -> None:
        """Add the figures of a step, in parts; they are written with those of its neighbours.

        What can be done later is done by the thread that writes: the training waits here.
        """
        self._rows.append((step, epoch, loss, figures))
        self._names = names
        if time.monotonic() - self._flushed > PAUSE:
            self.flush()

    def flush(self) -> None:
        """Let the figures that were added be written, now."""
        rows, self._rows, self._flushed = self._rows, [], time.monotonic()
        if rows:
            self._put(("rows", self._names, rows))

    def note(self, name: str, find: Callable[[], Any]) -> None:
        """Write down what ``find`` gives, as JSON; it is called by the thread that writes."""
        self._put(("note", name, find))

    def keep(self, step: int, kind: str, found: dict[str, Any]) -> None:
        """Write a step's file."""
        self._put(("file", step, kind, found | {"format": SCHEMA}))

    def give_up(self, step: int) -> None:
        """Remove a step's files."""
        self.sizes.pop(step, None)
        self._put(("remove", step))

    def close(self) -> None:
        """Wait until all is written, or given up."""
        self.flush()
        self._jobs.put(None)
        self._thread.join()

    def _put(self, job: Any) -> None:
        if self.failure is None:
            self._jobs.put(job)

    def _work(self) -> None:
        try:
            with _opened(self.records._database, "rw") as database:
                database.execute("PRAGMA synchronous=NORMAL")  # whole, if not to the last row
                while (job := self._jobs.get()) is not None:
                    begun = time.thread_time()
                    self._do(database, *job)
                    if job[0] != "rows":
                        self.seconds += time.thread_time() - begun
        except Exception as error:
            self.failure = error
            while self._jobs.get() is not None:  # who waits for a place in the queue gets one
                pass

    def _do(self, database: sqlite3.Connection, what: str, *rest: Any) -> None:
        records = self.records
        if what == "rows":
            names, rows = rest
            packed = [(*row, np.concatenate(parts, dtype="<f4").tobytes()) for *row, parts in rows]
            with database:
                _put_meta(database, "names", [*chain(*names)])
                database.executemany("INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?)", packed)
        elif what == "note":
            name, find = rest
            with database:
                _put_meta(database, name, find())
        elif what == "file":
            step, kind, found = rest
            path = records.path(step, kind)
            write_atomically(path, serialized(found), "record", durable=False)
            self._count(step, path)
        else:
            for kind in KINDS:
                records.path(rest[0], kind).unlink(missing_ok=True)
            self.sizes.pop(rest[0], None)


def _put_meta(database: sqlite3.Connection, name: str, value: Any) -> None:
    database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, json.dumps(value)))


def _meta(database: sqlite3.Connection, name: str) -> str | None:
    row = database.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    with _named_errors(path):
        file = f"{path.absolute().as_uri()}?mode={mode}"
        with closing(sqlite3.connect(file, timeout=30, uri=True)) as database:
            (found,) = database.execute("PRAGMA user_version").fetchone()
            if found not in (SCHEMA, *([0] if mode == "rwc" else [])):
                needs = f"format {SCHEMA}"
                raise DataError(message("record", f"{path} of format {found}", needs))
            yield database


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        needs = "a sound file and room on the disk"
        raise DataError(
            message("record", f"{path}, which can't be used ({error})", needs)
        ) from error
