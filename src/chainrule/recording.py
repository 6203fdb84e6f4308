"""The switches of recording: gradients on and off, scopes, and computing what is pending."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from chainrule.errors import UsageError, message
from chainrule.storage import recorder

__all__ = [
    "enable_grad",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "scope",
    "set_grad_enabled",
    "synchronize",
]


class set_grad_enabled:  # noqa: N801  PyTorch's name
    """Switch the recording of histories on or off: at once, or for a ``with`` block."""

    def __init__(self, mode: bool) -> None:
        self.mode = bool(mode)
        self._before = [recorder().grad_enabled]
        recorder().grad_enabled = self.mode

    def __enter__(self) -> None:
        recorder().grad_enabled = self.mode

    def __exit__(self, *error: object) -> None:
        recorder().grad_enabled = self._before.pop()


class _GradMode:
    """A context manager and decorator that sets whether histories are recorded."""

    mode = True
    _before: tuple[Any, ...] = ()  # the mode before the latest entry, and what was before that

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        if function is not None:
            raise UsageError(
                message(type(self).__name__, "no brackets", f"@{type(self).__name__}()")
            )

    def __enter__(self) -> None:
        rec = recorder()
        self._before = rec.grad_enabled, self._before
        rec.grad_enabled = self.mode

    def __exit__(self, *error: object) -> None:
        recorder().grad_enabled, self._before = self._before

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return function(*args, **kwargs)

        return wrapped


class no_grad(_GradMode):  # noqa: N801
    """No histories are recorded: ``with no_grad():`` or ``@no_grad()``."""

    mode = False


class inference_mode(no_grad):  # noqa: N801
    """``no_grad`` by PyTorch's other name; what is made in it may be used anywhere later."""


class enable_grad(_GradMode):  # noqa: N801
    """Histories are recorded, also inside ``no_grad``."""

    mode = True


def is_grad_enabled() -> bool:
    """Whether histories are recorded now, in this thread."""
    return recorder().grad_enabled


def synchronize() -> None:
    """Compute all pending work of this thread now. Timing a plain loop needs it."""
    recorder().compute()


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Nodes recorded in the block carry this name in front of theirs: ``conv1/Conv2d``."""
    rec = recorder()
    before = rec.scope
    rec.scope = f"{before}/{name}" if before else name
    try:
        yield
    finally:
        rec.scope = before
