import gzip
import struct

import numpy as np
import pytest

from chainrule.data import read_cifar, read_idx
from chainrule.errors import DataError


def idx(array, kind=8):
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, kind, array.ndim]) + sizes + array.tobytes()


PIXELS = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def test_idx_plain_gzipped_and_from_a_path(tmp_path):
    path = tmp_path / "images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(PIXELS)))
    for source in (idx(PIXELS), gzip.compress(idx(PIXELS)), path, str(path)):
        array = read_idx(source)
        assert array.dtype == np.uint8 and np.array_equal(array, PIXELS)


@pytest.mark.parametrize(("kind", "dtype"), [(0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")])
def test_idx_of_larger_numbers(kind, dtype):
    array = read_idx(idx(np.array([1, -2, 3], dtype), kind))
    assert array.dtype == np.dtype(dtype).newbyteorder("=") and array.tolist() == [1, -2, 3]


@pytest.mark.parametrize(
    "sizes", [(10**6, 1000, 1000), (2**32 - 1,) * 8, (2**31, 1), (0, 2**32 - 1, 2**32 - 1)]
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_header_that_claims_too_much_allocates_nothing(sizes, pack):
    content = bytes([0, 0, 8, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + bytes(100)
    with pytest.raises(
        DataError, match=r"needs [0-9,]+\. It is cut short, or its header is damaged"
    ):
        read_idx(pack(content))


def test_a_bomb_is_read_no_further_than_its_header_says():
    bomb = gzip.compress(idx(PIXELS) + bytes(50_000_000))
    with pytest.raises(DataError, match="with more bytes of values, needs 24"):
        read_idx(bomb)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b"\n<!DOCTYPE html><html>404</html>", r"a web page \(HTML\)"),
        (gzip.compress(b"something else", mtime=0), "gzipped content of another kind"),
        (b"\x89PNG\r\n", "begins with 89 50 4e 47"),
        (bytes([0, 0, 9, 1, 0, 0, 0, 0]), "begins with 00 00 09 01"),
        (idx(PIXELS)[:-1], "with 23 bytes of values, needs 24"),
        (idx(PIXELS)[:10], "3 axes in a header of 10 bytes"),
        (idx(PIXELS) + b"x", "with more bytes of values"),
        (gzip.compress(idx(PIXELS), mtime=0)[:-9], "gzip stream is broken"),
        (gzip.compress(idx(PIXELS), mtime=0)[:-8] + bytes(8), "gzip stream is broken"),  # its CRC
    ],
)
def test_idx_faults(content, words, tmp_path):
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        read_idx(path)
    assert str(path) in str(caught.value) and "Delete it and get it again" in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"nowhere, which can't be read \(No such file"):
        read_idx(tmp_path / "nowhere")


def test_cifar():
    content = bytes([9]) + bytes(range(256)) * 12 + bytes([0]) + bytes(3072)
    images, labels = read_cifar(content)
    assert labels.tolist() == [9, 0] and labels.dtype == np.int64
    assert images.shape == (2, 3, 32, 32) and images[0, 0, 1, :3].tolist() == [32, 33, 34]
    _, fine = read_cifar(bytes([3, 99]) + bytes(3072), classes=100, label_bytes=2)
    assert fine.tolist() == [99]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bytes(3072), "of 3,072 bytes, needs a multiple of 3,073 bytes"),
        (b"", "an empty file"),
        (b"<html>" + bytes(10), r"a web page \(HTML\)"),
        (bytes(3073) + bytes([10]) + bytes(3072), "label 10 of sample 1, needs 0 to 9"),
    ],
)
def test_cifar_faults(content, words):
    with pytest.raises(DataError, match=words):
        read_cifar(content, name="data_batch_1.bin")
