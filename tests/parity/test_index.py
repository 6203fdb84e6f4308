"""Indexing by data against PyTorch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.ops.index import gather, index, index_add, index_put, scatter_add

pytestmark = pytest.mark.parity


@st.composite
def along(draw):
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    axis = draw(st.integers(0, len(shape) - 1))
    smaller = [draw(st.integers(0, 5 if a == axis else n)) for a, n in enumerate(shape)]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return rng.normal(size=shape), rng.integers(0, shape[axis], smaller), axis


@settings(deadline=None)
@given(along())
def test_gather_and_scatter_add(case):
    import torch

    x, where, axis = case
    theirs, places = torch.tensor(x), torch.tensor(where)
    expected = torch.gather(theirs, axis, places)
    np.testing.assert_array_equal(gather.reference(x, where, axis=axis), expected.numpy())
    source = np.random.default_rng(0).normal(size=where.shape)
    expected = theirs.scatter_add(axis, places, torch.tensor(source))
    y = scatter_add.reference(x, where, source, axis=axis)
    np.testing.assert_allclose(y, expected.numpy(), atol=1e-14)


@settings(deadline=None)
@given(st.integers(0, 99), st.integers(1, 3), st.booleans())
def test_index_and_its_writes(seed, count, unique):
    import torch

    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4, 3, 5))
    if unique:  # PyTorch leaves it open which of several writes stays
        flat = rng.permutation(np.prod(x.shape[:count]))[:3]
        indices = [np.asarray(i) for i in np.unravel_index(flat, x.shape[:count])]
    else:
        parts = [(2, 1), (3,), ()][:count]
        indices = [np.asarray(rng.integers(-n, n, p)) for n, p in zip(x.shape, parts, strict=False)]
    theirs, places = torch.tensor(x), tuple(map(torch.tensor, indices))
    expected = theirs[places].numpy()
    np.testing.assert_array_equal(index.reference(x, *indices), expected)
    value = rng.normal(size=expected.shape)
    added = theirs.index_put(places, torch.tensor(value), accumulate=True)
    np.testing.assert_allclose(index_add.reference(x, value, *indices), added.numpy(), atol=1e-14)
    if unique:
        put = theirs.index_put(places, torch.tensor(value))
        np.testing.assert_array_equal(index_put.reference(x, value, *indices), put.numpy())
