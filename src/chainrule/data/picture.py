"""From any picture of one digit to the network's input: the one path, stage by stage.

    grey    f32[H,W]      0 = black, 1 = white; transparent parts are white
    ink     f32[H,W]      0 = paper, 1 = ink, whichever is darker, and however uneven the light
    digit   f32[h,w]      the ink without specks and clutter, cropped to its edges
    grid    f32[G,G]      fitted as the images of the run's data set were: `as_digits`, `as_mnist`
    input   f32[1,1,P,Q]  the grid after the run's deterministic transforms

`prepare_picture` goes the whole way and keeps every stage, so that people can see what the network
sees.  For networks of other data `picture_like` makes the input like inputs that are there.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data.transforms import Compose
from chainrule.errors import DataError, message

__all__ = [
    "PreparedPicture",
    "prepare_picture",
    "picture_like",
    "read_colour",
    "read_grey",
    "resized",
    "find_ink",
    "crop_to_ink",
    "as_digits",
    "as_mnist",
]

MOST_PIXELS = 64_000_000  # a phone's photo has 12 to 50 million; 64 take 256 MB while decoding
LONGEST_SIDE = 512  # larger pictures are reduced to this: a digit needs no more
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")

Source = str | PathLike[str] | bytes | np.ndarray


@dataclass(frozen=True)
class PreparedPicture:
    """What becomes of a picture on its way into the network; the stages are those of this file."""

    grey: np.ndarray
    ink: np.ndarray
    digit: np.ndarray
    grid: np.ndarray
    input: np.ndarray


def prepare_picture(
    source: Source, transforms: Compose, dataset: str = "digits"
) -> PreparedPicture:
    """The picture, stage by stage, up to the network's input.

    source: a path, the bytes of an image file, or an array (see `read_grey`). transforms: those of
    the run; the random ones are left out. dataset: what the run was trained on, "digits" or
    "mnist", whose images the grid is to resemble. Raises DataError for what is no picture, is
    damaged or huge, or shows no ink.

    >>> from chainrule.data import Compose, Scale, Upsample, rasterise
    >>> one = rasterise([[(150, 40), (140, 240)]], width=20)
    >>> seen = prepare_picture(one, Compose((Scale(16), Upsample(28))))
    >>> seen.grid[4].round().tolist()
    [0.0, 0.0, 0.0, 13.0, 11.0, 0.0, 0.0, 0.0]
    >>> seen.input.shape
    (1, 1, 28, 28)
    """
    if dataset not in _GRIDS:
        names = ", ".join(map(repr, _GRIDS))
        raise DataError(message("picture", f"dataset {dataset!r}", f"one of {names}"))
    grey = read_grey(source)
    ink = find_ink(grey, name=_name(source))
    digit = crop_to_ink(ink)
    grid = _GRIDS[dataset](digit)
    return PreparedPicture(grey, ink, digit, grid, transforms.deterministic()(grid[None, None]))


def picture_like(source: Source, inputs: np.ndarray) -> PreparedPicture:
    """The picture as an input like others, for data whose making is not known.

    inputs: f[N,1,H,W] or f[N,3,H,W] that the network has seen.  Grey: the ink, fitted as MNIST's
    images were (the longer side 20/28 of the room, the centre of mass in the middle); paper becomes
    the end of the inputs' range that more of their numbers are near, ink the other.  Colour: cut to
    the inputs' proportions around the middle, black becoming the least of their numbers, white the
    largest.  Raises DataError as `prepare_picture`, and for inputs that are no pictures.

    >>> from chainrule.data import rasterise
    >>> seen = picture_like(rasterise([[(9, 4), (9, 30)]], 4, (40, 20)), np.zeros((2, 1, 14, 14)))
    >>> seen.grid.shape, seen.grid.round(1)[7, 5:9].tolist(), seen.input.shape
    ((14, 14), [0.0, 1.0, 0.0, 0.0], (1, 1, 14, 14))
    """
    if inputs.ndim != 4 or inputs.shape[1] not in (1, 3) or not inputs.size:
        needs = "pictures [N,1,H,W] or [N,3,H,W]"
        raise DataError(message("picture", f"inputs {list(inputs.shape)}", needs))
    height, width = inputs.shape[2:]
    low, high = float(inputs.min()), float(inputs.max())
    low, high = (low, high) if low < high else (0.0, 1.0)
    kind = inputs.dtype if inputs.dtype.kind == "f" else np.float32
    if inputs.shape[1] == 3:
        colour = _middle(read_colour(source), width / height)
        grid = np.stack([resized(plane, height, width) for plane in colour])
        return PreparedPicture(
            colour, colour, colour, grid, (low + (high - low) * grid[None]).astype(kind)
        )
    grey = read_grey(source)
    ink = find_ink(grey, name=_name(source))
    digit = crop_to_ink(ink)
    grid = _by_mass(digit, height, width)
    dark = np.mean(inputs < (low + high) / 2) >= 0.5  # most of a picture is paper
    begin, end = (low, high) if dark else (high, low)
    seen = (begin + (end - begin) * grid[None, None]).astype(kind)
    return PreparedPicture(grey, ink, digit, grid, seen)


def _middle(colour: np.ndarray, proportion: float) -> np.ndarray:
    """f32[3,H,W]: the largest part around the middle with this width / height."""
    _, height, width = colour.shape
    across, down = min(width, round(height * proportion)), min(height, round(width / proportion))
    across, down = max(across, 1), max(down, 1)
    top, left = (height - down) // 2, (width - across) // 2
    return colour[:, top : top + down, left : left + across]


def _name(source: Any) -> str:
    """What a message calls the picture."""
    if isinstance(source, str | PathLike):
        return str(source)
    kind = "bytes" if isinstance(source, bytes) else f"array {list(np.shape(source))}"
    return f"a picture ({kind})"


# --- grey ---------------------------------------------------------------------------------------


def read_grey(source: Source) -> np.ndarray:
    """Brightness f32[H,W], at most 512 pixels a side, 0 = black and 1 = white.

    source: a path or the bytes of a PNG, JPEG, GIF, BMP, TIFF or WebP file, or an array: grey
    [H,W], [H,W,1] or [1,H,W] in any range of values (its own range becomes 0 to 1), colour
    [H,W,3], or colour with alpha [H,W,4]: uint8 up to 255, fractions up to 1.
    """
    return _grey(_pixels(source))


def read_colour(source: Source) -> np.ndarray:
    """Colour f32[3,H,W], 0 to 1, at most 512 pixels a side; ``source`` as in `read_grey`."""
    pixels = _pixels(source, colour=True)
    if pixels.shape[2] == 1:
        return np.repeat(_grey(pixels)[None], 3, axis=0)
    return np.moveaxis(_on_white(pixels, pixels[:, :, :3]), 2, 0)


def _pixels(source: Source, colour: bool = False) -> np.ndarray:
    """f32[H,W,1], or f32[H,W,3 or 4] from 0 to 1."""
    if isinstance(source, str | PathLike | bytes):
        return _read_file(source, colour)
    return _read_array(np.asarray(source))


def _grey(pixels: np.ndarray) -> np.ndarray:
    if pixels.shape[2] == 1:
        return pixels[:, :, 0]
    luma = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
    return _on_white(pixels, pixels[:, :, :3] @ luma)


def _on_white(pixels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values of pixels as they look on white paper."""
    if pixels.shape[2] < 4:
        return values
    alpha = pixels[:, :, 3].reshape(pixels.shape[:2] + (1,) * (values.ndim - 2))
    return values * alpha + (1 - alpha)


def _read_file(source: str | PathLike[str] | bytes, colour: bool) -> np.ndarray:
    # Pillow is loaded here and nowhere else: `import chainrule` loads NumPy alone.
    from PIL import Image, ImageOps, UnidentifiedImageError

    name = _name(source)
    try:
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # we have a limit too
            image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise DataError(message("picture", name, "a picture: " + ", ".join(FORMATS))) from error
    except Image.DecompressionBombError as error:
        raise _huge(name, "too many pixels") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise DataError(message("picture", name, "a file that can be read", why=why)) from error
    except Exception as error:  # a decoder may raise anything if its data are damaged
        raise _damaged(name, error) from error
    if image.width * image.height > MOST_PIXELS:
        raise _huge(name, f"{image.width} x {image.height} pixels")
    try:
        image.draft(
            "RGB" if colour else "L", (LONGEST_SIDE, LONGEST_SIDE)
        )  # JPEG: decoded small, in little memory
        image = ImageOps.exif_transpose(image)  # phones store photos lying on their side
        transparent = "A" in image.getbands() or "transparency" in image.info
        if not image.mode.startswith(("I", "F")):  # these are 16 and 32 bits of grey
            image = image.convert("RGBA" if transparent else "RGB" if colour else "L")
            image = image.reduce(_reduction(image.height, image.width))
        pixels = np.asarray(image)
    except Exception as error:
        raise _damaged(name, error) from error
    return pixels[:, :, None] / np.float32(255) if image.mode == "L" else _read_array(pixels)


def _huge(name: str, pixels: str) -> DataError:
    needs = f"at most {MOST_PIXELS // 1_000_000} million"
    return DataError(message("picture", f"{name} with {pixels}", needs, remedy="Make it smaller"))


def _damaged(name: str, error: Exception) -> DataError:
    why = f"It is damaged: {error or type(error).__name__}"
    return DataError(message("picture", name, "a whole picture", why=why))


def _reduction(height: int, width: int) -> int:
    """By what whole factor a picture is reduced."""
    return -(-max(height, width) // LONGEST_SIDE)


def _read_array(array: np.ndarray) -> np.ndarray:
    name = _name(array)
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        needs = "[H,W], [H,W,1], [1,H,W], [H,W,3] or [H,W,4]"
        raise DataError(message("picture", name, needs))
    if array.dtype.kind not in "buif" or not np.isfinite(array).all():
        raise DataError(message("picture", f"{name} of {array.dtype}", "finite numbers"))
    height, width, channels = array.shape
    if height * width > MOST_PIXELS:
        raise _huge(name, f"{height} x {width} pixels")
    step = min(_reduction(height, width), height, width)
    blocks = array[: height - height % step, : width - width % step]
    blocks = blocks.reshape(height // step, step, width // step, step, channels)
    pixels = blocks.mean(axis=(1, 3), dtype=np.float32)
    if channels == 1:
        pixels = pixels - pixels.min()
        return pixels / (pixels.max() or np.float32(1))
    white = np.iinfo(array.dtype).max if array.dtype.kind == "u" else max(1, array.max())
    return pixels / np.float32(white)


# --- ink ----------------------------------------------------------------------------------------


def find_ink(grey: np.ndarray, name: str = "the picture") -> np.ndarray:
    """f32[H,W], 0 = paper to 1 = ink, from brightness f32[H,W].

    Paper is a smooth surface (light falls off across a photo), and most of the picture. Ink is
    what stands out from it, to the dark or to the light side, whichever is more. Raises DataError,
    with `name` in its message, if nothing does.
    """
    difference = grey - _paper(grey)
    # Noise moves a pixel from the paper and from its neighbour; much ink does the one, many edges
    # do the other. 1.48 times the median is the standard deviation, if noise is normal.
    from_neighbour = np.diff(grey, append=grey[:, -1:]) / np.sqrt(2)
    noise = 1.4826 * min(np.median(abs(difference)), np.median(abs(from_neighbour)))
    beyond_noise = abs(difference) > max(4 * noise, 0.04)
    side = np.sign((difference * abs(difference))[beyond_noise].sum())
    height = np.where(beyond_noise, side * difference, 0).clip(0)
    # The strongest pixels but for a few, which may be specks.
    few = min(height.size - 1, 8 + height.size // 5000)
    strongest = np.partition(height.ravel(), -few)[-few]
    if strongest < max(0.1, 5 * noise):
        why = "Nothing stands out from the paper"
        remedy = "Dark strokes on light paper, or light ones on dark; transparent parts are white"
        raise DataError(message("picture", name, "ink", why=why, remedy=remedy))
    full = np.median(height[height > strongest / 2])
    # Half the contrast is the edge of a stroke; a soft edge keeps what is between two pixels.
    return ((height / full - 0.25) / 0.5).clip(0, 1).astype(np.float32)


def _paper(grey: np.ndarray) -> np.ndarray:
    """f32[H,W]: the quadratic surface through most pixels; those far from it, ink, hardly count."""
    height, width = grey.shape
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    terms = np.stack(np.broadcast_arrays(np.float32(1), x, y, x * x, x * y, y * y), axis=-1)
    every = -(-max(height, width) // 64)
    a = terms[::every, ::every].reshape(-1, 6).astype(np.float64)
    b = grey[::every, ::every].ravel().astype(np.float64)
    surface = np.array([np.median(b), 0, 0, 0, 0, 0])
    for _ in range(12):  # weighted least squares; a pixel's weight falls with its distance
        distance = b - a @ surface
        spread = max(1.4826 * np.median(abs(distance)), 0.02)
        weighted = a / (1 + np.square(distance / spread))[:, None]
        surface = np.linalg.solve(weighted.T @ a + 1e-6 * np.eye(6), weighted.T @ b)
    return terms @ surface.astype(np.float32)


# --- digit --------------------------------------------------------------------------------------


def crop_to_ink(ink: np.ndarray) -> np.ndarray:
    """f32[H,W] -> f32[h,w]: without specks and clutter, cropped to the edges of what remains.

    Clutter is what lies along the picture's edge (a table, a shadow), specks are regions under one
    twentieth of the largest.
    """
    height, width = ink.shape
    step = -(-max(height, width) // 128)  # regions are found on a coarse net of cells
    rows, columns = -(-height // step), -(-width // step)
    cells = np.zeros((rows * step, columns * step), bool)
    cells[:height, :width] = ink > 0.5
    regions = _regions(np.max(cells.reshape(rows, step, columns, step), axis=(1, 3)))

    area = np.bincount(regions.ravel())
    area[0] = 0
    along_edge = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    clutter = np.bincount(along_edge, minlength=len(area)) > min(rows, columns) / 4
    without = np.where(clutter, 0, area)
    if without.max() >= rows * columns / 1000:
        area = without
    keep = (area >= area.max() / 20)[regions] & (regions > 0)
    keep = _grown(keep.repeat(step, axis=0).repeat(step, axis=1)[:height, :width])  # soft edges

    ink = ink * keep
    across, down = np.flatnonzero(ink.max(axis=0) > 0.5), np.flatnonzero(ink.max(axis=1) > 0.5)
    return ink[down[0] : down[-1] + 1, across[0] : across[-1] + 1]


def _regions(mask: np.ndarray) -> np.ndarray:
    """i64[H,W]: cells that touch, corners included, have one number; 0 where mask is False.

    Each cell begins with a number of its own, its place, and takes the largest among its
    neighbours; then the number of the cell at that place, which may have seen a larger one
    already, so that numbers travel in leaps.
    """
    height, width = mask.shape
    places = np.arange(1, mask.size + 1).reshape(height, width)
    framed = np.zeros((height + 2, width + 2), np.int64)
    framed[1:-1, 1:-1] = places * mask
    while True:
        shifted = (framed[y : y + height, x : x + width] for y in range(3) for x in range(3))
        largest = np.maximum.reduce(list(shifted)) * mask
        for _ in range(3):
            largest = np.append(0, largest)[largest]
        if (largest == framed[1:-1, 1:-1]).all():
            return largest
        framed[1:-1, 1:-1] = largest


# --- grid ---------------------------------------------------------------------------------------


def as_digits(digit: np.ndarray) -> np.ndarray:
    """f32[h,w], ink 0 to 1 -> f32[8,8], values 0 to 16, as the shipped digits were made.

    They went through NIST's normalisation for its hand-print system (Garris et al., NISTIR 5469,
    1994): size, stroke width and slant, in a bitmap of 32×32; then the ink in each block of 4×4
    was counted. One step differs. NIST stretched every digit to 20×32, even a plain 1; here a
    digit keeps its proportions, scaled so that an ordinary one becomes about as wide.
    """
    height, width = digit.shape
    across = int(np.clip(round(0.85 * 32 * width / height), 6, 24))
    fitted = resized(digit, 32, across)
    while fitted.sum() < 108 and np.ptp(digit) > 0:  # a hair-line would come out pale, not thin
        digit = _grown(digit)
        fitted = resized(digit, 32, across)
    left = (32 - across) // 2
    frame = np.pad(fitted, ((0, 0), (left, 32 - across - left)))
    frame = _upright(_with_usual_ink(frame))
    return frame.reshape(8, 4, 8, 4).sum(axis=(1, 3))


def _with_usual_ink(frame: np.ndarray) -> np.ndarray:
    """f32[32,32]: strokes a pixel thinner for more than the usual ink, thicker for less."""
    ink = frame.sum()
    if ink < 256:
        return _grown(frame)
    for limit in (412, 560):
        frame = -_grown(-frame) if ink > limit else frame
    return frame


def _upright(frame: np.ndarray) -> np.ndarray:
    """f32[32,32], its rows moved sideways: the left ends of top and bottom come to stand in line.

    Rows 2 and 29 count as top and bottom, since the outermost may be ragged.
    """
    top, bottom = frame[2] > 0.5, frame[29] > 0.5
    if not (top.any() and bottom.any()):
        return frame
    slope = (int(top.argmax()) - int(bottom.argmax())) / 27
    moved = np.zeros_like(frame)
    for row in range(32):
        by = round((row - 16) * slope)
        moved[row, max(by, 0) : 32 + min(by, 0)] = frame[row, max(-by, 0) : 32 - max(by, 0)]
    return moved


def as_mnist(digit: np.ndarray) -> np.ndarray:
    """f32[h,w], ink 0 to 1 -> f32[28,28], values 0 to 255, as MNIST's images were made.

    The longer side becomes 20 pixels, and the centre of mass the middle of 28×28 (LeCun et al.,
    1998, section III.A).
    """
    return 255 * _by_mass(digit, 28, 28)


def _by_mass(digit: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """f32[h,w] -> f32[rows,columns]: 20/28 of the room, the centre of mass in its middle."""
    scale = min(20 / 28 * rows / digit.shape[0], 20 / 28 * columns / digit.shape[1])
    height, width = (max(1, round(side * scale)) for side in digit.shape)
    small = resized(digit, height, width)
    y = (small.sum(axis=1) @ np.arange(height) + small.sum() / 2) / small.sum()
    x = (small.sum(axis=0) @ np.arange(width) + small.sum() / 2) / small.sum()
    top = int(np.clip(round(rows / 2 - y), 0, rows - height))
    left = int(np.clip(round(columns / 2 - x), 0, columns - width))
    frame = np.zeros((rows, columns), np.float32)
    frame[top : top + height, left : left + width] = small
    return frame


_GRIDS: dict[str, Any] = {"digits": as_digits, "mnist": as_mnist}


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """f32[H,W] -> f32[height,width]: each new pixel is the mean of the area that it covers."""
    return (_cover(image.shape[0], height) @ image @ _cover(image.shape[1], width).T).astype(
        np.float32
    )


def _cover(old: int, new: int) -> np.ndarray:
    """f64[new,old]: what part of each new pixel each old one makes up."""
    edges = np.linspace(0, old, new + 1)
    pixel = np.arange(old)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return overlap.clip(0) * new / old


def _grown(image: np.ndarray) -> np.ndarray:
    """[H,W]: each pixel's maximum over itself and its four neighbours."""
    framed = np.pad(image, 1, mode="edge")
    across = np.maximum(framed[1:-1, :-2], framed[1:-1, 2:])
    down = np.maximum(framed[:-2, 1:-1], framed[2:, 1:-1])
    return np.maximum(image, np.maximum(across, down))
