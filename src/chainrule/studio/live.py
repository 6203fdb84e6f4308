"""What changes, pushed to the pages that are open: one look at the folder for all of them.

A page gets all runs first, then those that changed since it was last told.  It is told the newest
state, not each one on the way, so a slow page costs nothing and is never behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

__all__ = ["SECONDS", "Live", "changes"]

SECONDS = 0.3  # between two looks

State = dict[str, Any]  # {"runs": [summary, ...], "training": {...}}


class Live:
    """Looks at the runs while somebody listens.  look: returns the state, in a thread."""

    def __init__(self, look: Callable[[], State]) -> None:
        self._look = look
        self._turn = asyncio.Lock()
        self._state: State = {}
        self._looked = -SECONDS  # when, on the monotonic clock

    async def serve(self, socket: WebSocket) -> None:
        """Tell one page until it goes.  A look that fails ends it: the page then asks again."""
        await socket.accept()
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(self._tell(socket))
            await _gone(socket)
            telling.cancel()

    async def _tell(self, socket: WebSocket) -> None:
        told: State = {}
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                state = await self._newest()
                if state != told:
                    await socket.send_json(changes(told, state))
                    told = state
                await asyncio.sleep(SECONDS)

    async def _newest(self) -> State:
        """The state, at most SECONDS old: whoever comes first looks for all."""
        async with self._turn:
            if time.monotonic() - self._looked >= SECONDS:
                self._state = await run_in_threadpool(self._look)
                self._looked = time.monotonic()
            return self._state


async def _gone(socket: WebSocket) -> None:
    """Wait until the page has gone; what it says meanwhile is not read."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


def changes(before: State, now: State) -> State:
    """What a page that knows ``before`` must be told: runs that are new or changed, names gone.

    >>> old = {"runs": [{"name": "a", "epoch": 1}, {"name": "b"}], "training": {"state": "idle"}}
    >>> new = {"runs": [{"name": "a", "epoch": 2}], "training": {"state": "idle"}}
    >>> changes(old, new)
    {'runs': [{'name': 'a', 'epoch': 2}], 'gone': ['b']}
    >>> sorted(changes({}, new))
    ['all', 'gone', 'runs', 'training']
    """
    known = {run["name"]: run for run in before.get("runs", [])}
    there = {run["name"] for run in now["runs"]}
    told: State = {
        "runs": [run for run in now["runs"] if known.get(run["name"]) != run],
        "gone": sorted(known.keys() - there),
    }
    if before.get("training") != now["training"]:
        told["training"] = now["training"]
    return told if before else told | {"all": True}
