"""The symbolic column: the recorded graph as SymPy expressions, which SymPy differentiates.

Each op's forward formula is applied to expressions instead of numbers: ``scalar`` of elementwise
ops, ``reference`` of ops that move or multiply numbers, the definition of the few reductions below.
No vjp is used, so a wrong one shows.  A branch (a maximum, |x|, where) is the one that is taken at
the place where we look; values carry 30 digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from chainrule.gradcheck.trace import Trace
from chainrule.ops.op import Elementwise
from chainrule.ops.pool import max_pool_index
from chainrule.storage import Recorded

__all__ = ["INSTALL", "NotSymbolicError", "derivatives"]

DIGITS = 30
LARGEST = 30_000  # parts of an expression times symbols in it, of all outputs: about two seconds
INSTALL = "pip install chainrule[symbolic]"


class NotSymbolicError(Exception):
    """The symbolic column does not apply; the text says why."""


def derivatives(
    trace: Trace, seeds: Mapping[Recorded, np.ndarray], variables: Mapping[str, Recorded]
) -> dict[str, np.ndarray]:
    """∂s/∂x of each variable, for s = Σ seed·y over the nodes of ``seeds``.

    Raises NotSymbolicError without SymPy, and where the expressions would be too large.
    """
    try:
        import mpmath
        import sympy
    except ImportError:
        raise NotSymbolicError(INSTALL) from None
    count = sum(prod(node.shape) for node in variables.values())
    if count > 1000:
        raise NotSymbolicError(f"{count:,} derivatives are too many for SymPy")
    with mpmath.workdps(DIGITS):
        algebra = _Algebra(sympy, mpmath)
        arrays = _forward(trace, variables, algebra)
        used = [node for node in variables.values() if node in arrays]
        symbols = {x.expression: x.value for node in used for x in arrays[node].flat}
        slopes = _differentiated(seeds, arrays, symbols, algebra)
        try:
            numbers = sympy.lambdify(list(symbols), slopes, modules="mpmath")(*symbols.values())
        except (ArithmeticError, ValueError):  # such as 1/0, or ln 0
            raise NotSymbolicError("the derivative is not finite here") from None
    found, start = {}, 0
    for name, node in variables.items():
        if node not in arrays:  # nothing recorded depends on it
            found[name] = np.zeros(node.shape)
            continue
        size = prod(node.shape)
        part = [float(number) for number in numbers[start : start + size]]
        found[name], start = np.array(part).reshape(node.shape), start + size
    return found


def _differentiated(
    seeds: Mapping[Recorded, np.ndarray],
    arrays: Mapping[Any, Any],
    symbols: Mapping[Any, Any],
    algebra: _Algebra,
) -> list[Any]:
    """∂s/∂x for each symbol, as an expression."""
    weighted = [
        (algebra.number(weight).expression, y, y.expression.free_symbols)
        for node, seed in seeds.items()
        for weight, y in zip(seed.flat, algebra.exact(arrays[node]).flat, strict=True)
    ]
    work = sum(y.size * len(inside) for _, y, inside in weighted)
    if work > LARGEST:
        raise NotSymbolicError("the expressions are too large for SymPy")
    slopes: dict[Any, list[Any]] = {symbol: [] for symbol in symbols}
    for weight, y, inside in weighted:
        for symbol in inside:
            slopes[symbol].append(weight * y.expression.diff(symbol))
    return [algebra.sympy.Add(*terms) for terms in slopes.values()]


def _forward(trace: Trace, variables: Mapping[str, Recorded], algebra: _Algebra) -> dict[Any, Any]:
    """Node -> its value: an array of expressions where it depends on a variable, else numbers."""
    names = {node: name for name, node in variables.items()}
    arrays: dict[Any, Any] = {}
    size = 0
    for node in trace.nodes:
        inputs = trace.inputs[node]
        if node in names:
            arrays[node] = algebra.symbols(names[node], trace.value(node))
        elif (
            node.op.differentiable
            and node.dtype.is_floating_point
            and any(arrays[source].dtype == object for source in inputs)
        ):
            arrays[node] = _apply(node, [arrays[source] for source in inputs], algebra)
            size += sum(x.size for x in arrays[node].flat)
            if size > 4 * LARGEST:
                raise NotSymbolicError("the expressions are too large for SymPy")
        else:
            arrays[node] = trace.value(node)
    return arrays


def _apply(node: Recorded, inputs: list[Any], algebra: _Algebra) -> np.ndarray:
    """The op's forward formula on expressions."""
    op, meta = node.op, node.meta
    exact = [algebra.exact(x) if x.dtype.kind in "fO" else x for x in inputs]
    rule = RULES.get(op.name)
    if rule is not None:
        y = rule(algebra, *exact, **meta)
    elif op.name in BY_REFERENCE:
        y = op.reference(*exact, **meta)
    elif isinstance(op, Elementwise) and op.name != "assign":
        formula = np.frompyfunc(lambda *x: op.scalar(algebra, *x, **meta), len(exact), 1)
        y = formula(*exact)
    else:
        raise NotSymbolicError(f"{op.name} has no formula that SymPy can take")
    return algebra.exact(np.asarray(y, dtype=object)).reshape(node.shape)


# ---------------------------------------------------------------- expressions


class Exact:
    """An expression of SymPy, its value, which decides branches, and how many parts it has."""

    __slots__ = ("algebra", "expression", "size", "value")

    def __init__(self, algebra: _Algebra, expression: Any, value: Any, size: int) -> None:
        self.algebra, self.expression, self.value, self.size = algebra, expression, value, size

    def _with(self, other: Any, operate: Callable[[Any, Any], Any]) -> Exact:
        b = self.algebra.number(other)
        made = operate(self.expression, b.expression)
        return Exact(self.algebra, made, operate(self.value, b.value), self.size + b.size + 1)

    def __add__(self, other: Any) -> Exact:
        return self._with(other, lambda a, b: a + b)

    def __sub__(self, other: Any) -> Exact:
        return self._with(other, lambda a, b: a - b)

    def __mul__(self, other: Any) -> Exact:
        return self._with(other, lambda a, b: a * b)

    def __truediv__(self, other: Any) -> Exact:
        return self._with(other, lambda a, b: a / b)

    def __radd__(self, other: Any) -> Exact:
        return self._with(other, lambda a, b: b + a)

    def __rsub__(self, other: Any) -> Exact:
        return self._with(other, lambda a, b: b - a)

    def __rmul__(self, other: Any) -> Exact:
        return self._with(other, lambda a, b: b * a)

    def __rtruediv__(self, other: Any) -> Exact:
        return self._with(other, lambda a, b: b / a)

    def __neg__(self) -> Exact:
        return Exact(self.algebra, -self.expression, -self.value, self.size + 1)

    def __lt__(self, other: Any) -> bool:
        return self.value < self.algebra.number(other).value

    def __le__(self, other: Any) -> bool:
        return self.value <= self.algebra.number(other).value

    def __gt__(self, other: Any) -> bool:
        return self.value > self.algebra.number(other).value

    def __ge__(self, other: Any) -> bool:
        return self.value >= self.algebra.number(other).value


class _Algebra:
    """The functions that formulas are written in, of SymPy's expressions."""

    def __init__(self, sympy: Any, mpmath: Any) -> None:
        self.sympy, self.mpmath = sympy, mpmath

    def number(self, x: Any) -> Exact:
        """A number, exactly."""
        if isinstance(x, Exact):
            return x
        x = float(x)
        whole = x.is_integer() and abs(x) < 1e6
        made = self.sympy.Integer(int(x)) if whole else self.sympy.Float(x, DIGITS)
        return Exact(self, made, self.mpmath.mpf(x), 1)

    def exact(self, array: np.ndarray) -> np.ndarray:
        """Numbers among expressions become expressions."""
        flat = [self.number(x) for x in np.asarray(array, dtype=object).flat]
        made = np.empty(len(flat), dtype=object)
        made[:] = flat
        return made.reshape(np.shape(array))

    def symbols(self, name: str, values: np.ndarray) -> np.ndarray:
        """One real symbol for each element."""
        made = np.empty(values.size, dtype=object)
        for i, x in enumerate(values.flat):
            symbol = self.sympy.Symbol(f"{name}_{i}", real=True)
            made[i] = Exact(self, symbol, self.mpmath.mpf(float(x)), 1)
        return made.reshape(values.shape)

    def _function(self, name: str, x: Any, value: str = "") -> Exact:
        x = self.number(x)
        made = getattr(self.sympy, name)(x.expression)
        return Exact(self, made, getattr(self.mpmath, value or name)(x.value), x.size + 1)

    def exp(self, x: Any) -> Exact:
        return self._function("exp", x)

    def log(self, x: Any) -> Exact:
        return self._function("log", x)

    def sin(self, x: Any) -> Exact:
        return self._function("sin", x)

    def cos(self, x: Any) -> Exact:
        return self._function("cos", x)

    def tanh(self, x: Any) -> Exact:
        return self._function("tanh", x)

    def erf(self, x: Any) -> Exact:
        return self._function("erf", x)

    def sqrt(self, x: Any) -> Exact:
        return self._function("sqrt", x)

    def ndtri(self, x: Any) -> Exact:
        return self.sqrt(2) * self._function("erfinv", 2 * x - 1)

    def expm1(self, x: Any) -> Exact:
        return self.exp(x) - 1

    def log1p(self, x: Any) -> Exact:
        return self.log(1 + x)

    def power(self, a: Any, b: Any) -> Exact:
        return self.number(a)._with(b, lambda x, y: x**y)

    def abs(self, x: Any) -> Exact:
        return x if x >= 0 else -x

    def maximum(self, a: Any, b: Any) -> Exact:
        return self.number(a if self.number(a) >= b else b)

    def minimum(self, a: Any, b: Any) -> Exact:
        return self.number(a if self.number(a) <= b else b)

    def where(self, c: Any, a: Any, b: Any) -> Exact:
        return self.number(a if c else b)

    def remainder(self, a: Any, b: Any) -> Exact:
        whole = self.mpmath.floor(self.number(a).value / self.number(b).value)
        return a - b * float(whole)


# ---------------------------------------------------------------- ops that are not elementwise

# These only move numbers, or multiply and add them: NumPy does that with expressions too.
BY_REFERENCE = frozenset({
    "reshape", "permute", "expand", "slice", "put", "flip", "concatenate",
    "matmul", "conv", "conv_input_grad", "conv_weight_grad",
    "gather", "index", "index_put", "avg_pool",
})  # fmt: skip


def _cast(s: _Algebra, x: np.ndarray, *, dtype: str) -> np.ndarray:
    return x


def _pad(s: _Algebra, x: np.ndarray, *, widths: Any, value: float = 0.0) -> np.ndarray:
    return s.exact(np.pad(x, widths, constant_values=value))


def _sum(s: _Algebra, x: np.ndarray, *, axes: tuple[int, ...]) -> Any:
    return np.sum(x, axis=axes) if x.size else np.zeros(np.sum(x, axis=axes).shape)


def _cumsum(s: _Algebra, x: np.ndarray, *, axis: int) -> np.ndarray:
    return np.cumsum(x, axis=axis)


def _logsumexp(s: _Algebra, x: np.ndarray, *, axis: int) -> Any:
    return _each(s.log, np.sum(_each(s.exp, x), axis=axis))


def _log_softmax(s: _Algebra, x: np.ndarray, *, axis: int) -> np.ndarray:
    return x - _each(s.log, np.sum(_each(s.exp, x), axis=axis, keepdims=True))


def _moments(s: _Algebra, x: np.ndarray, *, axes: tuple[int, ...]) -> np.ndarray:
    count = prod(x.shape[axis] for axis in axes)
    mean = np.sum(x, axis=axes, keepdims=True) / count
    away = x - mean
    variance = np.sum(away * away, axis=axes) / count
    return np.stack([np.reshape(mean, np.shape(variance)), variance])


def _amax(s: _Algebra, x: np.ndarray, *, axes: tuple[int, ...]) -> Any:
    return np.max(x, axis=axes)


def _amin(s: _Algebra, x: np.ndarray, *, axes: tuple[int, ...]) -> Any:
    return np.min(x, axis=axes)


def _max_pool(s: _Algebra, x: np.ndarray, **meta: Any) -> np.ndarray:
    place = max_pool_index.reference(_each(lambda x: float(x.value), x).astype(float), **meta)
    planes = x.reshape(*x.shape[:2], -1)
    return np.take_along_axis(planes, place.reshape(*x.shape[:2], -1), axis=2)


def _each(function: Callable[[Any], Any], x: Any) -> Any:
    return np.frompyfunc(function, 1, 1)(x)


RULES: dict[str, Callable[..., Any]] = {
    "cast": _cast,
    "pad": _pad,
    "sum": _sum,
    "cumsum": _cumsum,
    "logsumexp": _logsumexp,
    "log_softmax": _log_softmax,
    "moments": _moments,
    "amax": _amax,
    "amin": _amin,
    "max_pool": _max_pool,
}
