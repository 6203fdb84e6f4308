"""What the network sees of a drawing or a picture: each stage of the one path that leads there.

    POST /api/runs/NAME/steps/KIND/STEP/see?node=        node: the input; without it the first
                                                         that is a picture

The body is a PNG or JPEG of 2 MB at most (``image/png``, ``image/jpeg``), or with
``?rows=&columns=`` the greys of a canvas (``application/octet-stream``): a byte for each pixel,
0 black, 255 white, row by row.

    -> {"state": "seen" | "empty",
        "sentence": how it was made, or why nothing was,
        "node": 0, "name": "input", "shape": [1, 28, 28], "dtype": "float32",
        "pixels": BASE64 | null,               the input, as ``POST …/edits`` takes it
        "stages": [{"name": "ink", "words", "shape": [1, 80, 64], "low", "high", "pixels": BASE64}],
        "edit": ID, "scores"}                  with ``&sample=2``, where something was seen

With ``sample``, and ``&base=ID`` for changes that stay, the step is run with the input in that row,
as ``POST …/edits`` does: ``edit`` is its name, and ``scores`` the classes (``layers.py``) with
their ``numbers`` and the shares ``before``, or null.  The program runs forward alone: a stroke of a
pen waits for nothing else, and who asks for more of the edit gets all of it.

The stages are those of ``data/picture.py``: grey, ink, digit, grid, then the input; of colour the
picture and the input.  A stage's pixels are bytes, 0 for ``low`` and 255 for ``high``, of at most
96 rows and columns.  Nothing drawn is "empty", and no error.  A run on handwritten digits makes its
input as ``chainrule predict`` does, with the run's own transforms; of other data the input becomes
like those that were recorded.  A model that reads no picture gets 422 and a sentence.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data import PreparedPicture, from_spec, picture_like, prepare_picture
from chainrule.data.picture import find_ink, read_grey, resized
from chainrule.errors import ChainruleError, DataError, UsageError, message
from chainrule.run.blas import one_thread
from chainrule.studio.recorded.opened import Opened
from chainrule.train.reader import READ
from chainrule.train.runs import Run

__all__ = ["MOST_BYTES", "made_as", "seen_page"]

MOST_BYTES = 2 << 20
SIDE = 96  # of a stage's picture, at most
Json = dict[str, Any]
WORDS = {
    "grey": "brightness: 0 black, 1 white",
    "ink": "what stands out from the paper: 1 is ink",
    "digit": "cropped to the ink",
    "grid": "fitted into the data's own grid",
    "colour": "red, green and blue",
    "input": "what the network reads",
}
EMPTY = "Nothing is drawn yet: the network waits for ink."
AS_PREDICT = "Made as the run's own data were: fitted like {data}, then the run's transforms."
LIKE = "Fitted like the inputs that were recorded: the run does not say how its data were made."


def made_as(folder: Path) -> tuple[str, Any] | None:
    """The data set of a run on handwritten digits and its transforms; None for other data."""
    try:
        config = Run(folder).config
        data = config.get("data")
        return (data, from_spec(config["transforms"])) if data in READ else None
    except (ChainruleError, KeyError, AttributeError):  # a training that kept no recipe
        return None


def seen_page(
    opened: Opened,
    made: tuple[str, Any] | None,
    number: int | None,
    kind: str,
    sent: bytes,
    sizes: tuple[int, int] | None,
) -> Json:
    """What a page shows of a picture; ``made`` as ``made_as`` says, ``sizes`` of a canvas."""
    number = _input(opened, number)
    node, inputs = opened.nodes[number], opened.array(number, "value")
    assert inputs is not None
    source = _source(kind, sent, sizes)
    about: Json = {
        "node": number,
        "name": opened.called(number),
        "shape": list(node.shape[1:]),
        "dtype": node.dtype.name,
    }
    try:
        with one_thread():  # small products: a second thread makes them wait
            if made is not None:
                seen = prepare_picture(source, made[1], made[0])
            else:
                seen = picture_like(source, inputs)
    except DataError:
        if not _is_empty(source):
            raise
        grey = _stage("grey", read_grey(source))
        empty = {"state": "empty", "sentence": EMPTY, "pixels": None}
        return about | empty | {"stages": [grey]}
    if seen.input.size != np.prod(node.shape[1:], dtype=np.int64):
        got = f"{opened.called(number)} {node.type}, and pictures of {list(seen.input.shape[1:])}"
        raise UsageError(message("studio/see", got, "as many numbers in each"))
    exact = seen.input.astype(node.dtype.numpy).reshape(node.shape[1:])
    little = exact.astype(exact.dtype.newbyteorder("<"), copy=False)
    return about | {
        "state": "seen",
        "sentence": LIKE if made is None else AS_PREDICT.format(data=made[0]),
        "pixels": base64.b64encode(little.tobytes()).decode(),
        "stages": _stages(seen, exact),
    }


def _input(opened: Opened, number: int | None) -> int:
    """The input that is a picture, or a UsageError that says what the model reads instead."""
    inputs = [k for k, _ in opened.layers if not opened.nodes[k].inputs]
    if number is not None and number not in inputs:
        needs = f"an input of the model: node {', '.join(map(str, inputs)) or 'none'}"
        raise UsageError(message("studio/see", f"node {number}", needs))
    asked = inputs if number is None else [number]
    for k in asked:
        shape = opened.nodes[k].shape
        if len(shape) == 4 and shape[1] in (1, 3) and opened.array(k, "value") is not None:
            return k
    got = ", ".join(f"{opened.called(k)} {opened.nodes[k].type}" for k in asked) or "no input"
    remedy = "Choose a sample, or change its numbers one by one"
    needs = "a grey or colour picture: [N,1,H,W] or [N,3,H,W]"
    raise UsageError(message("studio/see", got, needs, remedy=remedy))


def _source(kind: str, sent: bytes, sizes: tuple[int, int] | None) -> bytes | np.ndarray:
    if kind in ("image/png", "image/jpeg"):
        return sent
    if kind != "application/octet-stream" or sizes is None:
        got = kind or "a request without a content type"
        needs = "image/png, image/jpeg, or application/octet-stream with rows and columns"
        raise UsageError(message("studio/see", got, needs))
    rows, columns = sizes
    if not sent or rows * columns != len(sent):
        needs = f"a byte for each of {rows} x {columns} pixels"
        raise UsageError(message("studio/see", f"{len(sent)} bytes", needs))
    return np.frombuffer(sent, np.uint8).reshape(rows, columns)


def _is_empty(source: bytes | np.ndarray) -> bool:
    """Whether it is a picture, and one without ink."""
    grey = read_grey(source)
    try:
        find_ink(grey)
    except DataError:
        return True
    return False


def _stages(seen: PreparedPicture, exact: np.ndarray) -> list[Json]:
    if seen.grey.ndim == 3:
        return [_stage("colour", seen.grey), _stage("input", exact)]
    names = ("grey", "ink", "digit", "grid")
    return [*(_stage(name, getattr(seen, name)) for name in names), _stage("input", exact)]


def _stage(name: str, array: np.ndarray) -> Json:
    """A stage as bytes, f[H,W] or f[C,H,W], reduced to 96 rows and columns where it is larger."""
    planes = array[None] if array.ndim == 2 else array
    if planes.ndim == 3 and max(planes.shape[1:]) > SIDE:
        scale = SIDE / max(planes.shape[1:])
        sides = [max(1, round(side * scale)) for side in planes.shape[1:]]
        planes = np.stack([resized(plane, *sides) for plane in planes])
    low, high = float(planes.min()), float(planes.max())
    low = min(low, 0.0) if name != "input" else low
    spread = (high - low) or 1.0
    levels = np.rint((planes.astype(np.float64) - low) / spread * 255).astype(np.uint8)
    return {
        "name": name,
        "words": WORDS[name],
        "shape": list(planes.shape),
        "low": low,
        "high": low + spread,
        "pixels": base64.b64encode(levels.tobytes()).decode(),
    }
