import pytest

import chainrule as cr
from chainrule import models


def test_pictures_are_read_row_by_row():
    net = models.mlp((6, 4, 2))
    x = cr.arange(12.0).reshape(2, 1, 2, 3)
    assert net(x).tolist() == net(x.reshape(2, 6)).tolist()


def test_one_size_is_no_network():
    with pytest.raises(cr.UsageError, match="at least two"):
        models.mlp((3,))
