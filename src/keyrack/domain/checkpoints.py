"""What a checkpoint of the journal says, and in which words it is signed.

A checkpoint names the ends of all chains, what all records since the one before come to, how many keys there are, and
the checkpoint before it. Whoever has one of them, and the key's public part, can tell whether anything before it was
changed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

KIND: Final = "keyrack journal checkpoint"
"""What each text says first of itself, so that the key's signature is never one for anything else."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain."""

    chain: str
    sequence: int
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalCut:
    """Records of a chain that its retention has ended, and what proves that nothing else is missing."""

    checkpoint: int
    """The number of the checkpoint up to which everything was cut, of this chain as of all others."""
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
class SignedCheckpoint:
    """All chains' ends at one time, signed: whoever has a copy can tell what was changed before it."""

    number: int
    at: int
    """Milliseconds since 1970."""
    text: str
    """The canonical text of a :class:`Statement`."""
    key: str
    """Which key has signed it: the SHA-256 of its public part, in hexadecimal."""
    signature: bytes = field(repr=False)
    """Ed25519 over the text in UTF-8."""

    @property
    def statement(self) -> "Statement":
        """What it says; raises :class:`ValueError` where the text is none."""
        return read(self.text)

    @property
    def hash(self) -> bytes:
        """What the next checkpoint says of this one: SHA-256 over text and signature."""
        return sha256(self.text.encode() + self.signature).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned:
    """Checkpoints that an administrator has given up by accepting a catalog older than they are."""

    number: int
    """The last of them."""
    hash: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """The words of a checkpoint, before they are signed."""

    deployment: str
    number: int
    at: int
    """Milliseconds since 1970."""
    previous: str
    """The hash of the checkpoint before, in hexadecimal; empty for the first."""
    key: str
    """The public part of the key that signs this, 32 bytes in hexadecimal."""
    after: int
    """The number, over all chains, of the last record that the checkpoint before has covered."""
    through: int
    """The number of the last record that this one covers."""
    records: int
    """How many records lie between."""
    digest: str
    """SHA-256 over their hashes in the order of writing."""
    heads: Sequence[Head]
    keys: int
    """How many objects the catalog has."""
    destroyed: int
    """How many of them are destroyed."""
    destroyed_digest: str
    """SHA-256 over their Unique Identifiers, sorted, each on a line."""
    cuts: Sequence[JournalCut] = ()
    """What was cut with this checkpoint."""
    successor: str = ""
    """The public part of the key that signs from the next checkpoint on; empty where it stays the same."""
    abandons: Abandoned | None = None

    @property
    def text(self) -> str:
        """The one text that is signed: JSON in ASCII, names sorted, no spaces."""
        told: dict[str, Any] = {
            "kind": KIND,
            "deployment": self.deployment,
            "number": self.number,
            "at": self.at,
            "previous": self.previous,
            "key": self.key,
            "after": self.after,
            "through": self.through,
            "records": self.records,
            "digest": self.digest,
            "heads": [[head.chain, head.sequence, head.hash.hex()] for head in self.heads],
            "keys": self.keys,
            "destroyed": [self.destroyed, self.destroyed_digest],
        }
        if self.cuts:
            told["cuts"] = [_written(cut) for cut in self.cuts]
        if self.successor:
            told["successor"] = self.successor
        if self.abandons is not None:
            told["abandons"] = [self.abandons.number, self.abandons.hash, self.abandons.by]
        return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def read(text: str) -> Statement:
    """The statement of a text; raises :class:`ValueError` for what is none, or is written in another way."""
    try:
        told = json.loads(text)
        if told.pop("kind") != KIND:
            raise ValueError("it is no checkpoint")
        destroyed, destroyed_digest = told.pop("destroyed")
        abandons = told.pop("abandons", None)
        made = Statement(
            heads=[Head(chain, sequence, bytes.fromhex(digest)) for chain, sequence, digest in told.pop("heads")],
            cuts=[_cut(each) for each in told.pop("cuts", ())],
            destroyed=destroyed,
            destroyed_digest=destroyed_digest,
            abandons=Abandoned(number=abandons[0], hash=abandons[1], by=abandons[2]) if abandons else None,
            **told,
        )
        if made.text != text:
            raise ValueError("it is not written as a checkpoint is")
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"it is no checkpoint: {error}") from None
    return made


def as_line(signed: SignedCheckpoint) -> str:
    """A checkpoint as a line of a file: JSON."""
    return json.dumps(
        {"checkpoint": signed.text, "signature": signed.signature.hex()}, separators=(",", ":"), ensure_ascii=True
    )


def of_line(line: str) -> SignedCheckpoint:
    """The checkpoint of such a line; its signature is not looked at. Raises :class:`ValueError`."""
    try:
        told = json.loads(line)
        text, signature = told["checkpoint"], bytes.fromhex(told["signature"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"it is no checkpoint: {error}") from None
    return signed_as(read(text), signature)


def signed_as(statement: Statement, signature: bytes) -> SignedCheckpoint:
    """The statement with its signature."""
    return SignedCheckpoint(
        number=statement.number,
        at=statement.at,
        text=statement.text,
        key=fingerprint(statement.key),
        signature=signature,
    )


def fingerprint(public: str) -> str:
    """What a key is called for short: the SHA-256 of its public part, both in hexadecimal."""
    return sha256(bytes.fromhex(public)).hexdigest()


def _written(cut: JournalCut) -> list[Any]:
    return [cut.checkpoint, cut.chain, cut.through, cut.hash.hex(), cut.records, cut.digest.hex(), cut.at, cut.by]


def _cut(told: Sequence[Any]) -> JournalCut:
    checkpoint, chain, through, digest, records, all_of_them, at, by = told
    return JournalCut(
        checkpoint=checkpoint,
        chain=chain,
        through=through,
        hash=bytes.fromhex(digest),
        records=records,
        digest=bytes.fromhex(all_of_them),
        at=at,
        by=by,
    )
