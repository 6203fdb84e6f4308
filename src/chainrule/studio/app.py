"""What the server answers: the pages, and under ``/api`` what they show.

    GET  /api/runs          a summary of each run, newest first
    GET  /api/runs/NAME     one run: its configuration, its figures by epoch
    GET  /api/systems       what can be trained or computed
    GET  /api/train         the training that was started here, and its last lines
    POST /api/train         {"system": NAME} starts one; 409 while one runs
    …    /api/open          runs elsewhere, scripts, models: see ``opening.py``
    POST /api/lab/…         convolution and pooling of what is sent: see ``lab.py``
    GET  /api/runs/NAME/…   its recorded steps: see ``steps.py``, ``curves.py``, ``surface.py``
    POST /api/runs/NAME/control   steers its training: see ``steering.py``
    GET  /api/stepper       back-propagation of a formula: see ``stepper.py``
    WS   /api/live          the runs and the training, then what changes of them

An error is {"error": sentence, "remedy": sentence}.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute

from chainrule.errors import ChainruleError, UsageError, message
from chainrule.studio.access import Guard
from chainrule.studio.bodies import sent_json
from chainrule.studio.lab.lab import Lab
from chainrule.studio.live import Live
from chainrule.studio.opening import Opening
from chainrule.studio.pages import ASSETS, Pages
from chainrule.studio.recorded.edits import ForgottenError
from chainrule.studio.recorded.steps import Steps
from chainrule.studio.runs import Runs
from chainrule.studio.saved.export import ROUTES as FILES
from chainrule.studio.stepper import ROUTES as STEPPER
from chainrule.studio.training.curves import Curves
from chainrule.studio.training.processes import BusyError, Training, systems
from chainrule.studio.training.steering import Steering
from chainrule.studio.training.surface import Surfaces

__all__ = ["make_app"]

MOST_BYTES = 10_000  # of a request to train


def make_app(
    runs: Runs,
    token: str,
    port: int,
    assets: Path = ASSETS,
    framed: bool = False,
    training: Training | None = None,
) -> Guard:
    """The guarded application.  Its lifespan ends the training that it started.

    framed: pages may stand in a frame of a notebook on this machine; training: one that has begun.
    """
    training = training or Training()
    api = _Api(runs, training)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(training.stop)

    routes = [
        Route("/api/runs", api.runs),
        Route("/api/runs/{name}", api.run),
        Route("/api/systems", api.systems),
        Route("/api/train", api.training, methods=["GET"]),
        Route("/api/train", api.train, methods=["POST"]),
        *Opening(runs, training).routes,
        *Steps(runs).routes,
        *Lab().routes,
        *Curves(runs).routes,
        *Surfaces(runs).routes,
        *Steering(runs).routes,
        *STEPPER,
        *FILES,
        WebSocketRoute("/api/live", Live(api.state).serve),
        Mount("/", Pages(assets)),
    ]
    errors = {
        HTTPException: _http_error,
        ForgottenError: _forgotten,
        ChainruleError: _our_error,
        Exception: _bug,
    }
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=errors)
    return Guard(app, token, port, framed)


class _Api:
    """The answers.  Functions without ``async`` run in a thread: they read files."""

    def __init__(self, runs: Runs, training: Training) -> None:
        self._runs, self._training = runs, training
        self._systems = systems()

    def state(self) -> dict[str, Any]:
        """What a page on the runs shows."""
        runs = self._runs.list()
        return {"runs": runs, "training": self._training.state(runs)}

    def runs(self, request: Request) -> Response:
        return _json({"runs": self._runs.list()})

    def run(self, request: Request) -> Response:
        name = request.path_params["name"]
        found = self._runs.one(name)
        if found is None:
            return _error(404, f"There is no run {name}.", "The list of runs has those there are.")
        return _json(found)

    def systems(self, request: Request) -> Response:
        return _json({"systems": self._systems})

    def training(self, request: Request) -> Response:
        return _json(self._training.state(self._runs.list()))

    async def train(self, request: Request) -> Response:
        system = await _asked_system(request)
        try:
            await run_in_threadpool(self._training.start, system)
        except BusyError as busy:
            return _error(409, str(busy), "Wait for its end, or end that process.")
        return _json(await run_in_threadpool(lambda: self.state()["training"]), 202)


async def _asked_system(request: Request) -> str:
    """The system that a request names; UsageError if it is not what we read."""
    asked = await sent_json(request, MOST_BYTES)
    system = asked.get("system") if isinstance(asked, dict) else None
    if not isinstance(system, str):
        raise UsageError(message("train", "no request to train", '{"system": NAME}'))
    return system


def _json(value: Any, status: int = 200) -> Response:
    return JSONResponse(value, status, {"Cache-Control": "no-store"})


def _error(status: int, error: str, remedy: str) -> Response:
    return _json({"error": error, "remedy": remedy}, status)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if request.url.path.startswith("/api/"):
        remedy = "A page of another version may be open: load it again."
        return _error(error.status_code, f"{request.url.path}: {error.detail}.", remedy)
    sentence = f"{error.detail}: the studio begins at /.\n"
    return PlainTextResponse(sentence, error.status_code, {"Cache-Control": "no-store"})


def _our_error(request: Request, error: Exception) -> Response:
    return _error(422, str(error), "Change what it names, then try again.")


def _forgotten(request: Request, error: Exception) -> Response:
    return _error(404, f"The edit {error} is forgotten.", "Undo all, or make it again.")


def _bug(request: Request, error: Exception) -> Response:
    sentence = f"{type(error).__name__}: {error}. This should not have happened."
    return _error(500, sentence, "The terminal of chainrule studio shows where it did.")
