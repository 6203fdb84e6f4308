"""When shapes don't fit: where the sizes come from, and which inputs would fit.

The history of the value that did not fit tells how its sizes came about.  The inputs that fit are
found by the network itself: its forward is recorded for other sizes, which computes nothing.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from math import prod
from typing import Any

from chainrule import random
from chainrule.creation import zeros
from chainrule.errors import ShapeError
from chainrule.graph import Node
from chainrule.nn.calls import calls
from chainrule.ops.windows import upstream
from chainrule.recording import no_grad
from chainrule.storage import recorder, stats
from chainrule.tensor import Tensor

__all__ = ["name_inputs_that_fit", "origin"]

MOST_NODES = 40_000  # recorded in the search: about a second
FARTHEST = 256  # pixels that a side is lengthened or shortened by in the search


# ------------------------------------------------------------ the history of a value


def origin(x: Node) -> str:
    """Of features that were an image: "400 = 16·5·5: view of max_pool2d(conv2), input 28×28".

    "" if they were none.
    """
    source = x
    while source.inputs and source.op.name == "reshape":
        source = source.inputs[0]
    if source is x or len(source.shape) < 3 or prod(source.shape[1:]) != x.shape[-1]:
        return ""
    text = f"{x.shape[-1]} = " + "·".join(map(str, source.shape[1:]))
    names = list(dict.fromkeys(name for name in map(_maker, upstream(source)) if name))
    if names:
        text += f": view of {names[0]}" + (f"({names[1]})" if len(names) > 1 else "")
    *_, first = upstream(source)
    return text + ("" if first.inputs else f", input {_sides(first)}")


def _maker(node: Node) -> str:
    """Who made an image: a layer with its name, or a pooling function."""
    scope = node.scope
    layer, _, kind = scope.rpartition("/")
    if kind.startswith(("Conv", "Local", "Linear")):
        return scope if layer.isdigit() else layer or kind  # in a Sequential names are numbers
    return kind if "pool" in kind.lower() else ""


def _sides(node: Node) -> str:
    return "×".join(map(str, node.shape[2:]))


# ------------------------------------------------------------ the inputs that fit


def name_inputs_that_fit(
    error: ShapeError, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Say in the error of an outermost call which sides of its input would have fitted.

    Nothing is added if the first argument is no image f[N,C,*S], or no size was found.
    """
    phrase = getattr(error, "an_input", None)
    if phrase is None or calls.searching or not any(module.children()):
        return
    if not args or not isinstance(args[0], Tensor):
        return
    sides = args[0].shape[2:]
    if not sides:
        return
    last = stats().recorded + MOST_NODES

    def fits(offset: int) -> bool:
        if min(sides) + offset < 1 or stats().recorded > last:
            return False
        x = zeros(*args[0].shape[:2], *(side + offset for side in sides), dtype=args[0].dtype)
        try:
            module.forward(x, *args[1:], **kwargs)
        except Exception:
            return False
        return True

    with _searching(module):
        found = _nearest_range(fits)
    if found is None:
        return
    low, high = ("×".join(str(side + offset) for side in sides) for offset in found)
    if found[1] - found[0] >= FARTHEST or stats().recorded > last:
        concrete = f"an input of at least {low}"
    else:
        concrete = f"an input of {low}" + (f" to {high}" if high != low else "")
    text = str(error)
    for old, new in ((phrase, concrete), (phrase.capitalize(), concrete.capitalize())):
        text = text.replace(old, new)
    error.args = (text,)


def _nearest_range(fits: Callable[[int], bool]) -> tuple[int, int] | None:
    """The range of offsets around the one nearest to 0 that fits; of two, the one above."""
    for distance in range(1, FARTHEST + 1):
        for offset in (distance, -distance):
            if fits(offset):
                low = high = offset
                while high - offset < FARTHEST and fits(high + 1):
                    high += 1
                while offset - low < FARTHEST and low - 1 != 0 and fits(low - 1):
                    low -= 1
                return low, high
    return None


@contextmanager
def _searching(module: Any) -> Iterator[None]:
    """Record without a trace: no gradients, tapes, hooks, prints, statistics, random draws."""
    rec, streams = recorder(), random.get_state()
    modes = [(part, part.training) for part in module.modules()]
    taps, rec.taps = rec.taps, []
    calls.searching = True
    try:
        module.eval()
        with no_grad(), redirect_stdout(io.StringIO()):
            yield
    finally:
        calls.searching = False
        rec.taps = taps
        random.set_state(streams)
        for part, training in modes:
            part.training = training
