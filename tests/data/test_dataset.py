import numpy as np
import pytest

import chainrule as cr
from chainrule import random
from chainrule.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset, random_split
from chainrule.data.dataset import many
from chainrule.errors import IndexRangeError, ShapeError, UsageError


def values(dataset):
    return [int(x) for (x,) in dataset]


def test_tensor_dataset_gives_tensors_where_it_was_given_tensors():
    dataset = TensorDataset(cr.tensor([[1.0], [2.0]]), np.array([3, 4]))
    x, y = dataset[1]
    assert isinstance(x, cr.Tensor) and x.tolist() == [2] and isinstance(y, np.int64)
    assert [t.dtype.name for t in dataset.tensors] == ["float32", "int64"]
    weights = cr.ones(2, requires_grad=True)
    assert TensorDataset(weights).arrays[0].tolist() == [1, 1]


def test_tensor_dataset_wrong_use():
    with pytest.raises(ShapeError, match="lengths 2, 3"):
        TensorDataset(np.ones(2), np.ones(3))
    with pytest.raises(UsageError, match="no arrays"):
        TensorDataset()
    with pytest.raises(ShapeError, match="a single number"):
        TensorDataset(3.0)


def test_subset():
    base = TensorDataset(np.arange(10) * 10)
    part = Subset(Subset(base, [9, -1, 3, 0]), [1, 2])
    assert values(part) == [90, 30] and len(part) == 2
    assert many(part, [1, 0])[0].tolist() == [30, 90]  # ready columns
    with pytest.raises(IndexRangeError, match="sample 10, needs numbers from 0 to 9"):
        Subset(base, [1, 10])


def test_concat():
    both = TensorDataset(np.arange(3)) + TensorDataset(np.arange(10, 12)) + TensorDataset([7])
    assert values(both) == [0, 1, 2, 10, 11, 7] and len(both) == 6
    assert int(both[-1][0]) == 7
    assert [x.tolist() for (x,) in DataLoader(both, 4)] == [[0, 1, 2, 10], [11, 7]]
    with pytest.raises(IndexRangeError, match="sample 6, needs 0 to 5"):
        both[6]
    with pytest.raises(UsageError, match="no datasets"):
        ConcatDataset([])


def test_what_is_random_stays_random():
    class Noisy(Dataset):
        random = True

        def __len__(self):
            return 4

    calm = TensorDataset(np.arange(4))
    assert Subset(Noisy(), [1]).random and not Subset(calm, [1]).random
    assert ConcatDataset([calm, Noisy()]).random and not (calm + calm).random


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [([7, 3], [7, 3]), ([0.5, 0.5], [6, 5]), ([0.7, 0.2, 0.1], [8, 2, 1]), ([1.0], [11])],
)
def test_random_split(lengths, sizes):
    n = sum(sizes)
    random.manual_seed(3)
    parts = random_split(TensorDataset(np.arange(n)), lengths)
    assert [len(part) for part in parts] == sizes
    together = [number for part in parts for number in values(part)]
    assert sorted(together) == list(range(n)) != together
    random.manual_seed(3)
    again = random_split(TensorDataset(np.arange(n)), lengths)
    assert [part.indices for part in again] == [part.indices for part in parts]
    assert random.get_state()["draws"]["shuffle"] == 1


def test_random_split_from_a_generator_of_ones_own():
    before = random.get_state()
    split = [random_split(range(9), [5, 4], random.Generator(2))[0].indices for _ in range(2)]
    assert split[0] == split[1] and random.get_state() == before


@pytest.mark.parametrize("lengths", [[5, 4], [0.5, 0.4], [12, -2], []])
def test_lengths_that_do_not_add_up(lengths):
    with pytest.raises(UsageError, match=r"needs a sum of 1"):
        random_split(range(10), lengths)


def test_a_dataset_without_items():
    with pytest.raises(NotImplementedError, match="Dataset has no __getitem__"):
        Dataset()[0]
