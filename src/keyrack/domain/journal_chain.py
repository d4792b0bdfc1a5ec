"""The links of a journal's chain: canonical text, and SHA-256 over the hash before it and the text."""

from hashlib import sha256
from json import dumps
from json.encoder import encode_basestring_ascii as quoted

from keyrack.domain.journal import Entry

_GENESIS = b"keyrack journal, first link of the chain "


def canonical(entry: Entry) -> str:
    """The one JSON text of an entry: keys sorted, no spaces, ASCII only."""
    detail = ",".join(
        [
            f"{quoted(key)}:{quoted(value) if isinstance(value, str) else dumps(value)}"
            for key, value in sorted(entry.detail.items())
        ]
    )
    return (
        f'{{"action":{quoted(entry.action)},"address":{quoted(entry.address)},"at":{entry.at},"detail":{{{detail}}},'
        f'"initiator":{quoted(entry.initiator)},"instance":{quoted(entry.instance)},'
        f'"outcome":{quoted(entry.outcome)},"target":{quoted(entry.target)}}}'
    )


def genesis(chain: str) -> bytes:
    """What stands in the place of the previous hash before the first record of a chain."""
    return sha256(_GENESIS + chain.encode()).digest()


def link(previous: bytes, text: str) -> bytes:
    """The hash of a record: SHA-256 over the 32 bytes of the hash before it and the text in UTF-8."""
    return sha256(previous + text.encode()).digest()
