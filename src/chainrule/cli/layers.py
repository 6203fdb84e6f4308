"""A small example of each layer and loss, for ``chainrule gradcheck nn.Conv2d``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import nn
from chainrule.errors import UsageError, did_you_mean, message

__all__ = ["LAYERS", "layer_example", "layer_names"]

Inputs = Callable[[np.random.Generator], tuple[np.ndarray, ...]]


def _normal(*shapes: tuple[int, ...]) -> Inputs:
    """Inputs of normal numbers, one for each shape."""
    return lambda rng: tuple(rng.normal(size=shape) for shape in shapes)


def _labels(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """x: f[3,4] and class labels i64[3]."""
    return rng.normal(size=(3, 4)), rng.integers(0, 4, 3)


def _signs(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """x: f[2,3] and whole numbers -1 or 1."""
    return rng.normal(size=(2, 3)), rng.choice([-1, 1], (2, 3))


def _shares(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Two arrays f[2,3] of numbers between 0 and 1."""
    return rng.uniform(0.1, 0.9, (2, 3)), rng.uniform(0.1, 0.9, (2, 3))


def _logits(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """x: f[2,3] and numbers between 0 and 1."""
    return rng.normal(size=(2, 3)), rng.uniform(0.1, 0.9, (2, 3))


def _words(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Whole numbers i64[2,3] from 0 to 4."""
    return (rng.integers(0, 5, (2, 3)),)


ROW, LINE, PLANE, SPACE = (2, 3), (2, 2, 6), (1, 2, 4, 4), (1, 1, 4, 4, 4)

# name -> (arguments of the constructor, its inputs); what is not here takes no arguments and a row.
LAYERS: dict[str, tuple[tuple[Any, ...], Inputs]] = {
    "Linear": ((3, 2), _normal(ROW)),
    "Bilinear": ((3, 2, 2), _normal((2, 3), (2, 2))),
    "Conv1d": ((2, 2, 3), _normal(LINE)),
    "Conv2d": ((1, 2, 3), _normal((1, 1, 5, 5))),
    "Conv3d": ((1, 1, 2), _normal((1, 1, 3, 3, 3))),
    "ConvTranspose1d": ((2, 2, 3), _normal((1, 2, 3))),
    "ConvTranspose2d": ((1, 2, 3), _normal((1, 1, 3, 3))),
    "LocallyConnected2d": ((1, 1, (4, 4), 3), _normal((1, 1, 4, 4))),
    "MaxPool1d": ((2,), _normal(LINE)),
    "MaxPool2d": ((2,), _normal(PLANE)),
    "MaxPool3d": ((2,), _normal(SPACE)),
    "AvgPool1d": ((2,), _normal(LINE)),
    "AvgPool2d": ((2,), _normal(PLANE)),
    "AvgPool3d": ((2,), _normal(SPACE)),
    "AdaptiveAvgPool1d": ((3,), _normal(LINE)),
    "AdaptiveAvgPool2d": ((2,), _normal(PLANE)),
    "AdaptiveMaxPool1d": ((3,), _normal(LINE)),
    "AdaptiveMaxPool2d": ((2,), _normal(PLANE)),
    "BatchNorm1d": ((3,), _normal((4, 3))),
    "BatchNorm2d": ((2,), _normal((2, 2, 1, 2))),
    "BatchNorm3d": ((2,), _normal((2, 2, 1, 1, 2))),
    "LayerNorm": ((3,), _normal(ROW)),
    "RMSNorm": ((3,), _normal(ROW)),
    "GroupNorm": ((2, 4), _normal((2, 4, 2))),
    "LocalResponseNorm": ((3,), _normal((1, 4, 2, 2))),
    "Dropout": ((), _normal(ROW)),
    "Dropout1d": ((), _normal(LINE)),
    "Dropout2d": ((), _normal(PLANE)),
    "Embedding": ((5, 2), _words),
    "Flatten": ((), _normal(PLANE)),
    "Unflatten": ((1, (1, 3)), _normal(ROW)),
    "Upsample": ((None, 2), _normal(PLANE)),
    "PixelShuffle": ((2,), _normal((1, 4, 2, 2))),
    "PixelUnshuffle": ((2,), _normal(PLANE)),
    "Fold": (((3, 3), 2), _normal((1, 4, 4))),
    "Unfold": ((2,), _normal(PLANE)),
    "MultiheadAttention": ((4, 2), _normal((3, 1, 4), (3, 1, 4), (3, 1, 4))),
    "TransformerEncoderLayer": ((4, 2, 6, 0.0), _normal((3, 1, 4))),
    "Softmax": ((1,), _normal(ROW)),
    "LogSoftmax": ((1,), _normal(ROW)),
    "Softmin": ((1,), _normal(ROW)),
    "MSELoss": ((), _normal(ROW, ROW)),
    "L1Loss": ((), _normal(ROW, ROW)),
    "SmoothL1Loss": ((), _normal(ROW, ROW)),
    "HuberLoss": ((), _normal(ROW, ROW)),
    "CrossEntropyLoss": ((), _labels),
    "NLLLoss": ((), _labels),
    "MultiMarginLoss": ((), _labels),
    "BCELoss": ((), _shares),
    "BCEWithLogitsLoss": ((), _logits),
    "KLDivLoss": (("batchmean",), _logits),
    "HalfMSELoss": ((), _normal(ROW, ROW)),
    "HingeEmbeddingLoss": ((), _signs),
    "HingeLoss": ((), _signs),
    "SoftMarginLoss": ((), _signs),
    "MulticlassSVMLoss": ((), _labels),
    "TripletMarginLoss": ((), _normal(ROW, ROW, ROW)),
    "CosineEmbeddingLoss": ((), lambda rng: (*_normal(ROW, ROW)(rng), np.array([1, -1]))),
    "GLU": ((), _normal((2, 4))),
    "Threshold": ((0.1, 2.0), _normal(ROW)),
    **{f"{kind}Pad1d": ((1,), _normal(LINE)) for kind in ("Zero", "Reflection", "Replication")},
    **{f"{kind}Pad2d": ((1,), _normal(PLANE)) for kind in ("Zero", "Reflection", "Replication")},
    "ConstantPad1d": ((1, 0.5), _normal(LINE)),
    "ConstantPad2d": ((1, 0.5), _normal(PLANE)),
}


def layer_names() -> list[str]:
    """``nn.Linear``, ``nn.Conv2d`` ...: the layers and losses that can be checked by name."""
    return [f"nn.{name}" for name in nn.__all__ if _computes(getattr(nn, name))]


def _computes(thing: Any) -> bool:
    """Whether it is a layer with a forward of its own, and no container of others."""
    if not (isinstance(thing, type) and issubclass(thing, nn.Module)):
        return False
    return thing.forward is not nn.Module.forward and thing is not nn.Sequential


def layer_example(what: str) -> tuple[nn.Module, tuple[np.ndarray, ...]]:
    """A small layer, such as for ``nn.Conv2d``, and inputs for it; dropout is switched off.

    Raises UsageError for a name that is no layer of ``nn``.
    """
    if what not in layer_names():
        remedy = did_you_mean(what, layer_names())
        raise UsageError(message("gradcheck", what, "a layer or loss of nn", remedy=remedy))
    name = what.removeprefix("nn.")
    arguments, inputs = LAYERS.get(name, ((), _normal(ROW)))
    try:
        layer = getattr(nn, name)(*arguments)
    except TypeError:
        needs = "a layer that has an example in cli/layers.py"
        remedy = "chainrule gradcheck net.py:loss checks it in a script"
        raise UsageError(message("gradcheck", what, needs, remedy=remedy)) from None
    return (layer.eval() if "Dropout" in name else layer), inputs(np.random.default_rng(0))
