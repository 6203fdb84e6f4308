"""Pictures as files: numbers from 0 to 1 become a PNG."""

from __future__ import annotations

import io
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import DataError, ShapeError, message
from chainrule.files import write_new

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
    path = Path(path)
    path = path if path.suffix == ".png" else path.with_name(f"{path.name}.png")
    content = io.BytesIO()
    levels = np.rint(np.nan_to_num(values).clip(0, 1) * 255).astype(np.uint8)
    Image.fromarray(levels).save(content, "PNG")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        got = f"{path}, which can't be written ({error.strerror or error})"
        raise DataError(message("save_picture", got, "a folder with room")) from error
    remedy = "Choose another name, or remove it first"
    return write_new(path, content.getvalue(), "save_picture", remedy=remedy)
