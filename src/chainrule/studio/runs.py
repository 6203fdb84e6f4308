"""What the runs' folders hold, as JSON: read again where a file has changed, and only there.

Nothing is written, and a training never waits for a look: figures come from a database that readers
don't block, and a run's lock is tried only while the process that it names is alive.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from chainrule.errors import ChainruleError, DataError, message
from chainrule.train.control import read_place
from chainrule.train.runs import RUNS, Run

__all__ = ["Runs", "holder", "plain_json"]

# Whatever changes in a run changes the time or size of one of these.
SETTLED = 1_000_000_000  # nanoseconds after which what was read of a file is all of it
FILES = ("config.json", "metrics.sqlite", "metrics.sqlite-wal", "lock", "record")

# What a page is told of a place; the rest is for the training.
PLACE = ("state", "step", "steps", "epoch", "rate", "base_rate", "speed", "left", "said")

Json = dict[str, Any]


class Runs:
    """The runs in a folder, and those ``also`` that lie elsewhere.

    Threads may share it.  A run that can't be read has the status "damaged" and says why.
    """

    def __init__(self, folder: Path = RUNS, also: Iterable[Path] = ()) -> None:
        self.folder, self.also = folder, {path.name: path for path in also}
        self._read: dict[str, tuple[Any, Json]] = {}  # name -> what its files were, what they said
        self._lock = threading.Lock()

    def list(self) -> list[Json]:
        """A summary of each run, the one that was started last first."""
        with self._lock:
            found = {name: self._summary(name, folder) for name, folder in self._folders().items()}
            self._read = {name: self._read[name] for name in found}
        return sorted(found.values(), key=lambda run: (run["started"], run["name"]), reverse=True)

    def one(self, name: str) -> Json | None:
        """A run's summary, its ``config`` and its ``history``: the figures of each epoch.

        None if there is no run of this name.  Raises ChainruleError if it can't be read.
        """
        folder = self.folder_of(name)
        if folder is None:
            return None
        run = Run(folder)
        with self._lock:
            summary = self._summary(name, folder)
        return summary | {"config": plain_json(run.config), "history": plain_json(run.figures())}

    def folder_of(self, name: str) -> Path | None:
        """The folder of a run; None if there is no run of this name."""
        return self._folders().get(name)

    def _folders(self) -> dict[str, Path]:
        """Runs by name.  Only what is there has a name, so no name leads out of the folder."""
        try:
            there = sorted(self.folder.iterdir())
        except OSError:  # no folder, no runs
            there = []
        return {path.name: path for path in there if _is_run(path)} | self.also

    def _summary(self, name: str, folder: Path) -> Json:
        seen = [_state(folder / file) for file in FILES]
        before, summary = self._read.get(name, (None, {}))
        if before != seen:
            summary = _described(name, folder)
            # A file that was written a moment ago may not have been whole for the database yet.
            newest = max((state[0] for state in seen if state is not None), default=0)
            settled = newest < time.time_ns() - SETTLED
            self._read[name] = (seen if settled else None), summary
        process = holder(folder / "lock") if summary["status"] != "damaged" else None
        summary = summary | {"kept": sum(1 for _ in (folder / "record").glob("*.safetensors"))}
        if process is None:
            return summary
        return summary | {"status": "running", "process": process, "place": _place(folder, process)}


def _is_run(path: Path) -> bool:
    """A folder that is no link, with the files of a run: a damaged one may have lost some.

    One that is being made in this moment is none yet: its configuration is written last.
    """
    if path.is_symlink() or not path.is_dir():
        return False
    if (path / "config.json").exists():
        return True
    parts = any((path / name).exists() for name in ("metrics.sqlite", "lock"))
    return parts and holder(path / "lock") is None


def _place(folder: Path, process: int) -> Json | None:
    """Where the training of this process stands, if it says so."""
    place = read_place(folder)
    if place is None or place["process"] != process or place["state"] == "ended":
        return None
    return plain_json({name: place.get(name) for name in PLACE})


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _described(name: str, folder: Path) -> Json:
    """A run's summary; the status is that of a run which nobody trains."""
    summary: Json = {
        "name": name,
        "system": "",
        "title": "",
        "status": "damaged",
        "started": "",
        "epochs": 0,
        "epoch": 0,
        "figures": {},
        "results": [],
        "seconds": None,
        "recorded": (folder / "record").is_dir(),
        "error": None,
        "remedy": None,
        "process": None,
        "place": None,
    }
    try:
        run = Run(folder)
        if any((folder / file).is_symlink() for file in FILES):
            got = f"{folder}, in which a link leads to another place"
            raise DataError(message("run", got, "a folder that holds its own files"))
        config, history = run.config, run.figures()
        _check(folder, config)
    except ChainruleError as error:
        remedy = f"Put the file back, or remove the folder {folder}."
        if "Another release" in str(error):  # nothing is wrong with it
            remedy = None
        return summary | {"error": str(error), "remedy": remedy}
    result = config.get("result")
    return summary | plain_json(
        {
            "system": config["system"] or "",
            "title": _title(config),
            "status": _status(config),
            "started": config["started"],
            "epochs": config.get("epochs", 0),
            "epoch": len(history),
            "figures": history[-1] if history else {},
            "results": result.get("figures", []) if result else [],
            "seconds": result.get("seconds") if result else None,
        }
    )


def _title(config: Json) -> str:
    """Of a run that no recipe made: its script, or its model."""
    model = config.get("model")
    named = model.get("name") if isinstance(model, dict) else None
    return Path(str(config["script"])).name if "script" in config else str(named or "")


def _status(config: Json) -> str:
    """Of a run that nobody trains: one that no recipe made can't be resumed."""
    if config.get("result") is not None:
        return "finished"
    return "recorded" if config["system"] is None else "interrupted"


def _check(folder: Path, config: Any) -> None:
    """Raise DataError unless the configuration has what a summary reads, in the right types."""
    own = isinstance(config, dict) and config.get("system", "") is None  # a script's, a model's
    types = {"started": str} if own else {"system": str, "started": str, "epochs": int}
    where = folder / "config.json"
    if not isinstance(config, dict):
        got = f"{where}, which holds no table of names and values"
        raise DataError(message("run", got, "the configuration of a run"))
    wrong = [key for key, type_ in types.items() if not isinstance(config.get(key), type_)]
    result = config.get("result")
    if not (result is None or isinstance(result, dict)):
        wrong.append("result")
    elif result and not _are_figures(result.get("figures", [])):
        wrong.append("result.figures")
    if wrong:
        got = f"{where} without a proper {' and '.join(wrong)}"
        raise DataError(message("run", got, "the configuration of a run"))


def _are_figures(figures: Any) -> bool:
    parts = {"name", "measured", "wanted", "holds"}
    return isinstance(figures, list) and all(
        isinstance(figure, dict) and parts <= figure.keys() for figure in figures
    )


# ---------------------------------------------------------------- who trains


def holder(lock: Path) -> int | None:
    """The number of the process that holds a run's lock, or None.

    The lock is tried for microseconds, shared, and only if the process that the file names is
    alive: then it is that one which has it, and nobody else is kept from taking it.
    """
    try:
        process = int(lock.read_bytes()[:20])
        if not _alive(process):
            return None
        with lock.open("rb") as file:
            return process if _is_locked(file.fileno()) else None
    except (OSError, ValueError):
        return None


def _alive(process: int) -> bool:
    if os.name == "nt":  # os.kill would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return process > 0


def _is_locked(file: int) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(file, 1 << 20, os.SEEK_SET)  # the byte that train.runs locks
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            msvcrt.locking(file, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def plain_json(value: Any) -> Any:
    """The value with NaN and infinities as words: JSON has no numbers for them.

    >>> plain_json({"loss": [0.5, float("nan"), float("-inf")]})
    {'loss': [0.5, 'NaN', '-Infinity']}
    """
    if isinstance(value, dict):
        return {name: plain_json(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain_json(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
