"""Products summed over named axes: einsum and tensordot, as one matrix product per operand."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from chainrule.errors import ShapeError, UsageError, message
from chainrule.graph import type_text
from chainrule.tensor.operands import axis_of
from chainrule.tensor.operators import choose
from chainrule.tensor.tensor import Tensor, tensor

__all__ = ["einsum", "tensordot"]

Label = str | int  # the letter of an axis; the axes of ``...`` are counted from the last: -1, -2, …
Labels = list[Label]


def einsum(equation: str, *operands: Any) -> Tensor:
    """Einstein summation: einsum("bik,bkj->bij", a, b), as one matrix product per pair of operands.

    Letters name axes; what is missing on the right is summed.  ``...`` stands for any axes, which
    broadcast.  A letter that is twice on the left of one operand means its diagonal.

    >>> import chainrule as cr
    >>> einsum("ii->i", cr.tensor([[1, 2], [3, 4]])).tolist()
    [1, 4]
    """
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        needs = f"one group of letters for each of {len(operands)} operands"
        raise UsageError(message("einsum", repr(equation), needs))
    parsed = [_labels(term, x.ndim, equation) for term, x in zip(terms, operands, strict=True)]
    dots = max((sum(isinstance(label, int) for label in labels) for labels in parsed), default=0)
    result = _labels(right, None, equation, dots) if arrow else _implied(parsed, dots)
    known = {label for labels in parsed for label in labels}
    if len(set(result)) < len(result) or not set(result) <= known:
        needs = "each letter on the right once, and known on the left"
        raise UsageError(message("einsum", repr(equation), needs))
    sizes = _sizes(parsed, operands, equation)
    pairs = [_diagonal(labels, x, sizes) for labels, x in zip(parsed, operands, strict=True)]
    labels, x = pairs[0]
    for index, (others, y) in enumerate(pairs[1:], start=1):
        later = set(result).union(*(labels for labels, _ in pairs[index + 1 :]))
        labels, x = _contract(labels, x, others, y, later)
    gone = tuple(axis for axis, label in enumerate(labels) if label not in result)
    x = x.sum(gone) if gone else x
    kept = [label for label in labels if label in result]
    return x.permute(tuple(kept.index(label) for label in result)) if result else x


def _labels(term: str, rank: int | None, equation: str, dots: int = 0) -> Labels:
    """The axes of one operand; ``dots`` tells how many ``...`` stands for on the right."""
    before, ellipsis, after = term.partition("...")
    letters = before + after
    if not (letters.isalpha() or not letters) or not letters.isascii():
        raise UsageError(message("einsum", repr(equation), "letters, commas, '...' and one '->'"))
    if rank is not None:
        dots = rank - len(letters)
        if dots < 0 or (dots and not ellipsis):
            got = f"{rank} axes for {term!r} in {equation!r}"
            raise ShapeError(message("einsum", got, f"{len(letters)}"))
    return [*before, *(range(-dots, 0) if ellipsis else ()), *after]


def _implied(parsed: list[Labels], dots: int) -> Labels:
    """Without "->": ``...``, then what occurs once, in alphabetical order."""
    letters = [label for labels in parsed for label in labels if isinstance(label, str)]
    return [*range(-dots, 0), *sorted(c for c in set(letters) if letters.count(c) == 1)]


def _sizes(parsed: list[Labels], operands: Sequence[Tensor], equation: str) -> dict[Label, int]:
    sizes: dict[Label, int] = {}
    for labels, x in zip(parsed, operands, strict=True):
        for label, size in zip(labels, x.shape, strict=True):
            known = sizes.setdefault(label, size)
            if known != size and 1 not in (known, size):
                name = f"{label!r}" if isinstance(label, str) else "'...'"
                got = f"{known} and {size} for {name} in {equation!r}"
                raise ShapeError(message("einsum", got, "one size, or 1"))
            sizes[label] = size if known == 1 else known
    return sizes


def _diagonal(labels: Labels, x: Tensor, sizes: dict[Label, int]) -> tuple[Labels, Tensor]:
    """Broadcast to the sizes; of axes with one letter the diagonal."""
    x = x.expand(tuple(sizes[label] for label in labels))
    while len(set(labels)) < len(labels):
        label = next(c for c in labels if labels.count(c) > 1)
        a = labels.index(label)
        b = labels.index(label, a + 1)
        shape = [1] * x.ndim
        shape[a] = shape[b] = sizes[label]
        on_it = tensor(np.eye(sizes[label], dtype=bool)).reshape(shape).expand(x.shape)
        x = choose(on_it, x, 0).sum(b)
        labels = labels[:b] + labels[b + 1 :]
    return labels, x


def _contract(
    left: Labels, x: Tensor, right: Labels, y: Tensor, later: set[Label]
) -> tuple[Labels, Tensor]:
    """One matrix product [batch, rows, summed] @ [batch, summed, columns]."""
    both = [c for c in left if c in right]
    batch = [c for c in both if c in later]
    summed = [c for c in both if c not in later]
    rows = [c for c in left if c not in both]
    columns = [c for c in right if c not in both]
    size = dict(zip(left, x.shape, strict=True)) | dict(zip(right, y.shape, strict=True))
    n_batch, n_summed, n_rows, n_columns = (
        prod(size[c] for c in group) for group in (batch, summed, rows, columns)
    )
    a = x.permute(tuple(left.index(c) for c in batch + rows + summed))
    b = y.permute(tuple(right.index(c) for c in batch + summed + columns))
    a = a.reshape(n_batch, n_rows, n_summed)
    b = b.reshape(n_batch, n_summed, n_columns)
    order = batch + rows + columns
    return order, (a @ b).reshape(tuple(size[c] for c in order))


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """The product summed over the last ``dims`` axes of a and the first of b, or over named ones

    ``dims=([a's axes], [b's axes])`` names them.

    >>> import chainrule as cr
    >>> tensordot(cr.tensor([1.0, 2.0]), cr.tensor([3.0, 4.0]), 1)
    tensor(11.)
    """
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            needs = f"0 to {min(a.ndim, b.ndim)}"
            raise ShapeError(message("tensordot", f"dims={dims}", needs))
        dims = (range(a.ndim - dims, a.ndim), range(dims))
    of_a = [axis_of(axis, a.ndim, "tensordot") for axis in dims[0]]
    of_b = [axis_of(axis, b.ndim, "tensordot") for axis in dims[1]]
    if [a.shape[axis] for axis in of_a] != [b.shape[axis] for axis in of_b]:
        types = " and ".join(type_text(x.shape, x.dtype) for x in (a, b))
        raise ShapeError(message("tensordot", f"{types} over {of_a} and {of_b}", "equal sizes"))
    summed = {axis: str(place) for place, axis in enumerate(of_a)}
    left: Labels = [summed.get(axis, f"a{axis}") for axis in range(a.ndim)]
    summed = {axis: str(place) for place, axis in enumerate(of_b)}
    right: Labels = [summed.get(axis, f"b{axis}") for axis in range(b.ndim)]
    return _contract(left, a, right, b, {c for c in left + right if c not in summed.values()})[1]
