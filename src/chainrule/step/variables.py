"""What a function reads beside its arguments: variables, and what is inside them.

Looked at are the cells of its closure, the globals that it names, and what they hold: lists, dicts,
sets, arrays of NumPy, generators of random numbers, and of other objects, classes and modules the
attributes that the function names.  Functions and methods that are found so, and the ``forward`` of
modules, are looked through as well; Chainrule's objects are not, ``guards.py`` knows them.  Not
seen are iterators, clocks, files, packages that are installed, and what goes beyond ``MOST``.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from operator import is_
from pickle import dumps
from types import (
    BuiltinMethodType,
    CodeType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np

from chainrule.tensor import Tensor

__all__ = ["Variables", "same"]

SIMPLE = (bool, int, float, str, bytes, type(None))
MOST, MOST_BYTES = 10_000, 1 << 18  # of all lists, dicts and sets; of all arrays
CALLED = "__call__", "forward", "backward", "update"  # by Chainrule, or by Python
MISSING = object()
LIBRARIES = {*sys.stdlib_module_names, "chainrule", "numpy"} - {"__main__"}


def same(a: Any, b: Any) -> bool:
    """The same object, or equal simple values."""
    return a is b or (type(a) is type(b) and isinstance(a, SIMPLE) and a == b)


class Variables:
    """The variables that a function finds outside, as they are before it is traced."""

    def __init__(self, function: Callable[..., Any], objects: Iterable[Any] = ()) -> None:
        """``objects``: arguments that are compared by identity alone."""
        self._cells: list[tuple[Any, Any, str]] = []
        self._globals: list[tuple[dict[str, Any], Any, str]] = []
        self._attributes: list[tuple[Mapping[str, Any], Any, str]] = []
        self._slots: list[tuple[Any, Any, str]] = []
        self._contents: list[tuple[Callable[[], list[Any]], list[Any], str]] = []
        self._states: list[tuple[Callable[[], bytes], bytes, str]] = []
        self._names = {*CALLED}  # of globals and attributes, in all functions
        self._holders: dict[int, tuple[Any, set[str]]] = {}  # and which names were sought in them
        self._known: dict[int, Any] = {}
        self._carriers: list[Any] = []
        self._room, self._bytes = MOST, MOST_BYTES  # a data set is not compared at each call
        self.add(function, *objects)

    def add(self, *values: Any) -> None:
        """What these functions and objects, and those that they find, read outside."""
        for value in values:
            self._visit(value, getattr(value, "__name__", "an argument"))
        names = -1
        while names != len(self._names):  # a function that was found names more attributes
            names = len(self._names)
            for holder, sought in list(self._holders.values()):
                for name in sorted(self._names - sought):
                    sought.add(name)
                    self._attribute(holder, name)
        self._holds = any((self._attributes, self._slots, self._contents, self._states))

    def are_same(self) -> bool:
        """Whether every variable is the very object that it was: in most calls."""
        try:
            for cell, was, _ in self._cells:
                if cell.cell_contents is not was:
                    return False
            for world, was, name in self._globals:
                if world[name] is not was:
                    return False
        except (ValueError, KeyError):  # not set any more
            return False
        return not self._holds or not self._difference(is_)

    def difference(self) -> str:
        """The first variable that is not what it was, or nothing."""
        for cell, was, name in self._cells:
            if not same(was, _content(cell)):
                return name
        for world, was, name in self._globals:
            if not same(was, world.get(name, MISSING)):
                return name
        return self._difference(same)

    def _difference(self, same: Callable[[Any, Any], bool]) -> str:
        """The first thing that a variable holds and that is not what it was, or nothing."""
        for own, was, name in self._attributes:
            if not same(was, own.get(name, MISSING)):
                return name
        for holder, was, name in self._slots:
            if not same(was, getattr(holder, name, MISSING)):
                return name
        for content, was, name in self._contents:
            now = content()
            if len(now) != len(was) or not all(map(same, now, was)):
                return f"{name}, or what is in it"
        for state, was, name in self._states:
            if state() != was:
                return f"{name}, or what is in it"
        return ""

    def standing(self) -> list[Any]:
        """What a function may change that its trace does not repeat, and no other guard sees.

        The options of optimizers, schedules, the random numbers of Python's and NumPy's modules.
        """
        found: list[Any] = []
        for carrier in self._carriers:
            found += [
                {name: option for name, option in group.items() if name != "params"}
                for group in getattr(carrier, "param_groups", ())
            ]
            if hasattr(carrier, "get_last_lr"):
                found.append(carrier.state_dict())
        python, numpy = sys.modules.get("random"), sys.modules.get("numpy.random")
        return [*found, python and python.getstate(), numpy and dumps(numpy.get_state())]

    # ------------------------------------------------------------ what is found

    def _visit(self, value: Any, name: str) -> None:
        if isinstance(value, (*SIMPLE, Tensor)):
            return
        value = self._unwrapped(value, name)
        if id(value) in self._known:
            return
        self._known[id(value)] = value
        if isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, (list, tuple, set, frozenset, deque, dict)):
            self._container(value, name)
        elif isinstance(value, np.ndarray):
            if value.nbytes <= self._bytes and not value.dtype.hasobject:
                self._bytes -= value.nbytes
                kind = f"{value.dtype}{value.shape}".encode()
                self._state(lambda: kind + value.tobytes(), name)
        elif "numpy.random" in sys.modules and isinstance(value, np.random.Generator):
            self._state(lambda: dumps(value.bit_generator.state), name)
        elif "random" in sys.modules and isinstance(value, sys.modules["random"].Random):
            self._state(lambda: dumps(value.getstate()), name)
        elif _is_module(value):
            for module in value.modules():
                self._known[id(module)] = module
                self._holders[id(module)] = module, set()
                for hook in (*module._pre_hooks.values(), *module._hooks.values()):
                    self._visit(hook, "a hook")
        else:
            of_optimizer = hasattr(value, "param_groups")
            if of_optimizer or hasattr(value, "get_last_lr"):
                self._carriers.append(value)
            if not _is_foreign(value):
                guarded = {"state", "param_groups"} if of_optimizer else set()
                self._holders[id(value)] = value, guarded

    def _unwrapped(self, value: Any, name: str) -> Any:
        """The function in a partial, a method, a decorated or compiled function."""
        while True:
            if isinstance(value, partial):
                self._visit((*value.args, *value.keywords.values()), name)
                value = value.func
            elif isinstance(value, MethodType):
                self._visit(value.__self__, name)
                value = value.__func__
            elif isinstance(value, BuiltinMethodType):
                value = value.__self__  # that of len is the module builtins
            elif isinstance(value, (staticmethod, classmethod)):
                value = value.__func__
            elif isinstance(value, property):
                value = value.fget
            elif "__wrapped__" in getattr(value, "__dict__", ()):
                value = value.__wrapped__
            else:
                return value

    def _function(self, function: FunctionType) -> None:
        if (function.__module__ or "").startswith("chainrule."):  # None: made by exec
            return  # it depends on no variable that changes
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            self._cells.append((cell, _content(cell), name))
            self._visit(_content(cell), name)
        self._visit((function.__defaults__, function.__kwdefaults__), function.__name__)
        names = _names(function.__code__)
        self._names |= names
        world = function.__globals__
        for name in sorted(names & world.keys()):
            if not isinstance(world[name], (ModuleType, type)):
                self._globals.append((world, world[name], name))
            self._visit(world[name], name)

    def _state(self, read: Callable[[], bytes], name: str) -> None:
        self._states.append((read, read(), name))

    def _container(self, value: Any, name: str) -> None:
        """Its items; what can't change itself may hold what can."""
        if len(value) > self._room:
            return
        self._room -= len(value)
        content = partial(_items, value) if isinstance(value, dict) else partial(list, value)
        if not isinstance(value, (tuple, frozenset)):
            self._contents.append((content, content(), name))
        for part in content():
            self._visit(part, name)

    def _attribute(self, holder: Any, name: str) -> None:
        """An attribute that a function names; it may be of another object of that name."""
        own = getattr(holder, "__dict__", {})
        value = own.get(name, MISSING)
        kinds = (holder if isinstance(holder, type) else type(holder)).__mro__
        of_kind = next((kind for kind in kinds if name in kind.__dict__), object)
        if value is MISSING and not _is_foreign(of_kind):
            value = of_kind.__dict__[name]
            if isinstance(value, MemberDescriptorType):
                value = getattr(holder, name, MISSING)
                self._slots.append((holder, value, name))
            else:
                self._attributes.append((of_kind.__dict__, value, name))
        if value is MISSING:
            return
        if not _is_module(holder):  # whose own attributes are guarded
            self._attributes.append((own, own.get(name, MISSING), name))
        self._visit(value, name)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not set yet
        return MISSING


def _items(value: dict[Any, Any]) -> list[Any]:
    return [*value, *value.values()]


def _is_module(value: Any) -> bool:
    return hasattr(type(value), "named_parameters")


def _is_foreign(value: Any) -> bool:
    """What holds nothing of the user's: of Chainrule, NumPy, Python or an installed package."""
    if isinstance(value, ModuleType):
        return _is_installed(value.__name__)
    if isinstance(value, type):
        return _is_installed(value.__module__)
    kind = type(value)
    if kind.__module__.startswith("chainrule."):
        return True
    return not hasattr(value, "__dict__") and _is_installed(kind.__module__)


@cache
def _is_installed(module: str) -> bool:
    package = module.partition(".")[0]
    place = getattr(sys.modules.get(package), "__file__", None) or ""
    return package in LIBRARIES or "site-packages" in place or "dist-packages" in place


def _names(code: CodeType) -> set[str]:
    """Of globals and attributes, also in functions inside."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names(constant)
    return found
