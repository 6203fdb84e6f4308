"""Schedules made of schedules: all at once, or one after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from chainrule.errors import CheckpointError, UsageError, message
from chainrule.optim.lr_scheduler.plateau import ReduceLROnPlateau
from chainrule.optim.lr_scheduler.schedule import LRScheduler, require
from chainrule.optim.optimizer import Optimizer

__all__ = ["ChainedScheduler", "SequentialLR"]


class _Combined(LRScheduler):
    """Several schedules of one optimizer."""

    _schedulers: list[LRScheduler]

    def _take(self, schedulers: Iterable[LRScheduler], optimizer: Optimizer | None) -> None:
        self._schedulers = list(schedulers)
        if not self._schedulers:
            raise UsageError(message(self._name, "no schedules", "at least one"))
        self.optimizer = self._schedulers[0].optimizer if optimizer is None else optimizer
        self.base_lrs = list(self._schedulers[0].base_lrs)
        for schedule in self._schedulers:
            if isinstance(schedule, ReduceLROnPlateau):
                why = "It needs a figure at each step"
                raise UsageError(message(self._name, "ReduceLROnPlateau", "others", why=why))
            if schedule.optimizer is not self.optimizer:
                got = f"{type(schedule).__name__} of another optimizer"
                raise UsageError(message(self._name, got, "schedules of one optimizer"))

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, and the states of the schedules."""
        parts = [schedule.state_dict() for schedule in self._schedulers]
        return {**super().state_dict(), "_schedulers": parts}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was made."""
        parts, own = state_dict["_schedulers"], self._schedulers
        if len(parts) != len(own):
            where = f"{self._name}.load_state_dict"
            raise CheckpointError(message(where, f"{len(parts)} schedules", f"{len(own)}"))
        for schedule, part in zip(own, parts, strict=True):
            schedule.load_state_dict(part)
        super().load_state_dict(state_dict)
        self._schedulers = own


class ChainedScheduler(_Combined):
    """lr = initial · (the product of all factors): each schedule goes on from what the last left

    >>> import chainrule as cr
    >>> from chainrule.optim.lr_scheduler import ConstantLR, ExponentialLR
    >>> optimizer = cr.optim.SGD([cr.tensor([1.0], requires_grad=True)], lr=1.0)
    >>> parts = [ConstantLR(optimizer, 0.5, total_iters=2), ExponentialLR(optimizer, 0.5)]
    >>> schedule = ChainedScheduler(parts)
    >>> rates = []
    >>> for _ in range(4):
    ...     rates += schedule.get_last_lr()
    ...     schedule.step()
    >>> rates
    [0.5, 0.25, 0.25, 0.125]
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        self._take(schedulers, optimizer)

    def step(self, epoch: int | None = None) -> None:
        """The next epoch of all."""
        require(epoch is None, self, f"epoch={epoch}", "step(), one epoch at a time")
        for schedule in self._schedulers:
            schedule.step()

    def _begin(self) -> None:
        for schedule in self._schedulers:
            schedule._begin()

    def _go_to(self, epoch: int) -> None:  # 0: all begin again, each on what the last one left
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for schedule in _simple(self._schedulers):
            schedule.last_epoch = epoch - 1
        self._begin()


class SequentialLR(_Combined):
    """One schedule after the other: the next begins, with its epoch 0, at each milestone

    >>> import chainrule as cr
    >>> from chainrule.optim.lr_scheduler import ExponentialLR, LinearWarmupLR
    >>> optimizer = cr.optim.SGD([cr.tensor([1.0], requires_grad=True)], lr=1.0)
    >>> parts = [LinearWarmupLR(optimizer, 2), ExponentialLR(optimizer, 0.5)]
    >>> schedule = SequentialLR(optimizer, parts, milestones=[2])
    >>> rates = []
    >>> for _ in range(5):
    ...     rates += schedule.get_last_lr()
    ...     schedule.step()
    >>> rates
    [0.5, 1.0, 1.0, 0.5, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        self._take(schedulers, optimizer)
        if len(milestones) != len(self._schedulers) - 1 or list(milestones) != sorted(milestones):
            got = f"{len(self._schedulers)} schedules with milestones {list(milestones)}"
            raise UsageError(message(self._name, got, "one milestone between two, rising"))
        self._milestones, self.last_epoch = list(milestones), last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for schedule in _simple(self._schedulers):
            schedule.last_epoch -= 1  # each has set the rates of its own first epoch: not yet
        self._begin()

    def _begin(self) -> None:
        self._present()._begin()

    def _present(self) -> LRScheduler:
        return self._schedulers[bisect_right(self._milestones, self.last_epoch)]

    def step(self, epoch: int | None = None) -> None:
        """The next epoch of the schedule whose turn it is."""
        require(epoch is None, self, f"epoch={epoch}", "step(), one epoch at a time")
        self.last_epoch += 1
        if self.last_epoch in self._milestones:
            self._present()._go_to(0)
        else:
            self._present().step()

    def _go_to(self, epoch: int) -> None:
        self.last_epoch = epoch
        self._present()._go_to(epoch)


def _simple(schedulers: Iterable[LRScheduler]) -> Iterator[LRScheduler]:
    """The schedules that are not combined ones, at any depth."""
    for schedule in schedulers:
        if isinstance(schedule, _Combined):
            yield from _simple(schedule._schedulers)
        else:
            yield schedule
