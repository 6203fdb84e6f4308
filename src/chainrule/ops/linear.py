"""The matrix product, and orthonormal columns."""

from __future__ import annotations

import numpy as np

from chainrule.dtypes import bool_
from chainrule.errors import DtypeError, ShapeError, message
from chainrule.graph import type_text
from chainrule.ops.op import Op, Sample, Typed, register

__all__ = ["matmul", "orthonormal"]


class MatMul(Op):
    """y = a b      ā = ȳ bᵀ, b̄ = aᵀ ȳ      a: [...,M,K], b: [...,K,N] -> y: [...,M,N]

    The batch axes ``...`` of both are equal; broadcasting is a matter of ``expand`` before.
    """

    name = "matmul"
    reads = ("b", "a")

    def infer(self, a: Typed, b: Typed):
        fits = len(a.shape) == len(b.shape) >= 2 and a.shape[:-2] == b.shape[:-2]
        if not fits or a.shape[-1] != b.shape[-2]:
            types = f"{type_text(a.shape, a.dtype)} @ {type_text(b.shape, b.dtype)}"
            raise ShapeError(message("matmul", types, f"{a.shape[-1]} rows on the right"))
        if a.dtype is not b.dtype or a.dtype is bool_:
            raise DtypeError(
                message("matmul", f"{a.dtype.name} @ {b.dtype.name}", "one number type")
            )
        return (*a.shape[:-1], b.shape[-1]), a.dtype

    def reference(self, a, b):
        return np.matmul(a, b)

    def vjp(self, y, y_bar, a, b):
        return y_bar @ b.transpose(-1, -2), a.transpose(-1, -2) @ y_bar

    def samples(self, rng):
        for batch in ((), (3,), (2, 1)):
            yield Sample((rng.normal(size=(*batch, 2, 3)), rng.normal(size=(*batch, 3, 4))))
        yield Sample((rng.normal(size=(0, 3)), rng.normal(size=(3, 1))))
        yield Sample((rng.normal(size=(2, 0)), rng.normal(size=(0, 3))))


class Orthonormal(Op):
    """y = Q of x = Q R, R's diagonal ≥ 0      x: [M,N] -> y: [M,N], M ≥ N, yᵀ y = 1

    Of independent normal numbers it makes a uniformly distributed Q (F. Mezzadri 2007).
    """

    name = "orthonormal"
    differentiable = False
    why_not = "it makes initial values"

    def infer(self, x: Typed):
        if len(x.shape) != 2 or x.shape[0] < x.shape[1] or not x.dtype.is_floating_point:
            got, needs = type_text(x.shape, x.dtype), "f[M,N] with M ≥ N"
            raise ShapeError(message("orthonormal", got, needs))
        return x.shape, x.dtype

    def reference(self, x):
        q, r = np.linalg.qr(x)
        return q * np.where(np.diagonal(r) < 0, -1, 1).astype(x.dtype)

    def samples(self, rng):
        for shape in ((4, 3), (3, 3), (2, 0)):
            yield Sample((rng.normal(size=shape),))


matmul = register(MatMul())
orthonormal = register(Orthonormal())
