"""Pictures' numbers as bytes: of many layers in one answer, of a large one map by map.

An answer is the arrays one after the other, little-endian and in C order; its header X-Parts says
in JSON what they are: ``[{"node": 6, "dtype": "float32", "maps": [0, 1], "bytes": 6272}, ...]``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from starlette.responses import Response

from chainrule.errors import IndexRangeError, message

__all__ = ["Tile", "one_map", "packed"]


class Tile(NamedTuple):
    """A layer's maps of one sample, array [maps, cells], and which of them are wanted."""

    node: int
    array: np.ndarray
    maps: list[int]


def packed(tiles: Iterable[Tile]) -> Response:
    """The wanted maps of all tiles as one answer."""
    parts: list[dict[str, Any]] = []
    content: list[bytes] = []
    for node, array, maps in tiles:
        whole = maps == list(range(len(array)))
        content.append(_bytes(array if whole else array[maps]))
        dtype = array.dtype.name
        parts.append({"node": node, "dtype": dtype, "maps": maps, "bytes": len(content[-1])})
    headers = {"X-Parts": json.dumps(parts, separators=(",", ":")), "Cache-Control": "no-store"}
    return Response(b"".join(content), media_type="application/octet-stream", headers=headers)


def one_map(array: np.ndarray, maps: int, number: int) -> np.ndarray:
    """A map of a sample's value, flat.  Raises IndexRangeError.

    >>> one_map(np.arange(12).reshape(3, 2, 2), 3, 1).tolist()
    [4, 5, 6, 7]
    """
    if not 0 <= number < maps:
        raise IndexRangeError(message("studio", f"map {number}", f"0 to {maps - 1}"))
    return array.reshape(maps, -1)[number]


def _bytes(array: np.ndarray) -> bytes:
    exact = np.ascontiguousarray(array)
    return exact.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
