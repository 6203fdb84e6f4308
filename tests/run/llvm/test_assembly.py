"""The kernels of the benchmark's networks, read and not run: their plans, assembly and objects."""

from __future__ import annotations

import platform
import re
from dataclasses import replace
from functools import cache
from math import prod

import numpy as np
import pytest

from chainrule import step
from chainrule.bench.networks import NETWORKS
from chainrule.bench.with_chainrule import Chainrule
from chainrule.compile.pipeline import compile_work
from chainrule.compile.plan import Contract, Host, Kernel, Read
from chainrule.run.llvm.contract import ANNOUNCED
from chainrule.run.llvm.emit import emit
from chainrule.run.llvm.engine import Engine, engine
from chainrule.run.llvm.target import host

IS_X86 = platform.machine().lower() in ("x86_64", "amd64")
BATCH = {"resnet18": 16, "alexnet": 16}


class Unread:
    """A work that nobody runs: its results are zeros."""

    def __init__(self, work):
        self.work = work

    def run(self, inputs, places):
        outputs = zip(self.work.outputs, places, strict=True)
        return [np.zeros(n.shape, n.dtype.numpy) if p is None else p for n, p in outputs]


@cache
def plan(name):
    """The plan of the training step of a network, from its second step on."""
    network = NETWORKS[name]()
    network = replace(network, batch=BATCH.get(name, network.batch))
    works = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "Once", Unread)
        patch.setattr(step, "_built", {})
        patch.setattr(step.backend, "build", lambda work: works.append(work) or Unread(work))
        contestant = Chainrule(network, "compiled", 1)
        contestant.step()
        contestant.step()
    (work,) = works
    return compile_work(work)


def kernels(name):
    """The kernels of a network's step that are machine code."""
    return [kernel for kernel in plan(name).kernels if isinstance(kernel, Kernel)]


@pytest.mark.parametrize("name", NETWORKS)
def test_no_kernel_is_left_to_the_host(name):
    assert any(isinstance(kernel.inner, Contract) for kernel in kernels(name))
    assert [kernel for kernel in plan(name).kernels if isinstance(kernel, Host)] == []


def test_what_an_epilogue_reads_is_asked_for_before_long_sums():
    found = set()
    for kernel in kernels("mlp"):
        if isinstance(kernel.inner, Contract):
            refs = [i.ref for i in kernel.body if isinstance(i, Read)]
            reads = any(1 in ref.strides and 0 not in ref.strides for ref in refs)
            long = prod(kernel.inner.extents) >= ANNOUNCED
            asks = "call void @llvm.prefetch" in emit(kernel, host()).text
            assert asks == (reads and long)
            found.add((reads, long))
    assert found == {(True, True), (False, True), (True, False)}


# ---------------------------------------------------------------- registers

JUMP = re.compile(r"\tj\w+\s+(\.L\w+)")
LABEL = re.compile(r"(\.L\w+):")
VECTOR = re.compile(r"%[xyz]mm\d+")


def innermost_loops(assembly):
    """The lines from a label to the jump back to it, where no loop is inside."""
    lines = assembly.splitlines()
    labels = {found[1]: k for k, line in enumerate(lines) if (found := LABEL.match(line))}
    loops = []
    for k, line in enumerate(lines):
        jump = JUMP.match(line)
        if jump and labels.get(jump[1], k) < k:
            loops.append((labels[jump[1]], k))
    return [
        lines[a : b + 1]
        for a, b in loops
        if not any(a <= c and d <= b and (c, d) != (a, b) for c, d in loops)
    ]


def on_the_stack(assembly):
    """Instructions of a tile's inner loops that move a vector to or from the stack."""
    framed = re.search(r"movq\s+%rsp, %rbp", assembly)
    stack = re.compile(r"\(%r(?:sp|bp)\b" if framed else r"\(%rsp\b")
    tiles = [loop for loop in innermost_loops(assembly) if any("vfmadd" in x for x in loop)]
    return tiles, [x for loop in tiles for x in loop if VECTOR.search(x) and stack.search(x)]


def test_a_spill_is_found():
    loop = [
        "\tmovq\t%rsp, %rbp",
        ".LBB0_1:",
        "\tvfmadd231ps\t(%rax), %ymm0, %ymm1",
        "\tjne\t.LBB0_1",
    ]
    for line, many in (
        ("\tvmovaps\t%ymm1, 64(%rsp)", 1),
        ("\tvaddps\t-96(%rbp,%rcx), %ymm1, %ymm2", 1),
        ("\tmovq\t%rax, 64(%rsp)", 0),
        ("\tvmovaps\t%ymm1, 64(%rsi)", 0),
    ):
        inside = [*loop[:3], line, loop[3]]
        tiles, found = on_the_stack("\n".join(inside))
        assert (len(tiles), len(found)) == (1, many)
        assert on_the_stack("\n".join([line, *loop, line]))[1] == []


def target(level):
    """An engine for a target that need not be this machine's."""
    made = Engine()
    if level == "avx512" and made.machine.vector < 64:
        wide = ",".join(f"+avx512{part}" for part in ("f", "bw", "cd", "dq", "vl"))
        features = f"{made.machine.features},{wide}"
        made.machine = replace(made.machine, vector=64, registers=32, features=features)
    return made


@pytest.mark.skipif(not IS_X86 or host().vector < 32, reason="the assembly of AVX2")
@pytest.mark.parametrize("level", ["avx2", "avx512"])  # one of them is native
@pytest.mark.parametrize("name", ["mlp", "lenet", "resnet18"])
def test_no_vector_of_a_tile_is_on_the_stack(name, level, monkeypatch):
    monkeypatch.setenv("CHAINRULE_TARGET", "avx2" if level == "avx2" else "")
    made = target(level)
    tiled = [kernel for kernel in kernels(name) if isinstance(kernel.inner, Contract)]
    texts = {emit(kernel, made.machine).text: kernel for kernel in tiled}
    wide, spilled = 0, {}
    for text, kernel in texts.items():
        tiles, found = on_the_stack(made.assembly(text))
        wide += any(re.search(r"vfmadd\w+ps", line) for tile in tiles for line in tile)
        if found:
            spilled[f"{kernel.nodes[0]} {kernel.axes} {kernel.inner}"] = found
    assert spilled == {}
    assert wide > len(texts) * 0.9


# ---------------------------------------------------------------- another machine


def test_an_object_of_each_kernel_for_aarch64():
    for kernel in kernels("lenet"):
        code = engine().emit_object(emit(kernel, engine().machine).text, "aarch64-linux-gnu")
        assert code[:4] == b"\x7fELF"
        assert int.from_bytes(code[18:20], "little") == 183  # EM_AARCH64
        assert b"kernel\0" in code
