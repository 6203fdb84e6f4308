"""Losses of classes: a label, or a share for each class, against a score for each class.

Scores stand along axis 1 of f[N,C,...], or along the only axis of f[C].
"""

from __future__ import annotations

import warnings
from typing import Any

from chainrule.creation import arange
from chainrule.dtypes import bool_, int64
from chainrule.errors import DtypeError, ShapeError, UsageError, message
from chainrule.lines import user_line
from chainrule.nn.calls import here, public, shape_of
from chainrule.nn.loss import Loss, WeightedLoss, check_reduction, reduced, same_shapes, type_of
from chainrule.ops.labels import class_index
from chainrule.storage import recorder
from chainrule.tensor import Tensor
from chainrule.tensor.operators import choose

__all__ = [
    "CrossEntropyLoss",
    "KLDivLoss",
    "MultiMarginLoss",
    "MulticlassSVMLoss",
    "NLLLoss",
    "cross_entropy",
    "kl_div",
    "multi_margin_loss",
    "multiclass_svm_loss",
    "nll_loss",
]


def _targets(x: Tensor, target: Tensor, where: str, soft: bool) -> int:
    """The class axis, or an error that says what the labels look like."""
    name = here(where)
    axis = 0 if x.ndim == 1 else 1
    if not x.ndim or not x.dtype.is_floating_point:
        raise ShapeError(message(name, f"input {type_of(x)}", "logits f[N,C]"))
    wanted = x.shape[:axis] + x.shape[axis + 1 :]
    got = f"input {type_of(x)} with target {type_of(target)}"
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


def _labels(target: Tensor, classes: int, ignore: int | None) -> Tensor:
    meta = {"classes": classes, "ignore": ignore}
    return Tensor._of(recorder().record(class_index, (target._node,), meta))


def _class_weights(weight: Tensor | None, x: Tensor, axis: int, where: str) -> Tensor | None:
    if weight is not None and weight.shape != (x.shape[axis],):
        got, needs = f"weight {type_of(weight)}", f"one number for each of {x.shape[axis]} classes"
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
    check_reduction(reduction, "nll_loss")
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
    check_reduction(reduction, "cross_entropy")
    if not 0 <= label_smoothing <= 1:
        got = f"label_smoothing={label_smoothing}"
        raise UsageError(message(here("cross_entropy"), got, "0 to 1"))
    axis = _targets(input, target, "cross_entropy", soft=True)
    _warn_of_softmax(input)
    weight = _class_weights(weight, input, axis, "cross_entropy")
    classes = input.shape[axis]
    log_p = input.log_softmax(axis)
    if target.dtype.is_floating_point:
        share = target
        if label_smoothing:
            share = target * (1 - label_smoothing) + label_smoothing / classes
        if weight is not None:
            share = share * _along(weight, axis, input.ndim)
        loss = -(log_p * share).sum(axis)
        return reduced(loss, reduction, "cross_entropy")
    target = target.to(int64)
    labels = _labels(target, classes, ignore_index)
    loss = -_chosen(log_p, labels, axis)
    loss, share = _by_label(loss, labels, target, weight, ignore_index)
    result = _total(loss, share, reduction)
    if not label_smoothing:
        return result
    everywhere = log_p
    if weight is not None:
        everywhere = everywhere * _along(weight, axis, input.ndim)
    smooth = choose(target.ne(ignore_index), -everywhere.sum(axis), 0)
    even = _total(smooth, share, reduction) * (label_smoothing / classes)
    return result * (1 - label_smoothing) + even


def _along(weight: Tensor, axis: int, rank: int) -> Tensor:
    return weight.reshape((-1,) + (1,) * (rank - 1 - axis))


_SAID: dict[Any, Any] = {}  # warnings that were given: once for each of the user's lines


def _warn_of_softmax(x: Tensor) -> None:
    """softmax is exp(log_softmax(x)): look one node back."""
    node = x._node
    if node.op.name == "exp" and node.inputs and node.inputs[0].op.name == "log_softmax":
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


# ---------------------------------------------------------------- distributions


@public
def kl_div(
    input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """L = t (ln t - x)      x: f[...] log-probabilities, t: f[...] probabilities or logarithms

    ``reduction="batchmean"`` divides the sum by the size of the first axis: the KL divergence.
    """
    check_reduction(reduction, "kl_div", "batchmean")
    same_shapes(input, target, "kl_div")
    if log_target:
        loss = target.exp() * (target - input)
    else:
        positive = target > 0
        logarithm = choose(positive, target, 1).log()
        loss = choose(positive, target * logarithm, 0) - target * input
    if reduction == "batchmean":
        return loss.sum() / input.shape[0]
    return reduced(loss, reduction, "kl_div")


# ---------------------------------------------------------------- margins


def _violations(x: Tensor, target: Tensor, margin: float, where: str) -> tuple[Tensor, Tensor]:
    """(max(0, margin - x[y] + x[i]) for each class i but y, else 0; the labels)"""
    axis = _targets(x, target, where, soft=False)
    if x.ndim > 2:
        raise ShapeError(message(here(where), f"input {type_of(x)}", "scores f[N,C] or f[C]"))
    index = _labels(target.to(int64), x.shape[axis], None)
    excess = (x - _chosen(x, index, axis).unsqueeze(axis) + margin).relu()
    own = index.unsqueeze(axis).eq(arange(x.shape[axis]))
    return choose(own, 0, excess), index


@public
def multiclass_svm_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """L = Σ max(0, margin - x[y] + x[i]) over the classes i ≠ y      x: f[N,C] or f[C]

    y: whole numbers [N] or [].  x̄[i] = 1 where class i violates the margin (> 0, strictly), and
    x̄[y] = -(the number of violations).  J. Weston, C. Watkins, "Support Vector Machines for
    Multi-Class Pattern Recognition", 1999.

    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 0.5, 2.0, -1.0], requires_grad=True)
    >>> loss = multiclass_svm_loss(x, cr.tensor(1))
    >>> loss.backward()
    >>> loss.item(), x.grad.tolist()
    (4.0, [1.0, -2.0, 1.0, 0.0])
    """
    check_reduction(reduction, "multiclass_svm_loss")
    excess, _ = _violations(input, target, margin, "multiclass_svm_loss")
    return reduced(excess.sum(-1), reduction, "multiclass_svm_loss")


@public
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """L = Σ w[y] max(0, margin - x[y] + x[i])ᵖ / C over the classes i ≠ y      x: f[N,C] or f[C]

    y: whole numbers [N] or [].  ``multiclass_svm_loss`` is the same without the division by C.
    """
    check_reduction(reduction, "multi_margin_loss")
    if p not in (1, 2):
        raise UsageError(message(here("multi_margin_loss"), f"p={p}", "1 or 2"))
    excess, index = _violations(input, target, margin, "multi_margin_loss")
    weight = _class_weights(weight, input, input.ndim - 1, "multi_margin_loss")
    loss = (excess if p == 1 else excess.square()).sum(-1) / input.shape[-1]
    if weight is not None:
        loss = loss * weight.index_select(0, index.reshape(-1)).reshape(index.shape)
    return reduced(loss, reduction, "multi_margin_loss")


# ---------------------------------------------------------------- layers


class CrossEntropyLoss(WeightedLoss):
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


class NLLLoss(WeightedLoss):
    """``nll_loss`` of log-probabilities f[N,C,...] and labels i64[N,...]"""

    function = nll_loss

    def __init__(
        self, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"ignore_index": self.ignore_index}


class KLDivLoss(Loss):
    """``kl_div`` of log-probabilities and probabilities"""

    function = kl_div

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def _settings(self) -> dict[str, Any]:
        return {"reduction": self.reduction, "log_target": self.log_target}


class MulticlassSVMLoss(Loss):
    """L = Σ max(0, margin - x[y] + x[i]) over the classes i ≠ y: ``multiclass_svm_loss``"""

    function = multiclass_svm_loss

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def _settings(self) -> dict[str, Any]:
        return {"reduction": self.reduction, "margin": self.margin}


class MultiMarginLoss(WeightedLoss):
    """L = Σ w[y] max(0, margin - x[y] + x[i])ᵖ / C over the classes i ≠ y"""

    function = multi_margin_loss

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, reduction)
        self.p, self.margin = p, margin

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"p": self.p, "margin": self.margin}
