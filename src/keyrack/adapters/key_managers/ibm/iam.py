"""Access tokens of IBM Cloud's identity service (IAM): fetched, kept for most of their life, and fetched again.

A token's life is counted on the steady clock from the moment that it came; no wall clock is compared with another's.
"""

import asyncio
import json
import os
import random
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from keyrack.adapters.key_managers.ibm.answers import PATIENCE, Later, text_of
from keyrack.adapters.key_managers.ibm.credentials import first_line, form_of
from keyrack.adapters.key_managers.ibm.exchange import Request
from keyrack.adapters.key_managers.ibm.patience import ATTEMPTS, pause, retry_after
from keyrack.adapters.key_managers.ibm.pool import NotAsked, Pool
from keyrack.adapters.key_managers.ibm.reading import Answer
from keyrack.adapters.key_managers.ibm.settings import ApiKey, TrustedProfile
from keyrack.adapters.key_managers.ibm.wire import Clock
from keyrack.domain.secret import wipe
from keyrack.ports.key_manager import KeyManagerFailed, KeyManagerRefused, KeyManagerUnavailable, Reason

PATH: Final = "/identity/token"
FETCH: Final = 5.0
"""Seconds that the service may take in all; who waits for it may have less."""
RENEWED_AT: Final = 0.8
"""The part of a token's life after which another one is fetched."""
SPARE: Final = 10.0
"""Seconds before its end at which a token counts as dead."""
SETTLED: Final = 10.0
"""Seconds for which no new token is fetched: after one that did not help, and after a service that did not answer."""
_DEFAULT_LIFE: Final = 600.0
_REFUSED: Final = frozenset({400, 401, 403})
_HEADERS: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_TOKEN = re.compile(r"[\x21-\x7e]{1,16000}")


class Tokens(Protocol):
    """Where the token for a call comes from. Raises the port's two errors, with ``Reason.IDENTITY`` for a refusal."""

    async def current(self, until: float) -> str:
        """The token to use now, before ``until`` on the steady clock."""
        ...

    async def another(self, refused: str, until: float) -> str | None:
        """A token in the place of one that was refused; ``None`` where there is no other."""
        ...

    def was_useless(self) -> None:
        """The other token was refused too: it is not the token."""
        ...

    def close(self) -> None:
        """Stop what is under way."""
        ...


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    stale_at: float
    dead_at: float


class FetchedTokens:
    """Tokens that IAM gives for an API key or a trusted profile: one is fetched at a time, for all who wait."""

    def __init__(self, source: ApiKey | TrustedProfile, pool: Pool, clock: Clock = time.monotonic) -> None:
        """Nothing is fetched before somebody needs it."""
        self._source = source
        self._pool = pool
        self._clock = clock
        self._token: _Token | None = None
        self._fetching: asyncio.Task[_Token] | None = None
        self._patient_until = 0.0
        self._useless_until = 0.0

    async def current(self, until: float) -> str:
        """The token that is there, for as long as it lives; near its end another one is fetched meanwhile."""
        token, now = self._token, self._clock()
        if token is None or now >= token.dead_at:
            return await self._fetched(until)
        if now >= max(token.stale_at, self._patient_until):
            self._fetch()
        return token.text

    async def another(self, refused: str, until: float) -> str | None:
        """The one that somebody has fetched meanwhile, or a new one; none shortly after that did not help."""
        token, now = self._token, self._clock()
        if token is not None and token.text != refused and now < token.dead_at:
            return token.text
        if now < self._useless_until:
            return None
        return await self._fetched(until)

    def was_useless(self) -> None:
        """Leave IAM in peace for a while."""
        self._useless_until = self._clock() + SETTLED

    def close(self) -> None:
        """Give up what is being fetched."""
        if self._fetching is not None and not self._fetching.get_loop().is_closed():
            self._fetching.cancel()

    async def _fetched(self, until: float) -> str:
        try:
            async with asyncio.timeout(max(until - self._clock(), 0)):
                # Others wait for the same one: who gives up leaves it to them.
                return (await asyncio.shield(self._fetch())).text
        except TimeoutError:
            told = "IAM, which gives the token for the call, does not answer in time"
            raise KeyManagerUnavailable(told, Reason.UNREACHABLE) from None

    def _fetch(self) -> "asyncio.Task[_Token]":
        loop = asyncio.get_running_loop()
        if self._fetching is None or self._fetching.done() or self._fetching.get_loop() is not loop:
            self._fetching = loop.create_task(self._fetch_one())
            self._fetching.add_done_callback(_look_at)
        return self._fetching

    async def _fetch_one(self) -> _Token:
        # What follows from the outcome is settled before anybody can see that the task has ended.
        try:
            self._token = await self._ask_persistently()
        except KeyManagerRefused:
            # Who was revoked shall not go on until the end of the token's life.
            self._token = None
            raise
        except KeyManagerUnavailable:
            self._patient_until = self._clock() + SETTLED
            raise
        return self._token

    async def _ask_persistently(self) -> _Token:
        until = self._clock() + FETCH
        for repetition in range(ATTEMPTS):
            try:
                return await self._ask(until)
            except NotAsked:
                raise
            except KeyManagerUnavailable as error:
                wait = (error.wait if isinstance(error, Later) else None) or pause(repetition, random.random())
                if repetition + 1 == ATTEMPTS or error.reason in _HOPELESS or self._clock() + wait >= until:
                    raise
            await asyncio.sleep(wait)
        raise AssertionError("the last attempt has told how it went")

    async def _ask(self, until: float) -> _Token:
        form = form_of(self._source)
        try:
            request = Request(method="POST", path=PATH, headers=_HEADERS, body=form, harmless=True)
            answer = await self._pool.ask(request, until)
        finally:
            wipe(form)
        try:
            return self._read(answer)
        finally:
            answer.wipe()

    def _read(self, answer: Answer) -> _Token:
        if answer.status != 200:
            raise _failure_of(answer)
        now = self._clock()
        try:
            told = json.loads(answer.body)
            text, life = told["access_token"], told.get("expires_in")
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            raise KeyManagerUnavailable("the answer of IAM has no token in it", Reason.FAILING) from None
        if not isinstance(text, str) or not _TOKEN.fullmatch(text):
            raise KeyManagerUnavailable("the token of IAM is of a form that no call takes", Reason.FAILING)
        if not isinstance(life, int | float) or life <= 0:
            life = _DEFAULT_LIFE
        return _Token(text, now + life * RENEWED_AT, now + life - min(SPARE, life / 10))


class TokenOfFile:
    """A token that somebody else keeps fresh in a file: read again when the file has changed, and when refused."""

    def __init__(self, path: Path) -> None:
        """Nothing is read before somebody needs it."""
        self._path = path
        self._seen: tuple[int, ...] = ()
        self._token = ""

    async def current(self, until: float) -> str:
        """What the file holds now."""
        seen = self._look()
        if not seen or seen != self._seen:
            self._token = self._read()
            self._seen = seen
        return self._token

    async def another(self, refused: str, until: float) -> str | None:
        """What the file holds, if that is another one."""
        self._seen = ()
        token = await self.current(until)
        return None if token == refused else token

    def was_useless(self) -> None:
        """The file is as good as it gets."""

    def close(self) -> None:
        """Nothing is held."""

    def _look(self) -> tuple[int, ...]:
        try:
            found = os.stat(self._path)
        except OSError:
            return ()  # reading it tells why
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def _read(self) -> str:
        with first_line(self._path, "the access token") as line:
            text = line.reveal().decode("latin-1")
        if not _TOKEN.fullmatch(text):
            raise KeyManagerUnavailable(f"{self._path} does not hold an access token", Reason.IDENTITY)
        return text


_HOPELESS: Final = frozenset({Reason.TRUST, Reason.IDENTITY})
"""Failures that do not go away by themselves within a call."""


def _look_at(task: "asyncio.Task[_Token]") -> None:
    """A fetch that nobody waits for may fail; whoever needs the token next will know."""
    if not task.cancelled():
        task.exception()


def _failure_of(answer: Answer) -> KeyManagerFailed:
    """IAM's refusals are about who asks; everything else says nothing."""
    try:
        told = json.loads(answer.body)
        code, text = text_of(told["errorCode"])[:60], text_of(told["errorMessage"])
    except (ValueError, RecursionError, LookupError, TypeError):
        code, text = "", ""
    named = f"{answer.status} {code}".strip()
    if answer.status in _REFUSED:
        return KeyManagerRefused(
            f"IAM gives no token for this identity: {text or 'it does not say why'} ({named})",
            Reason.IDENTITY,
            code=named,
        )
    reason = Reason.OVERLOADED if answer.status == 429 else Reason.FAILING
    hint = "" if answer.status in PATIENCE or answer.status >= 500 else "; is the address of IAM right?"
    told = f"IAM answers {named}{hint}"
    return Later(told, reason, code=named, wait=retry_after(answer.headers, time.time()))
