"""The part of the catalog that proves and forwards the journal: checkpoints, cuts, and how far sinks have got."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCheckpoint:
    """All chains' ends at one time, signed: whoever has a copy can tell what was changed before it."""

    number: int
    at: int
    """Milliseconds since 1970."""
    text: str
    """Canonical JSON: the heads, the count of keys, the digest of what was destroyed, and the hash of the checkpoint
    before."""
    key: str
    """Which key has signed it: the SHA-256 of its public part, in hexadecimal."""
    signature: bytes = field(repr=False)
    """Ed25519 over the text in UTF-8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalCut:
    """Records of a chain that its retention has ended, and what proves that nothing else is missing."""

    chain: str
    through: int
    """The sequence of the last record that is gone."""
    hash: bytes
    """That record's hash, to which the first one that is there links."""
    records: int
    digest: bytes
    """SHA-256 over the hashes of all records that went in this cut."""
    at: int
    """Milliseconds since 1970."""
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalChanges:
    """What a unit changes of the journal beside adding entries."""

    checkpoints: Sequence[SignedCheckpoint] = ()
    cuts: Sequence[JournalCut] = ()
    """Records up to these are removed; they must be there, and end as the cut says, else ``Conflict``."""
    forwarded: Mapping[str, int] = field(default_factory=dict)
    """By sink: the number of the last record that it has taken."""


class JournalBook(Protocol):
    """Reads of checkpoints, cuts and sinks."""

    async def checkpoints(self, after: int = 0, limit: int = 500) -> Sequence[SignedCheckpoint]:
        """Checkpoints in order, behind the one of this number."""
        ...

    async def cuts(self) -> Sequence[JournalCut]:
        """Every cut, oldest first."""
        ...

    async def forwarded(self) -> Mapping[str, int]:
        """By sink: the number of the last record that it has taken."""
        ...
