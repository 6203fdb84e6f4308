"""Stages and memory: what may run side by side, and where temporaries lie.

before: kernels in order, temporaries without a place
after:  each kernel has a stage; those of one stage do not depend on each other; temporaries that
        are not alive in the same stage share bytes of one arena
"""

from __future__ import annotations

from chainrule.compile.plan import Host, Kernel, Plan, Read, Spans, Value, meet

__all__ = ["ALIGNMENT", "ROW", "arena", "late", "most", "stages", "unsafe_updates"]

ALIGNMENT = 64  # bytes: a cache line, and the widest vector
ROW = 256  # calls whose one number, a loss, lies in one row


def stages(kernels: list[Kernel | Host], updates: dict[Value, Value]) -> list[int]:
    """The stage of each kernel: after who writes what it reads, and who reads what it writes.

    Kernels that write parts of one value, as those of a concatenation do, may stand side by side.

    Checks of what comes from outside are the first stage: before them nothing is written.
    ``updates``: outputs that may lie in an input's memory, so that the input's readers, and all
    checks before, come first.
    """
    written: dict[Value, int] = {}  # the stage after which the value is there
    parts: dict[Value, list[tuple[int, Spans]]] = {}  # of a value, and their stages
    read: dict[Value, int] = {}
    found: list[int] = []
    least = 0  # nothing stands beside a Host kernel
    checked = -1  # the last stage with a check
    early = any(isinstance(k, Kernel) and k.flags for k in kernels)
    for kernel in kernels:
        checks = isinstance(kernel, Kernel) and bool(kernel.flags)
        first = checks and not any(value in written for value in kernel.reads())
        stage = 0 if first else max(least, int(early))
        for value in kernel.reads():
            stage = max(stage, written.get(value, -1) + 1)
        for value in kernel.written():
            old = updates.get(value)
            if old is not None:
                stage = max(stage, checked + 1)
            spans = kernel.spans(value)
            before = (s for s, others in parts.get(value, ()) if meet(spans, others))
            stage = max([stage, read.get(value, -1) + 1, *(s + 1 for s in before)])
            if old is not None and old not in kernel.reads():
                stage = max(stage, read.get(old, -1) + 1)
            elif old is not None:
                others = read.get(old, -1)
                stage = max(stage, others + 1)
        if isinstance(kernel, Host):
            stage = max([stage, *(s + 1 for s in found)])
            least = stage + 1
        for value in kernel.reads():
            read[value] = max(read.get(value, -1), stage)
        for value in kernel.written():
            written[value] = max(written.get(value, -1), stage)
            parts.setdefault(value, []).append((stage, kernel.spans(value)))
        if checks:
            checked = max(checked, stage)
        found.append(stage)
    return found


def unsafe_updates(kernels: list[Kernel | Host], updates: dict[Value, Value]) -> set[Value]:
    """Outputs that must not lie where the input does which they update.

    Safe: one kernel writes it, each element where it alone has read the old one, and no later
    kernel reads the old value.
    """
    unsafe: set[Value] = set()
    writing: dict[Value, list[int]] = {}
    reading: dict[Value, list[int]] = {}
    for number, kernel in enumerate(kernels):
        for value in kernel.written():
            writing.setdefault(value, []).append(number)
        for value in kernel.reads():
            reading.setdefault(value, []).append(number)
    for new, old in updates.items():
        writers, readers = writing.get(new, []), reading.get(old, [])
        if len(writers) != 1 or any(k > writers[0] for k in readers):
            unsafe.add(new)
            continue
        kernel = kernels[writers[0]]
        if writers[0] in readers and not _same_places(kernel, new, old):
            unsafe.add(new)
    return unsafe


def _same_places(kernel: Kernel | Host, new: Value, old: Value) -> bool:
    """Whether each element of ``old`` is read where that of ``new`` is written, and only there."""
    if isinstance(kernel, Host):
        return False
    (write,) = [write for write in kernel.writes if write.ref.value is new]
    if write.picks:
        return False
    plain = [item.ref for item in kernel.body if isinstance(item, Read) and item.ref.value is old]
    if len(plain) != sum(ref.value is old for ref in kernel.refs()):
        return False
    return all(
        ref.strides == write.ref.strides and ref.offset == write.ref.offset and not ref.bounds
        for ref in plain
    )


def arena(plan: Plan) -> None:
    """Give each temporary its place: first fit, the largest first."""
    alive: dict[Value, tuple[int, int]] = {}
    for kernel, when in zip(plan.kernels, plan.stages, strict=True):
        for value in kernel.reads() | kernel.written():
            if value.role == "temp":
                first, last = alive.get(value, (when, when))
                alive[value] = (min(first, when), max(last, when))
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first stage, last stage
    for value in sorted(alive, key=lambda v: (-v.nbytes, *alive[v], v.label)):
        first, last = alive[value]
        size = -(-max(value.nbytes, 1) // ALIGNMENT) * ALIGNMENT
        at = 0
        for offset, end, begun, done in sorted(placed):
            if begun <= last and first <= done and at < end and offset < at + size:
                at = end
        value.place = at
        placed.append((at, at + size, first, last))
        plan.arena = max(plan.arena, at + size)


def late(plan: Plan) -> bool:
    """Whether a check comes when something may be written already: all results lie apart then."""
    checked, first = -1, len(plan.kernels)
    for kernel, stage in zip(plan.kernels, plan.stages, strict=False):  # none, if unfinished
        if isinstance(kernel, Host):
            return True
        if kernel.flags:
            checked = max(checked, stage)
        if any(value in plan.updates for value in kernel.written()):
            first = min(first, stage)
    return checked >= first


def most(plan: Plan) -> int:
    """The most bytes that the engine will hold for a step, beside its inputs.

    The arena; results that do not lie in the place of an input, until they are handed over; a tape
    and two tables of addresses: its own, and that of the calls it is bound to.
    """
    values, slots, rows = {*plan.inputs, *plan.outputs}, 0, 0
    for kernel in plan.kernels:
        touched = kernel.reads() | kernel.written()
        values |= touched
        if isinstance(kernel, Kernel):
            slots, rows = slots + len(touched), rows + 1
    apart = late(plan)
    new = [value for value in plan.outputs if apart or value not in plan.updates]
    number = len(new) == 1 and not new[0].shape and not apart
    results = ROW * new[0].dtype.itemsize if number else sum(value.nbytes for value in new)
    addresses = 2 * (1 + len(values)) + 4 * rows + slots
    return plan.arena + results + 8 * addresses + 2 * ALIGNMENT
