"""What changes, pushed to the pages that are open: one look at the folder for all of them.

A page gets all runs first, then those that changed since it was last told.  It is told the newest
state, not each one on the way, so a slow page costs nothing and is never behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket

__all__ = ["SECONDS", "Live", "changes"]

SECONDS = 0.3  # between two looks

State = dict[str, Any]  # {"runs": [summary, ...], "training": {...}}


class Live:
    """Looks at the runs while somebody listens.  look: returns the state, in a thread."""

    def __init__(self, look: Callable[[], State]) -> None:
        self._look = look
        self._listeners = 0
        self._watching: asyncio.Task[None] | None = None
        self._state: State | None = None
        self._looked = asyncio.Condition()

    async def serve(self, socket: WebSocket) -> None:
        """Tell one page until it goes."""
        await socket.accept()
        self._listeners += 1
        if self._watching is None or self._watching.done():
            self._state = None
            self._watching = asyncio.create_task(self._watch())
        own = [asyncio.create_task(self._tell(socket)), asyncio.create_task(_gone(socket))]
        try:  # a look that fails ends it too: the page then says that it hears nothing
            await asyncio.wait([*own, self._watching], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._listeners -= 1
            for task in own:
                task.cancel()
            await asyncio.gather(*own, return_exceptions=True)

    async def _tell(self, socket: WebSocket) -> None:
        told: State = {}
        while True:
            async with self._looked:
                while self._state is None or self._state == told:
                    await self._looked.wait()
                state = self._state
            await socket.send_json(changes(told, state))
            told = state

    async def _watch(self) -> None:
        while self._listeners:
            state = await asyncio.to_thread(self._look)
            async with self._looked:
                self._state = state
                self._looked.notify_all()
            await asyncio.sleep(SECONDS)


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
