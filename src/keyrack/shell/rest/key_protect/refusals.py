"""From whatever goes wrong to IBM's error JSON. What nobody foresaw is told by its correlation alone; see the log."""

import logging
import sqlite3
from typing import Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from keyrack.embedded.call import Call
from keyrack.embedded.errors import InvalidQueryParam, KeystoreError, Refusal, TooManyRequests
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.shell.faults import fault
from keyrack.shell.rest.key_protect.answer import Answer
from keyrack.shell.rest.key_protect.calls import called
from keyrack.shell.rest.key_protect.desk import STRANGER
from keyrack.shell.rest.key_protect.envelope import error
from keyrack.shell.rest.key_protect.openapi import methods_of
from keyrack.shell.rest.key_protect.premises import Premises, Slow

log = logging.getLogger(__name__)

LATER: Final = 5
"""Seconds after which to come again where the key manager does not work now."""
UNROUTED: Final = "kms.secrets.default"
"""IBM's action for a request that is none of its calls."""


async def refused(request: Request, problem: Exception) -> Answer:
    """The answer to a refusal, which is journaled."""
    assert isinstance(problem, Refusal)
    told = called(request)
    if not isinstance(problem, TooManyRequests):
        await _journal(request, told.action if told else UNROUTED, problem)
    content = error(
        problem.status,
        str(problem),
        code=problem.code,
        failure=told.failure if told else "",
        target=problem.target,
    )
    return Answer(content, problem.status, headers=_headers(problem))


async def unavailable(request: Request, problem: Exception) -> Answer:
    """The answer where keystore, keeper or database do not work: the client shall come again."""
    log.error(
        "the key manager does not work",
        extra={"correlation": request.state.correlation, "why": f"{type(problem).__name__}: {problem}"},
    )
    text = "The key manager is currently unavailable: try again later, its log says why"
    return Answer(error(503, text), 503, headers={"retry-after": str(LATER)})


async def misasked(request: Request, problem: Exception) -> Answer:
    """The answer to query parameters that FastAPI refuses."""
    assert isinstance(problem, RequestValidationError)
    first = problem.errors()[0]
    name = str(first["loc"][-1])
    context = first.get("ctx", {})
    bounds = [f"{words} {context[key]}" for key, words in (("ge", "at least"), ("le", "at most")) if key in context]
    form = " and ".join(bounds) or "of its documented form"
    refusal = InvalidQueryParam(f"The query parameter `{name}` must be: {form}", target=("query_param", name))
    return await refused(request, refusal)


async def unrouted(request: Request, problem: Exception) -> Answer:
    """The answer to a path or a method that there is not."""
    assert isinstance(problem, HTTPException)
    if problem.status_code != 405:
        return Answer(error(problem.status_code, "There is nothing at this path"), problem.status_code)
    allowed = methods_of(request.app, request.scope["path"])
    text = f"This path takes {', '.join(allowed)}"
    return Answer(error(405, text), 405, headers={"allow": ", ".join(allowed)})


def unforeseen(correlation: str, problem: Exception) -> Answer:
    """The answer to a fault of ours."""
    log.error("unforeseen", extra={"correlation": correlation, **fault(problem)})
    text = f"Something went wrong that nobody foresaw: the server's log has it under {correlation}"
    return Answer(error(500, text), 500)


HANDLERS: Final = {
    Refusal: refused,
    KeystoreError: unavailable,
    CatalogUnavailable: unavailable,
    sqlite3.Error: unavailable,
    OSError: unavailable,
    RequestValidationError: misasked,
    HTTPException: unrouted,
}
"""By the class of what was raised."""


def _headers(problem: Refusal) -> dict[str, str]:
    if problem.status == 401:
        return {"www-authenticate": "Bearer"}
    if isinstance(problem, TooManyRequests):
        return {"retry-after": str(problem.wait if isinstance(problem, Slow) else 1)}
    return {}


async def _journal(request: Request, action: str, problem: Refusal) -> None:
    """Write the refusal down, unless its address has had very many of late: a flood must not fill the disk."""
    premises: Premises = request.app.state.premises
    address = request.client.host if request.client else ""
    if premises.is_flood(address):
        log.warning("refused, and not journaled", extra={"address": address, "action": action, "code": problem.code})
        return
    call: Call = getattr(request.state, "call", None) or Call(
        caller=STRANGER, instance="", address=address, correlation=request.state.correlation
    )
    target = request.path_params.get("id", "")[:100]
    try:
        await premises.work(premises.house.note_refused, call, action, target, problem)
    except (TooManyRequests, KeystoreError, sqlite3.Error, OSError) as failure:
        log.error("a refusal could not be journaled", extra={"action": action, "why": type(failure).__name__})
