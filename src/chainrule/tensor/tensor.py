"""Tensor: the user's handle on a storage; reading, writing, gradients, conversion.

Calculation is in ``operators.py``, views in ``views.py``, ``x[...]`` in ``indexing.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape
from math import prod
from typing import Any, ClassVar
from weakref import ref

import numpy as np

from chainrule.device import CPU, KINDS, Device
from chainrule.dtypes import DType, bool_, dtype_of, float32, float64, int32, int64, uint8
from chainrule.errors import (
    DtypeError,
    GradientError,
    ShapeError,
    message,
    not_found,
)
from chainrule.graph import type_text
from chainrule.notebook import array_html
from chainrule.ops import elementwise, leaf
from chainrule.ops.movement import concatenate
from chainrule.storage import FAILED, Recorded, Storage, recorder
from chainrule.tensor import indexing
from chainrule.tensor.exchange import called_by_numpy, snapshot
from chainrule.tensor.filling import Filling
from chainrule.tensor.operands import number_node
from chainrule.tensor.path import Step
from chainrule.tensor.views import Views
from chainrule.tracing import TRACES, changes, touched

__all__ = ["Tensor", "tensor"]

PRINTED: dict[str, Any] = {"threshold": 1000}  # how NumPy is to write numbers


class Tensor(Filling, Views):
    """An array with a history: values in ``shape`` and ``dtype``, gradients in ``grad``.

    Operations are recorded and computed when somebody looks (``print``, ``item``, ``numpy`` ...).

    >>> import chainrule as cr
    >>> w = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> w.grad
    tensor([2., 4.])
    """

    __slots__ = ()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """array + tensor is a tensor; NumPy's other functions would lose the history."""
        return called_by_numpy(self, ufunc, method, inputs, options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # asked for by notebooks, pickle and the like
            raise AttributeError(f"Tensor has no {name}")
        raise not_found("Tensor", name, dir(type(self)))

    __hash__ = object.__hash__  # type: ignore[assignment]  since == compares elements

    _send_back: ClassVar[Callable[..., None]]  # filled by backprop.py

    def __init__(self, data: Any = (), *, dtype: Any = None, requires_grad: bool = False) -> None:
        """``cr.tensor`` is the usual way to make one."""
        made = _from_data(data, None if dtype is None else dtype_of(dtype))
        self._bind(made._storage, made._path)
        self.requires_grad = requires_grad

    # ------------------------------------------------------------ making handles

    @staticmethod
    def _on(storage: Storage, path: tuple[Step, ...] = ()) -> Tensor:
        made = Tensor.__new__(Tensor)
        made._bind(storage, path)
        return made

    @staticmethod
    def _of(node: Recorded) -> Tensor:
        made = Tensor.__new__(Tensor)
        made._bind(Storage(node))
        return made

    @staticmethod
    def _like(data: Any, where: str) -> Tensor:
        return _from_data(data, None)

    @property
    def data(self) -> Tensor:
        """The same storage without the history; assigning rebinds this handle to another one."""
        return self._alias(detached=True)

    @data.setter
    def data(self, source: Tensor) -> None:
        if TRACES:
            touched(self)
            touched(source)
        changes.count += 1
        self._storage, self._path = source._storage, source._path
        self._shape, self._seen, self._version = None, None, -1

    # ------------------------------------------------------------ what it is

    def size(self, dim: int | None = None) -> Any:
        """``shape``, or the size of one axis."""
        return self.shape if dim is None else self.shape[dim]

    dim = lambda self: len(self.shape)  # noqa: E731  PyTorch has it as a method

    def numel(self) -> int:
        """How many elements there are."""
        return prod(self.shape)

    nelement = numel

    def element_size(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return self.numel() * self.dtype.itemsize

    @property
    def device(self) -> Device:
        """Where the values are: the CPU."""
        return CPU

    is_cuda = False
    layout = "strided"

    def is_floating_point(self) -> bool:
        """Whether the dtype is float32 or float64."""
        return self.dtype.is_floating_point

    def __len__(self) -> int:
        if not self.shape:
            raise DtypeError(message("len", type_text((), self.dtype), "at least one axis"))
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise DtypeError(message("iteration", type_text((), self.dtype), "at least one axis"))
        return iter([self[index] for index in range(self.shape[0])])

    @property
    def name(self) -> str | None:
        """What you call this value; a named value keeps its error signal in ``bar``."""
        return self._name

    @name.setter
    def name(self, name: str | None) -> None:
        self._name = name
        node = self._node
        if node.name is None or node.leaf is not None:
            node.name = name
            for tape in recorder().taps:
                tape.saw_name(node)
        if name is not None and not self.is_leaf:
            self.retain_grad()

    @property
    def op(self) -> str:
        """The op that made the value."""
        return self._node.op.name

    grad_fn = property(lambda self: None if self.is_leaf else self._node.op)

    @property
    def parents(self) -> tuple[Tensor, ...]:
        """The inputs of the op that made the value; none once they have been let go."""
        return tuple(Tensor._of(source) for source in self._node.inputs)

    # ------------------------------------------------------------ gradients

    @property
    def requires_grad(self) -> bool:
        """Whether error signals reach this tensor."""
        if self._leaf:
            return True
        if self._detached:
            return self._own_history() is not None
        if self._root is not None:
            return self._root.requires_grad
        return self._storage.node.needs_grad

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        self.requires_grad_(flag)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for the gradient with respect to this tensor, or stop asking."""
        if requires_grad and not self.dtype.is_floating_point:
            raise DtypeError(
                message(
                    "requires_grad_", self.dtype.name, "a floating-point tensor", remedy=".float()"
                )
            )
        if not self._leaf and self.requires_grad:
            if not requires_grad:
                raise GradientError(
                    message(
                        "requires_grad_", "a tensor with a history", "a leaf", remedy=".detach()"
                    )
                )
            return self
        if TRACES:
            touched(self)
        if self._leaf != requires_grad:
            changes.count += 1
        self._leaf = bool(requires_grad)
        self._seen = None
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was made by you rather than by an operation that is tracked."""
        return self._leaf or not self.requires_grad

    @property
    def grad(self) -> Tensor | None:
        """∂L/∂v after ``backward()``: of leaves, and of tensors that are named or retain it."""
        grad = self._grad
        if grad is not None:
            return grad
        if self.is_leaf:
            return None
        bars = (tape.bar_of(self._node) for tape in recorder().taps)
        bar = next((found for found in bars if found is not None), None)
        if bar is None:
            raise GradientError(
                message(
                    self._name or f"{self.op} {type_text(self.shape, self.dtype)}",
                    "no gradient that was kept",
                    "to be named, retained or recorded before backward()",
                    line=self._node.where,
                    remedy='Give it a name (v.name = "v"), call v.retain_grad(), '
                    "or run the step under cr.record()",
                )
            )
        return bar

    @grad.setter
    def grad(self, grad: Tensor | None) -> None:
        if grad is not None and (grad.shape, grad.dtype) != (self.shape, self.dtype):
            got, needs = type_text(grad.shape, grad.dtype), type_text(self.shape, self.dtype)
            raise ShapeError(message("grad", got, needs))
        self._grad = grad

    @property
    def bar(self) -> Tensor | None:
        """v̄ = ∂L/∂v, the error signal: another name of ``grad``."""
        return self.grad

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Sequence[Tensor] | None = None,
    ) -> None:
        """Send the error signal L̄ = 1 (or ``gradient``) back, and add it to the ``grad`` of leaves.

        Raises ``GradientError`` for a tensor that is no scalar without ``gradient``, without a
        history, or whose history an earlier backward used up (``retain_graph=True`` keeps it).
        """
        self._send_back(self, gradient, retain_graph, create_graph, inputs)

    def retain_grad(self) -> None:
        """Keep ∂L/∂v of this tensor when ``backward()`` passes."""
        if not self.requires_grad:
            raise GradientError(
                message("retain_grad", "a tensor without a history", "requires_grad")
            )
        if not self._leaf:
            self._watch(ref(self))

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Removable:
        """Call ``hook(error_signal)`` when it is complete; what it returns takes its place."""
        if not self.requires_grad:
            raise GradientError(
                message("register_hook", "a tensor without a history", "requires_grad")
            )
        watchers = self._watch(hook)
        return Removable(watchers, hook)

    def _watch(self, watcher: Any) -> list[Any]:
        node = self._node
        if node.watchers is None:
            node.watchers = []
        node.watchers.append(watcher)
        return node.watchers

    # ------------------------------------------------------------ looking

    def numpy(self) -> np.ndarray:
        """A read-only snapshot: what is written to the tensor later does not show in it."""
        return snapshot(self._value())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        value = self._value()
        if copy or (dtype is not None and np.dtype(dtype) != value.dtype):
            return value.astype(dtype or value.dtype)
        plain = value.view()
        plain.flags.writeable = False
        return plain

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self._value().copy().__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def item(self) -> Any:
        """The only element, as a Python number."""
        if self.numel() != 1:
            raise ShapeError(
                message(
                    "item", type_text(self.shape, self.dtype), "one element", remedy=".tolist()"
                )
            )
        return self._value().item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return self._value().tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.is_floating_point:
            raise DtypeError(message("index", type_text(self.shape, self.dtype), "a whole number"))
        return int(self.item())

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise ShapeError(
                message(
                    "bool",
                    type_text(self.shape, self.dtype),
                    "one element",
                    why="The truth of several numbers is ambiguous",
                    remedy=".any() or .all()",
                )
            )
        return bool(self.item())

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if not self.shape and spec else str(self)

    def __repr__(self) -> str:
        node = self._node
        if node.state == FAILED:
            return f"tensor(failed: {node.failure})"
        body = np.array2string(self._value(), separator=", ", prefix="tensor(", **PRINTED)
        notes = ""
        if self.dtype not in (float32, int64, bool_) or not self.numel():
            notes += f", dtype={self.dtype}"
        if self._leaf:
            notes += ", requires_grad=True"
        elif self.requires_grad:
            notes += f", op={self.op}"
        return f"tensor({body}{notes})"

    def _repr_html_(self) -> str:
        if self._node.state == FAILED:
            return f"<pre>{escape(repr(self))}</pre>"
        title = type_text(self.shape, self.dtype) + (f" {self._name}" if self._name else "")
        origin = "" if self.is_leaf else self.op
        grad = self._kept_grad if isinstance(self._kept_grad, Tensor) else None
        return array_html(self._value(), title, origin, None if grad is None else grad._value())

    # ------------------------------------------------------------ copies and conversions

    def clone(self) -> Tensor:
        """A copy with a storage of its own; error signals pass through it."""
        return Tensor._of(
            recorder().record(elementwise.cast, (self._node,), {"dtype": self.dtype.name})
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise GradientError(
                message("deepcopy", "a tensor with a history", "a leaf", remedy=".detach().clone()")
            )
        twin = type(self).__new__(type(self))
        twin._bind(Storage(recorder().leaf(leaf.data, self._value().copy(), self.dtype)))
        twin._leaf, twin._name = self._leaf, self._name
        if isinstance(self._kept_grad, Tensor):
            twin._grad = self._kept_grad.detach().clone()
        memo[id(self)] = twin
        return twin

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), np.array(self._value()), self._leaf, self._name)

    def to(
        self,
        *targets: Any,
        dtype: Any = None,
        device: Any = None,
        non_blocking: bool = False,
        copy: bool = False,
    ) -> Tensor:
        """Another dtype; the only device is the CPU. ``x.to(cr.float64)``, ``x.to("cpu")``.

        ``non_blocking`` is accepted as PyTorch's and means nothing without a GPU.
        """
        for target in targets:
            if isinstance(target, Tensor):
                dtype = target.dtype
            elif isinstance(target, Device) or (
                isinstance(target, str) and target.split(":")[0] in KINDS
            ):
                device = target
            elif not isinstance(target, bool):
                dtype = target
        if device is not None:
            Device(device)
        wanted = self.dtype if dtype is None else dtype_of(dtype)
        if wanted is self.dtype and not copy:
            return self
        return Tensor._of(
            recorder().record(elementwise.cast, (self._node,), {"dtype": wanted.name})
        )

    type = to
    cpu = lambda self: self  # noqa: E731
    float = lambda self: self.to(float32)  # noqa: E731
    double = lambda self: self.to(float64)  # noqa: E731
    long = lambda self: self.to(int64)  # noqa: E731
    int = lambda self: self.to(int32)  # noqa: E731
    bool = lambda self: self != 0  # noqa: E731
    byte = lambda self: self.to(uint8)  # noqa: E731
    type_as = lambda self, other: self.to(other.dtype)  # noqa: E731

    def cuda(self, device: Any = "cuda", non_blocking: bool = False) -> Tensor:
        """Raises: there is no CUDA backend yet."""
        return self.to(device="cuda")

    def number(self, value: Any) -> Tensor:
        """A Python number as a tensor of no axes, of this dtype: a run-time scalar."""
        return Tensor._of(number_node(value, self.dtype))

    @staticmethod
    def _join(parts: Sequence[Tensor], axis: _int) -> Tensor:
        return concatenate(*parts, axis=axis)

    # ------------------------------------------------------------ indexing

    def __getitem__(self, key: Any) -> Tensor:
        return indexing.read(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        indexing.write(self, key, value if isinstance(value, Tensor) else _value_for(self, value))


_int = int


def _value_for(x: Tensor, value: Any) -> Tensor:
    if isinstance(value, (bool, int, float, np.generic)):
        return x.number(value)
    return _from_data(value, None)


def _rebuild(
    kind: type[Tensor], array: np.ndarray, requires_grad: bool, name: str | None
) -> Tensor:
    made = kind.__new__(kind)
    made._bind(Storage(recorder().leaf(leaf.data, array, dtype_of(array.dtype))))
    made._leaf, made._name = requires_grad, name
    return made


class Removable:
    """What ``register_hook`` returns: ``remove()`` takes the hook off again."""

    def __init__(self, hooks: list[Any], hook: Any) -> None:
        self._hooks, self._hook = hooks, hook

    def remove(self) -> None:
        """Take the hook off; a second call does nothing."""
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)

    def __enter__(self) -> Removable:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


# ---------------------------------------------------------------- making tensors


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of numbers, nested lists, an array or another tensor. The data are copied.

    Python floats become float32, whole numbers int64; arrays keep their dtype.

    >>> tensor([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    if device is not None:
        Device(device)
    made = _from_data(data, None if dtype is None else dtype_of(dtype))
    return made.requires_grad_() if requires_grad else made


def _from_data(data: Any, dtype: DType | None) -> Tensor:
    if isinstance(data, Tensor):
        array = np.array(data._value())
    elif isinstance(data, (list, tuple)) and any(isinstance(x, Tensor) for x in data):
        array = np.stack([np.asarray(x) for x in data]) if data else np.zeros(0)
    else:
        try:
            array = np.array(data)
        except ValueError:
            raise ShapeError(message("tensor", "rows of unequal length", "equal lengths")) from None
        if not isinstance(data, (np.ndarray, np.generic)) and not hasattr(data, "__array__"):
            if array.dtype == np.float64:
                array = array.astype((dtype or float32).numpy)
            elif not array.size:
                array = array.astype(np.float32)
    if dtype is None:
        dtype = dtype_of(array.dtype)
    value = np.ascontiguousarray(array, dtype.numpy).reshape(array.shape)
    return Tensor._of(recorder().leaf(leaf.data, value, dtype))
