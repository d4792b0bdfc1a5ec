"""What came after a copy of the catalog was made, as records of the journal that were kept elsewhere tell."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from keyrack.domain.journal import Entry, read
from keyrack.domain.lifecycle import Event
from keyrack.service.journal.changes import is_change

MADE: Final = frozenset({
    "Create", "Create Key Pair", "Register", "Re-key", "Re-key Key Pair", "Derive Key", "Import", "Certify",
    "Re-certify", "Join Split Key", "Create Split Key", "key.adopt", "key.rebuild",
})  # fmt: skip
"""Acts after which an object is there that was not."""
RECOVER: Final = "key.recover"
PURGE: Final = "key.purge"
STEPS: Final[Mapping[str, Event | None]] = {
    "Activate": Event.ACTIVATE,
    "key.activate": Event.ACTIVATE,
    "Revoke": Event.DEACTIVATE,
    "key.deactivate": Event.DEACTIVATE,
    "key.compromise": Event.COMPROMISE,
    "key.reactivate": Event.RESTORE,
    "Destroy": Event.DESTROY,
    "key.destroy": Event.DESTROY,
    RECOVER: None,
}
"""Acts that move a key from one state to another, and how. Why a client has revoked a key, no record says."""
LESS: Final = frozenset({"person.disable", "person.remove", "person.revoke", "person.lock", "person.password"})
"""Acts by which somebody may less than before, or needs another password."""
QUIET: Final = frozenset({
    "journal.checkpoint", "backup.agree", "backup.restore", "approval.expire", "key.withhold", "key.restore",
    "standard-key.delete", "standard-key.reconcile", "Add Attribute", "Modify Attribute", "Delete Attribute",
})  # fmt: skip
"""Acts that are told in one number: labels on keys, and what comes about again by itself."""


@dataclass(frozen=True, slots=True)
class Happened:
    """One act."""

    number: int
    entry: Entry
    hash: bytes = b""
    """What the journal's chain has made of it: the same number with another hash is another record."""

    @property
    def at(self) -> int:
        """Seconds since 1970."""
        return self.entry.at // 1000


Place = tuple[str, str]
"""An instance, and what it is of it."""


@dataclass(slots=True)
class Later:
    """Everything after the copy; the last word on each thing counts."""

    acts: int = 0
    made: dict[str, Happened] = field(default_factory=dict)
    """By Unique Identifier."""
    steps: dict[str, list[Happened]] = field(default_factory=dict)
    """Steps of each key's life, in order, by Unique Identifier."""
    destroyed: dict[str, Happened] = field(default_factory=dict)
    purged: dict[str, Happened] = field(default_factory=dict)
    certificates: dict[Place, Happened] = field(default_factory=dict)
    """Removed or barred, by instance and fingerprint."""
    authorities: dict[Place, Happened] = field(default_factory=dict)
    """Removed, by instance and fingerprint."""
    sealed: dict[str, Happened] = field(default_factory=dict)
    """By instance."""
    api_keys: dict[str, Happened] = field(default_factory=dict)
    """Revoked, by identifier."""
    people: dict[str, Happened] = field(default_factory=dict)
    """Who may less since, by identifier."""
    removed_instances: set[str] = field(default_factory=set)
    lost: list[Happened] = field(default_factory=list)
    """Acts that nobody does again but a person, in their order."""
    quiet: int = 0

    def add(self, one: Happened) -> None:
        """The next act."""
        entry = one.entry
        self.acts += 1
        if entry.action in MADE:
            self.made[entry.target] = one
        elif entry.action in STEPS or entry.action == PURGE:
            self._step(one)
        elif (taken := self._taken(entry.action)) is not None:
            taken[entry.target] = one
        elif entry.action in {"certificate.remove", "authority.bar"}:
            self.certificates[entry.instance, entry.target] = one
        elif entry.action == "authority.remove":
            self.authorities[entry.instance, entry.target] = one
        elif entry.action == "instance.unseal":
            self.sealed.pop(entry.target, None)
        elif entry.action in QUIET:
            self.quiet += 1
        else:
            self._lose(one)

    def _taken(self, action: str) -> dict[str, Happened] | None:
        """Where an act is noted that takes something away, and can be done again."""
        if action in LESS:
            return self.people
        return {"instance.seal": self.sealed, "api-key.revoke": self.api_keys}.get(action)

    def _step(self, one: Happened) -> None:
        uid, action = one.entry.target, one.entry.action
        if action == PURGE:
            self.purged[uid] = one
            self.destroyed.setdefault(uid, one)
            return
        self.steps.setdefault(uid, []).append(one)
        if STEPS[action] is Event.DESTROY:
            self.destroyed[uid] = one
        elif action == RECOVER:
            self.destroyed.pop(uid, None)

    def _lose(self, one: Happened) -> None:
        entry = one.entry
        place = (entry.instance, entry.target)
        if entry.action in {"certificate.add", "certificate.issue", "certificate.sign", "authority.unbar"}:
            self.certificates.pop(place, None)
        elif entry.action == "authority.add":
            self.authorities.pop(place, None)
        elif entry.action == "instance.remove":
            self.removed_instances.add(entry.target)
        self.lost.append(one)


def kept_of(lines: Iterable[str]) -> Sequence[Happened]:
    """The changes that lines of kept journals tell of, in the order of their numbers, each once.

    They may come from several files, in any form that Keyrack writes: ``changes.jsonl``, a sink's JSON lines, an
    export of the journal.
    """
    kept: dict[int, Happened] = {}
    for told in _read(lines):
        if isinstance(told, int):
            kept = {number: each for number, each in kept.items() if number <= told}
        else:
            kept[told.number] = told
    return [kept[number] for number in sorted(kept)]


def later(kept: Iterable[Happened], through: int) -> Later:
    """What changes behind the one of number ``through`` come to."""
    found = Later()
    for each in kept:
        if each.number > through:
            found.add(each)
    return found


def _read(lines: Iterable[str]) -> Iterator[Happened | int]:
    """Changes, and numbers behind which everything was given up; what is no such line is passed over."""
    for line in lines:
        try:
            told: Any = json.loads(line)
            if "given_up" in told:
                yield int(told["given_up"]["through"])
                continue
            place = told if "record" in told else told["journal"]
            entry = read(place["record"]) if "record" in place else _of_event(told, place["action"])
            if is_change(entry):
                yield Happened(int(place["number"]), entry, bytes.fromhex(place.get("hash", "")))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue


def _of_event(event: Any, action: str) -> Entry:
    """What an event says of the entry that it was made of, as far as it matters here."""
    request = event.get("requestData") or {}
    return Entry(
        at=int(datetime.fromisoformat(event["eventTime"]).timestamp() * 1000),
        action=action,
        outcome=(event.get("responseData") or {}).get("outcome", event["outcome"]),
        initiator=event["initiator"]["id"],
        address="",
        instance=request.get("instanceID", ""),
        target=event["target"]["id"],
    )
