"""From whatever goes wrong to ``application/problem+json`` (RFC 9457), by one table of codes.

A use case's :class:`Refused` is found by its ``code``; what only HTTP can go wrong in is a :class:`Problem`. Nothing
else ever shows: neither FastAPI's own shape nor the text of an exception that nobody foresaw.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from keyrack.ports.back_office import BackOfficeUnavailable
from keyrack.ports.catalog import (
    CatalogUnavailable,
    InstanceSealed,
    OutcomeUnknown,
    RightsChanged,
    RollbackMode,
    TooMany,
)
from keyrack.ports.key_manager import KeyManagerFailed, KeyManagerUnavailable
from keyrack.service.office.refusals import Refused
from keyrack.shell.faults import fault

log = logging.getLogger(__name__)

MEDIA: Final = "application/problem+json"
PREFIX: Final = "urn:keyrack:problem:"
"""What the type of each problem begins with; its code follows."""
LATER: Final = 5
"""Seconds after which to come again where something does not work now."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What all problems of one code have in common."""

    status: int
    title: str


KINDS: Final[Mapping[str, Kind]] = {
    "bad-request": Kind(400, "The request cannot be read"),
    "malformed-json": Kind(400, "The body is not JSON"),
    "bad-cursor": Kind(400, "The cursor is none of this list"),
    "unauthenticated": Kind(401, "Nobody is known by this token"),
    "not-recognised": Kind(401, "Name, password or proof is not right"),
    "proof-needed": Kind(403, "Prove again that it is you"),
    "forbidden": Kind(403, "This needs a right that you do not have"),
    "csrf": Kind(403, "The request may have been made by another site"),
    "not-found": Kind(404, "There is nothing here, or nothing that you may see"),
    "method-not-allowed": Kind(405, "This path does not take this method"),
    "not-acceptable": Kind(406, "No answer is of a media type that you accept"),
    "name-taken": Kind(409, "The name is taken"),
    "certificate-there": Kind(409, "The certificate is there already"),
    "certificate-elsewhere": Kind(409, "The certificate belongs to another instance"),
    "limit-reached": Kind(409, "There are as many as there may be"),
    "wrong-status": Kind(409, "The status of the instance does not allow it"),
    "still-in-use": Kind(409, "Something else hangs on it"),
    "confirmation-needed": Kind(409, "The act may stop machines, and must be confirmed"),
    "key-manager-refused": Kind(409, "The key manager does not allow it"),
    "wrong-state": Kind(409, "The state of the key does not allow it"),
    "too-early": Kind(409, "It can be done, and not yet"),
    "approval-over": Kind(409, "It does not wait for a second person any more"),
    "same-person": Kind(403, "A second person is another person"),
    "sealed": Kind(409, "The instance is sealed"),
    "in-progress": Kind(409, "The same request is under way, or nobody knows how it ended"),
    "shown-once": Kind(409, "It was done, and its answer is shown only once"),
    "changed-meanwhile": Kind(412, "It is not as you have seen it"),
    "too-large": Kind(413, "The body is too long"),
    "unsupported-media-type": Kind(415, "The body is of a media type that is not taken"),
    "wrong-host": Kind(421, "This server does not go by this name"),
    "invalid": Kind(422, "Some fields cannot be used"),
    "unusable": Kind(422, "What was handed over cannot be used"),
    "refused": Kind(422, "The rules do not allow it"),
    "idempotency-key-reused": Kind(422, "The Idempotency-Key was used for another request"),
    "if-match-missing": Kind(428, "The header If-Match is missing"),
    "too-many-requests": Kind(429, "Too many requests"),
    "too-many-attempts": Kind(429, "Too many wrong attempts"),
    "head-too-long": Kind(431, "The headers are too long"),
    "internal": Kind(500, "Something went wrong that nobody foresaw"),
    "unavailable": Kind(503, "It does not work now"),
    "rolled-back": Kind(503, "The catalog was restored from a copy, and is read-only"),
    "key-manager-unavailable": Kind(503, "The key manager cannot be reached"),
    "not-ready": Kind(503, "Keys are not handed out"),
    "provider-unavailable": Kind(503, "The log-in provider cannot be used"),
    "back-office-unavailable": Kind(503, "No serving process answers"),
    "second-person-needed": Kind(202, "It waits for a second person"),
}
"""By code. A new kind of :class:`Refused` has its line here; a test asks for it."""
UNKNOWN: Final = KINDS["refused"]
HIDDEN: Final = "there is nothing of this name, or nothing that you may see"
"""The detail of each 404: foreign and absent alike, byte for byte."""


class Shown(BaseModel):
    """A problem as it is sent (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="urn:keyrack:problem: and the code.")
    code: str = Field(description="What programs know it by; it never changes.")
    title: str
    status: int
    detail: str = Field(description="What happened and why, for people.")
    hint: str | None = Field(default=None, description="What to do about it.")
    field: str | None = Field(default=None, description="The part of the request that it is about.")
    errors: list[dict[str, str]] | None = Field(default=None, description="Each field that cannot be used, and why.")
    pointer: str | None = Field(default=None, description="The same as a JSON pointer, where it is in the body.")


class Problem(Exception):
    """What goes wrong in HTTP itself."""

    def __init__(
        self, code: str, detail: str, *, hint: str = "", field: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """``code`` is one of :data:`KINDS`."""
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.hint = hint
        self.field = field
        self.headers = dict(headers or {})
        self.more: Mapping[str, Any] = {}


class ProblemAnswer(JSONResponse):
    """A problem on its way out; the access log says its code too."""

    media_type = MEDIA

    def __init__(self, code: str, content: Any, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(content, status, headers=dict(headers))
        self._code = code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        scope.setdefault("state", {})["refused"] = self._code
        await super().__call__(scope, receive, send)


def problem(
    code: str,
    detail: str,
    *,
    hint: str = "",
    field: str = "",
    more: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer; ``more`` are members of this code alone."""
    kind = KINDS.get(code, UNKNOWN)
    content: dict[str, Any] = {
        "type": PREFIX + code,
        "code": code,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
    }
    if hint:
        content["hint"] = hint
    if field:
        content["field"] = field
    for name, value in (more or {}).items():
        content.setdefault(name, value)
    return ProblemAnswer(code, content, kind.status, headers or {})


async def told(request: Request, error: Exception) -> Response:
    """The answer to a :class:`Problem`."""
    assert isinstance(error, Problem)
    return problem(error.code, error.detail, hint=error.hint, field=error.field, more=error.more, headers=error.headers)


async def refused(request: Request, error: Exception) -> Response:
    """The answer to a use case's refusal."""
    assert isinstance(error, Refused)
    if error.code == "not-found":
        return problem(error.code, HIDDEN)
    wait = error.more.get("retry_after")
    headers = {"retry-after": str(wait)} if isinstance(wait, int) else {}
    if KINDS.get(error.code, UNKNOWN).status == 401:
        headers["www-authenticate"] = "Bearer"
    return problem(error.code, error.told, hint=error.hint, field=error.field, more=error.more, headers=headers)


async def invalid(request: Request, error: Exception) -> Response:
    """The answer to fields that are not as the document says, or to what is no JSON."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(each["type"] == "json_invalid" for each in found):
        return problem("malformed-json", "the body is not JSON")
    errors = [_field_error(each) for each in found[:20]]
    first = errors[0]
    detail = f"{first['field'] or first['in']}: {first['detail']}"
    more = {"pointer": first["pointer"]} if "pointer" in first else {}
    return problem("invalid", detail, field=first["field"], more={**more, "errors": errors})


async def unrouted(request: Request, error: Exception) -> Response:
    """The answer to a path or a method that there is not."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return await told(request, method_not_allowed(methods_of(request)))
    if error.status_code == 404:
        return problem("not-found", HIDDEN)
    return problem("bad-request", "the request cannot be read")


async def unavailable(request: Request, error: Exception) -> Response:
    """The answer where catalog or key manager do not work: the client shall come again."""
    correlation = request.state.correlation
    if isinstance(error, BackOfficeUnavailable):
        return problem("back-office-unavailable", str(error), hint="is 'keyrack serve' running?", headers=_come_again())
    log.error("does not work now", extra={"correlation": correlation, "why": f"{type(error).__name__}: {error}"})
    if isinstance(error, KeyManagerUnavailable):
        code, what = "key-manager-unavailable", "the key manager cannot be reached now"
    else:
        code, what = "unavailable", "the catalog cannot be read or written now"
    detail = f"{what}, and nothing was changed"
    if isinstance(error, RollbackMode):
        hint = "an administrator ends that at the machine, with 'keyrack backup agree'"
        return problem("rolled-back", f"{error}; nothing was changed", hint=hint)
    if isinstance(error, OutcomeUnknown):
        detail = "the catalog did not answer in time: it was done, or it was not; look before you try again"
    return problem(
        code, detail, hint=f"'keyrack doctor' says why, and the log under {correlation}", headers=_come_again()
    )


async def key_manager_refused(request: Request, error: Exception) -> Response:
    """The answer where the key manager has said no."""
    assert isinstance(error, KeyManagerFailed)
    return problem("key-manager-refused", str(error), more={"reason": str(error.reason)})


async def meanwhile(request: Request, error: Exception) -> Response:
    """The answer where rights, a seal or a limit came between decision and commit."""
    if isinstance(error, RightsChanged):
        return problem("forbidden", "your rights were changed just now", hint="log in again")
    if isinstance(error, InstanceSealed):
        return problem("sealed", "the instance is sealed", hint="unseal it first")
    return problem("limit-reached", "there are as many as there may be")


def unforeseen(correlation: str, error: Exception) -> Response:
    """The answer to a fault of ours."""
    log.error("unforeseen", extra={"correlation": correlation, **fault(error)})
    detail = f"it is not the fault of the request; the server's log has it under {correlation}"
    return problem("internal", detail, more={"incident": correlation})


HANDLERS: Final = {
    Problem: told,
    Refused: refused,
    RequestValidationError: invalid,
    HTTPException: unrouted,
    CatalogUnavailable: unavailable,
    BackOfficeUnavailable: unavailable,
    KeyManagerUnavailable: unavailable,
    KeyManagerFailed: key_manager_refused,
    RightsChanged: meanwhile,
    InstanceSealed: meanwhile,
    TooMany: meanwhile,
}
"""By the class of what was raised."""


def method_not_allowed(allowed: Sequence[str]) -> Problem:
    """The path takes other methods."""
    names = ", ".join(allowed)
    return Problem("method-not-allowed", f"this path takes {names}", headers={"allow": names})


def methods_of(request: Request) -> list[str]:
    """The methods that the path of a request takes."""
    # Imported late: the description is made of the routes, and those raise problems.
    from keyrack.shell.rest.v1.openapi import methods_at  # noqa: PLC0415

    return methods_at(request.app, request.scope["path"])


_WORDS: Final[Mapping[str, str]] = {
    "missing": "it is missing",
    "extra_forbidden": "there is no such field",
    "model_attributes_type": "it has to be an object",
    "model_type": "it has to be an object",
}
"""What some of pydantic's errors are called here, by their types."""


def _field_error(error: Mapping[str, Any]) -> dict[str, str]:
    """One of pydantic's errors, without what was sent: that may be a password."""
    where, *place = [str(each) for each in error["loc"]]
    told = {"in": where, "field": ".".join(place), "detail": _in_words(error)}
    if where == "body":
        told["pointer"] = "".join("/" + each.replace("~", "~0").replace("/", "~1") for each in place)
    return told


def _in_words(error: Mapping[str, Any]) -> str:
    said = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] in _WORDS:
        return _WORDS[error["type"]]
    return said.replace("Input should be", "it has to be")


def _come_again() -> dict[str, str]:
    return {"retry-after": str(LATER)}
