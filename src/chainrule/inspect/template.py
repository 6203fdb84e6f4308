"""Template matching: where in a picture is this? By normalised cross-correlation.

Everything is made of ``conv2d``, so that gradients flow to the picture and to the template.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from chainrule.creation import ones_like, where, zeros_like
from chainrule.errors import ShapeError, message
from chainrule.graph import type_text
from chainrule.nn import functional as F
from chainrule.tensor import Tensor, tensor

__all__ = ["Match", "find_template", "match_template"]

FLAT = 1e-10  # variance of a window over that of the picture, below which it has no pattern


class Match(NamedTuple):
    """The best place of a template: its upper left corner, and the score there, at most 1."""

    row: int
    column: int
    score: float


def match_template(picture: Any, template: Any) -> Tensor:
    """How like the template each window of a picture is: x: f[H,W], t: f[F,G] -> y: f[P,Q]

    y = Σ (x − x̄)(t − t̄) / √(Σ (x − x̄)² · Σ (t − t̄)²) over the window, x̄ its mean: from −1 to 1,
    1 exactly where the window is a·t + b with a > 0; so brighter and paler pictures score the
    same.  P = H − F + 1.  A window without a pattern scores 0.  Raises ShapeError where the
    template is larger than the picture, or flat.

    Lewis: Fast normalized cross-correlation, 1995.

    >>> match_template([[0.0, 0.0, 3.0, 5.0, 9.0]], [[1.0, 2.0, 4.0]]).numpy().round(3).tolist()
    [[0.945, 0.954, 1.0]]
    """
    x, t = (_plane(value) for value in (picture, template))
    t = t.to(x.dtype)
    if any(a > b for a, b in zip(t.shape, x.shape, strict=True)):
        got = f"a template {type_text(t.shape, t.dtype)}"
        needs = f"at most the picture's {x.shape[0]}×{x.shape[1]}"
        raise ShapeError(message("match_template", got, needs))
    values = t.detach().numpy()
    if np.ptp(values) <= 1e-6 * np.abs(values).max():
        raise ShapeError(message("match_template", "a template of one brightness", "a pattern"))
    t = t - t.mean()
    # The mean is taken off first: sums of squares far from 0 would lose their digits.
    x = x - x.detach().mean()
    window = ones_like(t)
    sums, squares = _slid(x, window), _slid(x * x, window)
    spread = squares - sums * sums / t.numel()
    flat = spread <= FLAT * t.numel() * (x.detach() ** 2).mean()
    energy = where(flat, ones_like(spread), spread) * (t * t).sum()
    return where(flat, zeros_like(spread), _slid(x, t) / energy.sqrt())


def find_template(picture: Any, template: Any) -> Match:
    """The best place of a template in a picture; of equal ones the first.

    >>> find_template([[0.0, 0.0, 3.0, 5.0, 9.0]], [[1.0, 2.0, 4.0]])
    Match(row=0, column=2, score=1.0)
    """
    scores = match_template(picture, template).detach().numpy()
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    return Match(int(row), int(column), float(scores[row, column]))


def _plane(value: Any) -> Tensor:
    x = value if isinstance(value, Tensor) else tensor(np.asarray(value))
    x = x if x.dtype.is_floating_point else x.double()
    if x.ndim != 2 or not x.numel():
        raise ShapeError(message("match_template", type_text(x.shape, x.dtype), "f[H,W]"))
    return x


def _slid(x: Tensor, w: Tensor) -> Tensor:
    """The correlation of a picture with a window: f[H,W], f[F,G] -> f[P,Q]"""
    return F.conv2d(x[None, None], w[None, None])[0, 0]
