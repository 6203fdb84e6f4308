"""Parameter: a tensor that a module learns."""

from __future__ import annotations

from typing import Any

from chainrule.device import Device
from chainrule.dtypes import DType, dtype_of, float32
from chainrule.ops import history
from chainrule.storage import Storage, recorder
from chainrule.tensor import Tensor, tensor

__all__ = ["Parameter", "number_type"]


class Parameter(Tensor):
    """A tensor that requires grad, listed by ``parameters()`` of the module it is assigned to.

    It shares the storage of ``data``.  Its name is its path in the outermost module.

    >>> import chainrule as cr
    >>> cr.nn.Parameter(cr.zeros(2))
    Parameter(tensor([0., 0.], requires_grad=True))
    """

    __slots__ = ()

    def __init__(self, data: Any = (), requires_grad: bool = True) -> None:
        source = data if isinstance(data, Tensor) else tensor(data)
        storage = source._storage
        if storage.node.needs_grad:
            with recorder().setting(grad_enabled=False):
                storage = Storage(recorder().record(history.detach, (source._node,), {}))
            self._bind(storage)
        else:
            self._bind(storage, source._path)
        if requires_grad:
            self.requires_grad_()

    def __repr__(self) -> str:
        return f"Parameter({super().__repr__()})"


def number_type(dtype: Any, device: Any) -> DType:
    """The dtype of a layer's parameters, float32 unless told.  Raises for a device but the CPU."""
    if device is not None:
        Device(device)
    return float32 if dtype is None else dtype_of(dtype)
