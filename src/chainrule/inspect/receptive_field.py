"""What one value sees of the input: the receptive field of every node, from the graph's shapes.

A value's field is a box: ``size`` places along each spatial axis of the input, borders of padding
included.  Neighbouring values lie ``jump`` places apart.  Where paths meet, the smallest box around
the fields of all of them counts.  Each axis of a value is a row of *steps*, the outer one first: n
values that lie so far apart along one axis of the input, or along none (channels).  So an axis that
was flattened knows what it is made of, and who sums along it sees exactly that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from typing import Any, NamedTuple

from chainrule.graph import Node
from chainrule.inspect.walk import Walk
from chainrule.ops.op import Elementwise

__all__ = ["WINDOWS", "Field", "fields_from", "fields_of"]

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
    start: tuple[Fraction, ...]  # where the first value's field begins, before 0 for padding
    axes: tuple[Axis, ...]  # of the node

    @property
    def jump(self) -> tuple[int | float, ...] | None:
        """How far neighbouring values are apart; none where there is one, or where axes are mixed.

        >>> axes = ((), (), (Step(14, 0, Fraction(2)),), (Step(14, 1, Fraction(2)),))
        >>> Field((6, 6), (Fraction(0), Fraction(0)), axes).jump
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


Look = Callable[[Any], Any]  # the value of a leaf, None if it is not known


def fields_of(pass_: Walk) -> dict[Node, Field]:
    """The fields of all nodes that see the first input, if that has spatial axes."""
    nodes = [node for call in pass_.calls for node in call.nodes]
    nodes.sort(key=lambda node: node.sequence)
    return fields_from(pass_.inputs[0]._node, nodes, lambda node: node.value)


def fields_from(source: Node, nodes: Sequence[Node], look: Look) -> dict[Node, Field]:
    """The fields of the nodes that see the source; nodes: in order; look: values of leaves.

    Spatial axes are its last ones, as many as the first convolution or pooling moves along.
    """
    rank = next((len(n.shape) - 2 for n in nodes if n.op.name in WINDOWS), 0)
    if not rank or len(source.shape) not in (rank + 1, rank + 2):
        return {}
    first = len(source.shape) - rank
    walks = [(Step(source.shape[first + k], k, Fraction(1)),) for k in range(rank)]
    found: dict[Node, Field] = {
        source: Field((1,) * rank, (Fraction(0),) * rank, (*((),) * first, *walks))
    }
    for node in nodes:
        field = _field(node, found, look)
        if field is not None and node is not source:
            found[node] = field
    return found


def _field(node: Any, found: dict[Node, Field], look: Look) -> Field | None:
    """The field of a node, from those of its inputs."""
    name, seen = node.op.name, [(x, found[x]) for x in node.inputs if x in found]
    if not seen:
        return None
    x, field = seen[0]
    if isinstance(node.op, Elementwise) or name in ("flip", "concatenate"):
        return _union([f for _, f in seen], node.shape)
    if name == "pad":
        before = [-low for low, _ in node.meta["widths"]]
        return _moved(field, node.shape, before, [1] * len(before))
    if name in (*WINDOWS, "conv_input_grad"):
        return _windows(node, field)
    if name == "matmul":
        return _union([_factor(part, f, part is node.inputs[0]) for part, f in seen], node.shape)
    if name in ("sum", "amax", "amin", "moments", "logsumexp", "argmax"):
        axes = node.meta.get("axes") or (node.meta["axis"],)
        return _reduced(node, field, [axis % len(x.shape) for axis in axes])
    if name in ("cumsum", "log_softmax"):
        return replace(field, size=field.over((node.meta["axis"],)))
    if name == "permute":
        return replace(field, axes=tuple(field.axes[axis] for axis in node.meta["axes"]))
    if name == "expand":
        kept = zip(field.axes, x.shape, node.shape, strict=True)
        return replace(field, axes=tuple(steps if a == b else () for steps, a, b in kept))
    if name == "reshape":
        return _reshaped(field, x.shape, node.shape)
    if name == "slice":
        return _sliced(node, field, look)
    if name == "index" and len(node.inputs) == 2:
        places = None if node.inputs[1].inputs else look(node.inputs[1])
        if _grows(places):
            return _selected(node, field, places)
    return _anywhere(field, node.shape)


def _anywhere(field: Field, shape: Sequence[int]) -> Field:
    """Of an op that may fetch any value: all that is seen."""
    return Field(field.whole, field.start, ((),) * len(shape))


def _union(fields: Sequence[Field], shape: Sequence[int]) -> Field:
    """Where paths meet: the box around all fields, and for each axis the steps of the longest jump.

    Paths with other jumps, such as a global mean that scales every value, count by their size.
    """
    jumps = [f.jump for f in fields]
    like = [f for f, jump in zip(fields, jumps, strict=True) if jump == jumps[0]]
    start = tuple(min(at) for at in zip(*(f.start for f in like), strict=True))
    ends = [tuple(map(sum, zip(f.start, f.size, strict=True))) for f in like]
    size = [ceil(max(at) - low) for at, low in zip(zip(*ends, strict=True), start, strict=True)]
    size = tuple(max(sizes) for sizes in zip(size, *(f.size for f in fields), strict=True))
    axes: list[Axis] = []
    for place, count in enumerate(shape):
        options = [f.axes[place] for f in fields if len(f.axes) == len(shape) and f.axes[place]]
        best = max(options, key=lambda steps: _as_one(steps).jump, default=())
        if len(best) == 1:  # one of the parts of a concatenation
            best = (best[0]._replace(count=count),)
        axes.append(best)
    return Field(size, start, tuple(axes))


def _moved(field: Field, shape: Sequence[int], first: Sequence[Any], steps: Sequence[Any]) -> Field:
    """Along each axis the values that begin at ``first`` and are so many steps apart."""
    axes, start = list(field.axes), list(field.start)
    for place, (low, step) in enumerate(zip(first, steps, strict=True)):
        _, axis, jump = _as_one(axes[place])
        if axis >= 0 and (low or step != 1 or sum(s.count for s in axes[place]) != shape[place]):
            start[axis] += low * jump
            axes[place] = (Step(shape[place], axis, jump * step),)
    return Field(field.size, tuple(start), tuple(axes))


def _grows(known: Any) -> bool:
    """Whether the places that are fetched are known, and go on from place to place."""
    return (
        known is not None
        and known.ndim == 1
        and len(known) > 0
        and bool((known[1:] >= known[:-1]).all())
    )


def _selected(node: Any, field: Field, places: Any) -> Field:
    """Places along the first axis, as enlarging fetches them; what holds in the middle is told."""
    step = Fraction(node.inputs[0].shape[0], len(places))
    middle = len(places) // 2
    first = int(places[middle]) - step * middle
    rest = len(node.shape) - 1
    return _moved(field, node.shape, [first, *[0] * rest], [step, *[1] * rest])


def _windows(node: Any, field: Field) -> Field:
    """A window of span F and stride S: size + (F − 1)·jump, jump·S.

    A transposed convolution spreads by S instead: size + (⌈F / S⌉ − 1)·jump, jump / S.
    """
    pools, spreads = node.op.name.endswith("pool"), node.op.name == "conv_input_grad"
    kernel = node.meta["kernel"] if pools else node.inputs[1].shape[2:]
    dilation = node.meta.get("dilation", (1,) * len(kernel))
    first = len(node.shape) - len(kernel)
    size, axes = [Fraction(s) for s in field.size], [*((),) * first, *field.axes[first:]]
    start, padding = list(field.start), node.meta["padding"]
    for place, f, s, d, p in zip(
        range(first, len(node.shape)), kernel, node.meta["stride"], dilation, padding, strict=True
    ):
        _, axis, jump = _as_one(axes[place])
        if axis < 0:
            axes[place] = ()
            continue
        span = d * (f - 1) + 1
        size[axis] += (ceil(Fraction(span, s)) - 1 if spreads else span - 1) * jump
        start[axis] += -(span - 1 - p) // s * jump if spreads else -p * jump
        jump = jump / s if spreads else jump * s
        axes[place] = (Step(node.shape[place], axis, jump),)
    return Field(tuple(map(ceil, size)), tuple(start), tuple(axes))


def _factor(part: Any, field: Field, left: bool) -> Field:
    """One factor of a matrix product: it is summed along its inner axis."""
    inner = len(part.shape) - (1 if left else 2)
    *batch, rows, columns = field.axes
    kept = (rows, ()) if left else ((), columns)
    return Field(field.over((inner,)), field.start, (*batch, *kept))


def _reduced(node: Any, field: Field, axes: Sequence[int]) -> Field:
    """The axes that are left; ``moments`` has one more in front."""
    left = [steps for axis, steps in enumerate(field.axes) if axis not in axes]
    new = len(node.shape) - len(left)
    return Field(field.over(axes), field.start, (*((),) * new, *left))


def _sliced(node: Any, field: Field, look: Look) -> Field:
    first, steps = [0] * len(node.shape), [1] * len(node.shape)
    rows = zip(node.inputs[1:], *(node.meta[key] for key in ("axes", "steps")), strict=True)
    for low, place, step in rows:
        known = look(low)
        first[place] = 0 if known is None else int(known.item())
        steps[place] = step
    return _moved(field, node.shape, first, steps)


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
                    return _anywhere(field, new)
                outer = step._replace(count=step.count // count, jump=step.jump * count)
                steps.append(outer)
                step = step._replace(count=count)
            if count % step.count:
                return _anywhere(field, new)
            taken.insert(0, step)
            count //= step.count
        axes.insert(0, tuple(taken) if any(step.axis >= 0 for step in taken) else ())
    return replace(field, axes=tuple(axes))
