"""The figures of every step of a run as a page draws them: few points, each of many steps.

    GET /api/runs/NAME/curves?begun=&since=STEP&width=&map_width=

A curve has a thousand points at most, a map 250 columns; each stands for a *bucket* of neighbouring
steps, whose width is a power of two and whose bounds are multiples of it.  So a bucket that is full
never changes: a page tells what it has (the word ``begun``, the widths, and the first step of its
last bucket) and gets the buckets from there on, or all, with ``since`` 0, if the widths have grown
or another training has written since.

    {"begun", "since", "width", "map_width", "rows": steps with figures, "last": the last of them,
     "window": steps of the trailing mean, "changes": [{"step", "rates", "before", "at"}],
     "steps": first step of each bucket, "loss": {"mean", "low", "high", "smooth"},
     "rate": learning rate, "speed": {"mean", "smooth"}: samples a second,
     "maps": {"steps", "kinds": [{"kind", "rows": [{"of", "values"}]}]}}

Arrays are {"dtype", "data"}: little-endian, in base 64.  kind: "gradient" (rms over a parameter's
elements), "ratio" (rms of its change over rms of its value), "dead" and "saturated" (shares).  A
bucket has the mean of its steps, and is NaN if one of them is, or has no such figure.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chainrule.errors import NameNotFoundError, UsageError, message
from chainrule.studio.runs import Runs, plain_json
from chainrule.train.control import rate_changes
from chainrule.train.records import Records, Rows

__all__ = ["Curves", "bucket_width", "packed"]

POINTS, COLUMNS = 1000, 250  # of a curve and of a map, at most
SMOOTH = 16  # buckets of the trailing mean
OPEN, KEPT = 4, 64  # runs whose figures are held; answers that are
KINDS = ("gradient", "ratio", "dead", "saturated")


@dataclass
class _Figures:
    """The figures of a run that were read so far."""

    begun: str
    names: list[tuple[str, str]] = field(default_factory=list)
    steps: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    losses: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float64))
    values: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def add(self, rows: Rows) -> None:
        """Rows that come after those there are."""
        if not len(rows):
            return
        if rows.names != self.names:
            wider = np.full((len(self.steps), len(rows.names)), np.nan, np.float32)
            for k, name in enumerate(self.names):
                if name in rows.names:
                    wider[:, rows.names.index(name)] = self.values[:, k]
            self.names, self.values = rows.names, wider
        self.steps = np.concatenate([self.steps, rows.steps])
        self.losses = np.concatenate([self.losses, rows.losses])
        self.values = np.concatenate([self.values, rows.values])

    def column(self, of: str, what: str) -> np.ndarray:
        """f32[steps] of one figure, NaN where there is none."""
        if (of, what) not in self.names:
            return np.full(len(self.steps), np.nan, np.float32)
        return self.values[:, self.names.index((of, what))]


class Curves:
    """Answers on the figures of runs.  Threads may share it; ``routes`` has its answer."""

    def __init__(self, runs: Runs) -> None:
        self._runs, self._lock = runs, threading.Lock()
        self._figures: OrderedDict[Path, _Figures] = OrderedDict()
        self._answers: OrderedDict[Any, bytes] = OrderedDict()

    @property
    def routes(self) -> list[Route]:
        """What is asked for under the names of runs."""
        return [Route("/api/runs/{name}/curves", self.curves)]

    def curves(self, request: Request) -> Response:
        """See above."""
        name = request.path_params["name"]
        folder = self._runs.folder_of(name)
        if folder is None:
            raise NameNotFoundError(message("studio", f"the run {name}", "one that is there"))
        has = tuple(_number(request, key) for key in ("since", "width", "map_width"))
        begun, changes = request.query_params.get("begun", ""), rate_changes(folder)
        with self._lock:  # a hundred pages read the file once
            figures = self._read(folder)
            key = (folder, figures.begun, len(figures.steps), begun, has, len(changes))
            answer = self._answers.get(key)
            if answer is None:
                found = _described(figures, begun, *has)
                found["changes"] = [asdict(change) for change in changes]
                answer = json.dumps(plain_json(found)).encode()
                self._answers[key] = answer
                while len(self._answers) > KEPT:
                    self._answers.popitem(last=False)
        headers = {"Cache-Control": "no-store"}
        return Response(answer, media_type="application/json", headers=headers)

    def _read(self, folder: Path) -> _Figures:
        records = Records(folder / "record")
        begun = records.begun()
        known = self._figures.get(folder)
        if known is None or known.begun != begun:
            known = _Figures(begun)
        known.add(records.statistics(int(known.steps[-1]) + 1 if len(known.steps) else 0))
        self._figures[folder] = known
        self._figures.move_to_end(folder)
        while len(self._figures) > OPEN:
            self._figures.popitem(last=False)
        return known


def bucket_width(first: int, last: int, most: int) -> int:
    """The smallest power of two with at most so many buckets from the first to the last step.

    >>> bucket_width(0, 999, 1000), bucket_width(0, 1000, 1000), bucket_width(0, 99_999, 1000)
    (1, 2, 128)
    """
    width = 1
    while last // width - first // width >= most:
        width *= 2
    return width


def _described(
    figures: _Figures, begun: str, since: int, width: int, map_width: int
) -> dict[str, Any]:
    """The answer to a page that has the buckets before ``since``, of these widths."""
    steps = figures.steps
    first, last = (int(steps[0]), int(steps[-1])) if len(steps) else (0, 0)
    wide, columns = bucket_width(first, last, POINTS), bucket_width(first, last, COLUMNS)
    if begun != figures.begun or (width, map_width) != (wide, columns):
        since = 0
    since -= since % columns  # the map's buckets are whole ones of the curves
    window = SMOOTH * wide
    # The trailing mean of the first of them needs the steps before.
    early = int(np.searchsorted(steps, since - window))
    begin = int(np.searchsorted(steps, since)) - early
    losses, at = figures.losses[early:], steps[early:]
    smooth = _trailing(losses, at, window)[begin:]
    speeds = figures.column("training", "speed")[early:].astype(np.float64)
    with np.errstate(divide="ignore"):  # of speeds the mean of the times is the one that adds up
        smooth_speed = 1 / _trailing(1 / speeds, at, window)[begin:]
    losses, at, values = losses[begin:], at[begin:], slice(early + begin, None)
    starts, map_starts = _starts(at, wide), _starts(at, columns)
    rate, speed = (figures.column("training", what)[values] for what in ("rate", "speed"))
    return {
        "begun": figures.begun,
        "since": since,
        "width": wide,
        "map_width": columns,
        "rows": len(steps),
        "last": last if len(steps) else None,
        "window": window,
        "steps": packed(at[starts] - at[starts] % wide if len(at) else at),
        "loss": {
            "mean": packed(_means(losses, starts)),
            "low": packed(_reduced(np.minimum, losses, starts)),
            "high": packed(_reduced(np.maximum, losses, starts)),
            "smooth": packed(smooth[_ends(starts, len(at))]),
        },
        "rate": packed(_means(rate, starts)),
        "speed": {
            "mean": packed(_means(speed, starts)),
            "smooth": packed(smooth_speed[_ends(starts, len(at))]),
        },
        "maps": {
            "steps": packed(at[map_starts] - at[map_starts] % columns if len(at) else at),
            "kinds": [
                {
                    "kind": kind,
                    "rows": [
                        {"of": of, "values": packed(_means(row[values], map_starts))}
                        for of, row in _rows(figures, kind)
                    ],
                }
                for kind in KINDS
            ],
        },
    }


def _rows(figures: _Figures, kind: str) -> Iterator[tuple[str, np.ndarray]]:
    """The rows of a map: a parameter or layer, and its figure at each step."""
    if kind != "ratio":
        for of, what in figures.names:
            if what == kind:
                yield of, figures.column(of, what)
        return
    for of, what in figures.names:
        if what == "change":
            with np.errstate(divide="ignore", invalid="ignore"):
                yield of, figures.column(of, "change") / figures.column(of, "value")


def _starts(steps: np.ndarray, width: int) -> np.ndarray:
    """Where in ``steps`` the buckets begin that have any."""
    bucket = steps // width
    return np.flatnonzero(np.r_[True, bucket[1:] != bucket[:-1]]) if len(steps) else bucket


def _ends(starts: np.ndarray, count: int) -> np.ndarray:
    return np.r_[starts[1:], count] - 1 if count else starts


def _reduced(of: np.ufunc, column: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return of.reduceat(column, starts) if len(starts) else column


def _means(column: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """f64[buckets]: NaN where one number is; a number alone is its own mean, bit for bit."""
    with np.errstate(invalid="ignore", over="ignore"):
        sums = _reduced(np.add, column.astype(np.float64), starts)
    return sums / np.diff(np.r_[starts, len(column)]) if len(starts) else sums


def _trailing(losses: np.ndarray, steps: np.ndarray, window: int) -> np.ndarray:
    """f64[n]: the mean of the losses of the last ``window`` steps, as far as there are any.

    Differences of one running sum would carry a NaN to the end; so what is not finite is left out.
    """
    finite = np.isfinite(losses)
    sums = np.r_[0.0, np.cumsum(np.where(finite, losses, 0.0))]
    counts = np.r_[0, np.cumsum(finite)]
    begin = np.searchsorted(steps, steps - window, side="right")
    end = np.arange(1, len(losses) + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (sums[end] - sums[begin]) / (counts[end] - counts[begin])


def packed(array: np.ndarray) -> dict[str, str]:
    """An array as JSON has it."""
    exact = np.ascontiguousarray(array)
    exact = exact.astype(exact.dtype.newbyteorder("<"), copy=False)
    return {"dtype": array.dtype.name, "data": base64.b64encode(exact.tobytes()).decode("ascii")}


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "0")
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise UsageError(message("studio", f"{name}={text[:40]}", f"{name} as a whole number"))
    return int(text)
