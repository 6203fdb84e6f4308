"""The networks of the field, one file each; every one is built from the public API alone."""

from __future__ import annotations

from typing import Any

from chainrule import nn
from chainrule.errors import UsageError, did_you_mean, message
from chainrule.models.finder import finder
from chainrule.models.first_layer import first_layer
from chainrule.models.inpaint import inpaint_mlp
from chainrule.models.lenet import lenet5, lenet_lecture
from chainrule.models.logistic import logistic
from chainrule.models.mlp import mlp
from chainrule.models.softmax_regression import softmax_regression
from chainrule.models.xor import xor

__all__ = [
    "MODELS",
    "build",
    "finder",
    "first_layer",
    "inpaint_mlp",
    "lenet5",
    "lenet_lecture",
    "logistic",
    "mlp",
    "softmax_regression",
    "xor",
]

MODELS = {
    "logistic": logistic,
    "xor": xor,
    "softmax_regression": softmax_regression,
    "mlp": mlp,
    "finder": finder,
    "first_layer": first_layer,
    "lenet5": lenet5,
    "lenet_lecture": lenet_lecture,
    "inpaint_mlp": inpaint_mlp,
}


def build(name: str, **config: Any) -> nn.Module:
    """The model of that name, as a checkpoint or a recipe writes it down.

    Raises UsageError for a name that is not in ``MODELS``.
    """
    if name not in MODELS:
        needs, remedy = "one of " + ", ".join(MODELS), did_you_mean(name, MODELS)
        raise UsageError(message("models", repr(name), needs, remedy=remedy))
    return MODELS[name](**config)
