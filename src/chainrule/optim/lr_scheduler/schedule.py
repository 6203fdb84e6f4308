"""The base of all schedules: an epoch, and the rate that follows the one in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chainrule.errors import CheckpointError, UsageError, message
from chainrule.optim.optimizer import Optimizer

__all__ = ["LRScheduler", "one_for_each_group", "require"]


class LRScheduler:
    """Base class.  A subclass writes ``following``, or ``get_lr`` as in PyTorch.

    A schedule goes on from the rate in force, as PyTorch's do: so two of them multiply, and a rate
    that somebody sets is kept to.  A class's first line is the closed form, which is what comes out
    if nobody else changes the rate: e is the epoch (or step) from 0, ``initial`` the rate of the
    group at the start.

    ``last_epoch=k`` resumes after epoch k: the optimizer's groups need their "initial_lr", which
    its ``load_state_dict`` brings.
    """

    optimizer: Optimizer
    last_epoch: int

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise UsageError(message(self._name, type(optimizer).__name__, "an optimizer"))
        self.optimizer, self.last_epoch = optimizer, last_epoch
        for group in optimizer.param_groups:
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                got, needs = f"last_epoch={last_epoch}", "'initial_lr' in every param_group"
                remedy = "optimizer.load_state_dict(saved) first"
                raise UsageError(message(self._name, got, needs, remedy=remedy))
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self._begin()

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _begin(self) -> None:
        """Set the rates of the first epoch."""
        self._is_initial = True
        self.step()
        self._is_initial = False

    def following(self, rate: float, group: int) -> float:
        """The rate of a group in epoch ``last_epoch``, after ``rate``. To be written."""
        raise UsageError(message(self._name, "a step", "a method following(rate, group)"))

    def closed(self, initial: float) -> float | None:
        """The rate in epoch ``last_epoch`` by the closed form, where there is one."""
        return None

    def get_lr(self) -> list[float]:
        """The rates of the groups in epoch ``last_epoch``."""
        return [self.following(group["lr"], k) for k, group in enumerate(self._groups())]

    def _groups(self) -> list[dict[str, Any]]:
        """The optimizer's groups, as many as when the schedule began."""
        groups = self.optimizer.param_groups
        if len(groups) != len(self.base_lrs):
            got, needs = f"{len(groups)} groups", f"{len(self.base_lrs)}, as when it began"
            remedy = "After add_param_group make the schedule anew"
            raise UsageError(message(self._name, got, needs, remedy=remedy))
        return groups

    def step(self, epoch: int | None = None) -> None:
        """The next epoch, or this one by the closed form: set the rate of every group."""
        if epoch is None:
            self.last_epoch += 1
            self._set(self.get_lr())
        else:
            self._go_to(epoch)

    def _go_to(self, epoch: int) -> None:
        """An epoch, whatever was before; 0 when its turn in a ``SequentialLR`` begins."""
        self.last_epoch = epoch
        closed = [self.closed(initial) for initial in self.base_lrs]
        self._set([rate for rate in closed if rate is not None] or self.get_lr())

    def _set(self, rates: Sequence[float]) -> None:
        for group, rate in zip(self._groups(), rates, strict=True):
            group["lr"] = rate

    def get_last_lr(self) -> list[float]:
        """The rates that are in force."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and functions."""
        hidden = ("optimizer", "_is_initial")
        state = {
            name: list(value) if isinstance(value, list) else value
            for name, value in self.__dict__.items()
            if name not in hidden and not callable(value)
        }
        return {**state, "_last_lr": self.get_last_lr()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was made, with the rates that were in force."""
        rates = state_dict.get("_last_lr", self.get_last_lr())
        if len(rates) != len(self.optimizer.param_groups):
            got, needs = f"{len(rates)} rates", f"{len(self.optimizer.param_groups)}, one a group"
            raise CheckpointError(message(f"{self._name}.load_state_dict", got, needs))
        known = self.state_dict().keys() - {"_last_lr"}
        self.__dict__.update({name: v for name, v in state_dict.items() if name in known})
        self._set(rates)


def require(right: bool, schedule: LRScheduler, got: str, needs: str) -> None:
    """Raise the one error of a schedule's arguments, unless they are right."""
    if not right:
        raise UsageError(message(type(schedule).__name__, got, needs))


def one_for_each_group(value: Any, name: str, optimizer: Optimizer) -> list[Any]:
    """A list with one entry for each group, of one value or of that many."""
    count = len(optimizer.param_groups)
    values = list(value) if isinstance(value, (list, tuple)) else [value] * count
    if len(values) != count:
        raise UsageError(message(name, f"{len(values)} values", f"one, or one for each of {count}"))
    return values
