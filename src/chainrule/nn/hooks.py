"""Hooks on modules: handles to take them off, and error signals on their way through a module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.tensor import Tensor
from chainrule.tracing import changes

__all__ = ["Handle", "watch_backward", "with_keywords"]


class with_keywords:  # noqa: N801  reads as a decorator
    """A hook that is also given the keyword arguments."""

    def __init__(self, hook: Callable[..., Any]) -> None:
        self.hook = hook

    def __call__(self, *args: Any) -> Any:
        return self.hook(*args)


class Handle:
    """What a ``register_…_hook`` returns: ``remove()`` takes the hook off again."""

    def __init__(
        self, hooks: dict[int, Callable[..., Any]], hook: Callable[..., Any], first: bool = False
    ) -> None:
        changes.count += 1
        self._hooks, self._number = hooks, max(hooks, default=-1) + 1
        before = {} if first else dict(hooks)
        after = dict(hooks) if first else {}
        hooks.clear()
        hooks.update(before | {self._number: hook} | after)

    def remove(self) -> None:
        """Take the hook off; a second call does nothing."""
        changes.count += 1
        self._hooks.pop(self._number, None)

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def watch_backward(
    module: Any, hooks: tuple[Callable[..., Any], ...], args: tuple[Any, ...], forward: Any
) -> Any:
    """``forward(*args)``, calling ``hook(module, grad_input, grad_output)`` when a backward passes.

    The first tensor among ``args`` that requires grad and a single output are watched.
    """
    place = next((k for k, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad), None)
    signals: list[Tensor] = []
    entry = None
    if place is not None:
        entry = args[place].clone()  # a node of this call's own: another reader's signal stays out
        args = (*args[:place], entry, *args[place + 1 :])
    result = forward(*args)
    if not isinstance(result, Tensor) or not result.requires_grad:
        return result

    def tell(grad_input: Tensor | None) -> Tensor | None:
        before = tuple(grad_input if k == place else None for k in range(len(args)))
        changed = None
        for hook in hooks:
            answer = hook(module, before, tuple(signals))
            if answer is not None:
                before = answer if isinstance(answer, tuple) else (answer,)
                changed = before[place or 0]
        return changed

    def leave(grad_output: Tensor) -> None:
        signals[:] = [grad_output]
        if entry is None:
            tell(None)

    if result is entry:
        result = result.clone()
    result.register_hook(leave)
    if entry is not None:
        entry.register_hook(tell)
    return result
