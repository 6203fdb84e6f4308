"""Every elementwise formula as machine code, against the NumPy reference, at three widths."""

import ctypes

import numpy as np
import pytest

from chainrule.dtypes import bool_, float32, float64, int32, int64, uint8
from chainrule.errors import ChainruleError, DtypeError
from chainrule.ops import REGISTRY, Elementwise
from chainrule.ops.windows import Type
from chainrule.run.llvm.engine import engine
from chainrule.run.llvm.scalar import Scalars, Value
from chainrule.run.llvm.text import Text
from chainrule.run.llvm.value import kind_of

WIDTHS = (16, 8, 1)
FARTHEST = 2.0**49  # sin and cos are NaN from there on
DTYPES = (float32, float64, int64, int32, uint8, bool_)
OPS = [op for op in REGISTRY.values() if isinstance(op, Elementwise)]


def in_memory(dtype):
    return uint8 if dtype is bool_ else dtype


def kernel(formula, dtypes, result, width):
    """The text of y[i] = formula(s, x0[i], x1[i], …) for i < n, a multiple of width."""
    text = Text("k", ["ptr %y", "i64 %n", *(f"ptr %x{k}" for k in range(len(dtypes)))])
    with text.loop("0", "%n", str(width)) as loop:
        values = []
        for k, dtype in enumerate(dtypes):
            byte = in_memory(dtype)
            place = text.at(kind_of(byte, 1), f"%x{k}", loop.index)
            value = Value(text, text.load(kind_of(byte, width), place), byte, width)
            values.append(value != 0 if dtype is bool_ else value)
        s = Scalars(text, width)
        y = s.cast(s.cast(formula(s, *values), result), in_memory(result))
        text.store(y.kind, y.name, text.at(kind_of(y.dtype, 1), "%y", loop.index))
    text.do("ret void")
    return text.module()


def compute(formula, arrays, result, width=16):
    """The formula of 1-D arrays, run as machine code."""
    dtypes = [next(d for d in DTYPES if d.numpy == a.dtype) for a in arrays]
    address = engine().function(kernel(formula, dtypes, result, width), "k")
    pointers = [ctypes.c_void_p] * len(arrays)
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, *pointers)(address)
    (n,) = {len(a) for a in arrays}
    padding = -n % width
    arrays = [np.concatenate([a, a[:1].repeat(padding)]) for a in arrays]
    y = np.zeros(n + padding, result.numpy)
    run(y.ctypes.data, n + padding, *(a.ctypes.data for a in arrays))
    return y[:n]


def same_at_every_width(formula, arrays, result):
    wide, *others = [compute(formula, arrays, result, width) for width in WIDTHS]
    for other in others:
        assert wide.tobytes() == other.tobytes()
    return wide


# ---------------------------------------------------------------- every op of the registry


def special(dtype):
    if dtype is bool_:
        return np.array([False, True])
    if not dtype.is_floating_point:
        ends = np.iinfo(dtype.numpy)
        numbers = [0, 1, 2, 3, 7, 31, ends.max, ends.min, ends.max - 1]
        return np.array(numbers + ([-1, -2, -7] if ends.min else []), dtype.numpy)
    ends = np.finfo(dtype.numpy)
    numbers = [0.0, 0.5, 0.625, 1.0, 2.0, 2.5, 3.0, 30.0, 88.0, 710.0, 1e-5, 1e10]
    numbers += [ends.tiny, ends.max, np.inf, ends.eps, 2.0**23, 0.7071067]
    return np.array([*numbers, *(-n for n in numbers), np.nan], dtype.numpy)


def cases(op, dtype):
    """Samples and all tuples of special values: (arrays, meta)."""
    rng = np.random.default_rng(0)
    for sample in op.samples(rng):
        if not sample.inputs[0].size:
            continue
        arrays = np.broadcast_arrays(*sample.inputs)
        conditions = [a.dtype.kind == "b" for a in arrays]
        kinds = [np.dtype(bool) if c else dtype.numpy for c in conditions]
        yield [a.reshape(-1).astype(k) for a, k in zip(arrays, kinds, strict=True)], sample.meta
        values = [special(bool_ if c else dtype) for c in conditions]
        yield [g.reshape(-1) for g in np.meshgrid(*values)], sample.meta


def admitted(op, arrays, meta):
    """The dtype of the result, or None where NumPy or the op's own rule refuses the types."""
    try:
        _, result = op.infer(*(Type(a.shape, dtype(a)) for a in arrays), **meta)
        op.reference(*(a[:1] for a in arrays), **meta)
    except (DtypeError, TypeError):
        return None
    return result


def dtype(array):
    return next(d for d in DTYPES if d.numpy == array.dtype)


def closely(y, expected, rounded):
    """Equal, or in functions that round within 4 ulp: two of ours, two of NumPy's."""
    ends = np.finfo(y.dtype) if rounded and y.dtype.kind == "f" else None
    rtol, atol = (4 * ends.eps, 2 * ends.tiny) if ends else (0, 0)
    np.testing.assert_allclose(y, expected, rtol, atol)


ROUNDED = {"exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "erf", "pow", "power", "sigmoid"}


def accepted(op, arrays, meta):
    """The rows that the op's own check lets pass, such as those with a divisor other than 0."""

    def passes(*row):
        try:
            op.check(*row, **meta)
        except ChainruleError:
            return False
        return not (op.name in ("sin", "cos") and FARTHEST <= abs(row[0]) < np.inf)

    keep = np.array([passes(*row) for row in zip(*arrays, strict=True)])
    return [a[keep] for a in arrays]


@pytest.mark.parametrize("kind", DTYPES, ids=lambda d: d.name)
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_op_is_what_the_reference_computes(op, kind):
    for arrays, meta in cases(op, kind):
        arrays = accepted(op, arrays, meta)
        result = admitted(op, arrays, meta)
        if result is None:
            continue
        y = same_at_every_width(lambda s, *x, m=meta: op.scalar(s, *x, **m), arrays, result)
        closely(y, op.reference(*arrays, **meta), op.name in ROUNDED)
