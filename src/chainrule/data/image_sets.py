"""The classical sets of pictures, by class as in torchvision and by name for the command line.

Pixels stay u8 in memory and become f32 batch by batch.  Samples are (image f32[C,H,W], 0 to 1;
label), as torchvision's are after ``ToTensor``.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data.dataset import Dataset, TensorDataset, is_random
from chainrule.data.digits import digits
from chainrule.data.files import check_labels, read_cifar, read_idx
from chainrule.data.sources import data_folders, download, find
from chainrule.data.transforms import Transform
from chainrule.data.workers import augmentation
from chainrule.errors import DataError, UsageError, did_you_mean, message
from chainrule.tensor import tensor

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "EMNIST",
    "KMNIST",
    "MNIST",
    "Digits",
    "FashionMNIST",
    "ImageSet",
    "NAMES",
    "locate",
    "open_dataset",
]

Root = str | PathLike[str] | None
_EMNIST_STEMS = ("emnist-balanced-train", "emnist-balanced-test")


class ImageSet(Dataset):
    """Pictures u8[N,C,H,W] with labels i64[N]; sample i is (f32[C,H,W] from 0 to 1, label).

    data, targets: the arrays as they were stored.  peak: the pixel value that becomes 1.
    transform: is given batches f32[N,C,H,W] from 0 to 1.  Memory: N·C·H·W + 8·N bytes.

    >>> one = ImageSet(np.full((1, 1, 2, 2), 255, np.uint8), [3], ["a", "b", "c", "d"])
    >>> image, label = one[0]
    >>> image.tolist(), label
    ([[[1.0, 1.0], [1.0, 1.0]]], 3)
    """

    peak = 255

    def __init__(
        self,
        data: np.ndarray,
        targets: Any,
        classes: Sequence[str],
        transform: Transform | None = None,
        name: str = "ImageSet",
    ) -> None:
        self.data, self.targets = data, np.asarray(targets, np.int64)
        self.classes, self.transform = list(classes), transform
        if len(self.data) != len(self.targets):
            got = f"{name}: {len(self.data):,} images and {len(self.targets):,} labels"
            raise DataError(message("data", got, "equally many"))
        if not len(self.data):
            raise DataError(message("data", f"{name} of 0 images", "at least one"))
        check_labels(self.targets, len(self.classes), name)

    @property
    def random(self) -> bool:
        """Whether its transform is."""
        return is_random(self.transform)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        (image,), (label,) = self.__getitems__([index])
        # As torchvision's: whoever gives a transform wants a tensor, with a dtype and ``.to``.
        return image if self.transform is None else tensor(image), int(label)

    def __getitems__(self, indices: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        chosen = np.asarray(indices, np.int64)
        images, labels = self.data[chosen] / np.float32(self.peak), self.targets[chosen]
        if self.transform is None:
            return images, labels
        return self.transform.together(images, labels, augmentation() if self.random else None)

    @property
    def raw(self) -> TensorDataset:
        """The stored pixels and labels: what a recipe with ``Scale`` begins with."""
        return TensorDataset(self.data, self.targets)

    def __repr__(self) -> str:
        shape = ",".join(map(str, self.data.shape))
        return f"<{type(self).__name__} u8[{shape}], {len(self.classes)} classes>"


class Digits(ImageSet):
    """The 1,797 digits of 8×8 pixels that the package ships, 0 (paper) to 16 (ink).

    split: "train", "validation" or "test".

    >>> Digits("test")
    <Digits u8[360,1,8,8], 10 classes>
    """

    peak = 16

    def __init__(self, split: str = "train", transform: Transform | None = None) -> None:
        images, labels = digits(split)
        super().__init__(images[:, None], labels, list(string.digits), transform, "digits")


class MNIST(ImageSet):
    """Handwritten digits: 60,000 to train, 10,000 to test, u8[N,1,28,28], 47 MB and 8 MB.

    root: a folder with the four files, gzipped or not (also as torchvision keeps them), or with a
    folder ``mnist`` of them; else CHAINRULE_DATA, or the user's data folder.  download=True gets
    files that are not there.  Raises DataError where a file is missing, damaged or foreign.
    """

    set_name = "mnist"
    class_names: Sequence[str] = string.digits

    def __init__(
        self,
        root: Root = None,
        train: bool = True,
        transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        if download:
            _ensure(self.set_name, root, self._files(train))
        images, labels = (_one(self.set_name, root, name) for name in self._files(train))
        super().__init__(*self._read(images, labels), self.class_names, transform, str(labels))

    def _files(self, train: bool) -> tuple[tuple[str, ...], ...]:
        part = "train" if train else "t10k"
        return _patterns(f"{part}-images"), _patterns(f"{part}-labels")

    def _read(self, images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
        pixels, marks = read_idx(images), read_idx(labels)
        for path, array, axes in ((images, pixels, 3), (labels, marks, 1)):
            if array.ndim != axes or array.dtype != np.uint8:
                got = f"{path}: {array.dtype}{list(array.shape)}"
                needs = "u8[N,H,W]" if axes == 3 else "u8[N]"
                why = "Images and labels exchanged?"
                raise DataError(message("data", got, needs, why=why))
        return pixels[:, None], marks


class FashionMNIST(MNIST):
    """Pictures of clothes in MNIST's format (Zalando Research, MIT licence)."""

    set_name = "fashion-mnist"
    class_names = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )


class KMNIST(MNIST):
    """Kuzushiji, Japanese cursive characters, in MNIST's format (CODH, CC BY-SA 4.0)."""

    set_name = "kmnist"
    class_names = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


_MERGED = set("cijklmopsuvwxyz")  # letters that look alike in both cases
_LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_UNMERGED = [c for c in _LETTERS if c not in _MERGED]


class EMNIST(MNIST):
    """Handwritten letters and digits (NIST), u8[N,1,28,28], upright as MNIST's.

    split: "byclass" (62 classes), "bymerge", "balanced" (47), "letters" (26), "digits" or "mnist"
    (10).  The labels of "letters" are 0 to 25; in the files they begin at 1.
    """

    set_name = "emnist"
    splits = {
        "byclass": list(_LETTERS),
        "bymerge": _UNMERGED,
        "balanced": _UNMERGED,
        "letters": list(string.ascii_lowercase),
        "digits": list(string.digits),
        "mnist": list(string.digits),
    }

    def __init__(
        self,
        root: Root = None,
        split: str = "balanced",
        train: bool = True,
        transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        if split not in self.splits:
            got, needs = f"split = {split!r}", "one of " + ", ".join(self.splits)
            raise UsageError(message("EMNIST", got, needs))
        self.split, self.class_names = split, self.splits[split]
        super().__init__(root, train, transform, download)

    def _files(self, train: bool) -> tuple[tuple[str, ...], ...]:
        part = f"emnist-{self.split}-{'train' if train else 'test'}"
        return _patterns(f"{part}-images"), _patterns(f"{part}-labels")

    def _read(self, images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
        pixels, marks = super()._read(images, labels)
        return pixels.swapaxes(2, 3), marks.astype(np.int64) - (self.split == "letters")


class CIFAR10(ImageSet):
    """Small colour pictures of 10 kinds, u8[N,3,32,32]: 50,000 and 10,000, 154 MB and 31 MB.

    root: a folder with the binary files (data_batch_1.bin … and test_batch.bin; or train*.bin and
    test*.bin), or with a folder of them; else as in `MNIST`.
    """

    set_name = "cifar10"
    label_bytes = 1
    class_names: Sequence[str] = (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )

    def __init__(
        self,
        root: Root = None,
        train: bool = True,
        transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        files = CIFAR_TRAIN if train else CIFAR_TEST
        if download:
            _ensure(self.set_name, root, (files,))
        paths = find(self.set_name, files, root)
        if not paths:
            raise _missing(self.set_name, root, files)
        classes, head = len(self.class_names), self.label_bytes
        parts = [read_cifar(path, classes=classes, label_bytes=head) for path in paths]
        images, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
        super().__init__(images, labels, self.class_names, transform, str(paths[0].parent))


class CIFAR100(CIFAR10):
    """CIFAR of 100 kinds, u8[N,3,32,32]; the labels are the fine ones."""

    set_name = "cifar100"
    label_bytes = 2
    class_names = (  # noqa: SIM905  a hundred words read better so
        "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus "
        "butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach "
        "couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster "
        "house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree "
        "motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear "
        "pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road "
        "rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel "
        "streetcar sunflower sweet_pepper table tank telephone television tiger tractor train "
        "trout tulip turtle wardrobe whale willow_tree wolf woman worm"
    ).split()


# ------------------------------------------------------------ files


def _patterns(stem: str) -> tuple[str, ...]:
    """Names of an IDX file: plain or gzipped, with its kind after - or . (as unpacked)."""
    return tuple(f"{stem}{joint}idx?-ubyte{end}" for joint in "-." for end in ("", ".gz"))


CIFAR_TRAIN = ("data_batch_*.bin", "train*.bin")
CIFAR_TEST = ("test_batch*.bin", "test*.bin")


def _one(name: str, root: Root, patterns: tuple[str, ...]) -> Path:
    found = find(name, patterns, root)
    if not found:
        raise _missing(name, root, patterns[1:2])
    return found[0]


def _missing(name: str, root: Root, patterns: Sequence[str]) -> DataError:
    folders = " or ".join(map(str, data_folders(root)))
    got, needs = f"no files of {name} in {folders}", " or ".join(patterns)
    remedy = f"chainrule data get {name} gets them; --data-dir and CHAINRULE_DATA say where to look"
    return DataError(message("data", got, needs, remedy=remedy))


def _ensure(name: str, root: Root, files: Sequence[tuple[str, ...]]) -> None:
    """Download the set unless its files are there."""
    if not all(find(name, patterns, root) for patterns in files):
        download(name, root)


def locate(name: str, data_dir: Root = None) -> Path | None:
    """The folder where all files of a set are, if they are (of EMNIST: those of "balanced")."""
    wanted = [CIFAR_TRAIN, CIFAR_TEST]
    if not name.startswith("cifar"):
        stems = ("train", "t10k") if name != "emnist" else _EMNIST_STEMS
        wanted = [_patterns(f"{stem}-{kind}") for stem in stems for kind in ("images", "labels")]
    found = [find(name, patterns, data_dir) for patterns in wanted]
    return found[0][0].parent if all(found) else None


# ------------------------------------------------------------ by name

_CLASSES: dict[str, Callable[..., ImageSet]] = {
    "mnist": MNIST,
    "fashion-mnist": FashionMNIST,
    "kmnist": KMNIST,
    "emnist": EMNIST,
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
}
NAMES = ("digits", *_CLASSES)


def open_dataset(name: str, split: str = "train", data_dir: Root = None) -> ImageSet:
    """A set by its name: digits (shipped), mnist, fashion-mnist, kmnist, emnist, cifar10, cifar100.

    split: "train" or "test"; digits also has "validation".  data_dir: see `MNIST`.  Nothing is
    downloaded.  Raises UsageError for an unknown name or split, DataError for missing files.

    >>> open_dataset("digits", "test").data.shape
    (360, 1, 8, 8)
    """
    if name not in NAMES:
        needs, remedy = "one of " + ", ".join(NAMES), did_you_mean(name, NAMES)
        raise UsageError(message("data", repr(name), needs, remedy=remedy))
    splits = ("train", "validation", "test") if name == "digits" else ("train", "test")
    if split not in splits:
        needs = "one of " + ", ".join(splits)
        raise UsageError(message("data", f"split {split!r} of {name}", needs))
    if name == "digits":
        return Digits(split)
    return _CLASSES[name](root=data_dir, train=split == "train")
