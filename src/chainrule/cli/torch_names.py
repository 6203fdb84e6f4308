"""PyTorch's module names, resolved to Chainrule: ``import torch.nn as nn`` gives ``chainrule.nn``.

Only for the process of ``chainrule run``: an installed PyTorch is neither loaded nor changed.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from chainrule.errors import NameNotFoundError, not_found

__all__ = ["torch_is_chainrule"]

# PyTorch's module: where its names are here. "" is a module that only holds others.
MODULES = {
    "torch": "chainrule",
    "torch.autograd": "chainrule.autograd",
    "torch.backends": "chainrule.names",
    "torch.backends.cudnn": "",
    "torch.func": "chainrule.func",
    "torch.nn": "chainrule.nn",
    "torch.nn.functional": "chainrule.nn.functional",
    "torch.nn.init": "chainrule.nn.init",
    "torch.nn.utils": "chainrule.nn.utils",
    "torch.optim": "chainrule.optim",
    "torch.optim.lr_scheduler": "chainrule.optim.lr_scheduler",
    "torch.utils": "",
    "torch.utils.data": "chainrule.data",
    "torchvision": "",
    "torchvision.datasets": "chainrule.data",
    "torchvision.transforms": "chainrule.data.vision",
    "torchvision.utils": "chainrule.data.grids",
}


class _Names(ModuleType):
    """A module whose names are another's."""

    def __getattr__(self, name: str) -> Any:
        below = f"{self.__name__}.{name}"
        if below in MODULES:
            return importlib.import_module(below)
        source = MODULES[self.__name__]
        if (name.startswith("__") and name != "__version__") or not source:
            raise not_found(self.__name__, name, [])
        try:
            return getattr(importlib.import_module(source), name)
        except NameNotFoundError as error:
            nearest = str(error).partition("; ")[2]
            text = f"{below} is not in Chainrule"
            raise NameNotFoundError(text + (f"; {nearest}" if nearest else "")) from None


class _Finder(MetaPathFinder, Loader):
    """Finds the modules of the table, before anything that is installed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in MODULES:
            return ModuleSpec(fullname, self, is_package=True)
        if fullname.partition(".")[0] in ("torch", "torchvision"):
            nearest = ", ".join(sorted(MODULES))
            raise NameNotFoundError(f"{fullname} is not in Chainrule, which has {nearest}")
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Names(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


@contextmanager
def torch_is_chainrule() -> Iterator[None]:
    """While this lasts, PyTorch's modules are Chainrule's.

    >>> with torch_is_chainrule():
    ...     import torch
    >>> torch.ones(2).sum()
    tensor(2.)
    """
    before = {name: module for name, module in sys.modules.items() if _is_torch(name)}
    for name in before:
        del sys.modules[name]
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if _is_torch(name)]:
            del sys.modules[name]
        sys.modules.update(before)


def _is_torch(name: str) -> bool:
    return name.partition(".")[0] in ("torch", "torchvision")
