"""The page Graph as one HTML file: a recorded step for one sample, opened without Python.

>>> import chainrule as cr
>>> save_graph(cr.open_run("lenet-001"), "graph.html", step=40)  # doctest: +SKIP
PosixPath('graph.html')
"""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from chainrule.errors import IndexRangeError, UsageError, message
from chainrule.studio.pages import ASSETS
from chainrule.studio.recorded.drawing import WHATS, sizes_page, thumbnail, tree_page
from chainrule.studio.recorded.opened import Opened
from chainrule.studio.runs import plain_json
from chainrule.studio.saved.export import MOST_BYTES, page_file, save_page
from chainrule.tape import tape_of
from chainrule.train.records import KINDS
from chainrule.train.runs import Run

__all__ = ["graph_file", "save_graph"]

CELLS = 28, 14, 7  # of the pictures, along a side: coarser ones where the file would be too large
FOR_PAGES = 1_500_000  # bytes of it that are left to the page itself and to the tree


def graph_file(
    name: str,
    step: Opened,
    kind: str,
    sample: int = 0,
    *,
    mode: str | None = None,
    opened: str | None = None,
    assets: Path = ASSETS,
) -> bytes:
    """The file's content: all that the page asks for of one sample, but not how numbers came about.

    mode and opened: as in the page's link, "bar" and the keys of the open modules.  Raises
    UsageError if the pages are not built, or if the graph alone takes more than 5 MB.
    """
    number = step.kept["step"]
    kept = f"/api/runs/{quote(name, safe='')}/steps"
    edit = {"edit": step.edit["id"]} if step.edit else {}
    at, end = f"{kept}/{kind}/{number}", f"?{urlencode(edit)}" if edit else ""

    def asked(answer: str, **query: Any) -> str:
        return f"{at}/{answer}?{urlencode(query | edit)}"

    answers: dict[str, Any] = {
        kept: {each: [number] if each == kind else [] for each in KINDS},
        f"{at}/tree{end}": tree_page(step) | {"fused": step.fused},
    }
    for what in ("value", "update") if kind == "batch" else ("value",):
        answers[asked("sizes", sample=sample, what=what)] = sizes_page(step, sample, what)
    for node, found in enumerate(_thumbnails(step, sample)):
        for what in WHATS:
            path = asked("thumbnails", nodes=node, what=what, sample=sample)
            answers[path] = {"thumbnails": [found[what]] if what in found else []}
    page: dict[str, Any] = {"run": name, "step": number, "kind": kind, "sample": sample or None}
    page |= {"mode": mode, "open": opened} | edit
    query = urlencode({key: value for key, value in page.items() if value is not None})
    title = f"{name}, {kind} of step {number}, sample {sample}"
    return page_file(f"/graph?{query}", plain_json(answers), title, assets)


def _thumbnails(step: Opened, sample: int) -> list[dict[str, Any]]:
    """Of each node its pictures by what they show, as fine as there is room for; else none."""
    for cells in CELLS:
        found = [
            {
                what: picture
                for what in WHATS
                if (picture := thumbnail(step.held, node, what, sample, cells)) is not None
            }
            for node in range(len(step.nodes))
        ]
        if len(json.dumps(plain_json(found))) <= MOST_BYTES - FOR_PAGES:
            return found
    return [{} for _ in step.nodes]


def save_graph(
    run: Run,
    path: str | PathLike[str],
    *,
    step: int | None = None,
    kind: str | None = None,
    sample: int = 0,
    mode: str | None = None,
    opened: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the page Graph of a recorded step as one file; returns its path.

    step: the last that was kept, if none is given.  kind: "probe" (the default, if there is one)
    or "batch".  mode: None for values, "bar" for error signals, "update" (of a batch).  opened:
    keys of the modules that are open, such as "lenet,conv1".  Raises UsageError for a run without
    such a step, IndexRangeError for a sample that is not in it.
    """
    records = run.records
    kind = kind or ("probe" if records.steps("probe") else "batch")
    if kind not in KINDS:
        raise UsageError(message("save", f"kind {kind!r}", " or ".join(KINDS)))
    there = records.steps(kind)
    if not there:
        needs, remedy = "a run with a record", "chainrule train … --record makes one"
        raise UsageError(message("save", f"{run.folder.name}, no {kind}", needs, remedy=remedy))
    number = there[-1] if step is None else step
    if number not in there:
        needs = f"a {kind} that was kept: {', '.join(map(str, there[-12:]))}"
        raise UsageError(message("save", f"step {number}", needs))
    kept = records.read(number, kind)
    found = Opened(kept, tape_of(kept))
    found.find_fused(records, kind)
    rows = max(found.held.rows(), 1)
    if not 0 <= sample < rows:
        raise IndexRangeError(message("save", f"sample {sample}", f"0 to {rows - 1}"))
    content = graph_file(run.folder.name, found, kind, sample, mode=mode, opened=opened)
    return save_page(path, content, overwrite=overwrite)
