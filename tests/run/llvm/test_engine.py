import ctypes
import platform

import numpy as np
import pytest

from chainrule.errors import GraphError
from chainrule.run.llvm.engine import engine

FMA = """
declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
define void @kernel(ptr %a, ptr %b, i64 %n) {
  %x = load <16 x float>, ptr %a, align 4
  %y = call <16 x float> @llvm.fma.v16f32(<16 x float> %x, <16 x float> %x, <16 x float> %x)
  store <16 x float> %y, ptr %a, align 4
  call void @llvm.memset.p0.i64(ptr %b, i8 0, i64 %n, i1 false)
  ret void
}
"""


def number(value):
    return f"define i64 @kernel() {{ ret i64 {value} }}"


def call(address):
    return ctypes.CFUNCTYPE(ctypes.c_int64)(address)()


def run_fma():
    a, b = np.linspace(-2, 2, 16, dtype=np.float32), np.ones(1000, np.float32)
    x = a.astype(np.float64)
    kernel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    kernel(engine().function(FMA, "kernel"))(a.ctypes.data, b.ctypes.data, b.nbytes)
    assert a.tolist() == (x * x + x).astype(np.float32).tolist()
    assert not b.any()


def test_a_kernel_and_what_llvm_calls_for_it():
    run_fma()


def test_a_text_is_compiled_once():
    before = engine().stats()
    first = engine().function(number(71), "kernel")
    assert engine().function(number(71), "kernel") == first
    after = engine().stats()
    assert after.compiled + after.loaded == before.compiled + before.loaded + 1


def test_kernels_of_one_name_beside_each_other():
    texts = [(number(n), "kernel") for n in (1, 2, 3, 2)]
    addresses = engine().functions(texts)
    assert [call(address) for address in addresses] == [1, 2, 3, 2]
    assert len(set(addresses)) == 3


def test_the_machine():
    machine = engine().machine
    assert machine.vector in (16, 32, 64) and machine.registers in (16, 32)
    assert machine.cores >= 1 and 4096 <= machine.l1 <= machine.l2
    if platform.machine() == "x86_64":
        assert ("+avx2" in machine.features) == (machine.vector >= 32)


def test_code_for_another_machine():
    code = engine().emit_object(FMA, "aarch64-linux-gnu")
    assert code[:4] == b"\x7fELF" and code[18] == 183  # EM_AARCH64
    assert "kernel" in engine().assembly(FMA)


def test_a_refused_text_names_its_kernel():
    with pytest.raises(
        GraphError, match=r"\[kernel conv1\] got a text that LLVM refuses \(1:\d+: error: exp"
    ):
        engine().function("define void @conv1(", "conv1")
    with pytest.raises(GraphError, match=r"\[kernel kernel\] got a text that LLVM refuses"):
        engine().function("define void @kernel() { call void @nowhere() ret void }", "kernel")
