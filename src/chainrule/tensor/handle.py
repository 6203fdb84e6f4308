"""What a tensor is underneath: a storage, a path to it, and how both are read and written.

The base of ``Tensor`` and of its mix-ins.  Nothing here calculates: see ``operators.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import ref

import numpy as np

from chainrule.dtypes import DType, bool_
from chainrule.errors import (
    DtypeError,
    FailedError,
    GradientError,
    GraphError,
    ShapeError,
    message,
)
from chainrule.graph import type_text
from chainrule.lines import line_text, user_line
from chainrule.ops import elementwise, history, leaf, movement
from chainrule.ops.op import Op
from chainrule.storage import Hold, Leaf, Recorded, Storage, recorder
from chainrule.tensor.operands import cast_node, expand_node, number_node
from chainrule.tensor.path import Step, put_back
from chainrule.tracing import TRACES, changes, touched

if TYPE_CHECKING:
    from chainrule.tensor.tensor import Tensor

__all__ = ["LET_GO", "Handle", "let_go"]

R = TypeVar("R")

LET_GO = object()  # in the place of a gradient that a compiled step computed and did not keep


def let_go(handle: Handle) -> GradientError:
    """The error for a gradient that a compiled step did not keep."""
    return GradientError(
        message(
            handle._name or type_text(handle.shape, handle.dtype),
            "no gradient: the compiled step that computed it did not keep it",
            remedy="cr.compile(step, keep_grads=True), or run the step under cr.record()",
        )
    )


class Handle:
    """A storage, the way from it to this view, and where gradients end."""

    __slots__ = (
        "__weakref__",
        "_detached",
        "_given",
        "_kept_grad",
        "_leaf",
        "_name",
        "_path",
        "_root",
        "_seen",
        "_shape",
        "_storage",
        "_tracked",
        "_version",
    )

    _storage: Storage
    _path: tuple[Step, ...]  # the way from the storage to this view
    _root: Tensor | None  # the leaf that this is a view of: through it errors flow
    _detached: bool
    _given: Any  # what a result of a compiled step will be made of, until it is touched
    _leaf: bool  # asked to require grad
    _shape: tuple[int, ...] | None
    _seen: Hold | None  # the node of `_version`, made once
    _tracked: bool  # whether that node was made with gradients on
    _kept_grad: Any  # a Tensor, None, or LET_GO

    if TYPE_CHECKING:  # what the mix-ins use of one another

        def __getitem__(self, key: Any) -> Tensor: ...
        def __len__(self) -> int: ...
        def contiguous(self) -> Tensor: ...
        def detach(self) -> Tensor: ...
        def expand(self, *shape: Any) -> Tensor: ...
        def gather(self, dim: int, index: Tensor) -> Tensor: ...
        def new_zeros(self, *shape: Any) -> Tensor: ...
        def is_floating_point(self) -> bool: ...
        def number(self, value: Any) -> Tensor: ...
        def numel(self) -> int: ...
        def permute(self, *axes: Any) -> Tensor: ...
        def repeat(self, *times: int) -> Tensor: ...
        def reshape(self, *shape: Any) -> Tensor: ...
        def stride(self) -> tuple[int, ...]: ...
        def sum(self, dim: Any = None, keepdim: bool = False) -> Tensor: ...
        def to(self, *targets: Any) -> Tensor: ...
        def transpose(self, a: int, b: int) -> Tensor: ...

    # ------------------------------------------------------------ making handles

    def _bind(self, storage: Storage, path: tuple[Step, ...] = ()) -> None:
        self._storage, self._path = storage, path
        self._root = self._seen = self._kept_grad = self._name = self._shape = None
        self._detached = self._leaf = False
        self._version = -1

    @staticmethod
    def _on(storage: Storage, path: tuple[Step, ...] = ()) -> Tensor:
        """A new tensor on a storage."""
        raise NotImplementedError("Tensor's own")

    @staticmethod
    def _of(node: Recorded) -> Tensor:
        """A new tensor on a node."""
        raise NotImplementedError("Tensor's own")

    @staticmethod
    def _join(parts: Sequence[Tensor], axis: int) -> Tensor:
        """Tensors one after the other along an axis."""
        raise NotImplementedError("Tensor's own")

    @staticmethod
    def _like(data: Any, where: str) -> Tensor:
        """An operand that is no tensor yet: an array or nested list."""
        raise NotImplementedError("Tensor's own")

    def _record(self, op: Op, inputs: tuple[Any, ...], meta: dict[str, Any]) -> Tensor:
        """Called by ``op(...)``: record the op on tensors, as a new tensor."""
        return self._of(recorder().record(op, tuple(x._node for x in inputs), meta))

    def _alias(self, path: tuple[Step, ...] | None = None, detached: bool = False) -> Tensor:
        """Another handle on this storage."""
        other = self._on(self._storage, self._path if path is None else path)
        if path is None:
            other._shape = self._shape
        if detached or not recorder().grad_enabled:
            other._detached = True
        elif self._leaf or self._own_history() is not None:
            # A leaf may be detached itself: x.detach().requires_grad_().
            other._root = self  # type: ignore[assignment]  a Handle that is a Tensor
        elif self._detached:
            other._detached = True
        else:
            other._root = self._root
        return other

    def _own_history(self) -> Recorded | None:
        """The history that a detached handle has of its own, from a differentiable write."""
        seen = self._seen.node if self._detached and self._seen is not None else None
        return seen if seen is not None and seen.needs_grad else None

    @property
    def _grad(self) -> Tensor | None:
        """``.grad``, or ``None``; in a trace that of the call that is traced."""
        if TRACES and recorder().trace is not None:
            return recorder().trace.grad_of(self)
        if self._kept_grad is LET_GO:
            raise let_go(self)
        return self._kept_grad

    @_grad.setter
    def _grad(self, grad: Tensor | None) -> None:
        if TRACES and recorder().trace is not None:
            recorder().trace.set_grad(self, grad)
        else:
            self._kept_grad = grad

    # ------------------------------------------------------------ reading

    @property
    def _node(self) -> Recorded:
        """The node of the present value."""
        if TRACES:
            touched(self)
        storage = self._storage
        if not (self._path or self._leaf or self._detached or self._root is not None):
            node = storage.node
            if TRACES:  # one of another thread may have begun just now
                touched(self)
                node = storage.node
            return node
        entries = changes.entries
        rec, seen, version = recorder(), self._seen, storage.version
        grads = rec.grad_enabled
        if (
            seen is not None
            and self._version == version
            and (self._tracked or not grads)
            and (self._root is None or seen.node.consumed is None)
            and seen.node.recorder is rec  # another thread would not know who reads it here
        ):
            return seen.node
        if grads and self._leaf:
            node = self._leaf_node()
        elif grads and self._root is not None:
            node = self._from(self._root._node, self._path[len(self._root._path) :])
        else:
            node = self._from(storage.node, self._path)
            if (self._detached or self._leaf or self._root is not None) and node.needs_grad:
                node = recorder().record(history.detach, (node,), {})
            own = self._own_history()
            if own is not None:  # another handle wrote since: its numbers, our history
                node = recorder().record(history.assign, (node, own), {})
        # Another thread may have written since, or lent the storage to a trace for a while.
        self._seen, self._version = Hold(node), version if changes.entries == entries else -1
        Storage.looks += 1
        has_past = self._leaf or self._root is not None or storage.node.needs_grad
        self._tracked = grads or not has_past
        return node

    @staticmethod
    def _from(node: Recorded, path: Sequence[Step]) -> Recorded:
        rec = recorder()
        for step in path:
            node = step.apply(rec, node)
        return node

    def _leaf_node(self) -> Recorded:
        if recorder().trace is not None:
            base = self._from(self._storage.node, self._path)
            return recorder().trace.parameter(self, base)
        where = Leaf(ref(self), ref(self._storage), self._storage.version)
        # A pending write is done before it is read with gradients on.
        value = self._unless_written(lambda: self._from(self._storage.node, self._path).result())
        node = recorder().leaf(leaf.parameter, value, self.dtype, where)
        node.name = self._name
        return node

    def _value(self) -> np.ndarray:
        """The value, computed; it belongs to the node, so never write to it."""
        return self._unless_written(lambda: self._node.result())

    def _unless_written(self, read: Callable[[], R]) -> R:
        """What ``read`` returns; once more, if it failed since another thread wrote, or traced."""
        while True:
            before = self._storage.version, changes.entries
            try:
                return read()
            except (FailedError, GraphError):
                if (self._storage.version, changes.entries) == before:
                    raise

    # ------------------------------------------------------------ writing

    def _overwrite(self, value: Tensor, where: str) -> Tensor:
        """Write ``value`` into this tensor, cast and broadcast to it."""
        dtype = self.dtype
        node = value._node
        if node.dtype.category > dtype.category and node.op is not leaf.number:
            raise DtypeError(
                message(where, f"{node.dtype.name} into {dtype.name}", f"{dtype.name} or less")
            )
        if node.op is leaf.number:
            node = cast_node(node, dtype)
            if self.shape and recorder().trace is not None:  # its value is that of each call
                flat = {"shape": (1,) * self.ndim}
                node = recorder().record(movement.reshape, (node,), flat)
            elif self.shape:
                node = recorder().leaf(leaf.data, np.broadcast_to(node.value, self.shape), dtype)  # type: ignore[arg-type]
        node = cast_node(node, dtype)
        if node.shape != self.shape:
            surplus = len(node.shape) - self.ndim
            if surplus > 0 and node.shape[:surplus] == (1,) * surplus:
                node = self._of(node).reshape(node.shape[surplus:])._node
            fits = len(node.shape) <= self.ndim and all(
                a in (1, b) for a, b in zip(node.shape[::-1], self.shape[::-1], strict=False)
            )
            if not fits:
                raise ShapeError(
                    message(
                        where,
                        type_text(node.shape, dtype),
                        f"{list(self.shape)}, or a part to repeat",
                    )
                )
            node = expand_node(node, self.shape)
        return self._write(node, where)

    def _write(self, value: Recorded, where: str) -> Tensor:
        if TRACES:
            touched(self)
        rec, storage = recorder(), self._storage
        if rec.grad_enabled and (self._leaf or (self._root is not None and self._root._leaf)):
            name = self._name or "this tensor"
            raise GradientError(
                message(
                    where,
                    f"{name}, a leaf that requires grad"
                    if self._leaf
                    else "a view of a leaf that requires grad",
                    "a tensor whose old value no derivative needs",
                    line=line_text(user_line()),
                    remedy="with no_grad(): write to it, or compute a new tensor out of place",
                )
            )
        old = storage.node
        if rec.grad_enabled and not self._detached:
            new = put_back(self._path, old, value)
            if old.needs_grad and not new.needs_grad:  # all overwritten: zeros flow, as in PyTorch
                new = rec.record(elementwise.where, (number_node(False, bool_), old, new), {})
            storage.write(new)
        else:
            grads, rec.grad_enabled = rec.grad_enabled, False
            try:
                new = put_back(self._path, old, value)
                if new.needs_grad:
                    new = rec.record(history.detach, (new,), {})
            finally:
                rec.grad_enabled = grads
            if old.needs_grad:  # the numbers change, the history stays
                with rec.setting(grad_enabled=True):
                    new = rec.record(history.assign, (new, old), {})
            storage.write(new)
        self._seen = None
        if rec.grad_enabled and self._detached and value.needs_grad:
            self._seen, self._version, self._tracked = Hold(value), storage.version, True
            Storage.looks += 1
        return self  # type: ignore[return-value]

    # ------------------------------------------------------------ types

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        if not self._path:
            return self._storage.node.shape
        if self._shape is None:
            self._shape = self._node.shape
        return self._shape

    @property
    def dtype(self) -> DType:
        """The number type."""
        return self._storage.node.dtype

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)
