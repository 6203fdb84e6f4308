"""The contract of an op, and the registry of all ops.

An op is everything mathematical about one primitive in one place: formula, shape rule, reference
semantics in NumPy, and under them the derivative, written *in ops*, so that error signals are nodes
of the same graph.  Data are positional, metadata (``axis``, ``stride``) keyword-only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np

from chainrule.dtypes import DType, bool_
from chainrule.errors import DtypeError, ShapeError, message
from chainrule.graph import type_text
from chainrule.ops.scalars import NUMPY_SCALARS

__all__ = ["REGISTRY", "Elementwise", "Op", "Sample", "Typed", "register"]


class Typed(Protocol):
    """What a shape rule may look at: a node, or a tensor."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> DType: ...


@dataclass(frozen=True)
class Sample:
    """One place where tests look: the inputs (float64 where differentiable) and the metadata.

    ``differentiable`` lists the inputs whose derivative is checked; ``None``: all floating ones.
    """

    inputs: tuple[np.ndarray, ...]
    meta: dict[str, Any] = field(default_factory=dict)
    differentiable: tuple[int, ...] | None = None


class Op:
    """Base class of all primitives. A subclass writes

    ``infer(*types, **meta)``      the shape rule: ``(shape, dtype)``, or a ``ShapeError``
    ``reference(*arrays, **meta)`` what it computes, in NumPy: every backend is held to it
    ``vjp(y, y_bar, *inputs, **meta)`` the error signals of the inputs, a tuple built from ops
    ``samples(rng)``               where the tests look

    ``reads`` says which values ``vjp`` looks at, per input: ``("b", "a")`` means that the error
    signal of the first input reads the value of ``b``, that of the second reads ``a``; names are
    those of ``vjp``'s parameters, ``"y x"`` is two of them, one string stands for all inputs.
    Values that are not read are freed early; their shapes and dtypes stay available.
    """

    name: ClassVar[str]
    reads: ClassVar[str | tuple[str, ...]] = ""
    differentiable: ClassVar[bool] = True
    why_not: ClassVar[str] = ""  # the reason, where differentiable is False
    linear: ClassVar[bool] = False  # in all inputs at once
    any_strides: ClassVar[bool] = False  # same bits whatever the strides of its inputs (exact ops)
    tolerance: ClassVar[float] = 1e-7  # relative, of a float64 gradient check

    def infer(self, *inputs: Typed, **meta: Any) -> tuple[tuple[int, ...], DType]:
        raise NotImplementedError(f"{type(self).__name__} has no shape rule")

    def reference(self, *inputs: np.ndarray, **meta: Any) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} has no reference")

    def vjp(self, y: Any, y_bar: Any, *inputs: Any, **meta: Any) -> tuple[Any, ...]:
        raise NotImplementedError(f"{type(self).__name__} has no vjp")

    def check(self, *inputs: np.ndarray, **meta: Any) -> None:
        """Raise for *values* out of range (labels, indices); runs before anything is computed."""

    def samples(self, rng: np.random.Generator) -> Iterator[Sample]:
        raise NotImplementedError(f"{type(self).__name__} has no samples")

    def __call__(self, *inputs: Any, **meta: Any) -> Any:
        """Record the op on tensors; the first tensor among the inputs knows how."""
        for source in inputs:
            record = getattr(source, "_record", None)
            if record is not None:
                return record(self, inputs, meta)
        raise DtypeError(message(self.name, "no tensor among the inputs", "at least one"))

    def reads_of(self, index: int, count: int) -> tuple[int, ...]:
        """Which values the error signal of input ``index`` reads: -1 is y, others inputs."""
        known = self.__dict__.setdefault("_reads_of", {})
        found = known.get((index, count))
        if found is None:
            reads = self.reads
            words = reads if isinstance(reads, str) else reads[min(index, len(reads) - 1)]
            found = known[index, count] = tuple(
                position
                for word in words.split()
                for position in ([-1] if word == "y" else self._positions(word, count))
            )
        return found

    def _positions(self, word: str, count: int) -> list[int]:
        if word.startswith("*"):  # a variable number of inputs, such as the parts of concatenate
            return list(range(self.input_names.index(word), count))
        return [self.input_names.index(word)]

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the data inputs, as ``reads`` uses them."""
        cached = self.__dict__.get("_input_names")
        if cached is None:
            parameters = list(signature(self.vjp).parameters.values())[2:]
            cached = self.__dict__["_input_names"] = tuple(
                ("*" if p.kind is p.VAR_POSITIONAL else "") + p.name
                for p in parameters
                if p.kind in (p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)
            )
        return cached

    @property
    def formula(self) -> str:
        """The first line of the docstring: formula, derivative, types."""
        return (type(self).__doc__ or "").strip().splitlines()[0]

    def __repr__(self) -> str:
        return f"<op {self.name}>"


REGISTRY: dict[str, Op] = {}
_O = TypeVar("_O", bound=Op)


def register(op: _O) -> _O:
    """Enter an op under its name; two ops of one name are a mistake."""
    assert op.name not in REGISTRY, f"two ops are named {op.name}"
    REGISTRY[op.name] = op
    return op


class Elementwise(Op):
    """y_i = scalar(a_i, b_i, ...): inputs of one shape, or ``[]`` beside them; one dtype.

    ``scalar(s, *inputs)`` is the one formula.  ``s`` holds the functions (``s.exp``, ``s.where``):
    NumPy's here, later those of a code generator.  ``domain`` and ``kinks`` say where tests look.
    """

    domain: ClassVar[tuple[float, float]] = (-3.0, 3.0)
    kinks: ClassVar[tuple[float, ...]] = ()
    special: ClassVar[
        tuple[float, ...]
    ] = ()  # values at which forward and backward are compared too
    arity: ClassVar[int] = 1
    result: ClassVar[DType | None] = None  # a fixed result type, such as bool for comparisons
    floats_only: ClassVar[bool] = False
    any_strides = True

    def scalar(self, s: Any, *inputs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no formula")

    def infer(self, *inputs: Typed, **meta: Any) -> tuple[tuple[int, ...], DType]:
        shape: tuple[int, ...] = ()
        for source in inputs:
            if source.shape:
                if shape and source.shape != shape:
                    types = " and ".join(type_text(i.shape, i.dtype) for i in inputs)
                    raise ShapeError(message(self.name, types, "equal shapes"))
                shape = source.shape
        dtype = inputs[-1].dtype
        if self.floats_only and not dtype.is_floating_point:
            raise DtypeError(
                message(
                    self.name, dtype.name, "a floating-point tensor", remedy=".float() casts it"
                )
            )
        return shape, self.result or dtype

    def reference(self, *inputs: np.ndarray, **meta: Any) -> np.ndarray:
        result = self.scalar(NUMPY_SCALARS, *inputs, **meta)
        dtype = bool_.numpy if self.result is bool_ else inputs[-1].dtype
        return np.asarray(result, dtype=dtype)

    def samples(self, rng: np.random.Generator) -> Iterator[Sample]:
        low, high = self.domain
        for shape in ((3, 4), (1,), (), (0, 2)):
            arrays = tuple(rng.uniform(low, high, shape) for _ in range(self.arity))
            for kink in self.kinks:
                for array in arrays:
                    array[np.abs(array - kink) < 0.05] += 0.1
            yield Sample(arrays)
