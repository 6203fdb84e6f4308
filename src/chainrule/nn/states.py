"""State dicts: what a module saves, and loading it whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from chainrule.errors import CheckpointError, UsageError, message, nearest
from chainrule.graph import type_text
from chainrule.storage import recorder
from chainrule.tensor import Tensor, tensor

__all__ = ["load", "named_state", "open_sizes", "refuse_hidden_modules", "refuse_unseen"]


def named_state(module: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """(path, tensor) of parameters and persistent buffers, in PyTorch's order."""
    for name, value in module._parameters.items():
        if value is not None:
            yield prefix + name, value
    for name, value in module._buffers.items():
        if value is not None and name not in module._transient:
            yield prefix + name, value
    for name, child in module._modules.items():
        if child is not None:
            yield from named_state(child, f"{prefix}{name}.")


def refuse_hidden_modules(root: Any, kind: type) -> None:
    """Raise for modules in a plain list, tuple or dict: they would silently not learn."""
    known = set(root.modules())
    for path, module in root.named_modules():
        for name, value in tuple(module.__dict__.items()):  # a first forward adds to it meanwhile
            if name.startswith("_") or not isinstance(value, (list, tuple, dict)):
                continue
            held = value.values() if isinstance(value, dict) else value
            hidden = [item for item in held if isinstance(item, kind) and item not in known]
            if hidden:
                where = f"{path}.{name}" if path else f"{type(root).__name__}.{name}"
                count = "1 layer" if len(hidden) == 1 else f"{len(hidden)} layers"
                got = f"{count} in a plain {type(value).__name__}"
                wrapper = "ModuleDict" if isinstance(value, dict) else "ModuleList"
                why = "Their parameters would be neither trained nor saved"
                remedy = f"self.{name} = nn.{wrapper}({name})"
                raise UsageError(message(where, got, f"an nn.{wrapper}", why=why, remedy=remedy))


def refuse_unseen(root: Any, kind: type) -> None:
    """Raise where parameters are not known: in a plain list, or not made yet."""
    refuse_hidden_modules(root, kind)
    for path, module in root.named_modules():
        if module._open:
            name = type(module).__name__
            raise UsageError(open_sizes(module, f"{path}/{name}" if path else name))


def open_sizes(module: Any, where: str, asked: str = "") -> str:
    """The error of a layer whose sizes are not known yet."""
    sizes = ", ".join(f"{name}=None" for name in module._open)
    got = f"{sizes} when {asked or 'its parameters are'} asked for"
    why, remedy = (
        "They are made from its shape",
        "Send one batch through the network before: net(x)",
    )
    return message(where, got, "a first input", why=why, remedy=remedy)


def load(module: Any, state: Mapping[str, Any], strict: bool) -> tuple[list[str], list[str]]:
    """Write the values of ``state`` into the module; (missing, unexpected) names."""
    mine = dict(named_state(module))
    missing = [name for name in mine if name not in state]
    unexpected = [name for name in state if name not in mine]
    given = {name: _values(state[name]) for name in mine if name in state}
    reshaped = [name for name, x in given.items() if x.shape != mine[name].shape]
    if reshaped or (strict and (missing or unexpected)):
        rows = [("reshaped", name, f"{_type(given[name])}, needs {_type(mine[name])}")
                for name in reshaped]  # fmt: skip
        if strict:
            rows += [("missing", n, _type(mine[n]) + _nearest(n, unexpected)) for n in missing]
            rows += [("unexpected", name, _nearest(name, missing)) for name in unexpected]
        raise CheckpointError(_table(type(module).__name__, rows))
    with recorder().setting(grad_enabled=False):
        for name, value in given.items():
            mine[name].copy_(value.to(mine[name].dtype))
    return missing, unexpected


def _values(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    if hasattr(value, "detach"):  # PyTorch's
        value = value.detach().cpu()
    return tensor(np.asarray(value))


def _type(x: Tensor) -> str:
    return type_text(x.shape, x.dtype)


def _nearest(name: str, others: list[str]) -> str:
    there = nearest(name, others)
    return f"  nearest {there}" if there else ""


def _table(kind: str, rows: list[tuple[str, str, str]]) -> str:
    names = "a name" if len(rows) == 1 else f"{len(rows)} names"
    head = message("load_state_dict", f"{names} that {kind} has otherwise", f"{kind}'s state_dict")
    width = max(len(name) for _, name, _ in rows)
    lines = (f"  {what:10}  {name:{width}}  {text.strip()}".rstrip() for what, name, text in rows)
    return "\n".join([head, *lines])
