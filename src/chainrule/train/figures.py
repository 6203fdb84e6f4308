"""The figures of a run, epoch by epoch, in an SQLite file that is readable while it is written."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chainrule.errors import DataError, message

__all__ = ["Figures"]

SCHEMA = 1  # of the database, kept in its user_version


class Figures:
    """The open file: figures(epoch, name, value).  ``new`` makes it; else it has to be there.

    It is opened once and stays open while a run is trained: opening it for each epoch took longer
    than a small network's epoch.  What was added outlives a kill -9 at once.
    """

    def __init__(self, path: Path, new: bool = False) -> None:
        self.path, self._version = path, 0 if new else SCHEMA
        with self._named_errors():  # any thread may train; SQLite itself takes turns
            file = f"{path.absolute().as_uri()}?mode={'rwc' if new else 'rw'}"
            database = sqlite3.connect(file, timeout=30, uri=True, check_same_thread=False)
        self._database = database
        self.close = weakref.finalize(self, database.close)
        if new:
            self._make()

    def _make(self) -> None:
        with self._transaction() as database:
            database.execute("PRAGMA journal_mode=WAL")  # readers never wait, nor do they block
            columns = "epoch INTEGER, name TEXT, value REAL, PRIMARY KEY (epoch, name)"
            database.execute(f"CREATE TABLE figures ({columns})")
            database.execute(f"PRAGMA user_version={SCHEMA}")
        self._version = SCHEMA

    def add(self, epoch: int, figures: dict[str, float]) -> None:
        """Add the figures of one epoch: all of them, or none."""
        rows = [(epoch, name, value) for name, value in figures.items()]
        with self._transaction() as database:
            database.executemany("INSERT OR REPLACE INTO figures VALUES (?, ?, ?)", rows)

    def read(self) -> list[dict[str, float]]:
        """The figures so far, one dict per epoch."""
        epochs: dict[int, dict[str, float]] = {}
        with self._transaction() as database:
            rows = database.execute("SELECT * FROM figures ORDER BY epoch, rowid")
            for epoch, name, value in rows:
                epochs.setdefault(epoch, {})[name] = value
        return list(epochs.values())

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """What is written inside is committed together, or not at all."""
        with self._named_errors(), self._database as database:
            (found,) = database.execute("PRAGMA user_version").fetchone()
            if found != self._version:
                raise self._foreign(found)
            yield database

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            got = f"{self.path}, which can't be used ({error})"
            needs = "a sound file and room on the disk"
            raise DataError(message("run", got, needs)) from error

    def _foreign(self, found: int) -> DataError:
        got, needs = f"{self.path} of version {found}", f"version {SCHEMA}"
        why = "Another release of chainrule wrote it" if found else "It is no metrics database"
        remedy = "Read it with that release; nothing was changed" if found else ""
        return DataError(message("run", got, needs, why=why, remedy=remedy))
