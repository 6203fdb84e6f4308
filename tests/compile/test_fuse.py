"""Both rules as golden texts; fused or not, the bits are the same."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.compile import pipeline
from chainrule.compile.fuse import fuse, in_registers
from chainrule.compile.lower import lower
from chainrule.compile.plan import Plan
from chainrule.compile.printer import Printer
from chainrule.compile.verify import faults
from chainrule.compile.work import Work
from chainrule.dtypes import float32, int64
from chainrule.graph import Node, topological_order
from chainrule.ops import REGISTRY, leaf
from chainrule.run.llvm.backend import build


def data(*shape):
    return Node(leaf.data, (), {}, shape, float32)


def of(name, *inputs, **meta):
    op = REGISTRY[name]
    return Node(op, inputs, meta, *op.infer(*inputs, **meta))


def before_and_after(inputs, *outputs):
    """The assignments of all kernels, without and with fusion."""
    nodes = [node for node in topological_order(outputs) if node.inputs]
    lowered = lower(Work(nodes, list(inputs), list(outputs)))
    texts = []
    for kernels in (lowered.kernels, fuse(lowered.kernels, lowered.outputs)):
        plan = Plan(kernels, lowered.inputs, lowered.outputs, nodes=[*inputs, *nodes])
        assert list(faults(plan)) == []
        printer = Printer(plan)
        blocks = (printer.kernel_text(k).splitlines() for k in range(len(kernels)))
        texts.append([[line.strip() for line in block[:-1]] for block in blocks])
    return texts


def test_a_map_goes_to_its_producer():
    x, w, b = data(4, 3), data(3, 2), data(4, 2)
    product = of("matmul", x, w)
    y = of("relu", of("add", product, b))
    lowered, fused = before_and_after([x, w, b], y)
    assert [block[0] for block in lowered] == ["k0  Contract", "k1  Map", "k2  Map"]
    assert fused == [
        [
            "k0  Contract",
            "%3 matmul f32[4,2]",
            "%4 add f32[4,2]",
            "%5 relu f32[4,2]",
            "loops  (4,2), each a sum over (3) as a chain",
            "a  = %0 f32[4,3], by (3,0 | 1)",
            "b  = %1 f32[3,2], by (0,1 | 2)",
            "s0 = sum of a * b",
            "r1 = %2 f32[4,2]",
            "v3 = relu(s0 + r1)",
            "%5 f32[4,2] = v3",
        ]
    ]


def test_a_map_goes_into_the_reduce_that_alone_reads_it():
    x, m = data(4, 3), data(4, 3)
    y = of("sum", of("exp", of("sub", x, m)), axes=(1,))
    lowered, fused = before_and_after([x, m], y)
    assert [block[0] for block in lowered] == ["k0  Map", "k1  Map", "k2  Reduce"]
    assert fused == [
        [
            "k0  Reduce",
            "%2 sub f32[4,3]",
            "%3 exp f32[4,3]",
            "%4 sum f32[4]",
            "loops  (4), each a sum over (3) as a chain",
            "r0 = %0 f32[4,3]",
            "r1 = %1 f32[4,3]",
            "v3 = exp(r0 - r1)",
            "s4 = sum of v3",
            "%4 f32[4] = s4",
        ]
    ]


def test_a_map_stays_beside_a_reduce_that_others_read_too():
    x = data(4, 3)
    y = of("exp", x)
    _, fused = before_and_after([x], of("sum", y, axes=(1,)), y)
    assert sorted(block[0].split()[1] for block in fused) == ["Map", "Reduce"]


def test_what_nobody_reads_any_more_is_not_written():
    x = data(4, 3)
    y = of("exp", x)
    mask = of("le", y, data(4, 3))
    _, (fused,) = before_and_after([x, mask.inputs[1]], of("where", mask, y, x))
    assert sum(" = v" in line and line.startswith("%") for line in fused) == 1


# ---------------------------------------------------------------- bits

UNARY = ["relu", "exp", "tanh", "neg", "square"]
BINARY = ["add", "sub", "mul", "maximum"]


@st.composite
def works(draw):
    """A few ops on matrices of odd sizes; everything that nobody reads is an output."""
    rows, columns = draw(st.integers(1, 19)), draw(st.integers(1, 19))
    inputs = [data(rows, columns), data(rows, columns)]
    known, nodes = list(inputs), []
    for _ in range(draw(st.integers(2, 7))):
        x = draw(st.sampled_from(known))
        kind = draw(st.sampled_from(["unary", "binary", "turn", "sum", "matmul", "flip", "cut"]))
        if kind == "unary":
            made = [of(draw(st.sampled_from(UNARY)), x)]
        elif kind == "binary":
            others = [y for y in known if y.shape == x.shape]
            made = [of(draw(st.sampled_from(BINARY)), x, draw(st.sampled_from(others)))]
        elif kind == "turn":
            made = [of("permute", x, axes=(1, 0))]
        elif kind == "flip":
            made = [of("flip", x, axes=(draw(st.integers(0, 1)),))]
        elif kind == "cut":
            size = draw(st.integers(1, x.shape[1]))
            number = Node(leaf.number, (), {"fixed": x.shape[1] - size}, (), int64)
            made = [of("slice", x, number, axes=(1,), sizes=(size,), steps=(1,))]
            inputs.append(number)
        elif kind == "sum":
            axis = draw(st.integers(0, 1))
            total = of("sum", x, axes=(axis,))
            kept = tuple(1 if k == axis else n for k, n in enumerate(x.shape))
            row = of("reshape", total, shape=kept)
            made = [total, row, of("expand", row, shape=x.shape)]
        else:
            other = draw(st.sampled_from(known))
            turned = of("permute", other, axes=(1, 0))
            if other.shape[1] != x.shape[1]:
                continue
            made = [turned, of("matmul", x, turned)]
        nodes += made
        known.append(made[-1])
    read = {source for node in nodes for source in node.inputs}
    outputs = [node for node in nodes if node not in read]
    return Work(nodes, inputs, outputs)


@settings(max_examples=25)
@given(works(), st.integers(0, 99))
def test_fused_or_not_the_bits_are_the_same(work, seed):
    if not work.outputs:
        return
    rng = np.random.default_rng(seed)
    arrays = [
        np.array(node.meta["fixed"])
        if "fixed" in node.meta
        else (rng.standard_normal(node.shape) / 4).astype(np.float32)
        for node in work.inputs
    ]
    places = [None] * len(work.outputs)
    fused = build(work).run(arrays, places)
    original = pipeline.fuse
    pipeline.fuse = lambda kernels, outputs: list(kernels)
    try:
        plain = build(work)
    finally:
        pipeline.fuse = original
    for a, b in zip(fused, plain.run(arrays, places), strict=True):
        assert a.tobytes() == b.tobytes()


def test_what_no_array_holds_is_in_registers():
    x, w, b = data(8, 4), data(4, 3), data(3)
    product = of("matmul", x, w)
    total = of("add", product, of("expand", of("reshape", b, shape=(1, 3)), shape=(8, 3)))
    result = of("relu", total)
    flat = of("reshape", total, shape=(24,))

    def registers(*outputs):
        nodes = [node for node in topological_order(outputs) if node.inputs]
        plan = pipeline.compile_work(Work(nodes, [x, w, b], list(outputs)))
        return in_registers(plan, outputs), plan

    found, plan = registers(result)
    assert found.keys() == {product, total}
    assert all(plan.kernels[kernel].nodes == [product, total, result] for kernel in found.values())
    assert registers(result, product)[0].keys() == {total}
    assert registers(result, flat)[0].keys() == {product}  # a view of an array that is stored
