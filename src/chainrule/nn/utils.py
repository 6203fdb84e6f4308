"""PyTorch's name for what is done to all parameters: ``nn.utils.clip_grad_norm_(…)``.

Each function is written in the file of its theme; here is the list.
"""

from __future__ import annotations

from typing import Any

from chainrule.errors import not_found
from chainrule.nn.clip import clip_grad_norm_, clip_grad_value_, get_total_norm
from chainrule.nn.vector import parameters_to_vector, vector_to_parameters

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "get_total_norm",
    "parameters_to_vector",
    "vector_to_parameters",
]


def __getattr__(name: str) -> Any:
    raise not_found("chainrule.nn.utils", name, __all__)
