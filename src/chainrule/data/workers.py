"""Who prepares a batch: the loader itself, threads or processes, with the same bits.

A batch is a pure function of the dataset, its indices and its draw of the augmentation stream; so
it does not matter who prepares it, nor when.  Worker w prepares the batches w, w + n, w + 2n, …,
each while the loader hands out the ones before.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.data.dataset import as_array, is_random, many
from chainrule.errors import ChainruleError, DataError, ShapeError, UsageError, message
from chainrule.random import Stream, stream

__all__ = ["Batch", "Job", "Processes", "Request", "Threads", "augmentation", "collate", "skip"]

Draw = tuple[int, int, int]  # seed, stream, draw


@dataclass(frozen=True)
class Request:
    """Which samples make a batch, and the draw that decides their variations."""

    indices: Sequence[int]
    draw: Draw | None


@dataclass(frozen=True)
class Batch:
    """A prepared batch: columns of arrays, and the samples that had to be left out, with why."""

    columns: Any
    skipped: tuple[tuple[str, str], ...] = ()


# ------------------------------------------------------------ what a dataset can ask for


class _Now(threading.local):
    """The batch that this thread prepares."""

    inside = False
    source: Stream | None = None
    skipped: list[tuple[str, str]] | None = None


_now = _Now()


def augmentation() -> Stream:
    """The source of random numbers for the sample that is being prepared.

    A dataset that varies its samples takes numbers from here, and says ``random = True``: then
    they depend on seed, epoch and place alone, not on the number of workers.  Outside of a loader
    it is a new part of the augmentation stream.

    >>> 0 <= float(augmentation().uniform()) < 1
    True
    """
    if _now.source is not None:
        return _now.source
    if _now.inside:
        why = "A loader takes draws only for datasets that say so"
        remedy = "Write random = True into the dataset's class"
        raise UsageError(message("augmentation", "no draw", "one", why=why, remedy=remedy))
    return stream("augmentation").child()


def skip(sample: str, why: str) -> bool:
    """Leave a sample out of the batch; the loader reports it at the end of the epoch.

    False outside of a loader, where nobody would report it.
    """
    if _now.skipped is None:
        return False
    _now.skipped.append((sample, why))
    return True


@contextmanager
def _preparing(draw: Draw | None) -> Iterator[list[tuple[str, str]]]:
    before = _now.inside, _now.source, _now.skipped
    skipped: list[tuple[str, str]] = []
    # As Stream.child: a draw of the parent opens a range of 2³² draws.
    source = None if draw is None else Stream(draw[0], draw[1], (draw[2] + 1) << 32)
    _now.inside, _now.source, _now.skipped = True, source, skipped
    try:
        yield skipped
    finally:
        _now.inside, _now.source, _now.skipped = before


# ------------------------------------------------------------ a batch


@dataclass(frozen=True)
class Job:
    """What a worker needs to know: how indices become a batch."""

    dataset: Any
    collate: Callable[[list[Any]], Any] | None = None
    transform: Any = None

    def same(self, other: Job) -> bool:
        """Whether both are made of the same objects."""
        parts = ((self.dataset, other.dataset), (self.collate, other.collate))
        return all(a is b for a, b in (*parts, (self.transform, other.transform)))

    @property
    def random(self) -> bool:
        """Whether batches need draws."""
        return is_random(self.transform) or is_random(self.dataset)

    def prepare(self, request: Request, worker: str = "") -> Batch:
        """The batch; an error names the sample and the worker."""
        with _preparing(request.draw) as skipped:
            samples = self._samples(request.indices, worker)
            if isinstance(samples, list) and not samples:  # all of them had to be left out
                return Batch(None, tuple(skipped))
            try:
                columns = self._columns(samples)
            except Exception as error:
                raise _failed(error, _named(request.indices), worker) from error
        return Batch(columns, tuple(skipped))

    def _samples(self, indices: Sequence[int], worker: str) -> Any:
        if isinstance(self.dataset, np.ndarray):
            return (self.dataset[np.asarray(indices, np.int64)],)
        if not hasattr(self.dataset, "__getitems__"):
            return [self._sample(index, worker) for index in indices]
        try:
            return many(self.dataset, indices)
        except Exception as error:
            for index in indices:  # which one is it?
                self._sample(index, worker, alone=True)
            raise _failed(error, _named(indices), worker) from error

    def _sample(self, index: int, worker: str, alone: bool = False) -> Any:
        try:
            return many(self.dataset, [index]) if alone else self.dataset[index]
        except Exception as error:
            what = f"sample {index} of {type(self.dataset).__name__}"
            raise _failed(error, what, worker) from error

    def _columns(self, samples: Any) -> Any:
        if isinstance(samples, tuple) and self.collate is None:
            columns = samples[0] if isinstance(self.dataset, np.ndarray) else samples
        else:
            if isinstance(samples, tuple):
                samples = [tuple(rows) for rows in zip(*samples, strict=True)]
            columns = (self.collate or collate)(samples)
        if self.transform is None:
            return columns
        source = _now.source
        if isinstance(columns, tuple) and len(columns) == 2:
            return self.transform.together(*columns, source)
        if isinstance(columns, tuple | list):
            first, *rest = columns
            return (self.transform(first, source), *rest)
        return self.transform(columns, source)


def collate(samples: Sequence[Any]) -> Any:
    """Samples side by side: numbers and arrays become arrays [N,…], tuples tuples of columns.

    Arrays keep their dtype; Python's whole numbers become int64, its floats float64. Texts stay a
    list.

    >>> collate([(np.zeros(2), 5), (np.ones(2), 6)])
    (array([[0., 0.],
           [1., 1.]]), array([5, 6]))
    """
    first = samples[0]
    if isinstance(first, str | bytes):
        return list(samples)
    if isinstance(first, Mapping):
        return {key: collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, tuple | list):
        lengths = {len(sample) for sample in samples}
        if len(lengths) > 1:
            got = f"samples of {' and '.join(map(str, sorted(lengths)))} parts"
            raise ShapeError(message("collate", got, "equally many in each"))
        return tuple(collate(column) for column in zip(*samples, strict=True))
    arrays = [as_array(sample) for sample in samples]
    shapes = list(dict.fromkeys(array.shape for array in arrays))
    if len(shapes) > 1:
        got = f"samples of shapes {list(shapes[0])} and {list(shapes[1])}"
        remedy = "Bring them to one size (Resize), or give DataLoader a collate_fn"
        raise ShapeError(message("collate", got, "equal shapes", remedy=remedy))
    if arrays[0].dtype.kind == "O":
        got = f"samples of type {type(first).__name__}"
        needs = "tensors, arrays, numbers, texts, and tuples, lists and dicts of them"
        raise DataError(message("collate", got, needs, remedy="A collate_fn may do what you need"))
    return np.stack(arrays)


def _failed(error: Exception, what: str, worker: str) -> Exception:
    """The error with the sample and the worker in its text."""
    where = f" in {worker}" if worker else ""
    if isinstance(error, ChainruleError):
        text = str(error)
        return error if what in text else type(error)(f"{text} It is {what}{where}.")
    got = f"{type(error).__name__} from {what}{where}"
    return DataError(message("DataLoader", got, why=str(error) or "It has no text"))


def _named(indices: Sequence[int]) -> str:
    few = ", ".join(str(index) for index in list(indices)[:5])
    return f"a batch of {len(indices)} samples ({few}{', …' if len(indices) > 5 else ''})"


# ------------------------------------------------------------ workers


class Threads:
    """Workers that share this process: no start-up, no copies of the dataset."""

    def __init__(self, job: Job, count: int) -> None:
        self.job, self.count = job, count
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="chainrule-data")
        self._running: dict[int, Future[Batch]] = {}

    def ask(self, worker: int, request: Request) -> None:
        """Let a worker begin a batch."""
        name = f"worker {worker + 1} of {self.count} (thread)"
        self._running[worker] = self._executor.submit(self.job.prepare, request, name)

    def answer(self, worker: int) -> Batch:
        """The batch that the worker was asked for; waits for it, raises what it raised."""
        return self._running.pop(worker).result()

    def close(self) -> None:
        """End the workers, after the batches that they are busy with."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class Processes:
    """Workers that are processes of their own, each with a copy of the dataset.

    They are started by forkserver (on Windows by spawn), so that no lock and no thread of this
    process is copied.  Each waits at its pipe: where this process ends, however it ends, the pipe
    does too, and then the worker.
    """

    def __init__(self, job: Job, count: int) -> None:
        methods = multiprocessing.get_all_start_methods()
        context: Any = multiprocessing.get_context(
            "forkserver" if "forkserver" in methods else "spawn"
        )
        self.job, self.count = job, count
        self._pipes: list[Any] = []
        self._processes: list[Any] = []
        for worker in range(count):
            ours, theirs = context.Pipe()
            name = f"worker {worker + 1} of {count} (process)"
            process = context.Process(target=_serve, args=(theirs, job, name), daemon=True)
            try:
                process.start()
            except RuntimeError:
                # We are a worker that imports its script, which starts workers when it is imported.
                # The loader in the script itself sees us end, and says what to do.
                raise SystemExit(1) from None
            except OSError:
                self.close()
                raise _ended(f"worker {worker + 1} of {count} (process)", process) from None
            except Exception as error:
                self.close()
                got = f"{type(job.dataset).__name__}, which can't be sent to a process ({error})"
                needs, remedy = "what pickle can copy", 'worker_kind="threads" copies nothing'
                raise UsageError(message("DataLoader", got, needs, remedy=remedy)) from error
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def ask(self, worker: int, request: Request) -> None:
        """Let a worker begin a batch.  It must be idle: so neither side waits for ever."""
        try:
            self._pipes[worker].send(request)
        except OSError:
            raise self._gone(worker) from None

    def answer(self, worker: int) -> Batch:
        """The batch that the worker was asked for; waits for it, raises what it raised."""
        try:
            result = self._pipes[worker].recv()
        except (EOFError, OSError):
            raise self._gone(worker) from None
        if isinstance(result, BaseException):
            raise result
        return result

    def _gone(self, worker: int) -> DataError:
        name = f"worker {worker + 1} of {self.count} (process)"
        return _ended(name, self._processes[worker])

    def close(self) -> None:
        """End the workers at once."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join(5)


def _ended(worker: str, process: Any) -> DataError:
    """The error for a worker that is not there any more."""
    process.join(1)
    why = f"Its exit code is {process.exitcode}"
    remedy = 'A script that starts processes needs: if __name__ == "__main__": around its work'
    got = f"{worker}, which ended by itself"
    return DataError(message("DataLoader", got, "a batch", why=why, remedy=remedy))


def _serve(pipe: Any, job: Job, name: str) -> None:
    """The life of a worker process: requests in, batches out, until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the loader, which ends us
    try:
        while True:
            request = pipe.recv()
            try:
                result: Any = job.prepare(request, name)
            except Exception as error:
                error.__cause__ = error.__context__ = None  # they may hold what can't be sent
                result = error
            try:
                pipe.send(result)
            except (pickle.PicklingError, TypeError, AttributeError) as error:
                pipe.send(_failed(error, _named(request.indices), name))
    except (EOFError, OSError):
        os._exit(0)  # the loader has gone; nothing is worth cleaning up
