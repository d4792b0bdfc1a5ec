"""The journal, read record by record as the catalog has committed it, against a law of its own.

The law is written down here once more, from KMIP 1.4 and from what is promised; nothing of ``keyrack.domain`` decides.
A record that tells of something that must not happen at its place is a broken promise, however it came about.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from keyrack.ports.catalog import JournalRecord
from keyrack.spec.enumerations import State

P, A, D, C, X, XC = (
    State.PRE_ACTIVE,
    State.ACTIVE,
    State.DEACTIVATED,
    State.COMPROMISED,
    State.DESTROYED,
    State.DESTROYED_COMPROMISED,
)
STEPS: Final[Mapping[str, Mapping[State, State]]] = {
    "activate": {P: A},
    "deactivate": {A: D},
    "compromise": {P: C, A: C, D: C, X: XC},
    "destroy": {P: X, D: X, C: XC},
    "reactivate": {D: A},
}
"""KMIP 1.4, 3.22, and the administrator's remedy for a key that was deactivated by mistake."""
GONE: Final = frozenset({X, XC})
OF_ACTS: Final = {
    "key.activate": "activate",
    "key.deactivate": "deactivate",
    "key.compromise": "compromise",
    "key.destroy": "destroy",
    "key.reactivate": "reactivate",
}
_GENESIS: Final = b"keyrack journal, first link of the chain "


class Broken(Exception):
    """A promise was broken: which of the invariants, and how."""

    def __init__(self, invariant: str, told: str) -> None:
        """``invariant``: ``"I1"`` to ``"I10"``."""
        super().__init__(f"{invariant}: {told}")
        self.invariant = invariant


@dataclass(slots=True)
class Key:
    """A key as the journal tells of it."""

    uid: str
    instance: str
    state: State
    created: int
    """Place of the record that tells of its creation."""
    lived_before: State = P
    """The state before it was destroyed."""
    destroyed_at: float = 0.0
    came_back: int = 0
    """Place of the record of its last recovery."""
    purged: bool = False
    withheld: bool = False
    doubtful: bool = False
    """It was destroyed and wrapped anew: whether it still counts as withheld, only the row says."""
    version: int = 0
    """As last seen in the catalog."""
    gets: list[int] = field(default_factory=list)
    """Places of the records of its Gets."""

    @property
    def is_gone(self) -> bool:
        """Destroyed."""
        return self.state in GONE


@dataclass(frozen=True, slots=True)
class Told:
    """A record, parsed, at its place."""

    place: int
    action: str
    outcome: str
    initiator: str
    instance: str
    target: str
    detail: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Of the client; empty for others."""
        return self.initiator.removeprefix("CertificateID-") if self.initiator.startswith("CertificateID-") else ""

    @property
    def correlation(self) -> str:
        """Of the request."""
        return str(self.detail.get("correlation", ""))


class Replay:
    """What the journal comes to, place by place."""

    def __init__(self, now: Callable[[], float], compromises: Callable[[str, str], bool]) -> None:
        """``now`` is the world's true time; ``compromises`` tells of a request's correlation and a Unique Identifier
        whether its Revoke was for a compromise.
        """
        self._now = now
        self._compromises = compromises
        self.length = 0
        """How many records there are."""
        self.number = 0
        """The number of the last one."""
        self.keys: dict[str, Key] = {}
        self.certificates: dict[str, str] = {}
        """Instances, by the fingerprints of certificates in force."""
        self.let_in: dict[str, int] = {}
        """Place of the record that let it in last, by fingerprint."""
        self.sealed: set[str] = set()
        self.ever_sealed: set[str] = set()
        self.by_correlation: dict[str, list[Told]] = {}
        self.wished: dict[str, tuple[str, str]] = {}
        """Who has asked, and for which act, by the identifier of an approval."""
        self._heads: dict[str, tuple[int, bytes]] = {}

    def read(self, record: JournalRecord) -> Told:
        """Take the next record; raises :class:`Broken`."""
        self._chained(record)
        self.length += 1
        self.number = record.number
        found = json.loads(record.text)
        told = Told(
            place=self.length,
            action=found["action"],
            outcome=found["outcome"],
            initiator=found["initiator"],
            instance=found["instance"],
            target=found["target"],
            detail=found["detail"],
        )
        if told.correlation:
            self.by_correlation.setdefault(told.correlation, []).append(told)
        if told.outcome == "completed" and told.action == "standard-key.reconcile":
            self._created(told)
        if told.outcome == "success":
            if told.fingerprint:
                self._by_client(told)
            else:
                self._by_others(told)
        return told

    def _chained(self, record: JournalRecord) -> None:
        """Each record continues its chain: a hash over the one before it and its own text."""
        first = (0, sha256(_GENESIS + record.chain.encode()).digest())
        sequence, head = self._heads.get(record.chain, first)
        expected = sha256(head + record.text.encode()).digest()
        if record.sequence != sequence + 1 or record.hash != expected:
            raise Broken("I4", f"record {record.number} does not continue the chain {record.chain}")
        self._heads[record.chain] = (record.sequence, record.hash)

    def _by_client(self, told: Told) -> None:
        if self.certificates.get(told.fingerprint) != told.instance:
            raise Broken("I6", f"{told.action} of {told.target[:8]} by a certificate that is not in force ({told})")
        if told.instance in self.sealed:
            raise Broken("I5", f"{told.action} in the sealed instance {told.instance} ({told})")
        if told.action == "Create":
            self._created(told)
            return
        key = self.keys.get(told.target)
        if key is None or told.action == "Locate":
            return
        if key.instance != told.instance:
            raise Broken("I3", f"{told.action} of {told.target[:8]}, which is another instance's ({told})")
        if told.action == "Get":
            self._fetched(key, told)
        elif told.action == "Activate":
            self._step(key, "activate", told)
        elif told.action == "Destroy":
            self._step(key, "destroy", told)
        elif told.action == "Revoke":
            self._step(key, "compromise" if self._compromises(told.correlation, key.uid) else "deactivate", told)

    def _created(self, told: Told) -> None:
        if told.target in self.keys:
            raise Broken("I8", f"{told.target[:8]} is created twice")
        self.keys[told.target] = Key(told.target, told.instance, P, told.place)

    def _fetched(self, key: Key, told: Told) -> None:
        if key.is_gone or key.purged:
            raise Broken("I5", f"{key.uid[:8]} is handed out, and was destroyed before ({told})")
        if key.withheld:
            raise Broken("I5", f"{key.uid[:8]} is handed out, and was withheld before ({told})")
        key.gets.append(told.place)

    def _step(self, key: Key, step: str, told: Told) -> None:
        following = STEPS[step].get(key.state)
        if following is None or key.purged and step != "compromise":
            raise Broken("I8", f"{told.action} of {key.uid[:8]}, which is {key.state.name} ({told})")
        if following in GONE and not key.is_gone:
            key.lived_before, key.destroyed_at = key.state, self._now()
        if step == "compromise":
            key.lived_before = C
        key.state = following

    def _by_others(self, told: Told) -> None:
        action, target = told.action, told.target
        if action == "certificate.add":
            self.certificates[target] = told.instance
            self.let_in[target] = told.place
        elif action == "certificate.remove":
            self.certificates.pop(target, None)
        elif action == "instance.seal":
            self.sealed.add(target)
            self.ever_sealed.add(target)
        elif action == "instance.unseal":
            self.sealed.discard(target)
        elif action == "approval.ask":
            self.wished[target] = (told.initiator, str(told.detail.get("act", "")))
        elif action.startswith("key.") and (key := self.keys.get(target)) is not None:
            self._by_administrator(key, told)

    def _by_administrator(self, key: Key, told: Told) -> None:
        action = told.action
        if action in OF_ACTS:
            self._step(key, OF_ACTS[action], told)
        elif action == "key.recover":
            if not key.is_gone or key.purged:
                raise Broken("I8", f"{key.uid[:8]} is recovered, and is {key.state.name} ({told})")
            key.state, key.came_back = key.lived_before, told.place
        elif action == "key.purge":
            if not key.is_gone or key.purged:
                raise Broken("I9", f"{key.uid[:8]} is purged, and is {key.state.name} ({told})")
            key.purged = True
        elif action == "key.rewrap" and key.is_gone:
            key.doubtful = True
        elif action in {"key.withhold", "key.restore"}:
            key.withheld = action == "key.withhold"
