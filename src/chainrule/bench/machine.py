"""What a result was measured on: processor, peak, versions, date, load."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from chainrule.run.llvm.engine import engine
from chainrule.run.llvm.peak import peak

__all__ = ["import_seconds", "surroundings"]

PACKAGES = ("numpy", "llvmlite", "torch", "jax", "jaxlib", "tensorflow-cpu")
TOLD = ("avx2", "fma", "avx512f", "avx512bf16", "amx-tile", "neon", "sve")


def surroundings(command: str, threads: int) -> dict[str, Any]:
    """All that a figure depends on but the code that is measured."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "threads": threads,
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": load,  # processes that ran in the minute before: 0 where nothing else did
        "peak": {str(n): peak(n, 0.5) for n in sorted({1, threads})},
        "versions": {"python": platform.python_version()} | _versions(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in ("chainrule", *PACKAGES):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    """Its name, cores, and the instruction sets that matter here."""
    name = platform.processor() or "unknown processor"
    told = Path("/proc/cpuinfo")
    if told.exists():
        lines = [line.partition(":") for line in told.read_text().splitlines()]
        about = {key.strip(): value.strip() for key, _, value in reversed(lines)}
        name = about.get("model name", name)
        if "cpu family" in about:
            name += f" (family {about['cpu family']}, model {about['model']})"
    machine = engine().machine
    has = {feature[1:] for feature in machine.features.split(",") if feature.startswith("+")}
    features = " ".join(feature for feature in TOLD if feature in has) or "no vector extensions"
    return f"{name}, {machine.cores} cores, {features}"


def import_seconds(modules: Sequence[str], times: int) -> dict[str, float]:
    """The median seconds of ``import`` in fresh interpreters, of those that are installed."""
    found = {}
    for module in modules:
        if find_spec(module) is None:
            continue
        program = f"import time; t = time.perf_counter(); import {module}; "
        program += "print(time.perf_counter() - t)"
        seconds = []
        for _ in range(times):
            done = subprocess.run(
                [sys.executable, "-c", program], capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                seconds.append(float(done.stdout.split()[-1]))
        if seconds:
            found[module] = statistics.median(seconds)
    return found
