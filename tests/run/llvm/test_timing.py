import ctypes

import numpy as np

from chainrule.compile.cost import Cost, Speeds
from chainrule.compile.work import Work
from chainrule.dtypes import float32
from chainrule.graph import Node
from chainrule.ops import REGISTRY, leaf
from chainrule.run.llvm.backend import build
from chainrule.run.llvm.engine import engine
from chainrule.run.llvm.stream import _text, speeds, stream
from chainrule.run.llvm.timing import chunks_of, seconds_of_kernels


def test_kernels_and_host_nodes_are_timed():
    x = Node(leaf.data, (), {}, (300, 300), float32)
    product = Node(REGISTRY["matmul"], (x, x), {}, (300, 300), float32)
    sums = Node(REGISTRY["cumsum"], (product,), {"axis": 0}, (300, 300), float32)
    built = build(Work([product, sums], [x], [sums]))
    seconds, whole = seconds_of_kernels(built)
    kinds = [kernel.kind for kernel in built.plan.kernels]
    assert "Host" in kinds and "Contract" in kinds
    assert len(seconds) == len(kinds) and min(seconds) > 0 and whole > 0
    assert chunks_of(built)[kinds.index("Contract")] > 1
    assert chunks_of(built)[kinds.index("Host")] == 1


def test_the_stream_copies():
    lanes = engine().machine.vector // 4
    copy = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 2)(
        engine().function(_text(lanes), "stream")
    )
    source, to = np.arange(1024, dtype=np.float32), np.zeros(1024, np.float32)
    copy(to.ctypes.data, source.ctypes.data, 1024 - 128, 1)
    assert np.array_equal(to[:-128], source[:-128]) and not to[-128:].any()
    assert 1e8 < stream(1 << 16, 1, 0.001) < 1e13


def test_speeds_are_measured_once():
    found = speeds(1)
    assert speeds(1) is found and found.operations > 1e8 and found.cache > 0


def test_the_roofline():
    found = Speeds(operations=100.0, cached=10.0, memory=1.0, cache=50)
    assert found.seconds(Cost(1000, 10, 10)) == 10
    assert found.seconds(Cost(1000, 10, 10, itemsize=8)) == 20
    assert found.seconds(Cost(10, 20, 10)) == 3
    assert found.seconds(Cost(10, 60, 10)) == 70
