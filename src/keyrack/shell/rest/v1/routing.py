"""How a noun's routes are made: authenticated first, then read; with one form for every answer."""

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from keyrack.shell.rest.v1.callers import visit_of
from keyrack.shell.rest.v1.idempotency import once
from keyrack.shell.rest.v1.openapi import methods_at, several_at
from keyrack.shell.rest.v1.premises import Premises
from keyrack.shell.rest.v1.problems import MEDIA, Problem, method_not_allowed

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
DEEPEST: Final = 32
"""Levels of a body."""
OPEN_BODY: Final = 65_536
"""Bytes of a body of somebody who is not known yet."""
_STRINGS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKETS: Final = re.compile(rb"[\[{\]}]")


class OnceShown(JSONResponse):
    """An answer with a secret in it: it is never kept for a repetition under the same Idempotency-Key."""

    once = True


class Guarded(APIRoute):
    """A route for those who are known."""

    def get_route_handler(self) -> Handler:
        """Authenticate, then look at the headers and the body, then answer."""
        inner = super().get_route_handler()
        media = _media_of(self)

        async def handler(request: Request) -> Response:
            request.state.visit = await visit_of(request)
            _meant(request)
            _asked_once(request)
            await _readable(request, media, request.app.state.premises.bounds.body)
            if request.method == "POST" and "idempotency-key" in request.headers:
                return await once(request, inner)
            return await inner(request)

        return handler


class Open(APIRoute):
    """A route for anybody: a log-in, the health, the document."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """As its base; the description tells that no token is wanted."""
        options["openapi_extra"] = {**(options.get("openapi_extra") or {}), "x-open": True}
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Handler:
        """Look at the headers and the body, then answer."""
        inner = super().get_route_handler()
        media = _media_of(self)

        async def handler(request: Request) -> Response:
            _asked_once(request)
            await _readable(request, media, OPEN_BODY)
            return await inner(request)

        return handler


def _meant(request: Request) -> None:
    """Refuse a method that another path takes, whose last part is a name where this one has a word."""
    allowed = methods_at(request.app, request.scope["path"])
    if request.method not in allowed:
        raise method_not_allowed(allowed)


def _asked_once(request: Request) -> None:
    """Refuse a query that names something twice: of two values, a proxy may have looked at the other one."""
    names = [name for name, _ in request.query_params.multi_items()]
    twice = {name for name in names if names.count(name) > 1} if len(names) > len(set(names)) else set()
    if twice and twice - several_at(request.app, request.scope["path"], request.method):
        raise Problem("bad-request", "the query names something more than once")


def noun(name: str) -> APIRouter:
    """A router for the routes of one noun, which want a token."""
    return APIRouter(tags=[name], route_class=Guarded)


def open_noun(name: str) -> APIRouter:
    """A router for routes that anybody may ask."""
    return APIRouter(tags=[name], route_class=Open)


def _media_of(route: APIRoute) -> frozenset[str]:
    """What a success of the route may be of: JSON, or what its ``responses`` say."""
    told = {media for each in route.responses.values() for media in each.get("content", ())}
    return frozenset(told) or frozenset({JSON})


async def _readable(request: Request, media: frozenset[str], most: int) -> None:
    _accepted(request, media)
    if request.method not in ("POST", "PUT", "PATCH"):
        return
    premises: Premises = request.app.state.premises
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > most:
        raise _too_large(most)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > min(most, premises.bounds.body):
            raise _too_large(most)
    request._body = bytes(body)  # what Request.body() answers from now on
    if body:
        _is_json(request)
        check_json(bytes(body))


def _accepted(request: Request, media: frozenset[str]) -> None:
    told = request.headers.get("accept")
    if told is None or not told.strip():
        return
    wanted = [part.partition(";") for part in told.lower().split(",")]
    kinds = {kind.strip() for kind, _, rest in wanted if not re.search(r"(?:^|;)\s*q=0(?:\.0*)?\s*(?:;|$)", rest)}
    offered = {*media, *(f"{each.partition('/')[0]}/*" for each in media), "*/*", MEDIA}
    if not kinds & offered:
        raise Problem("not-acceptable", f"the answer is {' or '.join(sorted(media))}")


def _is_json(request: Request) -> None:
    told = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    taken = (JSON, MERGE_PATCH) if request.method == "PATCH" else (JSON,)
    if told not in taken:
        raise Problem(
            "unsupported-media-type",
            f"the body is {told or 'of no media type'!r}; send {' or '.join(taken)}",
            headers={"accept": ", ".join(taken)},
        )


def check_json(body: bytes) -> None:
    """Refuse what is no JSON, too deep, says a name twice, or is no text; raises :class:`Problem`."""
    depth = deepest = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    if deepest > DEEPEST:
        raise Problem("malformed-json", f"the body is nested deeper than {DEEPEST} levels")
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_no_number, object_pairs_hook=_no_name_twice)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        raise Problem("malformed-json", f"the body is not JSON at line {error.lineno}, column {error.colno}") from None
    except _Twice as error:
        raise Problem("malformed-json", str(error)) from None
    except (ValueError, RecursionError):
        raise Problem("malformed-json", "the body is not JSON in UTF-8, or has a number that is none") from None


class _Twice(Exception):
    pass


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        # Two readers may take different ones of them.
        raise _Twice("an object of the body has a name twice")
    return made


def _no_number(constant: str) -> None:
    raise ValueError(constant)


def _too_large(most: int) -> Problem:
    return Problem("too-large", f"the body is longer than {most} bytes", headers={"connection": "close"})
