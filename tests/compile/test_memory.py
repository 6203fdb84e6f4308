"""Stages and the arena: nothing is overwritten that is still to be read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.compile.memory import ALIGNMENT, arena, late, stages, unsafe_updates
from chainrule.compile.pipeline import compile_work
from chainrule.compile.plan import Constant, Kernel, Plan, Read, Ref, Value, Write
from chainrule.compile.verify import faults
from chainrule.compile.work import Work
from chainrule.dtypes import float32
from chainrule.errors import UsageError
from chainrule.graph import Node
from chainrule.ops import REGISTRY, leaf
from chainrule.run.llvm.backend import build


def of(name, *inputs, **meta):
    op = REGISTRY[name]
    return Node(op, inputs, meta, *op.infer(*inputs, **meta))


def copy(source, target):
    body = [Read(float32, Ref.whole(source)) if source else Constant(float32, 0.0)]
    return Kernel(target.shape, body, [Write(Ref.whole(target), 0)])


@st.composite
def kernels(draw):
    """Sums of what was made before, of any size."""
    made, found = [], []
    for number in range(draw(st.integers(1, 14))):
        size = draw(st.integers(1, 200))
        target = Value(float32, (size,), (1,), label=f"t{number}")
        sources = draw(st.lists(st.sampled_from(made), max_size=3)) if made else []
        body = [
            Read(float32, Ref(source, (size,), (0,), draw(st.integers(0, source.shape[0] - 1))))
            for source in sources
        ] or [Constant(float32, 0.0)]
        found.append(Kernel((size,), body, [Write(Ref.whole(target), 0)]))
        made.append(target)
    return found


@given(kernels())
def test_what_is_alive_does_not_overlap(kernels):
    plan = Plan(kernels, [], [])
    plan.stages = stages(kernels, {})
    arena(plan)
    assert list(faults(plan)) == []
    owner = {}  # of each byte, as the stages go by
    for stage in range(max(plan.stages) + 1):
        now = [k for k, at in zip(kernels, plan.stages, strict=True) if at == stage]
        for kernel in now:
            for value in kernel.reads():
                assert all(owner[b] is value for b in range(value.place, value.place + 4))
        for kernel in now:
            (value,) = kernel.written()
            assert value.place % ALIGNMENT == 0
            assert value.place + value.nbytes <= plan.arena
            owner |= dict.fromkeys(range(value.place, value.place + value.nbytes), value)


def test_memory_is_used_again():
    values = [Value(float32, (1000,), (1,), label=f"t{k}") for k in range(6)]
    chain = [copy(a, b) for a, b in zip([None, *values], values, strict=False)]
    plan = Plan(chain, [], [])
    plan.stages = stages(chain, {})
    arena(plan)
    assert plan.stages == [0, 1, 2, 3, 4, 5]
    assert plan.arena == 2 * 4032  # where it is read, and where it is written


def state(shape=(3, 3)):
    return Node(leaf.data, (), {}, shape, float32)


def test_parts_of_a_value_are_written_side_by_side():
    whole = Value(float32, (9,), (1,), role="output", label="y")

    def part(start, size):
        ref = Ref(whole, (size,), (1,), start)
        return Kernel((size,), [Constant(float32, 1.0)], [Write(ref, 0)])

    parts = [part(0, 3), part(3, 4), part(7, 2)]
    plan = Plan([*parts, part(2, 2)], [], [whole])
    plan.stages = stages(plan.kernels, {})
    assert plan.stages == [0, 0, 0, 1]  # the last has an element of the first and of the second
    assert not list(faults(plan))
    plan.stages = [0, 0, 0, 0]
    assert any("in one stage" in fault for fault in faults(plan))


def test_an_update_in_place_waits_for_those_who_read():
    s, x = state(), state()
    new = of("add", s, x)
    other = of("matmul", s, x)
    plan = compile_work(Work([new, other], [s, x], [new, other], {0: 0}))
    writer = next(k for k, kernel in enumerate(plan.kernels) if plan.outputs[0] in kernel.written())
    readers = [k for k, kernel in enumerate(plan.kernels) if plan.inputs[0] in kernel.reads()]
    assert plan.updates == {plan.outputs[0]: plan.inputs[0]} and len(readers) >= 2
    assert all(plan.stages[k] < plan.stages[writer] for k in readers if k != writer)


@pytest.mark.parametrize("in_place", [False, True])
def test_what_can_t_be_written_in_place_is_copied_last(in_place):
    s, x = state(), state()
    new = of("add", of("permute", s, axes=(1, 0)), x)  # reads elsewhere than it writes
    after = of("matmul", s, new)
    work = Work([new.inputs[0], new, after], [s, x], [new, after], {0: 0})
    built = build(work)
    assert built.plan.updates == {built.plan.outputs[0]: built.plan.inputs[0]}
    a = np.arange(9, dtype=np.float32).reshape(3, 3)
    b = np.ones((3, 3), np.float32)
    held = a.copy()
    first, second = built.run([held, b], [held if in_place else None, None])
    assert np.array_equal(first, a.T + b) and np.array_equal(second, a @ (a.T + b))
    assert (first is held) == in_place


def test_which_updates_are_unsafe():
    old = Value(float32, (4,), (1,), "input", 0)
    new, temp = Value(float32, (4,), (1,), "output", 0), Value(float32, (4,), (1,))
    right, after = copy(old, new), copy(old, temp)
    assert unsafe_updates([right], {new: old}) == set()
    assert unsafe_updates([after, right], {new: old}) == set()
    assert unsafe_updates([right, after], {new: old}) == {new}
    backwards = Kernel((4,), [Read(float32, Ref(old, (4,), (-1,), 3))], [Write(Ref.whole(new), 0)])
    assert unsafe_updates([backwards], {new: old}) == {new}
    assert unsafe_updates([right, copy(None, new)], {new: old}) == {new}


def test_an_update_waits_for_checks_of_what_is_computed():
    s, x = state(), state()
    p = of("probability", of("mul", x, x), role="input")
    new = of("add", s, x)  # depends on no check
    work = Work([p.inputs[0], p, new], [s, x], [new, p], {0: 0})
    plan = compile_work(work)
    (check,) = [k for k, kernel in enumerate(plan.kernels) if kernel.flags]
    (writer,) = [k for k, kernel in enumerate(plan.kernels) if plan.outputs[0] in kernel.written()]
    assert 0 < plan.stages[check] < plan.stages[writer] and not late(plan)
    held = np.ones((3, 3), np.float32)
    with pytest.raises(UsageError, match="got 4 at index"):
        build(work).run([held, np.full((3, 3), 2, np.float32)], [held, None])
    assert (held == 1).all()
    build(work).run([held, np.full((3, 3), 0.5, np.float32)], [held, None])
    assert (held == 1.5).all()


def test_a_check_beside_an_update_is_late():
    old, new = Value(float32, (4,), (1,), "input", 0), Value(float32, (4,), (1,), "output", 0)
    temp = Value(float32, (4,), (1,))
    check = Kernel((4,), [Read(float32, Ref.whole(temp))], [], flags=((0, 1),))
    for kernels, wanted in (
        ([copy(old, temp), check, copy(old, new)], False),
        ([copy(old, new), copy(old, temp), check], True),
        ([copy(old, new), copy(old, temp)], False),
    ):
        plan = Plan(kernels, [old], [new], updates={new: old})
        plan.stages = stages(kernels, plan.updates)
        assert late(plan) == wanted
