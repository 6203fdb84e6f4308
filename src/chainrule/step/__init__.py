"""The whole framework in one place: what is recorded is handed to a backend.

``storage/`` decides what is pending and alive; here that work meets the backend that computes it.
``cr.compile`` removes the remaining Python: a function is traced once per signature, the graph of
all it does (forward, backward, update) is built, and a call runs it without recording anything.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import update_wrapper
from inspect import iscoroutinefunction, isgeneratorfunction
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from chainrule.compile.work import Work, difference, key
from chainrule.errors import GraphError, UsageError, message
from chainrule.forks import unlocked_in_children
from chainrule.graph import Node, type_text
from chainrule.lines import user_line
from chainrule.run import backend
from chainrule.step.effects import Effects, stand_in
from chainrule.step.guards import StaleError
from chainrule.step.nest import Form, objects, put_together, take_apart
from chainrule.step.trace import LookError, Trace, UntraceableError
from chainrule.step.traced import MISSED, Traced
from chainrule.step.variables import Variables
from chainrule.storage import Hold, Recorded, Recorder, recorder
from chainrule.storage.counters import counters
from chainrule.tensor import Tensor

__all__ = ["Compiled", "compile"]

Recorder.execute = staticmethod(backend.run)

MOST_SIGNATURES = 64  # of one function: the one that was not used for longest is forgotten
MOST_TRACES = 8  # of one signature
RESTLESS = 8  # traces with fewer than two hits each before a function is said to change always

_built: WeakValueDictionary[str, Any] = WeakValueDictionary()  # by the key of the graph


def compile(function: Any = None, *, keep_grads: bool = False) -> Any:
    """Trace a function once, and run the whole of it as one program from then on.

    For a training step or an evaluation: a function of tensors (also in tuples, lists and dicts)
    and plain values, that returns such.  What it finds outside (parameters, an optimizer, random
    streams) it reads and writes as a plain run does, to the bit.  It is traced anew when shapes,
    dtypes or other arguments differ, or a module, an optimizer or a variable that it names has
    changed; the rate of an optimizer may change at each step.

    Values can't be looked at inside.  Gradients are not kept, unless they are read before they are
    cleared, or ``keep_grads``.  A module is returned as it is.  Other work of Python, such as
    ``print``, is done when the function is traced; what it reads from clocks, iterators and files
    stays as it was then.

    >>> import chainrule as cr
    >>> w = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = cr.optim.SGD([w], lr=0.25)
    >>> @cr.compile
    ... def step(x):
    ...     optimizer.zero_grad()
    ...     loss = ((w - x) ** 2).sum()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> [step(cr.zeros(2)).item() for _ in range(3)]
    [5.0, 1.25, 0.3125]
    """
    if function is None:
        return lambda function: compile(function, keep_grads=keep_grads)
    if hasattr(function, "named_parameters"):
        return function
    later = isgeneratorfunction(function) or iscoroutinefunction(function)
    if later or not callable(function):
        got = "a generator or coroutine" if later else f"a {type(function).__name__}"
        raise UsageError(message("compile", got, "a function that returns its results"))
    return Compiled(function, keep_grads)


class Compiled:
    """What ``cr.compile`` returns: called like the function.

    ``may_look``: a function that looks at values inside is run plainly, instead of an error.
    """

    def __init__(
        self, function: Callable[..., Any], keep_grads: bool = False, *, may_look: bool = False
    ) -> None:
        self.function, self._keep, self._may_look = function, keep_grads, may_look
        self._checks = os.environ.get("CHAINRULE_CHECK_TRACE", "0") not in ("", "0")
        self._traces: dict[Any, list[Traced]] = {}
        self._plain: set[Any] = set()  # signatures that no trace can repeat
        self.unlock()
        unlocked_in_children(self)
        self._latest: Traced | None = None  # of plain tensors alone: the next call is its like
        self._newest: Traced | None = None
        self._restless, self._told, self._why = 0, False, ""
        update_wrapper(self, function)

    def unlock(self) -> None:
        """See ``forks.Lockable``."""
        self._lock = threading.RLock()
        self._owner: Recorder | None = None  # of the only thread that has called it so far
        self._shared = False  # others have called it: each call takes the lock
        self._inside = False  # whether the owner is in a call, without the lock

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        """A compiled method: one program for each object."""
        if owner is None:
            return self
        known = owner.__dict__.setdefault("_compiled", {})
        if self not in known:
            known[self] = Compiled(self.function.__get__(owner, kind), self._keep)
        return known[self]

    def __deepcopy__(self, memo: dict[int, Any]) -> Compiled:
        """Of a method, that of the copied object."""
        function = deepcopy(self.function, memo)
        return Compiled(function, self._keep, may_look=self._may_look)

    def __reduce__(self) -> str:
        """Pickled by its name, as functions are."""
        return self.function.__qualname__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        rec = recorder()
        if rec.taps or rec.watch is not None or rec.trace is not None:  # somebody looks
            return self.function(*args, **kwargs)
        # A lock takes a twentieth of a small step: one thread does without as long as it is alone.
        before = self._inside
        try:
            self._inside = True
            if rec is self._owner:
                return self._call_alone(rec.grad_enabled, args, kwargs)
        finally:
            self._inside = before
        return self._call_in_turn(rec, args, kwargs)

    def _call_in_turn(self, rec: Recorder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The first call, which makes its thread the owner, and all calls once there are two."""
        with self._lock:
            if self._owner is None and not self._shared:
                self._owner = rec
            elif not self._shared:
                self._owner, self._shared = None, True
                while self._inside:
                    time.sleep(1e-4)
            return self._call_alone(rec.grad_enabled, args, kwargs)

    def _call_alone(self, grads: bool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call while no other thread is in one; most are in all the like of the one before."""
        latest = self._latest
        if latest is not None and not kwargs and latest.grads is grads:
            result = latest.call(args)
            if result is not MISSED:
                return result
        return self._call(grads, args, kwargs)

    def _call(self, grads: bool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Not as the call before, or with arguments that are no plain tensors."""
        tensors, form = take_apart((args, kwargs), Tensor)
        signature = (form, grads, *map(_type, tensors))
        if signature in self._plain:
            return self.function(*args, **kwargs)
        traced = self._find(signature)
        if traced is None or traced.volatile or self._checks:
            traced = self._trace(signature, form, tensors, traced)
            if traced is None:
                return self.function(*args, **kwargs)
        special = traced.volatile or traced.writes_arguments or kwargs or self._checks
        self._latest = traced if not special and len(tensors) == len(args) else None
        if tensors and traced.overlap(tensors):
            return self.function(*args, **kwargs)
        return traced.run(tensors, traced.contiguous(tensors))

    @property
    def newest(self) -> Traced | None:
        """What was traced last; ``None`` as long as nothing was."""
        return self._newest

    # ------------------------------------------------------------ the traces

    def _find(self, signature: Any) -> Traced | None:
        """A trace that holds, with the numbers of this call."""
        known = self._traces.get(signature)
        if known is None:
            self._why = "the shapes, dtypes or values of its arguments"
            return None
        self._traces[signature] = self._traces.pop(signature)  # the latest used comes last
        for traced in reversed(known):
            try:
                traced.refresh()
            except StaleError as stale:
                self._why = str(stale)
                continue
            return traced
        return None

    def _trace(
        self, signature: Any, form: Form, tensors: list[Any], known: Traced | None
    ) -> Traced | None:
        if known is None or known.volatile:
            self._notice(known)
        variables = Variables(self.function, objects(form))
        before = variables.standing()
        trace = Trace()
        owner = getattr(self.function, "__self__", None)
        try:
            with trace:
                if hasattr(owner, "named_parameters"):
                    trace.saw_module(owner)
                arguments = [stand_in(trace, x) for x in tensors]
                args, kwargs = put_together(form, arguments)
                result = self.function(*args, **kwargs)
                if trace.broken is not None:
                    raise trace.broken
                effects = Effects(trace, result, arguments, self._keep)
                variables.add(*trace.modules.values())
                if variables.standing() != before:
                    trace.volatile = "random numbers are drawn, or a rate is set, by Python alone"
            try:
                made = Traced(trace, effects, arguments, variables)
            finally:
                trace.end()
        except UntraceableError:
            return None
        except LookError:
            if not self._may_look:
                raise
            self._plain.add(signature)
            return None
        except BaseException:
            trace.over()
            raise
        counters.traced += 1
        if known is not None and not known.volatile:
            self._compare(known, made)
        types = ", ".join(type_text(x.shape, x.dtype) for x in tensors)
        why = f"{self._why} changed" if self._traces else "its first call"
        name = getattr(self.function, "__name__", "a function")
        with backend.told_if_long(f"{name}({types})", why):
            _build(made)
        self._newest = made
        listed = self._traces.setdefault(signature, [])
        listed[:] = [traced for traced in listed if traced is not known][1 - MOST_TRACES :]
        listed.append(made)
        while len(self._traces) > MOST_SIGNATURES:
            del self._traces[next(iter(self._traces))]
        return made

    def _notice(self, known: Traced | None) -> None:
        """Once: the function is traced again and again, and what changes."""
        self._restless = self._restless + 1 if self._newest is None or self._newest.hits < 2 else 0
        if self._restless <= RESTLESS or self._told:
            return
        self._told = True
        why = known.volatile if known is not None else f"{self._why} changed"
        line = user_line()
        name = getattr(self.function, "__name__", "a function")
        got = f"{self._restless} traces of {name} in a row"
        remedy = "Numbers that change can be tensors: cr.tensor(number)"
        needs = "a signature that stays"
        text = message("compile", got, needs, why=f"At each call {why}", remedy=remedy)
        if line is not None:
            warnings.warn_explicit(text, UserWarning, line[0].co_filename, line[1])

    @staticmethod
    def _compare(known: Traced, made: Traced) -> None:
        """CHAINRULE_CHECK_TRACE: a trace that holds must be what a new one finds."""
        node = difference(known.work, made.work)
        why = known.first_difference(made) if node is None else node.op.name
        if why:
            where = "" if node is None else node.where
            got = f"another trace than before, first at {why}"
            needs = "the same, as nothing that it depends on was seen to change"
            raise GraphError(message("compile", got, needs, line=where))


def _type(x: Tensor) -> tuple[Any, ...]:
    """What a trace takes for granted of an argument."""
    requires = x.requires_grad
    return x.shape, x.dtype, requires and (x._leaf, x._kept_grad is None)


class Once:
    """A work that runs once, as a plain loop would run it: a step that begins momentum buffers."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def run(
        self, inputs: list[np.ndarray], places: Sequence[np.ndarray | None]
    ) -> list[np.ndarray]:
        """See ``compile.work.Built``."""
        rec = recorder()
        found: dict[Node, Recorded] = {
            node: rec.leaf(node.op, value, node.dtype)
            for node, value in zip(self._work.inputs, inputs, strict=True)
        }
        with rec.undisturbed_work(), rec.setting(grad_enabled=False, scope="", line=None):
            for node in self._work.nodes:
                rec.scope, rec.line = node.scope, node.line
                sources = tuple(found[source] for source in node.inputs)
                found[node] = rec.record(node.op, sources, node.meta)
        holds = [Hold(found[node]) for node in self._work.outputs]
        found.clear()
        results = [np.array(hold.node.result(), order="C") for hold in holds]
        for k, place in enumerate(places):
            if place is not None:
                place[...] = results[k]
                results[k] = place
        return results


def _build(made: Traced) -> None:
    """What a backend makes of the work, or made of an equal one."""
    if made.begins:
        made.built = Once(made.work)
        return
    digest = key(made.work)
    built = _built.get(digest)
    if built is None:
        built = _built[digest] = backend.build(made.work)
        counters.built += 1
    else:
        built.shared = True
    made.built = built
