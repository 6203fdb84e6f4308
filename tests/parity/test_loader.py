"""Batches have PyTorch's shapes, types and nesting."""

from collections.abc import Mapping

import numpy as np
import pytest

import chainrule as cr
from chainrule.data import ConcatDataset, DataLoader, Subset, TensorDataset, random_split

pytestmark = pytest.mark.parity

SAMPLES = {
    "pairs": lambda t: [(np.full((2, 3), i, np.float32), i) for i in range(5)],
    "double": lambda t: [(np.full(2, i, np.float64), float(i)) for i in range(5)],
    "tensors": lambda t: [(t.ones(2) * i, t.tensor(i)) for i in range(5)],
    "numbers": lambda t: list(range(5)),
    "dicts": lambda t: [{"x": np.arange(i, i + 2), "name": f"n{i}"} for i in range(5)],
    "nested": lambda t: [(i, (float(i), [i, i + 1])) for i in range(5)],
    "truths": lambda t: [(i > 2, np.uint8(i)) for i in range(5)],
}


def plain(batch):
    """Nesting, types and values as Python's own."""
    if isinstance(batch, Mapping):
        return {key: plain(value) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return [plain(part) for part in batch]
    if isinstance(batch, str):
        return batch
    return str(batch.dtype).rpartition(".")[2], tuple(batch.shape), batch.tolist()


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("options", [{}, {"drop_last": True}, {"batch_size": 9}])
def test_batches(kind, options):
    torch = pytest.importorskip("torch")
    options = {"batch_size": 2} | options
    theirs = torch.utils.data.DataLoader(SAMPLES[kind](torch), **options)
    ours = DataLoader(SAMPLES[kind](cr), **options)
    assert len(ours) == len(theirs)
    assert [plain(batch) for batch in ours] == [plain(batch) for batch in theirs]


def test_datasets():
    data = pytest.importorskip("torch").utils.data
    torch = pytest.importorskip("torch")
    theirs = data.TensorDataset(torch.arange(6), torch.arange(6) * 2.0)
    ours = TensorDataset(cr.arange(6), cr.arange(6) * 2.0)
    for make_ours, make_theirs in (
        (lambda d: Subset(d, [5, 0, 2]), lambda d: data.Subset(d, [5, 0, 2])),
        (lambda d: ConcatDataset([d, d]), lambda d: data.ConcatDataset([d, d])),
    ):
        a, b = make_ours(ours), make_theirs(theirs)
        batches = DataLoader(a, 4), data.DataLoader(b, 4)
        assert [plain(batch) for batch in batches[0]] == [plain(batch) for batch in batches[1]]
        assert plain(a[1]) == plain(b[1])


@pytest.mark.parametrize("lengths", [[3, 7], [0.5, 0.5], [0.33, 0.33, 0.34], [0.9, 0.1]])
def test_sizes_of_a_split(lengths):
    torch = pytest.importorskip("torch")
    for n in (10, 11, 13) if isinstance(lengths[0], float) else (10,):
        ours = random_split(range(n), lengths)
        theirs = torch.utils.data.random_split(range(n), lengths)
        assert [len(part) for part in ours] == [len(part) for part in theirs]
