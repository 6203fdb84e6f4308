"""``cr.look(model, x, y)``: one forward and backward pass in the studio, inside a notebook's cell.

The pass is recorded into a folder of this process's own, which a studio in a thread of it serves.
Both end with the process.  Only notebooks on this machine may frame its pages.
"""

from __future__ import annotations

import atexit
import secrets
import shutil
import tempfile
import threading
import time
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import uvicorn

from chainrule.errors import ChainruleError, UsageError, message
from chainrule.graph import Graph
from chainrule.nn import Module
from chainrule.notebook import framed
from chainrule.studio.app import make_app
from chainrule.studio.one_pass import Loss, record_pass
from chainrule.studio.pages import ASSETS, check_built
from chainrule.studio.runs import Runs
from chainrule.studio.server import HOST, listen
from chainrule.train.runs import Run

__all__ = ["Look", "look"]

STARTS = 10.0  # seconds that a server may take to answer
# In a frame the cookie counts as the notebook's own only under the notebook's own name, so that the
# frame is told where to look when that name is known: before, it would be refused once.
OPEN = (
    "<script>(()=>{const f=document.currentScript.previousElementSibling,h=location.hostname,"
    'u=f.dataset.src;f.src=["localhost","127.0.0.1"].includes(h)?'
    'u.replace(/\\/\\/[^:]+:/,"//"+h+":"):u;})()</script>'
)


class Look:
    """What ``look`` gives: a notebook shows it; ``url`` opens it elsewhere; ``graph`` is its graph.

    ``run`` is the name of the pass in the studio, ``loss`` its loss.
    """

    def __init__(self, run: str, loss: float, graph: Graph, server: _Server) -> None:
        self.run, self.loss, self.graph, self._server = run, loss, graph, server

    @property
    def url(self) -> str:
        """The link, with the key in it; it holds as long as this process."""
        return self._server.link(HOST, self.run)

    def _repr_html_(self) -> str:
        source = escape(self._server.link("localhost", self.run))
        name, link = escape(self.run), escape(self.url)
        told = f"loss {self.loss:.4g}; it ends with this notebook's kernel"
        away = f'<a href="{link}" target="_blank" rel="noopener">Open in a tab of its own</a>'
        frame = f'<iframe data-src="{source}" title="Chainrule studio, {name}"></iframe>'
        return framed(
            [
                f'<div><b>{name}</b> <span class="m">{told}</span> {away}</div>',
                frame + OPEN,
                f"<details><summary>Graph</summary>{self.graph._repr_html_()}</details>",
            ]
        )

    def __repr__(self) -> str:
        return f"<Look at {self.run}, loss {self.loss:.4g}: {self.url}>"


def look(model: Module, x: Any, y: Any = None, loss: Loss | None = None) -> Look:
    """One forward and backward pass of a model, opened in the studio.

    x: what goes in, with its batch axis; y: the targets; loss: (output, y) -> a number.  Without a
    loss, whole-numbered targets mean cross-entropy, others the mean square; without y, the sum of
    the outputs is differentiated.  A copy of the model is used, so that its gradients,
    statistics and the random streams stay.  Raises UsageError for what is no model, ShapeError for
    a loss that is no single number, and with the remedy where the studio's pages are not built.

    >>> look(cr.nn.Linear(2, 1), cr.ones(3, 2)).url  # doctest: +SKIP
    'http://127.0.0.1:8765/network?token=…&run=look-001&kind=batch'
    """
    if not isinstance(model, Module):
        raise UsageError(message("look", f"a {type(model).__name__}", "a Module"))
    check_built(ASSETS)
    server = _Server.shared()
    run = Run.create("look", {"system": None, "model": type(model).__name__}, server.next_folder())
    value, graph = record_pass(run, model, x, y, loss)
    return Look(run.folder.name, value, graph, server)


class _Server:
    """The studio of this process: a thread, a port, a key, and a folder that ends with it."""

    _one: _Server | None = None
    _lock = threading.Lock()

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="chainrule-look-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        (self.folder / "runs").mkdir()
        self._count, self._token = 0, secrets.token_urlsafe(24)
        listening = listen()
        self._port = listening.getsockname()[1]
        app = make_app(Runs(self.folder / "runs"), self._token, self._port, framed=True)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            ws="websockets-sansio",
            ws_max_size=1 << 16,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=server.run, args=([listening],), name="chainrule-studio", daemon=True
        )
        self._thread.start()
        until = time.monotonic() + STARTS
        while not server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                got, needs = "a studio that did not start", "a port of this machine"
                remedy = "chainrule studio in a terminal says more"
                raise ChainruleError(message("look", got, needs, remedy=remedy))
            time.sleep(0.01)

    @classmethod
    def shared(cls) -> _Server:
        """The one of this process, started when it is first asked for."""
        with cls._lock:
            if cls._one is None or not cls._one._thread.is_alive():
                cls._one = cls()
            return cls._one

    def next_folder(self) -> Path:
        """Of a run that is not there yet."""
        with self._lock:
            self._count += 1
            return self.folder / "runs" / f"look-{self._count:03}"

    def link(self, host: str, run: str) -> str:
        """The page of a run, with the key."""
        query = urlencode({"token": self._token, "run": run, "kind": "batch"})
        return f"http://{host}:{self._port}/network?{query}"
