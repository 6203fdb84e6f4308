"""What entered a step from outside, where a script has prepared it by hand.

A trainer's batch enters as data.  A script often computes its own: ``x = torch.randn(64, 8)`` far
above, ``model(x[i : i + 16])`` in the loop.  Then the graph begins at a draw of random numbers, or
at the slice of a whole data set, and no array in it has the batch's size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chainrule.graph import Node
from chainrule.ops import leaf
from chainrule.tape.tape import Tape, _Step

__all__ = ["entered"]

SELECTED = "slice", "index"  # x[i : i + 16], x[permutation]


def entered(tape: Tape) -> Tape:
    """The same step, with what the script prepared before the model as data.

    >>> import chainrule as cr
    >>> x, w = cr.rand(64, 3), cr.rand(3, 3, requires_grad=True)
    >>> with cr.record() as tape:
    ...     (x[:16] @ w).sum().backward()
    >>> [(node.op.name, node.shape) for node in entered(tape)._step.order]
    [('data', (16, 3)), ('parameter', (3, 3)), ('matmul', (16, 3)), ('sum', ())]
    """
    step = tape._step
    data = _prepared(step.order)
    if not data:
        return tape
    ends = {*step.losses, *(call.twin for call in step.calls), *step.bars}
    new = _rebuilt(step.order, data, _needed(ends, data))
    made = _Step(step.number)
    made.order = list(new.values())
    made.calls = [call._replace(twin=new[call.twin]) for call in step.calls]
    made.losses, made.together = [new[loss] for loss in step.losses], step.together
    made.holds = {new[node]: hold for node, hold in step.holds.items() if node in new}
    made.bars = {new[node]: bar for node, bar in step.bars.items()}
    made.addends = {new[node]: addends for node, addends in step.addends.items()}
    rebuilt = Tape()
    rebuilt._step = made
    return rebuilt


def _prepared(order: Sequence[Node]) -> set[Node]:
    """What was computed before the step, drawn outside of any module, or chosen from such."""
    of_parameters: set[Node] = set()
    found: set[Node] = set()
    read_whole = {
        source
        for node in order
        if not (node.op.name == "reshape" and len(node.shape) < len(node.inputs[0].shape))
        for source in node.inputs
    }
    for node in order:
        if node.op is leaf.parameter or any(source in of_parameters for source in node.inputs):
            of_parameters.add(node)
        elif isinstance(node.op, leaf.Leaf) or not node.shape:
            continue
        elif not node.inputs or (not node.scope and _drawn(node, found)):
            found.add(node)
        elif node.op.name in SELECTED and node in read_whole:
            source = node.inputs[0]
            fewer = node.shape[:1] != source.shape[:1] and len(node.shape) == len(source.shape)
            if fewer and (source in found or source.op is leaf.data):
                found.add(node)
    return found


def _drawn(node: Node, found: set[Node]) -> bool:
    """Whether it is a draw of random numbers, or computed from such alone."""
    return node.op.name == "random_bits" or all(
        source in found or source.op is leaf.number for source in node.inputs
    )


def _needed(ends: set[Node], data: set[Node]) -> set[Node]:
    found, waiting = set(ends), list(ends)
    while waiting:
        node = waiting.pop()
        sources = () if node in data else node.inputs
        waiting += [source for source in sources if source not in found]
        found.update(sources)
    return found


def _rebuilt(order: Sequence[Node], data: set[Node], needed: set[Node]) -> Mapping[Node, Node]:
    new: dict[Node, Node] = {}
    for node in order:
        if node not in needed:
            continue
        cut = node in data
        new[node] = Node(
            leaf.data if cut else node.op,
            () if cut else tuple(new[source] for source in node.inputs),
            {} if cut else node.meta,
            node.shape,
            node.dtype,
            name=node.name,
            scope="" if cut else node.scope,
            line=node.line,
        )
    return new
