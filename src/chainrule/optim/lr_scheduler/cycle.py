"""Schedules that rise as well as fall, and move momentum against the rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import cos, floor, log, pi
from typing import Any

from chainrule.errors import UsageError, message
from chainrule.optim.lr_scheduler.schedule import LRScheduler, one_for_each_group, require
from chainrule.optim.optimizer import Optimizer

__all__ = ["CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR"]

Numbers = float | list[float]


class CosineAnnealingWarmRestarts(LRScheduler):
    """lr = eta_min + (initial - eta_min) (1 + cos(π T_cur / T_i)) / 2, T_cur epochs after a restart

    The first period T_i is T_0 epochs, each next one T_mult times longer.  ``step(epoch)`` takes
    fractions: ``step(epoch + i / batches)`` after batch i.
    I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        whole = isinstance(T_0, int) and isinstance(T_mult, int) and T_0 >= 1 and T_mult >= 1
        require(whole, self, f"T_0={T_0}, T_mult={T_mult}", "whole numbers of 1 or more")
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        self.T_i, self.T_cur = T_0, last_epoch
        super().__init__(optimizer, last_epoch)

    def step(self, epoch: float | None = None) -> None:
        """The next epoch, or this one, which may be a fraction."""
        if epoch is not None or self.last_epoch < 0:
            self._place(0 if epoch is None else epoch)
        else:
            self.last_epoch += 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        self._set(self.get_lr())

    def _place(self, epoch: float) -> None:
        """T_i and T_cur at an epoch: n periods make T_0 (T_multⁿ - 1) / (T_mult - 1) epochs."""
        require(epoch >= 0, self, f"epoch {epoch}", "0 or more")
        self.last_epoch, self.T_i, self.T_cur = floor(epoch), self.T_0, epoch
        if epoch >= self.T_0 and self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        elif epoch >= self.T_0:
            n = int(log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**n

    def _go_to(self, epoch: int) -> None:
        self.step(epoch)

    def following(self, rate: float, group: int) -> float:
        """eta_min + (initial - eta_min) (1 + cos(π T_cur / T_i)) / 2"""
        height = (1 + cos(pi * self.T_cur / self.T_i)) / 2
        return self.eta_min + (self.base_lrs[group] - self.eta_min) * height


class _WithMomentum(LRScheduler):
    """A rate and a momentum that mirrors it: β₁ for optimizers with betas."""

    def _take_momentum(self, cycle: bool, base: Numbers, top: Numbers, last_epoch: int) -> None:
        self.cycle_momentum = cycle
        if not cycle:
            return
        optimizer = self.optimizer
        self.use_beta1 = "betas" in optimizer.defaults
        if not self.use_beta1 and "momentum" not in optimizer.defaults:
            got = f"{type(optimizer).__name__}, which has no momentum"
            remedy = "cycle_momentum=False"
            raise UsageError(message(self._name, got, "momentum or betas", remedy=remedy))
        self.base_momentums = one_for_each_group(base, self._name, optimizer)
        self.max_momentums = one_for_each_group(top, self._name, optimizer)
        if last_epoch == -1:
            for k, group in enumerate(optimizer.param_groups):
                group["base_momentum"] = self.base_momentums[k]
                group["max_momentum"] = self.max_momentums[k]
                self._set_momentum(group, self.max_momentums[k])

    def _set_momentum(self, group: dict[str, Any], momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


class CyclicLR(_WithMomentum):
    """lr = base_lr + (max_lr - base_lr) h s: h rises from 0 to 1 in step_size_up steps, then falls

    The scale s of cycle c is 1 with mode="triangular", 2^(1-c) with "triangular2"; at step e
    gamma^e with "exp_range"; or ``scale_fn`` of c or e (scale_mode="cycle" or "iterations").
    Momentum is max_momentum - (max_momentum - base_momentum) h s.
    L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", 2017.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: Numbers,
        max_lr: Numbers,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: Numbers = 0.8,
        max_momentum: Numbers = 0.9,
        last_epoch: int = -1,
    ) -> None:
        modes = ("triangular", "triangular2", "exp_range")
        require(scale_fn is not None or mode in modes, self, f"mode={mode!r}", " or ".join(modes))
        self.optimizer, self.mode, self.gamma, self.scale_fn = optimizer, mode, gamma, scale_fn
        by_step = scale_mode == "iterations" if scale_fn else mode == "exp_range"
        self.scale_mode = "iterations" if by_step else "cycle"
        down = step_size_up if step_size_down is None else step_size_down
        got = f"step_size_up={step_size_up}, step_size_down={down}"
        require(step_size_up >= 1 and down >= 0, self, got, "1 or more, and 0 or more")
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        bases = one_for_each_group(base_lr, self._name, optimizer)
        self.max_lrs = one_for_each_group(max_lr, self._name, optimizer)
        for group, base in zip(optimizer.param_groups, bases, strict=True):
            group["initial_lr"] = base
            if last_epoch == -1:
                group["lr"] = base
        self._take_momentum(cycle_momentum, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def _scale(self, cycle: int) -> float:
        if self.scale_fn is not None:
            return self.scale_fn(self.last_epoch if self.scale_mode == "iterations" else cycle)
        if self.mode == "exp_range":
            return self.gamma**self.last_epoch
        return 2.0 ** (1 - cycle) if self.mode == "triangular2" else 1.0

    def get_lr(self) -> list[float]:
        """The rates of this step; sets the momenta."""
        cycle = floor(1 + self.last_epoch / self.total_size)
        x = 1 + self.last_epoch / self.total_size - cycle
        up = x <= self.step_ratio
        height = x / self.step_ratio if up else (x - 1) / (self.step_ratio - 1)
        height *= self._scale(cycle)
        if self.cycle_momentum:
            for k, group in enumerate(self._groups()):
                top = self.max_momentums[k]
                self._set_momentum(group, top - (top - self.base_momentums[k]) * height)
        both = zip(self.base_lrs, self.max_lrs, strict=True)
        return [base + (top - base) * height for base, top in both]


class OneCycleLR(_WithMomentum):
    """lr rises from max_lr / div_factor to max_lr, then falls to the start / final_div_factor

    The rise takes pct_start · total_steps steps; momentum falls from max_momentum to base_momentum
    meanwhile, and back.  Between its ends a phase follows half a cosine, or a line.  With
    ``three_phase`` the fall to the start takes as long as the rise, and the rest goes on to the
    end.  One ``step`` after each batch: total_steps of them, or epochs · steps_per_epoch.
    L. N. Smith, N. Topin, "Super-Convergence", 2018.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: Numbers,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: Numbers = 0.85,
        max_momentum: Numbers = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = optimizer
        if total_steps is None:
            both = epochs is not None and steps_per_epoch is not None
            require(both, self, "no total_steps", "total_steps, or epochs and steps_per_epoch")
            total_steps = (epochs or 0) * (steps_per_epoch or 0)
        require(total_steps >= 1, self, f"{total_steps} steps", "1 or more")
        require(0 <= pct_start <= 1, self, f"pct_start={pct_start}", "a number from 0 to 1")
        linear = anneal_strategy == "linear"
        require(linear or anneal_strategy == "cos", self, anneal_strategy, "'cos' or 'linear'")
        self.total_steps, self.linear = total_steps, linear
        rise = float(pct_start * total_steps) - 1
        end = total_steps - 1
        # (its last step, rate from, rate to, momentum from, momentum to), by names in the groups
        up = (rise, "initial_lr", "max_lr", "max_momentum", "base_momentum")
        if three_phase:
            down = (2 * rise, "max_lr", "initial_lr", "base_momentum", "max_momentum")
            self._phases = [up, down, (end, "initial_lr", "min_lr", *["max_momentum"] * 2)]
        else:
            self._phases = [up, (end, "max_lr", "min_lr", "base_momentum", "max_momentum")]
        if last_epoch == -1:
            tops = one_for_each_group(max_lr, self._name, optimizer)
            for group, top in zip(optimizer.param_groups, tops, strict=True):
                start = top / div_factor
                group |= {"initial_lr": start, "max_lr": top, "min_lr": start / final_div_factor}
        self._take_momentum(cycle_momentum, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates of this step; sets the momenta."""
        more = "total_steps, or a new schedule"
        got = f"step {self.last_epoch} of {self.total_steps}"
        require(self.last_epoch <= self.total_steps, self, got, more)
        begin, phase = 0.0, self._phases[-1]
        for phase in self._phases:
            if self.last_epoch <= phase[0]:
                break
            begin = phase[0] if phase is not self._phases[-1] else begin
        length = phase[0] - begin  # 0 for a rise of one step: it is at its end
        share = (self.last_epoch - begin) / length if length else 1.0
        rates = []
        for group in self._groups():
            rates.append(self._between(group, phase[1], phase[2], share))
            if self.cycle_momentum:
                self._set_momentum(group, self._between(group, phase[3], phase[4], share))
        return rates

    def _between(self, group: Mapping[str, Any], start: str, end: str, share: float) -> float:
        a, b = group[start], group[end]
        return (b - a) * share + a if self.linear else b + (a - b) / 2 * (cos(pi * share) + 1)
