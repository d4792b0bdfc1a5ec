"""A POST that is repeated under the same Idempotency-Key is done once.

The request is written down before it is done, and its answer after: what a crash cuts in between is answered 409 from
then on, because nobody knows whether it was done. It is never done twice.
"""

import asyncio
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import Response

from keyrack.ports.answers import AnswerChanges, KeptAnswer
from keyrack.ports.catalog import AlreadyThere, CatalogUnavailable, OutcomeUnknown, TooMany, Unit
from keyrack.service.office.refusals import Refused, SecondPersonNeeded
from keyrack.shell.rest.v1.callers import Visit
from keyrack.shell.rest.v1.problems import Problem, refused

KEPT: Final = 24 * 3600
"""Seconds for which an answer is repeated."""
MOST: Final = 10_000
"""Answers that are kept for one caller."""
_KEY: Final = re.compile(r"[!-~]{1,100}")
_HEADERS: Final = ("content-type", "etag", "location")
"""Headers of an answer that are kept with it."""
_NOTHING_DONE: Final = (Refused, Problem, RequestValidationError)

Act = Callable[[Request], Coroutine[Any, Any, Response]]


async def once(request: Request, act: Act) -> Response:
    """Do it, unless it was done: then the answer is the one that was given. Raises :class:`Problem`."""
    visit: Visit = request.state.visit
    kept = KeptAnswer(
        caller=_caller(visit), key=_key(request), fingerprint=await _fingerprint(request), begun_at=visit.now
    )
    try:
        changes = AnswerChanges(begun=(kept,), most=MOST, forgotten_before=visit.now - KEPT)
        await visit.catalog.commit(Unit(entries=(), answers=changes))
    except AlreadyThere:
        return _again(kept, await visit.catalog.kept_answer(kept.caller, kept.key))
    except TooMany:
        raise Problem(
            "too-many-requests",
            f"you have used {MOST} Idempotency-Keys within 24 hours",
            headers={"retry-after": "3600"},
        ) from None
    return await _done(request, act, visit, kept)


async def _done(request: Request, act: Act, visit: Visit, kept: KeptAnswer) -> Response:
    try:
        answer = await act(request)
    except SecondPersonNeeded as told:
        # This refusal has written something down: what waits.
        answer = await refused(request, told)
    except (*_NOTHING_DONE, CatalogUnavailable) as error:
        if not isinstance(error, OutcomeUnknown):
            await _write(visit, AnswerChanges(released=(kept,)))
        raise
    headers = {name: answer.headers[name] for name in _HEADERS if name in answer.headers}
    body = None if getattr(answer, "once", False) else bytes(answer.body)
    settled = replace(kept, status=answer.status_code, headers=json.dumps(headers), body=body)
    await _write(visit, AnswerChanges(settled=(settled,)))
    return answer


async def _write(visit: Visit, changes: AnswerChanges) -> None:
    """What was done is done: that its answer cannot be kept must not turn it into an error."""
    try:
        await asyncio.shield(visit.catalog.commit(Unit(entries=(), answers=changes)))
    except CatalogUnavailable:
        return


def _again(kept: KeptAnswer, before: KeptAnswer | None) -> Response:
    if before is not None and before.fingerprint != kept.fingerprint:
        raise Problem(
            "idempotency-key-reused",
            "another request was made under this Idempotency-Key",
            hint="use a new key for each new request",
        )
    if before is None or before.status is None:
        raise Problem(
            "in-progress",
            "the same request is under way, or was cut off and nobody knows how it ended",
            hint="wait a moment, then look whether it was done before you try again under another key",
        )
    headers = dict(json.loads(before.headers)) | {"idempotent-replayed": "true"}
    if before.body is None:
        problem = Problem("shown-once", "it was done, and its answer held a secret that is not kept")
        problem.more = {"answered": before.status} | (
            {"location": headers["location"]} if "location" in headers else {}
        )
        raise problem
    return Response(before.body, before.status, headers)


def _caller(visit: Visit) -> str:
    actor = visit.administration.administrator.actor
    return actor.person if actor is not None else visit.administration.administrator.initiator


def _key(request: Request) -> str:
    told = request.headers["idempotency-key"]
    if not _KEY.fullmatch(told):
        raise Problem("bad-request", "the header Idempotency-Key is not 1 to 100 printable ASCII characters")
    return told


async def _fingerprint(request: Request) -> bytes:
    # Keyed by the caller's token, which is kept nowhere: a body may hold a password, and whoever reads the catalog must
    # not try passwords against a quick hash of it.
    visit: Visit = request.state.visit
    digest = hmac.new(visit.token.encode(), digestmod=hashlib.sha256)
    # With other rights it is another request: what was answered then may not be for the caller's eyes any more.
    rights = repr(sorted(visit.administration.administrator.grants.held))
    for part in (
        rights.encode(),
        request.method.encode(),
        request.scope.get("raw_path") or request.url.path.encode(),
        request.scope["query_string"],
        await request.body(),
    ):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()
