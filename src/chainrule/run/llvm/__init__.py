"""Plans as machine code: LLVM text written in Python, compiled and kept by llvmlite.

The rooms: ``text.py`` how a function's text is written; ``value.py``, ``scalar.py`` and what stands
beside them the scalar functions of the formulas; ``writer.py`` arrays and bodies, ``emit.py`` Map
and Reduce kernels, ``contract.py`` the register tile; ``engine.py`` text -> object -> address,
``cache.py`` the objects on disk; ``driver.py`` and ``workers.py`` the threads; ``backend.py`` plans
that run, ``memory.py`` the bytes that they hold, ``plain.py`` the pending work of plain loops.
"""

from chainrule.run.llvm.backend import build
from chainrule.run.llvm.plain import run

__all__ = ["build", "run"]
