"""The handwritten digits that the package ships, and their fixed split into three parts."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np

from chainrule.errors import DataError, message

__all__ = ["digits"]

FOLDER = Path(__file__).parent
SHA256 = {
    "digits.npz": "b2dab7b501728c22e9119ad76740b2e17c77a231e42d1e592380d90886f1a05e",
    "split.json": "a584fd71ab25737a6499127f31ff71d86b905f806d5fec04e603e5ec071e218b",
}


def digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images `uint8[N,8,8]`, 0 (paper) to 16 (ink), and labels `int64[N]`, 0 to 9.

    split: "train" (N = 1257), "validation" (180) or "test" (360): stratified, disjoint, and
    together all 1,797 digits. Each call returns new arrays. Raises DataError for another name or
    a damaged file. Source and licence: `ATTRIBUTION.md` beside this file.

    >>> images, labels = digits("train")
    >>> images.shape, images.dtype, int(images.max()), labels[:5].tolist()
    ((1257, 8, 8), dtype('uint8'), 16, [0, 1, 2, 3, 4])
    """
    rows_of = json.loads(_read("split.json"))
    if split not in rows_of:
        names = ", ".join(map(repr, rows_of))
        raise DataError(message("data/digits", f"split {split!r}", f"one of {names}"))
    with np.load(io.BytesIO(_read("digits.npz"))) as arrays:
        rows = rows_of[split]
        return arrays["images"][rows], arrays["labels"][rows].astype(np.int64)


def _read(name: str) -> bytes:
    """The bytes of a shipped file, whole and unchanged, or one error."""
    path = FOLDER / name
    try:
        content = path.read_bytes()
    except OSError as error:
        content, got = b"", f"{path}, which can't be read ({error.strerror})"
    else:
        got = f"{path}, which is damaged ({len(content)} bytes)"
    if path.suffix == ".json":
        content = content.replace(b"\r\n", b"\n")  # as a checkout on Windows may write it
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        needs, remedy = "the file that chainrule ships", "Install chainrule again"
        raise DataError(message("data/digits", got, needs, remedy=remedy))
    return content
