"""The update of a parameter: each number that the optimizer makes on the way from w to the new w.

The optimizer's own ``step`` is done again on what was recorded before it (value, gradient, state,
options), and the ops that it records are read off: their formulas are written as those of the board
(see ``formulas.py``), and their values are those that the ops give.  Nothing is stated about an
optimizer here but how its options and its state are called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from chainrule import optim
from chainrule.creation import tensor
from chainrule.dtypes import bool_
from chainrule.errors import UsageError, message
from chainrule.graph import topological_order
from chainrule.inspect.formulas import ATOM, NEGATIVE, Writer, Written, number_text
from chainrule.ops import leaf
from chainrule.optim import Optimizer
from chainrule.storage import Hold, recorder
from chainrule.tensor import Tensor

__all__ = ["Constant", "Row", "Update"]

STATES = {  # name in the optimizer's state: letter, in words
    "momentum_buffer": ("v", "the running direction"),
    "exp_avg": ("m", "the running mean of the gradient"),
    "exp_avg_sq": ("v", "the running mean of its square"),
    "max_exp_avg_sq": ("M", "the largest v so far"),
    "sum": ("s", "the sum of squared gradients"),
    "square_avg": ("s", "the running mean of the squared gradient"),
    "grad_avg": ("a", "the running mean of the gradient"),
    "acc_delta": ("u", "the running mean of the squared step"),
}
RMSPROP = {"momentum_buffer": ("b", "the running direction")}  # beside s and a

LETTERS = {
    "lr": "η", "momentum": "μ", "dampening": "τ", "weight_decay": "λ", "eps": "ε", "alpha": "α",
    "rho": "ρ", "lr_decay": "κ", "beta1": "β₁", "beta2": "β₂", "step": "t",
}  # fmt: skip

# What optimizers make of their options in Python: a text, and the same as a function of them.  One
# of them stands for a number of the update if the number depends on these options alone, and has
# this value.
MADE: list[tuple[str, Callable[..., float]]] = [
    ("(1 − τ)", lambda dampening: 1 - dampening),
    ("(1 − β₁)", lambda beta1: 1 - beta1),
    ("(1 − β₂)", lambda beta2: 1 - beta2),
    ("(1 − α)", lambda alpha: 1 - alpha),
    ("(1 − ρ)", lambda rho: 1 - rho),
    ("(1 − η·λ)", lambda lr, weight_decay: 1 - lr * weight_decay),
    ("(1 − β₂^t)^-0.5", lambda beta2, step: (1 - beta2**step) ** -0.5),
    ("(η/(1 − β₁^t))", lambda lr, beta1, step: lr / (1 - beta1**step)),
    ("(1/(1 − β₁^t))", lambda beta1, step: 1.0 / (1 - beta1**step)),
    ("(η/(1 + (t − 1)·κ))", lambda lr, lr_decay, step: lr / (1 + (step - 1) * lr_decay)),
]
HALF = 0.5  # what an option is multiplied by to see which numbers depend on it


class Constant(NamedTuple):
    """A number of the update that is the same for all elements."""

    name: str
    value: float


@dataclass
class Row:
    """A quantity of the update: ``array`` has the parameter's shape, or none.

    role: "before", "gradient", "clipped", "state before", "state", "between", "after" or "change".
    """

    name: str
    role: str
    words: str
    array: np.ndarray
    formula: str = ""

    def at(self, index: tuple[int, ...]) -> Any:
        """Its number at an index of the parameter, as a NumPy scalar."""
        return self.array[index] if self.array.shape else self.array[()]


class Update:
    """One optimizer's step of one parameter, again.

    optimizer: the name of its class; ``value`` and ``gradient`` f[...] of the parameter;
    ``options`` of its group; ``state`` before the step; ``clipped``: the gradient, if it was cut.
    Raises UsageError for an optimizer that is not one of ``chainrule.optim``.

    >>> w, g = np.float32([1.0, -2.0]), np.float32([0.5, 0.25])
    >>> update = Update("SGD", w, g, {"lr": 0.1, "momentum": 0.9}, {"momentum_buffer": g})
    >>> for row in update.rows:
    ...     print(row.name, "=", row.formula or row.words, "=", update.numbers(row, (0,)))
    w = the parameter before the update = 1
    w̄ = its gradient, the error signal = 0.5
    v₀ = the running direction, before = 0.5
    v = v₀·μ + w̄ = 0.5·0.9 + 0.5
    w₁ = w − v·η = 1 − 0.95·0.1
    Δw = w₁ − w = 0.905 − 1
    """

    def __init__(
        self,
        optimizer: str,
        value: np.ndarray,
        gradient: np.ndarray,
        options: Mapping[str, Any],
        state: Mapping[str, Any],
        clipped: np.ndarray | None = None,
    ) -> None:
        made = getattr(optim, optimizer, None) if optimizer in optim.__all__ else None
        if not (isinstance(made, type) and issubclass(made, Optimizer)) or made is Optimizer:
            needs = "one of chainrule.optim"
            why = "The record holds its name, not its code"
            raise UsageError(message("update", f"the optimizer {optimizer}", needs, why=why))
        self.optimizer = optimizer
        used = gradient if clipped is None else clipped
        self._trace = trace = _Trace(made, value, used, options, state)
        self._names: dict[Any, str] = {}
        self._plain = _plain(options, state)
        self._constants = self._called(made, value, used, options, state)
        self.rows: list[Row] = []
        trace.compute()
        self._name_leaves(gradient, clipped)
        self._name_results()
        self._write()

    @property
    def constants(self) -> list[Constant]:
        """What the formulas have of the options: themselves, or made of them."""
        found = {name: node.value.item() for node, name in self._constants.items()}
        return [Constant(name, value) for name, value in found.items()]

    @property
    def options(self) -> list[Constant]:
        """The numbers that the optimizer was given; t is the step, from 1, if it counts them."""
        given = [name for name in self._plain if name != "step"]
        found = [Constant(LETTERS[name], self._plain[name]) for name in given]
        count = self._trace.count
        return found if count is None else [*found, Constant("t", count)]

    @property
    def after(self) -> np.ndarray:
        """The new w: f[...] as the optimizer computed it."""
        return next(row.array for row in self.rows if row.role == "after")

    @property
    def change(self) -> np.ndarray:
        """Δw: f[...]"""
        return next(row.array for row in self.rows if row.role == "change")

    def numbers(self, row: Row, index: tuple[int, ...], digits: int = 4) -> str:
        """The formula of a row with the numbers of one element put in."""

        def atom(node: Any) -> Written | None:
            if node in self._names or node in self._constants:
                found = self._trace.values[node]
                number = found[index] if found.shape else found[()]
                return Written(number_text(number.item(), digits), NEGATIVE if number < 0 else ATOM)
            return self._nothing(node)

        node = {name: node for node, name in self._names.items()}.get(row.name)
        if not row.formula or self._summed(node):
            return number_text(row.at(index).item(), digits)
        return Writer(self._trace.inputs, atom, numbers=True).formula(node).text

    def _nothing(self, node: Any) -> Written | None:
        """0, where an optimizer begins with an array of zeros."""
        zeros = node.op is leaf.data and not self._trace.values[node].any()
        return Written("0") if zeros else None

    # ------------------------------------------------------------ what is called how

    def _called(self, made: type, *given: Any) -> dict[Any, str]:
        """Number nodes that options make -> how they are written."""
        value, gradient, options, state = given
        plain = dict(self._plain)
        touched: dict[Any, set[str]] = {node: set() for node in self._trace.numbers}
        for name, number in plain.items():
            if not number and name != "step":
                continue
            changed = number + 1 if name == "step" else number * HALF
            other = _Trace(made, value, gradient, *_with(options, state, name, changed))
            for node, there in zip(self._trace.numbers, other.numbers, strict=True):
                if node.value != there.value:
                    touched[node].add(name)
        plain["step"] = plain.get("step", 0) + 1
        found = {}
        for node, names in touched.items():
            text = _text(names, plain, node.value)
            if text:
                found[node] = text
        return found

    def _name_leaves(self, gradient: np.ndarray, clipped: np.ndarray | None) -> None:
        trace = self._trace
        self._add("w", "before", "the parameter before the update", trace.p)
        if clipped is None:
            self._add("w̄", "gradient", "its gradient, the error signal", trace.gradient)
        else:
            self.rows.append(Row("w̄", "gradient", "its gradient, the error signal", gradient))
            self._add("ĝ", "clipped", "the gradient after clipping", trace.gradient)
        for name, node in trace.begun.items():
            letter, words = self._letter(name)
            self._add(f"{letter}₀", "state before", f"{words}, before", node)

    def _name_results(self) -> None:
        """Names for what is made, in the order of the program."""
        trace = self._trace
        ends = {node: self._letter(name) for name, node in trace.ended.items()}
        for node in trace.order:
            if node is trace.new:
                self._add("w₁", "after", "the parameter after the update", node)
            elif node is trace.decayed and node not in self._names:
                self._add("d", "between", "the parameter after weight decay", node)
            elif node is trace.used and node not in self._names:
                self._add("g", "between", "the gradient that the optimizer follows", node)
            elif node in ends and node not in self._names:
                self._add(ends[node][0], "state", ends[node][1], node)
            elif self._has_a_row(node):
                kind = "a step" if node.shape else "one number for the whole parameter"
                self._add(self._next("r" if node.shape else "c"), "between", kind, node)
        self._add("Δw", "change", "the change of the parameter", trace.change)

    def _has_a_row(self, node: Any) -> bool:
        if node in self._names or node is self._trace.change or node.dtype is bool_:
            return False
        readers = [n for n in self._trace.order if node in self._trace.inputs[n]]
        return len(readers) > 1 or self._summed(node)

    def _summed(self, node: Any) -> bool:
        """Whether a number of the whole parameter is made of its elements."""
        inputs = self._trace.inputs[node]
        return not node.shape and any(source.shape for source in inputs)

    def _next(self, letter: str) -> str:
        taken = sum(name[0] == letter for name in self._names.values())
        return letter + "₁₂₃₄₅₆₇₈₉"[min(taken, 8)]

    def _letter(self, name: str) -> tuple[str, str]:
        own = RMSPROP if self.optimizer == "RMSprop" else {}
        return own.get(name) or STATES.get(name) or (name, name)

    def _add(self, name: str, role: str, words: str, node: Any) -> None:
        self._names[node] = name
        self.rows.append(Row(name, role, words, self._trace.values[node]))

    def _write(self) -> None:
        def atom(node: Any) -> Written | None:
            name = self._names.get(node) or self._constants.get(node)
            return self._nothing(node) if name is None else Written(name, ATOM, bar=name == "w̄")

        writer = Writer(self._trace.inputs, atom)
        nodes = {name: node for node, name in self._names.items()}
        for row in self.rows:
            node = nodes.get(row.name)
            if node is not None and self._trace.inputs.get(node):
                row.formula = writer.formula(node).text


class _Trace:
    """The ops of an optimizer's step on one parameter, and their values."""

    def __init__(
        self,
        made: type,
        value: np.ndarray,
        gradient: np.ndarray,
        options: Mapping[str, Any],
        state: Mapping[str, Any],
    ) -> None:
        p = tensor(value)
        optimizer = made([p])
        optimizer.param_groups[0].update(options)
        held = {name: _begun(value) for name, value in state.items()}
        optimizer.state[p] = held
        p._grad = tensor(gradient)
        self.p, self.gradient, self.begun = p._node, p._grad._node, _nodes(held)
        self._held = [Hold(self.p), Hold(self.gradient), *map(Hold, self.begun.values())]
        self.values: dict[Any, np.ndarray] = {}
        self.decayed: Any = None
        self.used: Any = None

        def update(p: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
            self.decayed, self.used = p._node, grad._node
            return type(optimizer).update(optimizer, p, grad, state, group)

        optimizer.update = update
        rec = recorder()
        with rec.setting(grad_enabled=False, taps=[], line=None):
            before = Tensor._of(p._node)
            optimizer._update_all()
            change = Tensor._of(p._node) - before
        self.new, self.change = p._node, change._node
        self.count = held.get("step")
        self.ended = {
            name: node for name, node in _nodes(held).items() if node is not self.begun.get(name)
        }
        ends = [self.p, self.gradient, *self.begun.values(), *self.ended.values(), self.change]
        nodes: list[Any] = sorted(topological_order(ends), key=lambda node: node.sequence)
        self.inputs: dict[Any, tuple[Any, ...]] = {node: node.inputs for node in nodes}
        self.numbers = [node for node in nodes if node.op is leaf.number]
        self.order = [node for node in nodes if node.inputs]
        self._held += [Hold(node) for node in nodes]

    def compute(self) -> None:
        """Have the values of all nodes."""
        self.values = {node: node.result() for node in self.inputs}


def _begun(value: Any) -> Any:
    """A part of the state to begin with; a tensor of its own, since the step writes to it."""
    if isinstance(value, Tensor):
        value = value.detach().numpy()
    return tensor(value) if isinstance(value, np.ndarray) else value


def _nodes(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value._node for name, value in state.items() if isinstance(value, Tensor)}


def _plain(options: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among the options, by name, and the count of steps before this one."""
    found: dict[str, Any] = {
        name: value
        for name, value in options.items()
        if name in LETTERS and isinstance(value, int | float) and not isinstance(value, bool)
    }
    if "betas" in options:
        found |= dict(zip(("beta1", "beta2"), options["betas"], strict=True))
    found["step"] = state.get("step", 0)
    return found


def _with(
    options: Mapping[str, Any], state: Mapping[str, Any], name: str, value: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options and state with another number."""
    if name == "step":
        return dict(options), {**state, "step": value}
    if name.startswith("beta"):
        betas = list(options["betas"])
        betas[int(name[-1]) - 1] = value
        return {**options, "betas": tuple(betas)}, dict(state)
    return {**options, name: value}, dict(state)


def _text(names: set[str], plain: Mapping[str, float], value: np.ndarray) -> str:
    """How a number is written that depends on these options; "" if it is none of those known."""
    if len(names) == 1:
        (name,) = names
        if value == value.dtype.type(plain[name]):
            return LETTERS[name]
    for text, made in MADE:
        wanted = made.__code__.co_varnames[: made.__code__.co_argcount]
        same = names == set(wanted)
        if same and value == value.dtype.type(made(*[plain[name] for name in wanted])):
            return text
    return ""
