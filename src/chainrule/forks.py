"""Locks that a forked child finds open: the thread of the parent that held one is not in it."""

from __future__ import annotations

import os
from threading import RLock
from typing import Protocol
from weakref import WeakSet

__all__ = ["Lockable", "awaited_by_forks", "unlocked_in_children"]


class Lockable(Protocol):
    """Who has locks."""

    def unlock(self) -> None:
        """Take new locks in the place of those that may be held."""
        ...


_owners: WeakSet[Lockable] = WeakSet()


def unlocked_in_children(owner: Lockable) -> None:
    """Have ``owner.unlock()`` called in each child that is forked while the owner lives."""
    _owners.add(owner)


def awaited_by_forks() -> RLock:
    """A lock of a module that is held but shortly: a fork waits until nobody has it."""
    lock = RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )
    return lock


def _unlock() -> None:
    for owner in list(_owners):
        owner.unlock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)
