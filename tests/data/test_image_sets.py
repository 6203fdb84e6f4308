import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from chainrule import random
from chainrule.data import (
    CIFAR10,
    CIFAR100,
    EMNIST,
    KMNIST,
    MNIST,
    Compose,
    DataLoader,
    Digits,
    FashionMNIST,
    ImageSet,
    Normalize,
    RandomAffine,
    open_dataset,
)
from chainrule.dtypes import float32
from chainrule.errors import DataError, UsageError
from chainrule.tensor import Tensor

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 28, 28)).astype(np.uint8)
LABELS = np.array([3, 1, 4, 1, 5], np.uint8)
REAL = Path(os.environ.get("CHAINRULE_DATA", ""))


def idx(array):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture(autouse=True)
def no_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path / "data"))


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES)))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(LABELS))
    return folder


def test_mnist_from_a_folder(folder):
    for dataset in (
        MNIST(),
        MNIST(folder),
        MNIST(folder.parent, train=False),
        open_dataset("mnist"),
    ):
        assert np.array_equal(dataset.data, IMAGES[:, None]) and dataset.data.dtype == np.uint8
        assert dataset.targets.tolist() == LABELS.tolist()
    image, label = dataset[2]
    assert image.dtype == np.float32 and label == 4
    assert np.array_equal(image, IMAGES[2][None] / np.float32(255))
    (batch,) = DataLoader(dataset, 5)
    assert batch[0].shape == (5, 1, 28, 28) and batch[1].dtype.name == "int64"
    (raw,) = DataLoader(dataset.raw, 5)
    assert raw[0].dtype.name == "uint8"


@pytest.mark.parametrize(
    ("layout", "kind"), [("FashionMNIST/raw", FashionMNIST), ("KMNIST/raw", KMNIST)]
)
def test_torchvisions_folders(folder, tmp_path, layout, kind):
    there = tmp_path / "data" / layout
    there.parent.mkdir()
    folder.rename(there)
    assert len(kind(tmp_path / "data")) == 5
    with pytest.raises(DataError, match="no files of mnist"):  # whose files have the same names
        MNIST(tmp_path / "data")


def test_a_folder_without_the_set_and_then_the_one_of_the_environment(folder, tmp_path):
    assert len(MNIST(tmp_path / "empty", download=True)) == 5  # what is there is not downloaded
    with pytest.raises(DataError, match=r"no files of kmnist in .*empty or .*data, needs"):
        KMNIST(tmp_path / "empty")


def test_a_random_transform_in_the_dataset(folder):
    dataset = MNIST(folder, transform=RandomAffine(degrees=20))
    random.manual_seed(2)
    first, second = DataLoader(dataset, 5), DataLoader(dataset, 5, num_workers=2)
    batches = [next(iter(loader))[0].numpy() for loader in (first, second, first)]
    assert not np.array_equal(batches[0], batches[2])
    random.manual_seed(2)
    assert np.array_equal(next(iter(second))[0].numpy(), batches[0])
    assert dataset[0][0].shape == (1, 28, 28)
    assert not MNIST(folder, transform=Compose(())).random


def test_emnist_stands_upright_and_its_letters_begin_at_0(tmp_path):
    folder = tmp_path / "data" / "emnist"
    folder.mkdir(parents=True)
    for split in ("letters", "balanced"):
        stem = f"emnist-{split}-train"
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES)))
        (folder / f"{stem}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS)))
    letters = EMNIST(split="letters")
    assert letters.targets.tolist() == [2, 0, 3, 0, 4] and letters.classes[2] == "c"
    assert np.array_equal(letters.data[1, 0], IMAGES[1].T)
    assert len(EMNIST(split="balanced").classes) == 47
    with pytest.raises(UsageError, match="split = 'capitals'"):
        EMNIST(split="capitals")


def test_cifar_from_a_folder(tmp_path):
    folder = tmp_path / "data" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for number in range(1, 6):
        (folder / f"data_batch_{number}.bin").write_bytes(bytes([number]) + bytes(3072))
    (folder / "test_batch.bin").write_bytes(bytes([9]) + bytes([255]) * 3072)
    assert CIFAR10().targets.tolist() == [1, 2, 3, 4, 5]
    image, label = CIFAR10(folder, train=False)[0]
    assert image.shape == (3, 32, 32) and image.min() == 1 and label == 9
    subset = tmp_path / "some"
    subset.mkdir()
    (subset / "train_first.bin").write_bytes(bytes([0, 5]) + bytes(3072))
    assert CIFAR100(subset).targets.tolist() == [5]
    with pytest.raises(DataError, match="no files of cifar100"):
        CIFAR100()  # cifar-10-batches-bin is not its folder


def test_a_folder_of_another_set_is_not_taken(tmp_path):
    folder = tmp_path / "data" / "cifar-100-binary"
    folder.mkdir(parents=True)
    (folder / "train.bin").write_bytes(bytes([0, 5]) + bytes(3072))
    assert len(CIFAR100()) == 1
    with pytest.raises(DataError, match="no files of cifar10 in"):
        CIFAR10()


def test_names():
    assert isinstance(open_dataset("digits", "validation"), Digits)
    with pytest.raises(UsageError, match=r"Did you mean mnist\?"):
        open_dataset("mnits")
    with pytest.raises(UsageError, match="split 'validation' of mnist, needs one of train, test"):
        open_dataset("mnist", "validation")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("images-idx3-ubyte", idx(IMAGES[:4]), "4 images and 5 labels, needs equally many"),
        (
            "labels-idx1-ubyte",
            idx(LABELS + 5),
            "labels-idx1-ubyte: label 10 of sample 4, needs 0 to 9",
        ),
        ("images-idx3-ubyte", idx(LABELS), "Images and labels exchanged?"),
        ("labels-idx1-ubyte", idx(IMAGES), "Images and labels exchanged?"),
        ("images-idx3-ubyte", b"<html>Not found</html>", "web page"),
    ],
)
def test_faults_of_a_folder(folder, name, content, words):
    (folder / "train-images-idx3-ubyte.gz").unlink(missing_ok=name.startswith("images"))
    if not name.startswith("images"):
        (folder / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (folder / f"train-{name}").write_bytes(content)
    with pytest.raises(DataError, match=words):
        MNIST(folder)


def test_an_empty_set_and_missing_files(folder):
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES[:0])))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(LABELS[:0]))
    with pytest.raises(DataError, match="of 0 images, needs at least one"):
        MNIST(folder)
    with pytest.raises(DataError, match=r"no files of kmnist in .*chainrule data get kmnist"):
        KMNIST()
    with pytest.raises(DataError, match="0 images"):
        ImageSet(np.zeros((0, 1, 8, 8), np.uint8), [], ["a"])


@pytest.mark.skipif(
    not (REAL / "mnist").is_dir(), reason="CHAINRULE_DATA names no folder with mnist"
)
def test_the_real_mnist():
    train, test = open_dataset("mnist", "train", REAL), open_dataset("mnist", "test", REAL)
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.targets[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert round(float(train.data.mean() / 255), 4) == 0.1307


def test_a_sample_is_a_tensor_where_somebody_transforms_it(folder):
    image, label = MNIST(folder, transform=Normalize((0.5,), (0.5,)))[2]
    assert isinstance(image, Tensor) and image.dtype is float32 and label == 4
    assert isinstance(MNIST(folder)[2][0], np.ndarray)
