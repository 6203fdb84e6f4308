"""The names of ``torchvision.utils``, for ``chainrule run``: pictures side by side, in a file."""

from __future__ import annotations

import io
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data.dataset import as_array
from chainrule.errors import ShapeError, UsageError, message, not_found
from chainrule.files import write_atomically
from chainrule.tensor import Tensor, tensor

__all__ = ["make_grid", "save_image"]


def make_grid(
    pictures: Any,
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    pad_value: float = 0.0,
) -> Tensor:
    """Pictures f[N,C,H,W] side by side, ``nrow`` in a row: f32[3,P,Q], or [C,P,Q] where C > 1.

    normalize: from ``value_range``, or the least and the largest number, to 0 … 1.

    >>> make_grid(np.ones((3, 1, 4, 4)), nrow=2).shape
    (3, 14, 14)
    """
    listed = (
        pictures if isinstance(pictures, Tensor | np.ndarray) else list(map(as_array, pictures))
    )
    x = np.asarray(as_array(listed), np.float32)
    x = x.reshape((1,) * (4 - x.ndim) + x.shape) if x.ndim < 4 else x
    if x.ndim != 4 or not len(x):
        raise ShapeError(message("make_grid", f"pictures {list(x.shape)}", "f[N,C,H,W], N > 0"))
    x = np.repeat(x, 3, axis=1) if x.shape[1] == 1 else x
    if normalize:
        low, high = value_range or (x.min(), x.max())
        x = (x.clip(low, high) - low) / max(high - low, 1e-5)
    if len(x) == 1:
        return tensor(x[0])
    columns = min(nrow, len(x))
    rows = -(-len(x) // columns)
    high, wide = x.shape[2] + padding, x.shape[3] + padding
    shape = (x.shape[1], rows * high + padding, columns * wide + padding)
    grid = np.full(shape, pad_value, np.float32)
    for number, picture in enumerate(x):
        top, left = number // columns * high + padding, number % columns * wide + padding
        grid[:, top : top + x.shape[2], left : left + x.shape[3]] = picture
    return tensor(grid)


def save_image(pictures: Any, path: str | PathLike[str], **options: Any) -> None:
    """Write ``make_grid(pictures, **options)`` as a picture; numbers beyond 0 … 1 are cut off."""
    from PIL import Image  # `import chainrule` loads NumPy alone

    pixels = make_grid(pictures, **options).numpy()
    pixels = (pixels * 255 + 0.5).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
    kind = Image.registered_extensions().get(Path(path).suffix.lower())
    if kind not in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"):
        raise UsageError(message("save_image", str(path), "a name that ends with .png or .jpg"))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=kind)
    write_atomically(path, file.getvalue())


def __getattr__(name: str) -> Any:
    raise not_found("torchvision.utils", name, __all__)
