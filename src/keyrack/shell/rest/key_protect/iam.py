"""IAM: an API key is exchanged for a token, and everybody may have the keys that tokens are checked with.

Errors have IAM's own form. The form is read as bytes, since the API key in it must not become a string.
"""

import logging
import sqlite3
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter
from starlette.requests import Request

from keyrack.domain.secret import Secret, overwrite, wipe
from keyrack.embedded.call import Call
from keyrack.embedded.errors import BodyTooLong, KeystoreError, Refusal, TooManyRequests
from keyrack.embedded.iam import tokens as use
from keyrack.shell.rest.floodgate import home
from keyrack.shell.rest.key_protect.answer import Answer
from keyrack.shell.rest.key_protect.calls import operation
from keyrack.shell.rest.key_protect.desk import STRANGER
from keyrack.shell.rest.key_protect.intake import received
from keyrack.shell.rest.key_protect.premises import Premises
from keyrack.shell.rest.key_protect.resources import Anything, TokenAnswer

log = logging.getLogger(__name__)

router = APIRouter(tags=["IAM"])

LONGEST_FORM: Final = 16_384
REQUEST_TYPE: Final = "incoming.Identity_Token"
_LINE_END: Final = b"\r\n"
LOGIN: Final = "iam-identity.serviceid-apikey.login"


class NoToken(Refusal):
    """A token is not given; ``code`` is IAM's."""

    def __init__(self, code: str, message: str, details: str = "", *, status: int = 400, wait: int = 0) -> None:
        super().__init__(message)
        self.told_code = code
        self.told_status = status
        self.details = details
        self.wait = wait


class _Login(Refusal):
    """How a login that failed stands in the journal."""

    code = use.ApiKeyNotFound.code


_TOLD: Final[dict[str, Any]] = {
    "action": LOGIN,
    "failure": "",
    "answer": TokenAnswer,
    "refusals": (400, 413, 429),
    "signed_in": False,
}


@operation(router, "POST", "/identity/token", **_TOLD)
async def get_token(request: Request) -> Answer:
    """Exchange an API key for a token.

    The form has grant_type=urn:ibm:params:oauth:grant-type:apikey and apikey.
    """
    began = time.time()
    try:
        return await _exchanged(request)
    except NoToken as refusal:
        return _refused(request, refusal, began)


@operation(router, "POST", "/oidc/token", deprecated=True, **_TOLD)
async def get_oidc_token(request: Request) -> Answer:
    """Exchange an API key for a token, at the path of older clients."""
    return await get_token(request)


@operation(router, "GET", "/identity/keys", action="", failure="", answer=Anything, signed_in=False, refusals=(503,))
async def get_keys_of_tokens(request: Request) -> Answer:
    """Tell the public keys that tokens are checked with (RFC 7517)."""
    premises: Premises = request.app.state.premises
    return Answer(await premises.work(use.public_keys, premises.house))


@operation(
    router, "GET", "/identity/.well-known/openid-configuration", action="", failure="", answer=Anything, signed_in=False
)
async def get_openid_configuration(request: Request) -> Answer:
    """Tell where everything of IAM is (OpenID Connect Discovery)."""
    return Answer(use.discovery(issuer_of(request.app.state.premises)))


@operation(router, "GET", "/.well-known/openid-configuration", action="", failure="", answer=Anything, signed_in=False)
async def get_openid_configuration_of_host(request: Request) -> Answer:
    """Tell the same at the path that begins at the host."""
    return await get_openid_configuration(request)


def issuer_of(premises: Premises) -> str:
    """The issuer of tokens. It comes from the configuration or the listener, never from a header of a request."""
    return f"{premises.url}/identity"


async def _exchanged(request: Request) -> Answer:
    premises: Premises = request.app.state.premises
    address = request.client.host if request.client else ""
    if wait := premises.logins.take(home(address)):
        raise NoToken("BXNIM0429E", "Too many requests", f"Try again in {wait} seconds", status=429, wait=wait)
    with await _api_key(request) as api_key:
        try:
            token = await premises.work(
                use.token_for,
                premises.house,
                api_key,
                issuer_of(premises),
                address=address,
                correlation=request.state.correlation,
            )
        except use.ApiKeyNotFound as error:
            await _journal(premises, address, request.state.correlation)
            raise NoToken(error.code, str(error)) from None
    return Answer(
        {
            "access_token": token.access_token,
            "refresh_token": "not_supported",
            "token_type": "Bearer",
            "expires_in": token.lifetime,
            "expiration": token.expires_at,
            "scope": use.SCOPE,
        }
    )


async def _journal(premises: Premises, address: str, correlation: str) -> None:
    if premises.is_flood(address):
        return
    call = Call(caller=STRANGER, instance="", address=address, correlation=correlation)
    try:
        await premises.work(premises.house.note_refused, call, LOGIN, "", _Login("unknown API key"))
    except (TooManyRequests, KeystoreError, sqlite3.Error, OSError) as failure:
        log.error("a refusal could not be journaled", extra={"action": LOGIN, "why": type(failure).__name__})


async def _api_key(request: Request) -> Secret:
    """The API key of the form; raises :class:`NoToken` where the form asks for something else."""
    try:
        body = await received(request.receive, LONGEST_FORM)
    except BodyTooLong as error:
        raise NoToken("BXNIM0413E", "Request is too long", str(error), status=413) from None
    try:
        fields = dict(_fields(body))
    finally:
        wipe(body)
    key = fields.pop(b"apikey", None)
    while key and key[-1] in _LINE_END:  # the end of the line of a file that `curl --data-urlencode apikey@FILE` sends
        key.pop()
    grant = fields.get(b"grant_type", bytearray())
    try:
        if not grant:
            raise _missing("grant_type")
        if bytes(grant) != use.GRANT_TYPE.encode():
            raise NoToken(
                "BXNIM0106E", "Validation of property 'grant_type' failed", f"Valid values: '{use.GRANT_TYPE}'"
            )
        if not key:
            raise _missing("apikey")
    except NoToken:
        wipe(key or bytearray())
        raise
    return Secret(key)


def _missing(name: str) -> NoToken:
    return NoToken("BXNIM0109E", "Property missing or empty.", f"Property '{name}' either missing or empty.")


def _fields(body: bytearray) -> Iterator[tuple[bytes, bytearray]]:
    """The fields of a form, their values in memory that can be wiped."""
    with memoryview(body) as view:
        start = 0
        while start < len(body):
            end = body.find(b"&", start)
            end = len(body) if end < 0 else end
            middle = body.find(b"=", start, end)
            middle = end if middle < 0 else middle
            name = unquote_to_bytes(bytes(view[start:middle]))
            escaped = bytes(view[middle + 1 : end])
            # Without anything to unescape it is the same object.
            plain = unquote_to_bytes(escaped.replace(b"+", b" "))
            value = bytearray(plain)
            overwrite(plain)
            overwrite(escaped)
            yield name, value
            start = end + 1


def _refused(request: Request, refusal: NoToken, began: float) -> Answer:
    """IAM's form of an error."""
    ended = time.time()
    content: dict[str, Any] = {"errorCode": refusal.told_code, "errorMessage": str(refusal)}
    if refusal.details:
        content["errorDetails"] = refusal.details
    content["context"] = {
        "requestId": request.state.correlation,
        "requestType": REQUEST_TYPE,
        "userAgent": request.headers.get("user-agent", "")[:200],
        "url": issuer_of(request.app.state.premises).removesuffix("/identity"),
        "instanceId": _INSTANCE,
        "threadId": "0",
        "host": "keyrack",
        "startTime": _moment(began),
        "endTime": _moment(ended),
        "elapsedTime": str(round((ended - began) * 1000)),
        "locale": "en_US",
        "clusterName": "keyrack",
    }
    headers = {"retry-after": str(refusal.wait)} if refusal.wait else {}
    return Answer(content, refusal.told_status, headers=headers)


_INSTANCE: Final = str(uuid.uuid4())


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%d.%m.%Y %H:%M:%S:%f")[:-3] + " UTC"
