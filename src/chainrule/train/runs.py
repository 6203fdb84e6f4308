"""Run folders: runs/lenet-001 and so on, each with all that one training was and gave.

    config.json           what was trained and how: everything that decides its figures
    metrics.sqlite        figures(epoch, name, value), readable while the training runs
    last.safetensors      the last checkpoint, of a whole epoch or of a place in the middle of one
    log.txt               the lines that the command line printed
    record/               what the studio shows of it, if the training was recorded
    lock                  held by the process that trains; its number is inside

A folder is claimed by making it, which succeeds for one process alone.  The lock is the system's:
it ends with its process, however that ends, so a lock of the dead never stands in the way.
"""

from __future__ import annotations

import json
import os
import weakref
from contextlib import closing
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

from chainrule.errors import CheckpointError, DataError, UsageError, message, nearest
from chainrule.files import write_atomically
from chainrule.train.checkpoint import read_checkpoint
from chainrule.train.figures import Figures
from chainrule.train.records import Records

__all__ = ["RUNS", "Run", "open_run"]

RUNS = Path("runs")


class Run:
    """One run's folder.  ``Run.create`` makes a new one, ``open_run`` finds one that is there."""

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = Path(folder)
        self._lock: _Lock | None = None
        self._figures: Figures | None = None

    @classmethod
    def create(
        cls, name: str, config: dict[str, Any], out: str | PathLike[str] | None = None
    ) -> Run:
        """A new folder: ``out``, or the next number of ``name`` in ``runs/``.

        Raises UsageError if ``out`` exists; nothing in it is touched.
        """
        run = cls(_claimed(name) if out is None else _made(Path(out)))
        run.claim()
        Figures(run.metrics_file, new=True).close()
        run.write_config(config | {"started": datetime.now(UTC).isoformat()})
        return run

    def claim(self) -> None:
        """Keep other processes from training in this folder, until ``release`` or our end.

        Raises UsageError if another process holds it.
        """
        if self._lock is None:
            self._lock = _Lock(self.folder / "lock")

    def release(self) -> None:
        """Let others train in this folder."""
        if self._figures is not None:
            self._figures.close()
            self._figures = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __str__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        return f"<Run {self.folder}>"

    @property
    def checkpoint(self) -> Path:
        """The file of the last whole epoch's checkpoint."""
        return self.folder / "last.safetensors"

    @property
    def records(self) -> Records:
        """What was recorded of the training for the studio; nothing, unless it was asked for."""
        return Records(self.folder / "record")

    @property
    def metrics_file(self) -> Path:
        """The SQLite file of the figures."""
        return self.folder / "metrics.sqlite"

    @property
    def config(self) -> dict[str, Any]:
        """What was trained and how."""
        path = self.folder / "config.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            got = f"{path}, which can't be read ({error.strerror})"
            raise DataError(message("run", got, "a run's folder")) from error
        except ValueError as error:
            raise DataError(message("run", f"{path}, which is damaged", "JSON")) from error

    def write_config(self, config: dict[str, Any]) -> None:
        """Write the configuration, atomically."""
        text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        write_atomically(self.folder / "config.json", text.encode())

    def add_figures(self, epoch: int, figures: dict[str, float]) -> None:
        """Add the figures of one epoch.  Their file stays open until ``release``."""
        if self._figures is None:
            self._figures = Figures(self.metrics_file)
        self._figures.add(epoch, figures)

    def figures(self) -> list[dict[str, float]]:
        """The figures so far, one dict per epoch."""
        with closing(Figures(self.metrics_file)) as figures:
            return figures.read()

    def log(self, line: str) -> None:
        """Add a line to the log."""
        path = self.folder / "log.txt"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            got = f"{path}, which can't be written ({error.strerror or error})"
            raise DataError(message("run", got, "room on the disk")) from error

    def read_checkpoint(self) -> dict[str, Any]:
        """The last checkpoint's parts, or a CheckpointError that says why there is none."""
        if not self.checkpoint.exists():
            got = f"{self.folder}, which has no checkpoint"
            own = "script" in self.config
            why = "It is the record of a script" if own else "It ended before the first was kept"
            others = [run for run in _by_age() if run.checkpoint.exists()]
            remedy = f"The newest run with one: {others[-1].folder.name}" if others else ""
            raise CheckpointError(message("run", got, "a run with one", why=why, remedy=remedy))
        return read_checkpoint(self.checkpoint)


def open_run(name: str | PathLike[str] = "last") -> Run:
    """The run that a path, a name in ``runs/`` or the word "last" means.

    "last" is the run that was started last.  Raises UsageError if there is none.
    """
    there = sorted(path.parent for path in RUNS.glob("*/config.json"))
    if str(name) == "last" and not Path(name).is_dir():
        if not there:
            got, needs = f"no run in {RUNS.absolute()}", "at least one"
            remedy = "Train one first: chainrule train lenet"
            raise UsageError(message("run", got, needs, remedy=remedy))
        return _by_age()[-1]
    for folder in (Path(name), RUNS / name):
        if (folder / "config.json").is_file():
            return Run(folder)
    names = [folder.name for folder in there]
    close = nearest(str(name), names) or "".join(names[-1:])
    remedy = f"Nearest: {close}" if close else "Train one first: chainrule train lenet"
    needs = 'a run\'s folder, its name in runs/, or "last"'
    raise UsageError(message("run", repr(str(name)), needs, remedy=remedy))


def _by_age() -> list[Run]:
    """The runs in ``runs/``, the one that was started last at the end."""
    there = [Run(path.parent) for path in sorted(RUNS.glob("*/config.json"))]
    return sorted(there, key=lambda run: run.config.get("started", ""))


class _Lock:
    """The system's lock on a file, with our number inside; closing the file gives it back."""

    def __init__(self, path: Path) -> None:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise _cannot_make(path, error) from error
        self.release = weakref.finalize(self, os.close, file)
        try:
            _take(file)
        except OSError:
            os.lseek(file, 0, os.SEEK_SET)
            holder = os.read(file, 20).decode("ascii", "replace").strip() or "unknown"
            self.release()
            got, needs = f"{path.parent}, in use by process {holder}", "a run that nobody trains"
            remedy = "Wait for it, or end that process"
            raise UsageError(message("run", got, needs, remedy=remedy)) from None
        os.truncate(file, 0)
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, f"{os.getpid()}\n".encode())


def _take(file: int) -> None:
    """Lock an open file, or raise OSError at once."""
    if os.name == "nt":
        import msvcrt

        os.lseek(file, 1 << 20, os.SEEK_SET)  # a locked byte can't be read: one beyond the number
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _claimed(name: str) -> Path:
    """The next free number; if another process takes it in this moment, the one after."""
    taken = [path.name.rpartition("-") for path in RUNS.glob(f"{name}-*")]  # mlp-binary-001 too
    ours = [int(end) for start, _, end in taken if start == name and end.isdecimal()]
    number = max(ours, default=0)
    try:
        RUNS.mkdir(parents=True, exist_ok=True)
        while True:
            number += 1
            folder = RUNS / f"{name}-{number:03}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise _cannot_make(RUNS, error) from error


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        got, needs = f"--out {folder}, which exists", "a new folder's name"
        raise UsageError(message("run", got, needs, why="Nothing was changed")) from error
    except OSError as error:
        raise _cannot_make(folder, error) from error
    return folder


def _cannot_make(folder: Path, error: OSError) -> DataError:
    got = f"{folder}, which can't be made ({error.strerror})"
    needs = "a folder that can be written to"
    return DataError(message("run", got, needs, remedy="--out FOLDER chooses another place"))
