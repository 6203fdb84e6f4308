"""The shipped digits: what the arrays are, that the split is fair and fixed, and damaged files."""

import hashlib
import importlib
import shutil

import numpy as np
import pytest

from chainrule.data import digits
from chainrule.data.digits import FOLDER, make
from chainrule.errors import DataError

SIZES = {"train": 1257, "validation": 180, "test": 360}


@pytest.mark.parametrize("split", SIZES)
def test_shapes_dtypes_and_ranges(split):
    images, labels = digits(split)
    assert images.shape == (SIZES[split], 8, 8)
    assert images.dtype == np.uint8
    assert labels.shape == (SIZES[split],)
    assert labels.dtype == np.int64
    assert (images.min(), images.max()) == (0, 16)
    assert (labels.min(), labels.max()) == (0, 9)


def test_pictures_and_labels_belong_together():
    images, labels = digits("train")
    assert labels[0] == 0
    assert images[0, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    zeros, ones = images[labels == 0], images[labels == 1]
    assert zeros[:, 3:5, 3:5].mean() < 2, "a zero has a hole"
    assert ones[:, 3:5, 3:5].mean() > 10, "a one has a stem"


def test_split_is_disjoint_and_complete():
    pictures = [image.tobytes() for split in SIZES for image in digits(split)[0]]
    assert len(pictures) == len(set(pictures)) == 1797


@pytest.mark.parametrize("split", SIZES)
def test_split_is_stratified(split):
    whole = sum(np.bincount(digits(name)[1], minlength=10) for name in SIZES)
    part = np.bincount(digits(split)[1], minlength=10)
    assert (abs(part - whole * SIZES[split] / 1797) <= 2).all()


def test_split_never_changes():
    checksum = hashlib.sha256()
    for split in SIZES:
        images, labels = digits(split)
        checksum.update(images.tobytes())
        checksum.update(labels.astype("<i8").tobytes())
    assert (
        checksum.hexdigest() == "723503f0a44dd835aaaff1be1cbf10f30ca4d829616a1e3104137cdb8c990221"
    )


def test_split_follows_its_documented_rule():
    with np.load(FOLDER / "digits.npz") as arrays:
        images, labels = arrays["images"], arrays["labels"]
    rows = make.stratified_split(images, labels)
    for split in SIZES:
        assert np.array_equal(digits(split)[0], images[rows[split]])
        assert np.array_equal(digits(split)[1], labels[rows[split]])


def test_shipped_files_are_small_and_attributed():
    assert sum(file.stat().st_size for file in FOLDER.glob("*.*")) <= 200_000
    attribution = (FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for words in ("CC BY 4.0", "10.24432/C50P49", "Alpaydin", "Kaynak"):
        assert words in attribution


def test_each_call_returns_arrays_of_its_own():
    digits("test")[0][:] = 0
    assert digits("test")[0].any()


def test_wrong_split():
    with pytest.raises(DataError) as caught:
        digits("valid")
    text = "[data/digits] got split 'valid', needs one of 'train', 'validation', 'test'."
    assert str(caught.value) == text


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    for name in ("digits.npz", "split.json"):
        shutil.copy(FOLDER / name, tmp_path)
    monkeypatch.setattr(importlib.import_module("chainrule.data.digits"), "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["digits.npz", "split.json"])
@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:99] + b"?" + b[100:], len])
def test_damaged_file(shipped, name, damage):
    content = (shipped / name).read_bytes()
    damaged = b"" if damage is len else damage(content)
    (shipped / name).write_bytes(damaged)
    with pytest.raises(DataError) as caught:
        digits("train")
    assert str(caught.value) == (
        f"[data/digits] got {shipped / name}, which is damaged ({len(damaged)} bytes), "
        "needs the file that chainrule ships. Install chainrule again."
    )


def test_missing_file(shipped):
    (shipped / "digits.npz").unlink()
    with pytest.raises(DataError, match=r"digits\.npz, which can't be read .*, needs the file"):
        digits("train")


def test_line_endings_of_another_system_are_no_damage(shipped):
    split = shipped / "split.json"
    split.write_bytes(split.read_bytes().replace(b"\n", b"\r\n"))
    assert len(digits("test")[1]) == 360
