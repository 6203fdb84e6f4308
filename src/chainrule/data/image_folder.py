"""Pictures in folders, one folder for each class; and reading one picture in colour."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data.dataset import Dataset, is_random
from chainrule.data.files import content_of
from chainrule.data.picture import FORMATS, MOST_PIXELS
from chainrule.data.transforms import Transform
from chainrule.data.workers import augmentation, skip
from chainrule.errors import DataError, UsageError, message
from chainrule.forks import awaited_by_forks

__all__ = ["ImageFolder", "read_picture"]

ENDINGS = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"}
WITH_ORIENTATION = {"JPEG", "MPO", "TIFF", "WEBP"}  # cameras' formats

PIXELS_OF_A_BYTE = 4096  # no format that people use packs more; a damaged header claims any size

logging.getLogger("PIL").addHandler(logging.NullHandler())  # what is wrong is raised, not printed
_opening = awaited_by_forks()  # what warnings are shown is one setting for all threads


def read_picture(source: str | PathLike[str] | bytes, channels: int = 3) -> np.ndarray:
    """The pixels of a picture: f32[channels,H,W] from 0 to 1; channels is 3 or 1 (brightness).

    source: a path or the bytes of a PNG, JPEG, GIF (its first picture), BMP, TIFF or WebP file.
    Transparent parts are white.  Raises DataError with the path if it is damaged, cut short, has
    more than 64 million pixels or is no picture.
    """
    from PIL import Image, ImageOps  # `import chainrule` loads NumPy alone

    content, name = content_of(source, "a picture")
    try:
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd; what is wrong is raised below
            image: Any = Image.open(io.BytesIO(content), formats=FORMATS)
            most = min(MOST_PIXELS, 1_000_000 + PIXELS_OF_A_BYTE * len(content))
            if image.width * image.height > most:
                size = f"{image.width} x {image.height} pixels in {len(content):,} bytes"
                raise Image.DecompressionBombError(size)
            if image.format in WITH_ORIENTATION:
                image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16 bits of grey
            pixels = (np.asarray(image) / np.float32(65535)).clip(0, 1)[None]
            return np.repeat(pixels, channels, axis=0)
        if "A" in image.getbands() or "transparency" in image.info:
            above = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
        pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    except Exception as error:  # a decoder may raise anything if its data are damaged
        why = _why(error)
        needs = "a whole picture: " + ", ".join(FORMATS)
        raise DataError(message("picture", name, needs, why=why)) from error
    pixels = pixels.transpose(2, 0, 1) if channels == 3 else pixels[None]
    return pixels / np.float32(255)


def _why(error: BaseException) -> str:
    """What a decoder says, without the address of its memory."""
    return re.sub(r" <_io\.\w+ object at \w+>", "", str(error)) or type(error).__name__


class ImageFolder(Dataset):
    """Pictures in ``root/class/…``: sample i is (f32[channels,H,W] from 0 to 1, label).

    The classes are the names of the folders, in order; their pictures may lie deeper.  A batch
    needs pictures of one size: transform = Resize((64, 64)), say, is given each picture as a batch
    of one.  A damaged picture is left out of its batch, and the loader reports it by path at the
    end of the epoch; ``strict`` raises instead.  Pictures are read when they are asked for.

    classes: names.  samples: (path, label) of each picture.
    """

    def __init__(
        self,
        root: str | PathLike[str],
        transform: Transform | None = None,
        *,
        channels: int = 3,
        strict: bool = False,
    ) -> None:
        if channels not in (1, 3):
            raise UsageError(message("ImageFolder", f"channels = {channels}", "1 or 3"))
        self.root, self.transform = Path(root), transform
        self.channels, self.strict = channels, strict
        if not self.root.is_dir():
            raise DataError(message("ImageFolder", f"{self.root}", "a folder"))
        folders = [path for path in sorted(self.root.iterdir()) if path.is_dir()]
        self.classes = [path.name for path in folders if not path.name.startswith(".")]
        self.samples = [
            (path, label)
            for label, name in enumerate(self.classes)
            for path in sorted((self.root / name).rglob("*"))
            if path.suffix.lower() in ENDINGS and path.is_file()
        ]
        empty = set(range(len(self.classes))) - set(self.targets)
        if empty or not self.classes:
            where = self.root / self.classes[min(empty)] if empty else self.root
            got, needs = f"{where} without pictures", "a folder for each class with pictures"
            remedy = "For example: root/cat/1.png, root/dog/2.png"
            raise DataError(message("ImageFolder", got, needs, remedy=remedy))

    @property
    def targets(self) -> list[int]:
        """The label of each picture."""
        return [label for _, label in self.samples]

    @property
    def random(self) -> bool:
        """Whether its transform is."""
        return is_random(self.transform)

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        return f"<ImageFolder {self.root}: {len(self)} pictures, {len(self.classes)} classes>"

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        path, label = self.samples[index]
        image = read_picture(path, self.channels)
        if self.transform is not None:
            image = self.transform(image[None], augmentation() if self.random else None)[0]
        return image, label

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[np.ndarray, int]]:
        kept = []
        for index in indices:
            try:
                kept.append(self[index])
            except DataError as error:
                why = _why(error.__cause__ or error)
                if self.strict or not skip(str(self.samples[index][0]), why):
                    raise
        return kept
