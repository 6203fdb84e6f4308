import numpy as np
import pytest
from scipy.spatial.distance import cdist

import chainrule as cr
from chainrule.inspect.retrieval import nearest


def test_as_all_distances_say():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 1, 2, 3)), rng.normal(size=(40, 1, 2, 3))
    found = nearest(cr.tensor(x), y, k=3)
    distances = cdist(x.reshape(300, 6), y.reshape(40, 6))
    assert np.array_equal(found.indices, np.argsort(distances, axis=1)[:, :3])
    np.testing.assert_allclose(found.distances, np.sort(distances, axis=1)[:, :3], atol=1e-12)


def test_a_stored_vector_finds_itself_far_from_zero():
    stored = 1e6 + np.arange(12.0).reshape(4, 3)
    found = nearest(stored, stored)
    assert found.indices[:, 0].tolist() == [0, 1, 2, 3] and not found.distances.any()


def test_none_asked_and_wrong_use():
    assert nearest(np.zeros((0, 2)), np.eye(2)).indices.shape == (0, 1)
    with pytest.raises(cr.ShapeError, match="3 numbers a question, 2 stored"):
        nearest(np.eye(3), np.eye(2))
    with pytest.raises(cr.UsageError, match="k=3, needs from 1 to the 2 that are stored"):
        nearest(np.eye(2), np.eye(2), k=3)
    with pytest.raises(cr.ShapeError, match=r"needs f\[N,D\]"):
        nearest(np.ones(3), np.eye(3))
