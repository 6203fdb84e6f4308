"""A schedule that looks at a figure: the rate falls when the figure does not improve."""

from __future__ import annotations

from math import inf
from typing import SupportsFloat

from chainrule.optim.lr_scheduler.schedule import LRScheduler, one_for_each_group, require
from chainrule.optim.optimizer import Optimizer

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(LRScheduler):
    """lr ← max(lr · factor, min_lr) after more than ``patience`` epochs without an improvement

    ``step(figure)`` takes the figure of the epoch, usually the validation loss.  It is an
    improvement if it is below best · (1 - threshold), or best - threshold with
    threshold_mode="abs"; with mode="max", above best · (1 + threshold) or best + threshold.  For
    ``cooldown`` epochs after a fall nothing is counted.  A change of less than ``eps`` is not made.

    >>> import chainrule as cr
    >>> optimizer = cr.optim.SGD([cr.tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = ReduceLROnPlateau(optimizer, patience=1)
    >>> rates = []
    >>> for loss in (0.9, 0.8, 0.8, 0.8, 0.7):
    ...     schedule.step(loss)
    ...     rates += schedule.get_last_lr()
    >>> rates
    [1.0, 1.0, 1.0, 0.1, 0.1]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        require(mode in ("min", "max"), self, f"mode={mode!r}", "'min' or 'max'")
        known = threshold_mode in ("rel", "abs")
        require(known, self, f"threshold_mode={threshold_mode!r}", "'rel' or 'abs'")
        require(0 <= factor < 1, self, f"factor={factor}", "a number from 0 to below 1")
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.eps = cooldown, eps
        self.min_lrs = one_for_each_group(min_lr, "ReduceLROnPlateau", optimizer)
        self.best = inf if mode == "min" else -inf
        self.num_bad_epochs = self.cooldown_counter = 0
        super().__init__(optimizer)

    def _begin(self) -> None:
        self.last_epoch = 0

    def step(self, metrics: SupportsFloat) -> None:  # the others see none
        """The end of an epoch with this figure: perhaps smaller rates for the next one."""
        self.last_epoch += 1
        figure = float(metrics)
        if self._improves(figure):
            self.best, self.num_bad_epochs = figure, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._set(self.get_lr())
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def _improves(self, figure: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "abs":
            return sign * figure > sign * (self.best + sign * self.threshold)
        return sign * figure > sign * (self.best * (1 + sign * self.threshold))

    def following(self, rate: float, group: int) -> float:
        """max(rate · factor, min_lr), if that is smaller by more than eps"""
        smaller = max(rate * self.factor, self.min_lrs[group])
        return smaller if rate - smaller > self.eps else rate
