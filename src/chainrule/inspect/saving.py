"""Pictures go to files that are whole or not there, and never take another file's place unasked."""

from __future__ import annotations

import contextlib
import os
from os import PathLike
from pathlib import Path

from chainrule.errors import DataError, UsageError, message

__all__ = ["save_new"]


def save_new(
    path: str | PathLike[str], content: bytes, *, overwrite: bool, where: str, remedy: str
) -> Path:
    """Write a file beside its name and rename it.

    Raises UsageError if it exists, unless ``overwrite``; ``remedy`` says how to.  DataError with
    the system's reason if it can't be written: then what was there before is still there.
    """
    path = Path(path)
    if path.exists() and not (overwrite and path.is_file()):
        got, needs = f"{path}, which exists", "a new file's name"
        raise UsageError(
            message(where, got, needs, why="Nothing was written", remedy=remedy * path.is_file())
        )
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        got = f"{path}, which can't be written ({error.strerror or error})"
        raise DataError(message(where, got, "a folder with room that can be written to")) from error
    return path
