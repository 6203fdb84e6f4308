"""Module: layers and networks as trees of parameters, buffers and other modules."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

from chainrule.device import Device
from chainrule.dtypes import float32, float64
from chainrule.errors import (
    ChainruleError,
    NameNotFoundError,
    ShapeError,
    UsageError,
    message,
    not_found,
)
from chainrule.graph import type_text
from chainrule.lines import is_ours, user_line
from chainrule.nn import states
from chainrule.nn.calls import calls, locate, refuse_arrays
from chainrule.nn.fitting import name_inputs_that_fit
from chainrule.nn.hooks import Handle, watch_backward, with_keywords
from chainrule.nn.parameter import Parameter
from chainrule.notebook import Branch, tree_html
from chainrule.storage import recorder
from chainrule.tensor import Tensor
from chainrule.tensor.handle import LET_GO
from chainrule.tracing import changes, running

__all__ = ["Module"]

REGISTRIES = ("_parameters", "_buffers", "_modules")


class Structure:
    """Counts the changes to any module's tree, so that paths are found once."""

    version = 0


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` left out."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """Base class of layers and networks.

    A subclass calls ``super().__init__()``, assigns parameters and modules as attributes and writes
    ``forward``.

    >>> import chainrule as cr
    >>> class Twice(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.weight = cr.nn.Parameter(cr.ones(2))
    ...
    ...     def forward(self, x):
    ...         return 2 * self.weight * x
    >>> net = Twice()
    >>> net(cr.tensor([1.0, 3.0])).tolist(), [name for name, _ in net.named_parameters()]
    ([2.0, 6.0], ['weight'])
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _summarise: ClassVar[Callable[..., Any]]  # filled by the front door, which loads inspect/
    _transient: set[str]  # buffers that are not saved
    _pre_hooks: dict[int, Callable[..., Any]]
    _hooks: dict[int, Callable[..., Any]]
    _backward_hooks: dict[int, Callable[..., Any]]
    _open: tuple[str, ...] = ()  # arguments that were None, until the first input tells them

    def __init__(self) -> None:
        self.__dict__.update(
            training=True, _parameters={}, _buffers={}, _modules={}, _transient=set(),
            _pre_hooks={}, _hooks={}, _backward_hooks={},
        )  # fmt: skip

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes. To be written by the subclass."""
        got, needs = "a call", "a method forward(self, x)"
        raise UsageError(message(type(self).__name__, got, needs))

    # ------------------------------------------------------------ calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """``forward`` with hooks; what it records carries the module's path: ``conv1/Conv2d``."""
        rec = recorder()
        if rec.trace is not None:
            rec.trace.saw_module(self)
        scope, line, paths, path = rec.scope, rec.line, calls.paths, calls.path
        if rec.depth == 0:
            if not rec.grad_enabled and not rec.undisturbed and rec._pending:
                rec.compute()  # an evaluation loop stays flat in memory
            calls.paths = self._paths()
        mine = calls.paths.get(id(self))
        calls.path, rec.scope = mine or (type(self).__name__,) * 2
        if rec.depth == 0 and scope:
            rec.scope = f"{scope}/{rec.scope}" if rec.scope else scope
        inside = rec.scope
        hooked = (self._pre_hooks or self._hooks or self._backward_hooks) and not calls.searching
        rec.line = (line or user_line()) if is_ours(type(self)) and not hooked else None
        rec.depth += 1
        try:
            result = self._call_hooked(args, kwargs) if hooked else self.forward(*args, **kwargs)
            for tape in rec.taps:
                tape.saw_call(calls.path or type(self).__name__, result)
            return result
        except ChainruleError as error:
            if type(self).__module__.startswith("chainrule.nn") and not self._modules:
                locate(error, inside)
            if rec.depth == 1 and isinstance(error, ShapeError):
                name_inputs_that_fit(error, self, args, kwargs)
            raise
        except (AttributeError, TypeError):
            if is_ours(type(self)):
                refuse_arrays(inside, (*args, *kwargs.values()))
            raise
        finally:
            rec.depth -= 1
            rec.scope, rec.line, calls.paths, calls.path = scope, line, paths, path

    def _call_hooked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for hook in tuple(self._pre_hooks.values()):
            if isinstance(hook, with_keywords):
                changed = hook(self, args, kwargs)
                if changed is not None:
                    args, kwargs = changed
                continue
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        if self._backward_hooks and recorder().grad_enabled:
            hooks = tuple(self._backward_hooks.values())
            result = watch_backward(self, hooks, args, lambda *x: self.forward(*x, **kwargs))
        else:
            result = self.forward(*args, **kwargs)
        for hook in tuple(self._hooks.values()):
            told = (args, kwargs) if isinstance(hook, with_keywords) else (args,)
            changed = hook(self, *told, result)
            if changed is not None:
                result = changed
        return result

    def _paths(self) -> dict[int, tuple[str, str]]:
        """Path and scope of each module below this one, the outermost; names the parameters."""
        cached = self.__dict__.get("_known_paths")
        if cached is not None and cached[0] == Structure.version:
            return cached[1]
        paths = {}
        for path, module in self.named_modules():
            kind = type(module).__name__
            paths[id(module)] = (path, f"{path}/{kind}" if path else kind)
        if self._modules:
            paths[id(self)] = ("", "")
        states.refuse_hidden_modules(self, Module)
        for name, parameter in self._named("_parameters", "", True, True):
            if parameter._name is None or name.endswith(f".{parameter._name}"):
                parameter._name = name
                if parameter._seen is not None:
                    parameter._seen.node.name = name
        self.__dict__["_known_paths"] = (Structure.version, paths)
        return paths

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> Handle:
        """Call ``hook(module, args)`` before ``forward``; what it returns replaces args.

        With ``with_kwargs`` it is ``hook(module, args, kwargs)`` and returns both.
        """
        called = with_keywords(hook) if with_kwargs else hook
        return Handle(self._pre_hooks, called, first=prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> Handle:
        """Call ``hook(module, args, output)`` after ``forward``; what it returns is the output.

        With ``with_kwargs`` it is ``hook(module, args, kwargs, output)``.
        """
        called = with_keywords(hook) if with_kwargs else hook
        return Handle(self._hooks, called, first=prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> Handle:
        """Call ``hook(module, grad_input, grad_output)``, two tuples, when a backward passes.

        What it returns takes the place of ``grad_input``.
        """
        return Handle(self._backward_hooks, hook, first=prepend)

    # ------------------------------------------------------------ attributes

    def __getattr__(self, name: str) -> Any:
        found = self.__dict__
        for registry in REGISTRIES:
            if registry in found and name in found[registry]:
                return found[registry][name]
        if name in Module.__annotations__ and "_modules" not in found:
            raise _no_init(self, f"self.{name}")
        if found.get("_open") and name in ("weight", "bias"):
            raise NameNotFoundError(states.open_sizes(self, type(self).__name__, f"its {name} is"))
        if name.startswith("_"):  # asked for by pickle, copy and the like
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        raise not_found(type(self).__name__, name, dir(self) if "_modules" in found else ())

    def __setattr__(self, name: str, value: Any) -> None:
        trace = running()
        if trace is not None:
            trace.will_set(self, name, value)
        else:
            changes.count += 1
        if isinstance(value, Parameter):
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self.add_module(name, value)
        else:
            for registry in REGISTRIES:
                held = self.__dict__.get(registry)
                if held is not None and name in held:
                    return self._replace(registry, name, value)
            object.__setattr__(self, name, value)
        return None

    def _replace(self, registry: str, name: str, value: Any) -> None:
        if value is not None and not (registry == "_buffers" and isinstance(value, Tensor)):
            needs = {"_parameters": "a Parameter", "_buffers": "a Tensor", "_modules": "a Module"}
            where = f"{type(self).__name__}.{name}"
            got = type(value).__name__
            remedy = "with no_grad(): p.copy_(value) writes to it" if "par" in registry else ""
            raise UsageError(message(where, got, f"{needs[registry]} or None", remedy=remedy))
        getattr(self, registry)[name] = value
        Structure.version += registry != "_buffers"

    def __delattr__(self, name: str) -> None:
        changes.count += 1
        for registry in REGISTRIES:
            if name in self.__dict__.get(registry, ()):
                del self.__dict__[registry][name]
                Structure.version += 1
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._parameters, *self._buffers, *self._modules]

    def _claim(self, name: str, registry: str, value: Any) -> None:
        """Make the name free for a registry."""
        if recorder().trace is not None:
            recorder().trace.refuse("a part of a module is made or replaced")
        if "_modules" not in self.__dict__:
            raise _no_init(self, f"self.{name} = {type(value).__name__}(…)")
        if not isinstance(name, str) or not name or "." in name:
            where = type(self).__name__
            raise UsageError(message(where, f"the name {name!r}", "a name without a dot"))
        for other in REGISTRIES:
            if other != registry:
                self.__dict__[other].pop(name, None)
        self.__dict__.pop(name, None)
        Structure.version += 1
        changes.count += 1

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Assign a parameter, or reserve its name with ``None``."""
        self._claim(name, "_parameters", param)
        if param is not None and not isinstance(param, Parameter):
            where = f"{type(self).__name__}.{name}"
            raise UsageError(message(where, type(param).__name__, "a Parameter or None"))
        if param is not None and param._name is None:
            param._name = name
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Assign a tensor that is state but not learned; saved if it is persistent."""
        self._claim(name, "_buffers", tensor)
        self._buffers[name] = tensor
        (self._transient.discard if persistent else self._transient.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Assign a module below this one."""
        self._claim(name, "_modules", module)
        if module is not None and not isinstance(module, Module):
            where = f"{type(self).__name__}.{name}"
            got = type(module).__name__
            raise UsageError(message(where, got, "a Module", remedy="Is its constructor called?"))
        self._modules[name] = module

    register_module = add_module

    def get_submodule(self, target: str) -> Module:
        """The module at a path: ``get_submodule("features.0")``; the empty path is this module."""
        return self._at(target, "_modules", "module") if target else self

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a path: ``get_parameter("fc.weight")``."""
        return self._at(target, "_parameters", "parameter")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a path: ``get_buffer("bn.running_mean")``."""
        return self._at(target, "_buffers", "buffer")

    def _at(self, target: str, registry: str, kind: str) -> Any:
        path, _, name = target.rpartition(".")
        owner: Any = self
        for part in filter(None, path.split(".")):
            owner = owner._modules.get(part) if owner is not None else None
        found = None if owner is None else getattr(owner, registry).get(name)
        if found is None:
            named = {"_modules": self.named_modules, "_parameters": self.named_parameters}
            names = [path for path, _ in named.get(registry, self.named_buffers)()]
            raise not_found(f"{type(self).__name__} ({kind}s)", target, names)
        return found

    def __getstate__(self) -> dict[str, Any]:
        made_anew = ("_known_paths", "_compiled")
        return {n: value for n, value in tuple(self.__dict__.items()) if n not in made_anew}

    # ------------------------------------------------------------ the tree

    def children(self) -> Iterator[Module]:
        """The modules directly below this one."""
        return (module for _, module in self.named_children())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of those directly below this one."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(path, module) of this module and all below it, this one first, under ``prefix``."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, path, remove_duplicate)

    def _named(self, registry: str, prefix: str, recurse: bool, once: bool) -> Iterator[Any]:
        seen = set()
        owners = self.named_modules(None, prefix, once) if recurse else [(prefix, self)]
        for path, module in owners:
            for name, value in module.__dict__[registry].items():
                if value is not None and value not in seen:
                    if once:
                        seen.add(value)
                    yield (f"{path}.{name}" if path else name), value

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters of this module and of those below it, each once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter).  Raises for layers in a plain list, whose parameters it can't see."""
        if recurse:
            states.refuse_unseen(self, Module)
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """State that is not learned, such as running means."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """(path, buffer)"""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def apply(self, fn: Callable[[Module], Any]) -> Module:
        """Call ``fn`` with each module below this one, then with this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # ------------------------------------------------------------ state

    def train(self, mode: bool = True) -> Module:
        """Training behaviour of dropout and batch norm, or with ``False`` that of evaluation."""
        changes.count += 1
        for module in self.modules():
            trace = running()
            if trace is not None:
                trace.will_set(module, "training", bool(mode))
            module.__dict__["training"] = bool(mode)
        return self

    def eval(self) -> Module:
        """Evaluation: no dropout, the running statistics of batch norm."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Learn the parameters, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set them to zero."""
        for parameter in self.parameters():
            if set_to_none:
                parameter._grad = None
            elif parameter._kept_grad is LET_GO or parameter._grad is not None:
                parameter._grad = parameter.new_zeros(parameter.shape)

    def to(self, *targets: Any, dtype: Any = None, device: Any = None) -> Module:
        """Floating-point parameters and buffers in another dtype: ``net.to(cr.float64)``."""
        if device is not None:
            Device(device)
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.is_floating_point():
                new = tensor.detach().to(*targets, dtype=dtype)
                if new.dtype is not tensor.dtype:
                    tensor.data = new
                    if isinstance(tensor._kept_grad, Tensor):
                        tensor._grad = tensor._kept_grad.to(new.dtype)
        return self

    float = lambda self: self.to(float32)  # noqa: E731
    double = lambda self: self.to(float64)  # noqa: E731
    cpu = lambda self: self  # noqa: E731

    def cuda(self) -> Module:
        """Raises: there is no CUDA backend yet."""
        return self.to(device="cuda")

    def state_dict(self, prefix: str = "", keep_vars: bool = False) -> OrderedDict[str, Tensor]:
        """{path: tensor} of parameters and persistent buffers; the tensors share their storage."""
        states.refuse_unseen(self, Module)
        found = states.named_state(self, prefix)
        return OrderedDict((k, v if keep_vars else v.detach()) for k, v in found)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Take over the values of a ``state_dict``, Chainrule's or PyTorch's: all of them or none.

        Values are copied into the parameters that are there: ``assign=True``, which would replace
        them behind the back of an optimizer, is refused.

        Raises ``CheckpointError`` with a table of missing, unexpected and reshaped names; with
        ``strict=False`` for reshaped ones only.
        """
        if assign:
            why = "An optimizer would go on with the old parameters"
            remedy = "Without it values are copied; .to(dtype) first changes the type"
            got, needs = "assign=True", "assign=False"
            raise UsageError(message("load_state_dict", got, needs, why=why, remedy=remedy))
        states.refuse_unseen(self, Module)
        return IncompatibleKeys(*states.load(self, state_dict, strict))

    # ------------------------------------------------------------ looking

    def summary(self, input_size: Any = None, batch_size: int | None = 1) -> Any:
        """Layers, shapes, parameters, multiply-adds, receptive fields: ``inspect.summary``.

        input_size: the sizes of one sample, without the batch axis.  Nothing is computed.
        """
        return self._summarise(input_size, batch_size)

    def extra_repr(self) -> str:
        """What stands in the brackets of ``repr``."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = [] if not extra else extra.split("\n")
        below = [
            f"({name}): " + repr(module).replace("\n", "\n  ")
            for name, module in self._modules.items()
        ]
        if len(lines) == 1 and not below:
            return f"{self._get_name()}({lines[0]})"
        body = "".join(f"\n  {line}" for line in [*lines, *below])
        return f"{self._get_name()}({body}\n)" if body else f"{self._get_name()}()"

    def _repr_html_(self) -> str:
        return tree_html(_branch(self, ""))


def _branch(module: Module, name: str) -> Branch:
    """A module as a notebook's tree; a parameter that is shared counts once at each module."""
    own = [
        (name, type_text(each.shape, each.dtype))
        for name, each in module._parameters.items()
        if each is not None
    ]
    below = [_branch(each, path) for path, each in module._modules.items() if each is not None]
    count = sum(each.numel() for each in module.parameters())
    return Branch(name, module._get_name(), count, own, below)


def _no_init(module: Module, got: str) -> UsageError:
    name = type(module).__name__
    remedy = f"Add super().__init__() as the first line of {name}.__init__"
    return UsageError(message(name, got, "super().__init__() before it", remedy=remedy))
