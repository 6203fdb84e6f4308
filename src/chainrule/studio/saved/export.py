"""A page of the studio as one HTML file that opens without Python and without a network.

The page's own components are in it (``assets/saved/``, built from ``studio/src/saved.ts``), and
what they would ask the server for: answers under the paths that are asked for.  A page that can be
saved needs nothing but a line in ``saved.ts`` and the paths of its answers here.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chainrule.errors import UsageError, message
from chainrule.files import write_new
from chainrule.studio.pages import ASSETS, check_built
from chainrule.studio.stepper import stepper

__all__ = ["MOST_BYTES", "ROUTES", "file_answer", "page_file", "save_page", "stepper_file"]

MOST_BYTES = 5_000_000
ROUNDS = 5  # steps of learning that a saved stepper has

# The file asks nobody for anything; its scripts and styles stand in it.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
)
FILE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<div id="studio"></div>
<noscript>This file needs JavaScript.</noscript>
<script type="application/json" id="embedded">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def page_file(page: str, answers: Mapping[str, Any], title: str, assets: Path = ASSETS) -> bytes:
    """The file's content.

    page: the path that it opens with, such as ``/stepper?example=xor``.  answers: by path, as the
    server would give them.  Raises UsageError if the pages are not built, or for more than 5 MB.
    """
    check_built(assets)
    script = (assets / "saved" / "saved.js").read_text("utf-8")
    style = (assets / "saved" / "saved.css").read_text("utf-8")
    data = json.dumps({"page": page, "answers": dict(answers)}, ensure_ascii=False)
    content = FILE.format(
        policy=POLICY,
        title=html.escape(title),
        style=style.replace("</", "<\\/"),
        data=data.replace("<", "\\u003c"),
        # What would end the element or begin a comment in it, written as JavaScript reads it too.
        script=script.replace("</script", "<\\/script").replace("<!--", "\\x3c!--"),
    ).encode()
    if len(content) > MOST_BYTES:
        got, needs = f"{len(content):,} bytes", f"at most {MOST_BYTES:,}"
        raise UsageError(message("save", got, needs, remedy="Save a smaller graph"))
    return content


def save_page(path: str | PathLike[str], content: bytes, *, overwrite: bool = False) -> Path:
    """Write a page's file whole or not at all; returns its path.

    Raises UsageError if it is there and ``overwrite`` is not given.
    """
    return write_new(
        path,
        content,
        "save",
        overwrite=overwrite,
        remedy="overwrite=True (--overwrite) replaces it",
    )


def stepper_file(
    given: Mapping[str, Any] | None = None,
    *,
    found: dict[str, Any] | None = None,
    rounds: int = ROUNDS,
    assets: Path = ASSETS,
) -> bytes:
    """A stepper as a file: of a query as ``stepper`` takes it, with some steps of learning after
    the first, or of what ``moves`` has ``found`` in a graph of one's own.
    """
    name = "saved"
    answers: dict[str, Any] = {}
    if found is None:
        query, last = dict(given or {}), dict[str, Any]()
        for n in range(max(1, rounds)):
            found = stepper(query)
            key = {"example": name} | ({"values": query["values"]} if n else {})
            answers[f"/api/stepper?{urlencode(key)}"] = found
            query = query | {"values": found["next"]}
        first, *_, last = [*answers.values()] * 2  # one step is both
        last["next"] = ""
    else:
        nothing = dict.fromkeys(("example", "formula", "values", "learned", "next", "code"), "")
        first = answers[f"/api/stepper?example={name}"] = nothing | found
    title = first["title"] or first["formula"] or "Back-propagation, step by step"
    return page_file(f"/stepper?example={name}", answers, title, assets)


# ---------------------------------------------------------------- the server's answer


def _answer_stepper(request: Request) -> Response:
    """The stepper that a query names, as a file to keep; a thread's work."""
    return file_answer(stepper_file(dict(request.query_params)))


def file_answer(content: bytes) -> Response:
    """A stepper's file as something that the browser saves."""
    name = 'attachment; filename="stepper.html"'
    return Response(
        content, 200, {"Content-Disposition": name, "Cache-Control": "no-store"}, "text/html"
    )


ROUTES = [Route("/api/stepper/file", _answer_stepper)]
