"""The networks of the field, one file each; every one is built from the public API alone."""

from __future__ import annotations

import difflib
from typing import Any

from chainrule import nn
from chainrule.errors import UsageError, message
from chainrule.models.lenet import lenet5
from chainrule.models.mlp import mlp
from chainrule.models.xor import xor

__all__ = ["MODELS", "build", "lenet5", "mlp", "xor"]

MODELS = {"lenet5": lenet5, "mlp": mlp, "xor": xor}


def build(name: str, **config: Any) -> nn.Module:
    """The model of that name, as a checkpoint or a recipe writes it down.

    Raises UsageError for a name that is not in ``MODELS``.
    """
    if name not in MODELS:
        nearest = difflib.get_close_matches(name, MODELS, n=1)
        remedy = f"Did you mean {nearest[0]}?" if nearest else ""
        raise UsageError(
            message("models", repr(name), "one of " + ", ".join(MODELS), remedy=remedy)
        )
    return MODELS[name](**config)
