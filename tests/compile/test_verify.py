"""Each rule of a plan, broken once."""

import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import chainrule.run.llvm.backend as backend
from chainrule.compile import pipeline
from chainrule.compile.pipeline import compile_work
from chainrule.compile.plan import (
    Apply,
    Constant,
    Contract,
    Index,
    Kernel,
    Pick,
    Plan,
    Read,
    Reduce,
    Ref,
    Result,
    Value,
    Write,
)
from chainrule.compile.verify import PlanError, faults, verify
from chainrule.compile.work import Work
from chainrule.dtypes import bool_, float32, float64, int64
from chainrule.graph import Node
from chainrule.ops import REGISTRY, leaf
from chainrule.run import reference


def array(shape=(4, 3), dtype=float32, role="temp", place=0, label="t"):
    strides = tuple(int(np.prod(shape[k + 1 :])) for k in range(len(shape)))
    return Value(dtype, shape, strides, role, place, label)


def of_one(body, writes=None, inner=None, axes=(4, 3), **more):
    """A plan of one kernel that reads x and writes y; the rules that it breaks."""
    x, y = array(role="input", label="x"), array(role="output", label="y")
    body = [item(x) if callable(item) else item for item in body]
    inner = inner(x) if callable(inner) else inner
    written = [Write(Ref.whole(y), len(body) - 1)] if writes is None else writes(y)
    kernel = Kernel(axes, body, written, inner, **more)
    return list(faults(Plan([kernel], [x], [y], stages=[0])))


def read(x):
    return Read(float32, Ref.whole(x))


def test_a_right_plan_has_no_faults(plan):
    assert list(faults(plan)) == []
    assert of_one([read]) == []
    verify(plan, "memory")


# ---------------------------------------------------------------- order


def contract_of(plan):
    return next(k for k, kernel in enumerate(plan.kernels) if kernel.kind == "Contract")


def test_reads_before_writes(plan):
    plan.kernels.reverse()
    plan.stages = []
    assert any("before it is written" in fault for fault in faults(plan))


def test_reads_in_the_stage_of_the_write(plan):
    plan.stages = [0] * len(plan.stages)
    assert any(re.search(r"reads .* in the stage of k\d", fault) for fault in faults(plan))


def test_two_writers_in_one_stage(plan):
    last = plan.kernels[-1]
    plan.kernels.append(last)
    plan.stages.append(plan.stages[-1])
    assert any("in one stage" in fault for fault in faults(plan))


def test_writes_while_another_reads(plan):
    number = contract_of(plan)
    (value, *_) = [v for v in plan.kernels[number].reads() if v.role == "temp"]
    body = [Constant(value.dtype, 0.0)]
    plan.kernels.append(Kernel(value.shape, body, [Write(Ref.whole(value), 0)]))
    plan.stages.append(plan.stages[number])
    assert any("while k" in fault for fault in faults(plan))


def test_writes_an_input(plan):
    value = plan.inputs[0]
    body = [Constant(value.dtype, 0.0)]
    plan.kernels.append(Kernel(value.shape, body, [Write(Ref.whole(value), 0)]))
    plan.stages.append(plan.stages[-1] + 1)
    assert any("writes the input" in fault for fault in faults(plan))


def test_an_output_that_nobody_writes(plan):
    plan.outputs.append(array(role="output", place=9))
    assert [fault for fault in faults(plan) if "nobody writes output" in fault]


def test_an_input_is_read_after_its_update(plan):
    new, old = next(iter(plan.updates.items()))
    body = [Read(old.dtype, Ref.whole(old))]
    late = array(old.shape, role="output", place=len(plan.outputs))
    plan.outputs.append(late)
    plan.kernels.append(Kernel(old.shape, body, [Write(Ref.whole(late), 0)]))
    plan.stages.append(max(plan.stages) + 1)
    assert any(f"has written {new} in its place" in fault for fault in faults(plan))


def test_a_check_comes_after_a_write(plan):
    x = plan.inputs[0]
    wrong = Apply(bool_, REGISTRY["ne"], (0, 0))
    check = Kernel(x.shape, [Read(x.dtype, Ref.whole(x)), wrong], [], flags=((1, 1),))
    plan.kernels.append(check)
    plan.stages.append(0)
    assert any("has checked its inputs" in fault for fault in faults(plan))


# ---------------------------------------------------------------- memory


def test_temporaries_lie_in_the_same_bytes(plan):
    for kernel in plan.kernels:
        for value in kernel.written():
            if value.role == "temp":
                value.place = 0
    assert any("lie in the same bytes" in fault for fault in faults(plan))


def test_a_temporary_outside_of_the_arena(plan):
    plan.arena = 0
    assert any("outside of the arena" in fault for fault in faults(plan))


# ---------------------------------------------------------------- refs


def shifted(**more):
    return lambda x: Read(float32, replace(Ref.whole(x), **more))


@pytest.mark.parametrize(
    "body",
    [
        [shifted(offset=1)],
        [shifted(offset=-1)],
        [shifted(strides=(3, 2))],
        [shifted(strides=(-3, 1))],
        [Constant(int64, 0), lambda x: Pick(float32, Ref.whole(x), ((0, 1, 2),))],
    ],
)
def test_refs_stay_within_their_arrays(body):
    assert any(re.search(r"reads elements .* spans 12", fault) for fault in of_one(body))


def test_what_is_bounded_may_lead_out():
    assert of_one([lambda x: Read(float32, replace(Ref.whole(x).guarded([0]), offset=3))]) == []


def test_refs_run_over_the_kernel_s_axes():
    found = of_one([read], axes=(3, 4))
    assert found == [
        "k0 reads x[0 by 3,1] over (4, 3), and runs over (3, 4)",
        "k0 writes y[0 by 3,1] over (4, 3), and runs over (3, 4)",
    ]
    ref = [lambda x: Contract((2,), Ref.whole(x), Ref.whole(x))]
    assert any("runs over (4, 3, 2)" in fault for fault in of_one([Result(float32, 0)], None, *ref))


def test_two_places_write_one_element():
    def spread(y):
        return [Write(replace(Ref.whole(y), strides=(3, 0)), 0)]

    assert of_one([read], spread) == ["k0 writes an element of y: f32[4,3] at two places"]


# ---------------------------------------------------------------- types


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([lambda x: Read(float64, Ref.whole(x))], "v0 is called float64, and is float32"),
        ([read, Apply(float32, REGISTRY["add"], (0, 2))], "v1 = add uses v2"),
        ([read, Apply(float32, REGISTRY["lt"], (0, 0))], "v1 is called float32, and is bool"),
        ([Result(float32, 0)], "reads result 0 of 0"),
        ([Index(float32, 0)], "v0 is called float32, and is int64"),
        ([Index(int64, 2)], "the index of axis 2 of 2"),
        ([Index(int64, 0)], "writes int64 v0 to y"),
        ([read, lambda x: Pick(float32, Ref.whole(x), ((0, 1, 1),))], "index from v0"),
        ([read, Constant(int64, 1), Apply(float32, REGISTRY["where"], (1, 0, 0))], "v2"),
    ],
)
def test_terms_have_the_types_of_their_ops(body, says):
    assert any(says in fault for fault in of_one(body)), of_one(body)


def test_flags_are_bools_and_terms_are_there():
    assert "k0 has a flag on v0, which is no bool" in of_one([read], flags=((0, 1),))
    assert of_one([read], lambda y: [Write(Ref.whole(y), 3)]) == ["k0 writes term 3 of 1"]


def test_what_is_combined_is_there():
    def mean(x):
        wide = Ref.whole(x).over((4, 3, 2), [[1, 0, 0], [0, 1, 0]], [0, 0])
        return Reduce((2,), [Read(float32, wide)], (("mean", 0),))

    assert of_one([Result(float32, 0)], None, mean) == ["k0 combines term 0 by mean"]


def test_both_factors_have_one_type():
    def product(x):
        other = array(dtype=float64, role="input", label="w")
        wide = [[1, 0, 0], [0, 1, 0]]
        return Contract(
            (2,),
            Ref.whole(x).over((4, 3, 2), wide, [0, 0]),
            Ref.whole(other).over((4, 3, 2), wide, [0, 0]),
        )

    found = of_one([Result(float32, 0)], None, product)
    assert "k0 multiplies float32 with float64" in found


# ---------------------------------------------------------------- what becomes of a broken plan


def broken(kernels, outputs):
    return [kernel for kernel in kernels if not kernel.written() & set(outputs)]


def test_the_pass_that_broke_a_rule_is_named(work, monkeypatch):
    monkeypatch.setattr(pipeline, "fuse", broken)
    with pytest.raises(PlanError, match="after fusion: nobody writes output 0") as caught:
        compile_work(work)
    assert "k0  " in caught.value.report and "after fusion:" in caught.value.report
    monkeypatch.setenv("CHAINRULE_VERIFY", "0")
    with pytest.raises(PlanError, match="after memory"):
        compile_work(work)


def test_it_runs_by_the_reference_and_says_where_the_report_is(monkeypatch):
    x = Node(leaf.data, (), {}, (3,), float32)
    work = Work([Node(REGISTRY["neg"], (x,), {}, (3,), float32)], [x], [])
    work.outputs.append(work.nodes[0])
    monkeypatch.setattr(pipeline, "fuse", broken)
    with pytest.warns(UserWarning, match=r"breaks a rule after fusion.* by the reference") as told:
        built = backend.build(work)
    assert isinstance(built, reference.Evaluation)
    (result,) = built.run([np.arange(3, dtype=np.float32)], [None])
    assert result.tolist() == [0, -1, -2]
    path = re.search(r"The report is in (\S+)", str(told[0].message))[1]
    assert "nobody writes output 0" in Path(path).read_text()
    monkeypatch.undo()
    with warnings.catch_warnings(action="error"):
        assert isinstance(backend.build(work), backend.Machinery)
