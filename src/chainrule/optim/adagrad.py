"""Steps scaled by the size of past gradients: Adagrad, RMSprop, Adadelta."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chainrule.creation import full_like
from chainrule.optim.optimizer import NOT_NEGATIVE, SHARE, Optimizer, State
from chainrule.tensor import Tensor
from chainrule.tracing import CountedDict

__all__ = ["Adadelta", "Adagrad", "RMSprop"]


class Adagrad(Optimizer):
    """θ ← θ - lrₜ g / (√s + eps) with s ← s + g², lrₜ = lr / (1 + (t - 1) lr_decay)

    s starts at ``initial_accumulator_value``; g = ∂L/∂θ + weight_decay θ.
    J. Duchi, E. Hazan, Y. Singer, "Adaptive Subgradient Methods", 2011.

    >>> import chainrule as cr
    >>> w = cr.tensor([1.0, 100.0], requires_grad=True)
    >>> optimizer = Adagrad([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()  # each number moves by lr, however large its gradient
    >>> w
    tensor([ 0.5, 99.5], requires_grad=True)
    """

    bounds = {
        "lr": NOT_NEGATIVE,
        "lr_decay": NOT_NEGATIVE,
        "weight_decay": NOT_NEGATIVE,
        "initial_accumulator_value": NOT_NEGATIVE,
        "eps": NOT_NEGATIVE,
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        no_decay_on_bias: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
            "maximize": maximize,
            "no_decay_on_bias": no_decay_on_bias,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """More parameters, with their own options; their sums begin now, as in PyTorch."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for p in group["params"]:
            begin = full_like(p, group["initial_accumulator_value"])
            self.state[p] = CountedDict(step=0, sum=begin)

    def update(self, p: Tensor, grad: Tensor, state: State, group: Mapping[str, Any]) -> Tensor:
        """θ - lrₜ g / (√s + eps)"""
        t = self.count(state)
        total = self.keep(state, "sum", state["sum"] + grad.square())
        rate = group["lr"] / (1 + (t - 1) * group["lr_decay"])
        return p - grad / (total.sqrt() + group["eps"]) * rate


class RMSprop(Optimizer):
    """θ ← θ - lr g / (√s + eps) with s ← alpha s + (1 - alpha) g², g = ∂L/∂θ + weight_decay θ

    ``centered`` subtracts the square of the running mean of g from s: a variance.  ``momentum``
    goes along v ← momentum v + g / (√s + eps) instead.
    T. Tieleman, G. Hinton, "Neural Networks for Machine Learning", lecture 6.5, 2012.
    """

    bounds = {
        "lr": NOT_NEGATIVE,
        "alpha": SHARE,
        "eps": NOT_NEGATIVE,
        "weight_decay": NOT_NEGATIVE,
        "momentum": NOT_NEGATIVE,
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
        no_decay_on_bias: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "no_decay_on_bias": no_decay_on_bias,
        }
        super().__init__(params, defaults)

    def update(self, p: Tensor, grad: Tensor, state: State, group: Mapping[str, Any]) -> Tensor:
        """θ - lr g / (√s + eps)"""
        self.count(state)
        s = self.average(state, "square_avg", grad.square(), group["alpha"])
        if group["centered"]:
            s = s - self.average(state, "grad_avg", grad, group["alpha"]).square()
        way = grad / (s.sqrt() + group["eps"])
        if group["momentum"]:
            held = state.get("momentum_buffer")
            way = way if held is None else held * group["momentum"] + way
            self.keep(state, "momentum_buffer", way)
        return p - way * group["lr"]


class Adadelta(Optimizer):
    """θ ← θ - lr d with d = g √(u + eps) / √(s + eps): steps in the unit of the parameter

    s ← rho s + (1 - rho) g², and after it u ← rho u + (1 - rho) d²; g = ∂L/∂θ + weight_decay θ.
    M. D. Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012.
    """

    bounds = {
        "lr": NOT_NEGATIVE,
        "rho": SHARE,
        "eps": NOT_NEGATIVE,
        "weight_decay": NOT_NEGATIVE,
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        no_decay_on_bias: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "no_decay_on_bias": no_decay_on_bias,
        }
        super().__init__(params, defaults)

    def update(self, p: Tensor, grad: Tensor, state: State, group: Mapping[str, Any]) -> Tensor:
        """θ - lr d"""
        self.count(state)
        rho, eps = group["rho"], group["eps"]
        s = self.average(state, "square_avg", grad.square(), rho)
        past = state.get("acc_delta")
        unit = grad.new_zeros(grad.shape) if past is None else past
        way = grad * ((unit + eps).sqrt() / (s + eps).sqrt())
        self.average(state, "acc_delta", way.square(), rho)
        return p - way * group["lr"]
