"""The built pages: files of one folder, and how long a browser may keep them."""

from __future__ import annotations

from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from chainrule.errors import UsageError, message

__all__ = ["ASSETS", "PAGES", "Pages", "check_built"]

ASSETS = Path(__file__).parent / "assets"  # made by Vite from studio/, see scripts/studio.py
PAGES = (
    "/",
    "/network",
    "/stepper",
    "/graph",
    "/filters",
    "/training",
    "/lab",
)  # paths that the one index.html shows, each by a component of its own


def check_built(folder: Path = ASSETS) -> None:
    """Raise UsageError, with the way to build them, if the pages are not there."""
    if not (folder / "index.html").is_file():
        why = "A package from an index has them; a copy of the repository builds them"
        remedy = "make studio builds them and opens the studio"
        got, needs = f"no built pages in {folder}", "index.html there"
        raise UsageError(message("studio", got, needs, why=why, remedy=remedy))


class Pages(StaticFiles):
    """The files of a folder.  Its links are followed nowhere, and ``..`` leads to 404.

    A file in ``hashed/`` has its content's hash in its name, so it may be kept for ever; all others
    are asked for again, so that a new build is seen at the next look.  The icon is kept for a day:
    a browser asks for it with each new address, and a stroke of a pen is one.
    """

    def __init__(self, folder: Path = ASSETS) -> None:
        super().__init__(directory=folder, check_dir=False)  # see check_built

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file at a path, with its cache header; ``index.html`` for a page."""
        page = scope["path"] in PAGES
        answer = await super().get_response("index.html" if page else path, scope)
        days = 365 if path.startswith("hashed/") else 1 if path == "icon.svg" else 0
        keep = f"private, max-age={86400 * days}{', immutable' if days > 1 else ''}"
        answer.headers["Cache-Control"] = keep if days else "no-store"
        return answer
