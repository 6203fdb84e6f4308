"""Losses: functions and layers. Logits are numbers before softmax or sigmoid."""

from __future__ import annotations

import warnings
from typing import Any

from chainrule.dtypes import bool_, int64
from chainrule.errors import DtypeError, ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.nn.calls import here, inner, public, shape_of
from chainrule.nn.module import Module
from chainrule.operators import choose
from chainrule.ops.labels import class_index
from chainrule.storage import recorder, user_line
from chainrule.tensor import Tensor

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "SmoothL1Loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "nll_loss",
    "smooth_l1_loss",
]


def _reduced(loss: Tensor, reduction: str, where: str) -> Tensor:
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    _check_reduction(reduction, where)
    return loss


def _check_reduction(reduction: str, where: str, *more: str) -> None:
    known = ("mean", "sum", "none", *more)
    if reduction not in known:
        needs = "one of " + ", ".join(known)
        raise UsageError(message(here(where), f"reduction={reduction!r}", needs))


def _type(x: Tensor) -> str:
    return type_text(x.shape, x.dtype)


def _same_shapes(x: Tensor, target: Tensor, where: str) -> None:
    if x.shape == target.shape:
        return
    remedy = ""
    if x.numel() == target.numel():
        longer = "input" if x.ndim > target.ndim else "target"
        remedy = f"{longer}.reshape({shape_of((target if longer == 'input' else x).shape)})"
    raise ShapeError(
        message(
            here(where),
            f"input {_type(x)} against target {_type(target)}",
            "equal shapes",
            why="Broadcasting would compare each number with every other",
            remedy=remedy,
        )
    )


# ---------------------------------------------------------------- classes


def _targets(x: Tensor, target: Tensor, where: str, soft: bool) -> int:
    """The class axis, or an error that says what the labels look like."""
    name = here(where)
    axis = 0 if x.ndim == 1 else 1
    if not x.ndim or not x.dtype.is_floating_point:
        raise ShapeError(message(name, f"input {_type(x)}", "logits f[N,C]"))
    wanted = x.shape[:axis] + x.shape[axis + 1 :]
    got = f"input {_type(x)} with target {_type(target)}"
    labels = f"labels i64{shape_of(wanted)}"
    if target.shape == x.shape and (soft or not target.dtype.is_floating_point):
        if target.dtype.is_floating_point:
            return axis
        remedy = f"target.argmax({axis})" + (", or .float() for soft targets" if soft else "")
        raise DtypeError(message(name, got, labels, why="They look one-hot", remedy=remedy))
    if target.shape != wanted:
        remedy = ""
        if target.numel() == _product(wanted) and 1 in target.shape[-1:]:
            remedy = "target.squeeze(-1)"
        raise ShapeError(message(name, got, labels, remedy=remedy))
    if target.dtype.is_floating_point or target.dtype is bool_:
        why = f"Class labels are whole numbers, these are {target.dtype.name}"
        remedy = "target.long(), or MSELoss for numbers, BCEWithLogitsLoss for yes or no"
        raise DtypeError(message(name, got, labels, why=why, remedy=remedy))
    return axis


def _product(sizes: tuple[int, ...]) -> int:
    count = 1
    for size in sizes:
        count *= size
    return count


def _chosen(x: Tensor, labels: Tensor, axis: int) -> Tensor:
    """x at the label, without the class axis."""
    return x.gather(axis, labels.unsqueeze(axis)).squeeze(axis)


def _labels(target: Tensor, classes: int, ignore: int) -> Tensor:
    meta = {"classes": classes, "ignore": ignore}
    return Tensor._of(recorder().record(class_index, (target._node,), meta))


def _class_weights(weight: Tensor | None, x: Tensor, axis: int, where: str) -> Tensor | None:
    if weight is not None and weight.shape != (x.shape[axis],):
        got, needs = f"weight {_type(weight)}", f"one number for each of {x.shape[axis]} classes"
        raise ShapeError(message(here(where), got, needs))
    return weight


def _by_label(
    loss: Tensor, labels: Tensor, target: Tensor, weight: Tensor | None, ignore: int
) -> tuple[Tensor, Tensor]:
    """(weighted losses, their weights): 0 where the label is ignored."""
    counts = target.ne(ignore)
    share = counts.to(loss.dtype)
    if weight is not None:
        share = share * weight.index_select(0, labels.reshape(-1)).reshape(labels.shape)
        loss = loss * share
    return choose(counts, loss, 0), share


def _total(loss: Tensor, share: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return loss
    return loss.sum() / share.sum() if reduction == "mean" else loss.sum()


@public
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """L = -w[y] x[y], averaged with the weights

    x: f[N,C,...] log-probabilities, y: whole numbers [N,...]
    """
    _check_reduction(reduction, "nll_loss")
    axis = _targets(input, target, "nll_loss", soft=False)
    weight = _class_weights(weight, input, axis, "nll_loss")
    target = target.to(int64)
    labels = _labels(target, input.shape[axis], ignore_index)
    loss = -_chosen(input, labels, axis)
    return _total(*_by_label(loss, labels, target, weight, ignore_index), reduction)


@public
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """L = w[y] (ln Σ exp x - x[y]), averaged with the weights      x: f[N,C,...] logits

    y: whole numbers [N,...] from 0 to C - 1, or soft targets f[N,C,...], for which
    L = Σ w t (ln Σ exp x - x) is averaged over N.  Labels equal to ``ignore_index`` do not count.
    ``label_smoothing`` ε gives the share ε / C to every class.

    Raises ``IndexRangeError`` for a label out of range, when it is computed; ``DtypeError`` for
    labels that are no whole numbers; ``ShapeError``.

    >>> import chainrule as cr
    >>> round(cross_entropy(cr.tensor([[2.0, 0.0]]), cr.tensor([0])).item(), 4)
    0.1269
    """
    _check_reduction(reduction, "cross_entropy")
    if not 0 <= label_smoothing <= 1:
        got = f"label_smoothing={label_smoothing}"
        raise UsageError(message(here("cross_entropy"), got, "0 to 1"))
    axis = _targets(input, target, "cross_entropy", soft=True)
    _warn_of_softmax(input)
    weight = _class_weights(weight, input, axis, "cross_entropy")
    classes = input.shape[axis]
    total = input.logsumexp(axis)
    if target.dtype.is_floating_point:
        share = target
        if label_smoothing:
            share = target * (1 - label_smoothing) + label_smoothing / classes
        if weight is not None:
            share = share * _along(weight, axis, input.ndim)
        loss = ((total.unsqueeze(axis) - input) * share).sum(axis)
        return _reduced(loss, reduction, "cross_entropy")
    target = target.to(int64)
    labels = _labels(target, classes, ignore_index)
    loss = total - _chosen(input, labels, axis)
    loss, share = _by_label(loss, labels, target, weight, ignore_index)
    result = _total(loss, share, reduction)
    if not label_smoothing:
        return result
    everywhere = total.unsqueeze(axis) - input
    if weight is not None:
        everywhere = everywhere * _along(weight, axis, input.ndim)
    smooth = choose(target.ne(ignore_index), everywhere.sum(axis), 0)
    even = _total(smooth, share, reduction) * (label_smoothing / classes)
    return result * (1 - label_smoothing) + even


def _along(weight: Tensor, axis: int, rank: int) -> Tensor:
    return weight.reshape((-1,) + (1,) * (rank - 1 - axis))


_SAID: dict[Any, Any] = {}  # warnings that were given: once for each of the user's lines


def _warn_of_softmax(x: Tensor) -> None:
    """softmax is exp(x - logsumexp(x)): look two nodes back."""
    node = x._node
    if node.op.name != "exp" or not node.inputs or node.inputs[0].op.name != "sub":
        return
    below = node.inputs[0].inputs
    while len(below) and below[-1].op.name in ("expand", "reshape"):
        below = below[-1].inputs
    if below and below[-1].op.name == "logsumexp":
        line = user_line()
        text = message(
            here("cross_entropy"),
            "the output of softmax",
            "logits",
            why="rows sum to 1: CrossEntropyLoss expects logits",
            remedy="Leave the softmax out",
        )
        if line is None:
            warnings.warn(text, stacklevel=2)
        else:
            place = (line[0].co_filename, line[1])
            warnings.warn_explicit(text, UserWarning, *place, registry=_SAID)


# ---------------------------------------------------------------- yes or no


@public
def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """L = -(t ln p + (1 - t) ln(1 - p))      p, t: f[...] probabilities; ln is never below -100

    p̄ = (p - t) / max(p (1 - p), 1e-12), which stays finite where a sigmoid is saturated.
    """
    _same_shapes(input, target, "binary_cross_entropy")
    saturated = input * (1 - input) < 1e-12
    inside = choose(saturated, 0.5, input)  # ln has no slope at 0 that could be multiplied by 0
    edge = input.detach()
    steep = (input - edge) * ((edge - target.detach()) * 1e12)
    loss = choose(saturated, _binary_entropy(edge, target) + steep, _binary_entropy(inside, target))
    if weight is not None:
        loss = loss * weight
    return _reduced(loss, reduction, "binary_cross_entropy")


def _binary_entropy(p: Tensor, target: Tensor) -> Tensor:
    yes, no = p.log().clamp(min=-100.0), (-p).log1p().clamp(min=-100.0)
    return -(target * yes + (1 - target) * no)


@public
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """L = max(x, 0) - x t + ln(1 + e^(-|x|))      x: f[...] logits, t: f[...] from 0 to 1

    Stable for any x; its error signal is σ(x) - t.
    """
    _same_shapes(input, target, "binary_cross_entropy_with_logits")
    tail = _softplus_of_minus(input)
    if pos_weight is None:
        loss = (1 - target) * input + tail
    else:
        loss = (1 - target) * input + (1 + (pos_weight - 1) * target) * tail
    if weight is not None:
        loss = loss * weight
    return _reduced(loss, reduction, "binary_cross_entropy_with_logits")


def _softplus_of_minus(x: Tensor) -> Tensor:
    """ln(1 + e⁻ˣ) as the logsumexp of 0 and -x: stable, with the derivative -σ(-x) everywhere."""
    both = x._join([x.number(0).expand((1, *x.shape)), -x.unsqueeze(0)], 0)
    return both.logsumexp(0)


# ---------------------------------------------------------------- numbers


@public
def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """L = (x - t)²      x, t: f[...] of one shape

    >>> import chainrule as cr
    >>> mse_loss(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 4.0])).item()
    2.0
    """
    _same_shapes(input, target, "mse_loss")
    return _reduced((input - target).square(), reduction, "mse_loss")


@public
def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """L = |x - t|      x, t: f[...] of one shape"""
    _same_shapes(input, target, "l1_loss")
    return _reduced((input - target).abs(), reduction, "l1_loss")


@public
def smooth_l1_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """L = (x - t)² / 2 beta where |x - t| < beta, else |x - t| - beta / 2"""
    _same_shapes(input, target, "smooth_l1_loss")
    if beta < 0:
        raise UsageError(message(here("smooth_l1_loss"), f"beta={beta}", "0 or more"))
    away = (input - target).abs()
    if beta == 0:
        return _reduced(away, reduction, "smooth_l1_loss")
    loss = choose(away < beta, away.square() * (0.5 / beta), away - 0.5 * beta)
    return _reduced(loss, reduction, "smooth_l1_loss")


@public
def kl_div(
    input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """L = t (ln t - x)      x: f[...] log-probabilities, t: f[...] probabilities or logarithms

    ``reduction="batchmean"`` divides the sum by the size of the first axis: the KL divergence.
    """
    _check_reduction(reduction, "kl_div", "batchmean")
    _same_shapes(input, target, "kl_div")
    if log_target:
        loss = target.exp() * (target - input)
    else:
        positive = target > 0
        logarithm = choose(positive, target, 1).log()
        loss = choose(positive, target * logarithm, 0) - target * input
    if reduction == "batchmean":
        return loss.sum() / input.shape[0]
    return _reduced(loss, reduction, "kl_div")


# ---------------------------------------------------------------- layers


class _Loss(Module):
    function: Any = None

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The function of the same name."""
        return inner(type(self).function)(input, target, **self._settings())

    def _settings(self) -> dict[str, Any]:
        return {"reduction": self.reduction}


class _WeightedLoss(_Loss):
    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)

    def _settings(self) -> dict[str, Any]:
        return {"reduction": self.reduction, "weight": self.weight}


class CrossEntropyLoss(_WeightedLoss):
    """``cross_entropy`` of logits f[N,C,...] and labels i64[N,...] or soft targets f[N,C,...]

    >>> import chainrule as cr
    >>> loss = CrossEntropyLoss()(cr.zeros(3, 10), cr.tensor([1, 2, 3]))
    >>> round(loss.item(), 4)
    2.3026
    """

    function = cross_entropy

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def _settings(self) -> dict[str, Any]:
        more = {"ignore_index": self.ignore_index, "label_smoothing": self.label_smoothing}
        return super()._settings() | more


class NLLLoss(_WeightedLoss):
    """``nll_loss`` of log-probabilities f[N,C,...] and labels i64[N,...]"""

    function = nll_loss

    def __init__(
        self, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"ignore_index": self.ignore_index}


class BCELoss(_WeightedLoss):
    """``binary_cross_entropy`` of probabilities f[...] and targets f[...]"""

    function = binary_cross_entropy


class BCEWithLogitsLoss(_WeightedLoss):
    """``binary_cross_entropy_with_logits`` of logits f[...] and targets f[...]"""

    function = binary_cross_entropy_with_logits

    def __init__(
        self,
        weight: Tensor | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(weight, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"pos_weight": self.pos_weight}


class MSELoss(_Loss):
    """L = (x - t)²"""

    function = mse_loss


class L1Loss(_Loss):
    """L = |x - t|"""

    function = l1_loss


class SmoothL1Loss(_Loss):
    """L = (x - t)² / 2 beta where |x - t| < beta, else |x - t| - beta / 2"""

    function = smooth_l1_loss

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def _settings(self) -> dict[str, Any]:
        return {"reduction": self.reduction, "beta": self.beta}


class KLDivLoss(_Loss):
    """``kl_div`` of log-probabilities and probabilities"""

    function = kl_div

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def _settings(self) -> dict[str, Any]:
        return {"reduction": self.reduction, "log_target": self.log_target}
