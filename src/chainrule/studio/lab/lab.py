"""The convolution lab: a page asks with a picture and a kernel, and gets all that follows.

    POST /api/lab/slide      a kernel slides over a picture: windows, products, sums, signals
    POST /api/lab/pool       the largest or the mean of each window, and of a picture moved by one
    POST /api/lab/channels   K kernels over C channels
    POST /api/lab/picture    an image file becomes numbers

The first three read a JSON object (see ``Asked``) and answer with arrays, {"shape", "dtype",
"data"}: base64 of little-endian bytes in C order, so that every bit arrives.  All arithmetic is
``inspect.sliding``'s, which is the layers' own.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from math import prod
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chainrule.data.picture import read_grey
from chainrule.errors import UsageError, message
from chainrule.inspect.sliding import Pooled, Sliding, fits, pooled, slide, weight_counts
from chainrule.nn import functional as F
from chainrule.studio.bodies import sent_bytes
from chainrule.studio.lab.inputs import (
    BANKS,
    IMAGES,
    KERNELS_1D,
    KERNELS_2D,
    SIGNALS,
    STACKS,
    bank_of,
    image_of,
    kernel_of,
    numbers_of,
    stack_of,
    text_of,
    thumbnail,
)
from chainrule.tensor import Tensor, tensor

__all__ = ["Asked", "Lab"]

MOST_SIDE, MOST_TAPS = 32, 11
MOST_PRODUCTS = 250_000  # of one answer: a 32×32 picture with an 11×11 kernel has 213,444
MOST_COPIES = 64
MOST_TERMS = 12  # products of a sum that a page lists; the others are one number
MOST_BYTES, MOST_PICTURE = 200_000, 12_000_000  # of a request; of an image file
SHIFTS = {"right": (0, 1), "left": (0, -1), "down": (1, 0), "up": (-1, 0)}


@dataclass(frozen=True)
class Asked:
    """What a page asks with; each number has its least and most in RANGES.

    image, kernel: a name or text (``lab_inputs``).  upstream: "ones" or text, in the shape of the
    output.  back, matrix: whether error signals, and matrices, are asked for.
    copies: of "weights" or "pixels", or "" for none.  around: the padding of a pooling.
    """

    image: str
    kernel: str = "cross"
    size: int = 12
    dims: int = 2
    stride: int = 1
    padding: int | str = "valid"
    dilation: int = 1
    op: str = "correlation"
    upstream: str = "ones"
    wanted: int = 3
    back: bool = False
    matrix: bool = False
    copies: str = ""
    pool: str = "max"
    window: int = 2
    every: int = 2
    around: int = 0
    shift: str = "right"
    outputs: int = 3
    seed: int = 0


RANGES = {
    "size": (3, MOST_SIDE),
    "dims": (1, 2),
    "stride": (1, MOST_SIDE),
    "padding": (0, 16),
    "dilation": (1, 4),
    "wanted": (1, 64),
    "window": (1, 8),
    "every": (1, 8),
    "around": (0, 4),
    "outputs": (1, 4),
    "seed": (0, 9999),
}
WORDS = {
    "padding": ("valid", "same", "full"),
    "op": ("correlation", "convolution"),
    "copies": ("", "weights", "pixels"),
    "pool": ("max", "mean"),
    "shift": tuple(SHIFTS),
}


def asked_of(body: bytes) -> Asked:
    """What a request's body asks, checked; raises UsageError with a sentence for all else."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict) or "image" not in given:
        raise UsageError(message("lab", "no such request", "a JSON object with an image"))
    known = {field.name for field in fields(Asked)}
    for name, value in given.items():
        if name not in known:
            raise UsageError(message("lab", repr(name[:40]), "one of " + ", ".join(sorted(known))))
        _check(name, value)
    return Asked(**given)


def _check(name: str, value: Any) -> None:
    if name in ("back", "matrix"):
        right, needs = isinstance(value, bool), "true or false"
    elif isinstance(value, str) and (name in WORDS or name not in RANGES):
        right = name not in WORDS or value in WORDS[name]
        needs = " or ".join(map(repr, WORDS.get(name, ())))
    else:
        low, high = RANGES.get(name, (0, -1))
        right = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        needs = f"a whole number from {low} to {high}" if name in RANGES else "text"
    if not right:
        raise UsageError(message("lab", f"{name}={str(value)[:40]}", needs))


class Lab:
    """The lab's answers.  It keeps nothing, so threads may share it."""

    routes: list[Route]

    def __init__(self) -> None:
        self.routes = [
            *(
                Route(f"/api/lab/{name}", _answering(of), methods=["POST"])
                for name, of in (("slide", slid), ("pool", pools), ("channels", channels))
            ),
            Route("/api/lab/picture", _picture, methods=["POST"]),
        ]


def _answering(of: Callable[[Asked], dict[str, Any]]) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        body = await sent_bytes(request, MOST_BYTES)
        return _json(await run_in_threadpool(lambda: of(asked_of(body))))

    return answer


async def _picture(request: Request) -> Response:
    size = request.query_params.get("size", "")
    if not size.isdecimal() or len(size) > 9:
        raise UsageError(message("lab", f"size={size[:40]}", "a whole number"))
    _check("size", int(size))
    content = await sent_bytes(request, MOST_PICTURE)
    grey = await run_in_threadpool(lambda: thumbnail(read_grey(content), int(size)))
    return _json({"image": text_of(grey)})


def _json(value: Any) -> Response:
    return JSONResponse(value, headers={"Cache-Control": "no-store"})


# ---------------------------------------------------------------- sliding


def slid(asked: Asked) -> dict[str, Any]:
    """A kernel over a picture, or over a signal, which is shown as a picture of one row."""
    x, w = image_of(asked.image, asked.size, asked.dims), kernel_of(asked.kernel, asked.dims)
    _check_sizes(x.shape, w.shape, MOST_SIDE, MOST_TAPS)
    _check_windows(x.shape, w, asked)
    found = slide(x, w, upstream=None, **_options(asked))
    if asked.upstream != "ones":
        y_bar = numbers_of(asked.upstream, asked.dims, "upstream")
        found = slide(x, w, upstream=y_bar[None], **_options(asked))
    answer = _sliding(asked, found) | {
        "text": {"image": text_of(x), "kernel": text_of(w), "upstream": _upstream_text(found)},
        "kernel_sum": found.w.sum().item(),
        "fits": fits(x.shape[-1], asked.wanted),
        "weights": weight_counts(
            x.size, prod(found.counts), int((found.places >= 0).sum()), w.size
        ),
        "known": {
            "images": _named(IMAGES if asked.dims == 2 else SIGNALS),
            "kernels": list(KERNELS_2D if asked.dims == 2 else KERNELS_1D),
        },
        "code": _slide_code(asked, x, w),
    }
    if asked.matrix:
        answer["matrix"] = _matrix(found)
    if asked.copies:
        answer["copies"] = _copies(asked, found)
    return answer


def _options(asked: Asked) -> dict[str, Any]:
    return {
        "stride": asked.stride,
        "padding": asked.padding,
        "dilation": asked.dilation,
        "mode": asked.op,
    }


def _check_sizes(sizes: Any, taps: Any, most_side: int, most_taps: int) -> None:
    if max(sizes) > most_side:
        got = f"an image of {_by(sizes)}"
        raise UsageError(message("lab", got, f"at most {most_side} a side"))
    if max(taps) > most_taps:
        got = f"a kernel of {_by(taps)}"
        raise UsageError(message("lab", got, f"at most {most_taps} a side"))


def _check_windows(sizes: Any, w: np.ndarray, asked: Asked) -> None:
    """Raise unless a window fits, and not too many of them."""
    totals = [asked.dilation * (taps - 1) for taps in w.shape[-len(sizes) :]]
    padding, stride = asked.padding, asked.stride
    if padding == "same" and stride > 1:
        got = f"padding=same with stride {stride}"
        raise UsageError(message("lab", got, "stride 1, or padding as a number"))
    times = {"valid": 0, "same": 1, "full": 2}
    pads = [times[padding] * t if isinstance(padding, str) else 2 * padding for t in totals]
    wide = [n + p for n, p in zip(sizes, pads, strict=True)]
    room = [n - t for n, t in zip(wide, totals, strict=True)]
    if min(room) < 1:
        got = f"a window of {_by(t + 1 for t in totals)}"
        remedy = "A larger image, a smaller kernel or dilation, or more padding"
        raise UsageError(message("lab", got, f"one that fits into {_by(wide)}", remedy=remedy))
    count = prod(-(-r // stride) for r in room) * w.size
    if count > MOST_PRODUCTS:
        got, needs = f"{count:,} products", f"at most {MOST_PRODUCTS:,}"
        remedy = "A smaller image or kernel, less padding, or a larger stride"
        raise UsageError(message("lab", got, needs, remedy=remedy))


def _by(sizes: Iterable[int]) -> str:
    return "×".join(map(str, sizes))


def _sliding(asked: Asked, found: Sliding) -> dict[str, Any]:
    """What a slide and several channels share; signals stand as a row."""
    flat = len(found.counts) == 1
    sizes, taps = found.x.shape[1:], found.w.shape[2:]
    answer = {
        "x": _array(found.x, flat),
        "w": _array(found.w, flat),
        "seen": _array(found.seen, flat),
        "bias": _array(found.bias),
        "y": _array(found.y, flat),
        "before": [0] * flat + [before for before, _ in found.widths],
        "after": [0] * flat + [after for _, after in found.widths],
        "places": _array(found.places),
        "used": _array(found.used, flat),
        "unused": int((found.used == 0).sum()),
        "products": _array(found.products),
        "channel_sums": _array(found.channel_sums),
        "sums": _array(found.sums),
        "rest": _array(_rest(found.products.flatten(2))),
        "flipped": asked.op == "convolution",
        "formula": [
            _size_formula(axis, n, width, f, asked, count)
            for axis, n, width, f, count in zip(
                ("columns",) if flat else ("rows", "columns"),
                sizes,
                found.widths,
                taps,
                found.counts,
                strict=True,
            )
        ],
        "scales": _scales(found, "x", "w", "y"),
        "back": None,
    }
    if asked.back:
        answer["scales"] |= _scales(found, "y_bar", "x_bar", "w_bar", "b_bar")
        answer["back"] = {
            "y_bar": _array(found.y_bar, flat),
            "x_bar": _array(found.x_bar, flat),
            "w_bar": _array(found.w_bar, flat),
            "b_bar": _array(found.b_bar),
            "to_x": _array(found.to_x),
            "to_w": _array(found.to_w),
            "x_sums": _array(found.x_sums, flat),
            "w_sums": _array(found.w_sums, flat),
            "x_rest": _array(_rest(_sent_terms(found)).reshape(*found.x.shape), flat),
            "w_rest": _array(
                _rest(found.to_w.permute(0, 2, 3, 1)).reshape(*found.seen.shape), flat
            ),
        }
    return answer


def _sent_terms(found: Sliding) -> Tensor:
    """f[C,N,K·T]: what each number of x is sent, in the order of kernels, then of windows."""
    # A later window reads a number along an earlier tap.
    return found.sent_by_tap().flip(2).permute(1, 3, 0, 2).flatten(2)


def _rest(terms: Tensor) -> Tensor:
    """The sum of all but the MOST_TERMS largest of the last axis; of equals the first stay."""
    order = terms.abs().argsort(-1, descending=True, stable=True)
    return terms.gather(-1, order[..., MOST_TERMS:]).sum(-1)


def _size_formula(
    axis: str, size: int, width: tuple[int, int], taps: int, asked: Asked, count: int
) -> dict[str, Any]:
    """⌊(N + before + after − span) / S⌋ + 1 with its numbers; ``rest`` is left over at the end."""
    span = asked.dilation * (taps - 1) + 1
    rest = (size + sum(width) - span) % asked.stride
    return {
        "axis": axis,
        "size": size,
        "before": width[0],
        "after": width[1],
        "taps": taps,
        "span": span,
        "stride": asked.stride,
        "rest": rest,
        "count": count,
    }


def _matrix(found: Sliding) -> dict[str, Any]:
    """im2col, how far M x is from y, and the weights of the lectures' large picture."""
    matrix = found.matrix()
    product, back = matrix @ found.x[0].flatten(), matrix.t() @ found.y_bar[0].flatten()
    units, window = 200 * 200, 10 * 10
    return {
        "columns": _array(found.columns()),
        "difference": (product - found.y[0].flatten()).abs().max().item(),
        "difference_back": (back - found.x_bar[0].flatten()).abs().max().item(),
        "sent": _array(found.to_x[0, :, 0].t()),
        "large": {
            "units": units,
            "window": window,
            "weights": weight_counts(units, units, units * window, window),
        },
    }


def _copies(asked: Asked, found: Sliding) -> dict[str, Any]:
    """The output as a sum: of one copy for each weight, or of one for each number of the image.

    Backward x̄ is the sum: of ȳ moved back for each weight, or of a kernel for each number of ȳ.
    A copy that is scaled by zero adds nothing and is left out.
    """
    if asked.copies == "weights":
        layers = found.sent_by_tap()[0, 0] if asked.back else found.products[0, :, 0].t()
        by = found.seen[0, 0].flatten()
    elif asked.back:
        layers, by = found.sent_by_output(), found.y_bar[0].flatten()
    else:
        layers, by = found.copies_by_input(), found.x[0].flatten()
    scaled = by.numpy()
    chosen = np.flatnonzero(scaled)
    if len(chosen) > MOST_COPIES:
        got = f"{len(chosen)} copies"
        remedy = "Copies of the image, one for each weight, are fewer; or choose a smaller image"
        raise UsageError(message("lab", got, f"at most {MOST_COPIES}", remedy=remedy))
    kept = layers.index_select(0, tensor(chosen))
    return {
        "of": asked.copies,
        "places": chosen.tolist(),
        "left_out": len(scaled) - len(chosen),
        "factors": _array(by.index_select(0, tensor(chosen))),
        "layers": _array(kept),
        "partial": _array(kept.cumsum(0)),
        "scale": _scale(kept),
    }


def _upstream_text(found: Sliding) -> str:
    return text_of(found.y_bar[0].numpy())


def _slide_code(asked: Asked, x: np.ndarray, w: np.ndarray) -> str:
    lines = [
        "import chainrule as cr",
        "import chainrule.nn.functional as F",
        "",
        f"x = cr.tensor({x.tolist()}, dtype=cr.float64, requires_grad=True)",
        f"w = cr.tensor({w.tolist()}, dtype=cr.float64, requires_grad=True)",
        f"y = F.conv{asked.dims}d(",
        f"    x[None, None], w[None, None], stride={asked.stride}, padding={asked.padding!r},",
        f"    dilation={asked.dilation}, mode={asked.op!r},",
        ")[0, 0]",
        "print(y)",
    ]
    if asked.back:
        seed = "cr.ones_like(y)"
        if asked.upstream != "ones":
            seed = (
                f"cr.tensor({numbers_of(asked.upstream, asked.dims, 'upstream').tolist()}).double()"
            )
        lines += [f"y.backward({seed})", "print(x.grad)", "print(w.grad)"]
    return "\n".join(lines)


# ---------------------------------------------------------------- pooling


def pools(asked: Asked) -> dict[str, Any]:
    """A pooled picture, and the same of the picture moved by a pixel."""
    x = image_of(asked.image, asked.size, 2)
    _check_sizes(x.shape, (asked.window,), MOST_SIDE, MOST_TAPS)
    _check_around(asked)
    placed = replace(asked, stride=asked.every, padding=asked.around)
    _check_windows(x.shape, np.zeros((asked.window,) * 2), placed)
    upstream = None
    if asked.upstream != "ones":
        upstream = numbers_of(asked.upstream, 2, "upstream")
    around = {"padding": asked.around, "dilation": asked.dilation}
    found = pooled(x, asked.window, asked.every, asked.pool, upstream, **around)
    shifted = _moved(found.x, asked.shift)
    moved = pooled(shifted, asked.window, asked.every, asked.pool, **around)
    differs = found.y.ne(moved.y).flatten().numpy()
    return {
        **_pooling(found),
        "moved": {
            "x": _array(moved.x[None]),
            "y": _array(moved.y[None]),
            "differs": _array(differs.astype(np.uint8)),
            "changed": int(differs.sum()),
        },
        "formula": [
            _size_formula(axis, n, (asked.around, asked.around), asked.window, placed, count)
            for axis, n, count in zip(("rows", "columns"), x.shape, found.counts, strict=True)
        ],
        "text": {"image": text_of(x), "upstream": text_of(found.y_bar.numpy())},
        "known": {"images": _named(IMAGES)},
        "code": _pool_code(asked, x),
    }


def _check_around(asked: Asked) -> None:
    """Raise for a window that could stand in the padding alone, and for a mean with holes."""
    most = asked.window // 2
    if asked.around > most:
        got, needs = f"padding {asked.around}", f"at most {most}, half of the window"
        raise UsageError(message("lab", got, needs, remedy="A larger window, or less padding"))
    if asked.pool == "mean" and asked.dilation > 1:
        got = f"dilation {asked.dilation} for a mean"
        raise UsageError(message("lab", got, "1", remedy="The maximum can have one"))


def _moved(x: Tensor, shift: str) -> Tensor:
    """The picture moved by one pixel; zeros come in, and what leaves is gone."""
    down, right = SHIFTS[shift]
    rows, columns = x.shape
    kept = x[max(0, -down) : rows - max(0, down), max(0, -right) : columns - max(0, right)]
    widths = (max(0, right), max(0, -right), max(0, down), max(0, -down))
    return F.pad(kept, widths)


def _pooling(found: Pooled) -> dict[str, Any]:
    return {
        "x": _array(found.x[None]),
        "y": _array(found.y[None]),
        "places": _array(found.places),
        "used": _array(found.used),
        "unused": int((found.used == 0).sum()),
        "columns": _array(found.columns),
        "winner": None if found.winner is None else _array(found.winner),
        "ties": _array(found.ties),
        "tied": 0 if found.winner is None else int((found.ties > 1).sum()),
        "y_bar": _array(found.y_bar[None]),
        "x_bar": _array(found.x_bar[None]),
        "to_x": _array(found.to_x),
        "scales": _scales(found, "x", "y", "y_bar", "x_bar"),
    }


def _pool_code(asked: Asked, x: np.ndarray) -> str:
    name = "max_pool2d" if asked.pool == "max" else "avg_pool2d"
    sizes = [asked.window, asked.every, asked.around]
    sizes += [asked.dilation] * (asked.pool == "max")
    return "\n".join(
        [
            "import chainrule as cr",
            "import chainrule.nn.functional as F",
            "",
            f"x = cr.tensor({x.tolist()}, dtype=cr.float64, requires_grad=True)",
            f"y = F.{name}(x[None, None], {', '.join(map(str, sizes))})[0, 0]",
            "y.backward(cr.ones_like(y))",
            "print(y)",
            "print(x.grad)",
        ]
    )


# ---------------------------------------------------------------- several channels


def channels(asked: Asked) -> dict[str, Any]:
    """K kernels over C channels, with a bias for each kernel."""
    x = stack_of(asked.image, asked.size)
    w = bank_of(asked.kernel, len(x), asked.outputs, asked.seed)
    if w.shape[1] != len(x) or max(w.shape[:2]) > RANGES["outputs"][1]:
        got = f"{len(x)} channels with {w.shape[0]} kernels of {w.shape[1]} channels"
        raise UsageError(message("lab", got, "as many, and at most 4 of each"))
    _check_sizes(x.shape[1:], w.shape[2:], 16, 5)
    _check_windows(x.shape[1:], w, asked)
    bias = 0.25 * np.arange(len(w))
    found = slide(x, w, bias, **_options(asked))
    if asked.upstream != "ones":
        found = slide(
            x, w, bias, upstream=numbers_of(asked.upstream, 3, "upstream"), **_options(asked)
        )
    return _sliding(asked, found) | {
        "text": {
            "image": text_of(x),
            "kernel": text_of(w),
            "upstream": text_of(found.y_bar.numpy()),
        },
        "parameters": w.size + len(w),
        "known": {"images": _named(STACKS), "kernels": [[k, v] for k, v in BANKS.items()]},
        "code": _channels_code(asked, x, w, bias),
    }


def _channels_code(asked: Asked, x: np.ndarray, w: np.ndarray, bias: np.ndarray) -> str:
    return "\n".join(
        [
            "import chainrule as cr",
            "import chainrule.nn.functional as F",
            "",
            f"x = cr.tensor({x.tolist()}, dtype=cr.float64)",
            f"w = cr.tensor({w.tolist()}, dtype=cr.float64)",
            f"b = cr.tensor({bias.tolist()}, dtype=cr.float64)",
            f"y = F.conv2d(x[None], w, b, {asked.stride}, {asked.padding!r}, {asked.dilation},",
            f"             mode={asked.op!r})[0]",
            "print(y)",
        ]
    )


# ---------------------------------------------------------------- arrays


def _named(named: dict[str, Any]) -> list[list[str]]:
    return [[name, words] for name, (words, _) in named.items()]


def _array(of: Tensor | np.ndarray, row: bool = False) -> dict[str, Any]:
    """An array for the page; ``row`` makes a picture of one row of its last axis."""
    array = of.detach().numpy() if isinstance(of, Tensor) else of
    if row:
        array = array[..., None, :]
    kind = "float64" if array.dtype.kind == "f" else "uint8" if array.dtype == np.uint8 else "int32"
    exact = np.ascontiguousarray(array).astype(np.dtype(kind).newbyteorder("<"), copy=False)
    data = base64.b64encode(exact.tobytes()).decode()
    return {"shape": list(array.shape), "dtype": kind, "data": data}


def _scales(found: Any, *names: str) -> dict[str, Any]:
    return {name: _scale(getattr(found, name)) for name in names}


def _scale(of: Tensor) -> dict[str, Any]:
    """What a picture's colours end at, its range, and whether anything is below zero."""
    array = of.detach().numpy()
    low, high = float(array.min(initial=0)), float(array.max(initial=0))
    return {
        "scale": max(high, -low),
        "signed": low < 0,
        "low": float(array.min()),
        "high": float(array.max()),
    }
