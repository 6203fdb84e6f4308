"""NumPy's matrix products on one thread, since their bits vary with the number of threads.

OpenBLAS cuts a product differently for two threads than for one, and adds in another order.  While
a program runs it is told to use one; afterwards NumPy has its threads back.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from chainrule.forks import awaited_by_forks

__all__ = ["one_thread"]

_PREFIXES = ("scipy_openblas", "openblas")  # as NumPy's wheels name it, and as others do
_SUFFIXES = ("64_", "_64", "")


def _openblas(verb: str) -> Callable[..., int] | None:
    """OpenBLAS's ``set_num_threads`` or ``get_num_threads``, where NumPy was built with it."""
    try:
        library = ctypes.CDLL(np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return None
    for prefix in _PREFIXES:
        for suffix in _SUFFIXES:
            function = getattr(library, f"{prefix}_{verb}_num_threads{suffix}", None)
            if function is not None:
                return function
    return None


_get, _set = _openblas("get"), _openblas("set")
_lock = awaited_by_forks()
_inside = 0
_threads = 0


@contextmanager
def one_thread() -> Iterator[None]:
    """Matrix products in the block use one thread; it nests, also across threads.

    Does nothing where NumPy uses another library (Accelerate): there bits may vary with threads.
    """
    global _inside, _threads
    if _get is None or _set is None:
        yield
        return
    with _lock:
        if not _inside:
            _threads = _get()
            _set(1)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _set(_threads)
