"""From the text of a kernel to the address of its machine code.

A text is compiled once in a process.  The code is emitted as an object, and the object is linked
into the process, so that an object from the cache goes the same way as a new one.  LLVM's passes
over its own language do not run: kernels are written as they shall be, and on hand-vectorised code
the passes change little and cost more than the code's generation.

>>> text = "define i64 @twice(i64 %x) { %y = add i64 %x, %x ret i64 %y }"
>>> import ctypes
>>> ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(engine().function(text, "twice"))(21)
42
"""

from __future__ import annotations

import ctypes
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import llvmlite.binding as llvm

from chainrule.compile.machine import Machine
from chainrule.errors import GraphError, message
from chainrule.forks import awaited_by_forks
from chainrule.run.llvm.cache import default_cache, key_of
from chainrule.run.llvm.target import host

__all__ = ["Engine", "Stats", "engine"]

_lock = awaited_by_forks()  # LLVM does one thing at a time; a child could not finish it


@dataclass
class Stats:
    """What an engine has done since it was made."""

    compiled: int = 0  # kernels
    loaded: int = 0  # kernels whose object was in the cache
    seconds: float = 0.0  # for both


class Engine:
    """Compiles kernels and keeps their code as long as the process lives; see ``engine``."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.machine: Machine = host()
        self._addresses: dict[str, int] = {}
        self._stats = Stats()
        self._libraries = 0

    def function(self, text: str, name: str) -> int:
        """The address of function ``name`` of a module's text."""
        return self.functions([(text, name)])[0]

    def functions(self, kernels: Sequence[tuple[str, str]]) -> list[int]:
        """The addresses of functions, each given as (a module's text, its name).

        Many at once are linked at half the price.  A module may call what LLVM itself falls back
        on (``memset``, ``fmaf``) and what the process has.
        Raises GraphError, naming the kernel, for a text that LLVM refuses: a defect of ours.
        """
        keys = [self.key(text, name) for text, name in kernels]
        if any(key not in self._addresses for key in keys):
            with _lock, self._timed():
                new = dict(zip(keys, kernels, strict=True))
                missing = {key: new[key] for key in new if key not in self._addresses}
                symbols = {key: f"{name}_{key}" for key, (_, name) in missing.items()}
                self._link(symbols, [self._object(key, *missing[key]) for key in missing])
        return [self._addresses[key] for key in keys]

    def key(self, text: str, name: str) -> str:
        """What a function is known by, here and in the cache."""
        return key_of(name, text, self.machine.triple, self.machine.features)

    def known(self, keys: Sequence[str], name: str) -> list[int] | None:
        """The addresses of functions of that name that were compiled once, here or elsewhere.

        ``None`` if one of them is not in the cache any more.
        """
        with _lock, self._timed():
            found = {}
            for key in keys:
                if key not in self._addresses and key not in found:
                    kept = default_cache().get("object", key)
                    if kept is None:
                        return None
                    found[key] = kept
            self._link({key: f"{name}_{key}" for key in found}, list(found.values()))
            self._stats.loaded += len(found)
        return [self._addresses[key] for key in keys]

    def assembly(self, text: str) -> str:
        """The assembly of a module's text, to read and to test."""
        with _lock:
            return self._target_machine.emit_assembly(self._parsed(text, "module"))

    def emit_object(self, text: str, triple: str) -> bytes:
        """The object of a module's text for another machine, as ``aarch64-linux-gnu``."""
        with _lock:
            llvm.initialize_all_targets()
            llvm.initialize_all_asmprinters()
            target = llvm.Target.from_triple(triple).create_target_machine(opt=3, reloc="pic")
            return target.emit_object(self._parsed(text, "module"))

    @contextmanager
    def _timed(self) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._stats.seconds += time.perf_counter() - begun

    def stats(self) -> Stats:
        """How many kernels were compiled and loaded, and the seconds it took."""
        with _lock:
            return Stats(**vars(self._stats))

    # ------------------------------------------------------------ LLVM

    @cached_property
    def _target_machine(self) -> llvm.TargetMachine:
        """The features decide, not the processor's name, which virtual machines get wrong."""
        target = llvm.Target.from_triple(self.machine.triple)
        settings = {"reloc": "pic", "codemodel": "small", "jit": True}
        return target.create_target_machine(features=self.machine.features, opt=3, **settings)

    @cached_property
    def _jit(self) -> llvm.LLJIT:
        """JITLink puts an object's code and constants side by side: the small code model is safe.

        It is never freed: a worker may be in its code until the process is gone.
        """
        jit = llvm.create_lljit_compiler(
            self._target_machine, use_jit_link=True, suppress_errors=True
        )
        _keep_for_ever(jit)
        return jit

    def _link(self, symbols: dict[str, str], objects: Sequence[bytes]) -> None:
        """Put objects into the process; each has one function, by its key."""
        if not symbols:
            return  # another thread was faster
        builder = llvm.JITLibraryBuilder().add_current_process()
        for symbol, code in zip(symbols.values(), objects, strict=True):
            builder.add_object_img(code).export_symbol(symbol)
        self._libraries += 1
        try:
            library = builder.link(self._jit, f"kernels{self._libraries}")
        except RuntimeError as error:
            names = ", ".join(symbol.rpartition("_")[0] for symbol in symbols.values())
            raise self._refused(names, str(error), "") from None
        _keep_for_ever(library)
        self._addresses |= {key: library[symbol] for key, symbol in symbols.items()}

    def _object(self, key: str, text: str, name: str) -> bytes:
        """A kernel's object, in which its function has a name of its own."""
        kept = default_cache()
        found = kept.get("object", key)
        if found is not None:
            self._stats.loaded += 1
            return found
        symbol = re.compile(rf"@{re.escape(name)}(?![\w.$-])")
        module = self._parsed(symbol.sub(f"@{name}_{key}", text), name)
        emitted = self._target_machine.emit_object(module)
        self._stats.compiled += 1
        kept.put("object", key, emitted)
        return emitted

    def _parsed(self, text: str, name: str) -> llvm.ModuleRef:
        try:
            module = llvm.parse_assembly(text)
            module.verify()
        except RuntimeError as error:
            raise self._refused(name, str(error), text) from None
        return module

    def _refused(self, name: str, reason: str, text: str) -> GraphError:
        """The error for a text that LLVM does not take."""
        lines = [line for line in reason.splitlines() if line and "IR parsing error" not in line]
        first = lines[0].removeprefix("<string>:") if lines else "no reason"
        got = f"a text that LLVM refuses ({first})"
        kept = default_cache().keep_text(self.key(text, name), text) if text else None
        why = "This is a defect of Chainrule" + (f"; the text is in {kept}" if kept else "")
        return GraphError(message(f"kernel {name}", got, "valid code", why=why))


def _keep_for_ever(owner: object) -> None:
    """Let an object outlive the interpreter, whose end would free the code that workers are in."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(owner))


_engine: Engine | None = None


def engine() -> Engine:
    """The engine of this process, made when it is first asked for."""
    global _engine
    if _engine is None:
        with _lock:
            if _engine is None:
                _engine = Engine()
    return _engine
