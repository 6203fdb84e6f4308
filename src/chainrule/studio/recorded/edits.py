"""A recorded step with something changed: what a page asks for, kept by the hash of its content.

    POST /api/runs/NAME/steps/KIND/STEP/edits

        {"sample": 2,                          whose input and whose loss are meant
         "base": ID | null,                    an edit that these are added to
         "edits": [{"kind": "input", "node": 0, "pixels": BASE64},
                   {"kind": "nudge", "node": 7, "index": [0, 3], "to": 0.5},   or "by": 0.1
                   {"kind": "off", "node": 9, "map": 3}],
         "seed": {"kind": "loss", "target": 3}          target null: the one that was recorded
               | {"kind": "score", "class": 3}
               | {"kind": "element", "node": 12, "index": [2, 0]}
               | {"kind": "none"}              no backward: quicker, while somebody draws
               | null}                         the loss that was recorded, of all samples

    -> {"edit": ID,
        "sample": 2,
        "words": ["map 3 of conv1 is off"],    one sentence for each change
        "edits": […],                          all of them, those of the base too, without pixels
        "seed": {"kind", "text", "node", "index", "sample", …}}

Pixels are one row of the leaf: numbers of its dtype, little-endian in C order, or a byte for each
number (0 to 255, taken as it is).  A map is one of axis 1; of a node with more than four axes one
of all axes between the samples and the last two.  Without the field ``seed`` that of the base
stays.  In ``seed`` of an answer, ``text`` says in words what the error signals are those of:
``node`` is where the backward begins.  With a seed of loss or score they are this one sample's
own: the loss is multiplied by the number of samples where it is a mean over them, and no other
sample's row is passed back.

All that GET answers of a step takes ``?edit=ID`` (see ``steps.py``); nodes keep their numbers, ops
that were added come after them, and the input has error signals too.  The answer of ``/layers``
then has ``edit``, what POST has answered, and in ``scores`` the shares ``before`` the edit.  An ID
is the hash of what was asked for, so that equal edits have equal links; of those that nobody looks
at any more the oldest are forgotten, then it is 404.  What can't be done is 422 and one sentence.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import UsageError, message
from chainrule.graph import Node
from chainrule.inspect.rerun import NOTHING, Off, Seed, Write, rerun
from chainrule.ops import leaf
from chainrule.studio.recorded.layers import scores, targets
from chainrule.studio.recorded.opened import Opened

__all__ = ["Edit", "Edits", "ForgottenError", "asked_edit", "edited", "recorded_seed"]

KEPT, BYTES = 64, 64 << 20  # edits that are remembered: more, as long as they are small
MOST_KEPT = 4096
MOST_CHANGES = 256
HIDDEN = "pixels", "on"  # of what is told of a change
Json = dict[str, Any]


class ForgottenError(LookupError):
    """An edit that the server does not know."""


@dataclass(frozen=True)
class Edit:
    """What was asked for: ``changes`` and ``seed`` in the form of the request, checked."""

    sample: int
    changes: tuple[Json, ...]
    seed: Json | None

    @property
    def id(self) -> str:
        """The hash of its content."""
        return hashlib.sha256(self._text.encode()).hexdigest()[:16]

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return len(self._text)

    @property
    def _text(self) -> str:
        return json.dumps([self.sample, self.changes, self.seed], sort_keys=True)


class Edits:
    """The edits that were asked for.  Threads may share it."""

    def __init__(self) -> None:
        self._found: OrderedDict[str, Edit] = OrderedDict()
        self._lock = threading.Lock()
        self._bytes = 0

    def add(self, edit: Edit) -> None:
        """Remember an edit; forget the oldest beyond 64 that together take more than 64 MB."""
        name = edit.id
        with self._lock:
            if name not in self._found:
                self._bytes += edit.size
            self._found[name] = edit
            self._found.move_to_end(name)
            while len(self._found) > KEPT and (self._bytes > BYTES or len(self._found) > MOST_KEPT):
                self._bytes -= self._found.popitem(last=False)[1].size

    def get(self, name: str) -> Edit:
        """The edit of this ID, or ForgottenError."""
        with self._lock:
            if name not in self._found:
                raise ForgottenError(name)
            self._found.move_to_end(name)
            return self._found[name]


# ---------------------------------------------------------------- reading what was asked for


def asked_edit(asked: Any, opened: Opened, known: Edits) -> Edit:
    """The edit that a request asks for, or a UsageError that says what is wrong with it.

    asked: the JSON of the request; opened: the step without edits.
    """
    if not isinstance(asked, dict):
        raise _wrong("edit", type(asked).__name__, "an object with sample, edits and seed")
    base = known.get(asked["base"]) if isinstance(asked.get("base"), str) else None
    rows = opened.held.rows()
    sample = _whole(asked.get("sample", base.sample if base else 0), "sample", rows)
    listed = asked.get("edits", [])
    if not isinstance(listed, list):
        raise _wrong("edits", type(listed).__name__, "a list")
    changes = list(base.changes) if base else []
    for one in listed:
        change = _change(one, opened, sample)
        changes = [old for old in changes if not _replaces(change, old)] + [change]
    if len(changes) > MOST_CHANGES:
        raise _wrong("edits", f"{len(changes)} of them", f"{MOST_CHANGES} at most")
    seed = asked.get("seed", base.seed if base else None)
    return Edit(sample, tuple(changes), None if seed is None else _seed(seed, opened))


def _change(one: Any, opened: Opened, sample: int) -> Json:
    kind = one.get("kind") if isinstance(one, dict) else None
    read = {"input": _input, "nudge": _nudge, "off": _off}.get(str(kind))
    if read is None:
        raise _wrong("edit", f"kind {kind!r}", "input, nudge or off")
    number = _whole(one.get("node"), "node", len(opened.nodes))
    node = opened.nodes[number]
    return {"kind": kind, "node": number, "on": _on(node)} | read(one, node, sample)


def _on(node: Node) -> str:
    """What a node is in all steps of a run: another graph has another one at its number."""
    return f"{node.op.name} {node.name or node.scope}"


def _input(one: Json, node: Node, sample: int) -> Json:
    text, count = one.get("pixels"), math.prod(node.shape[1:])
    if node.op is not leaf.data or not node.shape:
        raise _wrong("input", f"{node.op.name} {node.type}", "data that the program reads")
    try:
        raw = base64.b64decode(text if isinstance(text, str) else "?", validate=True)
    except (binascii.Error, ValueError):
        raise _wrong("pixels", "what is no base64", "bytes in base64") from None
    if len(raw) == count and node.dtype.numpy.itemsize > 1:
        row = np.frombuffer(raw, np.uint8).astype(node.dtype.numpy)
    elif len(raw) == count * node.dtype.numpy.itemsize:
        row = np.frombuffer(raw, node.dtype.numpy.newbyteorder("<"))
    else:
        needs = f"{count} numbers, as bytes or {node.dtype.name}: a row of {node.type}"
        raise _wrong("pixels", f"{len(raw)} bytes", needs)
    if row.dtype.kind == "f" and not np.isfinite(row).all():
        raise _wrong("pixels", "NaN or infinity", "finite numbers")
    exact = np.ascontiguousarray(row, node.dtype.numpy)
    return {"sample": sample, "pixels": base64.b64encode(exact.tobytes()).decode()}


def _nudge(one: Json, node: Node, sample: int) -> Json:
    if node.inputs or node.op is leaf.number:
        needs = "data or a parameter: what the program reads from outside"
        raise _wrong("nudge", f"{node.op.name} {node.type}", needs)
    how = [name for name in ("to", "by") if name in one]
    if len(how) != 1:
        raise _wrong("nudge", " and ".join(how) or "neither to nor by", "one of the two")
    number = one[how[0]]
    with np.errstate(all="ignore"):
        sound = isinstance(number, int | float) and not isinstance(number, bool)
        sound = sound and abs(number) < 1e308 and np.isfinite(np.float64(number))
        sound = sound and np.isfinite(np.asarray(number, np.float64).astype(node.dtype.numpy))
    if not sound or (not node.dtype.is_floating_point and number != int(number)):
        kind = "a finite number" if node.dtype.is_floating_point else "a whole number"
        raise _wrong("nudge", f"{how[0]} {number!r:.40}", f"{kind} within {node.dtype.name}")
    return {"index": _place(one.get("index"), node), how[0]: number}


def _off(one: Json, node: Node, sample: int) -> Json:
    if not node.inputs or len(node.shape) < 2 or not node.dtype.is_floating_point:
        raise _wrong("off", f"{node.op.name} {node.type}", "a call's output, with maps or units")
    return {"map": _whole(one.get("map"), "map", math.prod(_lead(node)))}


def _lead(node: Node) -> tuple[int, ...]:
    """The axes that number the maps: axis 1, or all before the last two."""
    return node.shape[1:-2] if len(node.shape) > 4 else node.shape[1:2]


def _seed(seed: Any, opened: Opened) -> Json:
    kind = seed.get("kind") if isinstance(seed, dict) else None
    if kind == "loss":
        target = seed.get("target")
        return {"kind": kind, "target": None if target is None else _whole(target, "target")}
    if kind == "score":
        return {"kind": kind, "class": _whole(seed.get("class"), "class")}
    if kind == "element":
        number = _whole(seed.get("node"), "node", len(opened.nodes))
        node = opened.nodes[number]
        index = _place(seed.get("index"), node)
        return {"kind": kind, "node": number, "on": _on(node), "index": index}
    if kind == "none":
        return {"kind": kind}
    raise _wrong("seed", f"kind {kind!r}", "loss, score, element or none")


def _place(index: Any, node: Node) -> list[int]:
    fits = isinstance(index, list) and len(index) == len(node.shape)
    if not fits:
        raise _wrong("index", f"{index!r:.40}", f"{len(node.shape)} numbers, for {node.type}")
    return [_whole(i, "index", size) for i, size in zip(index, node.shape, strict=True)]


def _whole(number: Any, name: str, count: int | None = None) -> int:
    """A whole number of 0 or more, below ``count``."""
    most = 1 << 31 if count is None else count
    if type(number) is not int or not 0 <= number < most:
        raise _wrong(name, f"{number!r:.40}", f"a whole number from 0 to {most - 1}")
    return number


def _wrong(where: str, got: str, needs: str) -> UsageError:
    return UsageError(message(f"studio/{where}", got, needs))


def _replaces(new: Json, old: Json) -> bool:
    """Whether nothing is left of an earlier change."""
    if (new["kind"], new["node"]) == (old["kind"], old["node"]):
        if new["kind"] == "nudge":
            return "to" in new and new["index"] == old["index"]
        return new.get("sample") == old.get("sample") and new.get("map") == old.get("map")
    row = new["kind"] == "input" and old["kind"] == "nudge" and new["node"] == old["node"]
    return row and old["index"][0] == new["sample"]


# ---------------------------------------------------------------- running it


def edited(opened: Opened, edit: Edit, *, forward_only: bool = False) -> Opened:
    """The step with an edit, run again.  Raises UsageError where it can't be run."""
    for one in (*edit.changes, edit.seed or {}):
        if "on" in one:
            _check_place(opened, one)
    seed, told, writes = _begun(opened, edit)
    tape = rerun(
        opened.tape,
        [*_writes(opened, edit.changes), *writes],
        [_as_off(opened, change) for change in edit.changes if change["kind"] == "off"],
        NOTHING if forward_only else seed,
        opened.held.batch,
    )
    kept = opened.kept | {
        "rows": opened.held.rows(),
        "nodes": [*opened.kept["nodes"], *[None] * (len(tape._step.order) - len(opened.nodes))],
        "left_out": [],
    }
    begun = [tape._step.order.index(node) for node in tape._step.losses]
    about = {
        "edit": edit.id,
        "sample": edit.sample,
        "words": _words(opened, edit.changes),
        "edits": [{k: v for k, v in c.items() if k not in HIDDEN} for c in edit.changes],
        "seed": told | {"node": begun[0] if len(begun) == 1 else None},
    }
    return Opened(kept, tape, about, opened)


def _begun(opened: Opened, edit: Edit) -> tuple[Seed | None, Json, list[Write]]:
    """The seed, what a page says of it, and what it writes: the target of a sample."""
    seed, sample = edit.seed, edit.sample
    if seed is None:
        return None, recorded_seed(opened), []
    if seed["kind"] == "none":
        return NOTHING, seed | {"text": "no backward was run", "index": None}, []
    if seed["kind"] == "loss":
        known, target = targets(opened.held, opened.layers), seed["target"]
        if target is None:
            told = {"text": f"loss of sample {sample} alone"}
            return Seed(sample=sample), seed | told | {"index": None, "sample": sample}, []
        if known is None:
            remedy = "target null: the loss as it was recorded, of this sample alone"
            needs = "a loss with one class for each sample"
            raise UsageError(message("seed", f"target {target}", needs, remedy=remedy))
        where = opened.nodes[known["node"]]
        write = Write(known["node"], (sample,), np.array(target, where.dtype.numpy))
        told = {"text": f"loss with target {target}, of sample {sample} alone"}
        return Seed(sample=sample), seed | told | {"index": None, "sample": sample}, [write]
    if seed["kind"] == "score":
        found = scores(opened.held, opened.layers, sample)
        if found is None:
            needs, remedy = "a model with a softmax of its scores", "An element of its output"
            raise UsageError(message("seed", f"class {seed['class']}", needs, remedy=remedy))
        node, index = found["layer"], (sample, seed["class"])
        text = f"score of class {seed['class']}, of sample {sample}"
    else:
        node, index = seed["node"], tuple(seed["index"])
        text = f"{opened.called(node)} at {', '.join(map(str, index))}"
    told = {"text": text, "node": node, "index": list(index), "sample": sample}
    seed = {k: v for k, v in seed.items() if k not in HIDDEN}
    return Seed(node, index), seed | told, []


def recorded_seed(opened: Opened) -> Json:
    """What a page says of the backward that was recorded."""
    losses, rows = opened.kept["losses"], opened.held.batch
    text = f"the loss of all {rows} samples" if losses and rows else "the recorded loss"
    node = losses[0] if losses else None
    return {"kind": None, "text": text if losses else "none", "node": node, "index": None}


def _writes(opened: Opened, changes: Sequence[Json]) -> list[Write]:
    """The changes of leaves, in their order; ``by`` counts from what is there by then."""
    found: list[Write] = []
    for change in changes:
        node = opened.nodes[change["node"]]
        kind = node.dtype.numpy
        if change["kind"] == "input":
            row = np.frombuffer(base64.b64decode(change["pixels"]), kind)
            found.append(Write(change["node"], (change["sample"],), row.reshape(node.shape[1:])))
        elif change["kind"] == "nudge":
            index = tuple(change["index"])
            number = np.array(change.get("to", 0), kind)
            if "by" in change:
                number = np.array(
                    _number(opened, found, change["node"], index) + change["by"], kind
                )
            found.append(Write(change["node"], index, number))
    return found


def _number(opened: Opened, writes: Sequence[Write], node: int, index: tuple[int, ...]) -> Any:
    """What is at a place after these writes."""
    array = opened.held.array(node, "value")
    found = 0 if array is None else array[index]  # of what was not kept, rerun says so
    for write in writes:
        if write.node == node and write.place == index[: len(write.place)]:
            found = write.numbers[index[len(write.place) :]]
    return found


def _as_off(opened: Opened, change: Json) -> Off:
    lead = _lead(opened.nodes[change["node"]])
    return Off(change["node"], tuple(int(i) for i in np.unravel_index(change["map"], lead)))


def _check_place(opened: Opened, change: Json) -> None:
    """Raise for an edit that was made at another graph, where its node is another one."""
    node = opened.nodes[change["node"]] if change["node"] < len(opened.nodes) else None
    if node is None or _on(node) != change["on"] or not _fits(node, change):
        got = f"an edit of {change['on']}, which node {change['node']} is not here"
        needs = "a step with the graph that it was made at"
        raise UsageError(message("studio/edit", got, needs, remedy="Undo all"))


def _fits(node: Node, change: Json) -> bool:
    """Whether a change lies within a node of its name."""
    if change["kind"] == "off":
        return change["map"] < math.prod(_lead(node))
    if change["kind"] == "input":
        row = math.prod(node.shape[1:]) * node.dtype.numpy.itemsize
        return len(base64.b64decode(change["pixels"])) == row
    index = change["index"]
    return len(index) == len(node.shape) and all(
        i < size for i, size in zip(index, node.shape, strict=True)
    )


def _words(opened: Opened, changes: Sequence[Json]) -> list[str]:
    """One sentence for each change."""
    found = []
    for change in changes:
        node, name = opened.nodes[change["node"]], opened.called(change["node"])
        if change["kind"] == "input":
            found.append(f"{name} of sample {change['sample']} is a picture of yours")
        elif change["kind"] == "off":
            what = {2: "unit", 3: "row"}.get(len(node.shape), "map")
            found.append(f"{what} {change['map']} of {name} is off")
        else:
            place = f"{name}{change['index']}"
            more = (
                f"is {change['to']:.4g}" if "to" in change else f"is changed by {change['by']:.4g}"
            )
            found.append(f"{place} {more}")
    return found
