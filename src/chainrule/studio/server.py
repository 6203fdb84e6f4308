"""The server: a port of this machine alone, a link with a key, a browser, and Ctrl-C."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import uvicorn

from chainrule.errors import UsageError, message
from chainrule.studio.app import make_app
from chainrule.studio.runs import Runs
from chainrule.studio.training.processes import Training

__all__ = ["HOST", "PORT", "listen", "serve"]

HOST, PORT = "127.0.0.1", 8765
TRIES = 100  # ports from PORT on


def serve(
    runs: Runs,
    *,
    page: str = "/",
    training: Training | None = None,
    port: int | None = None,
    announce: Callable[[str], None],
    browser: bool = True,
) -> None:
    """Serve the studio until Ctrl-C, which is raised again as KeyboardInterrupt.

    page: the address that the link opens.  training: one that has begun; it ends with the server.
    port: PORT or the next free one without it.
    announce: called with the link once the port listens.  Raises UsageError if the port is taken.
    """
    with listen(port) as listening:
        own, token = listening.getsockname()[1], secrets.token_urlsafe(24)
        path, _, query = page.partition("?")
        key = urlencode({"token": token})
        link = f"http://{HOST}:{own}{path}?{key}{'&' * bool(query)}{query}"
        announce(link)
        if browser and _has_screen():
            threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()
        config = uvicorn.Config(
            make_app(runs, token, own, training=training),
            log_level="warning",
            access_log=False,
            ws="websockets-sansio",
            ws_max_size=1 << 16,  # pages say nothing
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        uvicorn.Server(config).run(sockets=[listening])


def listen(port: int | None = None) -> socket.socket:
    """A socket that listens on loopback; without a port, on PORT or the next free one.

    Raises UsageError, naming who has it, if the port that was asked for is taken.
    """
    if port is not None:
        try:
            return _listening(port)
        except OSError as error:
            why = f"{_who_listens(port) or 'Another program'} has it ({error.strerror})"
            remedy = "Another number, or none: then it takes the next free one"
            got, needs = f"--port {port}, which can't be used", "a free port"
            raise UsageError(message("studio", got, needs, why=why, remedy=remedy)) from error
    for candidate in range(PORT, PORT + TRIES):
        try:
            return _listening(candidate)
        except OSError:
            continue
    return _listening(0)


def _listening(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name != "nt":  # there it would let two servers share a port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    return listening


def _who_listens(port: int) -> str:
    """The process that listens on a port, where the system tells (Linux); else ""."""
    try:
        rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    except OSError:
        return ""
    listens = "0A"
    wanted = {f"socket:[{r[9]}]" for r in rows if r[3] == listens and r[1].endswith(f":{port:04X}")}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(link.readlink()) in wanted for link in (process / "fd").iterdir()):
                return f"Process {process.name} ({(process / 'comm').read_text().strip()})"
        except OSError:  # not ours to read, or gone
            continue
    return ""


def _has_screen() -> bool:
    """Whether a browser can show; without a screen, one for terminals would take over ours."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True
