"""Checkpoints: what training needs to go on, in safetensors files that are whole or not there.

``save`` writes any nesting of dicts, lists, tuples, numbers, texts and tensors: the tensors as
safetensors, the nesting as JSON in the metadata, and a checksum of both.  ``load`` gives the same
nesting back.  A file is written beside its name, flushed to the disk and renamed, so that a crash
at any moment leaves the old file or the new one.  Nothing in a file is executed: no pickle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np

import chainrule
from chainrule import random
from chainrule.device import Device
from chainrule.dtypes import dtype_of
from chainrule.errors import CheckpointError, message
from chainrule.files import write_atomically
from chainrule.ops import leaf
from chainrule.storage import recorder
from chainrule.tensor import Tensor, tensor
from chainrule.train.differences import differences
from chainrule.train.pth import read_pth

__all__ = [
    "load",
    "load_checkpoint",
    "read_checkpoint",
    "save",
    "save_checkpoint",
    "serialized",
]

FORMAT = 1
DTYPES = {"F32", "F64", "I64", "I32", "U8", "BOOL"}  # safetensors' names of ours
PLACE = "$tensor"  # stands in the nesting where a tensor was


# ------------------------------------------------------------ any nesting of values


def save(value: Any, path: str | PathLike[str] | IO[bytes]) -> None:
    """Write ``value`` to a safetensors file, atomically; or to a file that is open for bytes.

    value: a tensor, or dicts, lists and tuples of tensors, arrays, numbers, texts and None, such as
    a ``state_dict()``.  Raises CheckpointError for anything else, and if the disk is full; then the
    file that was there before is still there, whole.
    """
    content = serialized(value)
    if isinstance(path, str | PathLike):
        write_atomically(path, content, error=CheckpointError)
    else:
        path.write(content)


def serialized(value: Any) -> bytes:
    """The content of the file that ``save`` writes."""
    from safetensors.numpy import save as serialize

    tensors: dict[str, np.ndarray] = {}
    nesting = json.dumps(_taken_apart(value, "", tensors), ensure_ascii=False)
    metadata = {
        "format": "chainrule",
        "version": str(FORMAT),
        "nesting": nesting,
        "sha256": _checksum(nesting, tensors),
    }
    return serialize(tensors, metadata)


def load(
    path: str | PathLike[str] | IO[bytes], map_location: Any = None, weights_only: bool = True
) -> Any:
    """Read what ``save`` wrote; from another program's safetensors file, a dict of tensors.

    PyTorch's .pth files are read too: their tensors, numbers, texts, dicts and lists, nothing else,
    whatever ``weights_only`` says.  ``map_location`` may be the CPU.
    Raises CheckpointError if the file is missing, damaged, cut short, or another pickle.
    """
    if isinstance(map_location, str | Device):
        Device(map_location)
    if isinstance(path, str | PathLike):
        content = _content(Path(path))
    else:
        content, path = path.read(), "an open file"
    if content[:4] == b"PK\x03\x04" and content[8:9] != b"{":  # a zip archive
        return read_pth(content, path)
    metadata, tensors = _parsed(content, path)
    ours = metadata.keys() & {"nesting", "sha256"} or b'"chainrule"' in content[:65536]
    if not ours:  # another program's
        return {name: tensor(array) for name, array in tensors.items()}
    if not metadata.get("version", "").isdigit() or int(metadata["version"]) > FORMAT:
        got = f"{path} of format {metadata.get('version')!r}"
        needs = f"format {FORMAT} or less"
        raise CheckpointError(message("load", got, needs, remedy="Install a newer chainrule"))
    if metadata.get("sha256") != _checksum(metadata.get("nesting", ""), tensors):
        raise _damaged(path, "Its checksum does not fit its content")
    return _put_together(json.loads(metadata["nesting"]), tensors)


def _taken_apart(value: Any, name: str, tensors: dict[str, np.ndarray]) -> Any:
    """``value`` as JSON; its tensors go to ``tensors`` under names that tell where they were."""
    if isinstance(value, Tensor | np.ndarray | np.generic):
        array = np.asarray(value.detach().numpy() if isinstance(value, Tensor) else value)
        array = np.array(array.astype(dtype_of(array.dtype).numpy), order="C")
        name = name or "value"
        tensors[name] = array
        return {PLACE: name}
    inside = f"{name}." if name else ""
    if isinstance(value, Mapping):
        pairs = [[k, _taken_apart(v, f"{inside}{k}", tensors)] for k, v in value.items()]
        plain = all(isinstance(k, str) and not k.startswith("$") for k in value)
        return dict(pairs) if plain else {"$dict": pairs}
    if isinstance(value, list | tuple):
        items = [_taken_apart(v, f"{inside}{i}", tensors) for i, v in enumerate(value)]
        return items if isinstance(value, list) else {"$tuple": items}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    got = f"{name or 'value'}, a {type(value).__name__}"
    raise CheckpointError(message("save", got, "tensors, numbers, texts, dicts, lists and tuples"))


def _put_together(value: Any, tensors: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_put_together(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if PLACE in value:
        return _tensor(tensors[value[PLACE]])
    if "$tuple" in value:
        return tuple(_put_together(item, tensors) for item in value["$tuple"])
    pairs = value["$dict"] if "$dict" in value else value.items()
    return {key: _put_together(item, tensors) for key, item in pairs}


def _tensor(array: np.ndarray) -> Tensor:
    """An array that was read, as a tensor. It is nobody else's, so that it needs no copy."""
    if not array.flags.writeable:
        return tensor(array)
    return Tensor._of(recorder().leaf(leaf.data, array, dtype_of(array.dtype)))


def _checksum(nesting: str, tensors: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(nesting.encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name} {array.dtype.name} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


# ------------------------------------------------------------ the bytes of a file


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        got = f"{path}, which can't be read ({error.strerror or error})"
        raise CheckpointError(message("load", got, "a checkpoint")) from error
    pickled = content[:1] == b"\x80"
    if pickled and content[8:9] != b"{":  # a safetensors file begins with any 8 bytes, then JSON
        why = "A pickle can run any program when it is opened"
        remedy = "In PyTorch, since 1.6: torch.save(model.state_dict(), path)"
        got = f"{path}, a pickle"
        raise CheckpointError(message("load", got, "safetensors or a .pth", why=why, remedy=remedy))
    return content


def _parsed(content: bytes, path: Any) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Metadata and tensors of a safetensors file: its header's length, the header as JSON, data."""
    from safetensors.numpy import load as deserialize

    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = header.pop("__metadata__", {})
        kinds = {part["dtype"] for part in header.values()}
        if kinds <= DTYPES:
            return metadata, deserialize(content)
    except Exception as error:  # the library's own errors, and what damaged JSON raises
        raise _damaged(path, f"{len(content)} bytes: {error}") from error
    got, needs = f"{path} with numbers of type {min(kinds - DTYPES)}", ", ".join(sorted(DTYPES))
    raise CheckpointError(message("load", got, needs))


def _damaged(path: Any, why: str) -> CheckpointError:
    remedy = "Use an earlier checkpoint, or train again"
    return CheckpointError(
        message("load", f"{path}, which is damaged", "a whole file", why=why, remedy=remedy)
    )


# ------------------------------------------------------------ checkpoints of a training


def save_checkpoint(
    path: str | PathLike[str],
    model: Any,
    optimizer: Any = None,
    *,
    name: str = "",
    config: Mapping[str, Any] | None = None,
    **more: Any,
) -> None:
    """Save all that a training needs to go on: weights, optimizer, random streams, versions.

    name, config: the model's name in ``models`` and its arguments, so that it can be built again.
    more: what else should be kept, such as ``epoch=3`` or ``transforms=transform.spec()``.
    """
    checkpoint = {
        "kind": "checkpoint",
        "name": name or type(model).__name__,
        "config": dict(config or {}),
        "model": dict(model.state_dict()),
        "optimizer": None if optimizer is None else optimizer.state_dict(),
        "random": random.get_state(),
        "versions": {"chainrule": chainrule.__version__, "numpy": np.__version__},
        **more,
    }
    save(checkpoint, path)


def read_checkpoint(path: str | PathLike[str]) -> dict[str, Any]:
    """The parts of a checkpoint that ``save_checkpoint`` wrote."""
    checkpoint = load(path)
    if not isinstance(checkpoint, dict) or checkpoint.get("kind") != "checkpoint":
        got = f"{path}, which holds no checkpoint"
        remedy = "cr.load(path) reads any file of cr.save"
        raise CheckpointError(message("load", got, "what save_checkpoint wrote", remedy=remedy))
    return checkpoint


def load_checkpoint(path: str | PathLike[str], model: Any, optimizer: Any = None) -> dict[str, Any]:
    """Put a checkpoint's weights into ``model``, its state into ``optimizer``; return its parts.

    With an optimizer the training goes on: the random streams are set as well.  Raises
    CheckpointError with a table if it is another model's checkpoint; then nothing is changed.
    """
    checkpoint = read_checkpoint(path)
    table = differences(dict(model.state_dict()), checkpoint["model"])
    if table:
        got = f"{path}, a checkpoint of {checkpoint['name']}"
        needs = f"one of {type(model).__name__}"
        raise CheckpointError(message("load", got, needs) + "\n" + table)
    model.load_state_dict(checkpoint["model"])
    if optimizer is not None:
        if checkpoint["optimizer"] is None:
            got = f"{path} without an optimizer's state"
            raise CheckpointError(message("load", got, "one that was saved with its optimizer"))
        optimizer.load_state_dict(checkpoint["optimizer"])
        random.set_state(checkpoint["random"])
    return checkpoint
