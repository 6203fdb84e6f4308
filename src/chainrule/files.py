"""Files that are whole or not there, and never take another file's place unasked.

A file is written beside its name, flushed to the disk and renamed: a crash at any moment leaves
the old content or the new one.
"""

from __future__ import annotations

import contextlib
import os
from os import PathLike
from pathlib import Path

from chainrule.errors import ChainruleError, DataError, UsageError, message

__all__ = ["refuse_existing", "write_atomically", "write_new"]

Paths = str | PathLike[str]


def write_atomically(
    path: Paths,
    content: bytes,
    where: str = "save",
    error: type[ChainruleError] = DataError,
    *,
    durable: bool = True,
) -> None:
    """Write a file so that its name always leads to all of the old content or all of the new.

    durable: also if the power fails; costs milliseconds.
    Raises ``error`` with the reason of the system: no space, no permission, no folder.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
        if durable:
            _flush_folder(path.parent)
    except OSError as reason:
        got = f"{path}, which can't be written ({reason.strerror or reason})"
        needs = f"a folder with room for {_size(len(content))}"
        why = "What was there before is whole" if path.exists() else ""
        raise error(message(where, got, needs, why=why)) from reason


def write_new(
    path: Paths, content: bytes, where: str, *, overwrite: bool = False, remedy: str = ""
) -> Path:
    """Write a file that is not there yet, or any with ``overwrite``; returns its path.

    Raises as ``refuse_existing`` and ``write_atomically`` do.
    """
    path = Path(path)
    if not (overwrite and path.is_file()):
        refuse_existing(path, where, remedy=remedy)
    write_atomically(path, content, where)
    return path


def refuse_existing(
    path: Path, where: str, needs: str = "a new file's name", remedy: str = ""
) -> None:
    """Raise UsageError if something of this name is there; ``remedy``: how to replace a file."""
    if path.exists():
        why, remedy = "Nothing was written", remedy * path.is_file()
        raise UsageError(message(where, f"{path}, which exists", needs, why=why, remedy=remedy))


def _flush_folder(folder: Path) -> None:
    """Let the renaming itself reach the disk, where the system can (not on Windows)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _size(n: int) -> str:
    return f"{n / 1e6:.1f} MB" if n >= 1e6 else f"{max(n, 1000) / 1e3:.0f} kB"
