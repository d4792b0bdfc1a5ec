"""Makes a call to the key manager: with a token, within its time, repeated where that is harmless and may help.

Each call is counted, and told to the circuit breaker. All of it runs on the event loop; only exchanges are in threads.
"""

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from keyrack.adapters.key_managers.ibm.answers import Later, StaleToken, failure_of
from keyrack.adapters.key_managers.ibm.circuit import Admission, Circuit
from keyrack.adapters.key_managers.ibm.exchange import MOST_BODY, Request
from keyrack.adapters.key_managers.ibm.iam import Tokens
from keyrack.adapters.key_managers.ibm.patience import ATTEMPTS, Budget, pause
from keyrack.adapters.key_managers.ibm.pool import NotAsked, Pool
from keyrack.adapters.key_managers.ibm.reading import Answer
from keyrack.adapters.key_managers.ibm.wire import Clock
from keyrack.ports.key_manager import Condition, KeyManagerRefused, KeyManagerUnavailable, Reason

log = logging.getLogger(__name__)

T = TypeVar("T")
ROOT: Final = "/api/v2"
AGENT: Final = "keyrack"
READ_ONLY: Final = 2
"""Attempts to keep something new that failed in a row, while reading works: it takes nothing new just now."""
_MARGIN: Final = 0.05
"""Seconds that a repetition needs at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is asked of the key manager. The body is wiped by whoever made it."""

    what: str
    """For messages, such as ``"wrap with the root key …"``."""
    method: str
    path: str
    """Below the API's root."""
    seconds: float
    """Time for all of it, repetitions and a new token included."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytearray | None = field(default=None, repr=False)
    harmless: bool = True
    """Whether it may be made twice."""
    changes: bool = False
    """Whether it changes something: where it fails, reading may still work."""
    creates: bool = False
    """Whether it is to keep something new."""
    most: int = MOST_BODY


@dataclass(slots=True)
class _Tally:
    calls: int = 0
    retries: int = 0
    failures: int = 0
    refusals: int = 0
    not_asked: int = 0
    last_failure: str = ""
    last_reason: Reason = Reason.OTHER
    latency: float = 0.0
    failed_creates: int = 0
    creates_fail_since: float = 0.0
    read_at: float = -1.0


class Calls:
    """The calls to one key manager instance."""

    def __init__(
        self,
        name: str,
        instance: str,
        pool: Pool,
        tokens: Tokens,
        *,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """``clock`` is steady, ``wall`` counts from 1970, ``chance`` draws from 0 to 1."""
        self.name = name
        self.date: tuple[str, float] | None = None
        """The header Date of the last answer, and when it came by our own clock."""
        self._instance = instance
        self._pool = pool
        self._tokens = tokens
        self._clock = clock
        self._wall = wall
        self._chance = chance
        self._circuit = Circuit(chance)
        self._budget = Budget()
        self._tally = _Tally()

    async def make(self, call: Call, read: Callable[[Answer], T], tokens: Tokens | None = None) -> T:
        """What ``read`` makes of the answer, which is wiped then; raises the port's two errors.

        ``read`` raises :class:`KeyManagerUnavailable` where an answer of success makes no sense.
        """
        began = self._clock()
        self._tally.calls += 1
        admission = self._circuit.admit(began)
        if admission is None:
            self._tally.not_asked += 1
            raise self._not_asked(began)
        self._budget.earn()
        try:
            told = await self._persistently(call, read, began + call.seconds, tokens or self._tokens)
        except BaseException as error:
            self._note_failure(call, admission, error, began)
            if call.creates and self.is_read_only and isinstance(error, KeyManagerUnavailable):
                raise _read_only(error) from error
            raise
        self._note_success(call, admission, began)
        return told

    @property
    def is_read_only(self) -> bool:
        """Whether it answers what is read, and has kept nothing new for some attempts."""
        tally = self._tally
        return tally.failed_creates >= READ_ONLY and tally.read_at > tally.creates_fail_since

    def condition(self) -> Condition:
        """The counts."""
        tally = self._tally
        return Condition(
            calls=tally.calls,
            retries=tally.retries,
            failures=tally.failures,
            refusals=tally.refusals,
            not_asked=tally.not_asked,
            circuit=self._circuit.state(self._clock()),
            read_only=self.is_read_only,
            last_failure=tally.last_failure,
            latency=tally.latency,
        )

    async def _persistently(self, call: Call, read: Callable[[Answer], T], until: float, tokens: Tokens) -> T:
        token = await tokens.current(until)
        renewed, repetition = False, 0
        while True:
            try:
                return await self._once(call, read, until, token)
            except StaleToken as refusal:
                if renewed:
                    tokens.was_useless()
                fresh = None if renewed else await tokens.another(token, until)
                if fresh is None:
                    raise KeyManagerRefused(str(refusal), refusal.reason, code=refusal.code) from None
                token, renewed = fresh, True
            except KeyManagerUnavailable as error:
                wait = self._wait(call, error, repetition, until)
                if wait is None:
                    raise
                repetition += 1
                self._tally.retries += 1
                await asyncio.sleep(wait)

    async def _once(self, call: Call, read: Callable[[Answer], T], until: float, token: str) -> T:
        headers = {
            "Authorization": f"Bearer {token}",
            "Bluemix-Instance": self._instance,
            "Accept": "application/json",
            "User-Agent": AGENT,
            "Correlation-Id": str(uuid.uuid4()),
            **call.headers,
        }
        request = Request(
            method=call.method,
            path=ROOT + call.path,
            headers=headers,
            body=call.body,
            harmless=call.harmless,
            most=call.most,
        )
        answer = await self._pool.ask(request, until)
        try:
            self.date = (answer.headers.get("date", ""), self._wall())
            if failure := failure_of(answer, f"{self.name}: {call.what}", self._wall()):
                told = {"key_manager": self.name, "code": failure.code, "correlation": headers["Correlation-Id"]}
                log.info("the key manager does not do it", extra=told)
                raise failure
            return read(answer)
        finally:
            answer.wipe()

    def _wait(self, call: Call, error: KeyManagerUnavailable, repetition: int, until: float) -> float | None:
        """Seconds until the call is made again; ``None``: it is not."""
        now = self._clock()
        wait = pause(repetition, self._chance())
        asked = error.wait if isinstance(error, Later) else None
        if asked is not None:
            wait = max(wait, asked)
            if not call.harmless or now + wait + _MARGIN > until:
                self._circuit.hold(now, asked)
        hopeless = isinstance(error, NotAsked) or error.reason is Reason.TRUST or not call.harmless
        if hopeless or repetition + 1 >= ATTEMPTS or now + wait + _MARGIN > until or self._circuit.wait(now) > 0:
            return None
        return wait if self._budget.spend() else None

    def _note_success(self, call: Call, admission: Admission, began: float) -> None:
        now = self._note_answer(admission, began)
        if call.creates:
            self._tally.failed_creates = 0
        elif not call.changes:
            self._tally.read_at = now

    def _note_answer(self, admission: Admission, began: float) -> float:
        """It has answered, be it by a refusal; when that was."""
        now = self._clock()
        if admission is Admission.TRIAL:
            log.info("the key manager answers again", extra={"key_manager": self.name})
        self._circuit.succeeded(admission)
        self._tally.latency = now - began
        return now

    def _note_failure(self, call: Call, admission: Admission, error: BaseException, began: float) -> None:
        if isinstance(error, KeyManagerRefused):
            self._note_answer(admission, began)
            self._tally.refusals += 1
        elif isinstance(error, NotAsked) or not isinstance(error, KeyManagerUnavailable):
            self._circuit.let_go(admission)
            self._tally.not_asked += isinstance(error, NotAsked)
        else:
            self._note_unavailable(call, admission, error)

    def _note_unavailable(self, call: Call, admission: Admission, error: KeyManagerUnavailable) -> None:
        now, tally = self._clock(), self._tally
        tally.failures += 1
        tally.last_failure, tally.last_reason = str(error), error.reason
        if call.creates:
            tally.failed_creates += 1
            tally.creates_fail_since = tally.creates_fail_since if tally.failed_creates > 1 else now
        if call.changes and admission is Admission.CALL:
            # A regional disaster leaves a key manager that is only read: the circuit must not take that away too.
            self._circuit.let_go(admission)
        elif self._circuit.failed(admission, now):
            log.warning("the key manager is left in peace", extra={"key_manager": self.name, "why": str(error)})

    def _not_asked(self, now: float) -> NotAsked:
        why = f", for {self._tally.last_failure}" if self._tally.last_failure else ""
        wait = self._circuit.wait(now)
        when = f"for another {wait:.1f} s" if wait else "until a trial has come to its end"
        return NotAsked(f"{self.name} is not asked {when}{why}", self._tally.last_reason)


def _read_only(error: KeyManagerUnavailable) -> KeyManagerUnavailable:
    told = f"it unwraps and reads, and takes nothing new, as in a regional disaster: {error}"
    return KeyManagerUnavailable(told, Reason.READ_ONLY, code=error.code)
