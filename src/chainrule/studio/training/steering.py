"""A training that runs is steered: what a page asks becomes a command in the run's folder.

    POST /api/runs/NAME/control   {"do": "pause" | "step" | "resume" | "stop"}
                                  {"do": "rate", "rate": 0.01}

The answer is 202: the training does it after the step that runs, and says so in the run's
``place``.  It is 409 where nobody trains, or the training does not listen; such a one can be
stopped all the same, as Ctrl-C in its terminal would.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chainrule.errors import UsageError, message
from chainrule.studio.bodies import sent_json
from chainrule.studio.runs import Runs, holder
from chainrule.train.control import ask, read_place

__all__ = ["Steering"]

MOST_BYTES = 10_000  # of a command


class Steering:
    """Hands commands on to trainings.  Threads may share it; ``routes`` has its answer."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    @property
    def routes(self) -> list[Route]:
        """What is asked for under the names of runs."""
        return [Route("/api/runs/{name}/control", self.control, methods=["POST"])]

    async def control(self, request: Request) -> Response:
        """See above."""
        asked = await sent_json(request, MOST_BYTES)
        if not isinstance(asked, dict) or not isinstance(asked.get("do"), str):
            raise UsageError(message("control", "no command", '{"do": "pause"} or another'))
        return await run_in_threadpool(self._hand_on, request.path_params["name"], asked)

    def _hand_on(self, name: str, asked: dict[str, Any]) -> Response:
        folder = self._runs.folder_of(name)
        if folder is None:
            return _said(404, f"There is no run {name}.", "The list of runs has those there are.")
        process, place = holder(folder / "lock"), read_place(folder)
        if process is None:
            remedy = f"chainrule train --resume {name} goes on with a run."
            return _said(409, f"Nobody trains {name} now.", remedy)
        if place is None or place["process"] != process or place["state"] == "ended":
            if asked["do"] == "stop" and os.name != "nt":
                os.kill(process, signal.SIGINT)  # it holds the lock, so it is that process
                return _json({"asked": "stop"}, 202)
            sentence = f"The training of {name} takes no commands now, or not yet."
            return _said(409, sentence, "One that chainrule train has begun does, from its start.")
        ask(folder, place["session"], asked["do"], asked.get("rate"))
        return _json({"asked": asked["do"]}, 202)


def _json(value: Any, status: int) -> Response:
    return JSONResponse(value, status, {"Cache-Control": "no-store"})


def _said(status: int, error: str, remedy: str) -> Response:
    return _json({"error": error, "remedy": remedy}, status)
