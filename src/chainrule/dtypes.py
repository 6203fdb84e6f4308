"""The number types: float32 (default), float64, int64, int32, uint8, bool; promotion as PyTorch."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from chainrule.errors import DtypeError, message

__all__ = [
    "DType",
    "bool_",
    "dtype_of",
    "float32",
    "float64",
    "how_to_cast",
    "int32",
    "int64",
    "promote",
    "uint8",
]


class DType:
    """A number type. There are six of them, each made once, compared by identity.

    >>> float32, float32.short, float32.itemsize
    (chainrule.float32, 'f32', 4)
    """

    __slots__ = ("is_floating_point", "itemsize", "name", "numpy", "rank", "short")

    def __init__(self, name: str, short: str, rank: int) -> None:
        self.name, self.short, self.rank = name, short, rank
        self.numpy = np.dtype(name)
        self.itemsize = self.numpy.itemsize
        self.is_floating_point = self.numpy.kind == "f"

    @property
    def category(self) -> int:
        """0 bool, 1 integer, 2 floating point: promotion looks at this first."""
        return 0 if self.name == "bool" else 2 if self.is_floating_point else 1

    def __repr__(self) -> str:
        return f"chainrule.{self.name}"

    def __reduce__(self) -> str:
        return "bool_" if self.name == "bool" else self.name  # unpickles to the one instance


bool_: Final = DType("bool", "bool", 0)
uint8: Final = DType("uint8", "u8", 1)
int32: Final = DType("int32", "i32", 2)
int64: Final = DType("int64", "i64", 3)
float32: Final = DType("float32", "f32", 4)
float64: Final = DType("float64", "f64", 5)

_ALL = (bool_, uint8, int32, int64, float32, float64)
_BY_NUMPY = {dtype.numpy: dtype for dtype in _ALL}
_PYTHON = {bool: bool_, int: int64, float: float32}


def dtype_of(source: object) -> DType:
    """The ``DType`` that something names: ours, NumPy's, a name, or ``float``, ``int``, ``bool``.

    Raises ``DtypeError`` for number types that Chainrule does not have, and names the cast.

    >>> dtype_of("float64"), dtype_of(float), dtype_of(np.dtype("u1"))
    (chainrule.float64, chainrule.float32, chainrule.uint8)
    """
    if isinstance(source, DType):
        return source
    if isinstance(source, type) and source in _PYTHON:
        return _PYTHON[source]
    try:
        found = np.dtype(source)  # type: ignore[call-overload]
    except TypeError:
        raise DtypeError(message("dtype", repr(source), _names())) from None
    dtype = _BY_NUMPY.get(found.newbyteorder("="))
    if dtype is None:
        cast = "float32" if found.kind in "fc" else "int64"
        raise DtypeError(
            message("dtype", f"{found.name}", _names(), remedy=f"Cast it first: .astype('{cast}')")
        )
    return dtype


def _names() -> str:
    return "one of " + ", ".join(dtype.name for dtype in _ALL)


def how_to_cast(dtype: DType) -> str:
    """The remedy for a value that must be floating-point and is not; of bytes, pictures are meant.

    >>> how_to_cast(int64)
    '.float() casts a tensor'
    """
    if dtype is uint8:
        return "A picture of 0 to 255, where networks are trained on 0 to 1? x.float() / 255"
    return ".float() casts a tensor"


def promote(a: DType, b: DType) -> DType:
    """The type that holds both, for two operands of equal standing.

    >>> promote(int64, float32), promote(uint8, bool_), promote(float32, float64)
    (chainrule.float32, chainrule.uint8, chainrule.float64)
    """
    return a if a.rank >= b.rank else b


@lru_cache(1024)
def promote_operands(*operands: tuple[DType, int]) -> DType:
    """PyTorch's result type of (dtype, priority): 2 an array, 1 a 0-d tensor, 0 a Python number.

    An operand of lower priority counts only where its *category* (bool, integer, floating) is
    higher: ``int_tensor * 2.5`` is float32 and ``float32_tensor * float64_0d`` stays float32.
    """
    result: DType | None = None
    for priority in (2, 1, 0):
        level: DType | None = None
        for dtype, standing in operands:
            if standing == priority:
                level = dtype if level is None else promote(level, dtype)
        if level is None:
            continue
        if result is None or level.category > result.category:
            result = level
    assert result is not None, "promotion of no operands"
    return result
