"""PyTorch's .pth files, read without running anything that is in them.

Such a file is a zip archive with a pickle, and a pickle may name any function of any library to be
called.  Here it may name those that rebuild tensors, which are our own, and nothing else: no module
is imported, no code object loaded.  What comes out are dicts, lists, numbers, texts and tensors.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from collections.abc import Callable, Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import CheckpointError, message
from chainrule.tensor import tensor

__all__ = ["read_pth"]

OPCODES = {
    *("PROTO", "FRAME", "STOP", "MARK", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "BINPERSID"),
    *("BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET"),
    *("EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "APPEND", "APPENDS"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "NONE", "NEWTRUE", "NEWFALSE"),
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"),
}
STORAGES = {
    "FloatStorage": "f4", "DoubleStorage": "f8", "LongStorage": "i8", "IntStorage": "i4",
    "ByteStorage": "u1", "BoolStorage": "b1",
}  # fmt: skip
OTHERS = ("HalfStorage", "BFloat16Storage", "ShortStorage", "CharStorage", "ComplexFloatStorage")


class _Kind(NamedTuple):
    """The number type that a storage has."""

    numpy: str


class _Call:
    """A function that a pickle may call; it has no attributes that a pickle could set."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError("an attribute of a function is set")

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)


def read_pth(content: bytes, path: Any) -> Any:
    """The dicts, lists, numbers and tensors of a file that ``torch.save`` wrote.

    Raises CheckpointError if it is damaged, or holds more than these: a whole module, an object.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _Reader(archive, len(content)).read()
    except _RefusedError as error:
        remedy = "In PyTorch: torch.save(model.state_dict(), path)"
        got, needs = f"{path} with {error}", "tensors, numbers, texts, dicts and lists"
        why = "Nothing else is taken from a pickle, which could run any program"
        raise CheckpointError(message("load", got, needs, why=why, remedy=remedy)) from None
    except Exception as error:  # zipfile, pickle and NumPy each have their own
        got, why = f"{path}, which is damaged", f"{len(content)} bytes: {error}"
        remedy = "Save it again"
        raise CheckpointError(
            message("load", got, "a whole file", why=why, remedy=remedy)
        ) from None


class _RefusedError(Exception):
    """Something that is not taken from a file."""


class _Reader(pickle.Unpickler):
    """Unpickles dicts, lists, numbers, texts and tensors."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self.entries = {info.filename: info for info in archive.infolist()}
        names = [name for name in self.entries if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise _RefusedError("no data.pkl, which torch.save writes")
        self.archive, self.size, self.folder = archive, size, names[0].removesuffix("data.pkl")
        self.order = "<"
        if f"{self.folder}byteorder" in self.entries:
            self.order = ">" if self._entry("byteorder") == b"big" else "<"
        self.program = self._entry("data.pkl")
        self.storages: dict[str, np.ndarray] = {}
        super().__init__(io.BytesIO(self.program))

    def read(self) -> Any:
        """The value, of nothing but plain kinds."""
        for opcode, argument, _ in pickletools.genops(self.program):
            if opcode.name not in OPCODES:
                raise _RefusedError(f"the pickle instruction {opcode.name}")
            if opcode.name == "LONG_BINPUT" and int(argument or 0) > len(self.program):
                raise pickle.UnpicklingError("a memo beyond its length")  # it would be allocated
        self.left = len(self.program)
        return self._plain(self.load())

    def _entry(self, name: str) -> bytes:
        info = self.entries[self.folder + name]
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > self.size:
            raise _RefusedError("compressed parts")  # a small file could unpack to any size
        return self.archive.read(info)

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the pickle stands for: our own functions, or a refusal."""
        if module == "torch" and name in STORAGES:
            return _Kind(STORAGES[name])
        if module == "torch" and name in OTHERS:
            raise _RefusedError(f"numbers of type {name.removesuffix('Storage')} (.float() first)")
        known = {
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
            ("collections", "OrderedDict"): lambda: _Ordered(),
            ("torch", "Size"): tuple,
        }
        if (module, name) not in known:
            raise _RefusedError(f"{module}.{name}")
        return _Call(known[module, name])

    def persistent_load(self, pid: Any) -> np.ndarray:
        """The storage that a pickle refers to."""
        word, kind, key, _, count = pid
        if word != "storage" or not isinstance(kind, _Kind) or not isinstance(key, str):
            raise pickle.UnpicklingError("an unknown reference")
        if key not in self.storages:
            content = self._entry(f"data/{key}")
            array = np.frombuffer(content, np.dtype(self.order + kind.numpy))
            self.storages[key] = array.astype(kind.numpy)
        if len(self.storages[key]) != count or self.storages[key].dtype != kind.numpy:
            raise pickle.UnpicklingError(f"storage {key} of another size")
        return self.storages[key]

    def _tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Any:
        """The view of a storage, within its bounds."""
        numbers = [offset, *size, *stride]
        whole = all(type(number) is int and number >= 0 for number in numbers)
        if not (whole and len(size) == len(stride) and isinstance(storage, np.ndarray)):
            raise pickle.UnpicklingError("a tensor of no shape")
        count = prod(size)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if count and (last >= len(storage) or count > len(storage)):
            raise pickle.UnpicklingError(f"a tensor beyond its storage of {len(storage)} numbers")
        if not count:
            return tensor(np.empty(size, storage.dtype))
        steps = [step * storage.itemsize for step in stride]
        view = np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False)
        return tensor(np.ascontiguousarray(view).reshape(size))

    def _plain(self, value: Any) -> Any:
        """The value as dicts, lists and tuples; each part of the program makes one of it."""
        self.left -= 1
        if self.left < 0:
            raise pickle.UnpicklingError("more parts than it has instructions for")
        if isinstance(value, Mapping):
            return {self._key(key): self._plain(part) for key, part in value.items()}
        if isinstance(value, list | tuple) and not isinstance(value, _Kind):
            return type(value)(self._plain(part) for part in value)
        if isinstance(value, np.ndarray | _Kind | _Call):
            raise pickle.UnpicklingError("a storage without a tensor")
        return value

    def _key(self, key: Any) -> Any:
        if not isinstance(key, str | int | float | bool | None):
            raise pickle.UnpicklingError(f"a key of type {type(key).__name__}")
        return key


class _Ordered(dict[Any, Any]):
    """collections.OrderedDict; the attributes that PyTorch gives it (_metadata) are left out."""

    def __setstate__(self, state: Any) -> None:
        pass
