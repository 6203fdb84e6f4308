"""Where a calculation is: the path of modules and functions, for graphs, tapes and errors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from pathlib import PurePath
from typing import Any, ParamSpec, TypeVar

from chainrule.errors import ChainruleError, DtypeError, ShapeError, UsageError, message
from chainrule.lines import user_line
from chainrule.storage import recorder
from chainrule.tensor import Tensor

__all__ = ["Calls", "calls", "here", "locate", "public", "refuse_arrays"]

P = ParamSpec("P")
R = TypeVar("R")


class Calls(threading.local):
    """Where this thread is: paths of the modules below the outermost one, and the present path."""

    paths: dict[int, tuple[str, str]] = {}  # id(module) -> (path, scope)
    path = ""
    searching = False  # for inputs that fit: what is recorded is for nobody


calls = Calls()


def here(name: str) -> str:
    """The present scope, or a name where there is none: what stands in the brackets of an error."""
    return recorder().scope or name


def line_text() -> str:
    """The user's own line: ``net.py:25 in Net.forward``."""
    line = user_line()
    if line is None:
        return ""
    code, number = line
    text = f"{PurePath(code.co_filename).name}:{number}"
    if code.co_name == "<module>":
        return text
    return f"{text} in {code.co_qualname.rpartition('<locals>.')[2]}"


def locate(error: ChainruleError, where: str) -> None:
    """Say in the error's text in which layer and at which of the user's lines it arose, once.

    >>> error = ShapeError("[conv] got f32[2], needs f32[N,C,H,W]. why.")
    >>> locate(error, "conv1/Conv2d")
    >>> str(error).startswith("[conv1/Conv2d] got f32[2], needs f32[N,C,H,W] (")
    True
    """
    text = str(error)
    plain = isinstance(error, (ShapeError, DtypeError, UsageError)) and text.startswith("[")
    if not plain or getattr(error, "located", False):
        return
    error.located = True  # type: ignore[attr-defined]
    body = text.partition("] ")[2]
    fact, stop, rest = body.partition(". ")
    if not stop and fact.endswith((".", "?")):
        fact, stop = fact[:-1], fact[-1]
    line = line_text()
    if line and ".py:" not in fact:
        fact += f" ({line})"
    error.args = (f"[{where}] {fact}{stop}{rest}",)


def refuse_arrays(where: str, values: tuple[Any, ...]) -> None:
    """Say so if it was an array of NumPy or another library that something failed on."""
    for value in values:
        kind = type(value)
        if hasattr(kind, "__array__") and not isinstance(value, Tensor):
            got = (
                "an array of NumPy" if kind.__module__ == "numpy" else f"a {kind.__module__} tensor"
            )
            error = UsageError(message(where, got, "a tensor", remedy="cr.tensor(array)"))
            locate(error, where)
            raise error from None


def public(function: Callable[P, R]) -> Callable[P, R]:
    """A function of ``nn.functional``: a scope of its name, located errors, seen by tapes.

    ``function.inner`` is the function itself, for layers, which have a scope of their own.
    """
    name = function.__name__

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        rec = recorder()
        before = rec.scope
        rec.scope = scope = f"{before}/{name}" if before else name
        try:
            result = function(*args, **kwargs)
        except ChainruleError as error:
            locate(error, scope)
            raise
        except (AttributeError, TypeError):
            refuse_arrays(scope, (*args, *kwargs.values()))
            raise
        finally:
            rec.scope = before
        for tape in rec.taps:
            tape.saw_call(f"{calls.path}/{name}" if calls.path else name, result)
        return result

    call.inner = function  # type: ignore[attr-defined]
    return call


def inner(function: Callable[P, R]) -> Callable[P, R]:
    """What a ``public`` function does, without its scope."""
    return function.inner  # type: ignore[attr-defined]


def shape_of(sizes: Any) -> str:
    """[4,1], as errors write a shape."""
    return str(list(sizes)).replace(" ", "")
