"""Schedules that go one way: constant, linear, steps, powers, half a cosine, or any function."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import cos, pi
from typing import Any

from chainrule.optim.lr_scheduler.schedule import LRScheduler, one_for_each_group, require
from chainrule.optim.optimizer import Optimizer

__all__ = [
    "ConstantLR",
    "CosineAnnealingLR",
    "ExponentialLR",
    "LambdaLR",
    "LinearLR",
    "LinearWarmupLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "PolynomialLR",
    "StepLR",
]

Function = Callable[[int], float]


class ConstantLR(LRScheduler):
    """lr = initial · factor for e < total_iters, then initial"""

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        require(0 < factor <= 1, self, f"factor={factor}", "a number above 0, at most 1")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def following(self, rate: float, group: int) -> float:
        """rate · factor at the start, rate / factor at the end"""
        if self.last_epoch == 0:
            return rate * self.factor
        return rate * (1 / self.factor) if self.last_epoch == self.total_iters else rate

    def closed(self, initial: float) -> float:
        """initial · factor, then initial"""
        return initial * (self.factor if self.last_epoch < self.total_iters else 1)


class LinearLR(LRScheduler):
    """lr = initial · (start_factor + (end_factor - start_factor) min(e, total_iters) / total_iters)

    >>> import chainrule as cr
    >>> optimizer = cr.optim.SGD([cr.tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> rates = []
    >>> for _ in range(4):
    ...     rates += schedule.get_last_lr()
    ...     schedule.step()
    >>> rates
    [0.5, 0.75, 1.0, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        above = "a number above 0, at most 1"
        require(0 < start_factor <= 1, self, f"start_factor={start_factor}", above)
        require(0 <= end_factor <= 1, self, f"end_factor={end_factor}", "a number from 0 to 1")
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def following(self, rate: float, group: int) -> float:
        """rate · (the factor of this epoch) / (the factor of the one before)"""
        if self.last_epoch == 0:
            return rate * self.start_factor
        if self._is_initial or self.last_epoch > self.total_iters:
            return rate
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return rate * (1 + rise / before)

    def closed(self, initial: float) -> float:
        """initial · (start_factor + …)"""
        rise = self.end_factor - self.start_factor
        share = min(self.total_iters, self.last_epoch) / self.total_iters if self.total_iters else 1
        return initial * (self.start_factor + rise * share)


class LinearWarmupLR(LinearLR):
    """lr = initial · min((e + 1) / warmup_iters, 1): in equal steps, the first of them not 0

    With what follows it: ``SequentialLR(optimizer, [LinearWarmupLR(optimizer, 5), then], [5])``.

    >>> import chainrule as cr
    >>> optimizer = cr.optim.SGD([cr.tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = LinearWarmupLR(optimizer, warmup_iters=4)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates += schedule.get_last_lr()
    ...     schedule.step()
    >>> rates
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """

    def __init__(self, optimizer: Optimizer, warmup_iters: int, last_epoch: int = -1) -> None:
        require(warmup_iters >= 1, self, f"warmup_iters={warmup_iters}", "1 or more")
        super().__init__(optimizer, 1 / warmup_iters, 1.0, warmup_iters - 1, last_epoch)


class StepLR(LRScheduler):
    """lr = initial · gamma^⌊e / step_size⌋

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
        require(step_size >= 1, self, f"step_size={step_size}", "1 or more")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def following(self, rate: float, group: int) -> float:
        """rate · gamma in every epoch that step_size divides"""
        turn = self.last_epoch != 0 and self.last_epoch % self.step_size == 0
        return rate * self.gamma if turn else rate

    def closed(self, initial: float) -> float:
        """initial · gamma^⌊e / step_size⌋"""
        return initial * self.gamma ** (self.last_epoch // self.step_size)


class MultiStepLR(LRScheduler):
    """lr = initial · gamma^(how many milestones are ≤ e)"""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def following(self, rate: float, group: int) -> float:
        """rate · gamma at a milestone"""
        return rate * self.gamma ** self.milestones[self.last_epoch]

    def closed(self, initial: float) -> float:
        """initial · gamma^(milestones past)"""
        past = bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return initial * self.gamma**past

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was made."""
        super().load_state_dict(state_dict)
        self.milestones = Counter(self.milestones)  # a file gives a plain dict


class ExponentialLR(LRScheduler):
    """lr = initial · gamma^e"""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def following(self, rate: float, group: int) -> float:
        """rate · gamma"""
        return rate if self._is_initial else rate * self.gamma

    def closed(self, initial: float) -> float:
        """initial · gamma^e"""
        return initial * self.gamma**self.last_epoch


class PolynomialLR(LRScheduler):
    """lr = initial · (1 - min(e, total_iters) / total_iters)^power"""

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        require(total_iters >= 1, self, f"total_iters={total_iters}", "1 or more")
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def following(self, rate: float, group: int) -> float:
        """rate · (what is left of the way / what was left before)^power"""
        if self._is_initial or self.last_epoch > self.total_iters:
            return rate
        left = 1 - self.last_epoch / self.total_iters
        return rate * (left / (1 - (self.last_epoch - 1) / self.total_iters)) ** self.power

    def closed(self, initial: float) -> float:
        """initial · (1 - e / total_iters)^power"""
        return initial * (1 - min(self.total_iters, self.last_epoch) / self.total_iters) ** (
            self.power
        )


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (initial - eta_min) (1 + cos(π e / T_max)) / 2

    After T_max it rises again, along the same cosine.
    I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017.
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        require(T_max >= 1, self, f"T_max={T_max}", "1 or more")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def following(self, rate: float, group: int) -> float:
        """eta_min + (rate - eta_min) · (the cosine's height now) / (its height before)"""
        if self._is_initial:
            return rate
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # the height before was 0
            return rate + (self.base_lrs[group] - self.eta_min) * self._height(self.T_max + 1)
        ratio = self._height(self.last_epoch) / self._height(self.last_epoch - 1)
        return self.eta_min + (rate - self.eta_min) * ratio

    def _height(self, epoch: int) -> float:
        return (1 + cos(pi * epoch / self.T_max)) / 2

    def closed(self, initial: float) -> float:
        """eta_min + (initial - eta_min) (1 + cos(π e / T_max)) / 2"""
        return self.eta_min + (initial - self.eta_min) * self._height(self.last_epoch)


class _ByFunction(LRScheduler):
    """One function of the epoch for all groups, or one for each."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Function | Sequence[Function],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = one_for_each_group(lr_lambda, type(self).__name__, optimizer)
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer; of the functions, the attributes of callable objects."""
        held = [dict(vars(f)) if _is_object(f) else None for f in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": held}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was made; functions stay those of this schedule."""
        functions = self.lr_lambdas
        super().load_state_dict(state_dict)
        for function, held in zip(functions, state_dict.get("lr_lambdas", ()), strict=False):
            if held is not None and _is_object(function):
                vars(function).update(held)
        self.lr_lambdas = functions


def _is_object(function: Any) -> bool:
    return hasattr(function, "__dict__") and not hasattr(function, "__code__")


class LambdaLR(_ByFunction):
    """lr = initial · lr_lambda(e), with one function or one for each group"""

    def following(self, rate: float, group: int) -> float:
        """initial · lr_lambda(e), whatever the rate in force"""
        return self.base_lrs[group] * self.lr_lambdas[group](self.last_epoch)


class MultiplicativeLR(_ByFunction):
    """lr = initial · lr_lambda(1) · … · lr_lambda(e), with one function or one for each group"""

    def step(self, epoch: int | None = None) -> None:
        """The next epoch; the product has no closed form to go to another one by."""
        require(epoch is None, self, f"epoch={epoch}", "step(), one epoch at a time")
        super().step()

    def following(self, rate: float, group: int) -> float:
        """rate · lr_lambda(e)"""
        return rate if self._is_initial else rate * self.lr_lambdas[group](self.last_epoch)
