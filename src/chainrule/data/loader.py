"""Datasets and loaders: from arrays to shuffled, varied batches of tensors.

A loader draws its order from the "shuffle" stream and its variations from the "augmentation"
stream, one draw of each per epoch and per batch; so the order of the samples does not depend on the
transforms, and reading validation data moves neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from chainrule.data.transforms import Compose
from chainrule.errors import ShapeError, UsageError, message
from chainrule.random import stream
from chainrule.tensor import Tensor, tensor

__all__ = ["DataLoader", "TensorDataset"]


class TensorDataset:
    """Arrays of equal length side by side; sample i is the tuple of their rows i.

    >>> TensorDataset(np.eye(3), [5, 6, 7])[1]
    (array([0., 1., 0.]), np.int64(6))
    """

    def __init__(self, *arrays: Any) -> None:
        if not arrays:
            raise UsageError(message("TensorDataset", "no arrays", "at least one"))
        self.arrays = tuple(np.asarray(array) for array in arrays)
        lengths = [len(array) for array in self.arrays]
        if len(set(lengths)) > 1:
            got = "arrays of lengths " + ", ".join(map(str, lengths))
            raise ShapeError(message("TensorDataset", got, "equal lengths"))

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(array[index] for array in self.arrays)


class DataLoader:
    """Batches of a dataset, as tuples of tensors.

    ``transform`` is applied to the first member of each batch, f[N,C,H,W]; for validation and test
    give its ``deterministic()`` part.  A last batch that is short is kept unless ``drop_last``.

    >>> loader = DataLoader(TensorDataset(np.arange(5.0), np.arange(5)), batch_size=2)
    >>> len(loader), [labels.tolist() for _, labels in loader]
    (3, [[0, 1], [2, 3], [4]])
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        transform: Compose | None = None,
    ) -> None:
        if batch_size < 1:
            raise UsageError(message("DataLoader", f"batch_size = {batch_size}", "at least 1"))
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.drop_last, self.transform = drop_last, transform

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        n = len(self.dataset)
        order = stream("shuffle").permutation(n) if self.shuffle else np.arange(n)
        for number in range(len(self)):
            chosen = order[number * self.batch_size : (number + 1) * self.batch_size]
            first, *rest = self._columns(chosen)
            if self.transform is not None:
                first = self._varied(first)
            yield tuple(_as_tensor(column) for column in (first, *rest))

    def _columns(self, chosen: np.ndarray) -> Sequence[np.ndarray]:
        if isinstance(self.dataset, TensorDataset):
            return self.dataset[chosen]
        samples = [self.dataset[int(index)] for index in chosen]
        samples = [s if isinstance(s, tuple | list) else (s,) for s in samples]
        return [np.stack([np.asarray(x) for x in column]) for column in zip(*samples, strict=True)]

    def _varied(self, images: np.ndarray) -> np.ndarray:
        assert self.transform is not None
        if self.transform == self.transform.deterministic():
            return self.transform(images)
        return self.transform(images, stream("augmentation").child())


def _as_tensor(array: np.ndarray) -> Tensor:
    """float64 becomes float32, the dtype that networks are trained in."""
    return tensor(array.astype(np.float32) if array.dtype == np.float64 else array)
