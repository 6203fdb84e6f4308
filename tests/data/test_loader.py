import numpy as np
import pytest

from chainrule import random
from chainrule.data import Compose, RandomAffine, Scale
from chainrule.data.loader import DataLoader, TensorDataset
from chainrule.errors import ShapeError, UsageError


def labels_of(loader):
    return [labels.tolist() for _, labels in loader]


@pytest.fixture
def ten():
    random.manual_seed(3)
    return TensorDataset(np.arange(10.0), np.arange(10))


def test_batches_in_order_with_a_short_last_one(ten):
    loader = DataLoader(ten, 4)
    assert labels_of(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(loader) == 3
    assert (
        len(DataLoader(ten, 4, drop_last=True))
        == len(labels_of(DataLoader(ten, 4, drop_last=True)))
        == 2
    )


def test_shuffling_takes_one_draw_of_its_own_stream(ten):
    loader = DataLoader(ten, 10, shuffle=True)
    (first,), (second,) = labels_of(loader), labels_of(loader)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    draws = random.get_state()["draws"]
    assert draws == {"default": 0, "init": 0, "shuffle": 2, "augmentation": 0, "dropout": 0}
    random.manual_seed(3)
    assert labels_of(loader) == [first]


def test_the_order_does_not_depend_on_the_transforms(ten):
    images = TensorDataset(np.ones((10, 1, 8, 8)), np.arange(10))
    random.manual_seed(5)
    plain = labels_of(DataLoader(images, 4, shuffle=True))
    random.manual_seed(5)
    assert (
        labels_of(DataLoader(images, 4, shuffle=True, transform=Compose((RandomAffine(9),))))
        == plain
    )


def test_reading_validation_data_moves_no_stream():
    random.manual_seed(5)
    before = random.get_state()
    images = TensorDataset(np.full((10, 1, 8, 8), 16, np.uint8), np.arange(10))
    for batch, _ in DataLoader(
        images, 4, transform=Compose((Scale(16), RandomAffine(9))).deterministic()
    ):
        assert batch.shape[1:] == (1, 8, 8)
        assert float(batch.max()) == 1
    assert random.get_state() == before


def test_any_dataset_with_length_and_items():
    class Squares:
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return np.full(2, i, np.float32), i * i

    (batch,) = DataLoader(Squares(), 3)
    assert batch[0].tolist() == [[0, 0], [1, 1], [2, 2]]
    assert batch[1].tolist() == [0, 1, 4]


def test_float64_arrays_become_float32(ten):
    assert next(iter(DataLoader(ten, 2)))[0].dtype.name == "float32"


def test_wrong_use():
    with pytest.raises(ShapeError, match="lengths 2, 3"):
        TensorDataset(np.ones(2), np.ones(3))
    with pytest.raises(UsageError, match="no arrays"):
        TensorDataset()
    with pytest.raises(UsageError, match="batch_size = 0"):
        DataLoader(TensorDataset(np.ones(2)), 0)
