"""Addresses on this server: which of those that somebody names may be gone to, and which of them are pages."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.routing import Match, Route

LOG_IN: Final = "/log-in"
LONGEST: Final = 2000
"""Characters of an address that somebody is led back to."""
_NO_PAGES: Final = ("/live/", "/static/", "/log-out", "/here")
"""What the console answers on GET that is no page to come back to."""


def local(path: str) -> str:
    """A path on this server; ``/`` where it may lead elsewhere."""
    try:
        parts = urlsplit(path)
    except ValueError:
        return "/"
    safe = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if safe and not parts.scheme and not parts.netloc and len(path) <= LONGEST else "/"


def log_in_for(back: str) -> str:
    """The log-in, and afterwards this page."""
    return f"{LOG_IN}?next={quote(local(back), safe='/')}"


def of_this_server(request: Request, header: str) -> str:
    """Path and query of the page that a header names, where it is one of this server; else empty."""
    try:
        told = urlsplit(request.headers.get(header, ""))
    except ValueError:
        return ""
    if told.netloc.lower() != request.headers.get("host", "").lower():
        return ""
    return told.path + (f"?{told.query}" if told.query else "")


def page_at(request: Request, path: str) -> str:
    """The page at this path, or the nearest one above it: what takes a form alone is nothing to look at."""
    path = local(path)
    above, _, _ = path.partition("?")
    if _is_page(request, above):
        return path
    while above.strip("/"):
        above = above.rstrip("/").rpartition("/")[0] or "/"
        if _is_page(request, above):
            return above
    return "/"


def _is_page(request: Request, path: str) -> bool:
    if path.startswith(_NO_PAGES):
        return False
    scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
    return any(route.matches(scope)[0] is Match.FULL for route in _pages(request))


def _pages(request: Request) -> Iterator[Route]:
    """The console's own routes: those of REST are of another class."""
    return (each for each in request.app.router.routes if type(each) is Route and "GET" in (each.methods or ()))
