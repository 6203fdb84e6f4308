"""The passes in order: from a work to a plan.

What comes out is verified, for a tenth of the time that the passes take.  With CHAINRULE_VERIFY=1,
as in our tests, it is verified after each pass, which says who broke a rule.
"""

from __future__ import annotations

import os

import chainrule.compile.lowerings  # noqa: F401  fills the table of lowerings
from chainrule.compile.fuse import fuse
from chainrule.compile.lower import lower
from chainrule.compile.memory import arena, stages, unsafe_updates
from chainrule.compile.plan import Host, Kernel, Plan, Read, Ref, Value, Write
from chainrule.compile.verify import verify
from chainrule.compile.work import Work

__all__ = ["compile_work", "verifies_each"]


def verifies_each() -> bool:
    """Whether plans are verified after each pass, by the environment."""
    return os.environ.get("CHAINRULE_VERIFY", "0") not in ("", "0")


def compile_work(work: Work) -> Plan:
    """The plan of a work.

    Raises PlanError for a plan that breaks a rule: a defect of a pass.
    """
    each = verifies_each()
    lowered = lower(work)
    nodes = [*work.inputs, *work.nodes]
    plan = Plan(lowered.kernels, lowered.inputs, lowered.outputs, lowered.refs, nodes)
    if each:
        verify(plan, "lowering")
    plan.kernels = kernels = fuse(lowered.kernels, lowered.outputs)
    if each:
        verify(plan, "fusion")
    plan.updates = updates = {
        lowered.outputs[k]: lowered.inputs[j]
        for k, j in work.updates.items()
        if work.outputs[k] is not work.inputs[j]
    }
    for output in unsafe_updates(kernels, updates):
        final = _write_last(kernels, lowered.outputs, output)
        updates[final] = updates.pop(output)
    plan.stages = stages(kernels, updates)
    arena(plan)
    verify(plan, "memory")
    return plan


def _write_last(kernels: list[Kernel | Host], outputs: list[Value], output: Value) -> Value:
    """What cannot be written in place becomes a temporary, copied when all has been read."""
    place, label = output.place, output.label
    final = Value(output.dtype, output.shape, output.strides, "output", place, label)
    outputs[place] = final
    output.role, output.place = "temp", -1
    body = [Read(output.dtype, Ref.whole(output))]
    kernels.append(Kernel(output.shape, list(body), [Write(Ref.whole(final), 0)]))
    return final
