"""What a page sends: JSON, and not much of it."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

__all__ = ["json_of"]

MOST_BYTES = 10_000  # of a request's body


async def json_of(request: Request) -> Any:
    """The JSON that a request brings, or None if it is none, or more than we read."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return None
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
