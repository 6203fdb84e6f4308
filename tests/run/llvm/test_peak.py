import ctypes

import pytest

from chainrule.run.llvm.engine import engine
from chainrule.run.llvm.peak import CHAINS, _text, peak


@pytest.mark.parametrize("has_fma", [True, False])
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_the_loop_computes_what_it_says(lanes, has_fma):
    address = engine().function(_text(lanes, has_fma), "peak")
    chains = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64)(address)
    starts = range(1, CHAINS + 1)
    for turns in (0, 1, 3, 100):
        assert chains(turns) == sum(1 + (start - 1) / 2**turns for start in starts)


def test_all_chains_stay_in_the_loop_and_in_registers():
    machine = engine().machine
    assembly = engine().assembly(_text(machine.vector // 4, machine.has_fma))
    multiplies = [line for line in assembly.splitlines() if "fmadd" in line or "fmla" in line]
    if machine.has_fma:
        assert len(multiplies) == CHAINS and not any("sp)" in line for line in multiplies)


@pytest.mark.parametrize("threads", [1, 2])
def test_some_operations_are_done(threads):
    assert 1e8 < peak(threads, seconds=0.01) < 1e13
