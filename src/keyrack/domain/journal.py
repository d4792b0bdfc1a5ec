"""What the journal keeps of each operation and each administrative act: who, what, on which key, with which outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from json import loads


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record, before it is chained. It never holds a value of a key, an attribute or a credential."""

    at: int
    """Milliseconds since 1970, UTC."""
    action: str
    """An operation's title (``"Get"``) or an administrative act (``"certificate.add"``)."""
    outcome: str
    """``"success"``, or the Result Reason's title in the case of a refusal, or ``"undone"``."""
    initiator: str
    """``"CertificateID-<fingerprint>"`` for a client, ``"local-user-<name>"`` for an administrator at the machine."""
    address: str
    """Source address and port of the client, ``"local"`` for an administrator at the machine."""
    instance: str = ""
    target: str = ""
    """Unique Identifier of the object, fingerprint of the certificate, or empty."""
    detail: Mapping[str, str | int] = field(default_factory=dict)
    """What else an auditor asks for: protocol version, batch position, message, names of changed attributes."""


def read(text: str) -> Entry:
    """The entry of a canonical text; raises :class:`ValueError` for what is none."""
    try:
        found = loads(text)
        entry = Entry(**found)
    except TypeError as error:
        raise ValueError(f"not an entry of a journal: {error}") from None
    for name in ("action", "outcome", "initiator", "address", "instance", "target"):
        if not isinstance(found[name], str):
            raise ValueError(f"not an entry of a journal: {name}")
    if not isinstance(entry.at, int) or not isinstance(entry.detail, dict):
        raise ValueError("not an entry of a journal: at or detail")
    return entry
