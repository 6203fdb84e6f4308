import numpy as np
import pytest

import chainrule as cr
from chainrule import random
from chainrule.data import augmentation
from chainrule.data.workers import Job, Request, collate, skip
from chainrule.errors import DataError, ShapeError


def test_collate():
    assert collate([1, 2]).dtype == np.int64 and collate([1.5, 2]).dtype == np.float64
    assert collate([True, False]).dtype == np.bool_
    assert collate([cr.tensor([1.0]), cr.tensor([2.0])]).tolist() == [[1], [2]]
    assert collate(["a", "b"]) == ["a", "b"]
    names, (x, y) = collate([("a", (1, 2.0)), ("b", (3, 4.0))])
    assert names == ["a", "b"] and x.tolist() == [1, 3] and y.tolist() == [2, 4]
    assert collate([{"k": 1}, {"k": 2}])["k"].tolist() == [1, 2]


def test_what_cannot_stand_side_by_side():
    with pytest.raises(ShapeError, match=r"shapes \[2\] and \[3\]"):
        collate([np.ones(2), np.ones(2), np.ones(3)])
    with pytest.raises(ShapeError, match="samples of 1 and 2 parts"):
        collate([(1, 2), (1,)])
    with pytest.raises(DataError, match=r"samples of type object.* collate_fn"):
        collate([object()])


def test_outside_of_a_loader_augmentation_takes_a_new_draw_and_nothing_is_left_out():
    random.manual_seed(0)
    first, second = augmentation().uniform(), augmentation().uniform()
    assert first != second and random.get_state()["draws"]["augmentation"] == 2
    assert not skip("a.png", "damaged")


def test_a_request_decides_the_numbers():
    class Noisy:
        random = True

        def __getitem__(self, index):
            return augmentation().uniform()

    job = Job(Noisy())
    numbers = [job.prepare(Request([0, 1, 2], (5, 3, draw))).columns.tolist() for draw in (0, 0, 1)]
    assert numbers[0] == numbers[1] != numbers[2]
    assert len(set(numbers[0])) == 3
    assert random.Stream(5, 3).child().uniform() == numbers[0][0]  # as Stream.child
