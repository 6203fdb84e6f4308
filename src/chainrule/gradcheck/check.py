"""Numeric and automatic derivatives side by side, with a verdict in words.

The outputs y of f are weighed by fixed random numbers into one number s = Σ w·y (s = y if y is one
number), so one backward gives ∂s/∂x for all elements; each is compared with the central difference

    (s(x + h) - s(x - h)) / 2h        error: h² f‴/6 of curvature,  ~ ε|s|/h of round-off

in float64.  Where the two differ, differences at several h tell why: see ``_why``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import backprop
from chainrule.creation import stack
from chainrule.errors import GradientError, UsageError, message
from chainrule.graph import type_text
from chainrule.recording import enable_grad
from chainrule.tensor import Tensor, tensor

__all__ = ["Comparison", "Report", "gradcheck"]

ELEMENTS = (
    256  # of one input that are compared one by one; more are sampled, and all compared at once
)
EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Comparison:
    """One derivative, computed in two ways.  ``index`` is None for all elements at once (ẋ·x̄)."""

    input: str
    index: tuple[int, ...] | None
    numeric: float
    automatic: float
    excess: float  # the error as a multiple of what is allowed: more than 1 fails
    why: str = ""

    @property
    def relative_error(self) -> float:
        """|automatic - numeric| / the larger of the two."""
        largest = max(abs(self.numeric), abs(self.automatic))
        return abs(self.automatic - self.numeric) / largest if largest else 0.0

    @property
    def place(self) -> str:
        """Such as ``x0[2, 1]``."""
        if self.index is None:
            return f"{self.input}, all at once"
        return f"{self.input}{list(self.index)}" if self.index else self.input


@dataclass
class Report:
    """What ``gradcheck`` found: true if every derivative agrees; prints as a table."""

    worst: list[Comparison] = field(default_factory=list)  # of each input
    compared: dict[str, int] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return all(comparison.excess <= 1 for comparison in self.worst)

    @property
    def worst_of_all(self) -> Comparison | None:
        """The element that is furthest from agreement."""
        return max(self.worst, key=lambda c: c.excess, default=None)

    def __str__(self) -> str:
        head = ("worst element", "numeric", "automatic", "rel. error", "compared")
        rows = [head] + [
            (
                c.place,
                f"{c.numeric:.9g}",
                f"{c.automatic:.9g}",
                f"{c.relative_error:.1e}",
                f"{self.compared[c.input]:,}" + ("" if c.excess <= 1 else "  differ"),
            )
            for c in self.worst
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [
            f"{row[0]:{widths[0]}}  "
            + "  ".join(
                f"{cell:>{width}}" for cell, width in zip(row[1:4], widths[1:], strict=True)
            )
            + f"  {row[4]}"
            for row in rows
        ]
        worst = self.worst_of_all
        if worst is None or self:
            return "\n".join([*lines, "the derivatives agree"])
        verdict = f"the derivatives differ, most at {worst.place} of {self.types[worst.input]}"
        return "\n".join([*lines, f"{verdict}: {worst.why}"])

    __repr__ = __str__


def gradcheck(
    f: Callable[..., Any],
    inputs: Any = (),
    eps: float = 1e-6,
    atol: float = 1e-7,
    rtol: float = 1e-5,
) -> Report:
    """Compare the derivatives of ``f(*inputs)`` by backward with those by differences.

    f: a function of tensors that returns a tensor or a tuple of them, or a Module, whose parameters
    are checked too.  inputs: tensors or arrays, cast to float64; those of whole numbers and bools
    are handed on.  An element fails if |automatic - numeric| > atol + rtol·|numeric|.

    Returns a Report: false if a derivative is wrong, with the worst element and the reason.
    Raises GradientError if f gives different values for equal inputs (dropout?).

    >>> import chainrule as cr
    >>> print(gradcheck(lambda x: (x**2).sum(), cr.tensor([0.0, 2.0])))  # doctest: +ELLIPSIS
    worst element  numeric  automatic  rel. error  compared
    x0[1]                4          4     ...  2
    the derivatives agree
    """
    sources = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    arrays = [np.asarray(x) for x in sources]
    variables = {
        f"x{i}": _Variable(array.astype(np.float64))
        for i, array in enumerate(arrays)
        if array.dtype.kind == "f"
    }
    if isinstance(inputs, dict) or eps <= 0:
        raise UsageError(message("gradcheck", f"inputs, eps = {eps}", "a tuple, and eps above 0"))
    with _in_float64(f) as parameters:
        variables |= {name: _Parameter(p) for name, p in parameters.items()}
        if not variables:
            raise UsageError(message("gradcheck", "no floating-point input", "at least one"))

        def call() -> tuple[list[Tensor], tuple[Tensor, ...]]:
            fresh = [
                variables[f"x{i}"].tensor() if f"x{i}" in variables else tensor(array)
                for i, array in enumerate(arrays)
            ]
            y = f(*fresh)
            return fresh, tuple(y) if isinstance(y, tuple | list) else (y,)

        with enable_grad():
            check = _Check(call, variables, eps, atol, rtol)
            return check.report([i for i, a in enumerate(arrays) if a.dtype.kind == "f"])


class _Variable:
    """An input, held as the array that is moved about."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = np.array(array, np.float64, order="C")

    def tensor(self) -> Tensor:
        return tensor(self.array, requires_grad=True)

    def moved(self) -> None:
        """The array has changed."""


class _Parameter(_Variable):
    """A parameter of a module: a change is written into it."""

    def __init__(self, parameter: Tensor) -> None:
        super().__init__(parameter.detach().numpy())
        self.parameter = parameter

    def tensor(self) -> Tensor:
        return self.parameter

    def moved(self) -> None:
        self.parameter.data = tensor(self.array)


@contextmanager
def _in_float64(f: Any) -> Iterator[dict[str, Tensor]]:
    """The parameters of f, if it is a Module; it works in float64 for the length of the block."""
    if not hasattr(f, "named_parameters"):
        yield {}
        return
    state = dict(f.named_parameters()) | dict(f.named_buffers())
    before = {name: x.detach().numpy().copy() for name, x in state.items()}
    try:
        for name, x in state.items():
            if before[name].dtype.kind == "f":
                x.data = tensor(before[name].astype(np.float64))
        yield {name: p for name, p in f.named_parameters() if p.requires_grad}
    finally:
        for name, x in state.items():  # batch norm counts each call: nothing of that stays
            x.data = tensor(before[name])


class _Check:
    """One function at one place."""

    def __init__(
        self, call: Any, variables: dict[str, _Variable], eps: float, atol: float, rtol: float
    ) -> None:
        self.call, self.variables = call, variables
        self.eps, self.atol, self.rtol = eps, atol, rtol
        self.rng = np.random.default_rng(0)
        self.weights: list[np.ndarray] = []

    def report(self, positions: Sequence[int]) -> Report:
        fresh, outputs = self.call()
        outputs = [y for y in outputs if y.requires_grad]
        if not outputs:
            why = "No operation between inputs and outputs has a derivative"
            raise GradientError(message("gradcheck", "outputs that need no grad", "one", why=why))
        values = [y.detach().numpy() for y in outputs]
        if sum(v.size for v in values) == 1:
            self.weights = [np.ones(v.shape) for v in values]
        else:  # none near 0, and no two equal, or errors could cancel
            self.weights = [self.rng.uniform(0.5, 1.5, v.shape) for v in values]
        at = dict(zip([f"x{i}" for i in positions], [fresh[i] for i in positions], strict=True))
        at |= {n: v.parameter for n, v in self.variables.items() if isinstance(v, _Parameter)}
        weighted = [(y * tensor(w)).sum() for y, w in zip(outputs, self.weights, strict=True)]
        scalar = stack(weighted).sum()
        bars = backprop.grad(scalar, list(at.values()), allow_unused=True)
        signals = {
            name: np.zeros(x.shape) if bar is None else bar.numpy().copy()
            for (name, x), bar in zip(at.items(), bars, strict=True)
        }
        if self._s() != self._s():
            why = "Something in it is random, or keeps count"
            remedy = "eval() switches dropout off"
            got = "different values for equal inputs"
            raise GradientError(message("gradcheck", got, "a function", why=why, remedy=remedy))
        report = Report()
        for name, variable in self.variables.items():
            if not variable.array.size:
                continue
            found = self._compare(name, variable, signals[name])
            report.worst.append(max(found, key=lambda c: c.excess))
            report.compared[name] = variable.array.size
            report.types[name] = type_text(variable.array.shape, at[name].dtype)
        report.worst = [self._explained(c, signals[c.input]) for c in report.worst]
        return report

    def _s(self) -> float:
        """s = Σ w·y at the variables' present place."""
        _, outputs = self.call()
        values = [y.detach().numpy() for y in outputs if y.requires_grad]
        return float(sum((v * w).sum() for v, w in zip(values, self.weights, strict=True)))

    def _compare(self, name: str, variable: _Variable, signal: np.ndarray) -> Iterator[Comparison]:
        """Each element; of a large input a sample, and all at once along random directions."""
        n = variable.array.size
        if n <= ELEMENTS:
            yield from (self._element(name, variable, signal, i) for i in range(n))
            return
        chosen = self.rng.choice(n, ELEMENTS // 8, replace=False)
        yield from (self._element(name, variable, signal, int(i)) for i in chosen)
        everywhere = self._along(name, variable, signal, self._direction(variable.array.shape))
        if everywhere.excess <= 1:
            yield everywhere
        else:
            yield self._element(name, variable, signal, self._search(name, variable, signal))

    def _search(self, name: str, variable: _Variable, signal: np.ndarray) -> int:
        """The number of an element that differs, by halving the set of suspects."""
        suspects = np.arange(variable.array.size)
        direction = self._direction(variable.array.shape)
        while len(suspects) > 1:
            errors = []
            halves = np.array_split(suspects, 2)
            for half in halves:
                part = np.zeros(variable.array.size)
                part[half] = direction.ravel()[half]
                along = self._along(name, variable, signal, part.reshape(direction.shape))
                errors.append(abs(along.automatic - along.numeric))
            suspects = halves[int(errors[1] > errors[0])]
        return int(suspects[0])

    def _direction(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.choice([-1.0, 1.0], shape) * self.rng.uniform(0.5, 1.5, shape)

    def _element(
        self, name: str, variable: _Variable, signal: np.ndarray, number: int
    ) -> Comparison:
        index = tuple(int(i) for i in np.unravel_index(number, variable.array.shape))
        return self._along(name, variable, signal, _unit(variable.array.shape, index), index)

    def _along(
        self,
        name: str,
        variable: _Variable,
        signal: np.ndarray,
        direction: np.ndarray,
        index: tuple[int, ...] | None = None,
    ) -> Comparison:
        above, below = self._both(variable, direction, self.eps)
        numeric = (above - below) / (2 * self.eps)
        automatic = float((signal * direction).sum())
        allowed = self.atol + self.rtol * abs(numeric)
        error = abs(automatic - numeric)
        excess = error / allowed if np.isfinite(error) else float("inf")
        return Comparison(name, index, numeric, automatic, excess)

    def _both(self, variable: _Variable, direction: np.ndarray, h: float) -> tuple[float, float]:
        """s at x + h·direction and x - h·direction."""
        before = variable.array.copy()
        values = []
        for step in (h, -h):
            variable.array[...] = before + step * direction
            variable.moved()
            values.append(self._s())
        variable.array[...] = before
        variable.moved()
        return values[0], values[1]

    # ------------------------------------------------------------ why

    def _explained(self, found: Comparison, signal: np.ndarray) -> Comparison:
        if found.excess <= 1:
            return found
        index = found.index
        if index is None:  # the search ends at one element
            return found
        why = self._why(found, _unit(signal.shape, index))
        return Comparison(found.input, index, found.numeric, found.automatic, found.excess, why)

    def _why(self, found: Comparison, direction: np.ndarray) -> str:
        """What differences at several h say.

        not finite     no derivative here
        kink           left and right derivative differ, at h and at larger ones
        round-off      the numeric one comes nearer as h grows: error ~ ε|s|/h
        curvature      it comes nearer as h shrinks: error ~ h²
        wrong backward the numeric one stays where it is
        """
        variable, automatic, s = self.variables[found.input], found.automatic, self._s()
        if not (np.isfinite(found.numeric) and np.isfinite(automatic)):
            return "not finite: at this place there is no derivative"
        sizes = [self.eps * factor for factor in (1e4, 1e3, 1e2, 10, 1, 0.1)]
        sides = {h: self._both(variable, direction, h) for h in sizes}
        central = {h: (a - b) / (2 * h) for h, (a, b) in sides.items()}
        noise = {h: 8 * EPSILON * max(abs(s), 1e-300) / h for h in sizes}
        bends = {h: abs((a - s) / h - (s - b) / h) for h, (a, b) in sides.items()}
        tolerance = self.atol + self.rtol * abs(automatic)

        def agrees(h: float) -> bool:
            return abs(central[h] - automatic) <= max(tolerance, 2 * noise[h])

        h, smaller = self.eps, self.eps / 10
        clear = bends[h] > 100 * noise[h] and bends[h] > tolerance
        if clear and bends[100 * h] < 3 * bends[h]:
            left, right = ((s - sides[h][1]) / h, (sides[h][0] - s) / h)
            return (
                f"a kink within h = {h:g}: from the left the slope is {left:.6g}, from the right "
                f"{right:.6g}. Check at another place"
            )
        better = [size for size in sizes[:4] if abs(central[size] - automatic) <= tolerance]
        if better and abs(central[h] - automatic) <= 100 * noise[h]:
            return (
                f"round-off: the values are about {abs(s):.1e}, so at h = {h:g} the numeric one is "
                f"good to {noise[h]:.0e}; at h = {better[-1]:g} they agree. Use eps={better[-1]:g}"
            )
        if agrees(smaller) and abs(central[smaller] - automatic) < 0.1 * abs(
            central[h] - automatic
        ):
            return f"curvature: at h = {smaller:g} they agree. Use eps={smaller:g}"
        return "a wrong backward: " + _pattern(found.numeric, automatic)


def _pattern(numeric: float, automatic: float) -> str:
    """How the automatic derivative is wrong, where it is simple."""
    same = "the numeric one is the same for every h"
    if automatic == 0:
        return f"it gives 0 here, and {same}. Does it leave out this input?"
    ratio = automatic / numeric if numeric else float("inf")
    if abs(ratio) < 1e6 and abs(ratio - round(ratio, 2)) < 1e-4 and round(ratio, 2) != 0:
        return f"it gives {round(ratio, 2):g} times the numeric one, and {same}"
    return f"{same}"


def _unit(shape: tuple[int, ...], index: tuple[int, ...]) -> np.ndarray:
    direction = np.zeros(shape)
    direction[index] = 1.0
    return direction
