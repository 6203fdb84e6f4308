"""The machine that code is made for: the host, or less of it where CHAINRULE_TARGET says so."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path

import llvmlite.binding as llvm

from chainrule.compile.machine import Machine
from chainrule.errors import UsageError, message

__all__ = ["cores", "host"]

# What every x86-64 has.
_SSE2 = frozenset(["64bit", "cmov", "cx8", "fxsr", "mmx", "sse", "sse2"])
_LEVELS: dict[str, Callable[[str], bool]] = {
    "sse2": lambda feature: feature in _SSE2,
    "avx2": lambda feature: not feature.startswith(("avx512", "avx10", "amx")),
    "avx512": lambda feature: True,
}
_NEEDS = {"sse2": "sse2", "avx2": "avx2", "avx512": "avx512f"}
_CACHES = {1: 32 << 10, 2: 512 << 10, 3: 8 << 20}  # bytes, where the system does not tell


def host() -> Machine:
    """The processor of this process; CHAINRULE_TARGET=sse2, avx2 or avx512 lessens it.

    Raises UsageError for another target, or one that the processor does not have.
    """
    has = dict(llvm.get_host_cpu_features())
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    asked = os.environ.get("CHAINRULE_TARGET", "")
    if asked:
        known = [level for level in _LEVELS if is_x86 and has.get(_NEEDS[level])]
        if asked not in known:
            needs = f"nothing or one of {', '.join(known)}" if known else "nothing"
            raise UsageError(message("CHAINRULE_TARGET", repr(asked), f"{needs} on this processor"))
        has = {feature: on and _LEVELS[asked](feature) for feature, on in has.items()}
    # A processor's name may ask for it: half of each AVX-512 register.
    flags = [f"{'+' if on else '-'}{feature}" for feature, on in sorted(has.items())]
    if has.get("avx512f"):
        flags.append("-prefer-256-bit")
    vector, registers, has_fma = _registers(has, is_x86)
    l1, l2, l3 = (_cache(level) for level in (1, 2, 3))
    return Machine(
        vector=vector,
        registers=registers,
        has_fma=has_fma,
        cores=cores(),
        l1=l1,
        l2=l2,
        l3=l3,
        triple=llvm.get_process_triple(),
        features=",".join(flags),
    )


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _registers(has: dict[str, bool], is_x86: bool) -> tuple[int, int, bool]:
    """Bytes of a vector register, how many there are, and whether they multiply-add."""
    if is_x86 and has.get("avx512f"):
        return 64, 32, True
    if is_x86:
        return 32 if has.get("avx2") else 16, 16, has.get("fma", False)
    is_arm = platform.machine().lower() in ("aarch64", "arm64")
    return 16, 32 if is_arm else 16, is_arm


def _cache(level: int) -> int:
    """The size in bytes of a core's data cache, read where Linux tells it."""
    for place in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            kind = (place / "type").read_text().strip()
            size = (place / "size").read_text().strip()
            if int((place / "level").read_text()) == level and kind != "Instruction":
                return int(size.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(size[-1], 0)
        except (OSError, ValueError):
            continue
    return _CACHES[level]
