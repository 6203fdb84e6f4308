"""Modules that hold others, or parameters: Sequential, lists and dicts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from operator import index as whole
from typing import Any

from chainrule.errors import IndexRangeError, message
from chainrule.nn.module import Module
from chainrule.nn.parameter import Parameter
from chainrule.tensor import Tensor

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]


class _Numbered(Module):
    """Modules named 0, 1, 2, …"""

    def _place(self, number: int) -> str:
        place, count = whole(number), len(self)
        if not -count <= place < count:
            where = type(self).__name__
            raise IndexRangeError(message(where, f"index {place}", f"less than {count}"))
        return list(self._modules)[place]

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return self._part(list(self._modules.items())[number])
        return self._modules[self._place(number)]

    def _part(self, items: list[tuple[str, Any]]) -> Any:
        return type(self)([module for _, module in items])  # type: ignore[call-arg]

    def __setitem__(self, number: int, module: Module) -> None:
        setattr(self, self._place(number), module)

    def __delitem__(self, number: int) -> None:
        delattr(self, self._place(number))
        left = list(self._modules.values())
        self._modules.clear()
        self.extend(left)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def append(self, module: Module) -> Any:
        """One more at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Any]) -> Any:
        """Several more at the end."""
        for module in modules:
            self.append(module)
        return self

    def pop(self, key: int) -> Any:
        """Take one out."""
        module = self[key]
        del self[key]
        return module

    def insert(self, index: int, module: Module) -> None:
        """One more before the one at ``index``."""
        left = list(self._modules.values())
        left.insert(index, module)
        self._modules.clear()
        self.extend(left)


class Sequential(_Numbered):
    """Modules one after the other: y = fₙ(… f₂(f₁(x))).

    >>> import chainrule as cr
    >>> net = Sequential(cr.nn.Flatten(), cr.nn.Linear(6, 2))
    >>> net(cr.zeros(5, 2, 3)).shape
    (5, 2)
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            self.extend(modules)

    def _part(self, items: list[tuple[str, Any]]) -> Any:
        return type(self)(OrderedDict(items))

    def __add__(self, other: Iterable[Any]) -> Sequential:
        return Sequential(*self, *other)

    def forward(self, x: Any) -> Any:
        """The last module's output."""
        for module in self._modules.values():
            x = module(x)  # type: ignore[misc]
        return x


class ModuleList(_Numbered):
    """A list whose modules are found by ``parameters()``, ``state_dict()`` and the rest.

    >>> import chainrule as cr
    >>> len(ModuleList([cr.nn.Linear(2, 2) for _ in range(3)]))
    3
    """

    def __init__(self, modules: Iterable[Any] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def __add__(self, other: Iterable[Any]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, modules: Iterable[Any]) -> ModuleList:
        return self.extend(modules)

    def __repr__(self) -> str:
        """Equal neighbours on one line: ``(0-2): 3 x Linear(…)``."""
        runs: list[tuple[str, list[int]]] = []
        for number, text in enumerate(map(repr, self)):
            if runs and runs[-1][0] == text:
                runs[-1][1].append(number)
            else:
                runs.append((text, [number]))
        lines = []
        for text, numbers in runs:
            several = len(numbers) > 1
            place = f"{numbers[0]}-{numbers[-1]}" if several else f"{numbers[0]}"
            text = f"{len(numbers)} x {text}" if several else text
            lines.append(f"\n  ({place}): " + text.replace("\n", "\n  "))
        return f"{self._get_name()}({''.join(lines)}\n)" if lines else f"{self._get_name()}()"


class ModuleDict(Module):
    """A dict whose modules are found by ``parameters()``, ``state_dict()`` and the rest.

    >>> import chainrule as cr
    >>> list(ModuleDict({"encoder": cr.nn.Linear(4, 2)}))
    ['encoder']
    """

    def __init__(self, modules: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__()
        self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        """The modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """(name, module)"""
        return self._modules.items()

    def pop(self, key: str) -> Any:
        """Take one out."""
        module = self[key]
        del self[key]
        return module

    def clear(self) -> None:
        """Take all out."""
        for key in list(self):
            del self[key]

    def update(self, modules: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Add or replace several."""
        for key, module in dict(modules).items():
            self.add_module(key, module)


def _line(name: str, value: Tensor) -> str:
    size = "x".join(map(str, value.shape))
    return f"({name}): Parameter containing: [{value.dtype} of size {size}]"


class ParameterList(Module):
    """A list of parameters; tensors in it become parameters.

    >>> import chainrule as cr
    >>> [name for name, _ in ParameterList([cr.zeros(2), cr.ones(3)]).named_parameters()]
    ['0', '1']
    """

    def __init__(self, values: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.extend(values)

    def append(self, value: Tensor) -> ParameterList:
        """One more at the end."""
        self.register_parameter(str(len(self)), _parameter(value))
        return self

    def extend(self, values: Iterable[Tensor]) -> ParameterList:
        """Several more at the end."""
        for value in values:
            self.append(value)
        return self

    def _place(self, number: int) -> str:
        if not -len(self) <= number < len(self):
            got, needs = f"index {number}", f"less than {len(self)}"
            raise IndexRangeError(message("ParameterList", got, needs))
        return str(number % len(self))

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return ParameterList(list(self)[number])
        return self._parameters[self._place(number)]

    def __setitem__(self, number: int, value: Tensor) -> None:
        self._parameters[self._place(number)] = _parameter(value)

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parameters.values())

    def extra_repr(self) -> str:
        """A line for each parameter."""
        return "\n".join(
            f"  {_line(name, p)}" for name, p in self._parameters.items() if p is not None
        )


class ParameterDict(Module):
    """A dict of parameters; tensors in it become parameters.

    >>> import chainrule as cr
    >>> list(ParameterDict({"gain": cr.ones(2)}).state_dict())
    ['gain']
    """

    def __init__(
        self, parameters: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]] = ()
    ) -> None:
        super().__init__()
        self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        return self._parameters[key]

    def __setitem__(self, key: str, value: Tensor) -> None:
        self.register_parameter(key, _parameter(value))

    def __delitem__(self, key: str) -> None:
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __contains__(self, key: str) -> bool:
        return key in self._parameters

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._parameters.keys()

    def values(self) -> Iterable[Any]:
        """The parameters."""
        return self._parameters.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """(name, parameter)"""
        return self._parameters.items()

    def update(self, parameters: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]) -> None:
        """Add or replace several."""
        for key, value in dict(parameters).items():
            self[key] = value

    def extra_repr(self) -> str:
        """A line for each parameter."""
        return "\n".join(f"  {_line(name, p)}" for name, p in self.items() if p is not None)


def _parameter(value: Tensor) -> Parameter:
    return value if isinstance(value, Parameter) else Parameter(value)
