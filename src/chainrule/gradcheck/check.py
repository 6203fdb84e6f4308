"""Numeric, symbolic and automatic derivatives of a function, compared element by element.

The outputs y of f are weighed by fixed random numbers into one number s = Σ w·y (s = y if y is one
number), so one backward gives ∂s/∂x for all elements; each is compared with the central difference

    (s(x + h) - s(x - h)) / 2h        error: h² f‴/6 of curvature,  ~ ε|s|/h of round-off

in float64, and with SymPy's derivative of the recorded formulas where these are small enough.
Where they differ, differences at several h tell why: see ``_why``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import isfinite, isnan, log10, prod
from typing import Any

import numpy as np

from chainrule import backprop
from chainrule.creation import stack
from chainrule.dtypes import float32
from chainrule.errors import GradientError, UsageError, message
from chainrule.gradcheck.kinks import branches, switched
from chainrule.gradcheck.report import Comparison, Report
from chainrule.gradcheck.steps import STEPS, StepErrors
from chainrule.gradcheck.symbolic import NotSymbolicError, derivatives
from chainrule.gradcheck.trace import Trace
from chainrule.graph import type_text
from chainrule.recording import enable_grad
from chainrule.tensor import Tensor, tensor

__all__ = ["gradcheck"]

ELEMENTS = 256  # of one input, compared one by one; more are sampled, and compared all at once
EPSILON = float(np.finfo(np.float64).eps)


def gradcheck(
    f: Callable[..., Any],
    inputs: Any = (),
    eps: float | None = None,
    atol: float = 1e-7,
    rtol: float = 1e-5,
    *,
    symbolic: bool = True,
    dot: bool = False,
) -> Report:
    """Compare the derivatives of ``f(*inputs)`` by backward with those by differences and by SymPy.

    f: a function of tensors that returns a tensor or a tuple of them, or a Module, whose parameters
    are checked too.  inputs: tensors or arrays, cast to float64; those of whole numbers and bools
    are handed on.  eps: the step h of the differences, 1e-6 unless the values are large.  An
    element fails if |automatic - numeric| > atol + rtol·|numeric|, or if it is a hundredth of that
    away from the symbolic one.

    ``symbolic=False`` leaves SymPy out; it is left out where it is not installed or the formulas
    are too large, and the report says so.  ``dot=True``, for large networks, compares ū·x̄ along
    one random direction u for each input and parameter, and reports the units (ReLU, maximum) that
    switch between -h and +h.

    Returns a Report: false if a derivative is wrong, with the worst element and the reason.
    Raises GradientError if f gives different values for equal inputs (dropout?).

    >>> import chainrule as cr
    >>> print(gradcheck(lambda x: (x**2).sum(), cr.tensor([0.0, 2.0])))  # doctest: +ELLIPSIS
    worst element  numeric  symbolic  automatic  rel. error  compared
    x0[1]                4         4          4     ...             2  agree
    the derivatives agree
    """
    sources = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    arrays = [np.asarray(x) for x in sources]
    variables = {
        f"x{i}": _Variable(array.astype(np.float64))
        for i, array in enumerate(arrays)
        if array.dtype.kind == "f"
    }
    if isinstance(inputs, dict) or (eps is not None and eps <= 0):
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
            positions = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
            report = check.report(positions, symbolic and not dot, dot)

    def measure(name: str, index: tuple[int, ...]) -> StepErrors:
        with _in_float64(f), enable_grad():
            return check.step_errors(name, index)

    report.measure = measure
    return report


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
        self,
        call: Any,
        variables: dict[str, _Variable],
        eps: float | None,
        atol: float,
        rtol: float,
    ) -> None:
        self.call, self.variables = call, variables
        self.given_eps, self.eps, self.atol, self.rtol = eps, eps or 1e-6, atol, rtol
        self.rng = np.random.default_rng(0)
        self.weights: list[np.ndarray] = []
        self.signals: dict[str, np.ndarray] = {}  # the automatic derivatives
        self.formulas: dict[str, np.ndarray] = {}  # the symbolic ones, where there are any
        self.narrow = ""  # where float32 entered

    def report(self, positions: Sequence[int], symbolic: bool, dot: bool) -> Report:
        report = Report()
        at = self._differentiate(positions, report, symbolic)
        s = self._s()
        if (
            self.given_eps is None and abs(s) > 1 and isfinite(s)
        ):  # round-off ε|s|/h and curvature h² in balance
            self.eps = 1e-6 * 10 ** round(log10(abs(s)) / 3)
        again = self._s()
        if s != again and not (isnan(s) and isnan(again)):
            why = "Something in it is random, or keeps count"
            remedy = "eval() switches dropout off"
            got = "different values for equal inputs"
            raise GradientError(message("gradcheck", got, "a function", why=why, remedy=remedy))
        for name, variable in self.variables.items():
            if not variable.array.size:
                continue
            found = self._along_one(name) if dot else self._compare(name)
            worst = max(found, key=lambda c: c.excess)
            report.worst.append(self._explained(worst))
            report.compared[name] = variable.array.size
            report.types[name] = type_text(variable.array.shape, at[name].dtype)
        return report

    def _differentiate(
        self, positions: Sequence[int], report: Report, symbolic: bool
    ) -> dict[str, Tensor]:
        """Fill ``signals`` and ``formulas``; returns the tensors they belong to."""
        fresh, outputs = self.call()
        outputs = [y for y in outputs if y.requires_grad]
        if not outputs:
            why = "No operation between inputs and outputs has a derivative"
            raise GradientError(message("gradcheck", "outputs that need no grad", "one", why=why))
        self.weights = self._weigh([y.shape for y in outputs])
        at = dict(zip([f"x{i}" for i in positions], [fresh[i] for i in positions], strict=True))
        at |= {n: v.parameter for n, v in self.variables.items() if isinstance(v, _Parameter)}
        weighted = [(y * tensor(w)).sum() for y, w in zip(outputs, self.weights, strict=True)]
        trace = Trace(outputs)
        self.narrow = _narrow(trace)
        if symbolic:
            seeds = {y._node: w for y, w in zip(outputs, self.weights, strict=True)}
            try:
                self.formulas = derivatives(trace, seeds, {n: x._node for n, x in at.items()})
            except NotSymbolicError as reason:
                report.notes.append(f"no symbolic column: {reason}")
        scalar = stack(weighted).sum()
        bars = backprop.grad(scalar, list(at.values()), allow_unused=True)
        self.signals = {
            name: np.zeros(x.shape) if bar is None else bar.numpy().copy()
            for (name, x), bar in zip(at.items(), bars, strict=True)
        }
        return at

    def _weigh(self, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
        """The weights w of s = Σ w·y: none near 0, and no two equal, or errors could cancel."""
        if sum(prod(shape) for shape in shapes) == 1:
            return [np.ones(shape) for shape in shapes]
        return [self.rng.uniform(0.5, 1.5, shape) for shape in shapes]

    def _s(self) -> float:
        """s = Σ w·y at the variables' present place."""
        return self._weighted(self.call()[1])

    def _weighted(self, outputs: Sequence[Tensor]) -> float:
        values = [y.detach().numpy() for y in outputs if y.requires_grad]
        return float(sum((v * w).sum() for v, w in zip(values, self.weights, strict=True)))

    def _compare(self, name: str) -> Iterator[Comparison]:
        """Each element; of a large input a sample, and all at once along random directions."""
        n = self.variables[name].array.size
        if n <= ELEMENTS:
            yield from (self._element(name, i) for i in range(n))
            return
        chosen = self.rng.choice(n, ELEMENTS // 8, replace=False)
        yield from (self._element(name, int(i)) for i in chosen)
        yield from self._along_one(name)

    def _along_one(self, name: str) -> Iterator[Comparison]:
        """All elements along a random direction of length 1; if they differ, the one that does."""
        direction = self._direction(self.variables[name].array.shape)
        direction /= np.sqrt(np.square(direction).sum())
        together = self._past_kinks(name, direction)
        yield together
        if together.excess > 1:
            yield self._element(name, self._search(name))

    def _past_kinks(self, name: str, direction: np.ndarray) -> Comparison:
        """Along a direction, at the largest h within which no unit switches.

        Where units switch for every h, the two one-sided slopes tell how far the numeric one may
        be away.
        """
        said, found = "", None
        for h in (self.eps, self.eps / 10, self.eps / 100, self.eps / 1000):
            found = self._along(name, direction, h=h)
            counts, units = self._switched(name, direction, h)
            if not counts:
                break
            many = ", ".join(f"{layer} {count}" for layer, count in counts.items())
            said = (
                said
                or f"{sum(counts.values())} of {units:,} units switch within h = {h:g} ({many})"
            )
        assert found is not None
        if not said:
            return found
        if counts:
            variable = self.variables[name]
            (above, below), s = self._both(variable, direction, found.h), self._s()
            bend = abs((above - s) - (s - below)) / found.h
            error = abs(found.automatic - found.numeric)
            allowed = self.atol + self.rtol * abs(found.numeric) + bend
            return replace(found, excess=error / allowed, kinks=f"{said}: no smaller h is free")
        return replace(found, kinks=f"{said}; compared at h = {found.h:g}, where none does")

    def _switched(self, name: str, direction: np.ndarray, h: float) -> tuple[dict[str, int], int]:
        """Which layers have units that switch between the two places, and how many."""
        taken = []
        for _ in self._moved(self.variables[name], direction, h):
            outputs = [y for y in self.call()[1] if y.requires_grad]
            taken.append(branches(Trace(outputs)))
        return switched(taken[1], taken[0])

    def _search(self, name: str) -> int:
        """The number of an element that differs, by halving the set of suspects."""
        variable = self.variables[name]
        suspects = np.arange(variable.array.size)
        direction = self._direction(variable.array.shape)
        while len(suspects) > 1:
            errors = []
            halves = np.array_split(suspects, 2)
            for half in halves:
                part = np.zeros(variable.array.size)
                part[half] = direction.ravel()[half]
                along = self._along(name, part.reshape(direction.shape))
                errors.append(abs(along.automatic - along.numeric))
            suspects = halves[int(errors[1] > errors[0])]
        return int(suspects[0])

    def _direction(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.choice([-1.0, 1.0], shape) * self.rng.uniform(0.5, 1.5, shape)

    def _element(self, name: str, number: int) -> Comparison:
        shape = self.variables[name].array.shape
        index = tuple(int(i) for i in np.unravel_index(number, shape))
        return self._along(name, _unit(shape, index), index)

    def _along(
        self,
        name: str,
        direction: np.ndarray,
        index: tuple[int, ...] | None = None,
        h: float = 0.0,
    ) -> Comparison:
        h = h or self.eps
        above, below = self._both(self.variables[name], direction, h)
        numeric = (above - below) / (2 * h)
        automatic = float((self.signals[name] * direction).sum())
        excess = self._excess(automatic, numeric, 1.0)
        symbolic = None
        if name in self.formulas and index is not None:
            symbolic = float(self.formulas[name][index])
            excess = max(excess, self._excess(automatic, symbolic, 0.01))
        return Comparison(name, index, numeric, automatic, excess, symbolic=symbolic, h=h)

    def _excess(self, automatic: float, other: float, share: float) -> float:
        """The error as a multiple of what is allowed, or of a share of that."""
        error = abs(automatic - other)
        allowed = share * (self.atol + self.rtol * abs(other))
        return error / allowed if np.isfinite(error) else float("inf")

    def _both(self, variable: _Variable, direction: np.ndarray, h: float) -> tuple[float, float]:
        """s at x + h·direction and x - h·direction."""
        above, below = (self._s() for _ in self._moved(variable, direction, h))
        return above, below

    def _moved(self, variable: _Variable, direction: np.ndarray, h: float) -> Iterator[None]:
        """Stand at x + h·direction, then at x - h·direction, then at x again."""
        before = variable.array.copy()
        for step in (h, -h):
            variable.array[...] = before + step * direction
            variable.moved()
            yield
        variable.array[...] = before
        variable.moved()

    def step_errors(self, name: str, index: tuple[int, ...]) -> StepErrors:
        """The errors of forward and central differences against h, of one element."""
        if not name:
            name = max(self.signals, key=lambda n: np.abs(self.signals[n]).max(initial=0))
        if name not in self.signals:
            needs = "one of " + ", ".join(self.signals)
            raise UsageError(message("error_against_h", f"input {name!r}", needs))
        signal = self.signals[name]
        if not index and signal.ndim:
            index = tuple(int(i) for i in np.unravel_index(np.abs(signal).argmax(), signal.shape))
        derivative = float(self.formulas.get(name, signal)[index])
        direction, s, rows = _unit(signal.shape, index), self._s(), []
        for h in STEPS:
            above, below = self._both(self.variables[name], direction, h)
            slopes = ((above - s) / h, (above - below) / (2 * h))
            scale = abs(derivative) or 1.0
            rows.append((h, *(abs(slope - derivative) / scale for slope in slopes)))
        return StepErrors(f"{name}{list(index) if index else ''}", derivative, tuple(rows))

    # ------------------------------------------------------------ why

    def _explained(self, found: Comparison) -> Comparison:
        if found.excess <= 1:
            return found
        if found.index is None:  # no single element differs by as much
            return replace(found, why="all elements together differ. Check without dot=True")
        direction = _unit(self.signals[found.input].shape, found.index)
        return replace(found, why=self._why(found, direction))

    def _why(self, found: Comparison, direction: np.ndarray) -> str:
        """What the symbolic derivative and differences at several h say.

        not finite     no derivative here
        a formula      numeric and automatic agree; the op's formula says something else
        float32        the function computes in float32
        kink           left and right derivative differ, at h and at larger ones
        round-off      the numeric one comes nearer as h grows: error ~ ε|s|/h
        curvature      it comes nearer as h shrinks: error ~ h²
        wrong backward the numeric one stays where it is
        """
        variable, automatic, s = self.variables[found.input], found.automatic, self._s()
        if not (np.isfinite(found.numeric) and np.isfinite(automatic)):
            return "not finite: at this place there is no derivative"
        if found.symbolic is not None and self._excess(automatic, found.numeric, 1.0) <= 1:
            if abs(found.numeric - found.symbolic) < abs(found.numeric - automatic):
                return "a wrong backward, by less than differences alone could tell"
            return "the symbolic one: an op's formula says something else than what it computes"
        if self.narrow:
            return (
                f"float32: {self.narrow}, and differences at h = {self.eps:g} need float64. "
                "Leave the cast out, or use eps=1e-2 with rtol=1e-2"
            )
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
        said = "a wrong backward: " + _pattern(found.numeric, automatic)
        symbolic = found.symbolic
        if symbolic is not None and self._excess(automatic, symbolic, 0.01) <= 1:
            said += " The recorded formulas agree with it: has detach() or no_grad() cut something?"
        return said


def _pattern(numeric: float, automatic: float) -> str:
    """How the automatic derivative is wrong, where it is simple."""
    same = "the numeric one is the same for every h"
    if automatic == 0:
        return f"it gives 0 here, and {same}. Does it leave out this input?"
    ratio = automatic / numeric if numeric else float("inf")
    if abs(ratio) < 1e6 and abs(ratio - round(ratio, 2)) < 1e-4 and round(ratio, 2) != 0:
        return f"it gives {round(ratio, 2):g} times the numeric one, and {same}"
    return f"{same}"


def _narrow(trace: Trace) -> str:
    """Where float32 entered, in words."""
    for node in trace.nodes:
        if node.dtype is float32 and trace.inputs[node] and node.needs_grad:
            return f"{node.op.name} {node.type} is computed in it ({node.where})"
    return ""


def _unit(shape: tuple[int, ...], index: tuple[int, ...]) -> np.ndarray:
    direction = np.zeros(shape)
    direction[index] = 1.0
    return direction
