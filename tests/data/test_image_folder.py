import io

import numpy as np
import pytest
from PIL import Image

from chainrule import random
from chainrule.data import (
    Compose,
    DataLoader,
    ImageFolder,
    RandomHorizontalFlip,
    Resize,
    read_picture,
)
from chainrule.errors import DataError, ShapeError, UsageError

RNG = np.random.default_rng(0)


def picture(height, width, mode="RGB", **save):
    channels = {"RGB": 3, "RGBA": 4}.get(mode)
    shape = (height, width, channels) if channels else (height, width)
    file = io.BytesIO()
    image = Image.fromarray(RNG.integers(0, 256, shape).astype(np.uint8), mode=None)
    image.save(file, **({"format": "PNG"} | save))
    return file.getvalue()


@pytest.fixture
def root(tmp_path):
    for name, count in (("ant", 3), ("bee", 4)):
        folder = tmp_path / name
        (folder / "deeper").mkdir(parents=True)
        for number in range(count):
            place = folder / "deeper" if number == 2 else folder
            (place / f"{number}.png").write_bytes(picture(8, 10 + number))
    (tmp_path / "ant" / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


def test_classes_are_folders_and_each_picture_is_fitted(root):
    dataset = ImageFolder(root, transform=Resize((6, 6)))
    assert dataset.classes == ["ant", "bee"] and dataset.targets == [0, 0, 0, 1, 1, 1, 1]
    image, label = dataset[3]
    assert image.shape == (3, 6, 6) and image.dtype == np.float32 and label == 1
    images, labels = next(iter(DataLoader(dataset, 7)))
    assert images.shape == (7, 3, 6, 6) and labels.tolist() == dataset.targets
    assert ImageFolder(root, channels=1)[0][0].shape == (1, 8, 10)


def test_random_transforms_do_not_depend_on_the_workers(root):
    transform = Compose((Resize((6, 6)), RandomHorizontalFlip()))
    bits = []
    for workers in (0, 2):
        random.manual_seed(1)
        loader = DataLoader(ImageFolder(root, transform=transform), 3, num_workers=workers)
        bits.append([images.numpy().tobytes() for images, _ in loader])
    assert bits[0] == bits[1]


def test_pictures_of_different_sizes_say_what_to_do(root):
    with pytest.raises(ShapeError, match=r"shapes \[3, 8, 10\] and \[3, 8, 11\].*Resize"):
        list(DataLoader(ImageFolder(root), 3))


@pytest.mark.parametrize(("workers", "kind"), [(0, "threads"), (2, "threads"), (1, "processes")])
def test_damaged_pictures_are_left_out_and_reported_by_path(root, workers, kind):
    damaged = root / "bee" / "1.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    dataset = ImageFolder(root, transform=Resize((6, 6)))
    loader = DataLoader(dataset, 4, num_workers=workers, worker_kind=kind)
    with pytest.warns(UserWarning, match="1 damaged sample, left out: .*bee.1.png"):
        assert [len(labels) for _, labels in loader] == [4, 2]
    assert list(loader.skipped) == [str(damaged)]
    with pytest.raises(DataError, match=r"1\.png"):
        dataset[4]
    with pytest.raises(DataError, match=r"1\.png.* It is sample 4 of ImageFolder"):
        list(DataLoader(ImageFolder(root, Resize((6, 6)), strict=True), 4))


def test_a_pictures_pixels():
    pixels = RNG.integers(0, 256, (5, 4, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    assert np.array_equal(
        read_picture(file.getvalue()), pixels.transpose(2, 0, 1) / np.float32(255)
    )
    assert read_picture(picture(5, 4, "L")).shape == (3, 5, 4)
    deep = io.BytesIO()
    Image.fromarray(np.full((2, 2), 65535, np.uint16)).save(deep, format="PNG")
    assert read_picture(deep.getvalue()).tolist() == np.ones((3, 2, 2)).tolist()
    clear = io.BytesIO()
    Image.fromarray(np.zeros((2, 2, 4), np.uint8)).save(clear, format="PNG")
    assert (read_picture(clear.getvalue()) == 1).all()  # transparent: white


def test_a_phones_orientation():
    image = Image.fromarray(np.uint8([[0] * 40 + [255] * 40] * 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    file = io.BytesIO()
    image.save(file, format="JPEG", exif=exif)
    upright = read_picture(file.getvalue(), channels=1)[0]
    assert upright.shape == (80, 40) and upright[0].max() < 0.1 and upright[-1].min() > 0.9


def test_what_is_no_picture(tmp_path):
    path, file = tmp_path / "notes.txt", io.BytesIO()
    path.write_text("hello")
    with pytest.raises(DataError, match=r"notes\.txt, needs a whole picture"):
        read_picture(path)
    Image.new("1", (9000, 9000)).save(file, format="PNG")
    with pytest.raises(DataError, match="9000 x 9000 pixels"):
        read_picture(file.getvalue())


def test_wrong_folders(tmp_path):
    with pytest.raises(DataError, match="without pictures, needs a folder for each class"):
        ImageFolder(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(picture(2, 2))
    with pytest.raises(DataError, match="dog without pictures"):
        ImageFolder(tmp_path)
    with pytest.raises(DataError, match="needs a folder"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="channels = 2"):
        ImageFolder(tmp_path, channels=2)


def test_a_folder_says_what_it_is_and_a_foreign_file_no_address(root):
    assert repr(ImageFolder(root)) == f"<ImageFolder {root}: 7 pictures, 2 classes>"
    (root / "bee" / "1.png").write_bytes(b"hello")
    with pytest.raises(DataError, match=r"cannot identify image file\. It is sample"):
        list(DataLoader(ImageFolder(root, strict=True), 1))
