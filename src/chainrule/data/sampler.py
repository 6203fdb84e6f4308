"""Samplers: in which order, and how often, a loader takes the samples of a dataset.

They draw from the shuffle stream when an epoch begins, as the loader's own shuffling does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from chainrule.data.dataset import as_array
from chainrule.errors import UsageError, message
from chainrule.random import Generator, default_generator

__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]


class Sampler:
    """What samplers derive from: iterated, it gives the numbers of the samples."""

    def __init__(self, data_source: Any = None) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} has no __iter__")


class SequentialSampler(Sampler):
    """0, 1, 2, …"""

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def __len__(self) -> int:
        return len(self.data_source)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))


class SubsetRandomSampler(Sampler):
    """Some samples, in another order in each epoch.

    >>> sorted(SubsetRandomSampler([3, 5, 8]))
    [3, 5, 8]
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices, self.generator = [int(index) for index in indices], generator

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        source = (self.generator or default_generator).stream("shuffle")
        return iter([self.indices[place] for place in source.permutation(len(self)).tolist()])


class WeightedRandomSampler(Sampler):
    """``num_samples`` numbers, each drawn by its weight.

    >>> list(WeightedRandomSampler([0.0, 1.0], 3))
    [1, 1, 1]
    """

    def __init__(
        self,
        weights: Any,
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        self.weights = np.asarray(as_array(weights), np.float64)
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator
        usable = int((self.weights > 0).sum())
        wrong = self.weights.ndim != 1 or not np.isfinite(self.weights).all() or num_samples < 1
        if wrong or (self.weights < 0).any() or usable < (1 if replacement else num_samples):
            got = f"{len(self.weights)} weights, {usable} above 0, and num_samples = {num_samples}"
            needs = "weights of 0 or more, and enough of them above 0"
            raise UsageError(message("WeightedRandomSampler", got, needs))

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        source = (self.generator or default_generator).stream("shuffle")
        usable = np.flatnonzero(self.weights > 0)
        weights = self.weights[usable]
        if self.replacement:
            ends = np.cumsum(weights) / weights.sum()
            chances = np.asarray(source.uniform(size=self.num_samples))
            chosen = np.minimum(np.searchsorted(ends, chances, side="right"), len(usable) - 1)
        else:  # the largest of u^(1/w): Efraimidis and Spirakis 2006
            with np.errstate(divide="ignore"):
                keys = np.log(np.asarray(source.uniform(size=len(usable)))) / weights
            chosen = np.argsort(-keys, kind="stable")[: self.num_samples]
        return iter(usable[chosen].tolist())


class RandomSampler(Sampler):
    """All samples in another order in each epoch; or ``num_samples`` of them, with replacement."""

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        n, wanted = len(data_source), num_samples or len(data_source)
        if wanted > n and not replacement:
            needs = f"at most {n} without replacement"
            raise UsageError(message("RandomSampler", f"num_samples = {wanted}", needs))
        kind: Any = WeightedRandomSampler
        self.wanted = wanted
        self.numbers: Sampler = (
            kind(np.ones(n), wanted, generator=generator)
            if replacement
            else SubsetRandomSampler(range(n), generator)
        )

    def __len__(self) -> int:
        return self.wanted

    def __iter__(self) -> Iterator[int]:
        return iter(list(self.numbers)[: self.wanted])


class BatchSampler(Sampler):
    """What a sampler gives, in lists of ``batch_size``.

    >>> list(BatchSampler(SequentialSampler("abc"), 2, drop_last=False))
    [[0, 1], [2]]
    """

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool) -> None:
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[list[int]]:
        numbers = [int(number) for number in self.sampler]
        for batch in range(len(self)):
            yield numbers[batch * self.batch_size : (batch + 1) * self.batch_size]
