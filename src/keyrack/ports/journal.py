"""The part of the catalog that proves and forwards the journal: checkpoints, cuts, and how far sinks have got."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii as quoted
from typing import Protocol

from keyrack.domain.cadf import CERTIFICATE, GOOD
from keyrack.domain.checkpoints import Head, JournalCut, SignedCheckpoint
from keyrack.domain.journal import Entry

__all__ = [
    "Found",
    "Head",
    "JournalBook",
    "JournalChanges",
    "JournalCut",
    "JournalQuery",
    "JournalRecord",
    "SignedCheckpoint",
    "Signer",
    "SinkState",
    "Survey",
    "matches",
    "said",
]


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """A chained entry as it is kept: ``hash`` is SHA-256 over the previous hash and the canonical text."""

    chain: str
    sequence: int
    text: str
    hash: bytes
    number: int = 0
    """The place over all chains, in the order of writing; what ``after`` of ``Catalog.journal`` names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkState:
    """How far a sink has got, and what is in its way."""

    number: int = 0
    """The number, over all chains, of the last record that it has taken."""
    checkpoint: int = 0
    """The last checkpoint that it has taken."""
    at: int = 0
    """When this was written down, in milliseconds since 1970."""
    trouble: str = ""
    """Why it takes nothing now; empty where it does."""
    since: int = 0
    """Since when there is trouble, in milliseconds since 1970; 0 where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalChanges:
    """What a unit changes of the journal beside adding entries."""

    checkpoints: Sequence[SignedCheckpoint] = ()
    """Each is the one after the last; else ``Conflict``."""
    cuts: Sequence[JournalCut] = ()
    """Records up to these are removed; they must be there, and end as the cut says, else ``Conflict``."""
    sinks: Mapping[str, SinkState] = field(default_factory=dict)
    """By sink; it never goes back."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a checkpoint says of the catalog, seen in one snapshot."""

    through: int
    """The number of the last record."""
    records: int
    """How many there are behind the one that was named."""
    digest: bytes
    """SHA-256 over their hashes, in the order of writing."""
    heads: Sequence[Head]
    """Of every chain that has ever been written, by its name."""
    keys: int
    destroyed: int
    destroyed_digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalQuery:
    """Which records are wanted; every field narrows, and an empty one does not."""

    since: int | None = None
    until: int | None = None
    """Milliseconds since 1970: from the one, and before the other."""
    instances: Collection[str] | None = None
    """Identifiers; ``None`` for all, and those of no instance with them."""
    target: str = ""
    """What the target begins with."""
    targets: Collection[str] = ()
    """Targets that are wanted beside those that begin so; with these alone, no others."""
    actions: Collection[str] = ()
    """As the journal names them."""
    outcome: str = ""
    """``"success"``, ``"failure"`` for all else, or one outcome as the journal names it."""
    initiator: str = ""
    """What the initiator begins with; a fingerprint is one without its ``CertificateID-`` too."""
    initiators: Collection[str] = ()
    """What it begins with, in one of these words; empty: whatever it is."""
    address: str = ""
    """What the source address begins with."""
    data: bool | None = None
    """``True``: only what clients do with keys; ``False``: only what is administered; ``None``: both."""
    text: str = ""
    """What stands anywhere in the record, whatever its case in ASCII."""


def matches(query: JournalQuery, entry: Entry, text: str) -> bool:
    """Whether a record is wanted; the text is the record's own."""
    return (
        (query.since is None or entry.at >= query.since)
        and (query.until is None or entry.at < query.until)
        and (query.instances is None or entry.instance in query.instances)
        and _target(query, entry.target)
        and (not query.actions or entry.action in query.actions)
        and _outcome(query.outcome, entry.outcome)
        and (entry.initiator.startswith(query.initiator) or entry.initiator.startswith(CERTIFICATE + query.initiator))
        and (not query.initiators or entry.initiator.startswith(tuple(query.initiators)))
        and entry.address.startswith(query.address)
        # Acts of administration have a dot in their names, and no operation of KMIP has one.
        and (query.data is None or ("." not in entry.action) == query.data)
        and said(query.text).lower() in text.lower()
    )


def _target(query: JournalQuery, target: str) -> bool:
    if not query.targets:
        return target.startswith(query.target)
    return target in query.targets or (bool(query.target) and target.startswith(query.target))


def said(text: str) -> str:
    """As it stands within a canonical text."""
    return quoted(text)[1:-1]


def _outcome(wanted: str, outcome: str) -> bool:
    good = outcome in GOOD
    return {"": True, "success": good, "failure": not good}.get(wanted, outcome == wanted)


@dataclass(frozen=True, slots=True)
class Found:
    """One page of a search: newest first, or oldest first where it goes forward."""

    records: Sequence[JournalRecord]
    before: int | None
    """Where the next page begins; ``None`` where there is none. A page that is not full and has one: so far was looked,
    and no further."""


class JournalBook(Protocol):
    """Reads of checkpoints, cuts, sinks and records."""

    async def checkpoints(self, after: int = 0, limit: int = 500) -> Sequence[SignedCheckpoint]:
        """Checkpoints in order, behind the one of this number."""
        ...

    async def last_checkpoint(self) -> SignedCheckpoint | None:
        """The last one."""
        ...

    async def checkpoint_before(self, at: int, through: int) -> SignedCheckpoint | None:
        """The last one that was made at or before ``at``, and covers no record behind ``through``."""
        ...

    async def cuts(self) -> Sequence[JournalCut]:
        """Every cut, oldest first."""
        ...

    async def sinks(self) -> Mapping[str, SinkState]:
        """By the name of the sink."""
        ...

    async def journal_end(self) -> int:
        """The number of the last record over all chains; 0 while there is none."""
        ...

    async def survey(self, after: int) -> Survey:
        """Everything that a checkpoint says, of the records behind ``after``; not on the event loop."""
        ...

    async def doomed(self, checkpoint: int, through: int) -> Sequence[JournalCut]:
        """What would go, chain by chain, if everything up to the record of this number went; by nobody yet."""
        ...

    async def find(
        self, query: JournalQuery, *, before: int | None = None, limit: int = 100, within: int | None = None
    ) -> Found:
        """Records newest first, from before the one of this number; not on the event loop. ``within``: look at so many
        numbers at most."""
        ...

    async def find_on(self, query: JournalQuery, *, after: int, limit: int = 100, within: int | None = None) -> Found:
        """The same forward: oldest first, from behind the one of this number."""
        ...


class Signer(Protocol):
    """The key that signs checkpoints."""

    @property
    def public(self) -> str:
        """Its public part, 32 bytes in hexadecimal."""
        ...

    def sign(self, text: str) -> bytes:
        """Ed25519 over the text in UTF-8."""
        ...
