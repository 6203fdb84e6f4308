"""In which order, and how often, samples are taken."""

import numpy as np
import pytest

from chainrule import random
from chainrule.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)
from chainrule.errors import UsageError


def test_subsets_are_shuffled_anew_in_each_epoch():
    random.manual_seed(0)
    loader = DataLoader(
        TensorDataset(np.arange(40)), 4, sampler=SubsetRandomSampler(np.arange(20, 40))
    )
    first, second = ([i for (x,) in loader for i in x.tolist()] for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(20, 40)) and first != second
    random.manual_seed(0)
    assert [i for (x,) in loader for i in x.tolist()] == first


def test_weights():
    random.manual_seed(0)
    drawn = np.bincount(list(WeightedRandomSampler([1.0, 0.0, 3.0], 20_000)), minlength=3)
    assert drawn[1] == 0 and abs(drawn[2] / 20_000 - 0.75) < 0.02
    once = list(WeightedRandomSampler([1.0, 0.0, 3.0], 2, replacement=False))
    assert sorted(once) == [0, 2]
    for weights, n, again in (([1.0, 0.0], 2, False), ([0.0], 1, True), ([-1.0, 2.0], 1, True)):
        with pytest.raises(UsageError, match="enough of them above 0"):
            WeightedRandomSampler(weights, n, again)


def test_random_and_sequential():
    assert sorted(RandomSampler("abcd")) == [0, 1, 2, 3] and len(RandomSampler("abcd")) == 4
    assert len(list(RandomSampler("abcd", num_samples=2))) == 2
    many = list(RandomSampler("abcd", replacement=True, num_samples=100))
    assert len(many) == 100 and set(many) == {0, 1, 2, 3}
    assert list(SequentialSampler("ab")) == [0, 1]
    with pytest.raises(UsageError, match="num_samples = 5, needs at most 4"):
        RandomSampler("abcd", num_samples=5)


def test_batches_of_a_sampler():
    batches = BatchSampler(SequentialSampler(range(5)), 2, drop_last=True)
    assert list(batches) == [[0, 1], [2, 3]] and len(batches) == 2
    loader = DataLoader(TensorDataset(np.arange(5)), batch_sampler=batches)
    assert [x.tolist() for (x,) in loader] == [[0, 1], [2, 3]]


def test_one_of_ones_own():
    class Backwards(Sampler):
        def __init__(self, data):
            super().__init__(data)
            self.data = data

        def __len__(self):
            return len(self.data)

        def __iter__(self):
            return iter(range(len(self.data) - 1, -1, -1))

    data = TensorDataset(np.arange(3))
    assert [x.tolist() for (x,) in DataLoader(data, 2, sampler=Backwards(data))] == [[2, 1], [0]]
