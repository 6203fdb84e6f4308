"""The six number types."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.dtypes import dtype_of, promote, promote_operands

ALL = [cr.bool, cr.uint8, cr.int32, cr.int64, cr.float32, cr.float64]


def test_names_sizes_and_their_short_forms():
    assert [d.short for d in ALL] == ["bool", "u8", "i32", "i64", "f32", "f64"]
    assert [d.itemsize for d in ALL] == [1, 1, 4, 8, 4, 8]
    assert repr(cr.float32) == "chainrule.float32"
    assert cr.float is cr.float32 and cr.double is cr.float64 and cr.long is cr.int64
    assert [d.category for d in ALL] == [0, 1, 1, 1, 2, 2]


def test_whatever_names_a_type():
    for dtype in ALL:
        assert dtype_of(dtype) is dtype
        assert dtype_of(dtype.numpy) is dtype
        assert dtype_of(dtype.name) is dtype
        assert dtype_of(dtype.numpy.type) is dtype
    assert dtype_of(">f4") is cr.float32  # the byte order of a file is no other type
    assert (dtype_of(float), dtype_of(int), dtype_of(bool)) == (cr.float32, cr.int64, cr.bool)


@pytest.mark.parametrize("foreign", ["float16", "complex64", "int8", "uint16", "uint64", "M8[s]"])
def test_foreign_types_name_the_cast(foreign):
    with pytest.raises(cr.DtypeError, match=r"one of bool, uint8.*\.astype\('(float32|int64)'\)"):
        dtype_of(foreign)


def test_promotion_is_symmetric_and_keeps_equals():
    for a in ALL:
        assert promote(a, a) is a
        for b in ALL:
            assert promote(a, b) is promote(b, a)
            assert promote_operands((a, 2), (b, 2)) is promote(a, b)
            winner = b if b.category > a.category else a
            assert promote_operands((a, 2), (b, 0)) is winner


def test_big_endian_and_strided_arrays_enter():
    a = np.arange(6, dtype=">f8")[::2]
    assert cr.tensor(a).tolist() == [0, 2, 4] and cr.tensor(a).dtype is cr.float64
