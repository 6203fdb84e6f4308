"""Where the picture sets live: file names, checksums, homes; and how they get onto the disk.

A file is downloaded beside its name, checked, flushed and renamed: a partial or damaged download
never counts as a file.  Each home is tried in turn.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import os
import re
import ssl
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from chainrule.data.files import MOST_BYTES, what_it_is
from chainrule.errors import DataError, UsageError, message
from chainrule.files import write_atomically

__all__ = ["SOURCES", "RemoteFile", "Source", "data_folders", "download", "find"]

SECONDS = 30  # of silence, after which a home counts as missing
CHUNK = 1 << 18
_ARCHIVES = (".zip", ".tar.gz")
_UNREACHABLE = (
    urllib.error.URLError,
    http.client.HTTPException,
    ssl.SSLError,
    ConnectionError,
    TimeoutError,
)

Progress = Callable[[str, int, int], None]  # file, bytes so far, bytes in all (0: not told)


@dataclass(frozen=True)
class RemoteFile:
    """A file at its homes: its name and its MD5."""

    name: str
    md5: str


@dataclass(frozen=True)
class Source:
    """What a set is, how much is downloaded, the homes where each file can be had, the files."""

    what: str
    megabytes: int
    homes: tuple[str, ...]
    files: tuple[RemoteFile, ...]


def _idx_files(*md5s: str) -> tuple[RemoteFile, ...]:
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    pairs = zip(names, md5s, strict=True)
    return tuple(RemoteFile(f"{name}-ubyte.gz", md5) for name, md5 in pairs)


# The checksums are those that the sets' authors or torchvision publish.
SOURCES = {
    "mnist": Source(
        "handwritten digits, 28×28, 60,000 + 10,000",
        12,
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        _idx_files(
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
    ),
    "fashion-mnist": Source(
        "clothes, 28×28, 60,000 + 10,000",
        31,
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        _idx_files(
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
    ),
    "kmnist": Source(
        "Japanese characters, 28×28, 60,000 + 10,000",
        21,
        (
            "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        ),
        _idx_files(
            "bdb82020997e1d708af4cf47b453dcf7",
            "e144d726b3acfaa3e44228e80efcd344",
            "5c965bf0a639b31b8f53240b1b52f4d7",
            "7320c461ea6c1c855c0b718fb2a4b134",
        ),
    ),
    "emnist": Source(
        "letters and digits, 28×28, up to 814,255",
        562,
        (
            "https://biometrics.nist.gov/cs_links/EMNIST/",
            "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/",
        ),
        (RemoteFile("gzip.zip", "58c8d27c78d21e728a6bc7b3cc06412e"),),
    ),
    "cifar10": Source(
        "colour pictures, 10 kinds, 50,000 + 10,000",
        170,
        ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/"),
        (RemoteFile("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),),
    ),
    "cifar100": Source(
        "colour pictures, 100 kinds, 50,000 + 10,000",
        169,
        ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/"),
        (RemoteFile("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),),
    ),
}


# ------------------------------------------------------------ finding


def data_folders(data_dir: str | PathLike[str] | None = None) -> list[Path]:
    """Where files are sought: ``data_dir``, then CHAINRULE_DATA; or else the user's data folder."""
    named = [] if data_dir is None else [data_dir]
    if os.environ.get("CHAINRULE_DATA"):
        named.append(os.environ["CHAINRULE_DATA"])
    if named:
        return list(dict.fromkeys(Path(folder).expanduser() for folder in named))
    import platformdirs  # `import chainrule` loads NumPy alone

    return [platformdirs.user_data_path("chainrule", appauthor=False) / "data"]


def find(
    name: str, patterns: tuple[str, ...], data_dir: str | PathLike[str] | None = None
) -> list[Path]:
    """The files that the first fruitful pattern matches, in order; [] where there are none.

    name: the set's.  They lie in a folder of that name (mnist, MNIST/raw, cifar-10-batches-bin),
    or in ``data_dir`` itself.
    """
    for number, base in enumerate(data_folders(data_dir)):
        for folder in _candidates(name, base, here=data_dir is not None and not number):
            for pattern in patterns:
                found = sorted(path for path in folder.glob(pattern) if path.is_file())
                if found:
                    return found
    return []


def _candidates(name: str, base: Path, here: bool) -> Iterator[Path]:
    """Folders that may hold the set, the likeliest first."""
    if not base.is_dir():
        return
    if here or _is_called(base.name, name):
        yield base
        yield base / "raw"
    named = (path for path in base.iterdir() if _is_called(path.name, name) and path.is_dir())
    for folder in sorted(named, key=lambda path: (len(path.name), path.name)):
        yield folder
        yield from sorted(path for path in folder.iterdir() if path.is_dir())


def _is_called(folder: str, name: str) -> bool:
    """cifar10: cifar10, CIFAR-10-batches-bin, cifar10-subset; not cifar100."""
    plain, wanted = (re.sub(r"[^a-z0-9]", "", text.lower()) for text in (folder, name))
    return re.match(rf"{wanted}(?!\d)", plain) is not None


# ------------------------------------------------------------ getting


def download(
    name: str,
    data_dir: str | PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Get the files of a set from its homes into a folder, and return it.

    Files that are there are kept; archives are unpacked.  progress is told (file, bytes so far,
    bytes in all).  Raises DataError that names what was tried, and what to put where by hand.
    """
    if name not in SOURCES:
        raise UsageError(message("download", repr(name), "one of " + ", ".join(SOURCES)))
    folder = data_folders(data_dir)[0] / name
    for file in SOURCES[name].files:
        if not (folder / file.name).exists():
            _get(name, file, folder, progress or _silent)
    return folder


def _get(name: str, file: RemoteFile, folder: Path, progress: Progress) -> None:
    """One file from the first home that has it whole."""
    source, tried = SOURCES[name], []
    part = folder / f".{file.name}.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for home in source.homes:
            try:
                found = _fetch(home + file.name, part, progress)
            except _UNREACHABLE as error:
                tried.append(f"{home + file.name} ({getattr(error, 'reason', error)})")
                continue
            if found == file.md5:
                _put(part, folder, file)
                return
            with part.open("rb") as received:
                what = what_it_is(received.read(512))
            tried.append(f"{home + file.name} ({what}, MD5 {found} instead of {file.md5})")
    except OSError as error:
        got = f"{folder}, which can't be written ({error.strerror or error})"
        raise DataError(message("data get", got, "a folder with room")) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
            folder.rmdir()  # if it is empty
    got, needs = f"no {file.name} of {name}", "one home that has it whole"
    files = ", ".join(file.name for file in source.files)
    why = "Tried: " + "; ".join(tried)
    remedy = f"By hand: put {files} into {folder}"
    if file.name.endswith(_ARCHIVES):
        remedy = f"By hand: unpack {files} into {folder}"
    raise DataError(message("data get", got, needs, why=why, remedy=remedy))


def _fetch(url: str, part: Path, progress: Progress) -> str:
    """Write what ``url`` gives to ``part``; returns the MD5 of it."""
    request = urllib.request.Request(url, headers={"User-Agent": "chainrule"})
    digest, so_far = hashlib.md5(usedforsecurity=False), 0
    with urllib.request.urlopen(request, timeout=SECONDS) as answer, part.open("wb") as out:
        told = answer.headers.get("Content-Length", "")
        in_all = int(told) if told.isdecimal() else 0
        while chunk := answer.read(CHUNK):
            so_far += len(chunk)
            if so_far > MOST_BYTES:
                raise urllib.error.URLError(f"more than {MOST_BYTES:,} bytes")
            digest.update(chunk)
            out.write(chunk)
            progress(url.rpartition("/")[2], so_far, in_all)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()


def _put(part: Path, folder: Path, file: RemoteFile) -> None:
    """Give a whole file its name, or unpack an archive."""
    if not file.name.endswith(_ARCHIVES):
        part.replace(folder / file.name)
        return
    for name, content in _members(part, file.name):
        write_atomically(folder / name, content, "data get")


def _members(archive: Path, name: str) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the files in an archive that we read; the rest is left in it.

    Only the last part of a member's name is used, so that none can leave the folder.
    """
    if name.endswith(".zip"):
        with zipfile.ZipFile(archive) as bundle:
            for member in bundle.infolist():
                if member.filename.endswith("-ubyte.gz") and member.file_size <= MOST_BYTES:
                    yield Path(member.filename).name, bundle.read(member)
        return
    with tarfile.open(archive, "r:gz") as bundle:
        for member in bundle:
            wanted = member.isfile() and member.name.endswith((".bin", ".txt"))
            if wanted and member.size <= MOST_BYTES:
                content: Any = bundle.extractfile(member) or io.BytesIO()
                yield Path(member.name).name, content.read()


def _silent(file: str, so_far: int, in_all: int) -> None:
    """No progress is shown."""
