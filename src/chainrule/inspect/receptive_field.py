"""What one value sees of the input: the receptive field of every node, from the graph's shapes.

A value's field is a box: ``size`` places along each spatial axis of the input, borders of padding
included.  Neighbouring values lie ``jump`` places apart.  Where paths meet, the largest field
counts.  Each axis of a value is a row of *steps*, the outer one first: n values that lie so far
apart along one axis of the input, or none (channels).  So an axis that was flattened knows what it
is made of, and who sums along it sees exactly that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from typing import Any, NamedTuple

from chainrule.graph import Node
from chainrule.inspect.walk import Walk
from chainrule.ops.op import Elementwise

__all__ = ["Field", "fields_of"]

WINDOWS = ("conv", "max_pool", "avg_pool")


class Step(NamedTuple):
    """``count`` values, ``jump`` places apart along an axis of the input; axis -1: along none."""

    count: int
    axis: int = -1
    jump: Fraction = Fraction(0)


Axis = tuple[Step, ...]


@dataclass(frozen=True)
class Field:
    """What each value of a node sees of the input, and where its neighbours are."""

    size: tuple[int, ...]  # along each spatial axis of the input
    axes: tuple[Axis, ...]  # of the node

    @property
    def jump(self) -> tuple[int | float, ...] | None:
        """How far neighbouring values are apart; none where there is one, or where axes are mixed.

        >>> Field((6, 6), ((), (), (Step(14, 0, Fraction(2)),), (Step(14, 1, Fraction(2)),))).jump
        (2, 2)
        """
        found = {}
        for steps in self.axes:
            walks = {step.axis for step in steps if step.axis >= 0}
            if len(walks) == 1:
                jump = _as_one(steps).jump
                found[walks.pop()] = int(jump) if jump.denominator == 1 else float(jump)
        if len(found) < len(self.size):
            return None
        return tuple(found[axis] for axis in range(len(self.size)))

    def over(self, axes: Iterable[int]) -> tuple[int, ...]:
        """The size of what sees these axes of the node as a whole."""
        size = [Fraction(s) for s in self.size]
        for axis in axes:
            for step in self.axes[axis]:
                if step.axis >= 0:
                    size[step.axis] += (step.count - 1) * step.jump
        return tuple(map(ceil, size))

    @property
    def whole(self) -> tuple[int, ...]:
        """What all values together see."""
        return self.over(range(len(self.axes)))


def _as_one(steps: Axis) -> Step:
    """The steps of an axis along one input axis as one; repeated values share their place."""
    count, axis = 1, -1
    for step in steps:
        count, axis = count * step.count, max(axis, step.axis)
    jump, inner = Fraction(0), 1
    for step in reversed(steps):
        if step.axis >= 0:
            jump = step.jump / inner
            break
        inner *= step.count
    return Step(count, axis, jump)


def fields_of(pass_: Walk) -> dict[Node, Field]:
    """The fields of all nodes that see the first input, if that has spatial axes.

    They are its last axes, as many as the first convolution or pooling moves along.
    """
    nodes = [node for call in pass_.calls for node in call.nodes]
    nodes.sort(key=lambda node: node.sequence)
    source = pass_.inputs[0]._node
    rank = next((len(n.shape) - 2 for n in nodes if n.op.name in WINDOWS), 0)
    if not rank or len(source.shape) not in (rank + 1, rank + 2):
        return {}
    first = len(source.shape) - rank
    walks = [(Step(source.shape[first + k], k, Fraction(1)),) for k in range(rank)]
    found: dict[Node, Field] = {source: Field((1,) * rank, (*((),) * first, *walks))}
    for node in nodes:
        field = _field(node, found)
        if field is not None:
            found[node] = field
    return found


def _field(node: Any, found: dict[Node, Field]) -> Field | None:
    """The field of a node, from those of its inputs."""
    name, seen = node.op.name, [(x, found[x]) for x in node.inputs if x in found]
    if not seen:
        return None
    x, field = seen[0]
    if isinstance(node.op, Elementwise) or name in ("pad", "flip", "concatenate"):
        return _union([f for _, f in seen], node.shape)
    if name in (*WINDOWS, "conv_input_grad"):
        return _windows(node, field)
    if name == "matmul":
        return _union([_factor(part, f, part is node.inputs[0]) for part, f in seen], node.shape)
    if name in ("sum", "amax", "amin", "moments", "logsumexp", "argmax"):
        axes = node.meta.get("axes") or (node.meta["axis"],)
        return _reduced(node, field, [axis % len(x.shape) for axis in axes])
    if name == "cumsum":
        return replace(field, size=field.over((node.meta["axis"],)))
    if name == "permute":
        return replace(field, axes=tuple(field.axes[axis] for axis in node.meta["axes"]))
    if name == "expand":
        kept = zip(field.axes, x.shape, node.shape, strict=True)
        return replace(field, axes=tuple(steps if a == b else () for steps, a, b in kept))
    if name == "reshape":
        return _reshaped(field, x.shape, node.shape)
    if name == "slice":
        return _sliced(node, field)
    return Field(field.whole, ((),) * len(node.shape))  # it may fetch any value, as an index does


def _union(fields: Sequence[Field], shape: Sequence[int]) -> Field:
    """Where paths meet: the largest size, and for each axis the steps of the longest jump."""
    size = tuple(max(sizes) for sizes in zip(*(f.size for f in fields), strict=True))
    axes: list[Axis] = []
    for place, count in enumerate(shape):
        options = [f.axes[place] for f in fields if len(f.axes) == len(shape) and f.axes[place]]
        best = max(options, key=lambda steps: _as_one(steps).jump, default=())
        if len(best) == 1:  # padded, or one of the parts of a concatenation
            best = (best[0]._replace(count=count),)
        axes.append(best)
    return Field(size, tuple(axes))


def _windows(node: Any, field: Field) -> Field:
    """A window of span F and stride S: size + (F − 1)·jump, jump·S.

    A transposed convolution spreads by S instead: size + (⌈F / S⌉ − 1)·jump, jump / S.
    """
    pools, spreads = node.op.name.endswith("pool"), node.op.name == "conv_input_grad"
    kernel = node.meta["kernel"] if pools else node.inputs[1].shape[2:]
    dilation = node.meta.get("dilation", (1,) * len(kernel))
    first = len(node.shape) - len(kernel)
    size, axes = [Fraction(s) for s in field.size], [*((),) * first, *field.axes[first:]]
    for place, f, s, d in zip(
        range(first, len(node.shape)), kernel, node.meta["stride"], dilation, strict=True
    ):
        _, axis, jump = _as_one(axes[place])
        if axis < 0:
            axes[place] = ()
            continue
        span = d * (f - 1) + 1
        size[axis] += (ceil(Fraction(span, s)) - 1 if spreads else span - 1) * jump
        jump = jump / s if spreads else jump * s
        axes[place] = (Step(node.shape[place], axis, jump),)
    return Field(tuple(map(ceil, size)), tuple(axes))


def _factor(part: Any, field: Field, left: bool) -> Field:
    """One factor of a matrix product: it is summed along its inner axis."""
    inner = len(part.shape) - (1 if left else 2)
    *batch, rows, columns = field.axes
    kept = (rows, ()) if left else ((), columns)
    return Field(field.over((inner,)), (*batch, *kept))


def _reduced(node: Any, field: Field, axes: Sequence[int]) -> Field:
    """The axes that are left; ``moments`` has one more in front."""
    left = [steps for axis, steps in enumerate(field.axes) if axis not in axes]
    new = len(node.shape) - len(left)
    return Field(field.over(axes), (*((),) * new, *left))


def _sliced(node: Any, field: Field) -> Field:
    axes = list(field.axes)
    for place, size, step in zip(*(node.meta[k] for k in ("axes", "sizes", "steps")), strict=True):
        if (axes[place] and size < sum(s.count for s in axes[place])) or step > 1:
            one = _as_one(axes[place])
            axes[place] = (Step(size, one.axis, one.jump * step),)
    return replace(field, axes=tuple(axes))


def _reshaped(field: Field, old: Sequence[int], new: Sequence[int]) -> Field:
    """The same steps, dealt out to the new axes from the innermost outwards."""
    steps = [
        step
        for steps, count in zip(field.axes, old, strict=True)
        for step in (steps or (Step(count),))
        if step.count != 1
    ]
    axes: list[Axis] = []
    for count in reversed(new):
        taken: list[Step] = []
        while count > 1 and steps:
            step = steps.pop()
            if step.count > count:
                if step.count % count:
                    return Field(field.whole, ((),) * len(new))
                outer = step._replace(count=step.count // count, jump=step.jump * count)
                steps.append(outer)
                step = step._replace(count=count)
            if count % step.count:
                return Field(field.whole, ((),) * len(new))
            taken.insert(0, step)
            count //= step.count
        axes.insert(0, tuple(taken) if any(step.axis >= 0 for step in taken) else ())
    return Field(field.size, tuple(axes))
