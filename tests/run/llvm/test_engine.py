import ctypes
import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from chainrule.errors import GraphError, UsageError
from chainrule.run.llvm.cache import default_cache, key_of
from chainrule.run.llvm.engine import Engine, engine

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


def test_an_object_on_disk_is_loaded_and_a_damaged_one_is_made_again():
    kernel = (number(72), "kernel")
    assert call(engine().function(*kernel)) == 72
    later = Engine()  # as of another process
    assert call(later.function(*kernel)) == 72
    assert (later.stats().compiled, later.stats().loaded) == (0, 1)
    at = key_of("kernel", number(72), later.machine.triple, later.machine.features)
    path = default_cache()._path("object", at)
    assert path is not None
    path.write_bytes(path.read_bytes()[:-1])
    last = Engine()
    assert call(last.function(*kernel)) == 72
    assert (last.stats().compiled, last.stats().loaded) == (1, 0)


def test_threads_compile_at_once():
    texts = [(number(n), "kernel") for n in range(100, 130)]
    found = []

    def one(n):
        found.append([call(engine().function(*texts[(n + k) % 30])) for k in range(30)])

    threads = [threading.Thread(target=one, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(sorted, found)) == [list(range(100, 130))] * 4


TARGET = """
import sys
sys.path.insert(0, {folder!r})
from test_engine import FMA, engine, run_fma
run_fma()
machine = engine().machine
print(machine.vector, machine.registers, machine.has_fma, engine().assembly(FMA).count("fmaf"))
"""


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="x86's features")
def test_a_lesser_target():
    text = TARGET.format(folder=str(Path(__file__).parent))
    for target, wanted in (("sse2", "16 16 False 16"), ("avx2", "32 16 True 0")):
        if target == "avx2" and engine().machine.vector < 32:
            continue
        environment = {**os.environ, "CHAINRULE_TARGET": target}
        done = subprocess.run(
            [sys.executable, "-c", text], env=environment, capture_output=True, text=True
        )
        assert done.stdout.strip() == wanted, done.stderr


def test_a_target_that_is_not_here(monkeypatch):
    monkeypatch.setenv("CHAINRULE_TARGET", "neon9")
    with pytest.raises(
        UsageError, match=r"\[CHAINRULE_TARGET\] got 'neon9', needs nothing.* on this"
    ):
        Engine()


def test_a_refused_text_names_its_kernel_and_is_kept():
    text = "define void @conv1("
    got = r"\[kernel conv1\] got a text that LLVM refuses \(1:\d+: error: expected type\), needs"
    with pytest.raises(GraphError, match=got) as refused:
        engine().function(text, "conv1")
    path = Path(str(refused.value).rpartition("the text is in ")[2].rstrip("."))
    assert path.read_text().startswith("define void @conv1_") and path.suffix == ".ll"
    with pytest.raises(GraphError, match=r"\[kernel kernel\] got a text that LLVM refuses"):
        engine().function("define void @kernel() { call void @nowhere() ret void }", "kernel")


def test_a_symbol_that_nobody_has():
    text = "declare void @nowhere() define void @kernel() { call void @nowhere() ret void }"
    with pytest.raises(GraphError, match=r"\[kernel kernel\] got a text that LLVM refuses"):
        engine().function(text, "kernel")
    assert call(engine().function(number(73), "kernel")) == 73  # the engine lives on
