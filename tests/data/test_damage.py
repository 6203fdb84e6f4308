"""Ten thousand damaged copies of each file format: one clear error, or correct data.

Nothing else may come out: no other exception, no warning (which pytest makes an error), no hang,
and no memory beyond what a small file may need.
"""

import gzip
import io
import sys

import numpy as np
import pytest
from PIL import Image

import chainrule as cr
from chainrule.data import CSV, ImageFolder, read_cifar, read_idx, read_picture
from chainrule.errors import ChainruleError, DataError

COPIES = 10_000
MOST_MORE = 150  # megabytes
RNG = np.random.default_rng(7)
PIXELS = RNG.integers(0, 256, (3, 5, 4)).astype(np.uint8)
IDX = bytes([0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0, 4]) + PIXELS.tobytes()
EXTREMES = np.array([0, 1, 0x7F, 0x80, 0xFF], np.uint8)


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with one to three faults, each more often near the beginning than elsewhere."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        if not data:
            break
        within = len(data) if rng.random() < 0.5 else min(len(data), 40)
        at, kind = int(rng.integers(within)), rng.integers(7)
        run = slice(at, at + int(rng.integers(1, 12)))
        if kind == 0:
            data[at] ^= 1 << rng.integers(8)
        elif kind == 1:
            data[at] = rng.choice(EXTREMES)
        elif kind == 2:
            data[run] = rng.bytes(len(data[run]))
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            del data[run]
        elif kind == 5:
            data[at:at] = data[run]
        else:
            data[run] = bytes([255]) * len(data[run])
    return bytes(data)


def megabytes() -> float:
    """The most memory that this process ever had."""
    if sys.platform == "win32":
        return 0.0
    import resource

    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def survive(content, read, sound, copies=COPIES):
    """Read damaged copies; returns how many gave data.  sound: is that data a possible reading?"""
    rng = np.random.default_rng(1)
    before, whole = megabytes(), 0
    assert sound(read(content))
    for _ in range(copies):
        copy = damaged(content, rng)
        try:
            found = read(copy)
        except ChainruleError as error:
            text = str(error)
            assert text.startswith("[") and " got " in text and len(text) < 1000
            continue
        assert sound(found), copy
        whole += 1
    assert megabytes() - before < MOST_MORE
    return whole


def test_idx():
    def sound(array):
        return array.dtype.name in ("uint8", "int32", "float32", "float64") and array.nbytes < 1000

    assert 1000 < survive(IDX, read_idx, sound) < 9000


def test_idx_gzipped():
    def sound(array):  # the checksum in the file finds whatever the damage changed
        return np.array_equal(array, PIXELS)

    assert 100 < survive(gzip.compress(IDX, mtime=0), read_idx, sound) < 9000


def test_cifar():
    records = bytes([3]) + RNG.bytes(3072) + bytes([9]) + RNG.bytes(3072)

    def sound(found):
        images, labels = found
        return images.shape == (len(labels), 3, 32, 32) and 0 <= labels.min() <= labels.max() < 10

    assert 1000 < survive(records, read_cifar, sound) < 9000


@pytest.mark.parametrize("label", [None, "kind", -1])
def test_csv(label):
    rows = "".join(f"{i},{i / 7:.3f},{'ant' if i % 2 else 'bee'}\n" for i in range(12))
    if label is None:
        rows = rows.replace("ant", "1e-3").replace("bee", "-2")

    def read(content):
        return CSV(content, label=label)

    def sound(table):
        x = table.arrays[0]
        return x.dtype == np.float32 and np.isfinite(x).all() and len(x) == len(table) > 0

    assert 500 < survive(("width,height,kind\n" + rows).encode(), read, sound) < 9500


@pytest.mark.parametrize(
    ("kind", "copies"),
    [("PNG", COPIES), *((kind, 1000) for kind in ("JPEG", "GIF", "BMP", "TIFF", "WEBP"))],
)
def test_pictures(kind, copies):
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (9, 7, 3)).astype(np.uint8)).save(file, format=kind)

    def sound(image):
        return image.shape[0] == 3 and 0 <= image.min() <= image.max() <= 1

    assert survive(file.getvalue(), read_picture, sound, copies) < copies


def test_a_damaged_picture_in_a_folder_is_an_error_with_its_path(tmp_path):
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "1.png"
    file = io.BytesIO()
    Image.fromarray(PIXELS[0]).save(file, format="PNG")
    rng = np.random.default_rng(3)
    named = 0
    for _ in range(300):
        path.write_bytes(damaged(file.getvalue(), rng))
        try:
            image, _ = ImageFolder(tmp_path)[0]
        except DataError as error:
            named += str(path) in str(error)
        else:
            named += image.shape[0] == 3
    assert named == 300


def test_checkpoints(tmp_path):
    path = tmp_path / "weights.safetensors"
    weights = {"w": cr.tensor(PIXELS[0]), "step": 3, "rates": [0.1, 0.2]}
    cr.save(weights, path)

    def read(content):
        path.write_bytes(content)
        return cr.load(path)

    def sound(found):  # the checksum covers everything
        return np.array_equal(found["w"].numpy(), PIXELS[0]) and found["rates"] == [0.1, 0.2]

    assert survive(path.read_bytes(), read, sound) < 9000
