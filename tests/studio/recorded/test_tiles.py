"""Numbers of several layers in one answer."""

import json

import numpy as np
import pytest

import chainrule as cr
from chainrule.studio.recorded.tiles import Tile, one_map, packed


def test_maps_stand_one_after_the_other_with_what_they_are():
    first = np.arange(12, dtype=np.float32).reshape(3, 4)
    second = np.array([[7, 8]], np.int64)
    answer = packed([Tile(5, first, [2, 0]), Tile(9, second, [0])])
    assert json.loads(answer.headers["x-parts"]) == [
        {"node": 5, "dtype": "float32", "maps": [2, 0], "bytes": 32},
        {"node": 9, "dtype": "int64", "maps": [0], "bytes": 16},
    ]
    assert answer.body == first[[2, 0]].tobytes() + second.tobytes()


def test_one_map_of_many():
    array = np.arange(24).reshape(2, 3, 2, 2)
    assert one_map(array, 6, 4).tolist() == [16, 17, 18, 19]
    with pytest.raises(cr.errors.IndexRangeError, match="map 6, needs 0 to 5"):
        one_map(array, 6, 6)
