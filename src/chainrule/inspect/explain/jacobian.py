"""One reader's Jacobian by one variable, outputs × inputs, from the recorded nodes between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.func import jacrev
from chainrule.storage import recorder
from chainrule.tensor import Tensor, tensor

__all__ = ["local_jacobian"]


def local_jacobian(
    end: Any,
    start: Any,
    inputs: dict[Any, tuple[Any, ...]],
    stops: Callable[[Any], bool],
    value: Callable[[Any], np.ndarray],
) -> np.ndarray:
    """∂end/∂start, one row per element of end; what ``stops`` names stays as it is."""

    def f(x: Tensor) -> Tensor:
        made: dict[Any, Tensor] = {start: x}

        def build(node: Any) -> Tensor:
            if node not in made:
                if stops(node) or not inputs.get(node):
                    made[node] = tensor(value(node), dtype=node.dtype)
                else:
                    parts = tuple(build(part)._node for part in inputs[node])
                    made[node] = Tensor._of(recorder().record(node.op, parts, node.meta))
            return made[node]

        return build(end).reshape(-1)

    with recorder().undisturbed_work():  # no tape hears of it
        rows = jacrev(f)(tensor(value(start), dtype=start.dtype))
        return rows.numpy().reshape(-1, value(start).size)
