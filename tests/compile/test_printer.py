import re

from chainrule.compile.pipeline import compile_work
from chainrule.compile.plan import Kernel
from chainrule.compile.printer import Printer
from chainrule.compile.work import Work
from chainrule.dtypes import float32, int64
from chainrule.graph import Node
from chainrule.ops import REGISTRY, leaf

FORWARD = """\
k1  Contract  stage 1
    %9 matmul f32[4,2]  0/Linear
    %12 add f32[4,2]  0/Linear
    %13 relu f32[4,2]  1/ReLU
    %14 sub f32[4,2]  MSELoss
    %15 square f32[4,2]  MSELoss
    %19 mul f32[4,2]  MSELoss
    %20 mul f32[4,2]  MSELoss
    %21 le bool[4,2]  1/ReLU
    %22 where f32[4,2]  1/ReLU
    loops  (4,2), each a sum over (3) as a chain
    a  = %0 f32[4,3], by (3,0 | 1)
    b  = t0 f32[3,2], by (0,1 | 2)
    s0 = sum of a * b
    r1 = 0.bias f32[2], by (0,1)
    v3 = relu(s0 + r1)
    r4 = %1 f32[4,2]
    v5 = v3 - r4
    v6 = square(v5)
    r9 = %4 f32[]
    v13 = where(v3 <= 0, 0, r9 * (v5 * 2))
    %15 f32[4,2] = v6
    %22 f32[4,2] = v13
    104 FLOP, reads 116 B, writes 64 B"""

UPDATE = """\
k4  Reduce  stage 2
    %23 sum f32[2]  0/Linear
    %31 mul f32[2]  SGD
    %32 sub f32[2]  SGD
    loops  (2), each a sum over (4), the last in 16 lanes
    r0 = %22 f32[4,2], by (1 | 2)
    s1 = sum of r0
    r2 = %7 f32[]
    r4 = 0.bias f32[2]
    v5 = r4 - (s1 * r2)
    %32 f32[2] = v5
    12 FLOP, reads 44 B, writes 8 B"""

MEMORY = """\
output   %30 f32[2,3], in the place of 0.weight
output   %32 f32[2], in the place of 0.bias
output   %16 f32[]"""


def data(*shape, dtype=float32, name=None):
    return Node(leaf.data, (), {}, shape, dtype, name=name)


def of(name, *inputs, **meta):
    op = REGISTRY[name]
    return Node(op, inputs, meta, *op.infer(*inputs, **meta))


def text_of(inputs, *nodes):
    return str(compile_work(Work(list(nodes), list(inputs), [nodes[-1]])))


def test_a_step_as_text(plan):
    text = str(plan)
    assert text.startswith("5 kernels in 3 stages for 25 nodes: 184 FLOP, 448 B moved\n\nk0  Map")
    assert FORWARD in text.split("\n\n") and UPDATE in text.split("\n\n")
    assert text.endswith(MEMORY)
    memory = r"^memory   [\d.]+ kB at most, beside the inputs\narena    \d+ B\n"
    assert re.search(memory + r"input    %0 f32\[4,3\]\n", text, re.MULTILINE)


def test_every_kernel_and_every_array_is_there(plan):
    printer, text = Printer(plan), str(plan)
    for number, kernel in enumerate(plan.kernels):
        assert f"k{number}  {kernel.kind}" in text
        assert all(f"    {printer.name(v)} " in text for v in kernel.written())
    names = {v: printer.name(v) for kernel in plan.kernels for v in kernel.written()}
    assert len(set(names.values())) == len(names)


def test_what_is_said_besides(plan):
    notes = [f"{k} chunks" for k in range(len(plan.kernels))]
    assert "writes 8 B, 4 chunks" in Printer(plan).plan_text(notes)


def test_layouts_are_said():
    x, w = data(64, 2, 5, 5), data(3, 2, 3, 3)
    node = of("conv", x, w, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1)
    text = text_of([x, w], node, of("relu", node))
    assert re.search(r"f32\[64,3,3,3\] as \(\d,\d,\d,\d\)", text)


def test_names_of_inputs_stay_apart():
    a, b, c = data(3, name="w"), data(3, name="w"), data(3, name="bias")
    total = of("add", a, b)
    text = text_of([a, b, c], total, of("mul", total, c))
    assert "r0 = %0 f32[3]" in text and "r1 = %1 f32[3]" in text and "bias f32[3]" in text


def test_places_that_are_data():
    table, index = data(9, 4), data(5, dtype=int64)
    text = text_of([table, index], of("index", table, index))
    assert re.search(r"r\d = %0 f32\[9,4\], by .*, at .* of 9 by 4", text)
    assert re.search(r"stop where .*: a value that %2 refuses", text)


def test_a_node_of_the_reference():
    x = data(4, 3)
    text = text_of([x], of("cumsum", x, axis=0))
    assert "k0  Host  stage 0\n    %1 cumsum f32[4,3]\n    reads  %0 f32[4,3]\n" in text
    assert "by the reference" in text and "FLOP, reads" not in text.split("\n\n")[1]


def test_a_wrong_plan_can_be_printed(plan):
    for kernel in plan.kernels:
        if isinstance(kernel, Kernel):
            kernel.body.clear()
    assert "= ?" in str(plan)
