"""Log-in at a provider of OpenID Connect: the authorization code flow with PKCE, bound to the browser that began it.

Nothing is kept here between the two halves: the browser has a secret in a cookie, and state, nonce and PKCE's verifier
are made of it. An answer that was meant for another browser fits none of them.
"""

import asyncio
import base64
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote, urlencode

from keyrack.domain.rights import PROOF_LASTS
from keyrack.service.office.refusals import NotRecognised
from keyrack.service.people.id_tokens import BadToken, Claims, Expected, UnknownKey, verified
from keyrack.shell.config.oidc import Oidc
from keyrack.shell.oidc_calls import Calls, ProviderUnavailable

KEPT: Final = 3600.0
"""Seconds for which the provider's document and keys are kept: a key that it withdraws counts no longer."""
LOOKED_EVERY: Final = 60.0
"""Least seconds between two looks for a key that is not known: tokens that anybody sends must not make calls."""
LASTS: Final = 600
"""Seconds that a log-in at the provider may take."""
_COOKIE: Final = re.compile(r"([ab])\.(\d{1,12})\.([A-Za-z0-9_-]{43})")

__all__ = ["Begun", "Finished", "Provider", "ProviderUnavailable"]


@dataclass(frozen=True, slots=True)
class Begun:
    """Where the browser goes, and what it keeps meanwhile."""

    url: str
    cookie: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Finished:
    """What the provider has said, verified."""

    claims: Claims
    proved_at: int | None
    """When it has seen a proof, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class _Document:
    """What is needed of the provider's document (OpenID Connect Discovery 3)."""

    authorization: str
    token: str
    keys: str
    basic: bool
    """Whether the client's secret goes into a header; else into the form."""
    names_itself: bool
    """Whether answers to the browser carry ``iss`` (RFC 9207)."""


class Provider:
    """One provider, as configured."""

    def __init__(
        self, table: Oidc, calls: Calls, redirect: str, secret: str = "", clock: Callable[[], float] = time.time
    ) -> None:
        """``redirect``: the URL that the browser comes back to. ``secret``: the client's; empty for a public one."""
        self._table = table
        self._calls = calls
        self._redirect = redirect
        self._secret = secret
        self._clock = clock
        self._lock = asyncio.Lock()
        self._document: tuple[float, _Document] | None = None
        self._keys: tuple[float, Sequence[Mapping[str, Any]]] | None = None
        self._looked_at = -LOOKED_EVERY

    async def begin(self, *, again: bool = False, max_age: int = 43_200) -> Begun:
        """A log-in; with ``again`` the provider shall ask for a proof even of somebody whom it knows.

        Raises :class:`ProviderUnavailable`.
        """
        document = await self._discovered()
        cookie = f"{'b' if again else 'a'}.{int(self._clock())}.{secrets.token_urlsafe(32)}"
        asked = {
            "response_type": "code",
            "client_id": self._table.client_id,
            "redirect_uri": self._redirect,
            "scope": self._table.scopes,
            "state": _made(cookie, "state"),
            "nonce": _made(cookie, "nonce"),
            "code_challenge": _encoded(sha256(_made(cookie, "verifier").encode()).digest()),
            "code_challenge_method": "S256",
            # Asked so, the provider says when it has seen a proof (OIDC Core 2, auth_time).
            "max_age": "0" if again else str(max_age),
        }
        if again:
            asked["prompt"] = "login"
        joint = "&" if "?" in document.authorization else "?"
        return Begun(f"{document.authorization}{joint}{urlencode(asked, quote_via=quote)}", cookie)

    async def finish(self, answered: Mapping[str, str], cookie: str) -> Finished:
        """What the browser has brought back; raises :class:`NotRecognised` and :class:`ProviderUnavailable`."""
        held = _COOKIE.fullmatch(cookie)
        if held is None or not 0 <= self._clock() - int(held[2]) <= LASTS:
            raise NotRecognised("this browser has begun no log-in, or too long ago", hint="begin it again")
        if not hmac.compare_digest(answered.get("state", "").encode(), _made(cookie, "state").encode()):
            raise NotRecognised("the provider's answer belongs to another log-in", hint="begin it again")
        document = await self._discovered()
        named = answered.get("iss")
        if (named is not None or document.names_itself) and named != self._table.issuer:
            raise NotRecognised("the answer is another provider's", hint="begin it again")
        if "error" in answered or not answered.get("code"):
            why = answered.get("error", "no code")
            told = why if re.fullmatch(r"[a-z_]{1,60}", why) else "an error"
            raise NotRecognised(f"the provider has not let you in: {told}", hint="begin it again")
        token = await self._exchanged(document, answered["code"], _made(cookie, "verifier"))
        expected = Expected(self._table.issuer, self._table.client_id, _made(cookie, "nonce"))
        claims = await self._verified(document, token, expected)
        return Finished(claims, self._proved_at(claims, again=held[1] == "b"))

    def _proved_at(self, claims: Claims, *, again: bool) -> int | None:
        """When a proof was seen. A provider that does not say so is believed where it was told to ask for one."""
        now = int(self._clock())
        seen = claims.get("auth_time")
        if seen is None:
            return now if again else None
        if again and now - int(seen) > PROOF_LASTS:
            raise BadToken("the provider was to ask for a proof, and has not")
        return min(int(seen), now)

    async def _discovered(self) -> _Document:
        async with self._lock:
            if self._document is None or self._clock() - self._document[0] >= KEPT:
                self._document = self._clock(), await self._discover()
            return self._document[1]

    async def _discover(self) -> _Document:
        issuer = self._table.issuer
        found = await self._calls.ask(f"{issuer.removesuffix('/')}/.well-known/openid-configuration")
        if found.get("issuer") != issuer:
            raise ProviderUnavailable(
                f"the document of the log-in provider names another issuer than {issuer!r}",
                hint="write issuer of [api.oidc] exactly as the document has it",
            )
        authorization, token, keys = (
            str(found.get(name)) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
        )
        if not all(each.startswith("https://") for each in (authorization, token, keys)):
            raise ProviderUnavailable("the document of the log-in provider lacks an https endpoint")
        ways = found.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        names_itself = found.get("authorization_response_iss_parameter_supported") is True
        basic = "client_secret_basic" in ways
        return _Document(authorization, token, keys, basic=basic, names_itself=names_itself)

    async def _exchanged(self, document: _Document, code: str, verifier: str) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code[:4096],
            "redirect_uri": self._redirect,
            "client_id": self._table.client_id,
            "code_verifier": verifier,
        }
        authorization = ""
        if self._secret and document.basic:
            pair = f"{quote(self._table.client_id, safe='')}:{quote(self._secret, safe='')}"
            authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif self._secret:
            form["client_secret"] = self._secret
        answer = await self._calls.ask(document.token, form=urlencode(form), authorization=authorization)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise BadToken("there is none")
        return token

    async def _verified(self, document: _Document, token: str, expected: Expected) -> Claims:
        try:
            return verified(token, await self._known_keys(document), expected, self._clock())
        except UnknownKey:
            if not await self._looks_again(document):
                raise
        return verified(token, await self._known_keys(document), expected, self._clock())

    async def _known_keys(self, document: _Document) -> Sequence[Mapping[str, Any]]:
        async with self._lock:
            if self._keys is None or self._clock() - self._keys[0] >= KEPT:
                self._keys = self._clock(), await self._read_keys(document)
            return self._keys[1]

    async def _looks_again(self, document: _Document) -> bool:
        """Read the keys anew, unless that was done a moment ago; whether it was."""
        async with self._lock:
            if self._clock() - self._looked_at < LOOKED_EVERY:
                return False
            self._looked_at = self._clock()
            self._keys = self._clock(), await self._read_keys(document)
            return True

    async def _read_keys(self, document: _Document) -> Sequence[Mapping[str, Any]]:
        listed = (await self._calls.ask(document.keys)).get("keys")
        if not isinstance(listed, list):
            raise ProviderUnavailable("the log-in provider publishes no keys")
        return [each for each in listed[:100] if isinstance(each, dict)]


def _made(cookie: str, what: str) -> str:
    """One of three values of a log-in, which nobody makes who has not the cookie."""
    return _encoded(hmac.digest(cookie.encode(), f"keyrack oidc {what}".encode(), "sha256"))


def _encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
