"""What must be as it was for a trace to hold, beside variables: modules, handles, optimizers.

Two kinds of guard.  What anybody may change without a sound (a variable, see ``variables.py``; a
dict of one's own in an optimizer) is looked at in every call.  All else is looked at when
``tracing.changes`` has counted a change since.
"""

from __future__ import annotations

from operator import is_, itemgetter
from typing import Any
from weakref import ref

from chainrule.step.trace import Group, Trace
from chainrule.step.variables import same
from chainrule.tensor import Tensor
from chainrule.tracing import CountedDict, changes

__all__ = ["Guards", "Options", "StaleError"]


class StaleError(Exception):
    """A trace does not hold any more: why."""


class Options:
    """The options of an optimizer's group, as sources of numbers."""

    def __init__(self, group: Group) -> None:
        self._optimizer, self.options = group.optimizer, group.options
        names = tuple(group.values)
        self.get = itemgetter(*names, names[0])  # twice, so that it is a tuple even of one
        self.last: tuple[Any, ...] | None = self.get(group.options)
        self._parts = [(name, group.tracked[name]) for name in names]
        self._was = group.values

    def refresh(self, sources: list[Any]) -> bool:
        """Take over what was changed: True if anything was; StaleError for another structure."""
        now = self.get(self.options)
        if now == self.last:
            return False
        self.last = None
        for name, tracked in self._parts:
            self._take(name, tracked, self._was[name], self.options[name], sources)
        self._optimizer._check(self.options)
        self.last = now
        return True

    def forget(self) -> None:
        """A guard has failed: look again next time."""
        self.last = None

    def _take(self, name: str, tracked: Any, was: Any, now: Any, sources: list[Any]) -> None:
        if type(now) is not type(was):
            raise StaleError(f"{name} of an optimizer")
        if isinstance(was, tuple) and len(was) == len(now):
            for part, before, after in zip(tracked, was, now, strict=True):
                self._take(name, part, before, after, sources)
        elif type(was) in (int, float):
            sources[tracked.key[1]] = now
        elif was is not now and was != now:
            raise StaleError(f"{name} of an optimizer")


class Guards:
    """Modules, handles and optimizers, as they were when the trace ended."""

    def __init__(self, trace: Trace, places: dict[Any, int], carried: list[Any]) -> None:
        """``carried``: attributes that a call reads and sets (holder, name, number of storage)."""
        self._seen = changes.count
        set_in_it = {key for key, now in trace.set_at_the_end.items() if isinstance(now, Tensor)}
        self._modules = [
            (module, {name for owner, name in set_in_it if owner == id(module)})
            for module in trace.modules.values()
        ]
        self._attributes = [_attributes(*pair) for pair in self._modules]
        self._handles = [
            (ref(kept.handle), places.get(kept.storage), kept.leaf, kept.path)
            for kept in trace.kept.values()
        ]
        self._optimizers = [
            (optimizer, _makeup(optimizer)) for optimizer, _ in trace.optimizers.values()
        ]
        self._states = [
            (optimizer.state, len(optimizer.state)) for optimizer, _ in self._optimizers
        ]
        entries: list[tuple[dict[Any, Any], Any, Any]] = []  # of dicts: what is held, by which key
        for state, _ in self._states:
            for p, held in state.items():
                entries.append((state, p, held))
                entries += [(held, k, v) for k, v in held.items() if isinstance(v, Tensor)]
        self._holders = [holder for holder, _, _ in entries]
        self._keys = [key for _, key, _ in entries]
        self._held = [held for _, _, held in entries]
        dicts = [*self._holders, *(state for state, _ in self._states)]
        self.all_counted = all(isinstance(one, CountedDict) for one in dicts)
        self._carried = carried
        self._grads = [
            (slot.handle, slot.before) for slot in trace.grads.values() if slot.read_first
        ]

    def are_same(self) -> bool:
        """Whether nothing at all has changed: in most calls."""
        for handle, before in self._grads:
            if handle._kept_grad is not before:
                return False
        return self._seen == changes.count

    def exchanged(self) -> bool:
        """Whether somebody took out, or put another tensor into, an optimizer's state."""
        for state, many in self._states:
            if len(state) != many:
                return True
        return not all(map(is_, map(dict.get, self._holders, self._keys), self._held))

    def check(self, storages: list[Any]) -> None:
        """Raise StaleError, saying what has changed."""
        for handle, before in self._grads:
            if handle._kept_grad is not before:
                raise StaleError("a gradient")
        if self._seen != changes.count:
            self._look(storages)
            self._seen = changes.count
        if self.exchanged():
            raise StaleError("the state of an optimizer")

    def _look(self, storages: list[Any]) -> None:
        for pair, before in zip(self._modules, self._attributes, strict=True):
            now = _attributes(*pair)
            if not (len(now) == len(before) and all(map(same, now, before))):
                raise StaleError(f"an attribute of {type(pair[0]).__name__}")
        for holder, name, place in self._carried:
            if getattr(holder.get(name), "_storage", None) is not storages[place]:
                raise StaleError(f"the attribute {name}")
        for reference, place, leaf, path in self._handles:
            handle = reference()
            if handle is None:
                continue
            moved = place is not None and handle._storage is not storages[place]
            if moved or handle._leaf != leaf or handle._path is not path:
                raise StaleError(f"{handle._name or 'a tensor'}, its memory or requires_grad")
        for optimizer, before in self._optimizers:
            now = _makeup(optimizer)
            if not (len(now) == len(before) and all(map(same, now, before))):
                raise StaleError(f"the parameters or state of {type(optimizer).__name__}")


def _attributes(module: Any, but: set[str]) -> list[Any]:
    """Names and values, those of its dicts (parameters, modules, hooks) one by one."""
    found: list[Any] = []
    for name, value in tuple(module.__dict__.items()):
        if name in but or name == "_known_paths":
            continue
        found.append(name)
        if type(value) is dict:
            for key, part in value.items():
                if key not in but:
                    found += (key, part)
        else:
            found.append(value)
    return found


def _makeup(optimizer: Any) -> list[Any]:
    """Its parameters, and for each the names and storages of its state; numbers are not in it."""
    found: list[Any] = []
    for group in optimizer.param_groups:
        found += (group, *group["params"])
    for p, held in optimizer.state.items():
        found += (p, held)
        for name, value in held.items():
            found += (name, value._storage if isinstance(value, Tensor) else type(value))
    return found
