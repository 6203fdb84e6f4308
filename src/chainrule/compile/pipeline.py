"""The passes in order: from a work to a plan."""

from __future__ import annotations

import chainrule.compile.lowerings  # noqa: F401  fills the table of lowerings
from chainrule.compile.fuse import fuse
from chainrule.compile.lower import lower
from chainrule.compile.memory import arena, stages, unsafe_updates
from chainrule.compile.plan import Host, Kernel, Plan, Read, Ref, Value, Write
from chainrule.compile.work import Work

__all__ = ["compile_work"]


def compile_work(work: Work) -> Plan:
    """The plan of a work."""
    lowered = lower(work)
    kernels = fuse(lowered.kernels, lowered.outputs)
    updates = {
        lowered.outputs[k]: lowered.inputs[j]
        for k, j in work.updates.items()
        if work.outputs[k] is not work.inputs[j]
    }
    for output in unsafe_updates(kernels, updates):
        _write_last(kernels, lowered.outputs, output)
        updates[lowered.outputs[output.place]] = updates.pop(output)
    nodes = [*work.inputs, *work.nodes]
    plan = Plan(kernels, lowered.inputs, lowered.outputs, lowered.refs, nodes, updates)
    plan.stages = stages(kernels, updates)
    arena(plan)
    return plan


def _write_last(kernels: list[Kernel | Host], outputs: list[Value], output: Value) -> None:
    """What cannot be written in place becomes a temporary, copied when all has been read."""
    place, label = output.place, output.label
    final = Value(output.dtype, output.shape, output.strides, "output", place, label)
    outputs[place] = final
    output.role, output.place = "temp", -1
    body = [Read(output.dtype, Ref.whole(output))]
    kernels.append(Kernel(output.shape, list(body), [Write(Ref.whole(final), 0)]))
