"""``draw``: a model, a loss or a wiring as SVG, without any program but this one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from chainrule.errors import ShapeError, UsageError, message
from chainrule.graph import topological_order
from chainrule.inspect.draw.blocks import draw_blocks
from chainrule.inspect.draw.graph import draw_loss
from chainrule.inspect.draw.layers import draw_walk
from chainrule.inspect.draw.neurons import draw_neurons
from chainrule.inspect.draw.svg import Drawing
from chainrule.inspect.draw.wiring import wiring
from chainrule.inspect.walk import evaluate, walk
from chainrule.nn.module import Module
from chainrule.storage import Recorded
from chainrule.tensor import Tensor

__all__ = ["STYLES", "Drawing", "draw", "names_of"]

STYLES = ("graph", "neurons", "blocks")


def draw(model_or_loss: Any, x: Any = None, style: str = "graph") -> Drawing:
    """A picture: ``.svg`` is its text, ``.save(path)`` writes it, notebooks show it.

    ``graph``    a tensor's graph, each value v with its error signal v̄; if large, layer by layer
    ``neurons``  an MLP: a circle for each unit, a line for each weight
    ``blocks``   the volumes of a convolutional network, to scale

    x: what goes into a model: an example (with its batch axis), from which a small graph takes its
    values, or the sizes of one sample; a model that has an ``input_shape`` needs none.  Nothing of
    the model changes.  ``draw.wiring`` draws full, local and shared connections.

    >>> import chainrule as cr
    >>> w = cr.tensor(0.8, requires_grad=True)
    >>> draw((w * 1.5 - 1) ** 2)
    <Drawing 'Computation graph of L': .svg is its text, .save(path) writes it>
    """
    if style not in STYLES:
        raise UsageError(message("draw", f"style={style!r}", "one of " + ", ".join(STYLES)))
    if isinstance(model_or_loss, Tensor):
        if style != "graph":
            got = f"a tensor with style={style!r}"
            raise UsageError(message("draw", got, "a model", remedy='style="graph" draws a loss'))
        caller = sys._getframe(1)
        names = names_of(model_or_loss, caller.f_locals, caller.f_globals)
        return draw_loss(model_or_loss, names)
    if not isinstance(model_or_loss, Module):
        got = f"a {type(model_or_loss).__name__}"
        raise UsageError(message("draw", got, "a tensor or a Module"))
    if style == "graph" and isinstance(x, Tensor):
        y = evaluate(model_or_loss, x)
        if not isinstance(y, Tensor):
            raise ShapeError(message("draw", f"a model that gives a {type(y).__name__}", "a tensor",
                                     remedy="Give it sizes instead of an example"))  # fmt: skip
        return draw_loss(y, names_of(y, {"x": x}))
    pass_ = walk(model_or_loss, x)
    if style == "neurons":
        return draw_neurons(model_or_loss, pass_)
    return draw_blocks(pass_) if style == "blocks" else draw_walk(pass_)


def names_of(loss: Tensor, *scopes: Mapping[str, Any]) -> dict[Recorded, str]:
    """What the nodes are called: by their tensors, or by the variables in ``scopes``."""
    order: list[Any] = topological_order([loss._node])
    inside, found = set(order), {}
    for scope in scopes:
        for name, thing in list(scope.items()):
            if isinstance(thing, Tensor) and not name.startswith("_") and not thing._path:
                node = thing._node if thing._seen is None else thing._seen.node
                if node in inside and name not in found.values():
                    found.setdefault(node, name)
    if found.get(loss._node) in ("loss", None) and "L" not in found.values():
        found[loss._node] = "L" if loss.numel() == 1 else "y"
    taken: dict[str, Recorded] = {}
    for node in order:
        name = node.name or found.get(node)
        if name:
            if taken.setdefault(name, node) is not node:
                name = f"{name}'"
            found[node] = name
    return found


# Beside draw(model): draw.wiring("shared"). A type checker knows no names on functions.
draw.wiring = wiring  # type: ignore[attr-defined]
