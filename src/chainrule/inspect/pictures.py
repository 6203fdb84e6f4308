"""Pictures as files: numbers from 0 to 1 become a PNG."""

from __future__ import annotations

import contextlib
import io
import os
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import DataError, ShapeError, UsageError, message

__all__ = ["save_picture"]


def save_picture(picture: Any, path: str | PathLike[str]) -> Path:
    """Write a picture f[H,W] (grey) or f[3,H,W] (colour) as a PNG; 0 is black and 1 white.

    Numbers outside are cut off.  Folders are made.  Returns the path, which ends in .png.  The
    file appears whole or not at all; raises UsageError rather than write over one that is there,
    ShapeError for another shape, DataError where it can't be written.
    """
    # Pillow is loaded here: `import chainrule` loads NumPy alone.
    from PIL import Image

    values = np.asarray(picture, np.float64)
    if values.ndim == 3 and values.shape[0] in (1, 3):
        values = values[0] if values.shape[0] == 1 else np.moveaxis(values, 0, 2)
    elif values.ndim != 2:
        raise ShapeError(message("save_picture", f"f{list(values.shape)}", "f[H,W] or f[3,H,W]"))
    path = Path(path).with_suffix(".png")
    if path.exists():
        why = "Nothing was changed"
        raise UsageError(message("save_picture", f"{path}, which exists", "a new name", why=why))
    content = io.BytesIO()
    bytes_of = np.rint(np.nan_to_num(values).clip(0, 1) * 255).astype(np.uint8)
    Image.fromarray(bytes_of).save(content, "PNG")
    _write(path, content.getvalue())
    return path


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_bytes(content)
            beside.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
    except OSError as error:
        got = f"{path}, which can't be written ({error.strerror or error})"
        raise DataError(message("save_picture", got, "a folder with room")) from error
