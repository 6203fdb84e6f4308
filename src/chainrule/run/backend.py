"""Which backend computes: machine code (``llvm``), or NumPy (``reference``).

A backend is a module with two functions: ``run(program)`` computes the pending work of a plain
loop, ``build(work)`` makes of a traced step what ``compile.work.Built`` describes.  It is loaded
when first something is computed.  CHAINRULE_BACKEND names one; without it, it is machine code.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

from chainrule.compile.work import Work
from chainrule.errors import UsageError, message

__all__ = ["BACKENDS", "build", "chosen", "run", "told_if_long"]

LONG = 1.0  # seconds of a compilation that one should know of
BACKENDS = {"llvm": "chainrule.run.llvm", "reference": "chainrule.run.reference"}


@cache
def chosen() -> Any:
    """The backend of this process."""
    name = os.environ.get("CHAINRULE_BACKEND") or "llvm"
    if name not in BACKENDS:
        needs = " or ".join(BACKENDS)
        raise UsageError(message("CHAINRULE_BACKEND", repr(name), needs))
    return import_module(BACKENDS[name])


def run(program: Any) -> None:
    """Compute a ``storage.Program``."""
    chosen().run(program)


def build(work: Work) -> Any:
    """A ``Work``, ready to run."""
    return chosen().build(work)


@contextmanager
def told_if_long(what: str, why: str) -> Iterator[None]:
    """If the block takes long, stderr says what was compiled, and why."""
    begun = time.perf_counter()
    yield
    seconds = time.perf_counter() - begun
    if seconds > LONG:
        print(f"chainrule: compiled {what} in {seconds:.1f} s: {why}", file=sys.stderr)
