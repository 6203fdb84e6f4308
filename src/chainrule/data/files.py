"""The formats of the classical picture sets: IDX (MNIST and its kin) and CIFAR's binary records.

A file may be anything: cut short, damaged, a web page under a false name, a header that claims
10¹² bytes.  Nothing is allocated before what the header claims was found to fit the bytes that are
there, and whatever is wrong is one DataError with the path, what was expected and what was found.
"""

from __future__ import annotations

import gzip
import io
import zlib
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import DataError, message

__all__ = ["check_labels", "content_of", "read_cifar", "read_idx", "what_it_is"]

MOST_BYTES = 2**31  # no file of these sets is half as large
IDX_DTYPES = {0x08: ">u1", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZ, MOST_GZ = b"\x1f\x8b", 1040  # deflate makes one byte of at most 1,032
CIFAR_PIXELS = 3 * 32 * 32

Source = str | PathLike[str] | bytes


def read_idx(source: Source, name: str = "") -> np.ndarray:
    """The array of an IDX file, plain or gzipped: u8, i32, f32 or f64 [d0,d1,…].

    source: a path or the bytes; name: what a message calls the bytes.  The format: two zero bytes,
    the type, the number of axes, each size as a big-endian 32-bit number, the values.

    >>> read_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    array([7, 8, 9], dtype=uint8)
    """
    content, name = content_of(source, name)
    compressed = content[:2] == GZ
    file: Any = gzip.GzipFile(fileobj=io.BytesIO(content)) if compressed else io.BytesIO(content)
    try:
        shape, dtype = _idx_header(file, content, name)
        size = prod(shape) * dtype.itemsize
        there = len(content) * MOST_GZ if compressed else len(content)
        claimed = prod(max(axis, 1) for axis in shape) * dtype.itemsize
        if claimed > MOST_BYTES or size > there:  # before anything is allocated
            raise _idx_error(name, f"{list(shape)} in {len(content):,} bytes", size)
        values = file.read(size)
        if len(values) < size or file.read(1):
            more = "more" if len(values) == size else f"{len(values):,}"
            raise _idx_error(name, f"{list(shape)} with {more} bytes of values", size)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(name, f"its gzip stream is broken ({error})") from error
    return np.frombuffer(values, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _idx_header(file: Any, content: bytes, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in IDX_DTYPES or not magic[3]:
        needs = "an IDX file, whose first four bytes are 0, 0, the type and the number of axes"
        got = f"{name}, {what_it_is(content)}"
        raise DataError(message("read_idx", got, needs, remedy=_AGAIN))
    axes = magic[3]
    sizes = file.read(4 * axes)
    if len(sizes) < 4 * axes or axes > 8:
        raise _damaged(name, f"{axes} axes in a header of {len(sizes) + 4} bytes")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    return shape, np.dtype(IDX_DTYPES[magic[2]])


def _idx_error(name: str, got: str, size: int) -> DataError:
    why = "It is cut short, or its header is damaged"
    return DataError(message("read_idx", f"{name}: {got}", f"{size:,}", why=why, remedy=_AGAIN))


def read_cifar(
    source: Source, *, classes: int = 10, label_bytes: int = 1, name: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """The pictures u8[N,3,32,32] and labels i64[N] of one binary file of CIFAR-10 or CIFAR-100.

    A record is ``label_bytes`` bytes, the last of which is the label (CIFAR-100 has the coarse one
    before it), and 3,072 pixels: red, green, blue, each row by row.

    >>> images, labels = read_cifar(bytes([7]) + bytes(3072))
    >>> images.shape, labels
    ((1, 3, 32, 32), array([7]))
    """
    content, name = content_of(source, name)
    record = label_bytes + CIFAR_PIXELS
    if not content or len(content) % record:
        got = f"{name}, {what_it_is(content)} of {len(content):,} bytes"
        needs = f"a multiple of {record:,} bytes: {label_bytes} for the label and 3,072 pixels"
        raise DataError(message("read_cifar", got, needs, remedy=_AGAIN))
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    labels = records[:, label_bytes - 1].astype(np.int64)
    check_labels(labels, classes, name)
    return records[:, label_bytes:].reshape(-1, 3, 32, 32), labels


def check_labels(labels: np.ndarray, classes: int, name: str) -> None:
    """Raise DataError for the first label that is not among 0 … classes - 1."""
    beyond = np.flatnonzero((labels < 0) | (labels >= classes))
    if beyond.size:
        got = f"{name}: label {labels[beyond[0]]} of sample {beyond[0]}"
        raise DataError(message("labels", got, f"0 to {classes - 1}"))


def content_of(source: Source, name: str = "") -> tuple[bytes, str]:
    """The bytes of a file, and its name; a DataError where it can't be read or is far too large."""
    if isinstance(source, bytes):
        return source, name or "bytes"
    path = Path(source)
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise DataError(message("data", f"{path} of {size:,} bytes", f"at most {MOST_BYTES:,}"))
        return path.read_bytes(), str(path)
    except OSError as error:
        got = f"{path}, which can't be read ({error.strerror or error})"
        raise DataError(message("data", got, "a file")) from error


_AGAIN = "Delete it and get it again: chainrule data get NAME"


def _damaged(name: str, why: str) -> DataError:
    return DataError(message("read_idx", f"{name}, which is damaged", "", why=why, remedy=_AGAIN))


def what_it_is(content: bytes) -> str:
    """What a file of unknown kind seems to be, for a message."""
    if not content:
        return "an empty file"
    if content[:512].lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page (HTML)"
    if content[:2] == GZ:
        return "gzipped content of another kind"
    return f"a file that begins with {content[:4].hex(' ')}"
