"""Loaders: from a dataset to shuffled, varied batches of tensors, in an order that can go on.

An epoch takes its draws when it begins: one of the shuffle stream for its order, and as many of
the augmentation stream as it has batches, one for each.  So the order of the samples does not
depend on the transforms, no batch depends on who prepares it or when, reading validation data moves
neither stream, and a place in the middle of an epoch is a handful of numbers (`state_dict`).
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from chainrule.data.dataset import Dataset, TensorDataset, as_array
from chainrule.data.transforms import Compose, Transform
from chainrule.data.workers import Batch, Job, Processes, Request, Threads
from chainrule.errors import CheckpointError, ShapeError, UsageError, message
from chainrule.lines import user_line
from chainrule.random import Generator, Stream, default_generator
from chainrule.tensor import Tensor, tensor

__all__ = ["DataLoader", "Dataset", "TensorDataset"]

WORKERS = {"threads": Threads, "processes": Processes}


@dataclass
class _Place:
    """Where a loader stands: the batches of this epoch that were handed out, and its draws."""

    epoch: int = 0
    batch: int = 0
    order: tuple[int, int, int] | None = None  # seed, stream, draw
    variation: tuple[int, int, int] | None = None  # the same for the first batch
    batches: list[list[int]] | None = None  # those of a sampler of one's own
    running: bool = False


class DataLoader:
    """Batches of a dataset, as tensors: tuples where samples are tuples.

    dataset: anything with a length and items; an array or a tensor gives its rows.  ``transform``
    is applied to the first member of each batch, f[N,C,H,W]; for validation and test give its
    ``deterministic()`` part.  A last batch that is short is kept unless ``drop_last``.  sampler:
    gives the numbers of the samples in order; batch_sampler: lists of them.  ``generator`` replaces
    the default seed and streams.

    num_workers: how many threads or processes (``worker_kind``) prepare batches ahead, one each; 0
    prepares them when they are asked for.  The bits are the same for any number and kind.
    Processes copy the dataset; they pay where ``__getitem__`` is slow Python.  ``pin_memory`` is
    accepted as PyTorch's and means nothing without a GPU.

    Arrays keep their dtype: float64 stays float64.  An error names the sample and the worker.
    Raises UsageError for an empty dataset.

    >>> loader = DataLoader(TensorDataset(np.arange(5.0), np.arange(5)), batch_size=2)
    >>> len(loader), [labels.tolist() for _, labels in loader]
    (3, [[0, 1], [2, 3], [4]])
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[Sequence[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        *,
        transform: Transform | None = None,
        generator: Generator | None = None,
        worker_kind: str = "threads",
    ) -> None:
        self.dataset, self.batch_size, self.shuffle = _checked(dataset), batch_size, shuffle
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self.drop_last, self.transform, self.collate_fn = drop_last, _one(transform), collate_fn
        self.num_workers, self.worker_kind, self.generator = num_workers, worker_kind, generator
        self._check()
        self.skipped: dict[str, str] = {}  # of the last epoch: what was left out, and why
        self._place = _Place()
        self._idle: list[Processes] = []  # between two epochs
        weakref.finalize(self, _close, self._idle)

    def _check(self) -> None:
        own = self.sampler is not None or self.batch_sampler is not None
        plain = self.batch_size == 1 and not self.drop_last and self.sampler is None
        for got, least in (("batch_size", 1), ("num_workers", 0)):
            value = getattr(self, got)
            if not hasattr(value, "__index__") or value < least:
                needs = f"a whole number, at least {least}"
                raise UsageError(message("DataLoader", f"{got} = {value!r}", needs))
        for got, needs, wrong in (
            (
                f"generator = {self.generator!r}",
                "cr.Generator()",
                not isinstance(self.generator, Generator | None),
            ),
            (
                f"worker_kind = {self.worker_kind!r}",
                " or ".join(map(repr, WORKERS)),
                self.worker_kind not in WORKERS,
            ),
            ("a sampler and shuffle=True", "one of them", own and self.shuffle),
            (
                "a batch_sampler beside batch_size, sampler or drop_last",
                "it alone",
                self.batch_sampler is not None and not plain,
            ),
            (
                f"{len(self.dataset)} samples, batch_size = {self.batch_size} and drop_last",
                "at least one whole batch",
                self.drop_last and len(self.dataset) < self.batch_size,
            ),
        ):
            if wrong:
                raise UsageError(message("DataLoader", got, needs))

    def __len__(self) -> int:
        """How many batches an epoch has."""
        if self.batch_sampler is not None:
            return _count(self.batch_sampler)
        n = _count(self.dataset if self.sampler is None else self.sampler)
        whole, rest = divmod(n, self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    # ------------------------------------------------------------ an epoch

    def __iter__(self) -> Iterator[Any]:
        job = Job(self.dataset, self.collate_fn, self.transform)
        place = self._begun(job)
        requests = self._requests(place)
        self.skipped = {}
        for number, batch in self._prepared(job, requests, place.batch):
            place.batch = number + 1
            self.skipped |= dict(batch.skipped)
            if batch.columns is not None:
                yield _as_tensors(batch.columns)
        if self._place is place:
            self._place = _Place(place.epoch + 1)
        self._report()

    def _begun(self, job: Job) -> _Place:
        """The place that was loaded, or the beginning of a new epoch with its draws."""
        place = self._place
        if place.running:  # that epoch was left early, or still runs in another loop
            place = _Place(place.epoch + 1)
        elif place.batch or place.order or place.variation or place.batches:
            place.running = True
            return place
        source = default_generator if self.generator is None else self.generator
        if self.shuffle:
            place.order = source.stream("shuffle").next_draw()
        own = self.batch_sampler
        if own is None and self.sampler is not None:
            own = self._cut([int(index) for index in self.sampler])
        if own is not None:
            place.batches = [[int(index) for index in batch] for batch in own]
        if job.random:
            count = len(self) if place.batches is None else len(place.batches)
            place.variation = source.stream("augmentation").reserve(count)
        place.running, self._place = True, place
        return place

    def _requests(self, place: _Place) -> list[Request]:
        """All batches of the epoch: indices and draws."""
        batches: Any = place.batches
        if batches is None:
            n = len(self.dataset)
            order = np.arange(n) if place.order is None else Stream(*place.order).permutation(n)
            batches = self._cut(order)
        if place.variation is None:
            return [Request(_numbers(indices), None) for indices in batches]
        seed, stream, first = place.variation
        return [
            Request(_numbers(indices), (seed, stream, first + number))
            for number, indices in enumerate(batches)
        ]

    def _cut(self, order: Any) -> list[Any]:
        size = self.batch_size
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        return batches[:-1] if self.drop_last and len(order) % size else batches

    def _prepared(
        self, job: Job, requests: list[Request], first: int
    ) -> Iterator[tuple[int, Batch]]:
        """(number, batch) from batch ``first`` on, in order."""
        if not self.num_workers:
            yield from ((n, job.prepare(requests[n])) for n in range(first, len(requests)))
            return
        workers, count, whole = self._workers(job), self.num_workers, False
        try:
            for number in range(first, min(first + count, len(requests))):
                workers.ask(number % count, requests[number])
            for number in range(first, len(requests)):
                batch = workers.answer(number % count)
                if number + count < len(requests):
                    workers.ask(number % count, requests[number + count])
                yield number, batch
            whole = True
        finally:  # after an error or an early end some are still busy: others next time
            if whole and isinstance(workers, Processes):
                self._idle.append(workers)
            else:
                workers.close()

    def _workers(self, job: Job) -> Threads | Processes:
        """Processes of the epoch before, if they know the same job; else new workers."""
        while self._idle:
            workers = self._idle.pop()
            if workers.job.same(job) and workers.count == self.num_workers:
                return workers
            workers.close()
        return WORKERS[self.worker_kind](job, self.num_workers)

    def _report(self) -> None:
        if self.skipped:
            few = [f"{sample} ({why})" for sample, why in list(self.skipped.items())[:5]]
            more = f", and {len(self.skipped) - 5} more" if len(self.skipped) > 5 else ""
            got = f"{len(self.skipped)} damaged sample{'s' * (len(self.skipped) > 1)}, left out: "
            text, line = message("DataLoader", got + "; ".join(few) + more), user_line()
            if line is None:
                warnings.warn(text, stacklevel=3)
            else:
                warnings.warn_explicit(text, UserWarning, line[0].co_filename, line[1])

    # ------------------------------------------------------------ a place that can be kept

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands: plain numbers, ready for JSON.

        epoch: the number of this pass, from 0.  batch: how many of its batches were handed out.
        A loader that loads it goes on with the next batch, bit for bit.

        >>> loader = DataLoader(TensorDataset(np.arange(6)), batch_size=2, shuffle=True)
        >>> batches = iter(loader)
        >>> first, state = next(batches), loader.state_dict()
        >>> again = DataLoader(TensorDataset(np.arange(6)), batch_size=2, shuffle=True)
        >>> again.load_state_dict(state)
        >>> [x.tolist() for (x,) in again] == [x.tolist() for (x,) in batches]
        True
        """
        place = asdict(self._place)
        place.pop("running")
        drawn = {name: draw and list(draw) for name, draw in place.items() if name in _DRAWS}
        return place | drawn | self._shape()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was called; the next loop begins there.

        The random streams are `chainrule.random`'s to restore.  Raises CheckpointError where the
        state is of another dataset's size or batch size; then nothing is changed.
        """
        try:
            theirs = {name: state[name] for name in self._shape()}
            order, variation = (state[name] and tuple(state[name]) for name in _DRAWS)
            place = _Place(state["epoch"], state["batch"], order, variation, state["batches"])
        except (KeyError, TypeError) as error:
            got = f"a state without {error}" if isinstance(error, KeyError) else repr(state)
            raise CheckpointError(message("DataLoader", got, "what state_dict() gave")) from error
        if theirs != self._shape():
            got, needs = (f"{shape}".replace("'", "") for shape in (theirs, self._shape()))
            raise CheckpointError(message("DataLoader", f"the place of a loader of {got}", needs))
        self._place = place

    def _shape(self) -> dict[str, Any]:
        return {
            "samples": len(self.dataset),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
        }


_DRAWS = ("order", "variation")


def _count(numbered: Any) -> int:
    """How many there are in a data set or a sampler."""
    try:
        return len(numbered)
    except TypeError as error:
        got = f"a {type(numbered).__name__} without a length"
        raise UsageError(message("len(DataLoader)", got, "__len__()")) from error


def _checked(dataset: Any) -> Any:
    """The dataset, if it is one; a tensor as an array."""
    if isinstance(dataset, Tensor):
        dataset = as_array(dataset)
    if isinstance(dataset, tuple) and dataset and all(_is_array(part) for part in dataset):
        got, needs = f"a tuple of {len(dataset)} arrays", "a dataset"
        remedy = "DataLoader(TensorDataset(X, y), …) pairs their rows"
        raise UsageError(message("DataLoader", got, needs, remedy=remedy))
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        got, needs = f"a {type(dataset).__name__}", "a dataset with __len__ and __getitem__"
        raise UsageError(message("DataLoader", got, needs))
    if isinstance(dataset, np.ndarray) and not dataset.ndim:
        raise ShapeError(message("DataLoader", "a single number", "an array [N,…]"))
    if not len(dataset):
        got = f"{type(dataset).__name__} of 0 samples"
        raise UsageError(message("DataLoader", got, "at least one"))
    return dataset


def _one(transform: Any) -> Compose | None:
    """The transform as a Compose."""
    if transform is None or isinstance(transform, Compose):
        return transform
    if isinstance(transform, Transform):
        return Compose((transform,))
    got, needs = f"transform = {transform!r}", "a Transform, such as Compose((Scale(255), …))"
    remedy = "A class that derives from Transform can do anything in its apply(images)"
    raise UsageError(message("DataLoader", got, needs, remedy=remedy))


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | Tensor) and value.ndim > 0


def _numbers(indices: Any) -> list[int]:
    return indices.tolist() if isinstance(indices, np.ndarray) else list(indices)


def _as_tensors(columns: Any) -> Any:
    """The arrays of a batch as tensors; texts and what a collate_fn made stay as they are."""
    if isinstance(columns, np.ndarray):
        return tensor(columns)
    if isinstance(columns, Mapping):
        return {key: _as_tensors(column) for key, column in columns.items()}
    if isinstance(columns, tuple | list) and any(not isinstance(c, str | bytes) for c in columns):
        return type(columns)(_as_tensors(column) for column in columns)
    return columns


def _close(idle: list[Any]) -> None:
    while idle:
        idle.pop().close()
