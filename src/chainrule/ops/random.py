"""Random numbers as a pure function: bits from (seed, stream, draw), and what is made of them.

``random_bits`` is the one primitive; uniform and normal numbers, masks and permutations are written
with it in ops.  Whoever calls them takes the draw numbers from ``chainrule.random``, each one once.

Every bit is made of whole-number arithmetic and exactly rounded operations (+ - * / √): the same
seed gives the same numbers on every machine.  Number i does not depend on how many are asked for.
"""

from __future__ import annotations

from math import pi, prod, sqrt
from typing import Any

import numpy as np

from chainrule.dtypes import DType, float32, float64, int64
from chainrule.errors import DtypeError, ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.ops.elementwise import exp, floor_divide, remainder
from chainrule.ops.op import Elementwise, Op, Sample, Typed, register
from chainrule.ops.reduce import argsort

__all__ = [
    "bernoulli",
    "integers",
    "ndtri",
    "normal",
    "permutation",
    "philox",
    "random_bits",
    "random_words",
    "uniform",
]

WORD = 0xFFFFFFFF
BLOCK = 1 << 14  # counters at a time: what a round needs stays in the cache
FEW = 16  # so few counters are faster in Python's own numbers


# ---------------------------------------------------------------- bits


def philox(counter: tuple[Any, ...], key: tuple[int, int]) -> tuple[Any, ...]:
    """Philox4x32-10: four random 32-bit words for a counter of four and a key of two.

    J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as
    1, 2, 3", SC'11: ten rounds, each of two 32 × 32 → 64 bit products whose halves are crossed and
    mixed with the other words and the key.  A word is an int or an array of uint64.

    >>> [f"{word:08x}" for word in philox((0, 0, 0, 0), (0, 0))]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        a, b = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & WORD, (a >> 32) ^ c3 ^ k1, a & WORD
        k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
    return c0, c1, c2, c3


def random_words(seed: int, stream: int, draw: int, count: int) -> np.ndarray:
    """The first ``count`` 32-bit words of a draw, as int64.

    The key is the seed (64 bits), the counter (number of the block of four words, stream, draw), so
    any word can be computed alone.
    """
    key = (seed & WORD, seed >> 32 & WORD)
    rest = (stream & WORD, draw & WORD, draw >> 32 & WORD)
    words = np.empty((-(-count // 4), 4), np.int64)
    if len(words) <= FEW:
        for block in range(len(words)):
            words[block] = philox((block, *rest), key)
        return words.reshape(-1)[:count]
    for start in range(0, len(words), BLOCK):
        part = words[start : start + BLOCK]
        blocks = np.arange(start, start + len(part), dtype=np.uint64)
        for lane, word in enumerate(philox((blocks, *rest), key)):
            part[:, lane] = word
    return words.reshape(-1)[:count]


class RandomBits(Op):
    """y = 32 random bits each, from Philox4x32-10      seed, stream, draw: i64[] -> y: i64[*shape]

    The same (seed, stream, draw) always gives the same numbers, 0 … 2³² - 1.
    """

    name = "random_bits"
    differentiable = False
    why_not = "its result is random"

    def infer(self, seed: Typed, stream: Typed, draw: Typed, *, shape: tuple[int, ...]):
        for number in (seed, stream, draw):
            if number.shape or number.dtype is not int64:
                got = type_text(number.shape, number.dtype)
                raise ShapeError(message(self.name, got, "i64[] three times: seed, stream, draw"))
        return shape, int64

    def reference(self, seed, stream, draw, *, shape):
        return random_words(int(seed), int(stream), int(draw), prod(shape)).reshape(shape)

    def samples(self, rng):
        for shape in ((), (7,), (2, 3, 5), (0, 3), (4, 40)):
            numbers = (np.asarray(n) for n in (-(2**63) + 3, 4, 2**40 + 1))
            yield Sample(tuple(numbers), {"shape": shape})


class NormalQuantile(Elementwise):
    """y = Φ⁻¹(u)      ū = ȳ √2π exp(y²/2)      0 < u < 1

    A standard normal variable lies below y with probability u.  Algorithm AS 241 (Wichura 1988)
    from exactly rounded operations.
    """

    name = "ndtri"
    domain = (0.02, 0.98)
    reads = "y"
    floats_only = True

    def scalar(self, s, u):
        return s.ndtri(u)

    def vjp(self, y, y_bar, u):
        return (y_bar * (sqrt(2 * pi) * exp(0.5 * (y * y))),)


random_bits = register(RandomBits())
ndtri = register(NormalQuantile())


# ---------------------------------------------------------------- what is made of them
#
# seed, stream and draw are tensors i64[]; all functions return a tensor.


def uniform(seed: Any, stream: Any, draw: Any, *, shape: tuple[int, ...], dtype: DType) -> Any:
    """Numbers in [0, 1), all multiples of 2⁻²⁴ (float32) or 2⁻⁵³ (float64) alike."""
    _floating("uniform", dtype)
    if dtype is float32:
        bits = random_bits(seed, stream, draw, shape=shape)
        return _shifted(bits, 8).to(float32) * 2.0**-24
    high, low = _pairs(seed, stream, draw, shape)
    return (_shifted(high, 5).to(float64) * 2.0**26 + _shifted(low, 6).to(float64)) * 2.0**-53


def normal(seed: Any, stream: Any, draw: Any, *, shape: tuple[int, ...], dtype: DType) -> Any:
    """Standard normal numbers: the quantile of (k + ½) 2⁻³² (float32) or (k + ½) 2⁻⁵² (float64)."""
    _floating("normal", dtype)
    if dtype is float32:
        bits = random_bits(seed, stream, draw, shape=shape)
        return ndtri((bits.to(float64) + 0.5) * 2.0**-32).to(float32)
    high, low = _pairs(seed, stream, draw, shape)
    whole = high.to(float64) * 2.0**20 + _shifted(low, 12).to(float64)
    return ndtri((whole + 0.5) * 2.0**-52)


def bernoulli(seed: Any, stream: Any, draw: Any, *, shape: tuple[int, ...], p: float) -> Any:
    """True with probability p, for a number p: a bool tensor."""
    return random_bits(seed, stream, draw, shape=shape) < round(p * 2.0**32)


def integers(
    seed: Any, stream: Any, draw: Any, *, shape: tuple[int, ...], low: int, high: int
) -> Any:
    """Whole numbers low ≤ y < high, from 62 bits each: i64."""
    if high <= low:
        raise UsageError(message("integers", f"low={low}, high={high}", "low < high"))
    key = _keys(seed, stream, draw, shape)
    return remainder(key, key.number(high - low)) + low


def permutation(seed: Any, stream: Any, draw: Any, *, n: int) -> Any:
    """The numbers 0 … n - 1 in random order: i64[n], the order of n random 62-bit keys."""
    return argsort(_keys(seed, stream, draw, (n,)), axis=0, descending=False)


def _floating(name: str, dtype: DType) -> None:
    if not dtype.is_floating_point:
        remedy = "integers gives whole numbers"
        raise DtypeError(message(name, dtype.name, "float32 or float64", remedy=remedy))


def _pairs(seed: Any, stream: Any, draw: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Two words for each number, side by side: number i does not depend on how many there are."""
    bits = random_bits(seed, stream, draw, shape=(*shape, 2))
    return bits[..., 0], bits[..., 1]


def _keys(seed: Any, stream: Any, draw: Any, shape: tuple[int, ...]) -> Any:
    high, low = _pairs(seed, stream, draw, shape)
    return _shifted(high, 1) * 2**31 + _shifted(low, 1)


def _shifted(bits: Any, places: int) -> Any:
    return floor_divide(bits, bits.number(2**places))
