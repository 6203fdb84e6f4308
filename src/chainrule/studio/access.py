"""Who may ask: the person who has the link, from a page of ours, under a name of this machine.

A server on loopback can be reached by every program and every web page on the machine.  Four
things keep them out:

* a random **token** in the link becomes a cookie: scripts can't read it, other sites can't send it;
* the **Host** must be ours: another name that leads here is DNS rebinding;
* the **Origin**, if there is one, must be ours: a foreign page can't post, nor open a WebSocket;
* a **policy** in each answer: nothing is loaded from elsewhere, no script stands in a page.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["FRAMED", "HEADERS", "Guard"]

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; worker-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# For a notebook's cell: its server may have any port, but it is on this machine.
ANCESTORS = "http://localhost:* http://127.0.0.1:*"
FRAMED = HEADERS | {
    "Content-Security-Policy": HEADERS["Content-Security-Policy"].replace(
        "frame-ancestors 'none'", f"frame-ancestors {ANCESTORS}"
    )
}

NO_TOKEN = "Open the link that chainrule studio printed: this page needs the key in it."
WRONG_TOKEN = "The key in this link is not that of the studio that runs now: open its own link."
FOREIGN_HOST = "The studio answers under 127.0.0.1 and localhost alone."
FOREIGN_ORIGIN = "The studio answers its own pages alone."


class Guard:
    """Lets requests through to ``app`` that have the token; answers others with 403 and a sentence.

    token: the secret.  port: where the server listens; it is part of the name of the cookie, since
    cookies of one host are shared by all its ports.  framed: pages of this machine may frame ours.
    """

    def __init__(self, app: ASGIApp, token: str, port: int, framed: bool = False) -> None:
        self.headers = FRAMED if framed else HEADERS
        self.app, self.token = app, token
        self.hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self.cookie = f"chainrule-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        send = _with_headers(send, self.headers)
        headers = Headers(scope=scope)
        given = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        keys = [value for name, value in given if name == "token"]
        refusal = self._refusal(headers, keys)
        if refusal:
            await _refuse(refusal, scope, receive, send)
        elif keys and scope["type"] == "http":
            rest = urlencode([(name, value) for name, value in given if name != "token"])
            # With its host: a path that begins with // would lead to another one.
            place = f"http://{headers['host']}{quote(scope['path'])}{'?' * bool(rest)}{rest}"
            answer = RedirectResponse(place, 303, {"Cache-Control": "no-store"})
            # Not "strict": a browser would keep that back where a page of another site leads here,
            # and each view is a link.  What acts is a POST, whose Origin is looked at.
            answer.set_cookie(self.cookie, self.token, httponly=True, samesite="lax")
            await answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _refusal(self, headers: Headers, keys: list[str]) -> str:
        """Why a request is refused; "" if it is not."""
        host = headers.get("host", "").lower()
        if host not in self.hosts:
            return FOREIGN_HOST
        if headers.get("origin", f"http://{host}") != f"http://{host}":
            return FOREIGN_ORIGIN
        if keys:
            return "" if all(map(self._right, keys)) else WRONG_TOKEN
        cookies = cookie_parser(headers.get("cookie", ""))
        return "" if self._right(cookies.get(self.cookie, "")) else NO_TOKEN

    def _right(self, key: str) -> bool:
        return secrets.compare_digest(key.encode(), self.token.encode())


async def _refuse(sentence: str, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":  # closed before it is accepted: the server answers 403
        await send({"type": "websocket.close", "code": 1008, "reason": sentence})
        return
    answer = PlainTextResponse(sentence + "\n", 403, {"Cache-Control": "no-store"})
    await answer(scope, receive, send)


def _with_headers(send: Send, added: Mapping[str, str]) -> Send:
    """``send`` that adds these headers to each answer."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in added.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
