"""What a request brings: bytes up to a limit, or JSON; anything else is refused in one sentence."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from chainrule.errors import UsageError, message

__all__ = ["content_type", "sent_bytes", "sent_json"]

MOST_JSON = 8 << 20  # a picture of 3·512·512 numbers in base64


def content_type(request: Request) -> str:
    """What the request says that it brings, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def sent_bytes(request: Request, most: int) -> bytes:
    """The body; UsageError as soon as more than ``most`` bytes have come."""
    parts, count = [], 0
    async for part in request.stream():
        parts.append(part)
        count += len(part)
        if count > most:
            got, needs = f"more than {most:,} bytes", "less"
            raise UsageError(message("studio", got, needs))
    return b"".join(parts)


async def sent_json(request: Request, most: int = MOST_JSON) -> Any:
    """The body as JSON, or a UsageError."""
    if content_type(request) != "application/json":
        got = content_type(request) or "a request without a content type"
        raise UsageError(message("studio", got, "application/json"))
    body = await sent_bytes(request, most)
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise UsageError(message("studio", "what is no JSON", "JSON")) from None
