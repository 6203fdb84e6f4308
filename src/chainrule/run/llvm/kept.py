"""Finished plans as they run: made by the passes once, kept on disk as JSON for later processes.

A ``Recipe`` is what is left of a plan when its kernels are machine code: which of them, by their
keys in the cache, on which arrays, in which order.  Arrays are numbered: 0 is the error word, then
come the inputs, the outputs, the temporaries.

An entry that is damaged, of another version, or whose kernels are no longer in the cache is as good
as none: the plan is made again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

from chainrule.compile.memory import ALIGNMENT, late
from chainrule.compile.pipeline import compile_work, verifies_each
from chainrule.compile.plan import Host, Kernel, Plan, Value, dense_strides
from chainrule.compile.ref import Sizes
from chainrule.compile.work import Work, key
from chainrule.graph import Node
from chainrule.ops.op import REGISTRY
from chainrule.run.llvm.cache import default_cache, key_of
from chainrule.run.llvm.emit import Code, emit
from chainrule.run.llvm.engine import engine

__all__ = ["HostCall", "KernelCall", "Recipe", "found", "in_stages", "made"]

VERSION = 1  # of the entries
KERNEL = "kernel"  # what the function of each kernel's text is called
_MOST = 1 << 60  # bytes, elements and chunks are fewer


@dataclass(frozen=True)
class KernelCall:
    """A kernel by its key: in how many chunks, after how many of its tape's, on which arrays."""

    key: str
    chunks: int
    wait: int
    slots: Sizes


@dataclass(frozen=True)
class HostCall:
    """A node of the work, by its number, that the reference computes."""

    number: int
    inputs: Sizes
    output: int


@dataclass(frozen=True)
class Recipe:
    """What runs a ``Work``.

    temporaries: offset in the arena and size of each, bytes; outputs: the strides of each.
    late: checks come when something may have been written already.
    """

    arena: int
    temporaries: list[Sizes]
    outputs: list[Sizes]
    steps: list[KernelCall | HostCall]
    late: bool

    def addresses(self) -> list[int] | None:
        """Where the machine code of the kernels is now; ``None`` if some is not in the cache."""
        keys = [step.key for step in self.steps if isinstance(step, KernelCall)]
        return engine().known(keys, KERNEL)


# ---------------------------------------------------------------- from a plan


def made(work: Work) -> tuple[Recipe, Plan]:
    """The recipe of a work, by the passes; kept for later if it can be."""
    plan = compile_work(work)
    codes = {k: emit(k, engine().machine) for k in plan.kernels if isinstance(k, Kernel)}
    engine().functions([(code.text, KERNEL) for code in codes.values()])
    recipe = _recipe(work, plan, codes)
    place = _place(work)
    if place is not None:
        default_cache().put("plan", place, _content(recipe))
    return recipe, plan


def _recipe(work: Work, plan: Plan, codes: dict[Kernel, Code]) -> Recipe:
    entries: dict[Value, int] = {}
    for value in (*plan.inputs, *plan.outputs):
        entries[value] = 1 + len(entries)
    first = len(entries)
    steps = _steps(work, plan, codes, entries)
    temporaries = [(value.place, value.nbytes) for value in list(entries)[first:]]
    strides = [value.strides for value in plan.outputs]
    return Recipe(plan.arena, temporaries, strides, steps, late(plan))


def _steps(
    work: Work, plan: Plan, codes: dict[Kernel, Code], entries: dict[Value, int]
) -> list[KernelCall | HostCall]:
    """The kernels in their order; a temporary gets its number when it is first met."""
    steps: list[KernelCall | HostCall] = []
    tickets, wait, at = 0, 0, -1

    def numbers(values: Iterable[Value]) -> Sizes:
        return tuple(entries.setdefault(value, 1 + len(entries)) for value in values)

    for number in in_stages(plan):
        kernel = plan.kernels[number]
        if isinstance(kernel, Host):
            *inputs, output = numbers([*kernel.inputs, kernel.output])
            steps.append(HostCall(work.nodes.index(kernel.node), tuple(inputs), output))
            tickets, wait, at = 0, 0, -1  # another tape
            continue
        if plan.stages[number] != at:
            at, wait = plan.stages[number], tickets
        code = codes[kernel]
        key = engine().key(code.text, KERNEL)
        steps.append(KernelCall(key, code.chunks, wait, numbers(code.arguments)))
        tickets += code.chunks
    return steps


def in_stages(plan: Plan) -> list[int]:
    """The numbers of the kernels, as they run."""
    return sorted(range(len(plan.kernels)), key=lambda number: plan.stages[number])


# ---------------------------------------------------------------- on disk


def found(work: Work) -> Recipe | None:
    """The recipe of a work as it was kept; none with CHAINRULE_VERIFY=1, which looks at passes."""
    place = None if verifies_each() else _place(work)
    content = None if place is None else default_cache().get("plan", place)
    if content is None:
        return None
    try:
        return _read(content, work)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _place(work: Work) -> str | None:
    """The key of its entry; None for an op from elsewhere, whose source no key knows."""
    nodes = (*work.inputs, *work.nodes)
    if not all(_is_ours(node) for node in nodes):
        return None
    return key_of("plan", str(VERSION), key(work), repr(engine().machine))


def _is_ours(node: Node) -> bool:
    op = node.op
    ours = type(op).__module__.startswith("chainrule.ops.") and REGISTRY.get(op.name) is op
    return ours and _is_plain(list(node.meta.values()))


def _is_plain(meta: Any) -> bool:
    """Whether ``repr`` tells all of it."""
    if isinstance(meta, (tuple, list)):
        return all(map(_is_plain, meta))
    return meta is None or type(meta) in (bool, int, float, str)


def _content(recipe: Recipe) -> bytes:
    steps = [list(vars(step).values()) for step in recipe.steps]
    return json.dumps(vars(recipe) | {"steps": steps}, separators=(",", ":")).encode()


def _read(content: bytes, work: Work) -> Recipe:
    """Raises ValueError, TypeError or KeyError for what is no recipe of the work."""
    whole = json.loads(content)
    arena = _number(whole["arena"], 0, _MOST)
    temporaries = [_sizes(pair, 2) for pair in whole["temporaries"]]
    for offset, size in temporaries:
        _need(offset % ALIGNMENT == 0 and offset + size <= arena)
    outputs = [
        _sizes(strides, len(node.shape))
        for strides, node in zip(whole["outputs"], work.outputs, strict=True)
    ]
    for strides, node in zip(outputs, work.outputs, strict=True):
        order = sorted(range(len(strides)), key=lambda k: (-strides[k], -node.shape[k]))
        _need(dense_strides(node.shape, order) == strides)
    bytes_of = [_nbytes(node) for node in (*work.inputs, *work.outputs)]
    bytes_of += [size for _, size in temporaries]
    steps = list(_steps_of(whole["steps"], work, bytes_of))
    _need(type(whole["late"]) is bool)
    return Recipe(arena, temporaries, outputs, steps, whole["late"])


def _steps_of(rows: Any, work: Work, bytes_of: list[int]) -> Iterable[KernelCall | HostCall]:
    many, tickets = len(bytes_of), 0
    for row in rows:
        if len(row) == 4:
            key, chunks, wait, slots = row
            _need(type(key) is str)
            _number(wait, 0, tickets)
            tickets += _number(chunks, 1, _MOST)
            yield KernelCall(key, chunks, wait, _entries(slots, many))
        else:
            number, inputs, output = row
            node = work.nodes[_number(number, 0, len(work.nodes) - 1)]
            entries = _entries([*inputs, output], many)
            for entry, each in zip(entries, (*node.inputs, node), strict=True):
                _need(bytes_of[entry - 1] == _nbytes(each))
            yield HostCall(number, entries[:-1], output)
            tickets = 0


def _nbytes(node: Node) -> int:
    return prod(node.shape) * node.dtype.itemsize


def _entries(row: Any, most: int) -> Sizes:
    return tuple(_number(entry, 1, most) for entry in row)


def _sizes(row: Any, many: int) -> Sizes:
    _need(len(row) == many)
    return tuple(_number(size, 0, _MOST) for size in row)


def _number(number: Any, low: int, high: int) -> int:
    _need(type(number) is int and low <= number <= high)
    return number


def _need(true: bool) -> None:
    if not true:
        raise ValueError("no recipe")
