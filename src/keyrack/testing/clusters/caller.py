"""A client that knows two endpoints: it asks one, and where that fails the other, once; and notes each attempt."""

import hashlib
import itertools
import os
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from keyrack.spec.enumerations import Operation, ResultReason, RevocationReasonCode
from keyrack.spec.tags import Tag
from keyrack.testing.client import Answer, Client
from keyrack.testing.clusters.history import Event, History, Kind, Outcome
from keyrack.testing.clusters.messages import named, new_key, own_key
from keyrack.testing.ledger import material
from keyrack.testing.ttlv import Item, enumeration, structure, text

PATIENCE: Final = 5.0
"""Seconds for an answer, from one endpoint."""
_LEAVES_NO_DOUBT: Final = (Outcome.DONE, Outcome.GONE, Outcome.ABSENT, Outcome.REPEATED)
_READS: Final = (Kind.GET, Kind.LOCATE)
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Known:
    """A key that was acknowledged."""

    uid: str
    name: str


@dataclass(frozen=True, slots=True)
class _Told:
    """What an attempt came to."""

    outcome: Outcome
    key: str = ""
    digest: str = ""
    told: str = ""


@dataclass(slots=True, kw_only=True)
class Caller:
    """Belongs to one thread. ``endpoints`` are names of nodes with their addresses; the first is asked first, until it
    fails."""

    name: str
    endpoints: Sequence[tuple[str, tuple[str, int]]]
    context: ssl.SSLContext
    history: History
    retries: bool = True
    """Whether the other endpoint is asked after a failure."""
    patience: float = PATIENCE
    _preferred: int = 0
    _connections: dict[int, Client] = field(default_factory=dict)

    def close(self) -> None:
        """Hang up."""
        for number in tuple(self._connections):
            self._drop(number)

    def create(self, *, brought: bool = False) -> Known | None:
        """A new key, ``brought`` by the client or made by the server; ``None``: nobody has acknowledged any."""
        given = os.urandom(32) if brought else None
        name = ""

        def ask(client: Client) -> _Told:
            nonlocal name
            # What the attempt before has made, perhaps, has its name: each key has its own.
            name = f"{self.name} {next(_numbers)} {time.monotonic_ns()}"
            operation = Operation.CREATE if given is None else Operation.REGISTER
            answer = client.try_(operation, *(new_key(name) if given is None else own_key(name, given)))
            if not answer.ok:
                return _refused(Kind.CREATE, answer)
            digest = "" if given is None else hashlib.sha256(given).hexdigest()
            return _Told(Outcome.DONE, answer.payload.string(Tag.UNIQUE_IDENTIFIER), digest)

        event = self._do(Kind.CREATE, "", ask)
        return Known(event.key, name) if event.outcome is Outcome.DONE else None

    def activate(self, key: Known) -> Outcome:
        """Activate it."""
        return self._change(Kind.ACTIVATE, Operation.ACTIVATE, key)

    def revoke(self, key: Known) -> Outcome:
        """Deactivate it."""
        reason = enumeration(Tag.REVOCATION_REASON_CODE, RevocationReasonCode.CESSATION_OF_OPERATION)
        return self._change(Kind.REVOKE, Operation.REVOKE, key, structure(Tag.REVOCATION_REASON, reason))

    def destroy(self, key: Known) -> Outcome:
        """Destroy it."""
        return self._change(Kind.DESTROY, Operation.DESTROY, key)

    def get(self, key: Known) -> Outcome:
        """Fetch its bytes."""

        def ask(client: Client) -> _Told:
            answer = client.try_(Operation.GET, text(Tag.UNIQUE_IDENTIFIER, key.uid))
            return got(key.uid, answer)

        return self._do(Kind.GET, key.uid, ask).outcome

    def locate(self, key: Known) -> Outcome:
        """Find it by its name."""

        def ask(client: Client) -> _Told:
            answer = client.try_(Operation.LOCATE, named(key.name))
            if not answer.ok:
                return _refused(Kind.LOCATE, answer)
            found = [each.string() for each in answer.payload.all(Tag.UNIQUE_IDENTIFIER)]
            # Who is destroyed is not found by a name.
            return _Told(Outcome.DONE if key.uid in found else Outcome.GONE, key.uid)

        return self._do(Kind.LOCATE, key.uid, ask).outcome

    def _change(self, kind: Kind, operation: Operation, key: Known, *more: Item) -> Outcome:
        def ask(client: Client) -> _Told:
            answer = client.try_(operation, text(Tag.UNIQUE_IDENTIFIER, key.uid), *more)
            return _Told(Outcome.DONE) if answer.ok else _refused(kind, answer)

        return self._do(kind, key.uid, ask).outcome

    def _do(self, kind: Kind, key: str, ask: Callable[[Client], _Told]) -> Event:
        """One attempt, and a second at the other endpoint where the first has left the client without."""
        event = self._attempt(kind, key, ask, self._preferred, again=False)
        if event.last:
            return event
        self._preferred = (self._preferred + 1) % len(self.endpoints)
        # What it has left there may have ended long ago without anybody asking.
        self._drop(self._preferred)
        return self._attempt(kind, key, ask, self._preferred, again=True)

    def _attempt(self, kind: Kind, key: str, ask: Callable[[Client], _Told], number: int, *, again: bool) -> Event:
        node, address = self.endpoints[number]
        invoked, sent = time.monotonic(), False
        try:
            client = self._connections.get(number)
            if client is None:
                client = self._connections[number] = Client(address, self.context, timeout=self.patience)
            sent = True
            told = ask(client)
        except (OSError, AssertionError) as error:
            self._drop(number)
            outcome = Outcome.UNKNOWN if sent and kind not in _READS else Outcome.REFUSED
            told = _Told(outcome, told=f"{type(error).__name__}: {error}")
        outcome = told.outcome
        if outcome is Outcome.REPEATED and not again:
            outcome = Outcome.GONE if kind is Kind.DESTROY else Outcome.REFUSED
        return self.history.add(
            Event(
                client=self.name,
                kind=kind,
                key=told.key or key,
                node=node,
                invoked=invoked,
                answered=time.monotonic(),
                outcome=outcome,
                digest=told.digest,
                told=told.told,
                last=again or not self.retries or outcome in _LEAVES_NO_DOUBT,
            )
        )

    def _drop(self, number: int) -> None:
        client = self._connections.pop(number, None)
        if client is not None:
            client.close()


def got(uid: str, answer: Answer) -> _Told:
    """What the answer to a Get says."""
    if not answer.ok:
        return _refused(Kind.GET, answer)
    return _Told(Outcome.DONE, uid, hashlib.sha256(material(answer.payload)).hexdigest())


def _refused(kind: Kind, answer: Answer) -> _Told:
    told = f"{answer.reason!r}: {answer.message}"
    if answer.reason == ResultReason.ITEM_NOT_FOUND:
        outcome = Outcome.ABSENT
    elif kind is Kind.DESTROY and "already been destroyed" in answer.message:
        outcome = Outcome.REPEATED
    elif "destroyed" in answer.message.lower() and answer.reason == ResultReason.ILLEGAL_OPERATION:
        outcome = Outcome.GONE
    elif kind in _ALREADY and _ALREADY[kind] in answer.message:
        outcome = Outcome.REPEATED
    elif kind in _READS or answer.reason != ResultReason.GENERAL_FAILURE:
        outcome = Outcome.REFUSED
    else:
        # A commit that did not come back is told as one that failed.
        outcome = Outcome.UNKNOWN
    return _Told(outcome, told=told)


_ALREADY: Final = {Kind.ACTIVATE: "the object is Active", Kind.REVOKE: "the object is Deactivated"}
"""How the refusal begins of what is done already."""
