"""Learning rates that change with the epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import cos, pi
from typing import Any

from chainrule.errors import UsageError, message
from chainrule.optim.optimizer import Optimizer

__all__ = ["CosineAnnealingLR", "ExponentialLR", "LambdaLR", "LRScheduler", "MultiStepLR", "StepLR"]


class LRScheduler:
    """Base class.  ``factor(epoch)`` times the initial rate of each group is its rate."""

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer, self.last_epoch = optimizer, last_epoch
        for group in optimizer.param_groups:
            if last_epoch == -1:
                group["initial_lr"] = group["lr"]
            elif "initial_lr" not in group:
                got, needs = f"last_epoch={last_epoch}", "'initial_lr' in every param_group"
                raise UsageError(message(type(self).__name__, got, needs))
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.step()

    def rate(self, initial: float, epoch: int, group: int) -> float:
        """The rate of a group in an epoch. To be written by the subclass."""
        raise UsageError(message(type(self).__name__, "a step", "a method rate(…)"))

    def step(self) -> None:
        """The next epoch: set the rate of every group."""
        self.last_epoch += 1
        for k, group in enumerate(self.optimizer.param_groups):
            group["lr"] = self.rate(self.base_lrs[k], self.last_epoch, k)

    def get_last_lr(self) -> list[float]:
        """The rates that are in force."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return {
            name: value
            for name, value in self.__dict__.items()
            if name != "optimizer" and not callable(value)
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was made."""
        self.__dict__.update(
            {k: v for k, v in state_dict.items() if k in self.__dict__ and k != "optimizer"}
        )


class StepLR(LRScheduler):
    """lr = initial · gamma^⌊epoch / step_size⌋

    >>> import chainrule as cr
    >>> optimizer = cr.optim.SGD([cr.tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = StepLR(optimizer, step_size=2, gamma=0.5)
    >>> rates = []
    >>> for _ in range(4):
    ...     rates += schedule.get_last_lr()
    ...     schedule.step()
    >>> rates
    [1.0, 1.0, 0.5, 0.5]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, initial: float, epoch: int, group: int) -> float:
        """initial · gamma^⌊epoch / step_size⌋"""
        return initial * self.gamma ** (epoch // self.step_size)


class MultiStepLR(LRScheduler):
    """lr = initial · gamma^(how many milestones are past)"""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Sequence[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, initial: float, epoch: int, group: int) -> float:
        """initial · gamma^(milestones past)"""
        return initial * self.gamma ** sum(epoch >= m for m in self.milestones)


class ExponentialLR(LRScheduler):
    """lr = initial · gamma^epoch"""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, initial: float, epoch: int, group: int) -> float:
        """initial · gamma^epoch"""
        return initial * self.gamma**epoch


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (initial - eta_min) (1 + cos(π epoch / T_max)) / 2"""

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, initial: float, epoch: int, group: int) -> float:
        """Half a cosine from initial to eta_min"""
        return self.eta_min + (initial - self.eta_min) * (1 + cos(pi * epoch / self.T_max)) / 2


class LambdaLR(LRScheduler):
    """lr = initial · lr_lambda(epoch), with one function or one for each group"""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        count = len(optimizer.param_groups)
        lambdas = [lr_lambda] * count if callable(lr_lambda) else list(lr_lambda)
        if len(lambdas) != count:
            got = f"{len(lambdas)} functions"
            raise UsageError(message("LambdaLR", got, f"one for each of {count} groups"))
        self._lambdas = tuple(lambdas)
        super().__init__(optimizer, last_epoch)

    def rate(self, initial: float, epoch: int, group: int) -> float:
        """initial · lr_lambda(epoch)"""
        return initial * self._lambdas[group](epoch)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and the functions."""
        return {name: v for name, v in super().state_dict().items() if name != "_lambdas"}
