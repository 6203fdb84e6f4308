"""The base of all optimizers: groups of parameters, state, and a step that is done or undone."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from chainrule.errors import CheckpointError, GradientError, UsageError, message
from chainrule.lines import is_ours, user_line
from chainrule.storage import Storage, recorder
from chainrule.tensor import Tensor, tensor
from chainrule.tensor.handle import LET_GO
from chainrule.tracing import CountedDict, CountedList, changes, running

__all__ = ["Optimizer"]

State = dict[str, Any]
OF_SCHEDULES = ("initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum")
Bound = tuple[str, Callable[[Any], bool]]  # what an option must be, in words; the test


class Optimizer:
    """Base class.  A subclass writes ``update(p, grad, state, group) -> new p`` with tensors.

    params: parameters; or (name, parameter) pairs, as ``net.named_parameters()`` gives them; or
    dicts ``{"params": …, "lr": 0.01}``, groups with options of their own.  ``param_groups`` is the
    list of such dicts; ``state`` maps a parameter to its tensors.  Numbers that depend on the step
    are computed in Python, in float64.

    All optimizers share ``weight_decay`` λ, which adds λ θ to the gradient (unless the class says
    otherwise), ``maximize``, and ``no_decay_on_bias``, which spares parameters of at most one axis:
    biases, and the scales and shifts of normalisations.

    Raises UsageError for an option out of its bounds, for no parameters, for a parameter twice.
    """

    bounds: Mapping[str, Bound] = {}

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = CountedList()
        self.state: dict[Tensor, State] = CountedDict()
        self._last_grad = (0, -1)  # the first gradient of the last step: identity and version
        self._uncleared = 0  # steps since a gradient began anew
        if isinstance(params, Tensor):
            raise UsageError(
                message(self._name, "a tensor", "a list of them", remedy="[parameter]")
            )
        listed = self._ordered(params)
        for group in listed if listed and isinstance(listed[0], Mapping) else [{"params": listed}]:
            self.add_param_group(group)
        if not self._listed():
            needs = "at least one parameter"
            raise UsageError(message(self._name, "no parameters", needs, remedy="net.parameters()"))

    @property
    def _name(self) -> str:
        return type(self).__name__

    def __setattr__(self, name: str, value: Any) -> None:
        changes.count += name in ("state", "param_groups")  # a trace holds the tensors in them
        object.__setattr__(self, name, value)

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """More parameters, with their own options: ``{"params": […], "lr": 0.01}``."""
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            got, needs = type(param_group).__name__, 'a dict with "params"'
            raise UsageError(message(self._name, f"a group that is a {got}", needs))
        group = CountedDict({**self.defaults, **param_group})
        params = group["params"]
        params = [params] if isinstance(params, Tensor) else self._ordered(params)
        names = [pair[0] for pair in params if _is_pair(pair)]
        if names:
            params = [pair[1] if _is_pair(pair) else pair for pair in params]
        named = {"param_names" in other for other in self.param_groups if other["params"]}
        if len(names) not in (0, len(params)) or (params and len(named | {bool(names)}) == 2):
            got, remedy = "some parameters with names, some without", "net.named_parameters()"
            raise UsageError(message(self._name, got, "all or none", remedy=remedy))
        self._check_params(params)
        self._check(group)
        group["params"] = CountedList(params)
        if names:
            group["param_names"] = names
        self.param_groups.append(group)
        changes.count += 1

    def _ordered(self, params: Any) -> list[Any]:
        """The parameters as a list, which a set is not, and an iterator only once."""
        if isinstance(params, (set, frozenset)):
            why = "Its order changes from run to run, and with it the saved state"
            raise UsageError(message(self._name, "a set", "a list of parameters", why=why))
        if not isinstance(params, Iterable):
            got, needs = f"a {type(params).__name__}", "its parameters"
            raise UsageError(message(self._name, got, needs, remedy="net.parameters()"))
        listed = list(params)
        if not listed and isinstance(params, Iterator):
            why = "A generator is empty after somebody has gone through it"
            needs, remedy = "at least one parameter", "list(net.parameters()), used twice"
            raise UsageError(message(self._name, "no parameters", needs, why=why, remedy=remedy))
        return listed

    def _check_params(self, params: Iterable[Any]) -> None:
        seen = set(self._listed())
        for p in params:
            if not isinstance(p, Tensor) or not p.is_leaf:
                got = "a tensor with a history" if isinstance(p, Tensor) else type(p).__name__
                needs = "parameters: leaves of the graph"
                raise UsageError(message(self._name, got, needs, remedy="net.parameters()"))
            if p in seen:
                name = p.name or "a parameter"
                raise UsageError(message(self._name, f"{name} twice", "each parameter once"))
            seen.add(p)

    def _check(self, group: Mapping[str, Any]) -> None:
        for option, (needs, holds) in self.bounds.items():
            value = group[option]
            try:
                right = bool(holds(value))
            except (TypeError, ValueError):
                right = False
            if not right:
                raise UsageError(message(self._name, f"{option}={value!r}", needs))

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set them to zero."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p._grad = None
                elif p._kept_grad is LET_GO or p._grad is not None:
                    p._grad = p.new_zeros(p.shape)

    # ------------------------------------------------------------ the step

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient, and compute the work of the step.

        ``closure`` computes the loss again, with its backward; its result is returned.  If anything
        fails, a bad label for instance, parameters and state are as before.
        """
        rec = recorder()
        loss = None
        if closure is not None:
            with rec.setting(grad_enabled=True):
                loss = closure()
        trace = running()
        if trace is not None:
            trace.enter_optimizer(self)
        before = counted(self.state)
        values = [(storage, storage.node) for storage in self._storages()]
        try:
            here = {"scope": self._name, "line": user_line() if is_ours(type(self)) else None}
            with rec.undisturbed_work(), rec.setting(grad_enabled=False, **here):
                try:
                    self._update_all()
                except BaseException:
                    for storage, node in values:
                        storage.return_to(node)
                    raise
            rec.compute()
        except BaseException:
            self.state = before
            raise
        if trace is None:
            self._notice_missing_zero_grad()
            changes.count += self.state.keys() != before.keys()
        for tape in rec.taps:
            tape.saw_step()
        return loss

    def _storages(self) -> Iterator[Storage]:
        """What a step writes to."""
        for p in self._listed():
            yield p._storage
            for held in self.state.get(p, {}).values():
                if isinstance(held, Tensor):
                    yield held._storage

    def _notice_missing_zero_grad(self) -> None:
        """One notice if the same gradient has been added to for three steps."""
        first = next(p._grad for p in self._listed() if p._grad is not None)
        held = self._last_grad == (id(first), first._storage.version - 1)
        self._uncleared = self._uncleared + 1 if held else 1
        self._last_grad = (id(first), first._storage.version)
        line = user_line()
        if self._uncleared == 3 and line is not None:
            got, needs = "gradients of 3 steps added up", "zero_grad() before each backward()"
            text = message(f"{self._name}.step", got, needs)
            warnings.warn_explicit(text, UserWarning, line[0].co_filename, line[1])

    def _update_all(self) -> None:
        moved, trace = False, running()
        for k, group in enumerate(self.param_groups):
            self._check(group)
            if trace is not None:  # its numbers are those of each call
                group = trace.group(self, k)
            undecayed = {**group, "weight_decay": 0.0}
            spares = group.get("no_decay_on_bias")
            for p in group["params"]:
                if p._grad is not None:
                    moved = True
                    grad = Tensor._of(p._grad._node)
                    self._update_one(p, grad, undecayed if spares and p.ndim <= 1 else group)
        if not moved:
            count = len(self._listed())
            raise GradientError(
                message(
                    f"{self._name}.step",
                    f"no gradient for any of {count} parameters",
                    "loss.backward() before it",
                    why="zero_grad() comes before backward(), and the loss must depend on them",
                )
            )

    def _update_one(self, p: Tensor, grad: Tensor, group: Mapping[str, Any]) -> None:
        if p not in self.state:
            self.state[p] = CountedDict()
        state, value = self.state[p], Tensor._of(p._node)
        if group.get("maximize"):
            grad = -grad
        if group.get("weight_decay"):
            value, grad = self.decayed(value, grad, group)
        p._write(self.update(value, grad, state, group)._node, "step")

    def decayed(self, p: Tensor, grad: Tensor, group: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """What weight decay makes of a parameter and its gradient: θ, g + weight_decay θ"""
        return p, grad + p * group["weight_decay"]

    def update(self, p: Tensor, grad: Tensor, state: State, group: Mapping[str, Any]) -> Tensor:
        """The parameter's new value; ``state`` is brought up to date. To be written."""
        raise UsageError(
            message(self._name, "a step", "a method update(self, p, grad, state, group)")
        )

    # ------------------------------------------------------------ what a subclass builds on

    @staticmethod
    def count(state: State) -> int:
        """The number t of this step for this parameter, from 1."""
        t = state["step"] = state.get("step", 0) + 1
        return t

    @staticmethod
    def keep(state: State, name: str, value: Tensor) -> Tensor:
        """Write a tensor of the state, or begin it."""
        held = state.get(name)
        if held is None:
            state[name] = Tensor._of(value._node)  # a storage of its own
        else:
            held._write(value._node, "step")
        return value

    @classmethod
    def average(cls, state: State, name: str, value: Tensor, factor: float) -> Tensor:
        """m ← factor m + (1 - factor) value, from 0: a running mean that the state keeps"""
        held, new = state.get(name), value * (1 - factor)
        return cls.keep(state, name, new if held is None else held * factor + new)

    # ------------------------------------------------------------ saving

    def state_dict(self) -> dict[str, Any]:
        """{"state": {number of the parameter: …}, "param_groups": […]}, as PyTorch has it."""
        number = {p: k for k, p in enumerate(self._listed())}
        state = {number[p]: dict(held) for p, held in self.state.items() if held}
        groups = [
            {**group, "params": [number[p] for p in group["params"]]} for group in self.param_groups
        ]
        return {"state": state, "param_groups": groups}

    def _listed(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was made, by Chainrule or PyTorch; learning rates included."""
        groups = state_dict["param_groups"]
        theirs = [len(group["params"]) for group in groups]
        mine = [len(group["params"]) for group in self.param_groups]
        if theirs != mine:
            got = f"groups of {theirs} parameters"
            raise CheckpointError(message(f"{self._name}.load_state_dict", got, f"{mine}"))
        for saved, group in zip(groups, self.param_groups, strict=True):
            self._check_names(saved.get("param_names"), group.get("param_names"))
        numbers = [k for group in groups for k in group["params"]]
        params = dict(zip(numbers, self._listed(), strict=True))
        state = {}
        for k, held in state_dict["state"].items():
            state[params[k]] = {n: self._loaded(n, v, params[k]) for n, v in held.items()}
        known = {*self.defaults, *OF_SCHEDULES}
        new = []
        for saved, group in zip(groups, self.param_groups, strict=True):
            options = {n: v for n, v in saved.items() if n in known}
            if "betas" in options:
                options["betas"] = tuple(options["betas"])
            new.append({**group, **options})
            self._check(new[-1])
        for group, loaded in zip(self.param_groups, new, strict=True):
            group.update(loaded)
        self.state = counted(state)

    def _check_names(self, saved: list[str] | None, mine: list[str] | None) -> None:
        """State belongs to places, as in PyTorch; where both sides have names, they must agree."""
        for theirs, ours in zip(saved or (), mine or (), strict=False):
            if theirs != ours:
                got, needs = f"the state of {theirs}", f"that of {ours}"
                remedy = 'Without "param_names" in its groups, state is taken in its order'
                where = f"{self._name}.load_state_dict"
                raise CheckpointError(message(where, got, needs, remedy=remedy))

    def _loaded(self, name: str, value: Any, p: Tensor) -> Any:
        if name == "step":
            return int(value)
        if value is None:
            return None
        array = np.asarray(value.detach() if hasattr(value, "detach") else value)
        if array.shape != p.shape:
            got = f"{name} of shape {list(array.shape)} for {p.name or 'a parameter'}"
            raise CheckpointError(message(f"{self._name}.load_state_dict", got, f"{list(p.shape)}"))
        return tensor(array).to(p.dtype)

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for k, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {k}")
            lines += [f"    {n}: {group[n]}" for n in sorted(group) if n != "params"]
        return "\n".join([*lines, ")"])


def counted(state: Mapping[Tensor, Mapping[str, Any]]) -> dict[Tensor, State]:
    """A copy whose changes compiled steps notice without a look at each item."""
    return CountedDict({p: CountedDict(held) for p, held in state.items()})


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2


def not_negative(value: Any) -> bool:
    """A finite number of 0 or more."""
    return not isinstance(value, bool) and 0 <= float(value) < float("inf")


NOT_NEGATIVE: Bound = ("a number of 0 or more", not_negative)
SHARE: Bound = ("a number from 0 to 1", lambda value: not_negative(value) and value <= 1)
TWO_FACTORS: Bound = (
    "two numbers from 0 to below 1",
    lambda value: len(value) == 2 and all(0 <= beta < 1 for beta in value),
)
