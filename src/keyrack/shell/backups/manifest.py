"""What a backup says of itself: whose it is, of when, how much it holds, and what each of its parts comes to."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from keyrack.domain.checkpoints import Head

KIND: Final = "keyrack backup"
FORMAT: Final = 1
NAME: Final = "manifest.json"
CATALOG: Final = "catalog.db"
CONFIGURATION: Final = "keyrack.toml"
CHECKPOINTS: Final = "journal/checkpoints.jsonl"
CHANGES: Final = "journal/changes.jsonl"
SIGNING_KEY: Final = "journal/signing.pub"
"""Names of parts; those of key managers begin with their configured names."""


class BadBackup(Exception):
    """A file is no backup, or not as it was written; the text says what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file within."""

    name: str
    size: int
    """Bytes."""
    sha256: str
    path: str = ""
    """Where it belongs, relative to the deployment's directory; empty for what is not put back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything but the parts themselves."""

    deployment: str
    at: int
    """Of which moment the catalog is, in seconds since 1970."""
    version: str
    """Of Keyrack."""
    schema: int
    keys: int
    """Objects of whatever state."""
    destroyed: int
    """Of them, destroyed."""
    instances: int
    journal_end: int
    """Number of the journal's last record."""
    heads: Sequence[Head]
    checkpoint: int
    """Number of the last checkpoint in it; 0: none."""
    checkpoint_hash: str
    left_out: Sequence[str]
    """Files that the deployment needs and that are not in it, because they are secrets in clear; relative to its
    directory where they lie below it."""
    parts: Sequence[Part]

    @property
    def text(self) -> str:
        """As it is written."""
        told: dict[str, Any] = {"kind": KIND, "format": FORMAT, **asdict(self)}
        told["heads"] = [[each.chain, each.sequence, each.hash.hex()] for each in self.heads]
        return json.dumps(told, indent=1, sort_keys=True) + "\n"

    def part(self, name: str) -> Part | None:
        """The part of this name."""
        return next((each for each in self.parts if each.name == name), None)


def read(text: str) -> Manifest:
    """The manifest of a text; raises :class:`BadBackup`."""
    try:
        told: Mapping[str, Any] = json.loads(text)
        if told["kind"] != KIND:
            raise BadBackup("its manifest is not one of a backup of Keyrack")
        if told["format"] != FORMAT:
            raise BadBackup(
                f"it has format {told['format']}, and this Keyrack reads {FORMAT}: use the one that made it"
            )
        fields = {name: value for name, value in told.items() if name not in {"kind", "format", "heads", "parts"}}
        heads = [Head(chain, sequence, bytes.fromhex(digest)) for chain, sequence, digest in told["heads"]]
        return Manifest(**fields, heads=heads, parts=[Part(**each) for each in told["parts"]])
    except (ValueError, KeyError, TypeError) as error:
        raise BadBackup(f"its manifest cannot be read: {error}") from None
