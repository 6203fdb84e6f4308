"""What was compiled, kept on disk: objects of kernels, finished plans.

A key is a digest of what an entry was made of: its text, the machine's features, llvmlite's
version, and the sources of ``ops/``, ``compile/`` and ``run/llvm/``.  So an entry is never wrong,
only no longer asked for; what has not been asked for longest is removed when the folder grows too
large.

An entry is a file with a line before its content: a digest of its name and content.  A damaged one
is as good as none.  So is a folder that can't be read or written: the cache costs time, never
correctness, and raises nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path

import llvmlite

from chainrule.errors import DataError, UsageError, message
from chainrule.files import write_atomically

__all__ = ["Cache", "Entry", "default_cache", "key_of"]

_FORMAT = b"chainrule 1 "
_NAME = re.compile(r"(?P<kind>[a-z]+)-(?P<key>[0-9a-f]{32})")
_DAY = 86_400  # seconds
_LIMIT = 512  # MB
_CLEANED = ".cleaned"  # a file that was touched when old entries were last removed
_HERE = Path(__file__).parent
_SOURCES = [_HERE.parents[1] / "ops", _HERE.parents[1] / "compile", _HERE]


@dataclass(frozen=True)
class Entry:
    """One file of the cache; used: when it was last asked for, to a day, in seconds since 1970."""

    kind: str
    key: str
    size: int  # bytes
    used: float


def key_of(*parts: str) -> str:
    """The key of what is made of these texts by these sources.

    >>> len(key_of("define void @f() { ret void }", "+avx2"))
    32
    """
    digest = blake2b(digest_size=16)
    for part in (_digest_of_sources(), llvmlite.__version__, *parts):
        encoded = part.encode()
        digest.update(b"%d " % len(encoded) + encoded)
    return digest.hexdigest()


@cache
def _digest_of_sources() -> str:
    """Of the files that decide what is compiled from a graph."""
    digest = blake2b(digest_size=16)
    for folder in _SOURCES:
        for path in sorted(folder.rglob("*.py")):
            content = path.read_bytes()
            digest.update(f"{path.name} {len(content)} ".encode() + content)
    return digest.hexdigest()


class Cache:
    """Entries in a folder; ``limit`` bytes at most, 0 for none at all."""

    def __init__(self, folder: Path | None, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self.failures = 0  # entries that could not be written
        self._written = 0  # bytes since old entries were removed
        self._usable: bool | None = None

    def get(self, kind: str, key: str) -> bytes | None:
        """The content of an entry, if it is there and whole."""
        path = self._path(kind, key)
        if path is None:
            return None
        try:
            head, _, content = path.read_bytes().partition(b"\n")
            if head != _head(path.name, content):
                return None
            unused = time.time() - path.stat().st_mtime
        except OSError:
            return None
        if unused > _DAY:
            with contextlib.suppress(OSError):
                os.utime(path)
        return content

    def put(self, kind: str, key: str, content: bytes) -> None:
        """Keep an entry, if that can be done."""
        path = self._path(kind, key)
        if path is None:
            self.failures += self.limit > 0
            return
        whole = _head(path.name, content) + b"\n" + content
        try:
            write_atomically(path, whole, durable=False)
        except DataError:
            self.failures += 1
            return
        self._written += len(whole)
        if self._written > self.limit // 16 or not _cleaned_today(path.parent):
            self._written = 0
            self._clean(path.parent)

    def entries(self) -> list[Entry]:
        """What is there, the longest unused first."""
        found = []
        for path, status in self._files():
            named = _NAME.fullmatch(path.name)
            if named:
                found.append(Entry(named["kind"], named["key"], status.st_size, status.st_mtime))
        return sorted(found, key=lambda entry: entry.used)

    def size(self) -> int:
        """Bytes of all entries."""
        return sum(entry.size for entry in self.entries())

    def clear(self) -> None:
        """Remove everything."""
        for path, _ in self._files():
            with contextlib.suppress(OSError):
                path.unlink()

    def keep_text(self, name: str, text: str, suffix: str = ".ll") -> Path | None:
        """Keep a text that was refused, for a report; its path, or None if it can't be written."""
        path = self._path("refused", name)
        if path is None:
            return None
        path = path.with_suffix(suffix)
        try:
            write_atomically(path, text.encode(), durable=False)
        except DataError:
            return None
        return path

    # ------------------------------------------------------------ the folder

    def _path(self, kind: str, key: str) -> Path | None:
        """Where an entry lies; None without a folder that can be trusted."""
        if self._usable is None:
            self._usable = self.limit > 0 and self.folder is not None and _is_ours(self.folder)
        if not self._usable or self.folder is None:
            return None
        return self.folder / f"{kind}-{key}"

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        """The cache's own files: entries, refused texts, what a killed process has left."""
        found = []
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir() if self.folder else ():
                if _NAME.match(path.name.lstrip(".")) or path.name == _CLEANED:
                    with contextlib.suppress(OSError):
                        found.append((path, path.stat()))
        return found

    def _clean(self, folder: Path) -> None:
        """Remove what killed processes left, and the longest unused down to 3/4 of the limit."""
        now = time.time()
        files = sorted(self._files(), key=lambda file: file[1].st_mtime)
        size = sum(status.st_size for _, status in files)
        most = self.limit if size <= self.limit else self.limit * 3 // 4
        for path, status in files:
            left = path.name.startswith(".") and now - status.st_mtime > _DAY / 24
            if left or size > most:
                with contextlib.suppress(OSError):
                    path.unlink()
                size -= status.st_size
        with contextlib.suppress(OSError):
            (folder / _CLEANED).touch()


def _cleaned_today(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return time.time() - (folder / _CLEANED).stat().st_mtime < _DAY
    return False


def _head(name: str, content: bytes) -> bytes:
    digest = blake2b(name.encode() + b"\n" + content, digest_size=16)
    return _FORMAT + digest.hexdigest().encode()


def _is_ours(folder: Path) -> bool:
    """Make the folder if need be; whether nobody else could have put code into it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError:
        return False
    if not hasattr(os, "geteuid"):
        return True
    return status.st_uid in (0, os.geteuid()) and not status.st_mode & stat.S_IWOTH


@cache
def default_cache() -> Cache:
    """The cache of this process: CHAINRULE_CACHE, else the user's folder for caches.

    CHAINRULE_CACHE_SIZE: MB at most; 0 for no cache.  Raises UsageError if it is no number.
    """
    given = os.environ.get("CHAINRULE_CACHE_SIZE", "") or str(_LIMIT)
    if not given.isdecimal():
        raise UsageError(message("CHAINRULE_CACHE_SIZE", repr(given), "a number of MB, 0 for none"))
    return Cache(_folder(), int(given) * 10**6)


def _folder() -> Path | None:
    if os.environ.get("CHAINRULE_CACHE"):
        return Path(os.environ["CHAINRULE_CACHE"]).expanduser()
    import platformdirs  # not for those who never compile

    try:
        folder = platformdirs.user_cache_path("chainrule", appauthor=False) / "kernels"
    except RuntimeError:  # a user without a home
        return None
    return folder if folder.is_absolute() else None  # "~/.cache", of an older platformdirs
