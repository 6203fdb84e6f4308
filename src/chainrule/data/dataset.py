"""Datasets: sample number i, or many at once; and what is made of datasets.

A dataset has ``len(dataset)`` and ``dataset[i]``.  One whose samples lie in arrays also has
``__getitems__(indices)``, which gives a whole batch in one step: a tuple of arrays [N,…] (ready
columns), or a list of samples, as in PyTorch.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from chainrule.errors import IndexRangeError, ShapeError, UsageError, message
from chainrule.random import Generator, stream
from chainrule.tensor import Tensor, tensor

__all__ = [
    "ConcatDataset",
    "Dataset",
    "Subset",
    "TensorDataset",
    "many",
    "random_split",
]


class Dataset:
    """What other datasets derive from; any object with a length and items will do as well.

    ``random = True`` says that samples are varied by `augmentation`: only then does a loader take
    draws from the augmentation stream, so that reading validation data moves nothing.

    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 4
    ...
    ...     def __getitem__(self, i):
    ...         return np.float32(i), i * i
    >>> many(Squares(), [3, 1])
    [(np.float32(3.0), 9), (np.float32(1.0), 1)]
    """

    random = False  # a subclass whose answer depends on others derives it, by a property

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no __getitem__")

    def __add__(self, other: Any) -> ConcatDataset:
        return ConcatDataset([self, other])


class TensorDataset(Dataset):
    """Arrays or tensors of equal length side by side; sample i is the tuple of their rows i.

    The arrays are not copied. Memory: that of the arrays.

    >>> TensorDataset(np.eye(3), [5, 6, 7])[1]
    (array([0., 1., 0.]), np.int64(6))
    """

    def __init__(self, *arrays: Any) -> None:
        if not arrays:
            raise UsageError(message("TensorDataset", "no arrays", "at least one"))
        self.arrays = tuple(as_array(array) for array in arrays)
        self._were_tensors = tuple(isinstance(array, Tensor) for array in arrays)
        if any(array.ndim == 0 for array in self.arrays):
            raise ShapeError(message("TensorDataset", "a single number", "arrays [N,…]"))
        lengths = [len(array) for array in self.arrays]
        if len(set(lengths)) > 1:
            got = "arrays of lengths " + ", ".join(map(str, lengths))
            raise ShapeError(message("TensorDataset", got, "equal lengths"))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The arrays as tensors: copies."""
        return tuple(tensor(array) for array in self.arrays)

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        rows = [array[index] for array in self.arrays]
        pairs = zip(rows, self._were_tensors, strict=True)
        return tuple(tensor(row) if was_tensor else row for row, was_tensor in pairs)

    def __getitems__(self, indices: Sequence[int]) -> tuple[np.ndarray, ...]:
        chosen = np.asarray(indices, np.int64)
        return tuple(array[chosen] for array in self.arrays)


class Subset(Dataset):
    """The samples of a dataset whose numbers are ``indices``, in that order.

    >>> Subset(TensorDataset([5, 6, 7]), [2, 0])[0]
    (np.int64(7),)
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, [int(index) for index in indices]
        beyond = [i for i in self.indices if not -len(dataset) <= i < len(dataset)]
        if beyond:
            got, needs = f"sample {beyond[0]}", f"numbers from 0 to {len(dataset) - 1}"
            raise IndexRangeError(message("Subset", got, needs))

    @property
    def random(self) -> bool:
        """As the dataset."""
        return is_random(self.dataset)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: Sequence[int]) -> Any:
        return many(self.dataset, [self.indices[index] for index in indices])


class ConcatDataset(Dataset):
    """Datasets one after the other.

    >>> both = ConcatDataset([TensorDataset([5, 6]), TensorDataset([7])])
    >>> len(both), both[2]
    (3, (np.int64(7),))
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise UsageError(message("ConcatDataset", "no datasets", "at least one"))
        self._ends = list(accumulate(len(dataset) for dataset in self.datasets))

    @property
    def random(self) -> bool:
        """Whether one of them is."""
        return any(is_random(dataset) for dataset in self.datasets)

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Any:
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexRangeError(
                message("ConcatDataset", f"sample {index}", f"0 to {len(self) - 1}")
            )
        which = bisect.bisect_right(self._ends, number)
        return self.datasets[which][number - (self._ends[which - 1] if which else 0)]


def random_split(
    dataset: Any, lengths: Sequence[float], generator: Generator | None = None
) -> list[Subset]:
    """Disjoint parts of a dataset, drawn from the shuffle stream.

    lengths: whole numbers that add up to the dataset's length, or fractions that add up to 1;
    samples that rounding leaves over go to the first parts, one each, as in PyTorch.

    >>> parts = random_split(TensorDataset(np.arange(10)), [0.7, 0.3])
    >>> [len(part) for part in parts], sorted(parts[0].indices + parts[1].indices) == [*range(10)]
    ([7, 3], True)
    """
    n = len(dataset)
    if (
        lengths
        and all(isinstance(length, float) for length in lengths)
        and sum(lengths) <= 1 + 1e-9
    ):
        if abs(sum(lengths) - 1) > 1e-9:
            raise UsageError(message("random_split", f"fractions {list(lengths)}", "a sum of 1"))
        counts = [int(n * length) for length in lengths]
        for part in range(n - sum(counts)):
            counts[part % len(counts)] += 1
    else:
        counts = [int(length) for length in lengths]
    if sum(counts) != n or min(counts, default=0) < 0:
        got, needs = f"lengths {list(lengths)}", f"a sum of {n}, the dataset's length"
        raise UsageError(message("random_split", got, needs))
    source = stream("shuffle") if generator is None else generator.stream("shuffle")
    order = source.permutation(n).tolist()
    ends = list(accumulate(counts))
    return [
        Subset(dataset, order[end - count : end]) for count, end in zip(counts, ends, strict=True)
    ]


def many(dataset: Any, indices: Sequence[int]) -> Any:
    """Several samples: a tuple of columns where the dataset has them ready, else a list."""
    if hasattr(dataset, "__getitems__"):
        return dataset.__getitems__(indices)
    return [dataset[index] for index in indices]


def is_random(dataset: Any) -> bool:
    """Whether a dataset, or a transform, varies its samples by itself."""
    return bool(getattr(dataset, "random", False))


def as_array(values: Any) -> np.ndarray:
    """An array of what a person gives: an array, a tensor, a list."""
    return values.detach().numpy() if isinstance(values, Tensor) else np.asarray(values)
